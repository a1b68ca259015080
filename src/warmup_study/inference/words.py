"""Verdicts: from the p-values of a claim's answers to a word, adjusted for the number of claims."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict
from statsmodels.stats.multitest import multipletests

from warmup_study.inference.effects import ALPHA, LEVEL, Effect, Floats

Word = Literal["supported", "contradicted", "mixed", "inconclusive"]
Decision = Literal["above", "inside", "below", "undecided"]

MIN_SEEDS = 5  # fewer independent seeds never decide a claim


def decide(effect: Effect, margin: float) -> Decision:
    """Where the effect's 95 % interval lies."""
    return place(effect.low, effect.high, margin)


def place(low: float, high: float, margin: float) -> Decision:
    """Where an interval lies: wholly above the margin, inside +-margin, below -margin, or none of these."""
    if low > margin:
        return "above"
    if high < -margin:
        return "below"
    return "inside" if -margin < low and high < margin else "undecided"


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
    return value if value is None or isfinite(value) else None


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

    @property
    def answers(self) -> tuple[float, float, float]:
        """P-values for supported, contradicted and mixed; 1 where an answer was not asked for."""
        values = (self.p_supported, self.p_contradicted, self.p_mixed)
        supported, contradicted, mixed = (1.0 if value is None else value for value in values)
        return supported, contradicted, mixed

    @property
    def p_alone(self) -> float:
        """The claim's p-value before the correction for the number of claims."""
        return two_sided(*self.answers)

    @property
    def alone(self) -> Word:
        """The word that the claim would have if no other had been tested."""
        supported, contradicted, mixed = self.answers
        return judge(supported, contradicted, self.n, p_mixed=mixed)


def with_holm(verdicts: Sequence[Verdict], alpha: float = ALPHA) -> list[Verdict]:
    """Adjust over the claims and judge again; order kept.

    Holm runs within each task and, on its own, over the rows of task "all": one p-value per claim in either. An "all"
    row then reads `mixed` if the adjusted rows of its tasks disagree.
    """
    adjusted = list(verdicts)
    for task in {verdict.task for verdict in verdicts}:
        rows = [row for row, verdict in enumerate(verdicts) if verdict.task == task and verdict.p_supported is not None]
        for row, p in zip(rows, holm(verdicts[row].p_alone for row in rows), strict=True):
            adjusted[row] = _judged(verdicts[row], float(p), alpha)
    return [_mixed_if_tasks_disagree(verdict, adjusted) for verdict in adjusted]


def _judged(verdict: Verdict, p_holm: float, alpha: float) -> Verdict:
    word = _word(p_holm, verdict.answers, verdict.n, alpha)
    return verdict.model_copy(update={"p_holm": p_holm, "verdict": word})


def _mixed_if_tasks_disagree(verdict: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    if verdict.task != "all":
        return verdict
    words = [other.verdict for other in verdicts if other.id == verdict.id and other.task != "all"]
    return verdict.model_copy(update={"verdict": over_tasks(words, verdict.verdict)})
