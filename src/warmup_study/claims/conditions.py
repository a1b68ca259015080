"""Rules as data: conditions on named effects, and the p-values of a claim's answers that follow from them.

A condition holds one effect against a bound, or joins others: ``all`` takes the largest of their p-values
(intersection-union test), ``any`` the smallest times their number (Bonferroni). A rule is a list of parts that hold or
fail each, or, where parts do not say it, a condition for each answer.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from warmup_study.errors import StudyError
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import both, either

Effects = Mapping[str, Effect]
Names = str | tuple[str, ...]  # a pattern with *, or the names themselves

TESTS: dict[str, Callable[[Effect, float, float], float]] = {
    "above": lambda effect, bound, _: effect.p_above(bound),
    "below": lambda effect, bound, _: effect.p_below(bound),
    "inside": lambda effect, bound, around: both(effect.p_above(around - bound), effect.p_below(around + bound)),
    "outside": lambda effect, bound, around: either(effect.p_above(around + bound), effect.p_below(around - bound)),
    "contains": lambda effect, value, _: 0.0 if effect.low <= value <= effect.high else 1.0,
    "equals": lambda effect, value, _: 0.0 if effect.estimate == value else 1.0,
}
"""P-value of each test; the last two hold or do not. ``inside`` and ``outside`` speak of ``around`` +- the bound."""
OPPOSITE = {"above": "below", "below": "above", "inside": "outside", "outside": "inside"}
JOIN = {"all": both, "any": either}


class Record(BaseModel):
    """A frozen row of claims.toml in which nothing may be left over or empty."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1, str_strip_whitespace=True)


class Bound(Record):
    """An effect, or each of several, held against a bound: ``{effect = "gain", above = 0.1}``."""

    effect: str | None = None
    each: Names | None = None
    above: float | None = None
    below: float | None = None
    inside: float | None = Field(default=None, gt=0)
    outside: float | None = Field(default=None, gt=0)
    contains: float | None = None
    equals: float | None = None
    around: float = 0.0

    @model_validator(mode="after")
    def _one_effect_and_one_test(self) -> Self:
        if (self.effect is None) == (self.each is None):
            raise ValueError("a condition names one effect, or the effects it says the same of as each")
        if sum(getattr(self, name) is not None for name in TESTS) != 1:
            raise ValueError(f"the condition on {self.effect or self.each!r} takes one of {', '.join(TESTS)}")
        return self

    @property
    def subject(self) -> Names:
        """The effects meant: a name, a pattern or several names."""
        return self.effect or self.each or ()

    @property
    def test(self) -> str:
        """Which of TESTS."""
        return next(name for name in TESTS if getattr(self, name) is not None)

    @property
    def bound(self) -> float:
        """What the effect is held against."""
        return float(getattr(self, self.test))

    def opposite(self) -> "Bound":
        """The condition that fails a claim whose part this is. Raises ValueError where there is none."""
        if self.test not in OPPOSITE:
            raise ValueError(f"a part that says {self.test} must say when it fails")
        return self.model_copy(update={self.test: None, OPPOSITE[self.test]: self.bound})

    def meant(self, effects: Effects) -> list[str]:
        """Names of the effects meant. Raises StudyError where one was not measured."""
        return named(self.subject, effects)

    def p_values(self, effects: Effects) -> list[float]:
        """One for each effect meant."""
        return [TESTS[self.test](effects[name], self.bound, self.around) for name in self.meant(effects)]

    def p(self, effects: Effects) -> float:
        """P-value for "each of them passes"."""
        return both(*self.p_values(effects))

    def worst(self, effects: Effects) -> Effect:
        """Of the effects meant, the one whose estimate speaks least for the condition."""
        estimates = {name: effects[name].estimate - self.around for name in self.meant(effects)}
        against = {"above": lambda name: -estimates[name], "below": lambda name: estimates[name]}
        return effects[max(estimates, key=against.get(self.test, lambda name: abs(estimates[name])))]


class AllOf(Record):
    """Every one of several conditions holds."""

    all: tuple["Condition", ...] = Field(min_length=1)

    def p(self, effects: Effects) -> float:
        """The largest p-value (intersection-union test)."""
        return both(*(condition.p(effects) for condition in self.all))


class Opposed(Record):
    """One of several effects lies above a value and another below it."""

    opposed: tuple[str, ...] = Field(min_length=2)
    around: float = 0.0

    def p_values(self, effects: Effects) -> list[float]:
        """One for each ordered pair of different effects."""
        found = {name: effects[name] for name in named(self.opposed, effects)}
        above, below = ({n: p(e, self.around, 0) for n, e in found.items()} for p in (TESTS["above"], TESTS["below"]))
        return [both(above[one], below[other]) for one in found for other in found if one != other]

    def p(self, effects: Effects) -> float:
        """The smallest over the pairs, times their number."""
        return either(*self.p_values(effects))


