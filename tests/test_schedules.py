"""Schedules: the step convention, agreement with torch's schedulers and Noam's, and the scalar audit."""

import math
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim import lr_scheduler

from warmup_study.errors import StudyError
from warmup_study.training.optimizers import Optimizer, coefficients
from warmup_study.training.schedule_audit import audit_reference
from warmup_study.training.schedules import Schedule, factor, learning_rates

WARMUPS = ("none", "zero", "constant", "ramp", "polynomial", "exponential", "untuned")
MOMENTS = ("first_moment", "second_moment", "rectified")
DECAYS = ("constant", "cosine", "inverse_sqrt")
TOTAL = 40


def at(schedule: Schedule, *updates: int, total: int = TOTAL) -> list[float]:
    return list(factor(schedule, updates, total).tolist())


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        ("none", [1, 1, 1, 1]),
        ("zero", [0, 0, 0, 1]),
        ("constant", [0.01, 0.01, 0.01, 1]),
        ("ramp", [0.1, 0.9, 1, 1]),
        ("polynomial", [0.01, 0.81, 1, 1]),
        ("exponential", [1 - math.exp(-0.1), 1 - math.exp(-0.9), 1 - math.exp(-1), 1 - math.exp(-1.1)]),
    ],
)
def test_warmup_at_its_ends(warmup: str, expected: list[float]) -> None:
    schedule = Schedule.model_validate({"warmup": warmup, "length": 10})
    assert at(schedule, 1, 9, 10, 11) == pytest.approx(expected, rel=1e-15)


def test_untuned_warmup_is_the_ramp_of_the_derived_length() -> None:
    lengths = [Schedule(warmup="untuned", beta2=beta2).warmup_length for beta2 in (0.9, 0.95, 0.99, 0.999)]
    assert lengths == [20, 40, 200, 2000]
    untuned, ramp = Schedule(warmup="untuned", beta2=0.9), Schedule(warmup="ramp", length=20)
    assert at(untuned, 1, 19, 20, 21) == at(ramp, 1, 19, 20, 21) == [0.05, 0.95, 1, 1]


@pytest.mark.parametrize("beta2", [0.7, 0.9, 0.99, 0.999])
def test_shapes_of_the_moments_are_what_the_optimiser_computes(beta2: float) -> None:
    every, ones = range(1, TOTAL + 1), np.ones((TOTAL, 1))
    plain, radam = (coefficients([Optimizer(name=name, beta2=beta2)], ones) for name in ("adam", "radam"))
    first, second, rectified = (at(Schedule(warmup=kind, beta2=beta2), *every) for kind in MOMENTS)
    np.testing.assert_allclose(first, 1 / plain["scaled"][:, 0], rtol=1e-12)
    np.testing.assert_allclose(second, 1 / plain["root"][:, 0], rtol=1e-12)
    with_rectifier = radam["scaled"] * plain["root"] / plain["scaled"]
    np.testing.assert_allclose(rectified, with_rectifier[:, 0], rtol=1e-9)
    assert Schedule(warmup="rectified", length=7).warmup_length == 0 and not any(np.isnan(rectified))


def test_a_moments_shape_may_wait_and_decay() -> None:
    held = Schedule(warmup="second_moment", beta2=0.9, hold=3, decay="cosine")
    bare = at(Schedule(warmup="second_moment", beta2=0.9), 1, 2)
    cosine = at(Schedule(warmup="zero", length=3, decay="cosine"), 4, 5)
    assert at(held, 3, 4, 5) == [0, *(a * b for a, b in zip(bare, cosine, strict=True))]


def test_cosine_starts_after_the_warmup_and_wastes_no_update() -> None:
    schedule = Schedule(warmup="ramp", length=10, decay="cosine")
    assert at(schedule, 9, 10, 11) == [0.9, 1, 1]
    assert at(schedule, 12, 26, 40) == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * share)) for share in (1 / 30, 15 / 30, 29 / 30)]
    )
    assert at(schedule, 40)[0] > 0


def test_inverse_square_root_starts_after_the_warmup() -> None:
    schedule = Schedule(warmup="zero", length=10, decay="inverse_sqrt")
    assert at(schedule, 10, 11, 40) == pytest.approx([0, math.sqrt(10 / 11), 0.5])


