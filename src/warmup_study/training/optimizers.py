"""Update rules on stacked parameters: R runs at once, each with its own hyperparameters.

A rule is a table of coefficients [T, R], worked out ahead in float64 from the settings and the learning rates,
and one of two elementwise kernels. Every switch is a number in the table, so the kernels have no branches. With
gradient g, parameter p, and all other letters columns of the table, one update of the kernel

- ``momentum`` is   g <- g + l2 p,  v <- keep v + add g,  p <- p - (along v + direct g);
- ``adaptive`` is   g <- g + l2 p,  m <- keep1 m + add1 g,  v <- keep2 v + add2 g^2,
  p <- shrink p - m (scaled / (root sqrt(v) + eps) + plain).

At a learning rate of 0 the parameters keep their bits; only ``momentum_lr_inside`` coasts on a velocity it already has.
All velocities and first moments point uphill, along the gradient.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

Name = Literal["sgd", "momentum", "momentum_lr_inside", "nesterov", "rmsprop", "adam", "adamw", "radam"]
Kernel = Literal["momentum", "adaptive"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Stacks = dict[str, Tensor]
Kept = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]

_VELOCITY: dict[str, Any] = {"weight_decay": 0.0, "momentum": 0.9, "momentum_ramp": 0, "reset_at": 0}
_SQUARES: dict[str, Any] = {
    "weight_decay": 0.0,
    "beta2": 0.999,
    "eps": 1e-8,
    "reset_at": 0,
    "keep_counter": False,
    "count2_from": 0,
    "updates_before": 0,
}
_CORRECTED: dict[str, Any] = {"bias_correction": True, "first_gradient_init": False}
_MOMENTS: dict[str, Any] = _SQUARES | {
    "beta1": 0.9,
    "first_moment_correction": True,
    "freeze_first_until": 0,
    "count1_from": 0,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"weight_decay": 0.0},
    "momentum": _VELOCITY,
    "momentum_lr_inside": _VELOCITY,
    "nesterov": _VELOCITY,
    "rmsprop": _SQUARES | _CORRECTED | {"beta2": 0.99, "bias_correction": False},
    "adam": _MOMENTS | _CORRECTED,
    "adamw": _MOMENTS | _CORRECTED | {"weight_decay": 0.01},
    "radam": _MOMENTS,
}
"""What each optimiser takes, with the defaults: torch's, and a momentum of 0.9."""


