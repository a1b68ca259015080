"""The kernel of SGD: plain, with momentum in both of its forms, and with Nesterov's.

With gradient g and parameter p, one update is g <- g + l2 p, v <- keep v + add g, p <- p - (along v + direct g).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from warmup_study.training.optimizers.columns import Columns, Floats, named, ramped, setting, survives, updates
from warmup_study.training.optimizers.settings import Optimizer

KINDS = ("velocity",)


def table(optimizers: Sequence[Optimizer], rates: Floats) -> Columns:
    """Columns [T, R] of the kernel; SGD is Nesterov's rule with a momentum of 0."""
    update = updates(rates)
    momentum = ramped(optimizers, "momentum", update)
    inside, ahead = named(optimizers, "momentum_lr_inside"), named(optimizers, "sgd", "nesterov")
    return {
        "l2": setting(optimizers, "weight_decay"),
        "keep": momentum * survives(optimizers, update),
        "add": np.where(inside, rates, 1.0),
        "along": np.where(inside, 1.0, np.where(ahead, rates * momentum, rates)),
        "direct": np.where(ahead, rates, 0.0),
    }


def step(param: Tensor, grad: Tensor, state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> None:
    """One update of one parameter [R, ...], in place."""
    grad = grad + row["l2"] * param
    velocity = state["velocity"].mul_(row["keep"]).add_(row["add"] * grad)
    param.sub_(row["along"] * velocity + row["direct"] * grad)
