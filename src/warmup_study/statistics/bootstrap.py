"""Effects: an estimate with its whole bootstrap distribution over seeds.

The interval and the one-sided p-values are read from that one distribution, so that they can never disagree.

The distribution is the percentile bootstrap with its tails widened for small samples (Hesterberg 2015, The American
Statistician 69): scipy draws the replicates, and their distance to the median is stretched by sqrt(n / (n - 1)) t / z,
t and z being the Student (n - 1) and normal quantiles of the replicate's own rank. Plain percentile and BCa intervals
are too short below some 20 seeds, and the studentised bootstrap breaks down on ties. The tests measure the coverage.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
RESAMPLES = 9999  # one less than a multiple of 40, so that the 2.5 % quantile is a replicate
_SEED = 20170608
_MOST: ContextVar[int] = ContextVar("most", default=10**9)


@contextmanager
def fewer_resamples(most: int) -> Iterator[None]:
    """Within, no effect draws more resamples than that: to judge often, and not to the last digit."""
    token = _MOST.set(most)
    try:
        yield
    finally:
        _MOST.reset(token)


@dataclass(frozen=True)
class Effect:
    """An estimate with its bootstrap distribution over seeds.

    `replicates` has shape [B], in the order drawn; NaN throughout when there are too few seeds to resample, in which
    case the interval is NaN, every p-value is 1 and nothing is decided. `n` counts independent seeds.
    """

    estimate: float
    low: float
    high: float
    n: int
    replicates: Floats
    level: float = LEVEL

    def p_above(self, threshold: float) -> float:
        """One-sided p-value for "the effect is larger than `threshold`"; at most 0.025 exactly when low > threshold."""
        return self._share(~(self.replicates > threshold))

    def p_below(self, threshold: float) -> float:
        """One-sided p-value for "the effect is smaller than `threshold`"."""
        return self._share(~(self.replicates < threshold))

    def p_inside(self, margin: float, around: float = 0.0) -> float:
        """Equivalence within `around` +-`margin`: the larger of two one-sided p-values (TOST, Schuirmann 1987)."""
        return max(self.p_above(around - margin), self.p_below(around + margin))

    @staticmethod
    def _share(against: npt.NDArray[np.bool_]) -> float:
        """Share of replicates that speak against, counting the data themselves (Davison & Hinkley 1997, 4.2.3)."""
        return float((1 + np.count_nonzero(against)) / (against.size + 1))


def paired_effect(differences: npt.ArrayLike, resamples: int = RESAMPLES) -> Effect:
    """Mean of per-seed differences (shape [n], finite) with its interval; ValueError otherwise."""
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"differences must be a non-empty row of finite numbers, not {values!r}")
    return seed_effect(lambda seeds: values[seeds].mean(axis=-1), values.size, resamples=resamples)


def seed_effect(
    statistic: Callable[..., Floats], n: int, *, also: Sequence[int] = (), resamples: int = RESAMPLES
) -> Effect:
    """Bootstrap any statistic of the seeds.

    `statistic` gets an index array [B, n] of resampled seeds and returns [B]; for each size in `also` it gets one more
    index array [B, size], resampled on its own (for example the seeds that pick the learning rate). The estimate is
    the statistic of the seeds as they are. Draws depend on the sizes alone: effects on the same number of seeds are
    resampled alike, so what two tasks share through a seed is kept when they are pooled.
    """
    groups, resamples = tuple(np.arange(size) for size in (n, *also)), min(resamples, _MOST.get())
    estimate = float(np.asarray(statistic(*(group[None, :] for group in groups)))[0])
    if min((n, *also)) < 2:
        return _effect(estimate, np.full(resamples, np.nan), n)
    drawn = stats.bootstrap(
        groups,
        lambda *index, axis: statistic(*index),
        n_resamples=resamples,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng([_SEED, n, *also]),
    ).bootstrap_distribution
    return _effect(estimate, _widened(drawn, n), n)


def student_effect(estimate: float, error: float, freedom: int, n: int, resamples: int = RESAMPLES) -> Effect:
    """An effect known by its standard error alone: Student's distribution about the estimate, in equal steps."""
    resamples = min(resamples, _MOST.get())
    quantiles = np.arange(1, resamples + 1) / (resamples + 1)
    return _effect(estimate, estimate + error * special.stdtrit(freedom, quantiles), n)


def pooled(effects: Sequence[Effect]) -> Effect:
    """Equal-weight mean over tasks, replicate by replicate; n is the smallest of the effects' n.

    Tasks are fixed, not sampled: the interval speaks of these tasks, and of new seeds.
    """
    replicates = np.mean([effect.replicates for effect in effects], axis=0)
    estimate = float(np.mean([effect.estimate for effect in effects]))
    return _effect(estimate, replicates, min(effect.n for effect in effects))


def weighted_sum(effects: Sequence[Effect], weights: Sequence[float]) -> Effect:
    """Sum of the effects times their weights, replicate by replicate; n is the smallest of the effects' n."""
    estimate = float(np.dot(weights, [effect.estimate for effect in effects]))
    replicates = np.dot(weights, [effect.replicates for effect in effects])
    return _effect(estimate, replicates, min(effect.n for effect in effects))


def difference(first: Effect, second: Effect) -> Effect:
    """First less second, replicate by replicate: paired if both come from the same seeds in the same roles."""
    return _effect(first.estimate - second.estimate, first.replicates - second.replicates, min(first.n, second.n))


def _effect(estimate: float, replicates: Floats, n: int) -> Effect:
    """Read the interval from the replicates: the k-th smallest and the k-th largest, k = 2.5 % of B + 1."""
    ordered = np.sort(replicates)
    k = max(1, math.floor(ALPHA / 2 * (replicates.size + 1)))
    return Effect(estimate, float(ordered[k - 1]), float(ordered[-k]), n, replicates)


def _widened(replicates: Floats, n: int) -> Floats:
    """Stretch the replicates about their median, each by the factor of its own rank (ties share one)."""
    middle = np.median(replicates)
    rank = stats.rankdata(replicates) / (replicates.size + 1)
    rank[rank == 0.5] = np.nextafter(0.5, 1)  # the median itself does not move; this only avoids 0 / 0
    factor = special.stdtrit(n - 1, rank) / special.ndtri(rank) * math.sqrt(n / (n - 1))
    return np.asarray(middle + (replicates - middle) * factor)
