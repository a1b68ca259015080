"""Trains one chunk of an experiment and lays its runs out as rows of the table of runs."""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from warmup_study import tasks
from warmup_study.tasks.task import CurveName, ScoreName
from warmup_study.training import batches, pretraining
from warmup_study.training.batches import ORDINARY, Stream
from warmup_study.training.ensemble import train
from warmup_study.training.experiment import Arm, Chunk, RunSpec
from warmup_study.training.schedule_audit import audit_reference
from warmup_study.training.table import table_of

_FINAL = ("test_loss", "test_error")
_OLD = ("old_test_loss", "old_test_error")


def train_chunk(chunk: Chunk, stored: Mapping[str, pa.Table] | None = None) -> pa.Table:
    """The runs of the chunk, trained as one ensemble, in the order of ``chunk.runs``.

    They begin at the starting points ``stored``, tables by the id of their block; missing ones are trained first.
    """
    points = pretraining.points_for(chunk, stored or {})
    traces = train(chunk, chunk.runs, compiled=chunk.compiled, points=points)
    seen, diverged_at = traces.by_run(len(chunk.runs)), traces.diverged_at
    return table_of(
        [
            _definition(chunk, run)
            | _result(chunk, seen[place])
            | _on_old_data(run, seen[place])
            | _status(int(diverged_at[place]))
            | {"lr_audit": _audit(chunk, run, seen[place]["realised_lr"])}
            for place, run in enumerate(chunk.runs)
        ]
    )


def _definition(chunk: Chunk, run: RunSpec) -> dict[str, Any]:
    arm = run.arm
    return {
        "part": chunk.part,
        "task": chunk.task,
        "arm": arm.label,
        "optimizer": arm.optimizer.name,
        **arm.optimizer.model_dump(exclude={"name"}),
        "warmup": arm.schedule.warmup,
        "decay": arm.schedule.decay,
        "length": arm.schedule.warmup_length,
        "hold": arm.schedule.hold,
        "level": arm.schedule.level if arm.schedule.warmup == "constant" else None,
        "power": arm.schedule.power if arm.schedule.warmup == "polynomial" else None,
        "start_factor": arm.schedule.start,
        "second_ramp": arm.schedule.second if arm.schedule.warmup == "ramp" else None,
        **_stream(chunk, arm.stream),
        "init": arm.init,
        **_start(arm),
        **_auxiliary(arm),
        "grid_lr": run.grid_lr,
        "lr": run.lr,
        "seed": run.seed,
        "updates": chunk.updates,
        "batch": chunk.batch,
        "chunk": chunk.id,
    }


def _stream(chunk: Chunk, stream: Stream) -> dict[str, Any]:
    """Settings of a stream that is not the ordinary one, and the number of examples in one of its epochs."""
    if stream == ORDINARY:
        return {}
    first, last = stream.redrawn or (None, None)
    settings = stream.model_dump(exclude={"redrawn"}) | {"redrawn_from": first, "redrawn_to": last}
    return settings | {"examples": len(batches.usual(tasks.load(chunk.task), stream))}


def _start(arm: Arm) -> dict[str, Any]:
    """Settings of the training that came before, where there was one."""
    if arm.start is None:
        return {}
    before, schedule = arm.start.before, arm.start.before.schedule
    settings = {
        **before.model_dump(exclude={"optimizer", "schedule"}),
        "optimizer": before.optimizer.name,
        "warmup": schedule.warmup,
        "decay": schedule.decay,
        "length": schedule.warmup_length,
        **arm.start.model_dump(exclude={"before"}),
    }
    return {f"start_{name}": value for name, value in settings.items()}


def _auxiliary(arm: Arm) -> dict[str, Any]:
    """Settings of the auxiliary loss where it acts."""
    settings = arm.auxiliary.model_dump() if arm.auxiliary.acts else {}
    return {f"auxiliary_{name}": value for name, value in settings.items()}


def _result(chunk: Chunk, seen: dict[str, Any]) -> dict[str, Any]:
    """What one run showed: ``seen`` holds its part of the traces."""
    evaluated = np.asarray(chunk.evaluated)
    probes = {name: seen[name] for name in chunk.probes} | {"probed_at": chunk.probed} if chunk.probed else {}
    return {
        **{name: float(seen[name]) for name in _FINAL},
        "initial_loss": float(seen["validation_loss"][0]),
        "trained_share": tasks.load(chunk.task).trained_share,
        "validation_loss": float(seen["validation_loss"][-1]),
        "validation_error": float(seen["validation_error"][-1]),
        "evaluated_at": evaluated,
        "validation_curve": seen["validation_loss"],
        "realised_lr": seen["realised_lr"][np.maximum(evaluated, 1) - 1],
        **probes,
        **({"outputs": seen["outputs"]} if chunk.outputs_kept else {}),
        **{name: seen[name] for name in get_args(CurveName) if name in seen},
        **{name: float(seen[name]) for name in get_args(ScoreName) if np.isfinite(seen[name])},
    }


def _on_old_data(run: RunSpec, seen: dict[str, Any]) -> dict[str, Any]:
    """Losses on what the run's network was trained on before, where it still has the head that answered that."""
    if run.arm.start is None or run.arm.start.head == "new":
        return {}
    return {"old_loss_curve": seen["old_loss_curve"], **{name: float(seen[name]) for name in _OLD}}


def _status(diverged_at: int) -> dict[str, Any]:
    return {"status": "diverged", "diverged_at": diverged_at} if diverged_at else {"status": "ok"}


def _audit(chunk: Chunk, run: RunSpec, realised: Any) -> float:
    """Largest difference between the learning rates of a run's updates and the formula; 0 means all are equal.

    Updates never taken, because every run of the chunk had diverged, are no part of it.
    """
    formula = audit_reference(run.arm.schedule, run.lr, chunk.updates)
    return float(np.nanmax(np.abs(realised - np.asarray(formula, realised.dtype))))
