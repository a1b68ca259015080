"""What a run loses when resumed without its optimiser state, and how much of that a new ramp saves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.fine_tuning.design import RESUMING, RULES
from warmup_study.claims.evidence import ByTask, where
from warmup_study.presentation.style import OPTIMIZERS
from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, pooled, seed_effect
from warmup_study.statistics.endpoints import log

BESIDE = 1999  # resamples for what stands beside a verdict
LATER = (10, 50)  # updates after a run is resumed
AT_END = "at the end"
MOMENTS = (*(f"{updates} updates later" for updates in LATER), AT_END)
TWICE = ", at twice the learning rate"
FRESH = "a fresh state"


def excess(way: str, moment: str, more: str = "") -> str:
    """Name of the effect: how much more is lost than by the run that kept its state."""
    return f"excess loss of {way} {moment}{more}"


def way_of(label: str) -> str:
    """An arm in words, from the part of its label behind the optimiser: "a fresh state and a ramp of 10"."""
    _, _, warmup = label.partition(", ")
    kind, _, length = warmup.partition(" ")
    return {"": FRESH, "ramp": f"{FRESH} and a ramp of {length}", "zero": f"{FRESH} and {length} updates at lr = 0"}[
        kind
    ]


def resumed(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: log losses of runs resumed in several ways over those of runs that kept their state.

    The claim's effect is at the full rate that is best, the mean over Adam and AdamW.
    """
    return {str(task): _resumed(rows) for task, rows in where(runs, part=RESUMING).groupby("task", sort=False)}


def ways(runs: pd.DataFrame) -> dict[str, str]:
    """The ways to go on without a state, and their labels behind the optimiser, plain first."""
    labels = (str(arm).partition("/")[2] for arm in runs["arm"].unique())
    return {way_of(label): label for label in labels if label != "kept"}


def _resumed(runs: pd.DataFrame) -> Mapping[str, Effect]:
    best, *_, above = sorted(runs["grid_lr"].unique())
    found: dict[str, Effect] = {}
    for more, lr in (("", best), (TWICE, above)):
        rows = where(runs, grid_lr=lr)
        for way, label in ways(runs).items():
            for moment in MOMENTS:
                main = (way, moment, more) == (FRESH, AT_END, "")
                by_rule = _by_rule(rows, label, moment, RESAMPLES if main else BESIDE)
                found[excess(way, moment, more)] = pooled(list(by_rule.values()))
                found |= {f"{excess(way, moment)} ({OPTIMIZERS[r].label})": e for r, e in by_rule.items() if main}
    return found


def _by_rule(runs: pd.DataFrame, label: str, moment: str, resamples: int) -> dict[str, Effect]:
    """ln(mean loss of the arm / of that which kept its state), for each optimiser."""
    return {
        rule: _log_ratio(
            losses(where(runs, arm=f"{rule}/{label}"), moment), losses(_kept(runs, rule), moment), resamples
        )
        for rule in RULES
    }


def _kept(runs: pd.DataFrame, rule: str) -> pd.DataFrame:
    return where(runs, arm=f"{rule}/kept")


def losses(runs: pd.DataFrame, moment: str) -> Floats:
    """Each seed's loss [S] at a moment: on the test data at the end, on the validation data before.

    One that is not finite counts as the largest that is.
    """
    ordered = runs.sort_values("seed")
    if moment == AT_END:
        values = ordered["test_loss"].to_numpy(dtype=float)
    else:
        updates = int(moment.partition(" ")[0])
        place = int(np.searchsorted(ordered["evaluated_at"].iloc[0], updates, side="right")) - 1
        values = np.stack(ordered["validation_curve"].to_list()).astype(float)[:, place]
    finite = np.isfinite(values)
    return np.where(finite, values, values[finite].max(initial=0.0))


def _log_ratio(arm: Floats, kept: Floats, resamples: int) -> Effect:
    return seed_effect(
        lambda seeds: log(arm[seeds].mean(axis=-1)) - log(kept[seeds].mean(axis=-1)), len(arm), resamples=resamples
    )


def excess_curve(runs: pd.DataFrame, label: str, rule: str = "adam") -> Floats:
    """Mean validation loss over that of the runs that kept their state, at each evaluation [K]."""
    arm, kept = (
        np.nanmean(np.stack(where(runs, arm=f"{rule}/{name}")["validation_curve"].to_list()).astype(float), axis=0)
        for name in (label, "kept")
    )
    return np.asarray(arm / kept)