class Optimizer(BaseModel):
    """An update rule and its settings; a setting that the rule has no use for is refused.

    Names are torch.optim's, with ``momentum`` and ``nesterov`` for its SGD; ``momentum_lr_inside`` puts the learning
    rate into the velocity, v <- mu v + lr g, p <- p - v (Sutskever et al. 2013, Caffe, TensorFlow), so that a change of
    rate acts on later gradients alone. ``beta2`` is also RMSProp's alpha. ``weight_decay`` is added to the gradient,
    but decoupled in ``adamw``. None stands for the default of the rule (`SETTINGS`).

    Updates count from 1, and a switch at 0 is off:

    - ``momentum_ramp``: the momentum rises linearly, mu (i - 1)/k at update i <= k, then mu;
    - ``bias_correction``: divide the second moment by 1 - beta2^t (RAdam's is built in);
    - ``first_moment_correction``: divide the first moment by 1 - beta1^t;
    - ``first_gradient_init``: the first gradient, also the first after a reset, sets v = g^2;
    - ``freeze_first_until``: the first moment stays 0 up to this update, so that only decoupled weight decay acts;
    - ``reset_at``: all state is zeroed after this update. The counters t of both corrections start again, too,
      as the correction of a moment restarted from 0 has to, unless ``keep_counter`` lets them run on;
    - ``count1_from``, ``count2_from``: the counter of one moment alone starts again after this update;
    - ``updates_before``: updates that the state has seen before the first, so that the counters t go on from there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Name
    momentum: Kept | None = None
    beta1: Kept | None = None
    beta2: Kept | None = None
    eps: Annotated[float, Field(gt=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    momentum_ramp: Count = 0
    bias_correction: bool | None = None
    first_moment_correction: bool = True
    first_gradient_init: bool = False
    freeze_first_until: Count = 0
    reset_at: Count = 0
    keep_counter: bool = False
    count1_from: Count = 0
    count2_from: Count = 0
    updates_before: Count = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        """Replace None by the default of the rule."""
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or name not in SETTINGS:
            return given  # for the field's own check to report
        return SETTINGS[name] | {field: value for field, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _refuse_idle_settings(self) -> "Optimizer":
        """Refuse a setting that would change nothing."""
        for field, info in type(self).model_fields.items():
            idle = field != "name" and field not in SETTINGS[self.name]
            if idle and getattr(self, field) != info.default:
                takes = ", ".join(sorted(SETTINGS[self.name]))
                raise ValueError(f"{self.name} has no {field}, got {getattr(self, field)!r}; it takes {takes}")
        return self

    @property
    def kernel(self) -> Kernel:
        """The kernel that carries out the rule; runs of one kernel can share a stack."""
        return "adaptive" if self.beta2 is not None else "momentum"


def coefficients(optimizers: Sequence[Optimizer], rates: Floats) -> dict[str, Floats]:
    """Columns [T, R] of the kernel's table, for R optimisers of one kernel at the learning rates [T, R].

    Raises ValueError where the kernels are mixed or the rates do not fit.
    """
    kernels = {optimizer.kernel for optimizer in optimizers}
    if len(kernels) != 1:
        raise ValueError(f"one stack takes optimisers of one kernel, got {sorted(kernels)}")
    if rates.ndim != 2 or rates.shape[1] != len(optimizers):
        raise ValueError(f"rates must be [T, {len(optimizers)}], got {list(rates.shape)}")
    table = _momentum_table if kernels == {"momentum"} else _adaptive_table
    columns = table(optimizers, rates.astype(np.float64))
    return {name: np.array(np.broadcast_to(column, rates.shape)) for name, column in columns.items()}


def _momentum_table(optimizers: Sequence[Optimizer], rates: Floats) -> dict[str, Floats]:
    """Columns of the momentum kernel; SGD is Nesterov's rule with a momentum of 0."""
    update = _updates(rates)
    ramp = _column(optimizers, "momentum_ramp")
    rise = np.where(ramp > 0, np.minimum(1.0, (update - 1) / np.maximum(ramp, 1)), 1.0)
    momentum = _column(optimizers, "momentum") * rise
    inside, ahead = _named(optimizers, "momentum_lr_inside"), _named(optimizers, "sgd", "nesterov")
    return {
        "l2": _column(optimizers, "weight_decay"),
        "keep": momentum * _survives(optimizers, update),
        "add": np.where(inside, rates, 1.0),
        "along": np.where(inside, 1.0, np.where(ahead, rates * momentum, rates)),
        "direct": np.where(ahead, rates, 0.0),
    }


def _adaptive_table(optimizers: Sequence[Optimizer], rates: Floats) -> dict[str, Floats]:
    """Columns of the adaptive kernel; RMSProp is Adam with a first moment that remembers nothing."""
    decay, decoupled = _column(optimizers, "weight_decay"), _named(optimizers, "adamw")
    return {
        "l2": np.where(decoupled, 0.0, decay),
        "shrink": np.where(decoupled, 1.0 - rates * decay, 1.0),
        "eps": _column(optimizers, "eps"),
        **_moment_columns(optimizers, _updates(rates)),
        **_step_columns(optimizers, rates),
    }


def _moment_columns(optimizers: Sequence[Optimizer], update: Integers) -> dict[str, Floats]:
    """How both moments average: kept share and weight of the new gradient."""
    beta1, beta2 = _column(optimizers, "beta1"), _column(optimizers, "beta2")
    frozen = update <= _column(optimizers, "freeze_first_until")
    survives = _survives(optimizers, update)
    first_gradient = (update + _column(optimizers, "updates_before") == 1) | (survives == 0)
    set_by_it = first_gradient & (_column(optimizers, "first_gradient_init") > 0)
    return {
        "keep1": beta1 * survives,
        "add1": np.where(frozen, 0.0, 1.0 - beta1),
        "keep2": beta2 * survives,
        "add2": np.where(set_by_it, 1.0, 1.0 - beta2),
    }


def _step_columns(optimizers: Sequence[Optimizer], rates: Floats) -> dict[str, Floats]:
    """How the moments make a step: bias corrections, and RAdam's rectifier (Liu et al. 2019, as in torch)."""
    beta1, beta2 = _column(optimizers, "beta1"), _column(optimizers, "beta2")
    count1, count2 = (_counter(optimizers, _updates(rates), f"count{moment}_from") for moment in (1, 2))
    corrects = _column(optimizers, "first_moment_correction"), _column(optimizers, "bias_correction", absent=1)
    first = np.where(corrects[0], 1.0 - beta1**count1, 1.0)
    second = np.where(corrects[1], 1.0 - beta2**count2, 1.0)
    step, radam, rectifier = rates / first, _named(optimizers, "radam"), _rectifier(beta2, count2)
    return {
        "scaled": np.where(radam, step * rectifier * np.sqrt(second), step),
        "plain": np.where(radam & (rectifier == 0), step, 0.0),
        "root": np.where(radam, 1.0, 1.0 / np.sqrt(second)),  # torch's RAdam adds eps to the uncorrected root
    }


