"""The kernel of rules that step by the sign of an averaged gradient: Lion, and signSGD with momentum.

With gradient g and parameter p, one update is g <- g + l2 p, c = from_first m + from_gradient g, m <- keep m + add g,
p <- shrink p - rate sign(c).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from warmup_study.training.optimizers.columns import Columns, Floats, named, ramped, setting, survives, updates
from warmup_study.training.optimizers.settings import Optimizer

KINDS = ("first",)


def table(optimizers: Sequence[Optimizer], rates: Floats) -> Columns:
    """Columns [T, R] of the kernel; signSGD keeps the very average that it takes the sign of."""
    update, lion, decay = updates(rates), named(optimizers, "lion"), setting(optimizers, "weight_decay")
    looked_at = np.where(lion, ramped(optimizers, "beta1", update), ramped(optimizers, "momentum", update))
    kept = np.where(lion, setting(optimizers, "beta2"), looked_at)
    return {
        "l2": np.where(lion, 0.0, decay),
        "shrink": np.where(lion, 1.0 - rates * decay, 1.0),
        "rate": rates,
        "from_first": looked_at * survives(optimizers, update),
        "from_gradient": 1.0 - looked_at,
        "keep": kept * survives(optimizers, update),
        "add": 1.0 - kept,
    }


def step(param: Tensor, grad: Tensor, state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> None:
    """One update of one parameter [R, ...], in place."""
    grad = grad + row["l2"] * param
    direction = row["from_first"] * state["first"] + row["from_gradient"] * grad
    state["first"].mul_(row["keep"]).add_(row["add"] * grad)
    param.mul_(row["shrink"]).sub_(row["rate"] * direction.sign())
