"""What the seventh chapter's claim rests on, as functions of its table of runs alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import named, where
from warmup_study.presentation.formatting import effect as effect_in_words
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, paired_effect, pooled
from warmup_study.statistics.endpoints import CONFIRMATION

COMPARISONS = {"anchor": "none", "both": "ramp", "keras": "none", "ramp": "none"}
"""Each arm with the arm that it is held against. The first decides; the others stand beside."""
CLAIMED = "anchor"
EARLY_LOSS, VARIANCE, PRECISION, OVERLAP = "early box loss", "its variance", "mAP", "mean IoU"
POOLED = "both optimisers"

Effects = dict[tuple[str, str, str], Effect]  # by (optimiser or POOLED, arm, quantity)


def effects(runs: pd.DataFrame) -> dict[str, Effects]:
    """Per task: every arm against its control, at the rate that is best without any warmup."""
    grid = with_endpoints(runs)
    return {str(task): _effects(rows) for task, rows in grid.groupby("task", sort=False)}


def with_endpoints(runs: pd.DataFrame) -> pd.DataFrame:
    """The part "grid" with the columns ``early`` (mean box loss on the validation split within warmup) and ``iou``.

    What a diverged run cannot show any more counts as at initialisation, its detections as none.
    """
    grid = where(runs, part="grid")
    length = int(grid["auxiliary_updates"].max())
    early = [_early(*row, length) for row in zip(grid["evaluated_at"], grid["box_curve"], strict=True)]
    return grid.assign(early=early, iou=(1 - grid["test_error"]).fillna(0), mean_ap=grid["mean_ap"].fillna(0))


def _early(evaluated_at: NDArray[Any], curve: NDArray[Any], length: int) -> float:
    updates, losses = np.asarray(evaluated_at), np.asarray(curve, dtype=float)
    seen = losses[(updates > 0) & (updates <= length)]
    return float(np.where(np.isfinite(seen), seen, losses[0]).mean())


def best_rate(runs: pd.DataFrame, optimizer: str) -> float:
    """The peak rate at which training without any warmup ends with the lowest validation loss, on selection seeds.

    ``runs``: the part "grid" of one task.
    """
    return endpoints.tuned(where(runs, arm=f"{optimizer}/none")).lr


def at_best_rate(runs: pd.DataFrame, optimizer: str) -> dict[str, pd.DataFrame]:
    """The confirmation runs of one task and optimiser at that rate: by arm, seeds ascending."""
    chosen = where(runs, lr=best_rate(runs, optimizer), role=CONFIRMATION, optimizer=optimizer).sort_values("seed")
    return {name: where(chosen, arm=f"{optimizer}/{name}") for name in ("none", *COMPARISONS)}


def _effects(runs: pd.DataFrame) -> Effects:
    optimizers = list(runs["optimizer"].unique())
    found = {
        (optimizer, arm, quantity): effect
        for optimizer in optimizers
        for arm, quantity, effect in _against_controls(at_best_rate(runs, optimizer))
    }
    means = {
        (POOLED, arm, quantity): pooled([found[optimizer, arm, quantity] for optimizer in optimizers])
        for _, arm, quantity in found
    }
    return found | means


def _against_controls(arms: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, Effect]]:
    """(arm, quantity, effect) of every comparison: log ratios for losses, differences for what should be high."""
    rows = []
    for name, other in COMPARISONS.items():
        arm, control = arms[name], arms[other]
        loss, reference = (side["early"].to_numpy(dtype=float) for side in (arm, control))
        rows.append((name, EARLY_LOSS, paired_effect(np.log(loss) - np.log(reference))))
        rows.append((name, VARIANCE, endpoints.variance_gain(loss, reference)))
        for quantity, column in ((PRECISION, "mean_ap"), (OVERLAP, "iou")):
            rows.append((name, quantity, paired_effect(arm[column].to_numpy() - control[column].to_numpy())))
    return rows


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Means of every arm at its task's and optimiser's rate, and what its mAP gains on its control, in words."""
    grid, found = with_endpoints(runs), effects(runs)
    rows = []
    for task, mine in grid.groupby("task", sort=False):
        for optimizer in mine["optimizer"].unique():
            for arm, chosen in at_best_rate(mine, optimizer).items():
                gain = found[str(task)].get((optimizer, arm, PRECISION))
                means = chosen[["lr", "early", "mean_ap", "iou"]].mean().to_dict()
                spread = {"spread": chosen["early"].std()}
                words = {"gain": effect_in_words(gain) if gain else ""}
                rows.append({"task": task, "optimizer": optimizer, "arm": arm} | means | spread | words)
    return pd.DataFrame(rows)


def _name(key: tuple[str, str, str]) -> str:
    optimizer, arm, quantity = key
    return f"{'variance of the early box loss' if quantity == VARIANCE else quantity} ({arm}, {optimizer})"


CLAIMS = {"anchor-warmup": lambda runs: named(effects(runs), _name)}
