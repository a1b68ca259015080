"""What is run: a frozen, validated experiment, its chunks that are trained and stored as one, and their single runs."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from warmup_study import tasks
from warmup_study.training.auxiliary import NO_AUXILIARY, Auxiliary
from warmup_study.training.batches import ORDINARY, Stream
from warmup_study.training.code_hash import training_code
from warmup_study.training.optimizers import KERNELS, SETTINGS, Optimizer
from warmup_study.training.probes import KERNEL_OF, ProbeName
from warmup_study.training.schedules import Schedule
from warmup_study.training.stackable import refusal
from warmup_study.training.starts import Frozen, PositiveFloat, Start

SCHEMA_VERSION = 1

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Values = TypeVar("Values", bound=tuple[object, ...])


def _given_once(values: Values) -> Values:
    if len(set(values)) < len(values):
        raise ValueError("takes every value once")
    return values


Distinct = Annotated[Values, AfterValidator(_given_once)]


class TrainingConfig(Frozen):
    """What all runs of one stack share.

    Losses are evaluated at update 0, every ``evaluate_every`` updates and at the end; ``probes`` look at the updates
    ``probed``. The final outputs on the first ``outputs_kept`` test examples are kept. Raises
    ``pydantic.ValidationError`` for anything out of range.
    """

    task: str
    updates: Annotated[int, Field(ge=1, le=100_000)]
    batch: Annotated[int, Field(ge=1, le=4096)] = 64
    evaluate_every: Annotated[int, Field(ge=1)] = 10
    probed: Distinct[tuple[Annotated[int, Field(ge=1)], ...]] = ()
    probes: Distinct[tuple[ProbeName, ...]] = ()
    outputs_kept: Annotated[int, Field(ge=0)] = 0
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"

    @model_validator(mode="after")
    def _probed_within_the_run(self) -> Self:
        if max(self.probed, default=0) > self.updates:
            raise ValueError(f"probed: got {max(self.probed)}; takes at most the number of updates, {self.updates}")
        return self

    @property
    def evaluated(self) -> tuple[int, ...]:
        """The updates after which the validation loss is taken, 0 (the initial weights) first."""
        return (*range(0, self.updates, self.evaluate_every), self.updates)


class Arm(Frozen):
    """One condition under comparison.

    ``lr_scale`` multiplies the grid's learning rates (matched effective rates). ``init`` is the seed of the initial
    weights where it is not the run's own, so that seeds differ in the order of the examples alone. ``auxiliary`` is the
    part that a second loss of the task takes. ``start`` is the training that comes before, where there is one; its
    state can be kept by the same rule alone.
    """

    label: str
    optimizer: Optimizer
    schedule: Schedule
    lr_scale: PositiveFloat = 1.0
    stream: Stream = ORDINARY
    init: Seed | None = None
    auxiliary: Auxiliary = NO_AUXILIARY
    start: Start | None = None

    @model_validator(mode="after")
    def _state_of_the_same_rule(self) -> Self:
        kept = self.start is not None and self.start.state == "kept"
        if kept and self.start and self.start.before.optimizer.name != self.optimizer.name:
            before = self.start.before.optimizer.name
            raise ValueError(
                f"start: got the state of {before} kept by {self.optimizer.name}; takes the same optimiser"
            )
        return self

    @property
    def rule(self) -> Optimizer:
        """The optimiser as it goes on: its counters after those of a state that is kept."""
        kept = self.start.updates_kept if self.start else 0
        counts = "updates_before" in SETTINGS[self.optimizer.name]
        return self.optimizer.model_copy(update={"updates_before": kept}) if kept and counts else self.optimizer


@dataclass(frozen=True)
class RunSpec:
    """One run: a condition, a learning rate of the grid and a seed.

    The seed decides the initial weights, unless the arm's ``init`` does, the order of the examples, unless its stream
    does, and the splits, where every seed has its own, unless the arm holds one of these fixed. A run with a start has
    the splits of its starting point, so that no example to be judged by was learnt from before.
    """

    arm: Arm
    grid_lr: float
    seed: int

    @property
    def lr(self) -> float:
        """The peak learning rate that the run trains at."""
        return self.grid_lr * self.arm.lr_scale

    @property
    def init_seed(self) -> int:
        """The seed of the initial weights."""
        return self.seed if self.arm.init is None else self.arm.init

    @property
    def split_seed(self) -> int:
        """The seed of the splits: what an arm's runs share, weights or order, they share with the same examples."""
        if self.arm.init is None and self.arm.start is None and self.arm.stream.order is not None:
            return self.arm.stream.order
        return self.init_seed


def paired_runs(runs: Sequence[RunSpec]) -> list[int]:
    """Position of the run that each is paired with: the same but for the plain stream; its own where there is none."""
    known = {_apart_from_stream(run, run.arm.stream): place for place, run in reversed(list(enumerate(runs)))}
    return [known.get(_apart_from_stream(run, run.arm.stream.plain), place) for place, run in enumerate(runs)]


def _apart_from_stream(run: RunSpec, stream: Stream) -> tuple[Arm, float, int]:
    """What decides the run, had it that stream."""
    return run.arm.model_copy(update={"label": "", "lr_scale": 1.0, "stream": stream}), run.lr, run.seed


