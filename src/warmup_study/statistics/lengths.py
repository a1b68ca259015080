"""How long a ramp must be: losses under ramps of several lengths, and what one length loses against the best.

The best of several noisy losses is too good by chance, and a length held against it would look worse than it is. So the
best length, and every learning rate, is picked on the validation split of some seeds and judged on the test split of
the others, in turn (cross-fitting); what a length loses against the one that a search would find may then be negative,
too. Between lengths that were trained, log loss is linear in log length. A ramp of one update is no warmup.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, seed_effect
from warmup_study.statistics.curves import Average, LrCurves, Seeds, average, drawn
from warmup_study.statistics.endpoints import log
from warmup_study.statistics.lr_curves import between

FOLDS = 3  # of the seeds: two to pick on, one to judge by


@dataclass(frozen=True, eq=False)
class Lengths:
    """Losses under ramps of N ``lengths`` in updates, ascending, 0 (no warmup) first.

    ``validation`` and ``test`` [S, N, L] hold each seed's losses at the learning rates ``lrs`` [L].
    """

    lengths: tuple[int, ...]
    lrs: Floats
    validation: Floats
    test: Floats
    summed_up_by: Average = "mean"

    @classmethod
    def of(cls, curves: Mapping[int, LrCurves]) -> "Lengths":
        """From the curves of each length. Raises ValueError where they are not of the same seeds and rates."""
        known = tuple(sorted(curves))
        mine = [curves[length] for length in known]
        if len({one.test.shape for one in mine}) > 1 or known[0] != 0 or len(known) < 2:
            raise ValueError(f"lengths: got {known}; takes 0 and others, on the same seeds and learning rates")
        validation, test = (np.stack([getattr(one, name) for one in mine], 1) for name in ("validation", "test"))
        return cls(known, mine[0].lrs, validation, test, mine[0].average)

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.test)

    @cached_property
    def places(self) -> Floats:
        """Logarithms of the lengths, [N], 0 for no warmup."""
        return np.log(np.maximum(self.lengths, 1))

    def losses(self, picking: Floats, judging: Floats, multiple: float | None) -> tuple[Floats, Floats]:
        """Logs of average validation losses over the seeds picked on, and test losses over those judged by: [B, N].

        ``picking`` and ``judging`` [B, S] count how often each resample has each seed. Each length stands at its own
        best learning rate, or all at a ``multiple`` of the one that is best without warmup.
        """
        validation, test = self._averaged(self.validation, picking), self._averaged(self.test, judging)
        if multiple is None:
            best = validation.argmin(axis=-1)[..., None]
            picked, judged = (np.take_along_axis(table, best, axis=-1)[..., 0] for table in (validation, test))
            return picked, judged
        targets = np.log(self.lrs[validation[:, 0].argmin(axis=-1)] * multiple)
        picked, judged = (
            np.stack([between(self.lrs, targets, table[:, k]) for k in range(len(self.lengths))], axis=1)
            for table in (validation, test)
        )
        return picked, judged

    def _averaged(self, table: Floats, counts: Floats) -> Floats:
        """Logs of the averages [B, N, L] of a table [S, N, L]."""
        flat = average(table.reshape(self.seeds, -1), counts, self.summed_up_by)
        return log(flat).reshape(len(counts), *table.shape[1:])

    def profile(self, seeds: Seeds, multiple: float | None = None) -> Floats:
        """ln(test loss of each length / that of the one a search would find), cross-fitted, of each resample: [B, N].

        Seeds fall into folds in turn; a fold counts by how many of its seeds a resample holds. What was worked out for
        the same resamples is kept, as each of many lengths is read off it.
        """
        key = (seeds.shape, hash(seeds.tobytes()), multiple)
        if key not in self._profiles:
            self._profiles[key] = self._profile(seeds, multiple)
        return self._profiles[key]

    @cached_property
    def _profiles(self) -> dict[Hashable, Floats]:
        return {}

    def _profile(self, seeds: Seeds, multiple: float | None) -> Floats:
        counts, fold = drawn(seeds, self.seeds), np.arange(self.seeds) % min(FOLDS, self.seeds)
        total = np.zeros((len(counts), len(self.lengths)))
        for k in range(fold.max() + 1):
            judging = counts * (fold == k)
            picked, judged = self.losses(counts - judging if self.seeds > 1 else counts, judging, multiple)
            best = np.take_along_axis(judged, picked.argmin(axis=1)[:, None], axis=1)
            total += judging.sum(axis=1, keepdims=True) * (judged - best)
        return np.asarray(total / seeds.shape[1])

    def at(self, table: Floats, length: float) -> Floats:
        """What stands at a length, [B], in a table [B, N]; beyond the longest, what stands there."""
        place = float(np.interp(np.log(max(length, 1.0)), self.places, np.arange(len(self.lengths))))
        left = min(int(place), len(self.lengths) - 2)
        return np.asarray((1 - place + left) * table[:, left] + (place - left) * table[:, left + 1])

    def excess(self, length: float, multiple: float | None = None, resamples: int = RESAMPLES) -> Effect:
        """ln(mean test loss at a length / at the length that a search would find), as `profile` says."""
        return seed_effect(
            lambda seeds: self.at(self.profile(seeds, multiple), length), self.seeds, resamples=resamples
        )

    def log_sufficient(self, seeds: Seeds, enough: float, multiple: float | None = None) -> Floats:
        """Log of the shortest length whose test loss is within ``enough``, a log ratio, of the lowest one: [B].

        Between lengths where the line between them gets there; 0 where training without warmup does.
        """
        counts = drawn(seeds, self.seeds)
        _, losses = self.losses(counts, counts, multiple)
        above = losses - losses.min(axis=1, keepdims=True) - enough
        first = (above <= 0).argmax(axis=1)
        rows, left = np.arange(len(above)), np.maximum(first - 1, 0)
        high, low = above[rows, left], above[rows, first]
        share = np.where(first > 0, high / np.where(first > 0, high - low, 1.0), 0.0)
        return np.asarray(self.places[left] + share * (self.places[first] - self.places[left]))
