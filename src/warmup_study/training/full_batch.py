"""The loss over the whole training split, as a function of stacked weights: its slope, curvature and hidden units."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from warmup_study.tasks import Split
from warmup_study.training import batches

Stacks = dict[str, Tensor]
Objective = Callable[[Stacks, Tensor, Tensor], Tensor]

FRESH_SEED, FRESH_BATCHES = 2**31, 16  # batches that no run trains in that order, for the mean squared gradient
_SIDE_BY_SIDE = 16  # runs whose curvature is worked out at once: as many as stay in the cache
_RECTIFIERS = (nn.ReLU, nn.LeakyReLU)
_ATTENDED = 64  # training examples on which attention is looked at


@dataclass(frozen=True)
class FullBatch:
    """What can be asked of R runs at any weights: dict of [R, ...], as all its methods take and return.

    ``objective`` maps one run's weights, inputs and targets to their loss under ``model``; ``batch`` is the number of
    examples in a batch of the training that is looked at.
    """

    objective: Objective
    model: nn.Module
    examples: Split
    batch: int

    def gradient(self, params: Stacks) -> Stacks:
        """Gradient over the whole training split."""
        return self._gradients(params, self.examples.inputs, self.examples.targets)

    def squared_gradient(self, params: Stacks) -> Stacks:
        """Mean squared gradient over fresh batches, the same ones at every call."""
        order = batches.batch_order(FRESH_SEED, len(self.examples), self.batch, FRESH_BATCHES)
        total = {name: torch.zeros_like(stack) for name, stack in params.items()}
        for picked in torch.as_tensor(order, device=self.examples.targets.device):
            gradients = self._gradients(params, self.examples.inputs[picked], self.examples.targets[picked])
            for name, gradient in gradients.items():
                total[name] += gradient.square() / FRESH_BATCHES
        return total

    def _gradients(self, params: Stacks, inputs: Tensor, targets: Tensor) -> Stacks:
        found: Stacks = vmap(grad(self.objective), in_dims=(0, None, None))(params, inputs, targets)
        return found

    def hessian_product(self, params: Stacks, direction: Stacks) -> Stacks:
        """Hessian of the loss over the whole training split times one direction for each run.

        Forward-mode differentiation of the gradient (Pearlmutter 1994): no Hessian is ever formed.
        """

        def product(params: Stacks, direction: Stacks) -> Stacks:
            def slope(at: Stacks) -> Stacks:
                found: Stacks = grad(self.objective)(at, self.examples.inputs, self.examples.targets)
                return found

            along: Stacks = jvp(slope, (params,), (direction,))[1]
            return along

        found: Stacks = vmap(product, chunk_size=_SIDE_BY_SIDE)(params, direction)
        return found

    def rectified(self, params: Stacks) -> tuple[Tensor, ...]:
        """What the model's (leaky) ReLUs put out on the training split, layer by layer: each [R, N, ..., units]."""
        return self._overheard(params, self.examples.inputs, _RECTIFIERS, lambda entering, output: output)

    def attention_logits(self, params: Stacks) -> tuple[Tensor, ...]:
        """What enters the model's softmaxes on some training examples, layer by layer: each [R, N, heads, T, T]."""
        return self._overheard(
            params, self.examples.inputs[:_ATTENDED], (nn.Softmax,), lambda entering, output: entering
        )

    def _overheard(
        self,
        params: Stacks,
        inputs: Tensor,
        kinds: tuple[type[nn.Module], ...],
        chosen: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, ...]:
        """What is ``chosen`` of (input, output) of every layer of these kinds, in the order of their use."""

        def passed(params: Stacks, inputs: Tensor) -> tuple[Tensor, ...]:
            seen: list[Tensor] = []
            layers = [layer for layer in self.model.modules() if isinstance(layer, kinds)]
            hooks = [layer.register_forward_hook(lambda _, x, y: seen.append(chosen(x[0], y))) for layer in layers]
            try:
                functional_call(self.model, params, (inputs,))
            finally:
                for hook in hooks:
                    hook.remove()
            return tuple(seen)

        found: tuple[Tensor, ...] = vmap(passed, in_dims=(0, None), chunk_size=_SIDE_BY_SIDE)(params, inputs)
        return found