@pytest.mark.parametrize("decay", DECAYS)
def test_without_warmup_the_decay_can_be_that_of_a_ramp(decay: str) -> None:
    ramp = Schedule.model_validate({"warmup": "ramp", "length": 10, "decay": decay})
    none = Schedule.model_validate({"decay": decay, "decay_from": 10})
    updates = range(1, TOTAL + 1)
    ratio = np.array(at(ramp, *updates)) / at(none, *updates)
    np.testing.assert_allclose(ratio, np.minimum(1, np.arange(1, TOTAL + 1) / 10), rtol=1e-14)
    assert at(none, *range(1, 11)) == [1.0] * 10
    earlier = ramp.model_copy(update={"decay_from": 5})
    assert at(earlier, *updates) == at(ramp, *updates)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("warmup", [name for name in WARMUPS if name != "untuned"])
def test_length_zero_is_no_warmup(warmup: str, decay: str) -> None:
    schedule = Schedule.model_validate({"warmup": warmup, "length": 0, "decay": decay})
    every = np.arange(1, TOTAL + 1)
    np.testing.assert_array_equal(factor(schedule, every, TOTAL), factor(Schedule(decay=decay), every, TOTAL))
    assert at(schedule, 1) == [1]


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("warmup", ["zero", "constant", "ramp", "polynomial", "exponential"])
def test_hold_puts_the_shape_off(warmup: str, decay: str) -> None:
    held = Schedule.model_validate({"warmup": warmup, "length": 5, "hold": 7, "decay": decay})
    bare = Schedule.model_validate({"warmup": warmup, "length": 5})
    assert held.warmup_length == bare.warmup_length + 7
    assert at(held, 1, 7) == [0, 0] and at(held, 8, 11, 12) == at(bare, 1, 4, 5)
    later = at(Schedule(warmup="ramp", length=held.warmup_length, decay=decay), 13, TOTAL)
    assert at(held, 13, TOTAL) == pytest.approx([a * b for a, b in zip(later, at(bare, 6, TOTAL - 7), strict=True)])


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("warmup", ["none", "constant", "ramp", "polynomial", "exponential"])
def test_hold_before_a_shape_of_length_zero_is_lr_zero(warmup: str, decay: str) -> None:
    held = Schedule.model_validate({"warmup": warmup, "hold": 7, "decay": decay})
    every = np.arange(1, TOTAL + 1)
    zero = Schedule(warmup="zero", length=7, decay=decay)
    np.testing.assert_array_equal(factor(held, every, TOTAL), factor(zero, every, TOTAL))


@pytest.mark.parametrize("decay", DECAYS)
def test_length_one(decay: str) -> None:
    values = {name: at(Schedule(warmup=name, length=1, decay=decay), 1, 2) for name in ("zero", "ramp")}
    second = {"constant": 1, "cosine": 1, "inverse_sqrt": math.sqrt(0.5)}[decay]
    assert values == {"zero": [0, second], "ramp": [1, second]}


@pytest.mark.parametrize("decay", DECAYS)
def test_warmup_as_long_as_the_run_leaves_no_decay(decay: str) -> None:
    schedule = Schedule(warmup="ramp", length=TOTAL, decay=decay)
    assert at(schedule, 1, TOTAL - 1, TOTAL) == [1 / TOTAL, (TOTAL - 1) / TOTAL, 1]
    assert at(Schedule(warmup="zero", length=TOTAL, decay=decay), 1, TOTAL) == [0, 0]


