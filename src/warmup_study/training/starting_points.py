"""Starting points: what pre-training leaves behind of one seed, and runs that begin there."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.training.experiment import RunSpec
from warmup_study.training.members import Members
from warmup_study.training.network_state import network
from warmup_study.training.starts import Pretraining, Start

Stacks = dict[str, Tensor]

_OTHER = 2**31  # added to a run's seed: no run's own, so that a new head is independent of the one before


class StartingPoint(NamedTuple):
    """One network after its pre-training: parameters and buffers by name, and the optimiser's state by kind."""

    tensors: Stacks
    state: dict[str, Stacks]


Points = Mapping[tuple[Pretraining, int], StartingPoint]
"""Starting points by pre-training and seed."""


def points_of(members: Members, before: Pretraining, seeds: Sequence[int]) -> Points:
    """Where these members, trained from these seeds in this order, have arrived: copies, in main memory."""
    tensors, state = members.tensors, members.state

    def own(stacks: Stacks, place: int) -> Stacks:
        return {name: stack[place].detach().to("cpu", copy=True) for name, stack in stacks.items()}

    return {
        (before, seed): StartingPoint(own(tensors, k), {kind: own(stacks, k) for kind, stacks in state.items()})
        for k, seed in enumerate(seeds)
    }


def begin(members: Members, task_name: str, runs: Sequence[RunSpec], points: Points) -> None:
    """Put the members whose runs have a start there, in place; either all their backbones are frozen or none.

    Raises ``StudyError`` where a network of the start's task has other tensors than one of this task.
    """
    starts = [run.arm.start for run in runs]
    if any(start is not None and start.backbone == "frozen" for start in starts):
        members.freeze([name for name in members.params if name not in head(task_name)])
    shapes = {name: stack.shape[1:] for name, stack in members.tensors.items()}
    for place, (run, start) in enumerate(zip(runs, starts, strict=True)):
        if start is not None:
            point = points[start.before, run.init_seed]
            tensors = _with_new_head(point.tensors, task_name, run) if start.head == "new" else point.tensors
            _refuse_misfits(tensors, shapes, start, task_name)
            members.load(place, tensors, point.state if start.state == "kept" else {})


def _with_new_head(tensors: Stacks, task_name: str, run: RunSpec) -> Stacks:
    fresh = dict(network(tasks.load(task_name), run.init_seed + _OTHER).named_parameters())
    return tensors | {name: fresh[name].detach() for name in head(task_name)}


def _refuse_misfits(tensors: Stacks, shapes: Mapping[str, torch.Size], start: Start, task_name: str) -> None:
    names = [*shapes, *(name for name in tensors if name not in shapes)]
    for name in names:
        had, takes = (None if size is None else list(size) for size in (_shape(tensors, name), shapes.get(name)))
        if had != takes:
            raise StudyError(
                f"start: a network of {start.before.task!r} does not fit the task {task_name!r}: "
                f"its {name} is {had or 'missing'}, takes {takes or 'none'}"
            )


def _shape(tensors: Stacks, name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None


@lru_cache
def head(task_name: str) -> tuple[str, ...]:
    """Names of the parameters of the layer that a forward pass of the task's network uses last.

    Raises ``StudyError`` where it uses no layer with parameters.
    """
    task = tasks.load(task_name)
    module, used = network(task, 0).train(mode=False), list[nn.Module]()
    for layer in filter(_holds_parameters, module.modules()):
        layer.register_forward_hook(lambda layer, _, __: used.append(layer))
    inputs = task.splits.train.inputs[:2]
    with torch.no_grad():
        module(inputs.float() if inputs.is_floating_point() else inputs)
    if not used:
        raise StudyError(f"start: the network of {task_name!r} uses no layer with parameters, so it has no head")
    last = {id(param) for param in used[-1].parameters()}
    return tuple(name for name, param in module.named_parameters() if id(param) in last)


def _holds_parameters(layer: nn.Module) -> bool:
    """Whether it has parameters, and no layer within it has."""
    inner = any(True for child in layer.children() for _ in child.parameters())
    return not inner and any(True for _ in layer.parameters())
