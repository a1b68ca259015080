"""What the first chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import GAINS, exact_verdict, untrainable, where
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.formatting import NO_BREAK, number
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect
from warmup_study.statistics.lr_curves import LrCurves, overshoot, trains, usable_lr

OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")
ABOVE: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    "in usable learning rates": usable_lr,
    "above the best learning rate": overshoot,
}
"""Gains by the place that they are told of."""
SETTLED_AFTER = 50  # updates; by then Adam's and RMSProp's step has its long-run size in theory

Gains = dict[tuple[str, str], Effect]  # by (optimiser, endpoint)


def definition(runs: pd.DataFrame) -> list[Verdict]:
    """Whether every run was trained at exactly the learning rates of the formula."""
    return [
        exact_verdict(claim("definition"), str(task), rows["lr_audit"], seeds=rows["seed"].nunique())
        for task, rows in [*runs.groupby("task"), ("all", runs)]
    ]


def gains(runs: pd.DataFrame) -> dict[str, Gains]:
    """Gain of the ramp per task, optimiser and endpoint; positive = the ramp does better than no warmup."""
    return {str(task): _gains_of(rows) for task, rows in where(runs, part="grid").groupby("task", sort=False)}


def _gains_of(runs: pd.DataFrame) -> Gains:
    return {
        (optimizer, endpoint): gain(*(where(runs, optimizer=optimizer, warmup=warmup) for warmup in ("none", "ramp")))
        for optimizer in OPTIMIZERS
        for endpoint, gain in GAINS.items()
    }


def best_points(runs: pd.DataFrame) -> pd.DataFrame:
    """For display, per task, optimiser and warmup: the tuned rate, its test loss, and the largest trainable rate.

    Flags are words beside a value, and only where they hold: a tuned rate at the grid's edge, a largest trainable rate
    that is the grid's last, or that no rate of the grid trains.
    """
    groups = where(runs, part="grid").groupby(["task", "optimizer", "warmup"], sort=False)
    return pd.DataFrame([dict(zip(groups.keys, key, strict=True)) | _best_point(rows) for key, rows in groups])


def _best_point(runs: pd.DataFrame) -> dict[str, float | str]:
    best, largest = endpoints.tuned(runs), endpoints.max_trainable_lr(runs)
    at_least = f"≥{NO_BREAK}" if largest.above_grid else ""
    return {
        "tuned_lr": number(best.lr) + (" (edge)" if best.on_edge else ""),
        "test_loss": best.losses.mean(),
        "diverged": str(best.diverged or ""),
        "max_trainable_lr": "none" if largest.below_grid else at_least + number(2**largest.log2_lr),
    }


def comparisons(runs: pd.DataFrame) -> dict[str, dict[str, Effect] | str]:
    """Per task that SGD trains: every optimiser's gain in usable learning rates and above the best one, and what
    is left of it when SGD's is taken off.
    """
    grid = where(runs, part="grid")
    return {str(task): _comparisons(rows) for task, rows in grid.groupby("task", sort=False)}


def _comparisons(runs: pd.DataFrame) -> dict[str, Effect] | str:
    curves = {
        name: [LrCurves.of(where(runs, optimizer=name, warmup=warmup)) for warmup in ("none", "ramp")]
        for name in OPTIMIZERS
    }
    if not trains(*curves["sgd"]):
        return untrainable("SGD")
    found: dict[str, Effect] = {}
    for place, gain in ABOVE.items():
        gains = {name: gain(none, ramp) for name, (none, ramp) in curves.items()}
        for name, effect in gains.items():
            found[f"{LOOKS[name].label}'s gain {place}"] = effect
            found[f"{LOOKS[name].label}'s gain less SGD's {place}"] = difference(effect, gains["sgd"])
    return found


def first_updates(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per task: RMSProp's log ratio of first to settled update size, and its alignment, first minus settled.

    The same difference of SGD is taken off the latter: what any first update lacks in direction.
    """
    plain = probed(runs, "sgd")
    return {task: _first_effects(seen, plain[task]) for task, seen in probed(runs, "rmsprop").items()}


def probed(runs: pd.DataFrame, optimizer: str) -> dict[str, pd.DataFrame]:
    """Per task, by seed, for an optimiser without warmup: size and alignment of the first and the settled updates."""
    rows = where(runs, part="probe", optimizer=optimizer, warmup="none")
    return {str(task): _first_and_settled(group) for task, group in rows.groupby("task", sort=False)}


def _first_and_settled(runs: pd.DataFrame) -> pd.DataFrame:
    updates = np.asarray(runs["probed_at"].iloc[0])
    settled = updates > min(SETTLED_AFTER, updates[-1] // 2)
    columns: dict[str, NDArray[np.float64]] = {}
    for name in ("update_size", "alignment"):
        values = np.stack(runs[name].to_list()).astype(float)
        columns |= {f"{name}_first": values[:, 0], f"{name}_settled": values[:, settled].mean(1)}
    return pd.DataFrame(columns, index=runs["seed"])


def _first_effects(seen: pd.DataFrame, plain: pd.DataFrame) -> dict[str, Effect]:
    ratio = np.log(seen["update_size_first"] / seen["update_size_settled"])
    lag, usual = (rows["alignment_first"] - rows["alignment_settled"] for rows in (seen, plain))
    name = "alignment of the first update less that of settled ones"
    return {
        "size of the first update over that of settled ones": paired_effect(ratio),
        name: paired_effect(lag),
        f"{name}, RMSProp less SGD": paired_effect(lag - usual),
    }


CLAIMS = {"adaptive-only": comparisons, "first-update": first_updates}
BY_HAND = {"definition": definition}
