"""Probes of paired runs: the losses of two groups of examples, and the distance to the same run on another stream."""

from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, flat, length


def inside_loss(seen: UpdateContext) -> Tensor:
    """Mean test loss on the cluster of the run's stream, after the update."""
    return seen.cluster_losses[0]


def outside_loss(seen: UpdateContext) -> Tensor:
    """Mean test loss on the examples outside that cluster, after the update."""
    return seen.cluster_losses[1]


def displacement(seen: UpdateContext) -> Tensor:
    """Distance of the weights from those of the paired run, which saw the plain stream; 0 for that run itself."""
    weights = flat(seen.after)
    return length(weights - weights[seen.group_losses.pairs])
