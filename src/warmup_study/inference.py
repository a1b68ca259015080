"""From paired seeds to a verdict: bootstrap intervals, equivalence, multiplicity.

An effect carries its whole bootstrap distribution, and the interval, the one-sided p-values and the decisions are all
read from that one distribution, so that they can never disagree.

The distribution is the percentile bootstrap with its tails widened for small samples (Hesterberg 2015, The American
Statistician 69): scipy draws the replicates, and their distance to the median is stretched by sqrt(n / (n - 1)) t / z,
t and z being the Student (n - 1) and normal quantiles of the replicate's own rank. Plain percentile and BCa intervals
are too short below some 20 seeds, and the studentised bootstrap breaks down on ties. The tests measure the coverage.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

Floats = npt.NDArray[np.float64]
Word = Literal["supported", "contradicted", "mixed", "inconclusive"]
Decision = Literal["above", "inside", "below", "undecided"]

LEVEL = 0.95
ALPHA = 0.05
RESAMPLES = 9999  # one less than a multiple of 40, so that the 2.5 % quantile is a replicate
MIN_SEEDS = 5  # fewer independent seeds never decide a claim
_SEED = 20170608


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

    def p_inside(self, margin: float) -> float:
        """Equivalence within +-`margin`: the larger of two one-sided p-values (TOST, Schuirmann 1987)."""
        return max(self.p_above(-margin), self.p_below(margin))

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
    groups = tuple(np.arange(size) for size in (n, *also))
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
    quantiles = np.arange(1, resamples + 1) / (resamples + 1)
    return _effect(estimate, estimate + error * special.stdtrit(freedom, quantiles), n)


def pooled(effects: Sequence[Effect]) -> Effect:
    """Equal-weight mean over tasks, replicate by replicate; n is the smallest of the effects' n.

    Tasks are fixed, not sampled: the interval speaks of these tasks, and of new seeds.
    """
    replicates = np.mean([effect.replicates for effect in effects], axis=0)
    estimate = float(np.mean([effect.estimate for effect in effects]))
    return _effect(estimate, replicates, min(effect.n for effect in effects))


def difference(first: Effect, second: Effect) -> Effect:
    """First less second, replicate by replicate: paired if both come from the same seeds in the same roles."""
    return _effect(first.estimate - second.estimate, first.replicates - second.replicates, min(first.n, second.n))


def blurred(effect: Effect, step: float) -> Effect:
    """Add what a grid hides to a difference of two limits, each known only to lie within `step` above a grid point.

    Every replicate draws both limits uniformly between their grid points, so the interval widens, also from no width.
    """
    hidden = np.random.default_rng([_SEED, effect.n]).uniform(0, step, (2, effect.replicates.size))
    return _effect(effect.estimate, effect.replicates + hidden[0] - hidden[1], effect.n)


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


def decide(effect: Effect, margin: float) -> Decision:
    """Where the 95 % interval lies: wholly above the margin, inside +-margin, below -margin, or none of these."""
    if effect.low > margin:
        return "above"
    if effect.high < -margin:
        return "below"
    return "inside" if -margin < effect.low and effect.high < margin else "undecided"


def holm(p_values: Iterable[float]) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given."""
    values = np.asarray(list(p_values), dtype=float)
    return np.asarray(multipletests(values, method="holm")[1]) if values.size else values


def both(*p_values: float) -> float:
    """P-value for "every condition holds": the largest one (intersection-union test)."""
    return max(p_values)


def either(*p_values: float) -> float:
    """P-value for "at least one condition holds": the smallest one times their number (Bonferroni)."""
    return min(1.0, len(p_values) * min(p_values))


def two_sided(p_supported: float, p_contradicted: float, p_mixed: float = 1.0) -> float:
    """The claim's p-value: that of the likeliest answer, doubled because the data chose it.

    Twice is enough for three answers: whichever is true, at most two others are false.
    """
    return min(1.0, 2 * min(p_supported, p_contradicted, p_mixed))


