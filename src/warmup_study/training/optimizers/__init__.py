"""Update rules on stacked parameters: R runs at once, each with its own hyperparameters.

A rule is a table of coefficients [T, R], worked out ahead in float64 from the settings and the learning rates, and one
of four kernels, a module each that says what one update is. Every switch is a number in the table, so the kernels have
no branches.

At a learning rate of 0 the parameters keep their bits; only ``momentum_lr_inside`` coasts on a velocity it already has.
All velocities and first moments point uphill, along the gradient.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from warmup_study.training.optimizers import adaptive, momentum, orthogonal, sign
from warmup_study.training.optimizers.columns import Columns, Floats
from warmup_study.training.optimizers.orthogonal import linear_weights
from warmup_study.training.optimizers.settings import KERNELS, SETTINGS, Kernel, Name, Optimizer

__all__ = [
    "KERNELS",
    "SETTINGS",
    "Kernel",
    "Name",
    "Optimizer",
    "apply",
    "coefficients",
    "initial_state",
    "linear_weights",
]

Stacks = dict[str, Tensor]


class _Kernel(NamedTuple):
    kinds: tuple[str, ...]
    table: Callable[[Sequence[Optimizer], Floats], Columns]
    step: Callable[[Tensor, Tensor, Mapping[str, Tensor], Mapping[str, Tensor]], None]


_KERNELS: dict[Kernel, _Kernel] = {
    "momentum": _Kernel(momentum.KINDS, momentum.table, momentum.step),
    "adaptive": _Kernel(adaptive.KINDS, adaptive.table, adaptive.step),
    "sign": _Kernel(sign.KINDS, sign.table, sign.step),
    "orthogonal": _Kernel(orthogonal.KINDS, orthogonal.table, orthogonal.step),
}


def coefficients(optimizers: Sequence[Optimizer], rates: Floats) -> Columns:
    """Columns [T, R] of the kernel's table, for R optimisers of one kernel at the learning rates [T, R].

    Raises ValueError where the kernels are mixed or the rates do not fit.
    """
    kernels = {optimizer.kernel for optimizer in optimizers}
    if len(kernels) != 1:
        raise ValueError(f"one stack takes optimisers of one kernel, got {sorted(kernels)}")
    if rates.ndim != 2 or rates.shape[1] != len(optimizers):
        raise ValueError(f"rates must be [T, {len(optimizers)}], got {list(rates.shape)}")
    columns = _KERNELS[kernels.pop()].table(optimizers, rates.astype(np.float64))
    return {name: np.array(np.broadcast_to(column, rates.shape)) for name, column in columns.items()}


def initial_state(kernel: Kernel, params: Mapping[str, Tensor], matrices: Collection[str] = ()) -> dict[str, Stacks]:
    """Zero state of a kernel by kind: ``velocity``, or the moments ``first`` and ``second``, each shaped as `params`.

    Under the orthogonal kernel the parameters named in ``matrices`` (see :func:`linear_weights`) have a velocity, all
    others both moments; elsewhere they are like the others.
    """

    def has(kind: str, name: str) -> bool:
        return kernel != "orthogonal" or (kind == "velocity") == (name in matrices)

    return {
        kind: {name: torch.zeros_like(param) for name, param in params.items() if has(kind, name)}
        for kind in _KERNELS[kernel].kinds
    }


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
    step = _KERNELS[kernel].step
    for name, param in params.items():
        shape = (-1, *[1] * (param.ndim - 1))
        columns = {key: column.reshape(shape) for key, column in row.items()}
        step(param, grads[name], {kind: stacks[name] for kind, stacks in state.items() if name in stacks}, columns)
