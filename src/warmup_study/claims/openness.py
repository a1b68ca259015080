"""Why a row is open: too few seeds, and how many would do; a part undecided; a correction; nothing to test."""

import math
from collections.abc import Mapping, Sequence

from scipy import special

from warmup_study.claims.conditions import Condition, Effects, Part, Rule, meant
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.bootstrap import ALPHA, LEVEL, Effect
from warmup_study.statistics.decisions import MIN_SEEDS, Word

POWER = 0.8
MOST = 10_000  # seeds beyond which a number says no more than that the effect lies at its margin
NOT_REACHED = "not reached in the fixed sequence"
NO_CASE = "no case to test"


def reach(power: float = POWER) -> float:
    """How far from its bound an effect must lie to be found with that probability, in half-widths of its interval.

    Half an interval is z(0.975) standard errors; the estimate must lie beyond it, so the effect has to be z(0.975) +
    z(power) standard errors away (Cohen 1988, chapter 2).
    """
    beyond = special.ndtri(1 - (1 - LEVEL) / 2)
    return float((beyond + special.ndtri(power)) / beyond)


def seeds_needed(rule: Rule, effects: Effects) -> int | None:
    """Seeds with which these estimates would decide the claim in four studies of five; None where no number would."""
    if isinstance(rule.supported, Condition) and isinstance(rule.contradicted, Condition):
        answers = [node for node in (rule.supported, rule.contradicted, rule.mixed) if isinstance(node, Condition)]
        needed = min(_needed(node, effects) for node in answers)
    else:
        needed = min(_by_parts(rule, effects))
    return math.ceil(needed) if needed <= MOST else None


def _by_parts(rule: Rule, effects: Effects) -> list[float]:
    holds, fails = zip(*(pair for part in rule.parts for pair in _of_part(part, effects)), strict=True)
    join = {"all": max, "any": min}
    mixed = [max(min(holds), min(fails))] if len(holds) > 1 else []
    return [join[str(rule.supported)](holds), join[str(rule.contradicted)](fails), *mixed]


def _of_part(part: Part, effects: Effects) -> list[tuple[float, float]]:
    if part.holds.each and part.fails.each:
        return list(zip(_each(part.holds, effects), _each(part.fails, effects), strict=True))
    return [(_needed(part.holds, effects), _needed(part.fails, effects))]


def _needed(condition: Condition, effects: Effects) -> float:
    if condition.all or condition.any:
        join = max if condition.all else min
        return join(_needed(child, effects) for child in condition.all or condition.any)
    return (min if condition.some else max)(_each(condition, effects))


def _each(condition: Condition, effects: Effects) -> list[float]:
    return [_of_effect(condition, effects[name]) for name in meant(condition.subjects, effects)]


def _of_effect(condition: Condition, effect: Effect) -> float:
    """Seeds with which the interval would clear the bound: its half-width shrinks with the root of their number."""
    below, above = effect.estimate - effect.low, effect.high - effect.estimate
    off, bound = effect.estimate - condition.around, condition.bound
    distance, half = {
        "above": (effect.estimate - bound, below),
        "below": (bound - effect.estimate, above),
        "inside": (bound - abs(off), max(below, above)),
        "outside": (abs(off) - bound, max(below, above)),
        "equals": (0.0 if effect.estimate != bound else math.inf, 0.0),
    }[condition.test]
    return effect.n * (half * reach() / distance) ** 2 if distance > 0 else math.inf


def why_open(row: Verdict, word: Word, p_adjusted: float | None, reached: bool = True) -> str:
    """Why a row with this word is open, in a phrase; empty where it is decided, or gives no word."""
    if word != "inconclusive":
        return ""
    if row.estimate is None:
        return left_out_in_words(row.left_out) or NO_CASE
    if not reached:
        return NOT_REACHED
    if row.n < MIN_SEEDS:
        return f"n too small: {MIN_SEEDS} seeds are the fewest that decide"
    if p_adjusted is not None and row.p_alone <= ALPHA < p_adjusted:
        return f"p {row.p_alone:.2g} before, {p_adjusted:.2g} after correction"
    return _undecided_parts(row) or _too_few(row.seeds_needed)


def _undecided_parts(row: Verdict) -> str:
    """Names of the parts that are undecided, where others are decided."""
    names = [statement.name for statement in row.statements if statement.word == "inconclusive"]
    return f"{' and '.join(names)} undecided" if 0 < len(names) < len(row.statements) else ""


def _too_few(needed: int | None) -> str:
    if needed is None:
        return f"at its margin: more than {MOST:,} seeds would be needed"
    return f"n too small: about {_rounded(needed):,} seeds would do"


def _rounded(number: int) -> int:
    """To two figures, upwards."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return math.ceil(number / step) * step


def left_out_in_words(left_out: Mapping[str, str]) -> str:
    """The tasks that do not count, by reason: "untrainable on digits-he16 and mnist1d-conv"."""
    reasons: dict[str, list[str]] = {}
    for task, reason in left_out.items():
        reasons.setdefault(reason, []).append(task)
    return "; ".join(f"{reason} on {_listed(tasks)}" for reason, tasks in reasons.items())


def _listed(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]