def judge(p_supported: float, p_contradicted: float, seeds: int, alpha: float = ALPHA, p_mixed: float = 1.0) -> Word:
    """Turn the one-sided p-values of a claim's answers into a word; under MIN_SEEDS seeds nothing is decided.

    `p_mixed` belongs to "one part of the claim holds and another fails", for claims of several parts.
    """
    p = two_sided(p_supported, p_contradicted, p_mixed)
    return _word(p, (p_supported, p_contradicted, p_mixed), seeds, alpha)


def over_tasks(words: Iterable[Word], pooled_word: Word) -> Word:
    """`mixed` when the tasks that decide a claim decide it differently, else the pooled word.

    A mean over tasks can be carried by one of them; it must not speak for the others against their own verdicts.
    """
    decided = set(words) - {"inconclusive"}
    return "mixed" if len(decided) > 1 else pooled_word


def _word(p: float, answers: tuple[float, float, float], seeds: int, alpha: float) -> Word:
    """The answer that `p`, the claim's adjusted p-value, still allows; both of two opposite answers make "mixed"."""
    if seeds < MIN_SEEDS or p > alpha:
        return "inconclusive"
    adjustment = p / min(answers)
    supported, contradicted, mixed = (adjustment * answer <= alpha for answer in answers)
    if mixed or supported == contradicted:
        return "mixed"
    return "supported" if supported else "contradicted"


def _finite_or_none(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    return value if value is None or math.isfinite(value) else None


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]


class Part(BaseModel):
    """One condition of a claim: an effect held against its margin (both in `unit`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    estimate: Number
    ci_low: Number
    ci_high: Number
    margin: Number
    unit: str
    n: int
    decision: Decision

    @classmethod
    def of(cls, name: str, effect: Effect, margin: float, unit: str) -> Self:
        """Hold `effect` against +-`margin`."""
        return cls(
            name=name,
            estimate=effect.estimate,
            ci_low=effect.low,
            ci_high=effect.high,
            margin=margin,
            unit=unit,
            n=effect.n,
            decision=decide(effect, margin),
        )


class Verdict(BaseModel):
    """One row of verdicts.json. Numbers that are not finite are stored as null.

    `task` is a task's name, or "all" for the row over all tasks. The p-values of the answers are one-sided and not
    adjusted; all are null where nothing is estimated (an exact audit), and the word then stands as given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    claim: str
    source: str
    rule: str
    endpoint: str
    estimate: Number
    ci_low: Number
    ci_high: Number
    level: float = LEVEL
    n: int
    unit: str
    margin: Number
    verdict: Word
    notebook: str
    figure: str
    task: str
    p_supported: Number = None
    p_contradicted: Number = None
    p_mixed: Number = None
    p_holm: Number = None
    parts: tuple[Part, ...] = ()


def with_holm(verdicts: Sequence[Verdict], alpha: float = ALPHA) -> list[Verdict]:
    """Adjust over the claims and judge again; order kept.

    Holm runs within each task and, on its own, over the rows of task "all": one p-value per claim in either. An "all"
    row then reads `mixed` if the adjusted rows of its tasks disagree.
    """
    adjusted = list(verdicts)
    for task in {verdict.task for verdict in verdicts}:
        rows = [row for row, verdict in enumerate(verdicts) if verdict.task == task and verdict.p_supported is not None]
        for row, p in zip(rows, holm(two_sided(*_answers(verdicts[row])) for row in rows), strict=True):
            adjusted[row] = _judged(verdicts[row], float(p), alpha)
    return [_mixed_if_tasks_disagree(verdict, adjusted) for verdict in adjusted]


def _answers(verdict: Verdict) -> tuple[float, float, float]:
    values = (verdict.p_supported, verdict.p_contradicted, verdict.p_mixed)
    supported, contradicted, mixed = (1.0 if value is None else value for value in values)
    return supported, contradicted, mixed


def _judged(verdict: Verdict, p_holm: float, alpha: float) -> Verdict:
    word = _word(p_holm, _answers(verdict), verdict.n, alpha)
    return verdict.model_copy(update={"p_holm": p_holm, "verdict": word})


def _mixed_if_tasks_disagree(verdict: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    if verdict.task != "all":
        return verdict
    words = [other.verdict for other in verdicts if other.id == verdict.id and other.task != "all"]
    return verdict.model_copy(update={"verdict": over_tasks(words, verdict.verdict)})
