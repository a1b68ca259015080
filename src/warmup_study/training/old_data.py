"""What runs that begin at a trained network still know of the data that it was trained on."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from warmup_study import tasks
from warmup_study.tasks import Split
from warmup_study.training.experiment import RunSpec
from warmup_study.training.members import Members


def old_tasks(runs: Sequence[RunSpec]) -> dict[str, list[int]]:
    """Tasks of the runs' starts, and the runs [k] that began there and have kept the head that answered them."""
    places: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        if run.arm.start is not None and run.arm.start.head == "kept":
            places.setdefault(run.arm.start.before.task, []).append(place)
    return places


def measured(
    members: Members, runs: Sequence[RunSpec], splits: Mapping[str, Split], device: str
) -> tuple[Tensor, Tensor]:
    """Mean loss and error [R] of each run on the split of its start's task; NaN where it has none."""
    losses, errors = (torch.full((len(runs),), torch.nan, device=device) for _ in range(2))
    for name, places in old_tasks(runs).items():
        loss, error, *_ = members.measured(splits[name])
        losses[places], errors[places] = loss[places].to(losses), error[places].to(errors)
    return losses, errors


def watched(task_name: str, runs: Sequence[RunSpec]) -> Split:
    """Test examples of which a run may watch a cluster: the task's and, beside taught classes, the starts' own."""
    test = tasks.load(task_name).splits.test
    if not any(run.arm.stream.cluster == "taught" for run in runs):
        return test
    parts = [test, *(tasks.load(name).splits.test for name in old_tasks(runs) if name != task_name)]
    return Split(torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts]))
