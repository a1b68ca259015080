"""Probes of a Transformer: what its attention looks at, and how hard each of its layers is pushed.

All are NaN for a network without what they look at, and for weights that are no longer finite.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, length, unflat


def attention_logit(seen: UpdateContext) -> Tensor:
    """Largest absolute attention logit over examples, layers, heads and tokens, after the update."""
    return _over_layers(seen, lambda rows: rows.masked_fill(rows.isneginf(), 0.0).abs().amax((1, 2))).amax(0)


def attention_entropy(seen: UpdateContext) -> Tensor:
    """Mean entropy of the attention weights over that of looking everywhere alike, after the update.

    1 is even attention, 0 is all of it on one token. A token that has one place to look at does not count.
    """
    return _over_layers(seen, _evenness).mean(0)


def _evenness(rows: Tensor) -> Tensor:
    weights, places = rows.softmax(-1), (~rows.isneginf()).sum(-1)
    entropy = -torch.special.xlogy(weights, weights).sum(-1)
    choice = places > 1
    return torch.div(torch.where(choice, entropy / places.log(), 0.0).sum(1), choice.sum(1))


def _over_layers(seen: UpdateContext, measured: Callable[[Tensor], Tensor]) -> Tensor:
    """What is measured of the rows [R, N, T] that enter each softmax: [layers, R], one row of NaN without any."""
    layers = seen.full_batch.attention_logits(seen.after)
    if not layers:
        return torch.full_like(seen.loss, torch.nan)[None]
    return torch.stack([measured(logits.flatten(1, -2)) for logits in layers])


def gradient_embedding(seen: UpdateContext) -> Tensor:
    """Length of the gradient over the training split with respect to the embedding, before the update."""
    return _pushed(seen, "embed.", "position")


def gradient_first_block(seen: UpdateContext) -> Tensor:
    """The same with respect to the first block."""
    return _pushed(seen, "blocks.0.")


def gradient_last_block(seen: UpdateContext) -> Tensor:
    """The same with respect to the last block."""
    blocks = {int(name.split(".")[1]) for name in seen.before if name.startswith("blocks.")}
    return _pushed(seen, f"blocks.{max(blocks, default=0)}.")


def gradient_head(seen: UpdateContext) -> Tensor:
    """The same with respect to the head."""
    return _pushed(seen, "head.")


def _pushed(seen: UpdateContext, *prefixes: str) -> Tensor:
    gradient = unflat(seen.descent, seen.before)
    parts = [part.reshape(len(part), -1) for name, part in gradient.items() if name.startswith(prefixes)]
    return length(torch.cat(parts, dim=1)) if parts else torch.full_like(seen.loss, torch.nan)