def content_id(content: dict[str, object]) -> str:
    """A digest of what JSON can hold, in twenty hexadecimal digits."""
    versioned = {"schema": SCHEMA_VERSION, **content}
    canonical = json.dumps(versioned, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


class Chunk(TrainingConfig):
    """The unit of work and of storage: runs at one grid learning rate, trained as one ensemble.

    Its id is a digest of all that decides its result: its own canonical JSON and the code that trains.
    """

    part: str
    arms: tuple[Arm, ...]
    lr: PositiveFloat
    seeds: tuple[Seed, ...]
    compiled: bool

    @cached_property
    def id(self) -> str:
        """Twenty hexadecimal digits."""
        before = {arm.start.before.task for arm in self.arms if arm.start}
        starts = {"starts": {task: training_code(task) for task in before}} if before else {}
        return content_id({"code": training_code(self.task), "chunk": self.model_dump(mode="json"), **starts})

    @property
    def cost(self) -> int:
        """Updates of all runs together."""
        return len(self.runs) * self.updates

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """The runs in the order of the stack: all arms of a seed side by side."""
        return tuple(RunSpec(arm, self.lr, seed) for seed in self.seeds for arm in self.arms)


class Experiment(TrainingConfig):
    """Every arm at every learning rate from every seed, on one task: the full factorial, paired by seed.

    Raises ``pydantic.ValidationError`` for anything out of range.
    """

    part: str
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    lrs: Distinct[Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]]
    seeds: Distinct[Annotated[tuple[Seed, ...], Field(min_length=1)]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({arm.optimizer.kernel for arm in self.arms}) > 1:
            raise ValueError("arms: the optimisers of one experiment must share a kernel")
        self._refuse_blind_probes()
        self._refuse_known_examples()
        if len({arm.start.backbone if arm.start else "free" for arm in self.arms}) > 1:
            raise ValueError("arms: the backbones of one experiment must all be free or all be frozen")
        if len({arm.label for arm in self.arms}) < len(self.arms):
            raise ValueError("arms: every label must be given once")
        longest = max(arm.schedule.warmup_length for arm in self.arms)
        if longest > self.updates:
            raise ValueError(f"warmup length: got {longest}; takes at most the number of updates, {self.updates}")
        return self

    def _refuse_blind_probes(self) -> None:
        """Refuse a probe of a state that the optimisers do not keep."""
        rule = self.arms[0].optimizer
        for probe in self.probes:
            needed = KERNEL_OF.get(probe, rule.kernel)
            if rule.kernel != needed:
                takes = ", ".join(name for name, kernel in KERNELS.items() if kernel == needed)
                raise ValueError(f"probes: {probe} got {rule.name}; takes one of {takes}")

    def _refuse_known_examples(self) -> None:
        """Refuse a start on the same data in other splits: its network has learnt from test examples."""
        for name in {arm.start.before.task for arm in self.arms if arm.start}:
            same_data = name.split("+")[0] == self.task.split("+")[0]
            if same_data and (tasks.load(name).pool is None) != (tasks.load(self.task).pool is None):
                raise ValueError(
                    f"start: got {name} before {self.task}, of which one alone has splits of every seed's own, so that "
                    "test examples would be known; takes two tasks of one kind"
                )

    def chunks(self) -> tuple[Chunk, ...]:
        """The experiment's work, cut by learning rate and then by seeds.

        Each chunk holds whole pairs: all arms of a seed. A refined grid leaves the chunks of its old rates as they are,
        and more seeds leave those whose block of seeds was full, unless the experiment grows to the size
        that is worth compiling. Runs that cannot be stacked are chunks of their own, one to a worker, save pairs whose
        distance is probed. Raises ``StudyError`` where torch cannot train the task at all.
        """
        shared = self.model_dump(exclude={"lrs", "seeds", "arms"})
        return tuple(
            Chunk(
                **shared,
                arms=arms,
                lr=lr,
                seeds=seeds,
                compiled=self._stacked and self._compiled(),
            )
            for lr in self.lrs
            for seeds in self._seed_blocks()
            for arms in self._arm_groups()
        )

    @property
    def _stacked(self) -> bool:
        return refusal(self.task) is None

    def _seed_blocks(self) -> list[tuple[int, ...]]:
        block = max(1, tasks.load(self.task).stack // len(self.arms)) if self._stacked else 1
        return [self.seeds[start : start + block] for start in range(0, len(self.seeds), block)]

    def _arm_groups(self) -> list[tuple[Arm, ...]]:
        together = self._stacked or "displacement" in self.probes
        return [self.arms] if together else [(arm,) for arm in self.arms]

    def _compiled(self) -> bool:
        runs = len(self.arms) * len(self.lrs) * len(self.seeds)
        return runs * self.updates >= tasks.load(self.task).compile_from_updates


def lr_grid(low: float, high: float, points_per_decade: int) -> tuple[float, ...]:
    """Learning rates from ``low`` to ``high`` inclusive, ``points_per_decade`` of them to a factor of ten.

    The steps are counted in whole fractions of a decade from 1 and rounded to six digits, so no id drifts with
    rounding; an end between two steps moves to the nearer. A finer grid (a multiple of ``points_per_decade``) contains
    the coarser one where the coarser has both ends. Raises ``ValueError`` where ``low`` exceeds ``high``.
    """
    if not 0 < low <= high < math.inf:
        raise ValueError(f"learning rates: got {low} to {high}; takes a positive low end not above the high end")
    if points_per_decade < 1:
        raise ValueError(f"learning rates: got {points_per_decade} to a decade; takes at least 1")
    steps = range(_steps(low, points_per_decade), _steps(high, points_per_decade) + 1)
    return tuple(float(f"{10 ** (step / points_per_decade):.6g}") for step in steps)


def _steps(lr: float, points_per_decade: int) -> int:
    return round(math.log10(lr) * points_per_decade)
