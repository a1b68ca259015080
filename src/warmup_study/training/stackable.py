"""Whether a network can be trained as a stack: tried on a few examples, and held against an ordinary torch loop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.tasks import Task
from warmup_study.training import dropout, optimizers, stacked
from warmup_study.training.arithmetic import steady
from warmup_study.training.examples import Examples
from warmup_study.training.members import Members
from warmup_study.training.network_state import initial_state, network, plain_attributes
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.stacked import StackedMembers, quietly
from warmup_study.training.torch_loop import SeparateMembers

_SEEDS, _UPDATES, _EXAMPLES, _LR = (0, 1), 2, 8, 0.01
_RULE = Optimizer(name="momentum")  # its velocity is the gradient
_CLOSE = 1e-3  # times the largest number among those compared: far above rounding, far below any mistake
_MOST_EXAMPLES = 4096  # in the batch that a stack is likened to

Seen = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Refusal:
    """Why runs of a task cannot be trained as a stack: the layer that stands in the way, and what it does."""

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer} cannot be stacked ({self.reason})"


@lru_cache
def refusal(task_name: str) -> Refusal | None:
    """Why runs of the task cannot be trained as a stack; None where they can.

    Built-in tasks are not tried: the tests do that. Raises ``StudyError`` as :func:`tried`.
    """
    return None if tasks.built_in(task_name) else tried(task_name)


def tried(task_name: str) -> Refusal | None:
    """The same by trial: two runs are trained for two updates both ways, and all that they show is compared.

    Raises ``StudyError`` where not even an ordinary loop trains the network.
    """
    with steady(), quietly():
        expected, counting = _in_a_loop(task_name)
        return counting or _in_a_stack(task_name, expected)


def remark(task_name: str) -> str:
    """One line for who trains a task whose runs are trained one by one: the layer, and what it costs; else empty."""
    problem = refusal(task_name)
    if problem is None:
        return ""
    task = tasks.load(task_name)
    many = max(1, min(task.stack, _MOST_EXAMPLES // task.batch))
    with steady():
        factor = min(_cost(task, many), many)
    return (
        f"{task_name}: {problem}; its runs are trained one by one, about {factor:.0f} times slower "
        f"(measured: one update, and its share of one on the examples of {many} runs)"
    )


def _in_a_loop(task_name: str) -> tuple[Seen, Refusal | None]:
    """What an ordinary loop gives, and a layer that keeps count on the way, which all runs of a stack would share."""
    try:
        members = SeparateMembers(task_name, _SEEDS, [_RULE] * len(_SEEDS), _names())
        before = plain_attributes(members.members[0].network)
        seen = _seen(task_name, members)
    except StudyError:
        raise
    except (Exception, SystemExit) as problem:
        raise StudyError(f"task {task_name!r} cannot be trained: {_one_line(problem)}") from problem
    after = plain_attributes(members.members[0].network)
    for (layer, name), value in after.items():
        if before.get((layer, name), value) != value:
            return seen, Refusal(_named(layer), f"it changes `{name}`, which is no buffer")
    return seen, None


def _in_a_stack(task_name: str, expected: Seen) -> Refusal | None:
    """Why a stack gives nothing or something else; None where it gives the same."""
    try:
        with _entered_layers(task_name) as entered:
            found = _seen(task_name, _stack(task_name))
    except (Exception, SystemExit) as problem:
        return Refusal(_named(entered[-1]) if entered else "the network", _first_sentence(problem))
    different = [what for what in expected if not _close(found[what], expected[what])]
    return _suspected(task_name, different[0]) if different else None


def _stack(task_name: str) -> StackedMembers:
    return StackedMembers(task_name, initial_state(tasks.load(task_name), _SEEDS), _RULE.kernel, _names())


def _table() -> dict[str, np.ndarray]:
    rates = np.full((_UPDATES, len(_SEEDS)), _LR)
    return {"lr": rates, **optimizers.coefficients([_RULE] * len(_SEEDS), rates)}


def _names() -> tuple[str, ...]:
    return tuple(_table())


def _seen(task_name: str, members: Members) -> Seen:
    """What members show in two updates on a few examples: losses, gradients and outputs."""
    train = tasks.load(task_name).splits.train
    few = Examples(train).taken(slice(len(_SEEDS) * _EXAMPLES))
    picked = torch.arange(len(_SEEDS) * _EXAMPLES).view(len(_SEEDS), -1) % len(few)
    rows = torch.as_tensor(np.stack(list(_table().values()), axis=1), dtype=torch.float32)
    keys = torch.as_tensor(dropout.keys(_SEEDS, _UPDATES))
    with torch.no_grad():
        losses = [members.update(few.split, picked, row, key) for row, key in zip(rows, keys, strict=True)]
        measured = members.measured(few)
        outputs = members.outputs(few)
    return {
        "losses": {str(place): loss for place, loss in enumerate((*losses, *measured))},
        "gradients": {name: stack.clone() for name, stack in members.state["velocity"].items()},
        "outputs": {"outputs": outputs},
    }


def _close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Whether two results are the same to rounding, which goes with the largest of their numbers."""
    largest = max((float(value.abs().nan_to_num(0, 0).max()) for value in expected.values()), default=0.0)
    return all(
        torch.allclose(found[name], value, rtol=_CLOSE, atol=_CLOSE * largest, equal_nan=True)
        for name, value in expected.items()
    )


@contextmanager
def _entered_layers(task_name: str) -> Iterator[list[nn.Module]]:
    """The layers of the shared module that were entered and not left, innermost last."""
    entered: list[nn.Module] = []
    layers = [layer for training in (True, False) for layer in stacked.template(task_name, training=training).modules()]
    hooks = [layer.register_forward_pre_hook(lambda layer, _: entered.append(layer)) for layer in layers]
    hooks += [layer.register_forward_hook(lambda *_: _leave(entered)) for layer in layers]
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


def _leave(entered: list[nn.Module]) -> None:
    entered.pop()  # and return nothing: what a hook returns takes the place of the output


def _suspected(task_name: str, different: str) -> Refusal:
    """A layer with a tensor in a plain attribute, which all runs would share; else the network as a whole."""
    for layer in network(tasks.load(task_name), _SEEDS[0]).modules():
        for name, value in vars(layer).items():
            if isinstance(value, Tensor):
                return Refusal(_named(layer), f"its tensor `{name}` is no buffer")
    return Refusal("the network", f"its {different} would be others")


def _named(layer: nn.Module) -> str:
    kind = type(layer)
    return f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.modules") else kind.__name__


def _one_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"


def _first_sentence(problem: BaseException) -> str:
    return _one_line(problem).partition(". ")[0].rstrip(".")


def _cost(task: Task, many: int) -> float:
    """Time of an update of one network over its share of an update on the examples of many: what a stack would save."""
    module, train = network(task, _SEEDS[0]), task.splits.train
    picked = torch.arange(task.batch * many) % len(train)

    def update(examples: Tensor) -> None:
        with torch.enable_grad():
            task.loss(module(train.inputs[examples]), train.targets[examples]).backward()  # type: ignore[no-untyped-call]

    return max(1.0, many * _seconds(update, picked[: task.batch]) / _seconds(update, picked))


def _seconds(update: Callable[[Tensor], None], examples: Tensor) -> float:
    update(examples)  # the first call finds its memory
    times = []
    for _ in range(3):
        started = time.perf_counter()
        update(examples)
        times.append(time.perf_counter() - started)
    return min(times)
