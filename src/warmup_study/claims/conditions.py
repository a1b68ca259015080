"""Rules as data: conditions on named effects, and the p-values of a claim's answers that follow from them.

A condition holds one effect against a bound, or joins others: ``all`` takes the largest of their p-values
(intersection-union test), ``any`` the smallest times their number (Bonferroni). A rule is a list of parts, each of
which holds or fails, or, where parts do not say it, a condition for each answer.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from warmup_study.errors import StudyError
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import both, either

Effects = Mapping[str, Effect]
How = Literal["all", "any"]

TESTS: dict[str, Callable[[Effect, float, float], float]] = {
    "above": lambda effect, bound, _: effect.p_above(bound),
    "below": lambda effect, bound, _: effect.p_below(bound),
    "inside": lambda effect, bound, around: effect.p_inside(bound, around),
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


class Condition(Record):
    """An effect, or each of several by name or pattern, held against a bound; or conditions joined.

    ``opposed``: one of the effects lies above ``around`` and another below.
    """

    all: tuple["Condition", ...] = ()
    any: tuple["Condition", ...] = ()
    opposed: tuple[str, ...] = ()
    each: str | tuple[str, ...] = ()
    effect: str | None = None
    above: float | None = None
    below: float | None = None
    inside: float | None = Field(default=None, gt=0)
    outside: float | None = Field(default=None, gt=0)
    contains: float | None = None
    equals: float | None = None
    around: float = 0.0

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum(map(bool, (self.all, self.any, self.opposed, self.each, self.effect))) != 1:
            raise ValueError("a condition takes one of effect, each, all, any and opposed")
        if sum(getattr(self, test) is not None for test in TESTS) != bool(self.subjects):
            raise ValueError(f"the condition on {', '.join(self.subjects) or 'others'} takes one of {', '.join(TESTS)}")
        return self

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names or patterns of the effects that are held against the bound; none where conditions are joined."""
        return (self.effect,) if self.effect else (self.each,) if isinstance(self.each, str) else self.each

    @property
    def test(self) -> str:
        """Which of TESTS; "" where conditions are joined."""
        return next((test for test in TESTS if getattr(self, test) is not None), "")

    @property
    def bound(self) -> float:
        """What the effects are held against."""
        return float(getattr(self, self.test))

    def opposite(self) -> "Condition":
        """The condition that fails a claim whose part this is. Raises ValueError where it does not follow."""
        if self.test not in OPPOSITE:
            raise ValueError(f"a part with {self.test or 'all, any or opposed'} must say when it fails")
        return self.model_copy(update={self.test: None, OPPOSITE[self.test]: self.bound})

    def leaves(self) -> list["Condition"]:
        """The conditions on effects that this one is made of, in order."""
        return [self] if self.subjects else [leaf for child in self.all + self.any for leaf in child.leaves()]

    def p_values(self, effects: Effects) -> list[float]:
        """One for each effect, joined condition or opposed pair. Raises StudyError where an effect is not there."""
        if self.opposed:
            above, below = (Condition(each=self.opposed, **{side: self.around}) for side in ("above", "below"))
            pairs = (above.p_values(effects), below.p_values(effects))
            return [both(a, b) for i, a in enumerate(pairs[0]) for j, b in enumerate(pairs[1]) if i != j]
        if self.any:  # opposed pairs count one by one
            return [p for c in self.any for p in (c.p_values(effects) if c.opposed else [c.p(effects)])]
        if self.all:
            return [condition.p(effects) for condition in self.all]
        return [TESTS[self.test](effects[name], self.bound, self.around) for name in meant(self.subjects, effects)]

    def p(self, effects: Effects) -> float:
        """P-value for "it holds"."""
        return JOIN["any" if self.any or self.opposed else "all"](*self.p_values(effects))

    def worst(self, effects: Effects) -> Effect:
        """Of the effects meant, the one whose estimate speaks least for the condition."""
        found = [effects[name] for name in meant(self.subjects, effects)]
        sign = {"above": -1, "below": 1}.get(self.test)
        return max(found, key=lambda effect: sign * effect.estimate if sign else abs(effect.estimate - self.around))


