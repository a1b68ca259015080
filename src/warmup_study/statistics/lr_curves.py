"""Endpoints on curves of loss against learning rate: an arm against training without warmup, paired by seed.

All of them read one picture, the losses of two arms over the same learning rates and seeds: at the best learning rate
(`tuned_loss`), above it (`at_multiple`), below it (`cost`), and over the whole curve (`usable_lr`,
`largest_trainable_lr`). Learning rates are picked on the validation split over all seeds, and losses are reported on
the test split. Every bootstrap resample picks anew, so that the interval holds what the pick adds. Positive is better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, seed_effect
from warmup_study.statistics.endpoints import TRAINED, log, loss_table

Seeds = NDArray[np.intp]  # [B, n]: B resamples of the n seeds

FLOOR = 1e-3  # share of the initial loss below which nothing is left to gain
BELOW = 1 / 3  # times the best learning rate without warmup: where the cost is taken


@dataclass(frozen=True)
class LrCurves:
    """Losses of one arm on one task.

    ``validation`` and ``test`` [S, L] hold each seed's losses at the learning rates ``lrs`` [L], ascending, ``initial``
    [S] those before training. Diverged runs hold their initial loss, and no loss exceeds it; none is below `FLOOR` of
    it, so that ratios of losses stay meaningful where a network learns its data to perfection.
    """

    lrs: Floats
    validation: Floats
    test: Floats
    initial: Floats

    @classmethod
    def of(cls, runs: pd.DataFrame) -> "LrCurves":
        """From the runs of one task and arm. Raises ValueError where a seed misses a learning rate."""
        validation, test = loss_table(runs, "validation_loss"), loss_table(runs, "test_loss")
        initial = runs.groupby("seed")["initial_loss"].first().sort_index().to_numpy(dtype=float)
        least = FLOOR * initial[:, None]
        lrs = test.columns.to_numpy(dtype=float)
        return cls(lrs, np.maximum(validation.to_numpy(), least), np.maximum(test.to_numpy(), least), initial)

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.test)

    @property
    def best(self) -> int:
        """Column of the best learning rate."""
        return int(self.picked(np.arange(self.seeds)[None])[0])

    @property
    def best_lr(self) -> float:
        """The learning rate with the lowest mean validation loss."""
        return float(self.lrs[self.best])

    @property
    def best_on_edge(self) -> bool:
        """Whether the best learning rate is the first or the last, so that a better one may lie outside."""
        return self.best in (0, len(self.lrs) - 1)

    def picked(self, seeds: Seeds) -> Seeds:
        """Column of the lowest mean validation loss of each resample: [B]."""
        return np.asarray(self.validation[seeds].mean(axis=1).argmin(axis=-1))

    def at(self, lr: float) -> Floats:
        """Each seed's test loss at a learning rate, [S]: between the grid's, log loss is linear in log learning rate.

        Raises ValueError where ``lr`` lies outside the grid.
        """
        if not self.lrs[0] * (1 - 1e-9) <= lr <= self.lrs[-1] * (1 + 1e-9):
            raise ValueError(f"learning rate: got {lr:g}; takes {self.lrs[0]:g} to {self.lrs[-1]:g}")
        return np.asarray(np.exp(self._interpolated(np.log(lr))))

    def _interpolated(self, log_lr: float) -> Floats:
        place = float(np.interp(log_lr, np.log(self.lrs), np.arange(len(self.lrs))))
        left = min(int(place), len(self.lrs) - 2)
        share = place - left
        return (1 - share) * log(self.test[:, left]) + share * log(self.test[:, left + 1])


def tuned_loss(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """ln(mean test loss without warmup / with it), each at its own best learning rate."""
    return _paired(none, arm, lambda curves, seeds: _mean_loss(curves, seeds, curves.picked(seeds)), resamples)


def at_multiple(none: LrCurves, arm: LrCurves, multiple: float, resamples: int = RESAMPLES) -> Effect:
    """ln(mean test loss without warmup / with it), both at so many times the learning rate best without warmup.

    Where a resample's learning rate lies outside the grid, the grid's end stands for it.
    """
    _check_paired(none, arm)

    def statistic(seeds: Seeds) -> Floats:
        targets = np.log(none.lrs[none.picked(seeds)] * multiple)
        return _log_mean_at(none, seeds, targets) - _log_mean_at(arm, seeds, targets)

    return seed_effect(statistic, none.seeds, resamples=resamples)


def cost(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """Gain at a third of the learning rate that is best without warmup: what warmup costs where nobody needs it."""
    return at_multiple(none, arm, BELOW, resamples)


def excess(
    none: LrCurves, lengths: Sequence[LrCurves], which: int, multiple: float | None = None, resamples: int = RESAMPLES
) -> Effect:
    """ln(mean test loss of one length of warmup / that of the best of all ``lengths``), which is never below 0.

    Each at its own best learning rate, or all at a ``multiple`` of the one that is best without warmup. Every resample
    picks the best length anew.
    """
    for curves in lengths:
        _check_paired(none, curves)

    def statistic(seeds: Seeds) -> Floats:
        if multiple is None:
            losses = [_mean_loss(curves, seeds, curves.picked(seeds)) for curves in lengths]
        else:
            targets = np.log(none.lrs[none.picked(seeds)] * multiple)
            losses = [_log_mean_at(curves, seeds, targets) for curves in lengths]
        return np.asarray(losses[which] - np.min(losses, axis=0))

    return seed_effect(statistic, none.seeds, resamples=resamples)


def usable_lr(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """Area between the two curves of loss over initial loss against log10 learning rate: decades of learning rate."""

    def area(curves: LrCurves, seeds: Seeds) -> Floats:
        shares = (curves.test / curves.initial[:, None])[seeds].mean(axis=1)
        return np.asarray(np.trapezoid(shares, np.log10(curves.lrs), axis=-1))

    return _paired(none, arm, area, resamples)


def largest_trainable_lr(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """Gain in the largest trainable learning rate, in doublings."""
    _check_paired(none, arm)
    return seed_effect(
        lambda seeds: edge_of_training(arm, seeds) - edge_of_training(none, seeds), none.seeds, resamples=resamples
    )


def edge_of_training(curves: LrCurves, seeds: Seeds) -> Floats:
    """Log2 of the learning rate where the median loss last crosses half the initial loss, of each resample: [B].

    Interpolated in log learning rate; the grid's first where no learning rate trains, its last where that one does.
    """
    shares = np.median((curves.test / curves.initial[:, None])[seeds], axis=1)
    trained = shares < TRAINED
    last = trained.shape[1] - 1 - trained[:, ::-1].argmax(axis=1)
    left = np.minimum(last, trained.shape[1] - 2)
    rows = np.arange(len(shares))
    inner, outer = shares[rows, left], shares[rows, left + 1]
    step = np.clip((TRAINED - inner) / np.where(outer == inner, 1.0, outer - inner), 0.0, 1.0)
    exponents = np.log2(curves.lrs)
    crossing = exponents[left] + step * (exponents[left + 1] - exponents[left])
    ends = np.where(trained.any(axis=1), exponents[-1], exponents[0])
    return np.asarray(np.where(trained.any(axis=1) & ~trained[:, -1], crossing, ends), dtype=float)


def _paired(none: LrCurves, arm: LrCurves, measure: Callable[[LrCurves, Seeds], Floats], resamples: int) -> Effect:
    _check_paired(none, arm)
    return seed_effect(lambda seeds: measure(none, seeds) - measure(arm, seeds), none.seeds, resamples=resamples)


def _mean_loss(curves: LrCurves, seeds: Seeds, columns: Seeds) -> Floats:
    return log(np.take_along_axis(curves.test[seeds].mean(axis=1), columns[:, None], axis=1)[:, 0])


def _log_mean_at(curves: LrCurves, seeds: Seeds, log_lrs: Floats) -> Floats:
    """Log of the mean test loss of each resample at its own log learning rate: [B]."""
    places = np.interp(log_lrs, np.log(curves.lrs), np.arange(len(curves.lrs)))
    left = np.minimum(places.astype(int), len(curves.lrs) - 2)
    share = places - left
    below, above = (_mean_loss(curves, seeds, column) for column in (left, left + 1))
    return np.asarray((1 - share) * below + share * above)


def _check_paired(none: LrCurves, arm: LrCurves) -> None:
    if none.test.shape != arm.test.shape or not np.allclose(none.lrs, arm.lrs):
        raise ValueError("arms are not paired: they take the same seeds at the same learning rates")
    if len(none.lrs) < 2:
        raise ValueError(f"learning rates: got {len(none.lrs)}; takes at least 2")
