"""From intervals to places, and from the p-values of a claim's answers to a word."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Literal

import numpy as np
from scipy import stats

from warmup_study.statistics.bootstrap import ALPHA, Effect, Floats

Word = Literal["supported", "contradicted", "mixed", "depends", "inconclusive", ""]
"""What a row says. Depends: regimes are decided and disagree. Empty: a row that shows an interval and gives no word."""
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
    """Adjusted p-values by Holm (1979): family-wise, in the order given."""
    values = np.asarray(list(p_values), dtype=float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    return adjusted


def benjamini_hochberg(p_values: Iterable[float]) -> Floats:
    """Adjusted p-values by Benjamini & Hochberg (1995): rate of false discoveries, in the order given."""
    return np.asarray(stats.false_discovery_control(list(p_values), method="bh"))


def benjamini_yekutieli(p_values: Iterable[float]) -> Floats:
    """Adjusted p-values by Benjamini & Yekutieli (2001): the same under any dependence, in the order given."""
    return np.asarray(stats.false_discovery_control(list(p_values), method="by"))


def fixed_sequence(p_values: Iterable[float]) -> Floats:
    """Adjusted p-values of questions asked one after the other: each counts only if all before it were answered.

    The largest so far (Maurer, Hothorn & Lehmacher 1995): family-wise, without loss for the first question.
    """
    return np.asarray(list(accumulate(p_values, max)), dtype=float)


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
    """The word on a claim of its own, from the one-sided p-values of its answers; see `word_of`."""
    return word_of((p_supported, p_contradicted, p_mixed), seeds, alpha=alpha)


def word_of(answers: tuple[float, float, float], seeds: int, adjustment: float = 1.0, alpha: float = ALPHA) -> Word:
    """The answer that its one-sided p-value allows: supported, contradicted or mixed, in the order of ``answers``.

    ``adjustment``: the factor by which a correction raised the claim's p-value. Two opposite answers make "mixed";
    under MIN_SEEDS seeds nothing is decided.
    """
    supported, contradicted, mixed = (2 * adjustment * p <= alpha for p in answers)
    if seeds < MIN_SEEDS or not (supported or contradicted or mixed):
        return "inconclusive"
    if mixed or supported == contradicted:
        return "mixed"
    return "supported" if supported else "contradicted"


def likeliest(answers: tuple[float, float, float]) -> Word:
    """The answer with the smallest p-value."""
    words: tuple[Word, ...] = ("supported", "contradicted", "mixed")
    return words[int(np.argmin(answers))]


def p_of_disagreement(adjusted: Iterable[float], words: Iterable[Word]) -> float:
    """P-value for "regimes disagree": two of them are decided, and differently; 1 where no two would be.

    ``adjusted``: each regime's p-value, corrected for their number; ``words``: what each would say if it were decided.
    As every regime named must be decided, the claim's is the second smallest of the best p-values by word.
    """
    best: dict[Word, float] = {}
    for p, word in zip(adjusted, words, strict=True):
        best[word] = min(p, best.get(word, 1.0))
    ordered = sorted(p for word, p in best.items() if word not in ("inconclusive", ""))
    return ordered[1] if len(ordered) > 1 else 1.0
