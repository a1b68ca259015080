"""What runs that begin at a trained network still know of the data that it was trained on."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from warmup_study import tasks
from warmup_study.tasks import Split
from warmup_study.training.examples import Examples
from warmup_study.training.experiment import RunSpec


def old_tasks(runs: Sequence[RunSpec]) -> dict[str, list[int]]:
    """Tasks of the runs' starts, and the runs [k] that began there and have kept the head that answered them."""
    places: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        if run.arm.start is not None and run.arm.start.head == "kept":
            places.setdefault(run.arm.start.before.task, []).append(place)
    return places


def measured(
    runs: Sequence[RunSpec], old: Mapping[str, Examples], measure: Callable[[Examples], Sequence[Tensor]], device: str
) -> tuple[Tensor, Tensor]:
    """Mean loss and error [R] of each run on its start's task, of which ``old`` has examples; NaN where it has none.

    ``measure`` returns loss, error and whatever follows, [R] each, of all runs.
    """
    losses, errors = (torch.full((len(runs),), torch.nan, device=device) for _ in range(2))
    for name, places in old_tasks(runs).items():
        loss, error, *_ = measure(old[name])
        losses[places], errors[places] = loss[places].to(losses), error[places].to(errors)
    return losses, errors


def watched(task_name: str, runs: Sequence[RunSpec]) -> tuple[str, ...]:
    """Tasks on whose test examples runs may watch a cluster: their own and, beside taught classes, their starts'."""
    taught = any(run.arm.stream.cluster == "taught" for run in runs)
    return (task_name, *(name for name in old_tasks(runs) if taught and name != task_name))


def watched_by(run: RunSpec, names: Sequence[str]) -> Split:
    """One run's test examples of these tasks, the first of which is its own."""
    first, *others = (tasks.load(name).of_seed(run.split_seed).splits.test for name in names)
    if not others:
        return first
    parts = [first, *others]
    return Split(torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts]))
