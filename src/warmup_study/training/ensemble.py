"""The engine: trains R independent runs of one model at once, as if each had been trained alone.

Where the network allows it, every tensor of the model becomes a stack [R, ...] that is trained in one pass; any other
network is trained member by member, in an ordinary loop. What a run does depends on its definition alone: the seed
fixes its initial weights, the order of its batches and its dropout, whatever it is trained beside.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from warmup_study import tasks
from warmup_study.tasks import Task
from warmup_study.training import auxiliary, batches, dropout, full_batch, old_data, optimizers, schedules, stackable
from warmup_study.training.arithmetic import steady
from warmup_study.training.batches import Stream
from warmup_study.training.examples import Examples, Placed, joined, located, of_members
from warmup_study.training.experiment import Arm, RunSpec, TrainingConfig, paired_runs
from warmup_study.training.full_batch import FullBatch
from warmup_study.training.group_losses import GroupLosses
from warmup_study.training.members import Members
from warmup_study.training.network_state import Stacks, initial_state
from warmup_study.training.probes import PROBES, UpdateContext
from warmup_study.training.stacked import StackedMembers, quietly
from warmup_study.training.starting_points import Points, begin, points_of
from warmup_study.training.starts import Pretraining
from warmup_study.training.torch_loop import SeparateMembers
from warmup_study.training.traces import Traces

COMPILED_MULTIPLE = 32  # sizes of compiled stacks, so that few different ones are ever compiled
OFTEN = 30  # evaluations of one stack, piece by piece, from which on their compilation is repaid, too


def train(
    config: TrainingConfig,
    runs: Sequence[RunSpec],
    *,
    compiled: bool = False,
    dtype: torch.dtype = torch.float32,
    stacked: bool | None = None,
    points: Points | None = None,
) -> Traces:
    """Train all ``runs``, whose optimisers must share one kernel, and return what was seen, in their order.

    They are trained as one stack or one by one: as ``stacked`` says, else as the network allows. Compiled stacks are
    filled up with copies of the last run, which stand behind the others in the traces. Runs with a start begin at one
    of the ``points``. Nothing is clipped or raised when a run diverges: its losses become non-finite and stay so.
    """
    together = stackable.refusal(config.task) is None if stacked is None else stacked
    shown = _padded(runs) if compiled and together else runs
    with steady(), quietly(), torch.no_grad():
        ensemble = _Ensemble(config, shown, dtype, points or {})
        return ensemble.trained(len(runs), compiled=compiled, stacked=together)


def pretrain(
    before: Pretraining,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    compiled: bool = False,
    dtype: torch.dtype = torch.float32,
    stacked: bool | None = None,
) -> Points:
    """Starting points from these seeds, trained as by :func:`train`."""
    arm = Arm(label="start", optimizer=before.optimizer, schedule=before.schedule)
    config = TrainingConfig(
        task=before.task, updates=before.updates, batch=before.batch, evaluate_every=before.updates, device=device
    )
    runs = [RunSpec(arm, before.lr, seed) for seed in seeds]
    together = stackable.refusal(config.task) is None if stacked is None else stacked
    with steady(), quietly(), torch.no_grad():
        ensemble = _Ensemble(config, runs, dtype, {})
        ensemble.trained(0, compiled=compiled, stacked=together)
        return points_of(ensemble.members, before, seeds)


class _Ensemble:
    """What one call of :func:`train` lays out ahead, and its loop over the updates."""

    def __init__(self, config: TrainingConfig, runs: Sequence[RunSpec], dtype: torch.dtype, points: Points) -> None:
        task = tasks.load(config.task)
        self.config, self.runs, self.dtype, self.points = config, runs, dtype, points
        self.traces = Traces(config, len(runs), tuple(task.measures))
        self.examples, self.validation, self.test = self._examples_of(config.task)
        self.old = {name: self._examples_of(name) for name in old_data.old_tasks(runs)}
        self.drawn = [(run.arm.stream, run.seed, run.split_seed) for run in runs]
        self.done = [run.arm.start.updates_done(config.task) if run.arm.start else 0 for run in runs]
        self._lay_out_coefficients()
        self._lay_out_batches(task)
        keys = dropout.keys([run.seed for run in runs], config.updates, self.done)
        self.keys = torch.as_tensor(keys, device=config.device)

    def _examples_of(self, task_name: str) -> Placed:
        """What each run has of a task, by the seed of its own splits."""
        seeds = [run.split_seed for run in self.runs]
        return of_members(tasks.load(task_name), seeds, self.config.device, self.dtype)

    def _lay_out_coefficients(self) -> None:
        """Lay out the coefficients [T, C, R] of all updates."""
        arms, updates = [run.arm for run in self.runs], self.config.updates
        rates = schedules.learning_rates([arm.schedule for arm in arms], [run.lr for run in self.runs], updates)
        table = {"lr": rates, **optimizers.coefficients([arm.rule for arm in arms], rates)}
        if any(arm.auxiliary.acts for arm in arms):
            table["auxiliary"] = auxiliary.weights([arm.auxiliary for arm in arms], updates)
        self.names = tuple(table)
        self.rows = torch.as_tensor(np.stack(list(table.values()), axis=1), dtype=self.dtype, device=self.config.device)

    def _lay_out_batches(self, task: Task) -> None:
        """Lay out the batches [T, S, B] of S different streams, seeds and splits, and which of them each run sees."""
        passed = [
            run.arm.start.before.batch * done if run.arm.start else 0
            for run, done in zip(self.runs, self.done, strict=True)
        ]
        sources = [(*drawn, examples) for drawn, examples in zip(self.drawn, passed, strict=True)]
        places = {source: place for place, source in enumerate(dict.fromkeys(sources))}
        orders = [self._order(task, *source) for source in places]
        self.orders = torch.stack(orders, dim=1).to(self.config.device)
        self.which = torch.as_tensor([places[source] for source in sources], device=self.config.device)

    def _order(self, task: Task, stream: Stream, seed: int, split_seed: int, passed: int) -> Tensor:
        """Places of the examples of each batch [T, B] among those that are updated on."""
        own = task.of_seed(split_seed)
        order = batches.order_of(stream, seed, own, self.config.batch, self.config.updates, passed)
        return located(task, order, split_seed)

    def _members(self, *, compiled: bool, stacked: bool) -> Members:
        members = self._fresh_members(compiled=compiled, stacked=stacked)
        begin(members, self.config.task, self.runs, self.points)
        return members

    def _fresh_members(self, *, compiled: bool, stacked: bool) -> Members:
        config, rules = self.config, [run.arm.rule for run in self.runs]
        seeds, device = [run.init_seed for run in self.runs], config.device
        if not stacked:
            return SeparateMembers(config.task, seeds, rules, self.names, device=device, dtype=self.dtype)
        initial = initial_state(tasks.load(config.task), seeds, self.dtype)
        often = compiled and self._evaluations() >= OFTEN
        return StackedMembers(
            config.task, initial, rules[0].kernel, self.names, device=device, compiled=compiled, often=often
        )

    def _evaluations(self) -> int:
        """How many pieces of the splits are evaluated in all."""
        size = tasks.load(self.config.task).evaluation_batch
        curve, end = (-(-len(split) // (size or len(split))) for split in (self.validation, self.test))
        return curve * len(self.config.evaluated) + end

    def _lay_out_probes(self) -> None:
        task, paired = tasks.load(self.config.task), paired_runs(self.runs)
        examples, piece = self.examples.thinned(full_batch.MOST), task.evaluation_batch
        self.full_batch = FullBatch(self.members, examples, self.config.batch, piece)
        names = old_data.watched(self.config.task, self.runs)
        shown = [old_data.watched_by(run, names) for run in self.runs]
        test = joined([self.test, *(self.old[name].test for name in names[1:])], len(self.runs))
        self.group_losses = GroupLosses(task, self.drawn, paired, shown, test, self.members)

    def trained(self, scored: int, *, compiled: bool, stacked: bool) -> Traces:
        """Train, and return what was seen; the first ``scored`` runs are worth scoring."""
        self.members = self._members(compiled=compiled, stacked=stacked)
        self._lay_out_probes()
        self._evaluate(0)
        for update in range(1, self.config.updates + 1):
            if update in self.config.probed:
                self._probed_update(update)
            else:
                self._update(update)
            if update in self.config.evaluated and not self._evaluate(update).any():
                break  # every run has diverged: nothing is left to train
        self._finish(scored)
        return self.traces

    def _update(self, update: int) -> None:
        row, key = self.rows[update - 1], self.keys[update - 1]
        picked = self.orders[update - 1][self.which]
        self.traces.train_loss[update - 1] = self.members.update(self.examples.split, picked, row, key)
        self.traces.realised_lr[update - 1] = row[self.names.index("lr")]

    def _probed_update(self, update: int) -> None:
        before: Stacks = {name: stack.clone() for name, stack in self.members.params.items()}
        self._update(update)
        row = dict(zip(self.names, self.rows[update - 1].unbind(), strict=True))
        loss = self.traces.train_loss[update - 1]
        after, state = self.members.params, self.members.state
        seen = UpdateContext(before, after, state, row, loss, self.full_batch, self.group_losses)
        for name, values in self.traces.probes.items():
            values[self.config.probed.index(update)] = PROBES[name](seen)

    def _evaluate(self, update: int) -> Tensor:
        """Note the validation loss and error after this update; returns which runs are still finite, [R]."""
        losses, errors, *measures = self._measured(self.validation)
        row = self.config.evaluated.index(update)
        self.traces.validation_loss[row], self.traces.validation_error[row] = losses, errors
        for curve, values in zip(self.traces.curves.values(), measures, strict=True):
            curve[row] = values
        self.traces.old_loss_curve[row], _ = self._on_old_data("validation")
        return losses.isfinite()

    def _measured(self, examples: Examples) -> list[Tensor]:
        """Mean loss, error and further measures [R], a piece of the examples at a time."""
        pieces = examples.pieces(tasks.load(self.config.task).evaluation_batch)
        found = [[len(piece) / len(examples) * each for each in self.members.measured(piece)] for piece in pieces]
        return [torch.stack(parts).sum(0) for parts in zip(*found, strict=True)]

    def _finish(self, scored: int) -> None:
        """Note what the final weights are worth on the test split."""
        self.traces.test_loss, self.traces.test_error, *_ = self._measured(self.test)
        self.traces.old_test_loss, self.traces.old_test_error = self._on_old_data("test")
        self._score(scored)
        if self.config.outputs_kept:
            outputs = self.members.outputs(self.test.taken(slice(self.config.outputs_kept)))
            self.traces.outputs = outputs.flatten(1).T

    def _on_old_data(self, name: Literal["validation", "test"]) -> tuple[Tensor, Tensor]:
        """Loss and error [R] on that split of what each run's network was trained on before."""
        examples = {task: getattr(parts, name) for task, parts in self.old.items()}
        return old_data.measured(self.runs, examples, self._measured, self.config.device)

    def _score(self, runs: int) -> None:
        """Note what the task's scores say of the first runs' outputs on the test split."""
        scores = tasks.load(self.config.task).scores
        if scores is not None:
            outputs = self.members.outputs(self.test)[:runs].cpu().numpy()
            for run, found in enumerate(scores(each) for each in outputs):
                for name, value in found.items():
                    self.traces.scores[name][run] = value


def _padded(runs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs and, to fill the stack up to a round size, copies of the last: compiled code is made for one size."""
    missing = -len(runs) % COMPILED_MULTIPLE
    return [*runs, *[runs[-1]] * missing]
