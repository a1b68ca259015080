"""From intervals to places, and from the p-values of a claim's answers to a word."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from statsmodels.stats.multitest import multipletests

from warmup_study.statistics.bootstrap import ALPHA, Effect, Floats

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
    return word_of(p, (p_supported, p_contradicted, p_mixed), seeds, alpha)


def over_tasks(words: Iterable[Word], pooled_word: Word) -> Word:
    """`mixed` when the tasks that decide a claim decide it differently, else the pooled word.

    A mean over tasks can be carried by one of them; it must not speak for the others against their own verdicts.
    """
    decided = set(words) - {"inconclusive"}
    return "mixed" if len(decided) > 1 else pooled_word


def word_of(p: float, answers: tuple[float, float, float], seeds: int, alpha: float) -> Word:
    """The answer that `p`, the claim's adjusted p-value, still allows; both of two opposite answers make "mixed"."""
    if seeds < MIN_SEEDS or p > alpha:
        return "inconclusive"
    adjustment = p / min(answers)
    supported, contradicted, mixed = (adjustment * answer <= alpha for answer in answers)
    if mixed or supported == contradicted:
        return "mixed"
    return "supported" if supported else "contradicted"
