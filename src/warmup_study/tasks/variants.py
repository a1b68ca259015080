"""Tasks made from others, and their names: ``task+marks`` has a spurious feature on every input.

Its split is the same for all seeds, that of seed 0 where every seed of the task has its own.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from warmup_study.tasks.activation_variants import leaky, smooth
from warmup_study.tasks.new_data import backwards, classes, new_classes, noisier, old_classes
from warmup_study.tasks.task import Split, Splits, Task

STRENGTH = 0.5  # of a mark, in standard deviations of the inputs: plain to a network, hardly to the eye
_LAYOUT = 0  # seed of what belongs to the task and not to a run


def marked(task: Task) -> Task:
    """The task with a faint mark on every input, a fixed pattern of signs for each class.

    The training split holds all its examples twice: first with true marks, then with marks drawn by lot. The other
    splits have marks drawn by lot. So who meets the first half first learns to trust a mark that later says nothing.
    Raises ``StudyError`` for a task without classes.
    """
    count = len(classes(task))
    patterns = _patterns(task.splits.train, count)
    true = _with_marks(task.splits.train, task.splits.train.targets, patterns)
    train, validation, test = (
        _with_marks(split, _by_lot(len(split), count, place), patterns) for place, split in enumerate(task.splits)
    )
    return replace(
        task,
        name=f"{task.name}+marks",
        title=f"{task.title}, marked",
        splits=Splits(_joined(true, train), validation, test),
        pool=None,
    )


def _patterns(split: Split, count: int) -> Tensor:
    """A pattern of signs for each class, [C, ...], in the inputs' unit times STRENGTH."""
    signs = np.random.default_rng(_LAYOUT).choice([-1.0, 1.0], (count, *split.inputs.shape[1:]))
    return torch.as_tensor(signs, dtype=split.inputs.dtype) * split.inputs.std() * STRENGTH


def _by_lot(examples: int, count: int, place: int) -> Tensor:
    return torch.as_tensor(np.random.default_rng([_LAYOUT, place]).integers(count, size=examples))


def _with_marks(split: Split, marks: Tensor, patterns: Tensor) -> Split:
    return Split(split.inputs + patterns[marks], split.targets, marks)


def _joined(first: Split, second: Split) -> Split:
    marks = torch.cat([split.marks for split in (first, second) if split.marks is not None])
    return Split(torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets]), marks)


TWISTS: dict[str, Callable[[Task], Task]] = {
    "marks": marked,
    "old": old_classes,
    "new": new_classes,
    "noisy": noisier,
    "reversed": backwards,
    "leaky": leaky,
    "smooth": smooth,
}
"""What may follow a task's name and a plus sign."""
