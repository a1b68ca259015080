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
from warmup_study.training.examples import Examples
from warmup_study.training.members import Members

Stacks = dict[str, Tensor]
Drawn = tuple[Stream, int, int]

_AT_ONCE = 512  # examples


@dataclass(frozen=True)
class GroupLosses:
    """What a stack of R runs is asked for beyond its losses; all of it is worked out only if a probe asks.

    ``drawn`` holds the stream, the seed and the seed of the splits of each run, ``paired`` the position of the run that
    it is paired with; ``shown`` are the test examples of each run that are told apart, and ``test`` the same on the
    device that trains.
    """

    task: Task
    drawn: Sequence[Drawn]
    paired: Sequence[int]
    shown: Sequence[Split]
    test: Examples
    members: Members

    @cached_property
    def inside(self) -> Tensor:
        """Which test examples lie in the cluster of each run's stream, as 0 and 1: [R, N]."""
        seen = zip(self.drawn, self.shown, strict=True)
        masks = [batches.inside(self.task.of_seed(own), stream, seed, split) for (stream, seed, own), split in seen]
        return torch.as_tensor(np.stack(masks), dtype=torch.get_default_dtype(), device=self.test.split.targets.device)

    @cached_property
    def pairs(self) -> Tensor:
        """Position of the run that each run is paired with, [R]."""
        return torch.as_tensor(self.paired, device=self.test.split.targets.device)

    def means(self, params: Stacks) -> tuple[Tensor, Tensor]:
        """Mean test loss of each run inside and outside its cluster, [R] twice; NaN where a group is empty."""
        parts = [self.members.example_losses(params, piece) for piece in self.test.pieces(_AT_ONCE)]
        losses = torch.cat(parts, dim=1)
        outside = 1 - self.inside
        return (losses * self.inside).sum(1) / self.inside.sum(1), (losses * outside).sum(1) / outside.sum(1)