class AnyOf(Record):
    """At least one of several conditions holds."""

    any: tuple["Condition", ...] = Field(min_length=1)

    def p(self, effects: Effects) -> float:
        """The smallest p-value times their number (Bonferroni); opposed pairs count one by one."""
        groups = ([*c.p_values(effects)] if isinstance(c, Opposed) else [c.p(effects)] for c in self.any)
        return either(*(p for group in groups for p in group))


def _kind(node: Any) -> str:
    keys = node if isinstance(node, dict) else type(node).model_fields
    return next((name for name in ("all", "any", "opposed", "parts", "by_hand", "supported") if name in keys), "bound")


Condition = Annotated[
    Annotated[AllOf, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Opposed, Tag("opposed")]
    | Annotated[Bound, Tag("bound")],
    Discriminator(_kind),
]
AllOf.model_rebuild()
AnyOf.model_rebuild()


class Answers(NamedTuple):
    """One-sided p-values of a claim's answers, not adjusted; 1 where an answer cannot be given."""

    supported: float
    contradicted: float
    mixed: float = 1.0


def combined(parts: Sequence[tuple[float, float]], supported: str = "all", contradicted: str = "all") -> Answers:
    """The answers of a claim whose parts hold and fail with these p-values.

    Mixed: one part holds and another fails. As no part does both, the pair needs no other test than either and both.
    """
    holds, fails = zip(*parts, strict=True)
    mixed = both(either(*holds), either(*fails)) if len(parts) > 1 else 1.0
    return Answers(JOIN[supported](*holds), JOIN[contradicted](*fails), mixed)


class Part(Record):
    """A part of a claim: when it holds, and when it fails (the opposite, where nothing else is said).

    ``notebook``: the chapter that tests it, where it is not the claim's own. A part on ``each`` effect of a pattern
    stands for as many parts.
    """

    holds: Condition
    fails: Condition
    notebook: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        own = {name: row[name] for name in cls.model_fields if name in row}
        holds = own.setdefault("holds", {name: row[name] for name in row if name not in own})
        if "fails" not in own and _kind(holds) == "bound":
            own["fails"] = Bound.model_validate(holds).opposite()
        return own

    def p_values(self, effects: Effects) -> list[tuple[float, float]]:
        """P-values for "it holds" and "it fails": one pair, or one for each effect of several."""
        if isinstance(self.holds, Bound) and isinstance(self.fails, Bound):
            return list(zip(self.holds.p_values(effects), self.fails.p_values(effects), strict=True))
        return [(self.holds.p(effects), self.fails.p(effects))]


class Parts(Record):
    """A rule over parts: supported if all of them hold (or any), contradicted if all fail (or any)."""

    parts: tuple[Part, ...] = Field(min_length=1)
    supported: Literal["all", "any"] = "all"
    contradicted: Literal["all", "any"] = "all"

    def answers(self, effects: Effects) -> Answers:
        """The p-values. Raises StudyError where an effect was not measured."""
        pairs = [pair for part in self.parts for pair in part.p_values(effects)]
        return combined(pairs, self.supported, self.contradicted)

    def of(self, notebook: str) -> "Parts":
        """The parts that one chapter tests; "" stands for the claim's own chapter."""
        return self.model_copy(
            update={"parts": tuple(part for part in self.parts if (part.notebook or "") == notebook)}
        )


class Trees(Record):
    """A rule with a condition for each answer."""

    supported: Condition
    contradicted: Condition
    mixed: Condition | None = None

    def answers(self, effects: Effects) -> Answers:
        """The p-values. Raises StudyError where an effect was not measured."""
        mixed = self.mixed.p(effects) if self.mixed else 1.0
        return Answers(self.supported.p(effects), self.contradicted.p(effects), mixed)


class ByHand(Record):
    """A rule that no condition says: its words, with a test of its own in the chapter's analysis."""

    by_hand: str


Rule = Annotated[
    Annotated[Parts, Tag("parts")] | Annotated[Trees, Tag("supported")] | Annotated[ByHand, Tag("by_hand")],
    Discriminator(_kind),
]


def bounds(node: Any) -> list[Bound]:
    """The conditions on single effects that a rule, or a part of it, is made of, in order."""
    match node:
        case Bound():
            return [node]
        case Opposed():
            return [Bound(each=node.opposed, above=node.around)]
        case BaseModel():
            return bounds([getattr(node, name) for name in type(node).model_fields])
        case tuple() | list():
            return [bound for child in node for bound in bounds(child)]
    return []


def named(subject: Names, effects: Effects) -> list[str]:
    """Names of the measured effects that are meant. Raises StudyError where there is none of a name or pattern."""
    asked = (subject,) if isinstance(subject, str) else subject
    found = {name: [effect for effect in effects if fnmatchcase(effect, name)] for name in asked}
    for name in asked:
        if not found[name]:
            raise StudyError(f"effect: got {name!r}; takes one of {', '.join(effects)}")
    return [effect for name in asked for effect in found[name]]
