"""Probes of curvature: the top Hessian eigenvalue of the loss over the whole training split, vectorised over runs.

Lanczos' method with full reorthogonalisation needs nothing but products of the Hessian with a vector, and finds the
top eigenvalue to a per cent in some tens of them. It starts from the gradient, most of which lies in the space of the
top eigenvectors (Gur-Ari et al. 2018, arXiv 1812.04754), with a little noise, lest it be blind to what the gradient
misses.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, flat, length, unflat

PRODUCTS = 16  # with the Hessian, per run and probe
_NOISE, _NOISE_SEED = 0.1, 0


def sharpness(seen: UpdateContext) -> Tensor:
    """Largest eigenvalue of the Hessian, at the weights before the update; NaN where these are not finite."""
    return _top_eigenvalue(seen, torch.ones_like(seen.step))


def preconditioned_sharpness(seen: UpdateContext) -> Tensor:
    """Largest eigenvalue of P^-1/2 H P^-1/2, P being what the rule divides its first moment by (adaptive only).

    P = (1 - beta1^t)(sqrt(v / (1 - beta2^t)) + eps), both bias corrections included as in Cohen et al. 2022 (arXiv
    2207.14484): lr / P is the rate that the kernel multiplies the first moment by. H is taken before the update, P with
    the second moment that the update used. NaN at a learning rate of 0, where the kernel has no such rate.
    """
    shapes = {name: (-1, *[1] * (stack.ndim - 1)) for name, stack in seen.before.items()}
    rates = {}
    for name, second in seen.state["second"].items():
        row = {key: column.reshape(shapes[name]) for key, column in seen.row.items()}
        rates[name] = row["scaled"] / (row["root"] * second.sqrt() + row["eps"]) + row["plain"]
    return _top_eigenvalue(seen, torch.div(flat(rates), seen.rate[:, None]).sqrt())


def _top_eigenvalue(seen: UpdateContext, scale: Tensor) -> Tensor:
    """Largest eigenvalue of S H S for each run, S being diagonal: ``scale`` [R, P]."""

    def product(rows: Tensor) -> Tensor:
        direction = unflat(scale * rows, seen.before)
        return scale * flat(seen.full_batch.hessian_product(seen.before, direction))

    generator = torch.Generator().manual_seed(_NOISE_SEED)
    noise = torch.randn(scale.shape[1], generator=generator).to(scale)  # the same for all: independent of the stack
    start = _unit(scale * seen.descent) + _NOISE * _unit(noise[None])
    return lanczos(product, start, PRODUCTS)


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, products: int) -> Tensor:
    """Largest eigenvalue [R] of R symmetric matrices, given by their products with rows [R, P].

    A run whose search space is exhausted early (as where the matrix is 0) keeps what was found until then.
    """
    basis = [_unit(start)]
    columns: list[Tensor] = []
    for _ in range(min(products, start.shape[1])):
        image = product(basis[-1])
        known, least = torch.stack(basis, dim=1), length(image) * torch.finfo(image.dtype).eps ** 0.5
        columns.append(torch.einsum("rkp,rp->rk", known, image))
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            image = image - torch.einsum("rkp,rk->rp", known, torch.einsum("rkp,rp->rk", known, image))
        basis.append(_unit(image, least))
    return _largest(columns)


def _largest(columns: list[Tensor]) -> Tensor:
    """Largest eigenvalue of the symmetric matrices whose upper triangles are given column by column."""
    size = len(columns)
    upper = torch.stack([torch.nn.functional.pad(column, (0, size - column.shape[1])) for column in columns], dim=2)
    finite = upper.flatten(1).isfinite().all(1)
    whole = torch.where(finite[:, None, None], upper + upper.triu(1).mT, 0.0).double()
    return torch.where(finite, torch.linalg.eigvalsh(whole)[:, -1], torch.nan).to(upper.dtype)


def _unit(rows: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """Rows of length 1; rows that are no longer than ``least`` are 0."""
    lengths = length(rows)
    return torch.where((lengths <= least)[:, None], 0.0, rows / lengths[:, None])
