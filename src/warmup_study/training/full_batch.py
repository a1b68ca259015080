"""The loss over the training split, as a function of stacked weights: its slope, curvature and hidden units."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from warmup_study.training import batches
from warmup_study.training.examples import Examples
from warmup_study.training.members import Members

Stacks = dict[str, Tensor]

FRESH_SEED, FRESH_BATCHES = 2**31, 16  # batches that no run trains in that order, for the mean squared gradient
_RECTIFIERS = (nn.ReLU, nn.LeakyReLU)
MOST = 4096  # training examples that are looked at, evenly spread over those that there are
_TRIED = 512  # training examples whose loss is taken at many weights
_ATTENDED = 64  # training examples on which attention is looked at


@dataclass(frozen=True)
class FullBatch:
    """What can be asked of R runs at any weights: dict of [R, ...], as all its methods take and return.

    ``examples`` are each run's training split or, of a larger one, ``MOST`` of it; ``batch`` is the number of examples
    in a batch of the training that is looked at. Losses are taken ``piece`` examples at a time and averaged, at once
    where it is None. Nothing is dropped out.
    """

    members: Members
    examples: Examples
    batch: int
    piece: int | None = None

    def losses(self, params: Stacks) -> Tensor:
        """Mean loss [R] of some training examples, evenly spread over the split."""
        return self.members.example_losses(params, self.examples.thinned(_TRIED)).mean(1)

    def gradient(self, params: Stacks) -> Stacks:
        """Gradient over the whole training split."""
        return self._mean(partial(self.members.gradient, params))

    def squared_gradient(self, params: Stacks) -> Stacks:
        """Mean squared gradient over fresh batches, the same ones at every call."""
        order = batches.batch_order(FRESH_SEED, len(self.examples), self.batch, FRESH_BATCHES)
        total = {name: torch.zeros_like(stack) for name, stack in params.items()}
        for picked in torch.as_tensor(order, device=self.examples.split.targets.device):
            gradients = self.members.gradient(params, self.examples.taken(picked))
            for name, gradient in gradients.items():
                total[name] += gradient.square() / FRESH_BATCHES
        return total

    def hessian_product(self, params: Stacks, direction: Stacks) -> Stacks:
        """Hessian of the loss over the whole training split times one direction for each run."""
        return self._mean(partial(self.members.hessian_product, params, direction))

    def _mean(self, derivative: Callable[[Examples], Stacks]) -> Stacks:
        """Mean over all examples of what is linear in their losses."""
        total: Stacks = {}
        for piece in self.examples.pieces(self.piece):
            for name, value in derivative(piece).items():
                part = len(piece) / len(self.examples) * value
                total[name] = total[name] + part if name in total else part
        return total

    def rectified(self, params: Stacks) -> tuple[Tensor, ...]:
        """What the model's (leaky) ReLUs put out on the training split, layer by layer: each [R, N, ..., units]."""
        return self.members.overheard(params, self.examples, _RECTIFIERS, lambda entering, output: output)

    def attention_logits(self, params: Stacks) -> tuple[Tensor, ...]:
        """What enters the model's softmaxes on some training examples, layer by layer: each [R, N, heads, T, T]."""
        few = self.examples.taken(slice(_ATTENDED))
        return self.members.overheard(params, few, (nn.Softmax,), lambda entering, output: entering)
