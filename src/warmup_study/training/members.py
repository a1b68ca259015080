"""What an ensemble asks of its members: R networks of one architecture, trained in step with one another."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor, nn

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.tasks import Split
from warmup_study.tasks.task import Measure
from warmup_study.training.examples import Examples

Stacks = dict[str, Tensor]
Chosen = Callable[[Tensor, Tensor], Tensor]  # of the (input, output) of a layer


class Members(Protocol):
    """R networks. Parameters are stacks, name -> [R, ...]; what is asked at given ones changes no member.

    Losses are the mean over the examples given. While training, and in gradients, batch normalisation uses the batch's
    own statistics; dropout acts in updates alone.
    """

    @property
    def params(self) -> Stacks:
        """The parameters that are trained, as they are now."""

    @property
    def state(self) -> dict[str, Stacks]:
        """The optimiser's state: stacks by kind (``velocity``; ``first`` and ``second``)."""

    @property
    def tensors(self) -> Stacks:
        """All that the networks hold as it is now: parameters, trained or frozen, and buffers."""

    def freeze(self, names: Collection[str]) -> None:
        """Train these parameters no longer; before the first update."""

    def load(self, place: int, tensors: Stacks, state: dict[str, Stacks]) -> None:
        """Give one member copies of these tensors, and its optimiser this state; what is not named stays.

        Before the first update. State of parameters that are frozen is left out.
        """

    def update(self, examples: Split, picked: Tensor, row: Tensor, key: Tensor) -> Tensor:
        """Update every member on its batch ``picked`` [R, B] of these examples.

        ``row`` [C, R] holds the coefficients, ``key`` [R] the members' keys of dropout. Returns the batch losses [R],
        at the weights before the update.
        """

    def measured(self, examples: Examples) -> tuple[Tensor, ...]:
        """Mean loss, error and the task's further measures [R], in evaluation mode."""

    def outputs(self, examples: Examples) -> Tensor:
        """Outputs [R, N, ...] in evaluation mode."""

    def gradient(self, params: Stacks, examples: Examples) -> Stacks:
        """Gradient of the loss on these examples."""

    def hessian_product(self, params: Stacks, direction: Stacks, examples: Examples) -> Stacks:
        """Hessian of the loss on these examples times one direction for each member."""

    def overheard(
        self, params: Stacks, examples: Examples, kinds: tuple[type[nn.Module], ...], chosen: Chosen
    ) -> tuple[Tensor, ...]:
        """What is ``chosen`` of every layer of these kinds, in the order of their use, in evaluation mode."""

    def example_losses(self, params: Stacks, examples: Examples) -> Tensor:
        """Loss of each member on each example, [R, N], in evaluation mode."""


@contextmanager
def listening(module: nn.Module, kinds: tuple[type[nn.Module], ...], chosen: Chosen) -> Iterator[list[Tensor]]:
    """Within, what is ``chosen`` of every layer of these kinds is collected as the layers are used: [N, ...] each.

    A module whose layers have their examples on another axis than the first says so by its ``examples_axis``.
    """
    heard: list[Tensor] = []
    axis = getattr(module, "examples_axis", 0)
    layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
    hooks = [
        layer.register_forward_hook(lambda _, x, y: heard.append(chosen(x[0], y).movedim(axis, 0))) for layer in layers
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def measures(task_name: str) -> tuple[Measure, ...]:
    """What is evaluated of a task's outputs: loss, error and further measures."""
    task = tasks.load(task_name)
    return task.loss, task.error, *task.measures.values()


def second_loss(task_name: str) -> Measure:
    """The task's auxiliary loss. Raises ``StudyError`` where it has none."""
    second = tasks.load(task_name).auxiliary
    if second is None:
        raise StudyError(f"task {task_name!r} has no auxiliary loss, which an arm asks for")
    return second
