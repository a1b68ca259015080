"""Members as one stack: every tensor of the network is [R, ...], and ``torch.func`` runs all members in one pass."""

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jvp, vmap

from warmup_study import tasks
from warmup_study.tasks import Split
from warmup_study.training import dropout, inductor, optimizers
from warmup_study.training.examples import Examples
from warmup_study.training.members import Chosen, listening, measures, second_loss
from warmup_study.training.network_state import NetworkState, network, on_device
from warmup_study.training.optimizers import Kernel

Stacks = dict[str, Tensor]
Result = TypeVar("Result")

TEMPLATE_SEED = 2**31 - 1  # of the module whose code all members share: its own tensors are never used
SIDE_BY_SIDE = 16  # members whose curvature is worked out at once: as many as stay in the cache


class StackedMembers:
    """The members of an ensemble as one stack, of one kernel; ``names`` are those of the coefficients of an update.

    The first call of ``update`` and, where ``often`` evaluated, of ``measured`` compiles, if ``compiled``.
    """

    def __init__(
        self,
        task_name: str,
        initial: NetworkState,
        kernel: Kernel,
        names: Sequence[str],
        *,
        device: str = "cpu",
        compiled: bool = False,
        often: bool = False,
    ) -> None:
        self.task_name, self.compiled, self.often = task_name, compiled, often
        self.params, self.frozen, self.buffers = (on_device(stacks, device) for stacks in initial)
        self._module = template(task_name, training=False)  # made here: nothing may be drawn at random under vmap
        self.state = optimizers.initial_state(kernel, self.params, optimizers.linear_weights(self._module))
        self._step: Callable[..., Tensor] = _step(task_name, kernel, tuple(names))

    @property
    def tensors(self) -> Stacks:
        """All that the networks hold; :meth:`Members.tensors`."""
        return self.params | self.frozen | self.buffers

    def freeze(self, names: Collection[str]) -> None:
        """Train these parameters no longer; :meth:`Members.freeze`."""
        for name in names:
            self.frozen[name] = self.params.pop(name)
            for stacks in self.state.values():
                stacks.pop(name, None)  # Muon keeps no state of every kind for each

    def load(self, place: int, tensors: Stacks, state: dict[str, Stacks]) -> None:
        """Give one member these tensors and this state; :meth:`Members.load`."""
        for own, given in ((self.tensors, tensors), *((self.state[kind], state[kind]) for kind in state)):
            for name in own.keys() & given.keys():
                own[name][place].copy_(given[name])

    def update(self, examples: Split, picked: Tensor, row: Tensor, key: Tensor) -> Tensor:
        """Update all members in place; :meth:`Members.update`."""
        tensors = self.params, self.frozen, self.buffers, self.state
        arguments = (*tensors, examples.inputs, examples.targets, picked, row, key)
        if self.compiled:
            self._step, self.compiled = inductor.compiled(self._step, *arguments), False
        return self._step(*arguments)

    def measured(self, examples: Examples) -> tuple[Tensor, ...]:
        """Mean loss, error and further measures [R]; :meth:`Members.measured`."""
        measure = _measure(self.task_name, examples.axis)
        arguments = self.params, self.frozen, self.buffers, examples.inputs, examples.targets
        return (inductor.compiled(measure, *arguments) if self.often else measure)(*arguments)

    def outputs(self, examples: Examples) -> Tensor:
        """Outputs [R, N, ...]; :meth:`Members.outputs`."""
        return self._over_members(self._evaluated, self.params, examples)

    def gradient(self, params: Stacks, examples: Examples) -> Stacks:
        """Gradient on these examples; :meth:`Members.gradient`."""
        return self._over_members(grad(self._loss), params, examples)

    def hessian_product(self, params: Stacks, direction: Stacks, examples: Examples) -> Stacks:
        """Forward-mode differentiation of the gradient (Pearlmutter 1994): no Hessian is ever formed."""

        def product(pair: tuple[Stacks, Stacks], *others: Any) -> Stacks:
            def slope(at: Stacks) -> Stacks:
                found: Stacks = grad(self._loss)(at, *others)
                return found

            along: Stacks = jvp(slope, (pair[0],), (pair[1],))[1]
            return along

        return self._over_members(product, (params, direction), examples, SIDE_BY_SIDE)

    def overheard(
        self, params: Stacks, examples: Examples, kinds: tuple[type[nn.Module], ...], chosen: Chosen
    ) -> tuple[Tensor, ...]:
        """What is chosen of every layer of these kinds; :meth:`Members.overheard`."""

        def passed(*tensors: Any) -> tuple[Tensor, ...]:
            with listening(self._module, kinds, chosen) as heard:
                self._evaluated(*tensors)
            return tuple(heard)

        return self._over_members(passed, params, examples, SIDE_BY_SIDE)

    def example_losses(self, params: Stacks, examples: Examples) -> Tensor:
        """Loss of each member on each example, [R, N]; :meth:`Members.example_losses`."""
        loss = tasks.load(self.task_name).loss

        def losses(params: Stacks, frozen: Stacks, buffers: Stacks, inputs: Tensor, targets: Tensor) -> Tensor:
            outputs = self._evaluated(params, frozen, buffers, inputs, targets)
            found: Tensor = vmap(lambda output, target: loss(output[None], target[None]))(outputs, targets)
            return found

        return self._over_members(losses, params, examples)

    def _evaluated(self, params: Stacks, frozen: Stacks, buffers: Stacks, inputs: Tensor, _: Tensor) -> Tensor:
        return _passed(self._module, params | frozen | _copied(buffers), inputs, None)

    def _loss(self, params: Stacks, frozen: Stacks, buffers: Stacks, inputs: Tensor, targets: Tensor) -> Tensor:
        return _objective(self.task_name)(params, frozen, buffers, None, inputs, targets)[0]

    def _over_members(
        self, function: Callable[..., Result], params: Any, examples: Examples, at_once: int | None = None
    ) -> Result:
        """What the function returns for each member's tensors, inputs and targets."""
        axis = examples.axis
        own = vmap(function, in_dims=(0, 0, 0, axis, axis), chunk_size=at_once)
        found: Result = own(params, self.frozen, self.buffers, examples.inputs, examples.targets)
        return found


