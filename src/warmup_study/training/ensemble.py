"""The engine: trains R independent runs of one model at once, as if each had been trained alone.

Every parameter tensor of the model becomes a stack [R, ...]; ``torch.func`` differentiates all runs in one pass and the
update rule works elementwise on the stacks, with hyperparameters of its own for each run. What a run does depends on
its definition alone: the seed fixes its initial weights and the order of its batches, whatever it is stacked with.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.tasks import Split, Task
from warmup_study.training import auxiliary, batches, inductor, optimizers, schedules
from warmup_study.training.batches import Stream
from warmup_study.training.experiment import RunSpec, TrainingConfig, paired_runs
from warmup_study.training.full_batch import FullBatch
from warmup_study.training.group_losses import GroupLosses
from warmup_study.training.optimizers import Kernel
from warmup_study.training.probes import PROBES, UpdateContext
from warmup_study.training.traces import Traces

Stacks = dict[str, Tensor]

COMPILED_MULTIPLE = 32  # sizes of compiled stacks, so that few different ones are ever compiled
OFTEN = 10  # evaluations of one stack from which on their compilation is repaid, too


def initial_weights(task: Task, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> Stacks:
    """The freshly initialised parameters of one model per seed, stacked: name -> [R, ...]."""
    distinct = sorted(set(seeds))
    models = []
    for seed in distinct:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            models.append(task.model().to(dtype))
    stacked, _ = stack_module_state(models)
    which = torch.tensor([distinct.index(seed) for seed in seeds])
    return {name: stack.detach()[which].contiguous() for name, stack in stacked.items()}


def train(
    config: TrainingConfig, runs: Sequence[RunSpec], *, compiled: bool = False, dtype: torch.dtype = torch.float32
) -> Traces:
    """Train all ``runs``, whose optimisers must share one kernel, and return what was seen, in their order.

    Compiled stacks are filled up with copies of the last run, which stand behind the others in the traces. Nothing is
    clipped or raised when a run diverges: its losses become non-finite and stay so.
    """
    stack = _padded(runs) if compiled else runs
    with _steady_arithmetic(), torch.no_grad():
        return _Ensemble(config, stack, compiled, dtype).train(len(runs))


class _Ensemble:
    """The stacks of one call of :func:`train`, and its loop."""

    def __init__(self, config: TrainingConfig, runs: Sequence[RunSpec], compiled: bool, dtype: torch.dtype) -> None:
        task = tasks.load(config.task)
        self.config, self.compiled, self.dtype = config, compiled, dtype
        self.traces = Traces(config, len(runs), tuple(task.measures))
        self.examples, self.validation, self.test = (_place(split, config.device, dtype) for split in task.splits)
        kernel = runs[0].arm.optimizer.kernel
        weights = initial_weights(task, [run.init_seed for run in runs], dtype)
        self.params = {name: stack.to(config.device) for name, stack in weights.items()}
        self.state = optimizers.initial_state(kernel, self.params)
        drawn = [(run.arm.stream, run.seed) for run in runs]
        self._lay_out_coefficients(runs)
        self._lay_out_batches(task, drawn)
        self.step = self._built_step(kernel)
        self.measure = _measure(config.task)
        self.full_batch = FullBatch(_objective(config.task), task.model(), self.examples, config.batch)
        self.group_losses = GroupLosses(task, drawn, paired_runs(runs), self.test)

    def _lay_out_coefficients(self, runs: Sequence[RunSpec]) -> None:
        """Lay out the coefficients [T, C, R] of all updates."""
        arms, updates = [run.arm for run in runs], self.config.updates
        rates = schedules.learning_rates([arm.schedule for arm in arms], [run.lr for run in runs], updates)
        table = {"lr": rates, **optimizers.coefficients([arm.optimizer for arm in arms], rates)}
        if any(arm.auxiliary.acts for arm in arms):
            table["auxiliary"] = auxiliary.weights([arm.auxiliary for arm in arms], updates)
        self.names = tuple(table)
        self.rows = torch.as_tensor(np.stack(list(table.values()), axis=1), dtype=self.dtype, device=self.config.device)

    def _lay_out_batches(self, task: Task, drawn: Sequence[tuple[Stream, int]]) -> None:
        """Lay out the batches [T, S, B] of S different pairs of stream and seed, and which of them each run sees."""
        places = {pair: place for place, pair in enumerate(dict.fromkeys(drawn))}
        orders = [batches.order_of(*pair, task, self.config.batch, self.config.updates) for pair in places]
        self.orders = torch.as_tensor(np.stack(orders, axis=1), device=self.config.device)
        self.which = torch.as_tensor([places[pair] for pair in drawn], device=self.config.device)

    def _built_step(self, kernel: Kernel) -> Callable[..., Tensor]:
        step = _step(self.config.task, kernel, self.names)
        return inductor.compiled(step, *self._step_arguments(1)) if self.compiled else step

    def _step_arguments(self, update: int) -> tuple[object, ...]:
        row, picked = self.rows[update - 1], self.orders[update - 1][self.which]
        return self.params, self.state, self.examples.inputs, self.examples.targets, picked, row

    def train(self, scored: int) -> Traces:
        """Train, and return what was seen; the first ``scored`` runs are worth scoring."""
        self._evaluate(0)
        for update in range(1, self.config.updates + 1):
            if update in self.config.probed:
                self._probed_update(update)
            else:
                self._update(update)
            if update in self.config.evaluated and not self._evaluate(update).any():
                break  # every run has diverged: nothing is left to train
        self.traces.test_loss, self.traces.test_error, *_ = self._losses(self.test)
        self._score(scored)
        if self.config.outputs_kept:
            outputs = _outputs(self.config.task)(self.params, self.test.inputs[: self.config.outputs_kept])
            self.traces.outputs = outputs.flatten(1).T
        return self.traces

    def _update(self, update: int) -> None:
        self.traces.train_loss[update - 1] = self.step(*self._step_arguments(update))
        self.traces.realised_lr[update - 1] = self.rows[update - 1, self.names.index("lr")]

    def _probed_update(self, update: int) -> None:
        before = {name: stack.clone() for name, stack in self.params.items()}
        self._update(update)
        row = dict(zip(self.names, self.rows[update - 1].unbind(), strict=True))
        loss = self.traces.train_loss[update - 1]
        seen = UpdateContext(before, self.params, self.state, row, loss, self.full_batch, self.group_losses)
        for name, values in self.traces.probes.items():
            values[self.config.probed.index(update)] = PROBES[name](seen)

    def _evaluate(self, update: int) -> Tensor:
        """Note the validation loss and error after this update; returns which runs are still finite, [R]."""
        losses, errors, *measures = self._losses(self.validation)
        row = self.config.evaluated.index(update)
        self.traces.validation_loss[row], self.traces.validation_error[row] = losses, errors
        for curve, values in zip(self.traces.curves.values(), measures, strict=True):
            curve[row] = values
        return losses.isfinite()

    def _losses(self, split: Split) -> tuple[Tensor, ...]:
        arguments = self.params, split.inputs, split.targets
        often = self.compiled and len(self.config.evaluated) >= OFTEN
        measure = inductor.compiled(self.measure, *arguments) if often else self.measure
        return measure(*arguments)

    def _score(self, runs: int) -> None:
        """Note what the task's scores say of the first runs' outputs on the test split."""
        scores = tasks.load(self.config.task).scores
        if scores is not None:
            outputs = _outputs(self.config.task)(self.params, self.test.inputs)[:runs].cpu().numpy()
            for run, found in enumerate(scores(each) for each in outputs):
                for name, value in found.items():
                    self.traces.scores[name][run] = value


def _place(split: Split, device: str, dtype: torch.dtype) -> Split:
    inputs = split.inputs.to(device)
    return Split(inputs.to(dtype) if inputs.is_floating_point() else inputs, split.targets.to(device))


def _padded(runs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs and, to fill the stack up to a round size, copies of the last: compiled code is made for one size."""
    missing = -len(runs) % COMPILED_MULTIPLE
    return [*runs, *[runs[-1]] * missing]


@contextlib.contextmanager
def _steady_arithmetic() -> Iterator[None]:
    """One thread, so that bits do not depend on the machine's cores; no denormals, which are slow on CPUs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _objective(task_name: str) -> Callable[[Stacks, Tensor, Tensor], Tensor]:
    task = tasks.load(task_name)
    model = task.model()

    def objective(params: Stacks, inputs: Tensor, targets: Tensor) -> Tensor:
        return task.loss(functional_call(model, params, (inputs,)), targets)

    return objective


def _assisted_objective(task_name: str) -> Callable[[Stacks, Tensor, Tensor, Tensor], Tensor]:
    """The loss, and so much of the task's second loss on top. Raises ``StudyError`` where the task has none."""
    task = tasks.load(task_name)
    model, second = task.model(), task.auxiliary
    if second is None:
        raise StudyError(f"task {task_name!r} has no auxiliary loss, which an arm asks for")

    def objective(params: Stacks, inputs: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        outputs = functional_call(model, params, (inputs,))
        return task.loss(outputs, targets) + weight * second(outputs, targets)

    return objective


@lru_cache
def _step(task_name: str, kernel: Kernel, names: tuple[str, ...]) -> Callable[..., Tensor]:
    """One update of all runs, in place; returns the batch losses [R]."""
    assisted = "auxiliary" in names
    objective: Callable[..., Tensor] = _assisted_objective(task_name) if assisted else _objective(task_name)
    gradients = vmap(grad_and_value(objective))

    def step(
        params: Stacks, state: dict[str, Stacks], inputs: Tensor, targets: Tensor, picked: Tensor, row: Tensor
    ) -> Tensor:
        losses: Tensor
        coefficients = dict(zip(names, row.unbind(), strict=True))
        weight = (coefficients.pop("auxiliary"),) if assisted else ()
        grads, losses = gradients(params, inputs[picked], targets[picked], *weight)
        optimizers.apply(kernel, params, grads, state, coefficients)
        return losses

    return step


@lru_cache
def _measure(task_name: str) -> Callable[..., tuple[Tensor, ...]]:
    """Mean loss, error and the task's further measures [R] of every run on one split shared by all."""
    task = tasks.load(task_name)
    model = task.model()

    def measure(params: Stacks, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        outputs = functional_call(model, params, (inputs,))
        return tuple(function(outputs, targets) for function in (task.loss, task.error, *task.measures.values()))

    return vmap(measure, in_dims=(0, None, None))


def _outputs(task_name: str) -> Callable[..., Tensor]:
    """Outputs [R, N, ...] of every run on examples shared by all."""
    model = tasks.load(task_name).model()
    return vmap(lambda params, inputs: functional_call(model, params, (inputs,)), in_dims=(0, None))
