"""What the ninth chapter's claims rest on: what warmup saves of the old and gains on the new, and runs resumed."""

from collections.abc import Mapping

import pandas as pd

from warmup_study.chapters.fine_tuning.design import LONG, LONGER, NEW_DATA, NEW_HEAD, STATES
from warmup_study.chapters.fine_tuning.resuming import resumed
from warmup_study.chapters.fine_tuning.trajectories import Trajectories, old_saved
from warmup_study.claims.evidence import ByTask, Outcome, where
from warmup_study.statistics import lr_curves
from warmup_study.statistics.bootstrap import RESAMPLES, Effect, pooled
from warmup_study.statistics.curves import LrCurves
from warmup_study.statistics.lr_curves import OVERSHOOT

LEARNS = 0.6  # of an untrained network's loss: a language model cannot halve it, as its text has an entropy
BESIDE = 1999  # resamples for what stands beside a verdict
PLACES = {"at the best learning rate": 1.0, "above it": OVERSHOOT}
"""Where arms are compared: multiples of the learning rate that is best without warmup."""
WAYS = {"a low LR": "constant", "a ramp": "ramp", "lr = 0": "zero"}
"""How fine-tuning may begin, in words, and the arm's warmup."""
LONGER_LOW = f"a low LR for {LONGER} times as long"
BACKBONES = ("free", "frozen")
CLAIM = "old loss saved by a low LR first, at equal new loss"

Runs = Mapping[str, Trajectories]


def old_saved_by(way: str) -> str:
    """Name of the effect: what a beginning saves of the old, at equal loss on the new data."""
    return f"old loss saved by {way} first, at equal new loss"


def new_saved_by(way: str, place: str) -> str:
    """Name of the effect: by how much a beginning lowers the loss on the new data at the end."""
    return f"new loss saved by {way} first {place}"


def gathered(place: str, state: str) -> str:
    """Name of the effect: what n updates more at lr = 0 gain on the new data."""
    return f"new loss saved by n updates more at lr = 0, {place} ({state} state)"


