"""Momentum on paper: what a velocity gathers, and the parabola that a reader can follow by hand."""

import numpy as np
import pandas as pd
import pytest

from warmup_study import theory
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule


def test_the_parabola_by_hand() -> None:
    paths = theory.momentum_by_hand(momentum=0.5, length=3, lr=1.0, updates=6)
    classic, inside = paths["momentum"], paths["momentum_lr_inside"]
    assert classic["velocity"].tolist() == [1, 1.5, 1.75, 1.875, 0.0625, -0.90625]
    assert classic["theta"].tolist() == [1, 1, 1, -0.875, -0.9375, -0.03125]
    assert inside["velocity"].tolist() == [0, 0, 0, 1, 0.5, -0.25]
    assert inside["theta"].tolist() == [1, 1, 1, 0, -0.5, -0.25]
    assert classic["lr"].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("lr", [0.1, 0.7])
def test_a_rate_inside_the_velocity_makes_lr_zero_a_mere_delay(lr: float) -> None:
    paths = theory.momentum_by_hand(momentum=0.9, length=7, lr=lr, updates=40)
    later, zero = paths["none"], paths["momentum_lr_inside"].iloc[7:].reset_index(drop=True)
    np.testing.assert_allclose(zero["theta"], later["theta"], rtol=0, atol=1e-14)
    assert np.abs(paths["momentum"]["theta"].iloc[7:].to_numpy() - later["theta"].to_numpy()).max() > 0.1


def test_in_sutskevers_form_the_delay_is_exact_to_the_bit() -> None:
    inside = Optimizer(name="momentum_lr_inside", momentum=0.9)
    zero = theory.quadratic_path(inside, Schedule(warmup="zero", length=5), 0.3, 30).iloc[5:].reset_index(drop=True)
    none = theory.quadratic_path(inside, Schedule(), 0.3, 25)
    pd.testing.assert_frame_equal(zero.drop(columns="update"), none.drop(columns="update"), check_exact=True)


def test_a_velocity_gathers_what_the_formulas_say() -> None:
    gathered = theory.gathered_velocity(0.9, 200)
    assert gathered.steady[:3] == pytest.approx([1, 1.9, 2.71])
    assert (gathered.steady[-1], gathered.noise[-1]) == pytest.approx((10, (1 / 0.19) ** 0.5), rel=1e-6)
    simulated = theory.noise_update_size(Optimizer(name="momentum"), 30)
    np.testing.assert_allclose(simulated, gathered.noise[:30], rtol=0.03)


def test_the_steady_case_is_a_constant_gradient() -> None:
    far = theory.quadratic_path(Optimizer(name="momentum"), Schedule(warmup="zero", length=12), 1e-6, 13, start=2.0)
    np.testing.assert_allclose(far["velocity"] / 2, theory.gathered_velocity(0.9, 13).steady, rtol=1e-12)