class Part(Record):
    """A part of a claim: when it holds, and when it fails (the opposite, where nothing else is said).

    ``notebook``: the chapter that tests it, where it is not the claim's own. A part on ``each`` effect of several
    stands for as many parts.
    """

    holds: Condition
    fails: Condition
    notebook: str = Field(default="", min_length=0)

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, row: Any) -> Any:
        """Take a bare condition for ``holds``, and its opposite for ``fails``."""
        own = {name: row[name] for name in cls.model_fields if name in row}
        own.setdefault("holds", {name: row[name] for name in row if name not in own})
        return {"fails": Condition.model_validate(own["holds"]).opposite()} | own if "fails" not in own else own

    def p_values(self, effects: Effects) -> list[tuple[float, float]]:
        """P-values for "it holds" and "it fails": one pair, or one for each effect of several."""
        if self.holds.each and self.fails.each:
            return list(zip(self.holds.p_values(effects), self.fails.p_values(effects), strict=True))
        return [(self.holds.p(effects), self.fails.p(effects))]


class Answers(NamedTuple):
    """One-sided p-values of a claim's answers, not adjusted; 1 where an answer cannot be given."""

    supported: float
    contradicted: float
    mixed: float = 1.0


def combined(parts: Sequence[tuple[float, float]], supported: How = "all", contradicted: How = "all") -> Answers:
    """The answers of a claim whose parts hold and fail with these p-values.

    Mixed: one part holds and another fails. As no part does both, it is enough that any holds and any fails.
    """
    holds, fails = zip(*parts, strict=True)
    mixed = both(either(*holds), either(*fails)) if len(parts) > 1 else 1.0
    return Answers(JOIN[supported](*holds), JOIN[contradicted](*fails), mixed)


class Rule(Record):
    """What decides a claim: parts, and whether all or any of them must hold or fail; or a condition for each answer.

    ``by_hand``: the words of a rule that no condition says; the chapter's analysis has its test.
    """

    parts: tuple[Part, ...] = ()
    supported: Condition | How = "all"
    contradicted: Condition | How = "all"
    mixed: Condition | None = None
    by_hand: str | None = None

    @model_validator(mode="after")
    def _is_one_rule(self) -> Self:
        whole = isinstance(self.supported, Condition) and isinstance(self.contradicted, Condition)
        if [bool(self.parts), whole, self.by_hand is not None].count(True) != 1:
            raise ValueError("takes parts, or conditions for supported and contradicted, or by_hand")
        return self

    def answers(self, effects: Effects) -> Answers:
        """The p-values. Raises StudyError where an effect was not measured."""
        if isinstance(self.supported, Condition) and isinstance(self.contradicted, Condition):
            mixed = self.mixed.p(effects) if self.mixed else 1.0
            return Answers(self.supported.p(effects), self.contradicted.p(effects), mixed)
        pairs = [pair for part in self.parts for pair in part.p_values(effects)]
        return combined(pairs, self.supported, self.contradicted)  # type: ignore[arg-type]  # checked above

    def leaves(self) -> list[Condition]:
        """All conditions on effects, in order."""
        nodes = [self.supported, self.contradicted, *(node for part in self.parts for node in (part.holds, part.fails))]
        return [leaf for node in nodes if isinstance(node, Condition) for leaf in node.leaves()]


def meant(names: Sequence[str], effects: Effects) -> list[str]:
    """The measured effects that names and patterns mean. Raises StudyError where there is none."""
    found = {name: [effect for effect in effects if fnmatchcase(effect, name)] for name in names}
    for name in names:
        if not found[name]:
            raise StudyError(f"effect: got {name!r}; takes one of {', '.join(effects)}")
    return [effect for name in names for effect in found[name]]
