"""Curves of loss against learning rate: the losses of one arm on one task, by seed.

`measured_as` changes how they are summed up (medians for means, no cap), to see whether a verdict hangs on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.statistics.bootstrap import Floats
from warmup_study.statistics.endpoints import TRAINED, log, loss_table, trained_share

Seeds = NDArray[np.intp]  # [B, n]: B resamples of the n seeds

Average = Literal["mean", "median"]
FLOOR = 1e-3  # share of the initial loss below which nothing is left to gain


@dataclass
class Measure:
    """How losses are summed up over seeds, whether they are capped at the initial loss, and whether that was used."""

    average: Average = "mean"
    capped: bool = True
    used: bool = False


_MEASURE: ContextVar[Measure | None] = ContextVar("measure", default=None)


@contextmanager
def measured_as(average: Average, capped: bool) -> Iterator[Measure]:
    """Within, curves made of runs sum losses up like this; ``used`` tells afterwards whether there were any."""
    measure = Measure(average, capped)
    token = _MEASURE.set(measure)
    try:
        yield measure
    finally:
        _MEASURE.reset(token)


@dataclass(frozen=True)
class LrCurves:
    """Losses of one arm on one task.

    ``validation`` and ``test`` [S, L] hold each seed's losses at the learning rates ``lrs`` [L], ascending, ``initial``
    [S] those before training. Diverged runs hold their initial loss, and no loss exceeds it (uncapped, the others do);
    none is below `FLOOR` of it, so that ratios of losses stay meaningful where a network learns its data to perfection.
    ``average`` sums losses up over seeds. A run trains where it ends below ``trained_share`` of its initial loss.
    """

    lrs: Floats
    validation: Floats
    test: Floats
    initial: Floats
    average: Average = "mean"
    trained_share: float = TRAINED

    @classmethod
    def of(cls, runs: pd.DataFrame) -> "LrCurves":
        """From the runs of one task and arm. Raises ValueError where a seed misses a learning rate."""
        measure = _MEASURE.get() or Measure()
        measure.used = True
        tables = [loss_table(runs, column, cap=measure.capped) for column in ("validation_loss", "test_loss")]
        initial = runs.groupby("seed")["initial_loss"].first().sort_index().to_numpy(dtype=float)
        start = np.broadcast_to(initial[:, None], tables[0].shape)
        losses = [np.where(np.isfinite(table), table, start) for table in tables]
        validation, test = (np.maximum(table, FLOOR * start) for table in losses)
        lrs, share = tables[0].columns.to_numpy(dtype=float), trained_share(runs)
        return cls(lrs, validation, test, initial, measure.average, share)

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
        """Column of the lowest average validation loss of each resample: [B]."""
        return np.asarray(self.averaged(self.validation, seeds).argmin(axis=-1))

    def averaged(self, table: Floats, seeds: Seeds) -> Floats:
        """Averages over each resample's seeds, [B, L], of a table [S, L]."""
        return average(table, drawn(seeds, len(table)), self.average)

    @property
    def trained(self) -> Floats:
        """1 where a run trains, else 0: [S, L]."""
        return np.asarray(self.test < self.trained_share * self.initial[:, None], dtype=float)

    @property
    def shares_trained(self) -> Floats:
        """Share of seeds that train at each learning rate, [L]."""
        return np.asarray(self.trained.mean(axis=0))

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


def average(table: Floats, counts: Floats, kind: Average) -> Floats:
    """Averages [B, L] of a table [S, L] over as many of each seed as ``counts`` [B, S] says; 0 over none."""
    if kind == "median":
        return _counted_medians(table, counts)
    return np.asarray(counts @ table / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def medians(table: Floats, seeds: Seeds) -> Floats:
    """Medians over each resample's seeds, [B, L], of a table [S, L]."""
    return _counted_medians(table, drawn(seeds, len(table)))


def _counted_medians(table: Floats, counts: Floats) -> Floats:
    """By counting along each sorted column."""
    total = counts.sum(axis=1, keepdims=True)
    middle = ((total - 1) // 2, total // 2)
    columns = []
    for values in table.T:
        order = np.argsort(values)
        so_far = counts[:, order].cumsum(axis=1)
        places = (np.minimum((so_far <= place).sum(axis=1), len(values) - 1) for place in middle)
        columns.append(sum(values[order][place] for place in places) / 2)
    return np.stack(columns, axis=1)


def drawn(seeds: Seeds, size: int) -> Floats:
    """How often each resample holds each of ``size`` seeds, [B, S]: a product with it sums up without a large copy."""
    places = seeds + size * np.arange(len(seeds))[:, None]
    counts = np.bincount(places.ravel(), minlength=size * len(seeds))
    return counts.reshape(len(seeds), size).astype(float)
