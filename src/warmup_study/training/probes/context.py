"""What a probe looks at: one update of all runs of an ensemble, from both sides."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from warmup_study.training.full_batch import FullBatch
from warmup_study.training.group_losses import GroupLosses

Stacks = dict[str, Tensor]


@dataclass(frozen=True)
class UpdateContext:
    """One update of R runs, seen from both sides.

    ``before`` and ``after`` are the stacked parameters, ``state`` the optimiser's stacks after the update, ``row`` the
    coefficients [R] it was taken with, ``loss`` [R] the loss of its batch; ``full_batch`` answers for the whole
    training split at any weights, ``group_losses`` for groups of test examples and for which runs are paired.
    """

    before: Stacks
    after: Stacks
    state: Mapping[str, Stacks]
    row: Mapping[str, Tensor]
    loss: Tensor
    full_batch: FullBatch
    group_losses: GroupLosses

    @cached_property
    def step(self) -> Tensor:
        """Change of all parameters, [R, P]."""
        return flat(self.after) - flat(self.before)

    @cached_property
    def descent(self) -> Tensor:
        """Minus the gradient over the whole training split, at the weights before the update, [R, P]."""
        return -flat(self.full_batch.gradient(self.before))

    @cached_property
    def squared_gradient(self) -> Tensor:
        """Mean squared gradient over fresh batches, at the weights before the update, [R, P]."""
        return flat(self.full_batch.squared_gradient(self.before))

    @cached_property
    def cluster_losses(self) -> tuple[Tensor, Tensor]:
        """Mean test loss inside and outside the cluster of each run's stream, after the update: [R] twice."""
        return self.group_losses.means(self.after)

    @property
    def rate(self) -> Tensor:
        """Learning rate of the update, [R]."""
        return self.row["lr"]


def flat(stacks: Stacks) -> Tensor:
    """All parameters of each run in one row: dict of [R, ...] -> [R, P]."""
    return torch.cat([stack.reshape(len(stack), -1) for stack in stacks.values()], dim=1)


def unflat(rows: Tensor, like: Stacks) -> Stacks:
    """The inverse of :func:`flat`: rows [R, P] as a dict of [R, ...] shaped as ``like``."""
    parts = torch.split(rows, [stack[0].numel() for stack in like.values()], dim=1)
    return {name: part.view_as(stack) for (name, stack), part in zip(like.items(), parts, strict=True)}


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of two rows of each run: [R, P] twice -> [R]."""
    return torch.div(torch.sum(left * right, dim=1), length(left) * length(right))


def length(rows: Tensor) -> Tensor:
    """Euclidean norm of each row: [R, P] -> [R]."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms
