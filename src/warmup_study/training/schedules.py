"""Learning-rate schedules: a warmup factor times a decay factor times the peak rate.

Pure functions of the update index i = 1, 2, ..., T, counted from 1. With a warmup of n updates the ramp is
i/n: the first update takes 1/n of the peak rate, and update n is the first at the full rate. The decay starts
after update n. Others count differently; their ramps, written in our index:

    ======================================================  ====================  ============  ==========
    system                                                  factor at update i    first update  reaches 1
    ======================================================  ====================  ============  ==========
    this study, the thread, pytorch_warmup                  i / n                 1 / n         i = n
    Transformers get_*_with_warmup                          (i - 1) / n           0 (wasted)    i = n + 1
    torch LinearLR(start_factor=s, total_iters=n), s > 0    s + (1 - s)(i - 1)/n  s             i = n + 1
    torch ConstantLR(factor=0)                              0, then 0 / 0         0             never
    nanoGPT                                                 i / (n + 1)           1 / (n + 1)   i = n + 1
    Noam, d^-1/2 min(i^-1/2, i n^-3/2), over (d n)^-1/2     i / n                 1 / n         i = n
    ======================================================  ====================  ============  ==========

All is float64 and evaluated as ``peak * (warmup * decay)``, so that a rate can be audited for exact equality:
`schedule_audit` does.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from warmup_study.errors import StudyError
from warmup_study.training.rectifier import rectifier

Warmup = Literal[
    "none",
    "zero",
    "constant",
    "ramp",
    "polynomial",
    "exponential",
    "untuned",
    "first_moment",
    "second_moment",
    "rectified",
]
Decay = Literal["constant", "cosine", "inverse_sqrt"]
MOMENTS = ("first_moment", "second_moment", "rectified")  # what the counters of Adam's moments imply
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Schedule(BaseModel):
    """How the learning rate moves: the shape of its warmup, its length, and the decay that follows.

    With n the warmup's length, the factor at update i is

    - ``none``: 1 (``length`` has no effect);
    - ``zero``: 0 up to n, then 1;
    - ``constant``: ``level`` up to n, then 1;
    - ``ramp``: min(1, i/n), or with a ``start`` of s from there, s + (1 - s)(i - 1)/n up to n, then 1, as torch's
      ``LinearLR``; at s = 0 the first update is wasted;
    - ``polynomial``: min(1, i/n) to the power ``power``;
    - ``exponential``: 1 - exp(-i/n), which nears 1 and has no end;
    - ``untuned``: the ramp over 2/(1 - beta2) updates (Ma & Yarats 2019; ``length`` has no effect);
    - ``first_moment``, ``second_moment``: 1 - beta1^i and sqrt(1 - beta2^i), what Adam's bias corrections divide by;
    - ``rectified``: RAdam's rectifier for beta2, 0 as long as RAdam takes steps without a second moment (Liu et al.
      2019, arXiv 1908.03265). The last three near 1, have no end and pay no heed to ``length``.

    A length of 0 is no warmup in every shape that has one. A ``hold`` of h updates at factor 0 comes before the shape,
    which then counts its updates from h + 1; it is part of the warmup's length, n + h in all. The decay is 1 up to
    there, then (with n for n + h)

    - ``constant``: 1;
    - ``cosine``: (1 + cos(pi (i-1-n)/(T-n)))/2, 1 at update n + 1 and still above 0 at update T;
    - ``inverse_sqrt``: sqrt(max(n, 1)/i), with a ramp the Transformer's schedule of peak (d n)^-1/2.

    A ``second`` ramp of k updates may follow a ramp, as after the loss of an optimiser's state: at update i from n + 1
    to n + k the factor is (i - n)/k times the decay, which goes on below it. It is part of the warmup's length,
    n + h + k.

    The decay starts later where ``decay_from`` is more than n + h, and then takes its place in these formulas: so a run
    without warmup can decay as one with does (T5's schedule, arXiv 1910.10683, where there is no warmup).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    warmup: Warmup = "none"
    length: Annotated[int, Field(ge=0)] = 0
    hold: Annotated[int, Field(ge=0)] = 0
    level: Annotated[float, Field(gt=0, lt=1)] = 0.01
    power: Annotated[float, Field(gt=0)] = 2.0
    start: Annotated[float, Field(ge=0, lt=1)] | None = None
    second: Annotated[int, Field(ge=0)] = 0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    decay: Decay = "constant"
    decay_from: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _settings_of_a_ramp(self) -> Self:
        if self.start is not None and self.warmup != "ramp":
            raise ValueError(f"start: got {self.start:g} for {self.warmup}; only a ramp takes it")
        if self.second and self.warmup != "ramp":
            raise ValueError(f"second: got {self.second} for {self.warmup}; only a ramp takes it")
        return self

    @property
    def warmup_length(self) -> int:
        """Number of updates before the regular schedule: those on hold, of the warmup's shape and of a second ramp."""
        return self.hold + self.shape_length + self.second

    @property
    def shape_length(self) -> int:
        """Updates n of the shape alone: 0 where it has none, derived from beta2 for ``untuned``, else ``length``."""
        if self.warmup == "none" or self.warmup in MOMENTS:
            return 0
        if self.warmup == "untuned":
            return round(2 / (1 - Fraction(str(self.beta2))))
        return self.length


def factor(schedule: Schedule, update: ArrayLike, total: int) -> Floats:
    """Warmup times decay at each of the updates (any shape, whole numbers 1..total), in the same shape.

    Raises StudyError where an update lies outside 1..total or the warmup is longer than `total`.
    """
    _check_lengths([schedule], total)
    index = np.asarray(update)
    if not np.issubdtype(index.dtype, np.integer) or np.any((index < 1) | (index > total)):
        raise StudyError(f"updates must be whole numbers from 1 to {total}, got {update!r}")
    return _factors([schedule], index[..., None].astype(np.int64), total)[..., 0]


def learning_rates(schedules: Sequence[Schedule], peaks: ArrayLike, total: int) -> Floats:
    """Learning rates [total, R] of R runs, from their R schedules and R peak rates.

    Raises StudyError where a peak is not a number >= 0, or a warmup is longer than `total`.
    """
    tops = np.asarray(peaks, dtype=np.float64)
    if tops.shape != (len(schedules),) or not np.all(np.isfinite(tops) & (tops >= 0)):
        raise StudyError(f"peak learning rates must be {len(schedules)} finite numbers >= 0, got {peaks!r}")
    place = {schedule: column for column, schedule in enumerate(dict.fromkeys(schedules))}
    _check_lengths(list(place), total)
    table = _distinct_factors(list(place), total)
    return tops * table[:, [place[schedule] for schedule in schedules]]


def _check_lengths(schedules: Sequence[Schedule], total: int) -> None:
    """Raise StudyError where a warmup does not fit into the run."""
    if total < 1:
        raise StudyError(f"a run needs at least 1 update, got {total}")
    longest = max(schedules, key=lambda schedule: schedule.warmup_length, default=Schedule())
    if longest.warmup_length > total:
        raise StudyError(
            f"a {longest.warmup} warmup of {longest.warmup_length} updates is longer than the run of {total}"
        )


def _distinct_factors(schedules: Sequence[Schedule], total: int) -> Floats:
    """Factors [total, S] of S schedules, evaluated together wherever warmup and decay are of one kind."""
    groups: dict[tuple[Warmup, bool, Decay], list[int]] = {}
    for column, schedule in enumerate(schedules):
        groups.setdefault((schedule.warmup, schedule.start is None, schedule.decay), []).append(column)
    update = np.arange(1, total + 1)[:, None]
    table = np.empty((total, len(schedules)))
    for columns in groups.values():
        table[:, columns] = _factors([schedules[column] for column in columns], update, total)
    return table


def _factors(schedules: Sequence[Schedule], update: Integers, total: int) -> Floats:
    """Factors [..., S] of S schedules of one kind at the updates [..., 1]."""
    first = schedules[0]
    hold = np.array([schedule.hold for schedule in schedules])
    length = np.array([schedule.shape_length for schedule in schedules])
    level = np.array([schedule.level for schedule in schedules])
    power = np.array([schedule.power for schedule in schedules])
    counted = np.maximum(update - hold, 1)
    if first.warmup in MOMENTS:
        betas = np.array([_beta(schedule) for schedule in schedules])
        shape = _moment_shape(first.warmup, counted, betas)
    elif first.start is not None:
        shape = _from_start(counted, length, np.array([schedule.start for schedule in schedules]))
    else:
        shape = _warmup(first.warmup, counted, length, level, power)
    start = np.maximum(hold + length, [schedule.decay_from for schedule in schedules])
    again = _second_ramp(update - hold - length, np.array([schedule.second for schedule in schedules]))
    return np.where(update > hold, shape, 0.0) * again * _decay(first.decay, update, start, total)


def _second_ramp(after: Integers, length: Integers) -> Floats:
    """Factors of ramps so many updates after the end of the first; the arguments broadcast."""
    return np.where((after > 0) & (after < length), after / np.maximum(length, 1), 1.0)


def _warmup(kind: Warmup, update: Integers, length: Integers, level: Floats, power: Floats) -> Floats:
    """Warmup factors of one kind; the arguments broadcast."""
    progress = update / np.maximum(length, 1)
    match kind:
        case "none" | "zero":
            return np.where(update > length, 1.0, 0.0)
        case "constant":
            return np.where(update > length, 1.0, level)
        case "ramp" | "untuned":
            return np.minimum(1.0, progress)
        case "polynomial":
            return _exactly(math.pow, np.minimum(1.0, progress), power)
        case "exponential":
            return np.where(length == 0, 1.0, -_exactly(math.expm1, -progress))
        case _:
            raise ValueError(f"{kind} is worked out elsewhere")


def _from_start(update: Integers, length: Integers, start: Floats) -> Floats:
    """Factors of ramps that begin at a factor of their own; the arguments broadcast."""
    return np.where(update > length, 1.0, start + (1.0 - start) * ((update - 1) / np.maximum(length, 1)))


def _beta(schedule: Schedule) -> float:
    """The averaging weight that a moment's shape depends on."""
    return schedule.beta1 if schedule.warmup == "first_moment" else schedule.beta2


def _moment_shape(kind: Warmup, update: Integers, beta: Floats) -> Floats:
    """Warmup factors that the counters of Adam's moments imply; the arguments broadcast."""
    kept = _exactly(math.pow, beta, update.astype(np.float64))
    if kind == "first_moment":
        return 1.0 - kept
    if kind == "second_moment":
        return np.sqrt(1.0 - kept)
    return rectifier(beta, update, kept)


def _decay(kind: Decay, update: Integers, length: Integers, total: int) -> Floats:
    """Decay factors of one kind; the arguments broadcast."""
    after = update > length
    match kind:
        case "constant":
            return np.ones(after.shape)
        case "cosine":
            share = np.where(after, (update - 1 - length) / np.maximum(total - length, 1), 0.0)
            return 0.5 * (1.0 + _exactly(math.cos, math.pi * share))
        case "inverse_sqrt":
            return np.where(after, np.sqrt(np.maximum(length, 1) / update), 1.0)


def _exactly(function: Callable[..., float], *arguments: Floats) -> Floats:
    """Apply a function of the C library elementwise.

    NumPy's own pow and expm1 differ from it, and from one processor to another, in the last bit.
    """
    values: Any = np.frompyfunc(function, len(arguments), 1)(*arguments)
    return np.asarray(values, dtype=np.float64)
