"""Probes of hidden units."""

import torch
from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, flat


def dead_share(seen: UpdateContext) -> Tensor:
    """Share of the rectified units that are off on every training example, after the update.

    A unit that works at several places, as in a convolution, counts at each of them.

    A ReLU unit that is off on all of them gets no gradient, and nothing but chance in other layers wakes it. Of leaky
    ReLUs, whose output is negative there instead of 0 and which go on learning, the same share is given. NaN for a
    network without either, or whose weights are no longer finite.
    """
    layers = [(outputs <= 0).all(1).flatten(1) for outputs in seen.full_batch.rectified(seen.after)]
    finite = flat(seen.after).isfinite().all(1)
    off = torch.cat(layers, dim=1).to(seen.loss.dtype).mean(1) if layers else torch.full_like(seen.loss, torch.nan)
    return torch.where(finite, off, torch.nan)