def new_data(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: what beginning at a low learning rate saves of the old loss at equal new loss, and what is beside it.

    The claim's effect is the mean over both states of the optimiser and both places.
    """
    return {str(task): _meeting(rows) for task, rows in where(runs, part=NEW_DATA).groupby("task", sort=False)}


def trajectories(runs: pd.DataFrame) -> Runs:
    """The arms of one task that begin at a trained network, by label."""
    scratch = where(runs, arm="scratch/none")
    untrained = dict(zip(scratch["seed"], scratch["initial_loss"], strict=True))
    begun = runs[runs["start_task"].notna()]
    return {str(label): Trajectories.of(rows, untrained) for label, rows in begun.groupby("arm", sort=False)}


def _meeting(runs: pd.DataFrame) -> Outcome[str]:
    found = trajectories(runs)
    if not any(_learns(found[f"{state}/none"].curves) for state in STATES):
        return "the new data are not learnt"
    return {**_saved(found), **_at_equal_updates(found), **_gathered(found), **_states(found), **_from_scratch(runs)}


def _learns(curves: LrCurves) -> bool:
    """Whether its best learning rate ends well below the loss of an untrained network."""
    return float(curves.test[:, curves.best].mean()) < LEARNS * float(curves.initial.mean())


def _saved(runs: Runs) -> dict[str, Effect]:
    """At equal loss on the new data: by each way to begin, and by a low learning rate in each of the four cells."""
    cells = {
        f"{CLAIM} ({state} state, {place})": old_saved(runs[f"{state}/none"], runs[f"{state}/constant"], multiple)
        for state in STATES
        for place, multiple in PLACES.items()
    }
    others = {way: warmup for way, warmup in WAYS.items() if warmup != "constant"}
    others |= {LONGER_LOW: f"constant{LONG}"} if f"fresh/constant{LONG}" in runs else {}
    beside = {old_saved_by(way): _saved_in_all_cells(runs, warmup) for way, warmup in others.items()}
    return {CLAIM: pooled(list(cells.values())), **cells, **beside}


def _saved_in_all_cells(runs: Runs, warmup: str) -> Effect:
    return pooled(
        [
            old_saved(runs[f"{state}/none"], runs[f"{state}/{warmup}"], multiple, BESIDE)
            for state in STATES
            for multiple in PLACES.values()
        ]
    )


def _at_equal_updates(runs: Runs) -> dict[str, Effect]:
    """At the end of the run: on the new data by place, and on the old data."""
    found = {
        new_saved_by(way, place): _over_states(runs, warmup, place) for way, warmup in WAYS.items() for place in PLACES
    }
    old = [
        lr_curves.at_multiple(runs[f"{state}/none"].old_at_end, runs[f"{state}/constant"].old_at_end, multiple, BESIDE)
        for state in STATES
        for multiple in PLACES.values()
    ]
    return {**found, "old loss saved by a low LR first, at equal updates": pooled(old)}


def _over_states(runs: Runs, warmup: str, place: str) -> Effect:
    return pooled([gain_at(runs[f"{state}/none"].curves, runs[f"{state}/{warmup}"].curves, place) for state in STATES])


def gain_at(none: LrCurves, arm: LrCurves, place: str, resamples: int = BESIDE) -> Effect:
    """ln(loss without warmup / with it): each at its own best learning rate, or at twice that without warmup."""
    if PLACES[place] == 1.0:
        return lr_curves.tuned_loss(none, arm, resamples)
    return lr_curves.at_multiple(none, arm, PLACES[place], resamples)


def _gathered(runs: Runs) -> dict[str, Effect]:
    """What a stretch at lr = 0 gains at equal active updates, state by state."""
    return {
        gathered(place, state): gain_at(runs[f"{state}/none"].curves, runs[f"{state}/zero+n"].curves, place, RESAMPLES)
        for state in STATES
        for place in PLACES
    }


def _states(runs: Runs) -> dict[str, Effect]:
    """What keeping the state gains over a fresh one, each at its own best learning rate, on the new and the old."""
    fresh, kept = (runs[f"{state}/none"] for state in STATES)
    return {
        "new loss saved by keeping the state": lr_curves.tuned_loss(fresh.curves, kept.curves, BESIDE),
        "old loss saved by keeping the state": lr_curves.tuned_loss(fresh.old_at_end, kept.old_at_end, BESIDE),
    }


def _from_scratch(runs: pd.DataFrame) -> dict[str, Effect]:
    none, low = (LrCurves.of(where(runs, arm=f"scratch/{warmup}")) for warmup in ("none", "constant"))
    return {"loss saved by a low LR first, from scratch": lr_curves.tuned_loss(none, low, BESIDE)}


def head_gain(way: str, place: str, backbone: str) -> str:
    """Name of the effect: what a beginning gains on new classes under a new head."""
    return f"new loss saved by {way} first {place}, {backbone} backbone"


def heads(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: what each way to begin gains under a new head, the backbone free or frozen, at both places."""
    return {str(task): _heads(rows) for task, rows in where(runs, part=NEW_HEAD).groupby("task", sort=False)}


def _heads(runs: pd.DataFrame) -> Outcome[str]:
    curves = {str(label): LrCurves.of(rows) for label, rows in runs.groupby("arm", sort=False)}
    used = [backbone for backbone in BACKBONES if _learns(curves[f"{backbone}/none"])]
    if len(used) < len(BACKBONES):
        return "the new classes are not learnt"
    return {
        head_gain(way, place, backbone): gain_at(
            curves[f"{backbone}/none"], curves[f"{backbone}/{warmup}"], place, RESAMPLES
        )
        for backbone in used
        for way, warmup in WAYS.items()
        for place in PLACES
    }


CLAIMS = {"new-data": new_data, "resume": resumed}
