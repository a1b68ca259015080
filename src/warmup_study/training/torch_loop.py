"""Members trained one by one, as anybody would with torch: a module, ``backward`` and an optimiser for each.

This trains whatever torch trains, and is what the stack is held against. Rules that ``torch.optim`` lacks take the
study's own update on a stack of one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from warmup_study import tasks
from warmup_study.tasks import Split
from warmup_study.training import dropout
from warmup_study.training.examples import Examples
from warmup_study.training.members import Chosen, listening, measures, second_loss
from warmup_study.training.network_state import network, plain_attributes, seeded
from warmup_study.training.optimizers import Optimizer, linear_weights
from warmup_study.training.torch_rules import torch_rule

Stacks = dict[str, Tensor]

_EVALUATION_SEED = 2**31 - 1  # of networks that draw by chance even when they are evaluated


class SeparateMembers:
    """The members of an ensemble one by one: of each its seed and its rule; ``names`` are those of the coefficients."""

    def __init__(
        self,
        task_name: str,
        seeds: Sequence[int],
        rules: Sequence[Optimizer],
        names: Sequence[str],
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        task = tasks.load(task_name)
        self.task_name, self.names = task_name, tuple(names)
        self.members = [
            _Member(network(task, seed, dtype).to(device), rule) for seed, rule in zip(seeds, rules, strict=True)
        ]

    @property
    def params(self) -> Stacks:
        """The trained parameters as they are now; :meth:`Members.params`."""
        return _stacked([member.params for member in self.members])

    @property
    def state(self) -> dict[str, Stacks]:
        """The optimisers' state; :meth:`Members.state`."""
        states = [member.rule.state for member in self.members]
        return {kind: _stacked([state[kind] for state in states]) for kind in states[0]}

    @property
    def tensors(self) -> Stacks:
        """All that the networks hold; :meth:`Members.tensors`."""
        return _stacked([member.tensors for member in self.members])

    def freeze(self, names: Collection[str]) -> None:
        """Train these parameters no longer; :meth:`Members.freeze`."""
        for member in self.members:
            member.freeze(names)

    def load(self, place: int, tensors: Stacks, state: dict[str, Stacks]) -> None:
        """Give one member these tensors and this state; :meth:`Members.load`."""
        self.members[place].load(tensors, state)

    def update(self, examples: Split, picked: Tensor, row: Tensor, key: Tensor) -> Tensor:
        """Update one member after the other; :meth:`Members.update`."""
        losses = [
            self._updated(member, Split(examples.inputs[own], examples.targets[own]), row[:, place], key[place])
            for place, (member, own) in enumerate(zip(self.members, picked, strict=True))
        ]
        return torch.stack(losses)

    def _updated(self, member: "_Member", batch: Split, row: Tensor, key: Tensor) -> Tensor:
        coefficients = dict(zip(self.names, row.unbind(), strict=True))
        weight = coefficients.pop("auxiliary", None)
        member.network.train()
        member.network.zero_grad()
        with torch.enable_grad(), _chance(int(key), key):
            loss = self._loss(member.network(batch.inputs), batch.targets, weight)
            loss.backward()  # type: ignore[no-untyped-call]
        member.rule.step(coefficients)
        return loss.detach()

    def _loss(self, outputs: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
        loss = tasks.load(self.task_name).loss(outputs, targets)
        return loss if weight is None else loss + weight * second_loss(self.task_name)(outputs, targets)

    def measured(self, examples: Examples) -> tuple[Tensor, ...]:
        """Mean loss, error and further measures [R]; :meth:`Members.measured`."""
        found = []
        for place, member in enumerate(self.members):
            own = examples.of(place)
            outputs = member.evaluated(member.tensors, own.inputs)
            found.append([function(outputs, own.targets) for function in measures(self.task_name)])
        return tuple(map(torch.stack, zip(*found, strict=True)))

    def outputs(self, examples: Examples) -> Tensor:
        """Outputs [R, N, ...]; :meth:`Members.outputs`."""
        found = [
            member.evaluated(member.tensors, examples.of(place).inputs) for place, member in enumerate(self.members)
        ]
        return torch.stack(found)

    def gradient(self, params: Stacks, examples: Examples) -> Stacks:
        """Gradient on these examples; :meth:`Members.gradient`."""
        return _stacked(
            [dict(zip(at, self._slope(member, at, own), strict=True)) for member, at, own in self._at(params, examples)]
        )

    def hessian_product(self, params: Stacks, direction: Stacks, examples: Examples) -> Stacks:
        """Gradient of the gradient along the direction; :meth:`Members.hessian_product`."""
        products = []
        for (member, at, own), along in zip(self._at(params, examples), _unstacked(direction), strict=True):
            with torch.enable_grad(), _without_mkldnn():
                slope = self._slope(member, at, own, create_graph=True)
                parts = [(part * along[name]).sum() for name, part in zip(at, slope, strict=True)]
                products.append(dict(zip(at, _gradients(torch.stack(parts).sum(), at), strict=True)))
        return _stacked(products)

    def _slope(
        self, member: "_Member", at: Stacks, examples: Split, *, create_graph: bool = False
    ) -> tuple[Tensor, ...]:
        """Gradient of one member's loss at parameters that are leaves of autograd."""
        with torch.enable_grad():
            loss = self._loss(member.trained(member.tensors | at, examples.inputs), examples.targets)
            return _gradients(loss, at, create_graph=create_graph)

    def overheard(
        self, params: Stacks, examples: Examples, kinds: tuple[type[nn.Module], ...], chosen: Chosen
    ) -> tuple[Tensor, ...]:
        """What is chosen of every layer of these kinds; :meth:`Members.overheard`."""
        found = []
        for member, at, own in self._at(params, examples):
            with listening(member.network, kinds, chosen) as heard:
                member.evaluated(member.tensors | at, own.inputs)
            found.append([each.detach() for each in heard])
        return tuple(torch.stack(layer) for layer in zip(*found, strict=True))

    def example_losses(self, params: Stacks, examples: Examples) -> Tensor:
        """Loss of each member on each example, [R, N]; :meth:`Members.example_losses`."""
        rows = []
        for member, at, own in self._at(params, examples):
            outputs = member.evaluated(member.tensors | at, own.inputs)
            pairs = zip(outputs, own.targets, strict=True)
            rows.append(torch.stack([self._loss(output[None], target[None]) for output, target in pairs]))
        return torch.stack(rows)

    def _at(self, params: Stacks, examples: Examples) -> Iterator[tuple["_Member", Stacks, Split]]:
        """Each member, its share of the parameters as leaves of autograd, and what it looks at."""
        for place, (member, own) in enumerate(zip(self.members, _unstacked(params), strict=True)):
            at = {name: value.clone().requires_grad_() for name, value in own.items()}
            yield member, at, examples.of(place)


class _Member:
    """One network, and the rule that trains it."""

    def __init__(self, network: nn.Module, optimizer: Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        self.leaves = {name: param for name, param in network.named_parameters() if param.requires_grad}
        self.rule = torch_rule(optimizer, self.leaves, linear_weights(network))

    def freeze(self, names: Collection[str]) -> None:
        for name in names:
            self.leaves.pop(name).requires_grad_(False)
        self.rule = torch_rule(self.optimizer, self.leaves, linear_weights(self.network))

    def load(self, tensors: Stacks, state: dict[str, Stacks]) -> None:
        own = dict(self.network.named_parameters()) | dict(self.network.named_buffers())
        for name, value in tensors.items():
            own[name].copy_(value)
        if state:
            self.rule.load(state)

    @property
    def params(self) -> Stacks:
        return {name: leaf.detach() for name, leaf in self.leaves.items()}

    @property
    def tensors(self) -> Stacks:
        """All that the network holds, copies of its buffers among it."""
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        return {name: param.detach() for name, param in self.network.named_parameters()} | buffers

    def evaluated(self, tensors: Stacks, inputs: Tensor) -> Tensor:
        """Outputs with these tensors, in evaluation mode."""
        self.network.train(False)
        return self._passed(tensors, inputs).detach()

    def trained(self, tensors: Stacks, inputs: Tensor) -> Tensor:
        """Outputs with these tensors in training mode, without dropout."""
        self.network.train()
        return self._passed(tensors, inputs)

    def _passed(self, tensors: Stacks, inputs: Tensor) -> Tensor:
        kept = plain_attributes(self.network)
        with _chance(_EVALUATION_SEED, None):
            outputs: Tensor = functional_call(self.network, tensors, (inputs,))
        for (layer, name), value in kept.items():
            setattr(layer, name, value)
        return outputs


@contextmanager
def _chance(seed: int, key: Tensor | None) -> Iterator[None]:
    """Within, dropout draws from the key, and whatever else draws does so from the seed."""
    with seeded(seed), dropout.drawn_from(key):
        yield


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Within, recurrent layers are made of operations that have second derivatives."""
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):
        yield


def _gradients(value: Tensor, at: Mapping[str, Tensor], *, create_graph: bool = False) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        value, list(at.values()), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


def _stacked(each: Sequence[Mapping[str, Tensor]]) -> Stacks:
    return {name: torch.stack([own[name].detach() for own in each]) for name in each[0]}


def _unstacked(stacks: Stacks) -> Iterator[Stacks]:
    count = len(next(iter(stacks.values())))
    return ({name: stack[place] for name, stack in stacks.items()} for place in range(count))
