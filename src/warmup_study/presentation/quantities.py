"""Effects in a reader's words: percent and factors in place of logarithms, "lower" and "higher" in place of signs."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from warmup_study.claims.prose import listed
from warmup_study.claims.table import Claim, claim
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.presentation.changes import FACTOR, compared
from warmup_study.presentation.formatting import NO_BREAK, number, percent
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import Decision

COSTS = ("excess loss", "log loss", "loss after", "early box loss", "regret")
"""Effects on the loss whose names begin so are larger where the loss is higher; all others are gains."""
DIFFERENCES = (" less ", "added gain", "change of the gain")
"""Effects whose names hold this are differences between two gains, or between two costs."""
DECISION_WORDS: dict[Decision, str] = {
    "above": "clearly more",
    "inside": "too small to matter",
    "below": "clearly less",
    "undecided": "open",
}
"""Where an interval lies relative to the smallest effect that matters, in a word."""
GAIN_WORDS: dict[Decision, str] = DECISION_WORDS | {"above": "clearly better", "below": "clearly worse"}
"""The same of gains, which compare losses."""

NEARLY_ONE = 0.995  # what two digits would round to 1
_SIDES = {"lower loss", "higher loss", "more gain", "less gain"}  # what may follow the amount of a change


class Quantity(NamedTuple):
    """An amount and the words that follow it: "12 %", "lower loss"."""

    amount: str
    words: str

    def __str__(self) -> str:
        return f"{self.amount} {self.words}".strip()


Render = Callable[[float, bool], Quantity]  # of a value, by factor or not


def main_effect(row: Claim) -> str:
    """The name of the effect that a claim's verdict shows as its own; empty where it is an exact audit."""
    return row.estimate or next((leaf.subjects[0] for leaf in row.conditions.leaves()), "")


def measured(found: Verdict | Part, effect: str) -> str:
    """Estimate and interval of the effect of that name: "12 % lower loss (8 % to 16 %)"; a dash without an estimate."""
    if found.estimate is None:
        return "–"
    render = _render(found.unit, effect)
    if found.ci_low is None or found.ci_high is None:
        return str(render(found.estimate, False))
    return _with_interval(render, effect, found.estimate, found.ci_low, found.ci_high)


def loss_change(found: Effect, name: str) -> str:
    """The same of a log ratio of losses, or of a difference of such: its name tells which: "17 % less gain"."""
    return _with_interval(_of_losses(name), name, found.estimate, found.low, found.high)


def grouped(words: Mapping[str, str]) -> str:
    """Names after the word that holds for them, each word once: "more with Adam and less with SGD"."""
    told = [f"{word} {names}" for word, names in by_word(words).items()]
    return (" and " if len(told) < 3 else "; ").join(told)


def by_word(words: Mapping[str, str]) -> dict[str, str]:
    """The names for which each word holds, one after the other: {"more": "Adam and Lion"}."""
    return {word: listed([name for name, mine in words.items() if mine == word]) for word in words.values()}


def _with_interval(render: Render, effect: str, estimate: float, low: float, high: float) -> str:
    worst = -high if is_cost(effect) else low
    by_factor = worst <= -FACTOR
    value, *ends = (render(each, by_factor) for each in (estimate, low, high))
    if len({end.words for end in (value, *ends)}) == 1:
        if value.words in _SIDES and abs(low) > abs(high):
            ends.reverse()  # from the smaller change to the larger
        return f"{value} ({ends[0].amount} to {ends[1].amount})"
    return f"{value} ({ends[0]} to {ends[1]})"


def evidence(
    verdict: Verdict, words: Mapping[str, str] = MappingProxyType({}), no_case: str = "no case to test"
) -> str:
    """The numbers behind a verdict, for a bracket, with n.

    `words` maps names of the claim's parts, or "estimate" for the verdict's own, to a text with {} for the effect;
    without it, the estimate is shown. `no_case` stands in for a verdict without any numbers.
    """
    if verdict.estimate is None and not verdict.parts:
        return no_case
    effects = {part.name: measured(part, part.name) for part in verdict.parts}
    effects["estimate"] = measured(verdict, main_effect(claim(verdict.id)))
    shown = [text.format(effects[name]) for name, text in words.items() if name in effects] or [effects["estimate"]]
    return "; ".join([*shown, basis(verdict)])


def basis(verdict: Verdict) -> str:
    """What a verdict's numbers rest on: "95 % intervals; n = 20"; without the level where there is no interval."""
    level = [f"{percent(verdict.level)} intervals"] if verdict.ci_low is not None else []
    return "; ".join([*level, f"n{NO_BREAK}={NO_BREAK}{verdict.n:,}"])


def told_apart(verdict: Verdict) -> str:
    """The words of a claim's parts where they differ: "above it: supported; at the best one: inconclusive"."""
    words = {statement.word for statement in verdict.statements}
    return "; ".join(f"{each.name}: {each.word}" for each in verdict.statements) if len(words) > 1 else ""


def _render(unit: str, effect: str) -> Render:
    if is_loss(unit):
        return _of_losses(effect)
    if unit.startswith(("log ratio", "mean log ratio")):
        return _factor(math.e, "")
    return _RENDERS.get(unit, _plain(unit))


def _of_losses(effect: str) -> Render:
    words = ("more gain", "less gain") if _is_difference(effect) else ("lower loss", "higher loss")
    return _gain(*words, sign=-1 if is_cost(effect) else 1)


def is_loss(unit: str) -> bool:
    """Whether an effect in this unit compares two losses."""
    return "loss" in unit and unit.startswith("log ratio")


def _is_difference(effect: str) -> bool:
    return any(part in effect for part in DIFFERENCES)


def is_cost(effect: str) -> bool:
    """Whether an effect on the loss is larger where the loss is higher."""
    return effect.startswith(COSTS)


def _gain(better: str, worse: str, sign: int) -> Render:
    return lambda value, by_factor: _log_ratio(sign * value, by_factor, better, worse)


def _log_ratio(gain: float, by_factor: bool, better: str, worse: str) -> Quantity:
    amount = compared(gain, by_factor).rpartition(" ")[0]  # without its own "lower" or "higher"
    return Quantity(amount, better if gain >= 0 else worse)


def _factor(base: float, words: str) -> Render:
    return lambda value, _: Quantity(f"{_told_from_one(base**value)}{NO_BREAK}×", words)


def _told_from_one(value: float) -> str:
    """A number in two digits; in three from about 1 to 2, or −1 to −2, where a reader compares it with 1."""
    return f"{value:.2f}".replace("-", "−") if NEARLY_ONE <= abs(value) < 2 else number(value)


def _scaled(factor: float, sign: str, words: str) -> Render:
    return lambda value, _: Quantity(f"{_told_from_one(factor * value)}{sign}", words)


def _plain(unit: str) -> Render:
    return lambda value, _: Quantity(_told_from_one(value), unit)


_RENDERS: dict[str, Render] = {
    "decades": _factor(10, "the range of learning rates"),
    "doublings": _factor(2, "the largest learning rate"),
    "share of the ramp's gain": _scaled(100, f"{NO_BREAK}%", "of the ramp's gain"),
    "share of units": _scaled(100, "", "percentage points of units"),
    "share of seeds": _scaled(100, "", "percentage points of seeds"),
    "largest deviation of the LR": _scaled(1, "", "deviation at most"),
    "ratio of variances": _scaled(1, f"{NO_BREAK}×", "the variance"),
    "ratio of first to settled update": _scaled(1, f"{NO_BREAK}×", "the settled size"),
}
