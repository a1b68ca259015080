"""Gains in loss in plain words: percent and factors, lower or higher."""

import math
from typing import Literal

from warmup_study.presentation.formatting import NO_BREAK, number, percent
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import decide

Reading = Literal["better", "worse", "too small to matter", "too small to tell"]
FACTOR = math.log(3)  # log ratio from which a factor is clearer than a percentage


def compared(gain: float, by_factor: bool | None = None) -> str:
    """A gain, ln(loss without / loss with), as "12 % lower" or "4 times higher"; ``None``: whichever is clearer."""
    side = "lower" if gain >= 0 else "higher"
    if abs(gain) >= FACTOR if by_factor is None else by_factor:
        return f"{number(math.exp(abs(gain)))} times {side}"
    return f"{number(100 * abs(math.expm1(-gain)))}{NO_BREAK}% {side}"


def compared_with_interval(gain: Effect) -> str:
    """The same with its interval: "12 % lower (95 % interval: 8 % lower to 16 % lower)"."""
    return f"{compared(gain.estimate, _wide(gain))} ({span(gain)})"


def span(gain: Effect) -> str:
    """The interval alone: "95 % interval: 8 % lower to 16 % lower"."""
    low, high = (compared(end, _wide(gain)) for end in (gain.low, gain.high))
    return f"{percent(gain.level)} interval: {low} to {high}"


def _wide(gain: Effect) -> bool:
    """Whether factors are clearer, for all three numbers."""
    return max(abs(gain.low), abs(gain.high)) >= FACTOR


def reading(gain: Effect, margin: float) -> Reading:
    """What a gain's interval says: wholly on one side of zero, within ±``margin``, or neither."""
    if decide(gain, margin) == "inside":
        return "too small to matter"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "too small to tell"


def finding(gain: Effect, margin: float) -> str:
    """A gain for a title, where it is decided: "12 % lower", "about the same"; else "not clearly different"."""
    word = reading(gain, margin)
    if word in ("better", "worse"):
        return compared(gain.estimate)
    return "about the same" if word == "too small to matter" else "not clearly different"
