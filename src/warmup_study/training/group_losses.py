"""Losses of groups of test examples, and which runs are paired: they differ in their stream of examples alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from warmup_study.tasks import Split, Task
from warmup_study.training import batches
from warmup_study.training.batches import Stream
from warmup_study.training.members import Members

Stacks = dict[str, Tensor]


@dataclass(frozen=True)
class GroupLosses:
    """What a stack of R runs is asked for beyond its losses; all of it is worked out only if a probe asks.

    ``drawn`` holds the stream and the seed of each run, ``paired`` the position of the run that it is paired with;
    ``shown`` are the test examples that are told apart, and ``test`` the same on the device that trains.
    """

    task: Task
    drawn: Sequence[tuple[Stream, int]]
    paired: Sequence[int]
    shown: Split
    test: Split
    members: Members

    @cached_property
    def inside(self) -> Tensor:
        """Which test examples lie in the cluster of each run's stream, as 0 and 1: [R, N]."""
        masks = [batches.inside(self.task, stream, seed, self.shown) for stream, seed in self.drawn]
        return torch.as_tensor(np.stack(masks), dtype=torch.get_default_dtype(), device=self.test.targets.device)

    @cached_property
    def pairs(self) -> Tensor:
        """Position of the run that each run is paired with, [R]."""
        return torch.as_tensor(self.paired, device=self.test.targets.device)

    def means(self, params: Stacks) -> tuple[Tensor, Tensor]:
        """Mean test loss of each run inside and outside its cluster, [R] twice; NaN where a group is empty."""
        losses = self.members.example_losses(params, self.test)
        outside = 1 - self.inside
        return (losses * self.inside).sum(1) / self.inside.sum(1), (losses * outside).sum(1) / outside.sum(1)