def _rectifier(beta2: Floats, count: Integers) -> Floats:
    """RAdam's variance rectifier r_t, and 0 where the variance is intractable (rho_t <= 5)."""
    longest = np.broadcast_to(2.0 / (1.0 - beta2) - 1.0, count.shape)
    kept = beta2**count
    length = longest - 2.0 * count * kept / (1.0 - kept)
    usable = length > 5.0
    rho, rho_inf = length[usable], longest[usable]
    rectifier = np.zeros(count.shape)
    rectifier[usable] = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    return rectifier


def _counter(optimizers: Sequence[Optimizer], update: Integers, field: str) -> Integers:
    """Number of updates since a moment's bias correction last started, this one included."""
    restart = _column(optimizers, field)
    reset = np.where(_column(optimizers, "keep_counter"), 0, _column(optimizers, "reset_at"))
    latest = np.maximum(np.where(restart < update, restart, 0), np.where(reset < update, reset, 0))
    before = np.where(latest > 0, 0, _column(optimizers, "updates_before"))
    return (update - latest + before).astype(np.int64)


def _survives(optimizers: Sequence[Optimizer], update: Integers) -> Floats:
    """Return 0 at the update after a reset, where the state is forgotten, else 1."""
    reset = _column(optimizers, "reset_at")
    return np.where((reset > 0) & (update == reset + 1), 0.0, 1.0)


def _updates(rates: Floats) -> Integers:
    """Update indices 1..T as a column [T, 1]."""
    return np.arange(1, len(rates) + 1)[:, None]


def _column(optimizers: Sequence[Optimizer], field: str, absent: float = 0.0) -> Floats:
    """One setting of all runs [R]; `absent` where a rule does not have it."""
    values = [getattr(optimizer, field) for optimizer in optimizers]
    return np.array([absent if value is None else value for value in values], dtype=np.float64)


def _named(optimizers: Sequence[Optimizer], *names: Name) -> NDArray[np.bool_]:
    """Tell which runs [R] use one of the named rules."""
    return np.array([optimizer.name in names for optimizer in optimizers])


def initial_state(kernel: Kernel, params: Mapping[str, Tensor]) -> dict[str, Stacks]:
    """Zero state of a kernel: ``velocity``, or the moments ``first`` and ``second``, each shaped as `params`."""
    kinds = ("velocity",) if kernel == "momentum" else ("first", "second")
    return {kind: {name: torch.zeros_like(param) for name, param in params.items()} for kind in kinds}


def apply(
    kernel: Kernel,
    params: Stacks,
    grads: Mapping[str, Tensor],
    state: Mapping[str, Stacks],
    row: Mapping[str, Tensor],
) -> None:
    """Carry out one update in place on stacks [R, ...], with one row of the table as tensors [R].

    Plain enough for torch.compile (whole graph, dynamic shapes).
    """
    step = _momentum_step if kernel == "momentum" else _adaptive_step
    for name, param in params.items():
        shape = (-1, *[1] * (param.ndim - 1))
        columns = {key: column.reshape(shape) for key, column in row.items()}
        step(param, grads[name], {kind: stacks[name] for kind, stacks in state.items()}, columns)


def _momentum_step(param: Tensor, grad: Tensor, state: Stacks, row: Stacks) -> None:
    """One update of one parameter by the momentum kernel."""
    grad = grad + row["l2"] * param
    velocity = state["velocity"].mul_(row["keep"]).add_(row["add"] * grad)
    param.sub_(row["along"] * velocity + row["direct"] * grad)


def _adaptive_step(param: Tensor, grad: Tensor, state: Stacks, row: Stacks) -> None:
    """One update of one parameter by the adaptive kernel."""
    grad = grad + row["l2"] * param
    first = state["first"].mul_(row["keep1"]).add_(row["add1"] * grad)
    second = state["second"].mul_(row["keep2"]).add_(row["add2"] * grad * grad)
    rate = row["scaled"] / (row["root"] * second.sqrt() + row["eps"]) + row["plain"]
    param.mul_(row["shrink"]).sub_(first * rate)
