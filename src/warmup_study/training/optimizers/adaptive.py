"""The kernel of rules that divide by the root of a sum of squared gradients: Adam, its kin, and Adagrad.

With gradient g and parameter p, one update is g <- g + l2 p, m <- keep1 m + add1 g, v <- keep2 v + add2 g^2,
p <- shrink p - m (scaled / (root sqrt(v) + eps) + plain).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from warmup_study.training.optimizers.columns import (
    Columns,
    Floats,
    Integers,
    counter,
    named,
    setting,
    survives,
    updates,
)
from warmup_study.training.optimizers.settings import Optimizer
from warmup_study.training.rectifier import rectifier

KINDS = ("first", "second")


def table(optimizers: Sequence[Optimizer], rates: Floats) -> Columns:
    """Columns [T, R] of the kernel.

    RMSProp and Adagrad are Adam with a first moment that remembers nothing; Adagrad's second forgets nothing.
    """
    decay, decoupled = setting(optimizers, "weight_decay"), named(optimizers, "adamw", "muon")
    return {
        "l2": np.where(decoupled, 0.0, decay),
        "shrink": np.where(decoupled, 1.0 - rates * decay, 1.0),
        "eps": setting(optimizers, "eps"),
        **_moments(optimizers, updates(rates)),
        **_steps(optimizers, rates),
    }


def step(param: Tensor, grad: Tensor, state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> None:
    """One update of one parameter [R, ...], in place."""
    grad = grad + row["l2"] * param
    first = state["first"].mul_(row["keep1"]).add_(row["add1"] * grad)
    second = state["second"].mul_(row["keep2"]).add_(row["add2"] * grad * grad)
    rate = row["scaled"] / (row["root"] * second.sqrt() + row["eps"]) + row["plain"]
    param.mul_(row["shrink"]).sub_(first * rate)


def _moments(optimizers: Sequence[Optimizer], update: Integers) -> Columns:
    """How both moments average: kept share and weight of the new gradient."""
    beta1, beta2, sums = setting(optimizers, "beta1"), setting(optimizers, "beta2"), named(optimizers, "adagrad")
    frozen, kept = update <= setting(optimizers, "freeze_first_until"), survives(optimizers, update)
    first_gradient = ((update == 1) & (setting(optimizers, "updates_before") == 0)) | (kept == 0)
    set_by_it = first_gradient & (setting(optimizers, "first_gradient_init") > 0)
    return {
        "keep1": beta1 * kept,
        "add1": np.where(frozen, 0.0, 1.0 - beta1),
        "keep2": np.where(sums, 1.0, beta2) * kept,
        "add2": np.where(set_by_it | sums, 1.0, 1.0 - beta2),
    }


def _steps(optimizers: Sequence[Optimizer], rates: Floats) -> Columns:
    """How the moments make a step: bias corrections, and RAdam's rectifier (Liu et al. 2019, as in torch)."""
    beta1, beta2 = setting(optimizers, "beta1"), setting(optimizers, "beta2")
    count1, count2 = (counter(optimizers, updates(rates), f"count{moment}_from") for moment in (1, 2))
    corrects = setting(optimizers, "first_moment_correction"), setting(optimizers, "bias_correction", absent=1)
    first = np.where(corrects[0], 1.0 - beta1**count1, 1.0)
    second = np.where(corrects[1], 1.0 - beta2**count2, 1.0)
    step, radam, rectified = rates / first, named(optimizers, "radam"), rectifier(beta2, count2, beta2**count2)
    return {
        "scaled": np.where(radam, step * rectified * np.sqrt(second), step),
        "plain": np.where(radam & (rectified == 0), step, 0.0),
        "root": np.where(radam, 1.0, 1.0 / np.sqrt(second)),  # torch's RAdam adds eps to the uncorrected root
    }
