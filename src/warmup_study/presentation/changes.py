"""Gains in loss in a reader's words: percent and factors, lower or higher."""

import math
from typing import Literal

from warmup_study.presentation.formatting import NO_BREAK, number, percent
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import decide

Reading = Literal["better", "worse", "too small to matter", "too small to tell"]
FACTOR = math.log(2)  # log ratios from which on a factor says more than a percentage


def compared(gain: float) -> str:
    """A gain, ln(loss without / loss with), as "12 % lower" or "2.5 times higher"."""
    if abs(gain) >= FACTOR:
        return f"{number(math.exp(abs(gain)))} times {'lower' if gain > 0 else 'higher'}"
    return f"{number(100 * abs(math.expm1(-gain)))}{NO_BREAK}% {'lower' if gain >= 0 else 'higher'}"


def compared_with_interval(gain: Effect) -> str:
    """The same with its interval: "12 % lower (95 % interval: 8 % lower to 16 % lower)"."""
    return f"{compared(gain.estimate)} ({span(gain)})"


def span(gain: Effect) -> str:
    """The interval alone: "95 % interval: 8 % lower to 16 % lower"."""
    return f"{percent(gain.level)} interval: {compared(gain.low)} to {compared(gain.high)}"


def reading(gain: Effect, margin: float) -> Reading:
    """What a gain's interval says: wholly on one side of zero, within ±``margin``, or neither."""
    if decide(gain, margin) == "inside":
        return "too small to matter"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "too small to tell"
