"""What the engine is told and what it tells: a run, the plan that an ensemble of runs shares, and their history."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from warmup_study.tasks.task import CurveName, ScoreName
from warmup_study.training.auxiliary import NO_AUXILIARY, Auxiliary
from warmup_study.training.batches import ORDINARY, Stream
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.probes import ProbeName
from warmup_study.training.schedules import Schedule


@dataclass(frozen=True)
class Run:
    """One training run: everything that may differ inside an ensemble.

    The seed decides the initial weights, unless ``init`` does, and the order of the examples, unless the stream does.
    """

    optimizer: Optimizer
    schedule: Schedule
    lr: float
    seed: int
    stream: Stream = ORDINARY
    init: int | None = None
    auxiliary: Auxiliary = NO_AUXILIARY


def twins(runs: Sequence[Run]) -> list[int]:
    """Position of each run's twin, which differs from it in having the plain stream; its own where there is none."""
    known = {run: place for place, run in reversed(list(enumerate(runs)))}
    return [known.get(replace(run, stream=run.stream.plain), place) for place, run in enumerate(runs)]


@dataclass(frozen=True)
class Plan:
    """What all runs of an ensemble share.

    Losses are evaluated at update 0, every ``evaluate_every`` and at the end. The final outputs on the first
    ``outputs_kept`` test examples are kept.
    """

    updates: int
    batch: int
    evaluate_every: int
    probed: tuple[int, ...] = ()
    probes: tuple[ProbeName, ...] = ()
    compiled: bool = False
    outputs_kept: int = 0

    @property
    def evaluated(self) -> tuple[int, ...]:
        """The updates after which the validation loss is taken, 0 (the initial weights) first."""
        return (*range(0, self.updates, self.evaluate_every), self.updates)


class History:
    """What was seen along the way of R runs, NaN where a run had nothing to show.

    ``train_loss`` and ``realised_lr`` [T, R] hold each update's batch loss (before the update, with what an auxiliary
    loss adds) and learning rate;
    ``validation_loss`` and ``validation_error`` [E, R] belong to ``plan.evaluated``; ``probes`` hold
    [Q, R] of ``plan.probed`` under each name in ``plan.probes``; ``test_loss`` and ``test_error`` [R] belong to the
    final weights, and so do the flattened ``outputs`` [O, R] on the test examples that the plan keeps. What a task
    measures on top stands in ``curves`` ([E, R] on the validation split) and ``scores`` ([R] on the test split).
    """

    def __init__(self, plan: Plan, runs: int, device: str, curves: Sequence[CurveName] = ()) -> None:
        empty = partial(torch.full, fill_value=torch.nan, device=device)
        self.train_loss, self.realised_lr = empty((plan.updates, runs)), empty((plan.updates, runs))
        self.validation_loss, self.validation_error = (empty((len(plan.evaluated), runs)) for _ in range(2))
        self.test_loss, self.test_error = empty((runs,)), empty((runs,))
        self.outputs = empty((0, runs))
        self.curves = {name: empty((len(plan.evaluated), runs)) for name in curves}
        self.scores = {name: empty((runs,)) for name in get_args(ScoreName)}
        self.probes = {name: empty((len(plan.probed), runs)) for name in plan.probes}

    def by_run(self, runs: int) -> list[dict[str, NDArray[np.float32]]]:
        """What each of the first ``runs`` runs of the stack showed, name by name, probes among them."""
        plain = {name: values for name, values in vars(self).items() if isinstance(values, torch.Tensor)}
        named = plain | self.curves | self.scores | self.probes
        arrays = {name: values.cpu().numpy() for name, values in named.items()}
        return [{name: values[..., run] for name, values in arrays.items()} for run in range(runs)]

    @property
    def diverged_at(self) -> NDArray[np.int64]:
        """The update that made a run's loss non-finite, 0 where it stayed finite: [R]."""
        finite = torch.cat([self.train_loss, self.test_loss[None]]).isfinite().cpu().numpy()
        # Row i holds the loss at the weights that update i left behind; the initial weights are update 1's concern.
        return np.where(finite.all(0), 0, np.maximum(finite.argmin(0), 1))
