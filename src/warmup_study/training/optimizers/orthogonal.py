"""The kernel of Muon: weight matrices step along the orthogonal factor of their velocity, all else as Adam does.

With gradient g, matrix p and the Newton-Schulz iteration NS, one update is v <- keep v + add g,
p <- shrink_matrix p - rate NS(ahead v + direct g), where the rate is original sqrt(max(1, out/in)) +
matched sqrt(max(out, in)). Whatever has no velocity takes the adaptive kernel's update, with columns of its own.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from warmup_study.training.optimizers import adaptive
from warmup_study.training.optimizers.columns import Columns, Floats, ramped, setting, survives, updates
from warmup_study.training.optimizers.settings import Optimizer

KINDS = (*adaptive.KINDS, "velocity")
ADAMS_SIZE = 0.2  # root mean square of AdamW's updates as Liu et al. 2025 measured it (arXiv 2502.16982)

_LINEAR, _CUBIC, _QUINTIC = 3.4445, -4.7750, 2.0315  # torch.optim.Muon's, after Keller Jordan
_ITERATIONS, _LEAST_NORM = 5, 1e-7


def table(optimizers: Sequence[Optimizer], rates: Floats) -> Columns:
    """Columns [T, R] of the kernel; Adam's part takes ``adam_lr_ratio`` times the learning rates."""
    update, matched = updates(rates), setting(optimizers, "match_rms") > 0
    momentum = ramped(optimizers, "momentum", update)
    return adaptive.table(optimizers, rates * setting(optimizers, "adam_lr_ratio")) | {
        "shrink_matrix": 1.0 - rates * setting(optimizers, "weight_decay"),
        "keep": momentum * survives(optimizers, update),
        "add": 1.0 - momentum,
        "ahead": momentum,
        "direct": 1.0 - momentum,
        "original": np.where(matched, 0.0, rates),
        "matched": np.where(matched, ADAMS_SIZE * rates, 0.0),
    }


def step(param: Tensor, grad: Tensor, state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> None:
    """One update of one parameter, in place: of a matrix [R, out, in], or of anything else [R, ...] by Adam."""
    if "velocity" not in state:
        adaptive.step(param, grad, state, row)
        return
    out, into = param.shape[1:]
    velocity = state["velocity"].mul_(row["keep"]).add_(row["add"] * grad)
    direction = orthogonalised(row["ahead"] * velocity + row["direct"] * grad)
    rate = row["original"] * math.sqrt(max(1, out / into)) + row["matched"] * math.sqrt(max(out, into))
    param.mul_(row["shrink_matrix"]).sub_(rate * direction)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Nearly U Vᵀ of each of the matrices [R, out, in] = U S Vᵀ: five Newton-Schulz iterations of torch.optim.Muon.

    Its singular values end between 0.7 and 1.2 unless they began next to nothing. torch rounds to bfloat16 on the way,
    for speed on GPUs; here the precision is the parameters'.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    rows = torch.linalg.vector_norm(wide, dim=2, keepdim=True)  # norms in two steps: Inductor fails on one over both
    wide = wide / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=_LEAST_NORM)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=_CUBIC, alpha=_QUINTIC)
        wide = torch.baddbmm(wide, polynomial, wide, beta=_LINEAR)
    return wide.mT if tall else wide


def linear_weights(network: nn.Module) -> frozenset[str]:
    """Names of the parameters that are weights of linear layers, the matrices of Muon; those tied to embeddings not."""
    layers = list(network.modules())
    linear = {id(layer.weight) for layer in layers if isinstance(layer, nn.Linear)}
    embedded = {id(layer.weight) for layer in layers if isinstance(layer, nn.Embedding)}
    return frozenset(name for name, param in network.named_parameters() if id(param) in linear - embedded)
