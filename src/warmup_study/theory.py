"""What theory predicts for the first updates, to draw beside what was measured."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from warmup_study.training import optimizers, schedules
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

_DRAWS = 20_000

FIXES = {
    "RAdam": Optimizer(name="radam"),
    "v from the first gradient": Optimizer(name="adam", first_gradient_init=True),
    "v from the first gradient, uncorrected": Optimizer(name="adam", first_gradient_init=True, bias_correction=False),
    "m uncorrected": Optimizer(name="adam", first_moment_correction=False),
}
"""Changes to Adam that are said to make warmup needless."""


def noise_update_size(optimizer: Optimizer, updates: int) -> NDArray[np.float64]:
    """Root mean square of |Δθ|/η at updates 1..``updates`` where every gradient is independent Gaussian noise, [T].

    The case without signal, in which averaging over past gradients shrinks the step (Ma & Yarats 2019,
    arXiv 1910.04209, section 4). Simulated with the study's own update rule at η = 1, from a fixed seed.
    """
    generator = torch.Generator().manual_seed(0)
    noise = (torch.randn(1, _DRAWS, dtype=torch.float64, generator=generator) for _ in range(updates))
    return np.asarray([float(step.square().mean().sqrt()) for step in _steps(optimizer, noise, (updates, _DRAWS))])


def steps(optimizer: Optimizer, gradients: ArrayLike) -> NDArray[np.float64]:
    """Δθ/η of one weight at each of its first updates, which have these ``gradients``, [T] both."""
    rows = torch.tensor(np.asarray(gradients, dtype=float))[:, None, None]
    return np.asarray([float(step) for step in _steps(optimizer, rows, (len(rows), 1))])


def _steps(optimizer: Optimizer, gradients: Iterable[Tensor], shape: tuple[int, int]) -> Iterator[Tensor]:
    """What each of T updates adds to N parameters at η = 1, by the study's own rule; ``gradients`` are [1, N] each."""
    updates, size = shape
    table = optimizers.coefficients([optimizer], np.ones((updates, 1)))
    params = {"theta": torch.zeros(1, size, dtype=torch.float64)}
    state = optimizers.initial_state(optimizer.kernel, params)
    for update, gradient in enumerate(gradients):
        before = params["theta"].clone()
        row = {name: torch.as_tensor(column[update]) for name, column in table.items()}
        optimizers.apply(optimizer.kernel, params, {"theta": gradient}, state, row)
        yield params["theta"] - before


def first_update_size(optimizer: Optimizer) -> float:
    """|Δθ|/η of the first update of a weight with a gradient well above eps: 1/√(1−α) for RMSProp, 1 for Adam.

    Follows from v₁ = (1−β₂)g² with and without its bias correction, and for Adagrad, whose step is 1 too, from v₁ = g².
    Steps by the sign are 1 throughout. Raises ``ValueError`` for the other rules, which have no such constant.
    """
    if optimizer.kernel not in ("adaptive", "sign"):
        raise ValueError(f"{optimizer.name}: the size of its first update depends on the gradient")
    corrected = optimizer.bias_correction or optimizer.first_gradient_init
    averages = optimizer.kernel == "adaptive" and optimizer.beta2 is not None
    return (1 - (optimizer.beta2 or 0.0)) ** -0.5 if averages and not corrected else 1.0


def stability_limit(optimizer: Optimizer) -> float:
    """Sharpness times learning rate beyond which descent along exact gradients oscillates ever more.

    On a quadratic of curvature λ each rule is a linear recurrence in θ, stable as long as the roots of its
    characteristic polynomial lie within the unit circle; as λη grows, a root leaves through -1. Heavy-ball momentum,
    θ⁺ = (1 + μ - ηλ)θ - μθ⁻, has z = -1 as a root at ηλ = 2 + 2μ; Nesterov's at (2 + 2μ)/(1 + 2μ); an averaged first
    moment, whose new gradient counts 1 - β₁, at (2 + 2β₁)/(1 - β₁), λ then being the preconditioned sharpness (Cohen et
    al. 2021, 2022: arXiv 2103.00065, 2207.14484). Plain gradient descent is momentum of 0: 2. Raises ``ValueError``
    for rules whose steps are not linear in the gradient.
    """
    if optimizer.kernel not in ("momentum", "adaptive"):
        raise ValueError(f"{optimizer.name}: its steps are not linear in the gradient, so no sharpness bounds them")
    if optimizer.kernel == "adaptive":
        beta1 = optimizer.beta1 or 0.0
        return (2 + 2 * beta1) / (1 - beta1)
    momentum = optimizer.momentum or 0.0
    return (2 + 2 * momentum) / (1 + 2 * momentum if optimizer.name == "nesterov" else 1)


