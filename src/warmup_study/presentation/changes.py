"""Gains in loss in plain words: percent and factors, lower or higher."""

import math
from typing import Literal

from warmup_study.presentation.formatting import NO_BREAK, number, percent
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import decide

Reading = Literal["better", "worse", "too small to matter", "open"]
FACTOR = math.log(3)  # log ratio from which a rise is told as a factor
NEARLY_ALL = 99  # percent; from here on two digits would round to 100
LEAST_FACTOR = 1.5  # told so beside others; anything nearer to 1 is clearer in percent


def compared(gain: float, by_factor: bool | None = None) -> str:
    """A gain, ln(loss without / loss with), as "12 % lower" or "4 times higher".

    ``by_factor``: whether a rise is told as a factor; ``None``: where that is clearer. A fall is told in percent.
    """
    factor = math.exp(-gain)
    if factor >= LEAST_FACTOR and (gain <= -FACTOR if by_factor is None else by_factor):
        return f"{number(factor)} times higher"
    change = round(100 * abs(factor - 1), 2)
    amount = f"{change:.3g}" if gain > 0 and change >= NEARLY_ALL else number(change)
    return f"{amount}{NO_BREAK}% {'lower' if gain >= 0 else 'higher'}"


def compared_with_interval(gain: Effect) -> str:
    """A gain with its interval: "12 % lower (95 % interval: 8 % to 16 % lower)"."""
    return f"{compared(gain.estimate, _wide(gain))} ({span(gain)})"


def span(gain: Effect) -> str:
    """The interval alone, from the smaller change to the larger: "95 % interval: 8 % to 16 % lower"."""
    ends = sorted((gain.low, gain.high), key=abs) if gain.low * gain.high > 0 else (gain.low, gain.high)
    low, high = (compared(end, _wide(gain)) for end in ends)
    return f"{percent(gain.level)} interval: {_shortened(low, high)} to {high}"


def _wide(gain: Effect) -> bool:
    """Whether rises are told as factors, in all three numbers."""
    return gain.low <= -FACTOR


def _shortened(low: str, high: str) -> str:
    """The first of two ends, without the words that the second ends in, too: "8 %" of "8 % lower" and "16 % lower"."""
    amount, side = low.rsplit(" ", 1)
    return amount.removesuffix(" times") if high.endswith(side) else low


def reading(gain: Effect, margin: float) -> Reading:
    """What a gain's interval says: within ±``margin``, wholly on one side of zero, or neither."""
    if decide(gain, margin) == "inside":
        return "too small to matter"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "open"


def width(decades: Effect, margin: float) -> str:
    """A change of a range of learning rates for a title, where it is decided: "26 % wider"; else as in `finding`."""
    word = reading(decades, margin)
    if word in ("better", "worse"):
        change = 100 * (10**decades.estimate - 1)
        return f"{number(abs(change))}{NO_BREAK}% {'wider' if change >= 0 else 'narrower'}"
    return "about as wide" if word == "too small to matter" else "not clearly different"


def finding(gain: Effect, margin: float) -> str:
    """A gain for a title, where it is decided: "12 % lower", "about the same"; else "not clearly different"."""
    word = reading(gain, margin)
    if word in ("better", "worse"):
        return compared(gain.estimate)
    return "about the same" if word == "too small to matter" else "not clearly different"
