"""Numbers and verdicts in words, so that no number in the study's prose is ever typed."""

import numpy as np

from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics.bootstrap import LEVEL, Effect

SMALLEST_PLAIN = 1e-4  # below it, numbers are written with a power of ten
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float | None) -> str:
    """A number for prose: two significant digits, a true minus sign, a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    if value and abs(value) < SMALLEST_PLAIN:
        base, exponent = f"{value:.1e}".split("e")
        return f"{base} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")
    digits = max(2, len(str(int(abs(value)))))
    text = np.format_float_positional(value, precision=digits, unique=False, fractional=False, trim="-")
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage that no line break splits."""
    return f"{100 * share:g}{NO_BREAK}%"


INTERVALS = f"with {percent(LEVEL)} intervals"


def interval(verdict: Verdict | Part) -> str:
    """ "low to high", or nothing where there is no interval."""
    if verdict.ci_low is None or verdict.ci_high is None:
        return ""
    return f"{number(verdict.ci_low)} to {number(verdict.ci_high)}"


def effect(measured: Effect) -> str:
    """An effect for prose: "0.12 (0.08 to 0.16)", the interval at the effect's level."""
    return f"{number(measured.estimate)} ({number(measured.low)} to {number(measured.high)})"


def count_of(count: int, noun: str) -> str:
    """A number of things, with its noun in singular or plural: "1 task", "3 tasks"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def times(multiple: float) -> str:
    """A multiple in words: "twice", "4 times"."""
    return "twice" if multiple == 2 else f"{number(multiple)} times"