def implied_schedule(fix: Optimizer) -> Schedule:
    """The warmup that plain Adam would need for the steps of ``fix``, where squared gradients are as large on average.

    RAdam multiplies by its rectifier, and as long as that does not exist takes steps of the gradient's own size, next
    to nothing beside Adam's (Ma & Yarats 2019, arXiv 1910.04209, section 3). A v that starts from the first squared
    gradient is right from the start, so that its correction, 1/(1 - β₂ᵗ), shrinks the step by √(1 - β₂ᵗ) (Kalra &
    Barkeshli 2024, arXiv 2406.09405); without it nothing is shrunk. A first moment that is not corrected is smaller by
    1 - β₁ᵗ. Only the last holds for every gradient.
    """
    assert fix.beta2 is not None
    if fix.name == "radam":
        return Schedule(warmup="rectified", beta2=fix.beta2)
    if fix.first_gradient_init:
        return Schedule(warmup="second_moment", beta2=fix.beta2) if fix.bias_correction else Schedule()
    if not fix.first_moment_correction:
        return Schedule(warmup="first_moment", beta1=fix.beta1 or 0.0)
    return Schedule()


class Gathered(NamedTuple):
    """Root mean square of a velocity over that of one gradient, [T], in the two extreme cases."""

    steady: NDArray[np.float64]
    noise: NDArray[np.float64]


def gathered_velocity(momentum: float, updates: int) -> Gathered:
    """How long v ← μv + g grows after k = 1..``updates`` gradients of length 1.

    If all gradients are the same, (1−μᵏ)/(1−μ); if they are independent noise, √((1−μ²ᵏ)/(1−μ²)), because variances
    add. Gradients that are partly noise lie between the two.
    """
    kept = np.asarray(momentum ** np.arange(1, updates + 1), dtype=np.float64)
    return Gathered((1 - kept) / (1 - momentum), np.sqrt((1 - kept**2) / (1 - momentum**2)))


def quadratic_path(
    optimizer: Optimizer, schedule: Schedule, lr: float, updates: int, start: float = 1.0
) -> pd.DataFrame:
    """A rule of the momentum kernel on the loss θ²/2, whose gradient is θ itself, from θ = ``start``.

    One row per update: learning rate, gradient (also the θ before the update), velocity, step, and the θ it leads to.
    """
    rates = schedules.learning_rates([schedule], [lr], updates)
    table = optimizers.coefficients([optimizer], rates)
    params = {"theta": torch.tensor([start], dtype=torch.float64)}
    state = optimizers.initial_state(optimizer.kernel, params)
    rows = []
    for update in range(updates):
        gradient = params["theta"].clone()
        row = {name: torch.as_tensor(column[update]) for name, column in table.items()}
        optimizers.apply(optimizer.kernel, params, {"theta": gradient}, state, row)
        seen = (gradient, state["velocity"]["theta"], params["theta"] - gradient, params["theta"])
        rows.append((update + 1, rates[update, 0], *(float(value) for value in seen)))
    return pd.DataFrame(rows, columns=["update", "lr", "gradient", "velocity", "step", "theta"])


def momentum_by_hand(momentum: float, length: int, lr: float, updates: int) -> dict[str, pd.DataFrame]:
    """Both forms of momentum on that loss, where the rate is 0 for ``length`` updates and then ``lr``.

    By the form's name; under "none", the same without warmup, in which the forms agree.
    """
    zero, none = Schedule(warmup="zero", length=length), Schedule()
    classic, inside = (Optimizer(name=name, momentum=momentum) for name in ("momentum", "momentum_lr_inside"))
    return {
        "momentum": quadratic_path(classic, zero, lr, updates),
        "momentum_lr_inside": quadratic_path(inside, zero, lr, updates),
        "none": quadratic_path(classic, none, lr, updates - length),
    }