@contextmanager
def quietly() -> Iterator[None]:
    """Within, torch does not say that some operation is run member by member in a stack: the result is the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        yield


@lru_cache
def template(task_name: str, *, training: bool) -> nn.Module:
    """The module whose code all members of a task share."""
    return network(tasks.load(task_name), TEMPLATE_SEED).train(training)


def _passed(module: nn.Module, tensors: Stacks, inputs: Tensor, key: Tensor | None) -> Tensor:
    """Outputs of the module with these tensors, in which buffers that it changes are replaced."""
    with dropout.drawn_from(key):
        outputs: Tensor = functional_call(module, tensors, (inputs,))
    return outputs


def _copied(buffers: Stacks) -> Stacks:
    """The same for a forward pass that may change them in place."""
    return {name: buffer.clone() for name, buffer in buffers.items()}


def _objective(task_name: str, *, assisted: bool = False) -> Callable[..., tuple[Tensor, Stacks]]:
    """The batch loss of one member, and its buffers after the batch; assisted, with so much of the second loss on top.

    Raises ``StudyError`` where the task has no second loss.
    """
    task, module = tasks.load(task_name), template(task_name, training=True)
    second = second_loss(task_name) if assisted else None

    def objective(
        params: Stacks,
        frozen: Stacks,
        buffers: Stacks,
        key: Tensor | None,
        inputs: Tensor,
        targets: Tensor,
        weight: Tensor | float = 0.0,
    ) -> tuple[Tensor, Stacks]:
        tensors = params | frozen | _copied(buffers)
        outputs = _passed(module, tensors, inputs, key)
        loss = task.loss(outputs, targets)
        if second is not None:
            loss = loss + weight * second(outputs, targets)
        return loss, {name: tensors[name] for name in buffers}

    return objective


@lru_cache
def _step(task_name: str, kernel: Kernel, names: tuple[str, ...]) -> Callable[..., Tensor]:
    """One update of all members, in place; returns the batch losses [R]."""
    assisted = "auxiliary" in names
    gradients = vmap(grad_and_value(_objective(task_name, assisted=assisted), has_aux=True))

    def step(
        params: Stacks,
        frozen: Stacks,
        buffers: Stacks,
        state: dict[str, Stacks],
        inputs: Tensor,
        targets: Tensor,
        picked: Tensor,
        row: Tensor,
        key: Tensor,
    ) -> Tensor:
        losses: Tensor
        coefficients = dict(zip(names, row.unbind(), strict=True))
        weight = (coefficients.pop("auxiliary"),) if assisted else ()
        grads, (losses, changed) = gradients(params, frozen, buffers, key, inputs[picked], targets[picked], *weight)
        optimizers.apply(kernel, params, grads, state, coefficients)
        for name, buffer in buffers.items():
            buffer.copy_(changed[name])
        return losses

    return step


@lru_cache
def _measure(task_name: str, axis: int | None = None) -> Callable[..., tuple[Tensor, ...]]:
    """Mean loss, error and the task's further measures [R], on examples that all share or that have such an axis."""
    functions, module = measures(task_name), template(task_name, training=False)

    def measure(params: Stacks, frozen: Stacks, buffers: Stacks, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        outputs = _passed(module, params | frozen | _copied(buffers), inputs, None)
        return tuple(function(outputs, targets) for function in functions)

    return vmap(measure, in_dims=(0, 0, 0, axis, axis))
