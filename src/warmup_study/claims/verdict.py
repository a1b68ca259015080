"""Rows of verdicts.json, adjusted for the number of claims."""

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

from warmup_study.statistics.bootstrap import ALPHA, LEVEL, Effect
from warmup_study.statistics.decisions import Decision, Word, decide, holm, judge, over_tasks, two_sided, word_of


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

    `conditions` are those of claims.toml, of which `rule` is the text. `task` is a task's name, or "all" for the row
    over all tasks. The p-values of the answers are one-sided and not
    adjusted; all are null where nothing is estimated (an exact audit), and the word then stands as given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str = ""
    claim: str
    source: str
    rule: str
    conditions: dict[str, Any] = {}
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
    word = word_of(p_holm, verdict.answers, verdict.n, alpha)
    return verdict.model_copy(update={"p_holm": p_holm, "verdict": word})


def _mixed_if_tasks_disagree(verdict: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    if verdict.task != "all":
        return verdict
    words = [other.verdict for other in verdicts if other.id == verdict.id and other.task != "all"]
    return verdict.model_copy(update={"verdict": over_tasks(words, verdict.verdict)})
