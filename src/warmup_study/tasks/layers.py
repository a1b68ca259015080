"""torch's layers, with the same weights, on activations [features, ..., B] whose B examples come last.

So the axis that is long lies innermost: compiled code works on whole vectors of examples wherever torch's own layout
would have it work on rows of 8 or 16 numbers, and products have hundreds of columns.
"""

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import functional


class ExamplesLast(nn.Sequential):
    """Layers in a row, from a batch [B, ...] as everybody gives it to outputs [B, ...] as everybody takes them."""

    examples_axis = -1  # of what the layers within pass on

    def forward(self, batch: Tensor) -> Tensor:
        """[B, ...] -> [B, ...]."""
        outputs: Tensor = super().forward(batch.movedim(0, -1))  # type: ignore[no-untyped-call]
        return outputs.movedim(-1, 0)


class Linear(nn.Linear):
    """A linear map of the features: [in, ..., B] -> [out, ..., B]."""

    def forward(self, x: Tensor) -> Tensor:
        """W x + b at every place and example."""
        products: Tensor = self.weight @ x.flatten(1) + self.bias.unsqueeze(-1)
        return products.view(-1, *x.shape[1:])


class LayerNorm(nn.LayerNorm):
    """Normalisation over the features: [features, ..., B] -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        """To mean 0 and variance 1, then scaled and shifted."""
        centred = x - x.mean(0)
        normalised = centred * (centred.square().mean(0) + self.eps).rsqrt()
        each = (-1, *[1] * (x.ndim - 1))
        return normalised * self.weight.view(each) + self.bias.view(each)


class Conv1d(nn.Conv1d):
    """A convolution over places: [in, places, B] -> [out, places, B], as one product over all windows."""

    def forward(self, x: Tensor) -> Tensor:
        """Kernel times window, plus bias, at every stride."""
        (taps,), (stride,), (margin,) = self.kernel_size, self.stride, (int(self.padding[0]),)
        padded = functional.pad(x, (0, 0, margin, margin))
        places = (padded.shape[1] - taps) // stride + 1
        reach = stride * (places - 1) + 1
        windows = torch.stack([padded[:, tap : tap + reach : stride] for tap in range(taps)], dim=1)
        products: Tensor = self.weight.flatten(1) @ windows.flatten(0, 1).flatten(1)
        if self.bias is not None:
            products = products + self.bias.unsqueeze(-1)
        return products.view(-1, places, x.shape[-1])


def contracted(equation: str, axes: str, left: Tensor, right: Tensor) -> Tensor:
    """``torch.einsum`` of two tensors with one axis to sum over; ``axes`` are all there are, in the output's order.

    Where a compiler traces it, it is a sum of elementwise products: along the examples these are whole vectors, where
    batched matrix products would need copies in another order. Run as it stands, that would fill the memory.
    """
    if get_proxy_mode() is None:
        return torch.einsum(equation, left, right)
    inputs, output = equation.split("->")
    spread = [
        factor[tuple(slice(None) if axis in own else None for axis in axes)]
        for own, factor in zip(inputs.split(","), (left, right), strict=True)
    ]
    (summed,) = (place for place, axis in enumerate(axes) if axis not in output)
    return (spread[0] * spread[1]).sum(summed)
