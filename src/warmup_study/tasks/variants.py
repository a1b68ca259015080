"""Tasks made from others: ``task+marks`` has a spurious feature, ``task+new`` a trained model and new classes.

Both have one fixed split, that of seed 0 where every seed of the task has its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from warmup_study.errors import StudyError
from warmup_study.tasks.activation_variants import leaky, smooth
from warmup_study.tasks.task import Split, Splits, Task

STRENGTH = 0.5  # of a mark, in standard deviations of the inputs: plain to a network, hardly to the eye
TAUGHT, TAUGHT_LR = 500, 3e-3  # updates of Adam on the old classes, at a rate at which it needs no warmup
_LAYOUT = 0  # seed of what belongs to the task and not to a run


def marked(task: Task) -> Task:
    """The task with a faint mark on every input, a fixed pattern of signs for each class.

    The training split holds all its examples twice: first with true marks, then with marks drawn by lot. The other
    splits have marks drawn by lot. So who meets the first half first learns to trust a mark that later says nothing.
    Raises ``StudyError`` for a task without classes.
    """
    count = len(_classes(task))
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


def new_classes(task: Task) -> Task:
    """The task's upper half of classes, for a model that was trained on the lower half and on nothing else.

    The test split keeps all classes, so that what becomes of the old ones is seen, too. Raises ``StudyError`` for a
    task without classes.
    """
    classes = _classes(task)
    old = classes[: len(classes) // 2]
    taught = _only(task.splits.train, old, keep=True)

    @lru_cache(maxsize=256)
    def state(seed: int) -> dict[str, Tensor]:
        return _taught(task, taught, seed).state_dict()

    def model() -> nn.Module:
        fresh = task.model()
        fresh.load_state_dict(state(torch.initial_seed()))
        return fresh

    train, validation = (_only(split, old, keep=False) for split in task.splits[:2])
    return replace(
        task,
        name=f"{task.name}+new",
        title=f"{task.title}, trained on the first {len(old)} classes, meets the others",
        model=model,
        splits=Splits(train, validation, task.splits.test),
        pool=None,
    )


def _taught(task: Task, examples: Split, seed: int) -> nn.Module:
    """A model from that seed's initial weights, trained on the examples."""
    chance = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = task.model()
        rule = torch.optim.Adam(model.parameters(), TAUGHT_LR)
        for _ in range(TAUGHT):
            picked = torch.randint(len(examples), (task.batch,), generator=chance)
            rule.zero_grad()
            loss = task.loss(model(examples.inputs[picked]), examples.targets[picked])
            loss.backward()  # type: ignore[no-untyped-call]
            rule.step()
    return model


def _classes(task: Task) -> Tensor:
    targets = task.splits.train.targets
    if targets.ndim != 1 or targets.is_floating_point():
        raise StudyError(f"task: {task.name} has no classes; it cannot be marked or meet new ones")
    return torch.as_tensor(np.unique(targets.numpy()))


def _only(split: Split, classes: Tensor, *, keep: bool) -> Split:
    chosen = torch.isin(split.targets, classes) == keep
    return Split(split.inputs[chosen], split.targets[chosen])


TWISTS: dict[str, Callable[[Task], Task]] = {"marks": marked, "new": new_classes, "leaky": leaky, "smooth": smooth}
"""What may follow a task's name and a plus sign."""
