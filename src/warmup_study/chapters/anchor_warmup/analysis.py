"""What the seventh chapter's claim rests on, from its table of runs alone, and the sentences that tell it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import mean_over_tasks, named, where
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import compared
from warmup_study.presentation.formatting import INTERVALS
from warmup_study.presentation.formatting import effect as effect_in_words
from warmup_study.statistics.bootstrap import Effect, Floats, pooled, seed_effect
from warmup_study.statistics.decisions import decide
from warmup_study.statistics.lr_curves import LrCurves

COMPARISONS = {"anchor": "none", "keras": "none", "ramp": "none", "both": "ramp"}
"""Each arm with the arm that it is held against. The first two decide; the others stand beside."""
CLAIMED = ("anchor", "keras")
EARLY_LOSS, PRECISION = "early box loss", "mAP"
POOLED = "both optimisers"
PULLS = {"anchor": "the weak pull", "keras": "the pull at full weight"}

Effects = dict[tuple[str, str, str], Effect]  # by (optimiser or POOLED, arm, quantity)


def effects(runs: pd.DataFrame) -> dict[str, Effects]:
    """Per task: every arm against its control, at the learning rate that is best without any warmup.

    The early box loss as the logarithm of the ratio, below 0 where the arm is better; mAP as the difference.
    """
    grid = with_endpoints(runs)
    return {str(task): _effects(rows) for task, rows in grid.groupby("task", sort=False)}


def with_endpoints(runs: pd.DataFrame) -> pd.DataFrame:
    """The part "grid" with the column ``early``, the mean box loss on the validation split within warmup.

    What a diverged run cannot show any more counts as at initialisation, its detections as none.
    """
    grid = where(runs, part="grid")
    length = int(grid["auxiliary_updates"].max())
    early = [_early(*row, length) for row in zip(grid["evaluated_at"], grid["box_curve"], strict=True)]
    return grid.assign(early=early, mean_ap=grid["mean_ap"].fillna(0))


def _early(evaluated_at: NDArray[Any], curve: NDArray[Any], length: int) -> float:
    updates, losses = np.asarray(evaluated_at), np.asarray(curve, dtype=float)
    seen = losses[(updates > 0) & (updates <= length)]
    return float(np.where(np.isfinite(seen), seen, losses[0]).mean())


def without_warmup(runs: pd.DataFrame, optimizer: str) -> LrCurves:
    """Losses over learning rates without any warmup; ``runs``: the part "grid" of one task."""
    return LrCurves.of(where(runs, arm=f"{optimizer}/none"))


def _effects(runs: pd.DataFrame) -> Effects:
    optimizers = list(runs["optimizer"].unique())
    found = {
        (optimizer, arm, quantity): effect
        for optimizer in optimizers
        for arm, quantity, effect in _against_controls(runs, optimizer)
    }
    means = {
        (POOLED, arm, quantity): pooled([found[optimizer, arm, quantity] for optimizer in optimizers])
        for _, arm, quantity in found
    }
    return found | means


def _against_controls(runs: pd.DataFrame, optimizer: str) -> list[tuple[str, str, Effect]]:
    """(arm, quantity, effect) of every comparison of one task and optimiser."""
    none = without_warmup(runs, optimizer)
    tables = {
        (arm, quantity): _by_lr(where(runs, arm=f"{optimizer}/{arm}"), column)
        for arm in ("none", *COMPARISONS)
        for quantity, column in ((EARLY_LOSS, "early"), (PRECISION, "mean_ap"))
    }
    logs = {key: np.log(values) if key[1] == EARLY_LOSS else values for key, values in tables.items()}
    return [
        (arm, quantity, _at_best_lr(none, logs[arm, quantity] - logs[control, quantity]))
        for arm, control in COMPARISONS.items()
        for quantity in (EARLY_LOSS, PRECISION)
    ]


def _by_lr(runs: pd.DataFrame, column: str) -> Floats:
    """A column as seeds x learning rates, [S, L], both ascending."""
    return runs.pivot(index="seed", columns="lr", values=column).to_numpy(dtype=float)


def _at_best_lr(none: LrCurves, differences: Floats) -> Effect:
    """Mean of paired differences [S, L] at the learning rate best without warmup, which every resample picks anew."""
    return seed_effect(
        lambda seeds: differences[seeds, none.picked(seeds)[:, None]].mean(axis=1),
        none.seeds,
    )


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Means of every arm at the learning rate best without warmup, and what it changes on its control, in words."""
    grid, found = with_endpoints(runs), effects(runs)
    rows = []
    for task, optimizer in dict.fromkeys(zip(grid["task"], grid["optimizer"], strict=True)):
        mine = where(grid, task=task, optimizer=optimizer)
        lr = without_warmup(mine, optimizer).best_lr
        for arm in ("none", *COMPARISONS):
            means = where(mine, arm=f"{optimizer}/{arm}", lr=lr)[["lr", "early", "mean_ap"]].mean().to_dict()
            gains = {
                f"change in {quantity}": effect_in_words(found[task][optimizer, arm, quantity])
                if arm in COMPARISONS
                else ""
                for quantity in (EARLY_LOSS, PRECISION)
            }
            rows.append({"task": task, "optimizer": optimizer, "arm": arm} | means | gains)
    return pd.DataFrame(rows)


def over_all(runs: pd.DataFrame) -> Effects:
    """Equal-weight means of the effects over tasks."""
    return mean_over_tasks(list(effects(runs).values()))


def say_early(runs: pd.DataFrame) -> str:
    """What each form of the pull, and a ramp, change in the early box loss."""
    found = over_all(runs)
    arms = PULLS | {"ramp": "a ramp of the learning rate"}
    told = [f"with {label} it is {in_percent(found[POOLED, arm, EARLY_LOSS])}" for arm, label in arms.items()]
    return f"Early box loss, over tasks and optimisers, against none: {'; '.join(told)} ({INTERVALS})."


def say_end(runs: pd.DataFrame) -> str:
    """What is left of either pull in the end."""
    found = over_all(runs)
    told = [
        f"{label} changes the mean average precision by {effect_in_words(found[POOLED, arm, PRECISION])}"
        for arm, label in PULLS.items()
    ]
    sentence = f"At the end {' and '.join(told)}, over {found[POOLED, CLAIMED[0], PRECISION].n} seeds ({INTERVALS})."
    return f"{sentence} {_size(found[POOLED, CLAIMED[0], EARLY_LOSS])}"


def _size(weak: Effect) -> str:
    """What the weak pull's interval says of the smallest effect of interest."""
    least = margin("early_box_loss").value
    if decide(weak, least) == "inside":
        return "Whatever the weak pull does to the early box loss is smaller than the 2 % that would be of interest."
    return "What the weak pull does to the early box loss may be larger than 2 %."


def in_percent(ratio: Effect) -> str:
    """The logarithm of a ratio, arm over control, as "1.2 % lower (0.8 % lower to 1.6 % lower)"."""
    estimate, low, high = (compared(-value) for value in (ratio.estimate, ratio.low, ratio.high))
    return f"{estimate} ({low} to {high})"


def _name(key: tuple[str, str, str]) -> str:
    optimizer, arm, quantity = key
    return f"{quantity} ({arm}, {optimizer})"


def _named_effects(runs: pd.DataFrame) -> Mapping[str, Any]:
    return named(effects(runs), _name)


CLAIMS = {"anchor-warmup": _named_effects}
