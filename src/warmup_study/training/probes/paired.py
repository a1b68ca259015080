"""Probes of a run in company: of two groups of examples, and of its twin on another stream."""

from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, flat, length


def inside_loss(seen: UpdateContext) -> Tensor:
    """Mean test loss on the cluster that the run's stream watches, after the update."""
    return seen.group_losses[0]


def outside_loss(seen: UpdateContext) -> Tensor:
    """Mean test loss on the examples outside that cluster, after the update."""
    return seen.group_losses[1]


def displacement(seen: UpdateContext) -> Tensor:
    """Distance of the weights from those of the run's twin, which saw the plain stream; 0 for the twin itself."""
    weights = flat(seen.after)
    return length(weights - weights[seen.watch.twins])
