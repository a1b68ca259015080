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
    "equals": lambda effect, value, _: 0.0 if effect.estimate == value else 1.0,
}
"""P-value of each test; the last holds or does not. ``inside`` and ``outside`` speak of ``around`` +- the bound."""
OPPOSITE = {"above": "below", "below": "above", "inside": "outside", "outside": "inside"}
JOIN = {"all": both, "any": either}
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


class Record(BaseModel):
    """A frozen row of claims.toml in which nothing may be left over or empty."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1, str_strip_whitespace=True)


class Condition(Record):
    """An effect, or each or some one of several by name or pattern, held against a bound; or conditions joined.

    ``fixed``: the bound is no margin, so that a judgement under other margins leaves it as it is.
    """

    all: tuple["Condition", ...] = ()
    any: tuple["Condition", ...] = ()
    each: str | tuple[str, ...] = ()
    some: str | tuple[str, ...] = ()
    effect: str | None = None
    above: float | None = None
    below: float | None = None
    inside: float | None = Field(default=None, gt=0)
    outside: float | None = Field(default=None, gt=0)
    equals: float | None = None
    around: float = 0.0
    fixed: bool = False

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum(map(bool, (self.all, self.any, self.each, self.some, self.effect))) != 1:
            raise ValueError("a condition takes one of effect, each, some, all and any")
        if sum(getattr(self, test) is not None for test in TESTS) != bool(self.subjects):
            raise ValueError(f"the condition on {', '.join(self.subjects) or 'others'} takes one of {', '.join(TESTS)}")
        return self

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names or patterns of the effects that are held against the bound; none where conditions are joined."""
        names = self.effect or self.each or self.some
        return (names,) if isinstance(names, str) else names

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
        if self.test not in OPPOSITE or self.some:
            raise ValueError(f"a part with {self.test or 'all or any'} must say when it fails")
        return self.model_copy(update={self.test: None, OPPOSITE[self.test]: self.bound})

    def leaves(self) -> list["Condition"]:
        """The conditions on effects that this one is made of, in order."""
        return [self] if self.subjects else [leaf for child in self.all + self.any for leaf in child.leaves()]

    def p_values(self, effects: Effects) -> list[float]:
        """One for each effect or joined condition. Raises StudyError where an effect is not there."""
        if self.all or self.any:
            return [condition.p(effects) for condition in self.all or self.any]
        return [TESTS[self.test](effects[name], self.bound, self.around) for name in meant(self.subjects, effects)]

    def p(self, effects: Effects) -> float:
        """P-value for "it holds"."""
        return JOIN["any" if self.any or self.some else "all"](*self.p_values(effects))

    def scaled(self, factor: float) -> "Condition":
        """The same with every bound that is a margin multiplied."""
        if self.subjects:
            return self if self.fixed else self.model_copy(update={self.test: factor * self.bound})
        children = {name: tuple(child.scaled(factor) for child in getattr(self, name)) for name in ("all", "any")}
        return self.model_copy(update=children)

    def worst(self, effects: Effects) -> Effect:
        """Of the effects meant, the one whose estimate speaks least for the condition."""
        found = [effects[name] for name in meant(self.subjects, effects)]
        sign = {"above": -1, "below": 1}.get(self.test)
        return max(found, key=lambda effect: sign * effect.estimate if sign else abs(effect.estimate - self.around))


class Part(Record):
    """A part of a claim: when it holds, and when it fails (the opposite, where nothing else is said).

    ``name``: what it speaks of, where a reader is told of parts apart. A part on ``each`` effect of several stands for
    as many parts.
    """

    holds: Condition
    fails: Condition
    name: str = Field(default="", min_length=0)

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

    def scaled(self, factor: float) -> "Part":
        """The same with every bound that is a margin multiplied."""
        return self.model_copy(update={"holds": self.holds.scaled(factor), "fails": self.fails.scaled(factor)})


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

    ``by_hand``: the words of a rule that no condition says; the chapter's analysis has its test. ``in_every_regime``:
    over all tasks it is supported only if each regime supports it. ``apart``: the word for parts that differ.
    """

    parts: tuple[Part, ...] = ()
    supported: Condition | How = "all"
    contradicted: Condition | How = "all"
    mixed: Condition | None = None
    by_hand: str | None = None
    in_every_regime: bool = False
    apart: Literal["mixed", "depends"] = "mixed"

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

    def told_apart(self, effects: Effects) -> dict[str, tuple[float, float]]:
        """By part, where there are several: p-values for "it holds" and "it fails", as told by itself."""
        names = [part.name or f"{ordinal} part" for ordinal, part in zip(ORDINALS, self.parts, strict=False)]
        pairs = [(part.holds.p(effects), part.fails.p(effects)) for part in self.parts]
        return dict(zip(names, pairs, strict=True)) if len(pairs) > 1 else {}

    def scaled(self, factor: float) -> "Rule":
        """The same with every bound that is a margin multiplied."""
        whole = {name: getattr(self, name) for name in ("supported", "contradicted", "mixed")}
        scaled = {name: node.scaled(factor) for name, node in whole.items() if isinstance(node, Condition)}
        return self.model_copy(update=scaled | {"parts": tuple(part.scaled(factor) for part in self.parts)})

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