def realised(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> Iterator[float]:
    """Rates that a torch scheduler gives to updates 1, 2, ... at peak rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    while True:
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


def rates_of(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> list[float]:
    return [rate for rate, _ in zip(realised(make), range(TOTAL), strict=False)]


@pytest.mark.parametrize("length", [2, 10, TOTAL])
def test_ramp_is_torch_linear_lr_from_one_nth(length: int) -> None:
    # s + (1 - s)(i - 1)/(n - 1) with s = 1/n is i/n: LinearLR's total_iters is one less than our n.
    torchs = rates_of(lambda opt: lr_scheduler.LinearLR(opt, 1 / length, total_iters=length - 1))
    ours = at(Schedule(warmup="ramp", length=length), *range(1, TOTAL + 1))
    assert ours == pytest.approx(torchs, rel=1e-12)


def test_cosine_is_torch_cosine_annealing() -> None:
    torchs = rates_of(lambda opt: lr_scheduler.CosineAnnealingLR(opt, T_max=TOTAL))
    assert at(Schedule(decay="cosine"), *range(1, TOTAL + 1)) == pytest.approx(torchs, rel=1e-10)


def test_ramp_then_cosine_is_torch_sequential_lr() -> None:
    def sequence(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        ramp = lr_scheduler.LinearLR(optimizer, 1 / 8, total_iters=7)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL - 8)
        return lr_scheduler.SequentialLR(optimizer, [ramp, cosine], milestones=[8])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own class calls its deprecated step(epoch)
        torchs = rates_of(sequence)
    ours = at(Schedule(warmup="ramp", length=8, decay="cosine"), *range(1, TOTAL + 1))
    assert ours == pytest.approx(torchs, rel=1e-10)


@pytest.mark.parametrize("warmup", ["zero", "constant", "polynomial"])
def test_other_arms_through_torch_lambda_lr(warmup: str) -> None:
    shape = {
        "zero": lambda t: float(t >= 10),
        "constant": lambda t: 0.2 if t < 10 else 1.0,
        "polynomial": lambda t: min(1.0, (t + 1) / 10) ** 3,
    }[warmup]
    torchs = rates_of(lambda opt: lr_scheduler.LambdaLR(opt, shape))
    schedule = Schedule.model_validate({"warmup": warmup, "length": 10, "level": 0.2, "power": 3})
    assert at(schedule, *range(1, TOTAL + 1)) == pytest.approx(torchs, rel=1e-14)


@pytest.mark.parametrize("length", [1, 2, 10, TOTAL])
def test_ramp_and_inverse_square_root_are_the_transformer_schedule(length: int) -> None:
    width = 512
    noam = [width**-0.5 * min(s**-0.5, s * length**-1.5) for s in range(1, TOTAL + 1)]
    schedule = Schedule(warmup="ramp", length=length, decay="inverse_sqrt")
    ours = learning_rates([schedule], [(width * length) ** -0.5], TOTAL)[:, 0]
    np.testing.assert_allclose(ours, noam, rtol=1e-14)


def test_a_ramp_from_a_factor_is_torchs() -> None:
    for start in (0.01, 0.5):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
        theirs = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=start, total_iters=7)
        expected = []
        for _ in range(20):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            theirs.step()
        ours = learning_rates([Schedule(warmup="ramp", length=7, start=start)], [2.0], 20)[:, 0]
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert learning_rates([Schedule(warmup="ramp", length=7, start=0.0)], [2.0], 20)[0, 0] == 0


@pytest.mark.parametrize("decay", DECAYS)
def test_a_second_ramp_follows_the_first_below_the_same_decay(decay: str) -> None:
    once = Schedule.model_validate({"warmup": "ramp", "length": 10, "hold": 2, "decay": decay})
    twice = once.model_copy(update={"second": 4})
    ratio = np.array(at(twice, *range(3, TOTAL + 1))) / at(once, *range(3, TOTAL + 1))
    np.testing.assert_allclose(ratio, [*[1] * 10, 0.25, 0.5, 0.75, *[1] * 25], rtol=1e-15)
    assert twice.warmup_length == 16 and at(once, 12)[0] == at(twice, 12)[0] == 1


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Schedule], list[float], int]:
    total = draw(st.integers(1, 120))
    begun = st.builds(
        Schedule,
        warmup=st.just("ramp"),
        length=st.integers(0, total),
        start=st.none() | st.floats(0, 0.999),
        second=st.integers(0, 30),
        decay=st.sampled_from(DECAYS),
    ).filter(lambda schedule: schedule.warmup_length <= total)
    usual = st.builds(
        Schedule,
        warmup=st.sampled_from(WARMUPS + MOMENTS),
        length=st.integers(0, total),
        hold=st.just(0) | st.integers(0, total),
        level=st.floats(0.001, 0.999),
        power=st.floats(0.1, 5),
        beta1=st.floats(0, 0.999),
        beta2=st.floats(0, 0.999),
        decay=st.sampled_from(DECAYS),
        decay_from=st.just(0) | st.integers(0, total + 5),
    ).filter(lambda schedule: schedule.warmup_length <= total)
    one = usual | begun
    schedules = draw(st.lists(one, max_size=6))
    peaks = draw(st.lists(st.floats(0, 1e3, allow_subnormal=False), min_size=len(schedules), max_size=len(schedules)))
    return schedules, peaks, total


@settings(deadline=None)
@given(runs())
def test_vectorised_rates_equal_the_scalar_audit_to_the_last_bit(
    case: tuple[list[Schedule], list[float], int],
) -> None:
    schedules, peaks, total = case
    rates = learning_rates(schedules, peaks, total)
    assert rates.shape == (total, len(schedules)) and rates.dtype == np.float64
    for run, (schedule, peak) in enumerate(zip(schedules, peaks, strict=True)):
        assert rates[:, run].tolist() == audit_reference(schedule, peak, total)
        one_by_one = [float(peak * factor(schedule, i, total)) for i in range(1, total + 1)]
        assert rates[:, run].tolist() == one_by_one


def test_rates_of_ten_thousand_runs_are_quick() -> None:
    schedules = [
        Schedule(warmup=warmup, length=length, decay=decay)
        for warmup in ("none", "zero", "constant", "ramp")
        for decay in DECAYS
        for length in range(0, 500, 25)
    ] * 42
    begun = time.perf_counter()
    rates = learning_rates(schedules, np.full(len(schedules), 0.1), 500)
    assert rates.shape == (500, len(schedules))
    assert time.perf_counter() - begun < 5


def test_updates_keep_their_shape() -> None:
    schedule = Schedule(warmup="ramp", length=4)
    assert factor(schedule, 2, TOTAL).shape == () and float(factor(schedule, 2, TOTAL)) == 0.5
    np.testing.assert_array_equal(factor(schedule, [[1, 2], [3, 4]], TOTAL), [[0.25, 0.5], [0.75, 1]])


@pytest.mark.parametrize("update", [0, -1, TOTAL + 1, 1.5, float("nan")])
def test_updates_outside_the_run_are_refused(update: float) -> None:
    with pytest.raises(StudyError, match="updates must be whole numbers from 1 to 40"):
        factor(Schedule(), update, TOTAL)


@pytest.mark.parametrize("schedule", [Schedule(warmup="ramp", length=41), Schedule(warmup="untuned")])
def test_warmup_longer_than_the_run_is_refused(schedule: Schedule) -> None:
    message = rf"a {schedule.warmup} warmup of {schedule.warmup_length} updates is longer than the run of 40"
    with pytest.raises(StudyError, match=message):
        learning_rates([Schedule(), schedule], [0.1, 0.1], TOTAL)
    with pytest.raises(StudyError, match=message):
        factor(schedule, 1, TOTAL)


@pytest.mark.parametrize("peaks", [[0.1], [0.1, -0.1], [0.1, float("nan")], [0.1, float("inf")], 0.1])
def test_bad_peaks_are_refused(peaks: float | list[float]) -> None:
    with pytest.raises(StudyError, match="peak learning rates must be 2 finite numbers >= 0"):
        learning_rates([Schedule(), Schedule()], peaks, TOTAL)


def test_run_without_updates_is_refused() -> None:
    with pytest.raises(StudyError, match="at least 1 update"):
        learning_rates([], [], 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"warmup": "rmap"},
        {"decay": "linear"},
        {"length": -1},
        {"length": 1.5},
        {"hold": -1},
        {"level": 0},
        {"level": 1},
        {"level": float("nan")},
        {"start": 1, "warmup": "ramp"},
        {"start": 0.5, "warmup": "zero"},
        {"second": -1, "warmup": "ramp"},
        {"second": 5, "warmup": "zero"},
        {"power": 0},
        {"power": float("inf")},
        {"beta2": 1},
        {"warmupp": "ramp"},
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Schedule.model_validate(settings)


def test_schedules_are_frozen_hashable_and_take_numbers_as_text() -> None:
    schedule = Schedule.model_validate({"warmup": "constant", "length": "5", "level": "1e-3"})
    assert schedule == Schedule(warmup="constant", length=5, level=0.001) and len({schedule, schedule}) == 1
    with pytest.raises(ValidationError):
        schedule.length = 6  # type: ignore[misc]
