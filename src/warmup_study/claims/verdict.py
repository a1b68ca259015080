"""Rows of verdicts.json."""

from math import isfinite
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

from warmup_study.statistics.bootstrap import ALPHA, LEVEL, Effect
from warmup_study.statistics.decisions import MIN_SEEDS, Decision, Word, decide, likeliest, two_sided, word_of

ALL = "all"


def _finite_or_none(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    return value if value is None or isfinite(value) else None


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]


class Part(BaseModel):
    """One effect that a claim rests on, held against its margin (both in `unit`)."""

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


class Statement(BaseModel):
    """A part of a claim that is told by itself: one-sided p-values for "it holds" and "it fails", and its word."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    p_holds: float
    p_fails: float
    word: Word = "inconclusive"


class Verdict(BaseModel):
    """One row of verdicts.json. Numbers that are not finite are stored as null.

    There are three kinds. The row of a task (`task` is its name) shows its interval and no word. The row of a regime
    (`task` is "all", `regime` its name) is the mean over the regime's tasks. The row over all tasks (`task` is "all",
    `regime` empty) answers the claim. `conditions` are those of claims.toml, of which `rule` is the text; `place` is
    where the interval lies relative to +-`margin`; `left_out` says why a task does not count; `regimes` are the words
    of the regimes; `statements` the parts of the claim that are told apart; `why_open` says what keeps a row open.

    The p-values of the answers are one-sided; `p_depends` belongs to "regimes disagree" and is two-sided. All are null
    where nothing is estimated (an exact audit), and the word then stands as given. `p_adjusted` is the claim's p-value
    after its correction, `p_yekutieli` that which Benjamini and Yekutieli's would give. Fields of an earlier round's
    rows that are no longer known are passed over.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

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
    why_open: str = ""
    regime: str = ""
    notebook: str
    figure: str
    task: str
    place: Decision = "undecided"
    headline: int = 0
    seeds_needed: int | None = None
    left_out: dict[str, str] = {}
    regimes: dict[str, Word] = {}
    statements: tuple[Statement, ...] = ()
    robust: str = ""
    p_supported: Number = None
    p_contradicted: Number = None
    p_mixed: Number = None
    p_depends: Number = None
    p_adjusted: Number = None
    p_yekutieli: Number = None
    parts: tuple[Part, ...] = ()

    @property
    def over_all(self) -> bool:
        """Whether this is the claim's row over all tasks."""
        return self.task == ALL and not self.regime

    @property
    def too_small_to_matter(self) -> bool:
        """Whether the claim is contradicted because its effect is surely smaller than any of interest."""
        return self.verdict == "contradicted" and self.place == "inside"

    @property
    def answers(self) -> tuple[float, float, float]:
        """P-values for supported, contradicted and mixed; 1 where an answer was not asked for."""
        values = (self.p_supported, self.p_contradicted, self.p_mixed)
        supported, contradicted, mixed = (1.0 if value is None else value for value in values)
        return supported, contradicted, mixed

    @property
    def p_alone(self) -> float:
        """The claim's p-value before the correction for the number of claims."""
        return min(two_sided(*self.answers), 1.0 if self.p_depends is None else self.p_depends)

    @property
    def alone(self) -> Word:
        """The word that the claim would have if no other had been tested."""
        return self.word(1.0)

    @property
    def likeliest(self) -> Word:
        """The answer for which the data speak most, however little that may be."""
        return likeliest(self.answers)

    def word(self, adjustment: float) -> Word:
        """The word where a correction raises the claim's p-value by a factor."""
        if self.n >= MIN_SEEDS and self.p_depends is not None and adjustment * self.p_depends <= ALPHA:
            return "depends"
        word = word_of(self.answers, self.n, adjustment)
        return self.conditions.get("apart", word) if word == "mixed" else word
