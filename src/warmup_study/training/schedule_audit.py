"""The audit of learning rates: what a schedule says of every update, worked out a second time, one by one."""

import math
from fractions import Fraction
from functools import lru_cache

from warmup_study.training.rectifier import TRACTABLE
from warmup_study.training.schedules import MOMENTS, Schedule


def audit_reference(schedule: Schedule, peak: float, total: int) -> list[float]:
    """Learning rates of updates 1..total of one run, worked out one by one in exact fractions where possible.

    Shares no code with `schedules.learning_rates`, and must equal it to the last bit: it audits the realised rates.
    """
    return [peak * value for value in _reference_factors(schedule, total)]


@lru_cache(maxsize=4096)
def _reference_factors(schedule: Schedule, total: int) -> tuple[float, ...]:
    """Factors of updates 1..total; kept, as many runs differ in their peak rate alone."""
    n, h = schedule.shape_length, schedule.hold
    start = max(n + h, schedule.decay_from)
    return tuple(
        _warmup_at(schedule, i - h, n) * _second_at(schedule, i - h - n) * _decay_at(schedule, i, start, total)
        for i in range(1, total + 1)
    )


def _second_at(schedule: Schedule, i: int) -> float:
    """Factor of a second ramp at one update, counted from the end of the first."""
    return min(1.0, float(Fraction(i, schedule.second))) if schedule.second and i > 0 else 1.0


def _warmup_at(schedule: Schedule, i: int, n: int) -> float:
    """Warmup factor of one update, counted from the end of the hold."""
    if i < 1:
        return 0.0
    if schedule.warmup in MOMENTS:
        return _moment_shape_at(schedule, i)
    if n == 0:
        return 1.0
    if schedule.warmup == "exponential":
        return -math.expm1(-float(Fraction(i, n)))
    if i > n:
        return 1.0
    if schedule.warmup in ("zero", "constant"):
        return {"zero": 0.0, "constant": schedule.level}[schedule.warmup]
    if schedule.start is not None:
        return schedule.start + (1.0 - schedule.start) * float(Fraction(i - 1, n))
    ramp = float(Fraction(i, n))
    return math.pow(ramp, schedule.power) if schedule.warmup == "polynomial" else ramp


def _moment_shape_at(schedule: Schedule, i: int) -> float:
    """Factor of one update that the counter of a moment implies."""
    beta = schedule.beta1 if schedule.warmup == "first_moment" else schedule.beta2
    forgotten = 1.0 - math.pow(beta, i)
    if schedule.warmup != "rectified":
        return forgotten if schedule.warmup == "first_moment" else math.sqrt(forgotten)
    longest = 2.0 / (1.0 - beta) - 1.0
    rho = longest - 2.0 * i * math.pow(beta, i) / forgotten
    if rho <= TRACTABLE:
        return 0.0
    return math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))


def _decay_at(schedule: Schedule, i: int, n: int, total: int) -> float:
    """Decay factor of one update."""
    if i <= n or schedule.decay == "constant":
        return 1.0
    if schedule.decay == "inverse_sqrt":
        return math.sqrt(Fraction(max(n, 1), i))
    return 0.5 * (1.0 + math.cos(math.pi * float(Fraction(i - 1 - n, total - n))))
