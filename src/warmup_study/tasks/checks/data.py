"""Whether a task's examples can be trained on and evaluated: shapes, types, numbers, labels and splits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from warmup_study.errors import StudyError
from warmup_study.tasks.task import Places, Pool, Split, Splits, Task, are_labels, class_count, misclassified

_TRAIN_AT_LEAST = 2  # examples: a layer that normalises over a batch needs two
_TRIED = (0, 1)  # seeds whose splits of a pool are looked at


def called(what: str, function: Callable[..., Any], *given: Any) -> Any:
    """What a function of the user's returns; whatever it raises is one line."""
    try:
        return function(*given)
    except (Exception, SystemExit) as problem:
        raise StudyError(f"{what} failed with {type(problem).__name__}: {problem}") from problem


def check_splits(task: Task) -> None:
    """Refuse splits that are empty, not finite or no ordinary tensors, and a pool that does not give such splits."""
    if not (isinstance(task.splits, Splits) and all(isinstance(split, Split) for split in task.splits)):
        raise StudyError("splits: got no Splits; takes Splits(Split(inputs, targets), ...): train, validation and test")
    for name, split in task.splits._asdict().items():
        for part in ("inputs", "targets"):
            _check_tensor(f"{name} {part}", getattr(split, part))
        examples, targets = len(split.inputs), len(split.targets)
        if examples != targets:
            raise StudyError(f"{name}: got {examples} inputs and {targets} targets; takes one target for each input")
    if len(task.splits.train) < _TRAIN_AT_LEAST:
        raise StudyError(f"train: got one example; takes {_TRAIN_AT_LEAST} and more")
    if task.pool is not None:
        _check_pool(task.splits, task.pool)


def _check_tensor(name: str, tensor: object) -> None:
    """Refuse what is no ordinary tensor of numbers, one row an example."""
    if not isinstance(tensor, Tensor):
        raise StudyError(f"{name}: got {type(tensor).__name__}; takes a tensor, torch.as_tensor(...)")
    if tensor.layout != torch.strided or tensor.is_complex():
        raise StudyError(f"{name}: got a tensor that is sparse or complex; takes a dense one of real numbers")
    if tensor.ndim == 0 or tensor.numel() == 0:
        raise StudyError(f"{name}: got shape {list(tensor.shape)}, which is empty; takes one row for each example")
    wrong = int((~tensor.to(torch.float32).isfinite()).sum()) if tensor.is_floating_point() else 0
    if wrong:
        raise StudyError(f"{name}: got {wrong} of {tensor.numel()} values that are NaN or infinite; takes finite ones")


def _check_pool(splits: Splits, pool: object) -> None:
    if not isinstance(pool, Pool):
        raise StudyError(f"pool: got {type(pool).__name__}; takes None or a Pool, stratified_pool(...)")
    for name in ("inputs", "targets"):
        _check_tensor(f"pool {name}", getattr(pool.examples, name))
    for seed in _TRIED:
        places = called("pool:", pool.places, seed)
        if not isinstance(places, Places) or [len(part) for part in places] != [len(split) for split in splits]:
            raise StudyError(f"pool: got other sizes from seed {seed}; takes Places of the same sizes from every seed")
        numbers = torch.cat(places).tolist()
        if len(set(numbers)) < len(numbers) or not 0 <= min(numbers) <= max(numbers) < len(pool.examples):
            raise StudyError(f"pool: got an example twice from seed {seed}, or one that is none; takes splits apart")
    pairs = zip(splits, pool.splits(0), strict=True)
    if not all(torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) for a, b in pairs):
        raise StudyError("splits: got others than seed 0 makes of the pool; takes pool=None with splits of their own")


def extremes(split: Split) -> list[int]:
    """Places of two examples, those with the smallest and the largest target; of the one where there is one alone."""
    rows = split.targets.to(torch.float32).flatten(1) if split.targets.ndim > 1 else split.targets.float()[:, None]
    low, high = int(rows.amin(1).argmin()), int(rows.amax(1).argmax())
    return sorted({low, high if high != low else (low + 1) % len(split)})


def check_labels(task: Task, outputs: Tensor) -> None:
    """Whole numbers are class labels: refuse those that no output stands for, ``outputs`` being of two examples."""
    classes = class_count(outputs, task.splits.train.targets[extremes(task.splits.train)])
    if task.ignore_index in range(classes) and task.error is misclassified:
        raise StudyError(f"ignore_index: got {task.ignore_index}; takes an error of your own: the default counts it")
    for name, split in task.splits._asdict().items():
        if not are_labels(split.targets):
            continue
        labels = [label for label in split.targets.unique().tolist() if label != task.ignore_index]
        wrong = [label for label in labels if label < 0 or 0 < classes <= label]
        if wrong:
            raise StudyError(f"targets: got {_listed(wrong)} in {name}; {_instead(labels, classes)}")


def _listed(labels: list[int]) -> str:
    return ", ".join(map(str, labels[:3])) + (", ..." if len(labels) > 3 else "")


def _instead(labels: list[int], classes: int) -> str:
    """What whole numbers may be, and what was probably meant."""
    takes = f"class labels from 0 to {classes - 1}, one for each output" if classes else "class labels from 0"
    if labels == list(range(1, classes + 1)):
        return f"takes {takes}, did you mean targets - 1?"
    return f"takes {takes}, or an ignore_index that the loss leaves out; targets.float() are no labels"
