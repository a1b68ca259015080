"""What a stack of runs showed along the way."""

from collections.abc import Sequence
from functools import partial
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from warmup_study.tasks.task import CurveName, ScoreName
from warmup_study.training.experiment import TrainingConfig


class Traces:
    """What was seen along the way of R runs, NaN where a run had nothing to show.

    ``train_loss`` and ``realised_lr`` [T, R] hold each update's batch loss (before the update, with what an auxiliary
    loss adds) and learning rate;
    ``validation_loss`` and ``validation_error`` [E, R] belong to ``config.evaluated``; ``probes`` hold
    [Q, R] of ``config.probed`` under each name in ``config.probes``; ``test_loss`` and ``test_error`` [R] belong to the
    final weights, and so do the flattened ``outputs`` [O, R] on the test examples that are kept. What a task
    measures on top stands in ``curves`` ([E, R] on the validation split) and ``scores`` ([R] on the test split).
    ``old_loss_curve`` [E, R], on its validation split, and ``old_test_loss`` and ``old_test_error`` [R] belong to the
    task that a run's network was trained on before.
    """

    def __init__(self, config: TrainingConfig, runs: int, curves: Sequence[CurveName] = ()) -> None:
        empty = partial(torch.full, fill_value=torch.nan, device=config.device)
        self.train_loss, self.realised_lr = empty((config.updates, runs)), empty((config.updates, runs))
        self.validation_loss, self.validation_error = (empty((len(config.evaluated), runs)) for _ in range(2))
        self.test_loss, self.test_error = empty((runs,)), empty((runs,))
        self.old_loss_curve = empty((len(config.evaluated), runs))
        self.old_test_loss, self.old_test_error = empty((runs,)), empty((runs,))
        self.outputs = empty((0, runs))
        self.curves = {name: empty((len(config.evaluated), runs)) for name in curves}
        self.scores = {name: empty((runs,)) for name in get_args(ScoreName)}
        self.probes = {name: empty((len(config.probed), runs)) for name in config.probes}

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
