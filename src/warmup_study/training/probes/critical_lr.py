"""The critical learning rate: how far along an update's direction the loss is still no higher than where it began.

Kalra 2026 (arXiv 2601.16979) finds it with forward passes alone. For one step of gradient descent on a quadratic loss
it is twice the gradient's squared length over its curvature along itself: 2 g·g / g·Hg.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, flat, unflat

LOWEST, DOUBLINGS = 1e-7, 36  # the rates tried: up to 1e-7 · 2^35, about 3,400
HALVINGS = 5  # of the last doubling, which leave the answer certain to 2 %
_RISE = 1e-5  # of the loss: below it, a rise may be rounding


def critical_lr(seen: UpdateContext) -> Tensor:
    """Smallest rate at which a step in the direction of the update raises the training loss.

    The direction is that of the update taken, per unit of learning rate, from the weights before it. NaN where no rate
    that was tried raises the loss, at a rate of 0, and for weights that are no longer finite.
    """
    start, direction = flat(seen.before), torch.div(seen.step, seen.rate[:, None])
    at_start = seen.full_batch.losses(seen.before)

    def rises(lrs: Tensor) -> Tensor:
        losses = seen.full_batch.losses(unflat(start + lrs[:, None] * direction, seen.before))
        return ~(losses <= at_start * (1 + _RISE))

    usable = at_start.isfinite() & direction.isfinite().all(1) & (direction != 0).any(1)
    return torch.where(usable, _first_rise(rises, torch.full_like(at_start, LOWEST)), torch.nan)


def _first_rise(rises: Callable[[Tensor], Tensor], lowest: Tensor) -> Tensor:
    """Smallest rate [R] at which it rises, bracketed by doublings and then halved down; NaN where it never does."""
    highest = torch.full_like(lowest, torch.nan)
    for doubling in range(DOUBLINGS):
        lrs = lowest * 2.0**doubling
        highest = torch.where(highest.isnan() & rises(lrs), lrs, highest)
    below, above = highest / 2, highest
    for _ in range(HALVINGS):
        middle = (below * above).sqrt()
        risen = rises(middle)
        below, above = torch.where(risen, below, middle), torch.where(risen, middle, above)
    return (below * above).sqrt()
