"""The pilot of the core grid: can each optimiser train each task, at which learning rates, and in how many updates?

Its runs have seeds of their own and enter no verdict. ``python -m warmup_study.chapters.pilot`` trains them, writes
``data/results/pilot.parquet`` and prints, for each task and optimiser, what the grid is laid out by.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from warmup_study import tasks
from warmup_study.chapters.design import arm
from warmup_study.claims.evidence import where
from warmup_study.paths import Folders
from warmup_study.running import store
from warmup_study.running.sweep import sweep
from warmup_study.statistics.curves import LrCurves
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule
from warmup_study.training.table import from_frame, to_frame

SEEDS = (9_100, 9_101, 9_102)
WARMUP = 0.05  # of the updates, ramped
POINTS_PER_DECADE = 3
FILE = "pilot.parquet"
BRACKETS = {
    "sgd": (1e-2, 1e1),
    "momentum": (1e-2, 1e1),
    "rmsprop": (2e-4, 2e-1),
    "adam": (4e-4, 4e-1),
}
"""From where nothing has begun to move to where nothing trains; effective learning rates under momentum."""
UPDATES = {
    "digits-mlp": 1000,
    "digits-he16": 2000,
    "mnist1d-conv": 2000,
    "mnist1d-conv-1024": 400,
    "digits-transformer": 2000,
    "digits-transformer-6": 600,
    "digits-transformer-pre-6": 600,
    "text-transformer-4": 1000,
}
OPTIMIZERS = dict.fromkeys(("digits-transformer-6", "digits-transformer-pre-6", "text-transformer-4"), ("sgd", "adam"))
"""Two optimisers where updates are expensive; elsewhere all of them."""


def arms(optimizer: str, updates: int, warmups: Sequence[str]) -> Iterator[Arm]:
    """Every learning rate under every warmup, with a cosine decay: as arms of one rate, they train side by side."""
    rule, length = Optimizer.model_validate({"name": optimizer}), round(WARMUP * updates)
    schedules = {"none": Schedule(decay="cosine"), "ramp": Schedule(warmup="ramp", length=length, decay="cosine")}
    for warmup in warmups:
        for lr in lr_grid(*BRACKETS[optimizer], POINTS_PER_DECADE):
            scale = lr * (1 - (rule.momentum or 0.0))
            yield arm(f"{optimizer}/{warmup}/{lr:g}", rule, schedules[warmup], lr_scale=scale)


def experiments(names: Sequence[str]) -> Iterator[Experiment]:
    """The optimisers of these tasks: each with and without a ramp, and without one for twice the updates."""
    for name in names:
        for optimizer in OPTIMIZERS.get(name, tuple(BRACKETS)):
            for times, warmups, seeds in ((1, ("none", "ramp"), SEEDS), (2, ("none",), SEEDS[:3])):
                updates = times * UPDATES[name]
                yield Experiment(
                    part=f"pilot, {times} x T",
                    task=name,
                    arms=tuple(arms(optimizer, updates, warmups)),
                    lrs=(1.0,),
                    seeds=seeds,
                    updates=updates,
                    evaluate_every=updates // 4,
                    batch=tasks.load(name).batch,
                )


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """For each task and optimiser: best rates, best loss over initial loss, the same at twice T, where it trains.

    Learning rates are those that the runs took: under momentum 1 − μ times the effective ones of `BRACKETS`.
    """
    cells = runs.groupby(["task", "optimizer"], sort=False)
    return pd.DataFrame([{"task": task, "optimizer": rule} | _summed_up(cell) for (task, rule), cell in cells])


def _summed_up(runs: pd.DataFrame) -> dict[str, object]:
    usual = runs[runs["part"] == "pilot, 1 x T"]
    none, ramp = (LrCurves.of(where(usual, warmup=warmup)) for warmup in ("none", "ramp"))
    longer = LrCurves.of(runs[runs["part"] == "pilot, 2 x T"])
    ratio = np.log(none.test / ramp.test)
    return {
        "best_none": none.best_lr,
        "best_ramp": ramp.best_lr,
        "share_none": float((none.test[:, none.best] / none.initial).mean()),
        "share_ramp": float((ramp.test[:, ramp.best] / ramp.initial).mean()),
        "twice_T": float(longer.test[:, longer.best].mean() / none.test[:, none.best].mean()),
        "trains_none": _span(none),
        "trains_ramp": _span(ramp),
        "sd_at_best": float(ratio[:, none.best].std(ddof=1)),
        "gains": " ".join(f"{gain:+.2f}" for gain in ratio.mean(0)),
    }


def _span(curves: LrCurves) -> str:
    trained = curves.lrs[curves.shares_trained >= 0.5]
    return f"{trained[0]:.3g} to {trained[-1]:.3g}" if len(trained) else "nowhere"


def table_path(folders: Folders) -> Path:
    """Where the pilot's table lies: one for all presets."""
    return folders.results.parent / FILE


def main(names: Sequence[str]) -> None:
    """Train the pilot on these tasks, all where none is named, and put their runs into its table."""
    folders = Folders.of("", "full")
    path = table_path(folders)
    runs = sweep(list(experiments(names or list(UPDATES))), folders.cache)
    if path.exists():
        others = to_frame(store.read_table(path))
        runs = pd.concat([others[~others["task"].isin(runs["task"])], runs], ignore_index=True)
    store.write_runs(path, from_frame(runs))
    with pd.option_context("display.width", 250, "display.max_columns", None, "display.max_colwidth", 120):
        print(summary(runs).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
