"""What a task is: a model, three fixed splits held as tensors, a loss and an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from warmup_study.tasks.networks import Mixing, Placement

Measure = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) of a batch -> scalar
CurveName = Literal["box_curve", "pull_curve"]
ScoreName = Literal["mean_ap"]


@dataclass(frozen=True)
class Split:
    """Examples as tensors: ``inputs`` [N, ...] and ``targets`` [N, ...].

    ``marks`` [N], on marked tasks alone, are the classes that the inputs' marks name, rightly or wrongly.
    """

    inputs: Tensor
    targets: Tensor
    marks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)


class Splits(NamedTuple):
    """The three fixed parts of a task's data: one to learn from, one to pick on, one to report on."""

    train: Split
    validation: Split
    test: Split


def misclassified(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of wrong arg-max answers: logits [N, C], labels [N] -> scalar in [0, 1]."""
    return (outputs.argmax(-1) != targets).to(outputs.dtype).mean()


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood: logits [..., C], labels [...] -> scalar. torch's own, to rounding.

    The true class is picked by a mask: unlike torch's look-up, it becomes vector code when a whole stack is compiled.
    """
    true = targets.unsqueeze(-1) == torch.arange(outputs.shape[-1], device=outputs.device)
    return -functional.log_softmax(outputs, -1).where(true, 0.0).sum(-1).mean()


@dataclass(frozen=True)
class Task:
    """A learning problem that the ensemble can train on.

    ``model()`` returns a fresh, randomly initialised ``nn.Module``; ``loss`` and
    ``error`` map (outputs, targets) of one batch to a scalar mean. ``sgd_lrs`` and ``adaptive_lrs`` are the lowest and
    highest learning rate of the bracketing grid of plain SGD and of the adaptive optimisers, ``batch`` the usual number
    of examples in a batch. ``stack`` runs are trained side by side, as many as fit the cache of one core; from
    ``compile_from_updates`` updates on, over all runs of an experiment, compiling saves more time than it costs. Both
    are smaller for a dear model.

    ``auxiliary`` is a second loss that an arm may add to the first for a while. ``measures`` are evaluated beside loss
    and error on the validation split, ``scores`` map the final outputs on the whole test split of one run, as an
    array, to numbers. Their names are columns of the table of runs.
    """

    name: str
    title: str
    model: Callable[[], nn.Module]
    splits: Splits
    loss: Measure = cross_entropy
    error: Measure = misclassified
    sgd_lrs: tuple[float, float] = (1e-2, 1e1)
    adaptive_lrs: tuple[float, float] = (1e-4, 1e0)
    batch: int = 64
    stack: int = 64
    compile_from_updates: int = 150_000
    auxiliary: Measure | None = None
    measures: Mapping[CurveName, Measure] = field(default_factory=dict)
    scores: Callable[[NDArray[np.float32]], Mapping[ScoreName, float]] | None = None


def stratified_splits(inputs: NDArray[np.float32], labels: NDArray[np.int64], *, held_out: float) -> Splits:
    """Train, validation and test splits, the last two of share ``held_out`` each, every class in proportion.

    The split is the same in every run: it is part of the task, not of the seed.
    """
    split = partial(train_test_split, random_state=0, shuffle=True)
    rest_x, test_x, rest_y, test_y = split(inputs, labels, test_size=held_out, stratify=labels)
    train_x, val_x, train_y, val_y = split(rest_x, rest_y, test_size=held_out / (1 - held_out), stratify=rest_y)
    pairs = ((train_x, train_y), (val_x, val_y), (test_x, test_y))
    return Splits(*(Split(torch.as_tensor(x), torch.as_tensor(y)) for x, y in pairs))


def token_names(data: str, norm: Placement, mixing: Mixing) -> tuple[str, str]:
    """Name of the task that trains a Transformer, or the same network without attention, and what to call it."""
    kind = {"attention": "transformer", "fixed": "mixer"}[mixing]
    without = {"attention": "", "fixed": " without attention"}[mixing]
    return f"{data}-{kind}{'-pre' if norm == 'pre' else ''}", f"{norm}-LN Transformer with 2 blocks{without}"
