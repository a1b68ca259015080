"""What is read off a table of runs (columns as `store` writes them), and what of it compares two arms.

Divergence is an outcome: a diverged run counts with the loss it had at initialisation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, seed_effect

TRAINED = 0.5  # a run has trained once its loss is below this share of its initial loss, unless its task has another
_TINY = np.finfo(float).tiny  # keeps the logarithm of an exact zero finite


def capped(losses: npt.ArrayLike, initial: npt.ArrayLike) -> Floats:
    """min(loss, loss at initialisation), the latter where the loss is not finite (Wortsman et al. 2023, 2309.14322).

    Shapes broadcast.
    """
    loss, start = np.broadcast_arrays(np.asarray(losses, dtype=float), np.asarray(initial, dtype=float))
    return np.where(np.isfinite(loss), np.minimum(loss, start), start)


def loss_table(runs: pd.DataFrame, column: str = "test_loss", cap: bool = True) -> pd.DataFrame:
    """Losses of ONE task and arm as seeds (rows) x learning rates (columns), both ascending.

    Diverged runs hold the loss at initialisation, or NaN with `cap=False`. ValueError if there are no runs, or a seed
    misses a learning rate, or has one twice.
    """
    losses = runs[column].astype(float).where(runs["status"] == "ok")
    return _pivot(runs, capped(losses, runs["initial_loss"]) if cap else losses)


def trained_share(runs: pd.DataFrame) -> float:
    """Share of the initial loss below which runs of one task count as trained: the task's, where the table has it."""
    known = runs.get("trained_share", pd.Series(dtype=float)).dropna()
    return float(known.iloc[0]) if len(known) else TRAINED


def steps_to_target(evaluated_at: Sequence[int], curve: Sequence[float], target: float, smooth: int = 3) -> int | None:
    """First update at which the smoothed validation loss is at or below `target`; None if it never is (censored).

    Smoothed is the median of the last `smooth` evaluations (of fewer at the start), so that one lucky evaluation does
    not count. Losses that are not finite count as infinite.
    """
    losses = np.where(np.isfinite(curve), curve, np.inf)
    for k, update in enumerate(evaluated_at):
        if np.median(losses[max(0, k + 1 - smooth) : k + 1]) <= target:
            return int(update)
    return None


def steps_to_share(runs: pd.DataFrame, share: float) -> pd.Series:
    """Per run of any arm: steps_to_target at `share` of the loss at initialisation; null = censored."""
    curves = zip(runs["evaluated_at"], runs["validation_curve"], share * runs["initial_loss"], strict=True)
    steps = [steps_to_target(updates, curve, target) for updates, curve, target in curves]
    return pd.Series(steps, index=runs.index, dtype="Int64")


def result_variance(losses: npt.ArrayLike) -> Floats:
    """Unbiased variance over seeds: shape [..., S] to [...], in the squared unit of the loss."""
    return np.asarray(np.var(np.asarray(losses, dtype=float), axis=-1, ddof=1))


def variance_gain(none_losses: npt.ArrayLike, arm_losses: npt.ArrayLike, resamples: int = RESAMPLES) -> Effect:
    """ln(variance of none / variance of the arm) over the same seeds: two rows [S] of finite losses, paired."""
    none, arm = np.asarray(none_losses, dtype=float), np.asarray(arm_losses, dtype=float)
    if none.shape != arm.shape or none.ndim != 1 or not np.isfinite([none, arm]).all():
        raise ValueError("variance_gain takes two equally long rows of finite losses")
    return seed_effect(
        lambda seeds: log(result_variance(none[seeds])) - log(result_variance(arm[seeds])),
        none.size,
        resamples=resamples,
    )


def log(values: Floats) -> Floats:
    """Natural logarithm that keeps an exact zero finite."""
    return np.asarray(np.log(np.maximum(values, _TINY)))


def _pivot(runs: pd.DataFrame, values: Any) -> pd.DataFrame:
    """Values (one per run) as seeds x learning rates; ValueError unless each pair is there exactly once."""
    seeds, row = np.unique(runs["seed"].to_numpy(dtype=np.int64), return_inverse=True)
    lrs, column = np.unique(runs["lr"].to_numpy(dtype=float), return_inverse=True)
    count = np.zeros((seeds.size, lrs.size), dtype=int)
    np.add.at(count, (row, column), 1)
    if count.size == 0 or (count != 1).any():
        missing, double = (count == 0).sum(), (count > 1).sum()
        raise ValueError(f"{len(runs)} runs do not fill a seeds x rates table: {double} double, {missing} missing")
    table = np.empty(count.shape, dtype=np.asarray(values).dtype)
    table[row, column] = values
    return pd.DataFrame(table, index=pd.Index(seeds, name="seed"), columns=pd.Index(lrs, name="lr"))
