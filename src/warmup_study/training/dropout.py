"""Dropout whose masks are a pure function of the run, the update and the call, whatever the run is trained beside.

torch's own masks come from one generator in the order of the calls, so that a run's would depend on its neighbours.
Here every element's fate is a hash of a key (of the run and the update), the number of the call within the forward pass
and the element's place: integer arithmetic that ``vmap`` batches and Inductor compiles.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Whole = TypeVar("Whole", int, Tensor, NDArray[np.int64])

_LARGEST = 2**32 - 1
_MULTIPLIER = 0x45D9F3B  # of a hash of 32 bits, small enough for products of signed 64 bits
_BATCHED = {"dropout1d": 3, "dropout2d": 3, "dropout3d": 5}  # dimensions from which the first counts examples


def keys(seeds: Sequence[int], updates: int, done: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Keys [T, R] of the masks of R runs at every update, each after so many ``done`` before (default: none)."""
    steps = np.arange(1, updates + 1, dtype=np.int64)[:, None] + np.asarray(done or 0, dtype=np.int64)
    return _mixed(_mixed(np.asarray(seeds, dtype=np.int64))[None] ^ _mixed(steps))


@contextmanager
def drawn_from(key: Tensor | None) -> Iterator[None]:
    """Within, torch's dropout layers and attention draw their masks from a scalar key; without one nothing is dropped.

    What draws otherwise, such as ``torch.rand`` in a network's own code, is left to torch.
    """
    masks = _Masks(key)
    own: dict[str, Any] = {"dropout": masks.dropout, "scaled_dot_product_attention": masks.attention}
    own |= {name: masks.of_channels(least) for name, least in _BATCHED.items()}
    usual = {name: getattr(functional, name) for name in own}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused inference has no batching rule
    _replace(own)
    try:
        yield
    finally:
        _replace(usual)
        torch.backends.mha.set_fastpath_enabled(fast)


def _replace(functions: dict[str, Any]) -> None:
    for name, function in functions.items():
        setattr(functional, name, function)


class _Masks:
    """The masks of one forward pass, and torch's functions that use them."""

    def __init__(self, key: Tensor | None) -> None:
        self.key, self.calls = key, 0

    def dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """In place of ``torch.nn.functional.dropout``."""
        return self._dropped(input, input.shape, p, training, inplace)

    def of_channels(self, batched: int) -> Callable[..., Tensor]:
        """In place of ``torch.nn.functional.dropout1d`` and its like: whole channels are kept or dropped."""

        def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            leading = 2 if input.dim() >= batched else 1
            shape = (*input.shape[:leading], *[1] * (input.dim() - leading))
            return self._dropped(input, shape, p, training, inplace)

        return dropout

    def _dropped(self, input: Tensor, shape: Sequence[int], p: float, training: bool, inplace: bool) -> Tensor:
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        if not training or p == 0 or self.key is None:
            return input
        factors = self._kept(self.key, shape, p).to(input.dtype) * (1 / (1 - p) if p < 1 else 0.0)
        return input.mul_(factors) if inplace else input * factors

    def _kept(self, key: Tensor, shape: Sequence[int], p: float) -> Tensor:
        """Which elements stay, [*shape]."""
        self.calls += 1
        places = torch.arange(math.prod(shape), device=key.device).view(*shape)
        return _mixed(_mixed(key ^ _mixed(self.calls)) ^ _mixed(places)) >= round(p * (_LARGEST + 1))

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """In place of ``torch.nn.functional.scaled_dot_product_attention``: its documented formula, written out."""
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (part.repeat_interleave(groups, -3) for part in (key, value))
        logits = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
        if attn_mask is not None:
            hidden = attn_mask.dtype == torch.bool
            logits = logits.masked_fill(~attn_mask, -math.inf) if hidden else logits + attn_mask
        return self.dropout(logits.softmax(-1), dropout_p) @ value


def _mixed(words: Whole) -> Whole:
    """A hash of 32-bit numbers, kept in 64 bits (Mueller's, two rounds of multiply and shift)."""
    for _ in range(2):
        words = (((words >> 16) ^ words) * _MULTIPLIER) & _LARGEST
    return (words >> 16) ^ words
