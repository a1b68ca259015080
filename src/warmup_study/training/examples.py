"""Examples that the members of an ensemble look at: the same for all, or each member's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from warmup_study.tasks import Split, Task
from warmup_study.training.batches import Integers


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples for each of R members: those of ``split``, or with ``places`` [R, N] each member's own among them."""

    split: Split
    places: Tensor | None = None

    def __len__(self) -> int:
        return len(self.split) if self.places is None else self.places.shape[1]

    @property
    def axis(self) -> int | None:
        """The members' axis of inputs and targets, as ``vmap`` takes it; None where they share all examples."""
        return None if self.places is None else 0

    @cached_property
    def inputs(self) -> Tensor:
        """[N, ...] where they are shared, else [R, N, ...]."""
        return self.split.inputs if self.places is None else self.split.inputs[self.places]

    @cached_property
    def targets(self) -> Tensor:
        """[N, ...] where they are shared, else [R, N, ...]."""
        return self.split.targets if self.places is None else self.split.targets[self.places]

    def of(self, member: int) -> Split:
        """What one member looks at."""
        if self.places is None:
            return self.split
        return Split(self.inputs[member], self.targets[member])

    def taken(self, which: slice | Tensor) -> "Examples":
        """Of each member's examples those in these places."""
        if self.places is None:
            return Examples(Split(self.split.inputs[which], self.split.targets[which]))
        return Examples(self.split, self.places[:, which])

    def thinned(self, most: int) -> "Examples":
        """At most so many, evenly spread over all."""
        if len(self) <= most:
            return self
        return self.taken(torch.linspace(0, len(self) - 1, most, dtype=torch.float64).long())

    def pieces(self, size: int | None) -> Iterator["Examples"]:
        """All examples, so many at a time, in order; at once where the size is None."""
        if size is None or size >= len(self):
            yield self
            return
        for start in range(0, len(self), size):
            yield self.taken(slice(start, start + size))


class Placed(NamedTuple):
    """The three parts of a task's data as the members look at them."""

    train: Examples
    validation: Examples
    test: Examples


def of_members(task: Task, seeds: Sequence[int], device: str, dtype: torch.dtype) -> Placed:
    """Training, validation and test examples of members whose splits are those of these seeds, on the device."""
    if task.pool is None:
        return Placed(*(Examples(_moved(split, device, dtype)) for split in task.splits))
    examples, own = _moved(task.pool.examples, device, dtype), [task.pool.places(seed) for seed in seeds]
    return Placed(*(Examples(examples, torch.stack(places).to(device)) for places in zip(*own, strict=True)))


def joined(parts: Sequence[Examples], members: int) -> Examples:
    """The examples of all parts, one part behind the other, for so many members."""
    if len(parts) == 1:
        return parts[0]
    split = Split(torch.cat([part.split.inputs for part in parts]), torch.cat([part.split.targets for part in parts]))
    if all(part.places is None for part in parts):
        return Examples(split)
    places, before = [], 0
    for part in parts:
        own = torch.arange(len(part), device=split.targets.device).expand(members, -1)
        places.append(before + (own if part.places is None else part.places))
        before += len(part.split)
    return Examples(split, torch.cat(places, dim=1))


def located(task: Task, order: Integers, seed: int) -> Tensor:
    """Places in what all members share (the pool, or else the training split) of those in a seed's training split."""
    places = torch.as_tensor(order)
    return places if task.pool is None else task.pool.places(seed).train[places]


def shared(task: Task) -> Split:
    """The examples that the members' batches are taken from: the pool, or else the training split."""
    return task.splits.train if task.pool is None else task.pool.examples


def _moved(split: Split, device: str, dtype: torch.dtype) -> Split:
    inputs = split.inputs.to(device)
    return Split(inputs.to(dtype) if inputs.is_floating_point() else inputs, split.targets.to(device))
