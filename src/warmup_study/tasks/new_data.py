"""What a network may meet after its training, as tasks made from others, and what it was trained on before.

- ``task+old``, ``task+new``: the lower and the upper half of the classes, in all splits; the network has all outputs.
- ``task+noisy``: every input with normal noise on top, as strong as half the deviation of the training inputs.
- ``task+reversed``: the same text read backwards: every character is as frequent as before, what follows it is new.

Where every seed of the task has splits of its own, those of seed 0 are cut in halves, for all seeds: halves of each
seed's own would differ in size. Noisy and reversed examples lie where they lay in every seed's splits.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from warmup_study.errors import StudyError
from warmup_study.tasks.task import Split, Splits, Task, are_labels

NOISE = 0.5  # in standard deviations of the training inputs
_LAYOUT = 1  # seed of what belongs to the task and not to a run


def old_classes(task: Task) -> Task:
    """The lower half of the task's classes. Raises ``StudyError`` for a task without classes."""
    return _half(task, "old", slice(None, len(classes(task)) // 2), "the first")


def new_classes(task: Task) -> Task:
    """The upper half of the task's classes. Raises ``StudyError`` for a task without classes."""
    return _half(task, "new", slice(len(classes(task)) // 2, None), "the last")


def _half(task: Task, twist: str, part: slice, which: str) -> Task:
    chosen = classes(task)[part]
    return replace(
        task,
        name=f"{task.name}+{twist}",
        title=f"{task.title}, {which} {len(chosen)} classes alone",
        splits=Splits(*(_only(split, chosen) for split in task.splits)),
        pool=None,
    )


def classes(task: Task) -> Tensor:
    """The classes of the training split, ascending. Raises ``StudyError`` where the targets are none."""
    targets = task.splits.train.targets
    if targets.ndim != 1 or not are_labels(targets):
        raise StudyError(f"task: {task.name} has no classes; it cannot be marked or cut in halves")
    return torch.as_tensor(np.unique(targets.numpy()))


def _only(split: Split, chosen: Tensor) -> Split:
    kept = torch.isin(split.targets, chosen)
    return Split(split.inputs[kept], split.targets[kept])


def noisier(task: Task) -> Task:
    """The task with noise on all inputs, drawn once. Raises ``StudyError`` where inputs are no measurements."""
    inputs = task.splits.train.inputs
    if not inputs.is_floating_point():
        raise StudyError(f"task: {task.name} has whole numbers for inputs, to which no noise can be added")
    strength = NOISE * float(inputs.std())
    changed = _changed(task, lambda split, place: _with_noise(split, strength, place))
    return replace(changed, name=f"{task.name}+noisy", title=f"{task.title}, with noise on its inputs")


def _changed(task: Task, change: Callable[[Split, int], Split]) -> Task:
    """The task with other examples in the same places: in its pool or in each split, which are numbered from 0."""
    if task.pool is None:
        return replace(task, splits=Splits(*(change(split, place) for place, split in enumerate(task.splits))))
    pool = replace(task.pool, examples=change(task.pool.examples, 0))
    return replace(task, splits=pool.splits(0), pool=pool)


def _with_noise(split: Split, strength: float, place: int) -> Split:
    drawn = np.random.default_rng([_LAYOUT, place]).standard_normal(tuple(split.inputs.shape))
    return replace(split, inputs=split.inputs + strength * torch.as_tensor(drawn).to(split.inputs))


def backwards(task: Task) -> Task:
    """The task of the next character, of windows read from their ends. Raises ``StudyError`` for any other task."""
    if not all(_next_token(split) for split in task.splits):
        raise StudyError(f"task: {task.name} does not ask for the next character; it cannot be read backwards")
    changed = _changed(task, lambda split, _: _backwards(split))
    return replace(changed, name=f"{task.name}+reversed", title=f"{task.title}, read backwards")


def _next_token(split: Split) -> bool:
    """Whether the targets [N, W] are the inputs [N, W] one place on."""
    same = split.inputs.ndim == 2 and split.inputs.shape == split.targets.shape
    return same and torch.equal(split.inputs[:, 1:], split.targets[:, :-1])


def _backwards(split: Split) -> Split:
    windows = torch.cat([split.inputs, split.targets[:, -1:]], dim=1).flip(1)
    return Split(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())
