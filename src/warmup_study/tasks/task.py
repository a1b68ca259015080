"""What a task is: a model, three splits held as tensors, fixed or every seed's own, a loss and an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, NamedTuple, Self

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
Regime = Literal["easy", "deep", "conv", "attention", "large batch", ""]

_SPLITTING = 5  # a generator of its own, so that splits share no chance with initial weights or batches


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

    def at(self, places: Tensor) -> "Split":
        """The examples at these places [...]: inputs and targets of shape [..., *those of an example]."""
        marks = None if self.marks is None else self.marks[places]
        return Split(self.inputs[places], self.targets[places], marks)


class Splits(NamedTuple):
    """The three parts of a task's data: one to learn from, one to pick on, one to report on."""

    train: Split
    validation: Split
    test: Split


class Places(NamedTuple):
    """Where the examples of the three splits lie in a pool: whole numbers [N] each, none twice."""

    train: Tensor
    validation: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples of which every seed makes its own splits, so that the noise of the items is part of the seed's.

    ``places`` maps a seed to the places of its examples; each split has the same size for all seeds.
    """

    examples: Split
    places: Callable[[int], Places]

    def splits(self, seed: int) -> Splits:
        """The seed's own splits."""
        return _splits_of(self, seed)


@lru_cache(maxsize=64)
def _splits_of(pool: Pool, seed: int) -> Splits:
    return Splits(*(pool.examples.at(places) for places in pool.places(seed)))


def class_count(outputs: Tensor, targets: Tensor) -> int:
    """Number of classes C where whole numbers [...] stand beside logits [..., C]; 0 where targets are no labels."""
    beside = outputs.ndim == targets.ndim + 1 and outputs.shape[:-1] == targets.shape
    return outputs.shape[-1] if beside and are_labels(targets) and outputs.shape[-1] > 1 else 0


def are_labels(targets: Tensor) -> bool:
    """Whether targets are whole numbers, which are class labels."""
    return not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)


def misclassified(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of wrong arg-max answers: logits [..., C], labels [...] -> scalar in [0, 1].

    Labels that are no class (a task's ``ignore_index``) do not count. NaN where targets are no class labels at all.
    """
    classes = class_count(outputs, targets)
    if not classes:
        return torch.full((), torch.nan, dtype=outputs.dtype, device=outputs.device)
    counted = (targets >= 0) & (targets < classes)
    wrong = (outputs.argmax(-1) != targets) & counted
    return wrong.sum().to(outputs.dtype) / counted.sum()


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood: logits [..., C], labels [...] -> scalar. torch's own, to rounding.

    The true class is picked by a mask: unlike torch's look-up, it becomes vector code when a whole stack is compiled.
    """
    true = targets.unsqueeze(-1) == torch.arange(outputs.shape[-1], device=outputs.device)
    return -functional.log_softmax(outputs, -1).where(true, 0.0).sum(-1).mean()


@dataclass(frozen=True)
class Task:
    """A learning problem that the ensemble can train on.

    ``title`` is one line of plain text. ``model()`` returns a fresh ``nn.Module``, which draws whatever is random in
    it from torch's generator; ``loss`` and ``error`` map (outputs, targets) of one batch to a scalar mean. Targets that
    are whole numbers are class labels: the default error is the share of wrong ones, and NaN, not reported, for any
    other targets. ``ignore_index`` is the label that the loss leaves out, where there is one.

    ``splits`` are those of every run or, where there is a ``pool`` of examples, those of seed 0: every seed has its
    own (:meth:`of_seed`). ``regime`` is the kind of training problem that the task stands for. A run counts as trained
    once its loss is below ``trained_share`` of the initial one: half, or more where the targets have an entropy.

    ``sgd_lrs`` and ``adaptive_lrs`` are the lowest and highest learning rate of the bracketing grid of plain SGD and of
    the adaptive optimisers; a pilot finds them where they are None. ``batch`` is the usual number of examples in a
    batch. ``stack`` runs are trained side by side, as many as fit the cache of one core; from ``compile_from_updates``
    updates on, over all runs of an experiment, compiling saves more time than it costs. Both are smaller for a dear
    model. Splits are evaluated ``evaluation_batch`` examples at a time, and the results averaged: only for a loss, an
    error and measures that are means over examples, all of equal weight. None evaluates a split whole, which is right
    for any loss.

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
    sgd_lrs: tuple[float, float] | None = None
    adaptive_lrs: tuple[float, float] | None = None
    batch: int = 64
    stack: int = 64
    compile_from_updates: int = 150_000
    auxiliary: Measure | None = None
    measures: Mapping[CurveName, Measure] = field(default_factory=dict)
    scores: Callable[[NDArray[np.float32]], Mapping[ScoreName, float]] | None = None
    ignore_index: int | None = None
    regime: Regime = ""
    trained_share: float = 0.5
    pool: Pool | None = None
    evaluation_batch: int | None = None

    def of_seed(self, seed: int) -> Self:
        """The task as the runs of one seed see it: with that seed's splits, and no others."""
        return self if self.pool is None else replace(self, splits=self.pool.splits(seed), pool=None)


def stratified_splits(inputs: NDArray[np.float32], labels: NDArray[np.int64], *, held_out: float) -> Splits:
    """Train, validation and test splits, the last two of share ``held_out`` each, every class in proportion.

    The split is the same in every run: it is part of the task, not of the seed.
    """
    examples = Split(torch.as_tensor(inputs), torch.as_tensor(labels))
    return Splits(*(examples.at(places) for places in _stratified(labels, held_out, 0)))


def stratified_pool(inputs: NDArray[np.float32], labels: NDArray[np.int64], *, held_out: float) -> Pool:
    """A pool of which every seed makes such splits by its own chance: part of the seed, not of the task."""

    def places(seed: int) -> Places:
        bits = np.random.MT19937(np.random.SeedSequence([seed, _SPLITTING]))
        return _stratified(labels, held_out, np.random.RandomState(bits))

    return Pool(Split(torch.as_tensor(inputs), torch.as_tensor(labels)), places)


def _stratified(labels: NDArray[np.int64], held_out: float, chance: int | np.random.RandomState) -> Places:
    everything = np.arange(len(labels))
    rest, test = train_test_split(everything, test_size=held_out, stratify=labels, random_state=chance)
    share = held_out / (1 - held_out)
    train, validation = train_test_split(rest, test_size=share, stratify=labels[rest], random_state=chance)
    return Places(*map(torch.as_tensor, (train, validation, test)))


def token_names(data: str, norm: Placement, mixing: Mixing, blocks: int = 2) -> tuple[str, str]:
    """Name of the task that trains a Transformer, or the same network without attention, and what to call it."""
    kind = {"attention": "transformer", "fixed": "mixer"}[mixing]
    without = {"attention": "", "fixed": " without attention"}[mixing]
    name = f"{data}-{kind}{'-pre' if norm == 'pre' else ''}{'' if blocks == 2 else f'-{blocks}'}"
    return name, f"{norm}-LN Transformer with {blocks} blocks{without}"


def token_regime(mixing: Mixing) -> Regime:
    """Attention, where there is any."""
    return "attention" if mixing == "attention" else ""
