"""What is run: a frozen, validated experiment, and the chunks of it that are trained and stored as one."""

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from warmup_study import tasks
from warmup_study.training.auxiliary import NO_AUXILIARY, Auxiliary
from warmup_study.training.batches import ORDINARY, Stream
from warmup_study.training.code_hash import training_code
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.probes import ProbeName
from warmup_study.training.run import Plan, Run
from warmup_study.training.schedules import Schedule

SCHEMA_VERSION = 1

PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arm(_Frozen):
    """One condition under comparison.

    ``lr_scale`` multiplies the grid's learning rates (matched effective rates). ``init`` is the seed of the initial
    weights where it is not the run's own, so that seeds differ in the order of the examples alone. ``auxiliary`` is the
    part that a second loss of the task takes.
    """

    label: str
    optimizer: Optimizer
    schedule: Schedule
    lr_scale: PositiveFloat = 1.0
    stream: Stream = ORDINARY
    init: Seed | None = None
    auxiliary: Auxiliary = NO_AUXILIARY


class Chunk(_Frozen):
    """The unit of work and of storage: runs at one grid learning rate, trained as one ensemble.

    Its id is a digest of all that decides its result: its own canonical JSON and the code that trains.
    """

    part: str
    task: str
    arms: tuple[Arm, ...]
    lr: PositiveFloat
    selection_seeds: tuple[Seed, ...]
    confirmation_seeds: tuple[Seed, ...]
    updates: int
    batch: int
    evaluate_every: int
    probed: tuple[int, ...]
    probes: tuple[ProbeName, ...]
    outputs_kept: int
    compiled: bool
    device: str

    @cached_property
    def id(self) -> str:
        """Twenty hexadecimal digits."""
        content = {"schema": SCHEMA_VERSION, "code": training_code(self.task), "chunk": self.model_dump(mode="json")}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:20]

    @property
    def cells(self) -> tuple[tuple[Arm, int], ...]:
        """(arm, seed) of every run, in the order of the stack."""
        return tuple((arm, seed) for seed in (*self.selection_seeds, *self.confirmation_seeds) for arm in self.arms)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of the stack."""
        return tuple(
            Run(arm.optimizer, arm.schedule, self.lr * arm.lr_scale, seed, arm.stream, arm.init, arm.auxiliary)
            for arm, seed in self.cells
        )

    @property
    def plan(self) -> Plan:
        """What the runs of the stack share."""
        return Plan(
            self.updates, self.batch, self.evaluate_every, self.probed, self.probes, self.compiled, self.outputs_kept
        )


class Experiment(_Frozen):
    """Every arm at every learning rate from every seed, on one task: the full factorial, paired by seed.

    Learning rates are picked on ``selection_seeds`` and reported on ``confirmation_seeds``, which must be disjoint. The
    final outputs on the first ``outputs_kept`` test examples go into the table of runs. Raises
    ``pydantic.ValidationError`` for anything out of range.
    """

    part: str
    task: str
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    lrs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    selection_seeds: tuple[Seed, ...] = ()
    confirmation_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    updates: Annotated[int, Field(ge=1, le=100_000)]
    batch: Annotated[int, Field(ge=1, le=4096)] = 64
    evaluate_every: Annotated[int, Field(ge=1)] = 10
    probed: tuple[Annotated[int, Field(ge=1)], ...] = ()
    probes: tuple[ProbeName, ...] = ()
    outputs_kept: Annotated[int, Field(ge=0)] = 0
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"

    @field_validator("lrs", "selection_seeds", "confirmation_seeds", "probed", "probes")
    @classmethod
    def _given_once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) < len(values):
            raise ValueError("takes every value once")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({arm.optimizer.kernel for arm in self.arms}) > 1:
            raise ValueError("arms: the optimisers of one experiment must share a kernel")
        if len({arm.label for arm in self.arms}) < len(self.arms):
            raise ValueError("arms: every label must be given once")
        if set(self.selection_seeds) & set(self.confirmation_seeds):
            raise ValueError("selection_seeds and confirmation_seeds must be disjoint")
        if max(self.probed, default=0) > self.updates:
            raise ValueError(f"probed: got {max(self.probed)}; takes at most the number of updates, {self.updates}")
        longest = max(arm.schedule.warmup_length for arm in self.arms)
        if longest > self.updates:
            raise ValueError(f"warmup length: got {longest}; takes at most the number of updates, {self.updates}")
        return self

    def chunks(self) -> tuple[Chunk, ...]:
        """The experiment's work, cut by learning rate and then by seeds.

        Each chunk holds whole pairs: all arms of a seed. A refined grid leaves the chunks of its old rates as they are,
        and more confirmation seeds leave those whose block of seeds was full, unless the experiment grows to the size
        that is worth compiling.
        """
        shared = self.model_dump(exclude={"lrs", "selection_seeds", "confirmation_seeds", "arms"})
        seeds = [*self.selection_seeds, *self.confirmation_seeds]
        block = max(1, tasks.load(self.task).stack // len(self.arms))
        return tuple(
            Chunk(
                **shared,
                arms=self.arms,
                lr=lr,
                selection_seeds=tuple(s for s in seeds[start : start + block] if s in self.selection_seeds),
                confirmation_seeds=tuple(s for s in seeds[start : start + block] if s in self.confirmation_seeds),
                compiled=self._compiled(),
            )
            for lr in self.lrs
            for start in range(0, len(seeds), block)
        )

    def _compiled(self) -> bool:
        runs = len(self.arms) * len(self.lrs) * (len(self.selection_seeds) + len(self.confirmation_seeds))
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
