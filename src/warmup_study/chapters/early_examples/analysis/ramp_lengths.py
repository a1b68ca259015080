"""How long a ramp should be, as a function of the skew of the stream."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import by_base_task
from warmup_study.statistics.bootstrap import Effect, blurred, seed_effect
from warmup_study.statistics.endpoints import CONFIRMATION, SELECTION, log, loss_table

ONE_EPOCH = 1.0

Effects = Mapping[str, Effect]
Floats = NDArray[np.float64]


def effects(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: slope of the log2 best length against skew, and one epoch's loss over the best's on the mixed stream.

    Each length is at its own best rate, picked on the selection seeds. The best length is that of the lowest mean test
    loss; no warmup counts as half the shortest ramp. For the ratio it is picked on the selection seeds, too.
    """
    return by_base_task(runs, ("lengths",), lambda rows: _effects(LengthGrid(rows)))


class LengthGrid:
    """The part "lengths" of one task as arrays: losses by skew, length, rate and seed."""

    def __init__(self, runs: pd.DataFrame) -> None:
        self.skews = sorted(float(skew) for skew in runs["skew"].unique())
        self.updates = sorted(int(length) for length in runs["length"].unique())
        epoch = float(runs["examples"].iloc[0]) / float(runs["batch"].iloc[0])
        self.epochs = np.asarray(self.updates) / epoch
        self.validation = self._losses(runs, "validation_loss", SELECTION)
        self.test = self._losses(runs, "test_loss", CONFIRMATION)

    def _losses(self, runs: pd.DataFrame, column: str, role: str) -> Floats:
        """Capped losses [skews, lengths, seeds, rates]."""
        cells = {key: rows for key, rows in runs.groupby(["skew", "length"])}
        return np.stack(
            [
                np.stack([loss_table(cells[skew, length], column, role).to_numpy() for length in self.updates])
                for skew in self.skews
            ]
        )

    @property
    def one_epoch(self) -> int:
        """Which length is nearest to one epoch."""
        return int(np.abs(self.epochs - ONE_EPOCH).argmin())

    @property
    def doublings(self) -> Floats:
        """log2 of the lengths in epochs, none being half the shortest."""
        shown = self.epochs.copy()
        if shown[0] == 0:
            shown[0] = shown[1] / 2
        return np.asarray(np.log2(shown))

    def tuned(self, skew: int, seeds: NDArray[np.intp], selectors: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Mean validation and mean log test loss [B, lengths] of each length at its best rate."""
        validation = self.validation[skew][:, selectors].mean(axis=2)
        rate = validation.argmin(axis=-1)
        log_test = log(self.test[skew])
        rows = range(len(self.updates))
        tested = [log_test[length][seeds, rate[length][:, None]].mean(axis=1) for length in rows]
        return np.asarray(validation.min(axis=-1).T), np.stack(tested, axis=1)


def _effects(grid: LengthGrid) -> Effects:
    places = np.asarray(grid.skews) - np.mean(grid.skews)
    weights = places / np.square(places).sum()

    def slope(seeds: NDArray[np.intp], selectors: NDArray[np.intp]) -> Floats:
        best = [grid.tuned(skew, seeds, selectors)[1].argmin(axis=1) for skew in range(len(grid.skews))]
        return np.asarray(grid.doublings[np.stack(best, axis=1)] @ weights)

    def ratio(seeds: NDArray[np.intp], selectors: NDArray[np.intp]) -> Floats:
        validation, test = grid.tuned(0, seeds, selectors)
        best = np.take_along_axis(test, validation.argmin(axis=1)[:, None], axis=1)[:, 0]
        return np.asarray(test[:, grid.one_epoch] - best)

    n, also = grid.test.shape[2], (grid.validation.shape[2],)
    step = float(np.diff(grid.doublings).max())
    return {
        "loss at one epoch over that at the best length": seed_effect(ratio, n, also=also),
        "slope of the best length": blurred(seed_effect(slope, n, also=also), step),
    }
