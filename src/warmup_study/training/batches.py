"""Which examples each update sees: a pure function of the run's seed and of its stream.

A stream is ordinary (one shuffled epoch after another), or one of three departures from it: its first batches come
from a cluster of related examples, a stretch of it is redrawn from examples that it has not used, or its order is one
and the same for all seeds.
"""

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sklearn.cluster import KMeans

from warmup_study.errors import StudyError
from warmup_study.tasks import Split, Task

Cluster = Literal["class", "kmeans", "mark", "taught"]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

PARTS = 3  # of a class, by k-means: the largest is the cluster
_FROM_CLUSTER, _REDRAW = 2, 3  # generators of their own, so that no choice shifts another


class Stream(BaseModel):
    """How a run's batches depart from one shuffled epoch after another, and which cluster of examples is watched.

    - ``cluster``: the examples whose loss is told apart from that of the rest. ``class``: one class, another for every
      seed; ``kmeans``: the largest of three k-means clusters of that class; ``mark``: those whose mark names their true
      class, on a marked task; ``taught``: those of classes that the training split has.
    - ``skew``: share of each of the first ``span`` batches that is replaced by examples of the cluster.
    - ``redrawn``: first and last update of a stretch whose examples are drawn anew, from those that a pass leaves over.
    - ``order``: the seed of the order, where it is not the run's own.

    On a marked task only marks that are drawn by lot come after the cluster: true early, useless later.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cluster: Cluster | None = None
    skew: Annotated[float, Field(ge=0, le=1)] = 0.0
    span: Annotated[int, Field(ge=0)] = 0
    redrawn: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    order: Annotated[int, Field(ge=0, lt=2**31)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.skew) != bool(self.span) or (self.skew and self.cluster is None):
            raise ValueError("skew: takes a cluster and a span of batches with it")
        if self.redrawn and self.redrawn[0] > self.redrawn[1]:
            raise ValueError(f"redrawn: got {self.redrawn}; takes the first update, then the last")
        return self

    @property
    def plain(self) -> Self:
        """The same stream without its skewed start and its redrawn stretch."""
        return self.model_copy(update={"skew": 0.0, "span": 0, "redrawn": None})


ORDINARY = Stream()


def batch_order(seed: int, examples: int, batch: int, updates: int, passed: int = 0) -> Integers:
    """Indices of the examples in each batch, [updates, batch]: shuffled epochs, without the first ``passed``."""
    last = passed + updates * batch
    return _epochs(seed, examples, last)[passed:last].reshape(updates, batch)


def order_of(stream: Stream, seed: int, task: Task, batch: int, updates: int, passed: int = 0) -> Integers:
    """Indices into the task's training split of the examples in each batch of one run, [updates, batch].

    Epochs go on after so many examples that have ``passed``; what departs from them counts from the first batch given.
    Raises ``StudyError`` where the stream asks for more examples than the task has.
    """
    source = seed if stream.order is None else stream.order
    pool = usual(task, stream)
    order = pool[batch_order(source, len(pool), batch, updates, passed)]
    if stream.redrawn:
        first, last = stream.redrawn
        order[first - 1 : last] = _redrawn(pool, source, passed + order.size, (last - first + 1) * batch).reshape(
            -1, batch
        )
    share = round(stream.skew * batch)
    if share:
        cluster = np.flatnonzero(inside(task, stream, seed, task.splits.train))
        order[: stream.span, :share] = _cycled(cluster, source, order[: stream.span, :share].size).reshape(-1, share)
    return order


def usual(task: Task, stream: Stream) -> Integers:
    """Indices of the training examples that the stream shuffles: all, or those with a mark drawn by lot."""
    train = task.splits.train
    if stream.cluster != "mark":
        return np.arange(len(train))
    return np.arange(len(train) // 2, len(train))


def inside(task: Task, stream: Stream, seed: int, split: Split) -> Mask:
    """Which examples of a split belong to the cluster that the run's stream watches, [N]; none without a cluster.

    Raises ``StudyError`` where the task has no such cluster.
    """
    if stream.cluster is None:
        return np.zeros(len(split), dtype=bool)
    if stream.cluster == "mark":
        return _truly_marked(task, split)
    known = _classes(task)
    if stream.cluster == "taught":
        return np.isin(split.targets.numpy(), known)
    return _cluster_of(task, int(known[seed % len(known)]), stream.cluster, split)


def _truly_marked(task: Task, split: Split) -> Mask:
    if split.marks is None:
        raise StudyError(f"stream: the task {task.name} has no marks; takes one of the marked tasks")
    return np.asarray(split.marks == split.targets)


def _cluster_of(task: Task, label: int, cluster: Cluster, split: Split) -> Mask:
    """The examples of one class, or those of them that are nearest to the centre of its largest part."""
    mask = np.asarray(split.targets == label)
    if cluster == "kmeans":
        centres, largest = _parts(task.splits.train, label)
        rows = split.inputs[mask].flatten(1).numpy()
        distances = np.linalg.norm(rows[:, None] - centres[None], axis=-1)
        mask[np.flatnonzero(mask)[distances.argmin(1) != largest]] = False
    return mask


def _classes(task: Task) -> Integers:
    targets = task.splits.train.targets
    if targets.ndim != 1 or targets.is_floating_point():
        raise StudyError(f"stream: the task {task.name} has no classes to cut into clusters")
    return np.unique(targets.numpy())


@lru_cache
def _parts(train: Split, label: int) -> tuple[NDArray[np.float32], int]:
    """Centres of the parts of one class of the training split, and which part is the largest."""
    found = KMeans(PARTS, n_init=5, random_state=0).fit(train.inputs[train.targets == label].flatten(1).numpy())
    return np.asarray(found.cluster_centers_), int(np.bincount(found.labels_).argmax())


def _redrawn(pool: Integers, seed: int, used: int, count: int) -> Integers:
    """So many examples that a single pass over ``used`` of the pool leaves over."""
    left = pool[_epochs(seed, len(pool), used)[used : len(pool)]]
    if count > len(left):
        raise StudyError(f"stream: {count} examples cannot be redrawn, a pass over {used} leaves {len(left)}")
    return np.random.default_rng([seed, _REDRAW]).permutation(left)[:count]


def _cycled(indices: Integers, seed: int, count: int) -> Integers:
    """So many of the indices, shuffled anew each time they are used up."""
    return indices[_rounds(np.random.default_rng([seed, _FROM_CLUSTER]), len(indices), count)[:count]]


def _epochs(seed: int, examples: int, count: int) -> Integers:
    """Whole shuffled epochs, enough for ``count`` examples, one behind the other."""
    return _rounds(np.random.default_rng([seed, 1]), examples, count)


def _rounds(generator: np.random.Generator, examples: int, count: int) -> Integers:
    return np.concatenate([generator.permutation(examples) for _ in range(-(-count // examples))])
