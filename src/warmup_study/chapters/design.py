"""What the designs of all chapters share: sizes, seeds, lengths, learning rates, and parts made of arms.

A parameter reaches the same parts in every chapter. ``lrs`` replaces every grid of learning rates; a part at one
learning rate keeps it. ``updates`` and ``warmup`` hold wherever a part has no length of its own; a part that watches a
stretch of training stops where the stretch ends, and cuts its warmup there. ``seeds`` reaches all parts; those that
are expensive or need few are capped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.parameters import CommonParameters, GridParameters, RunParameters
from warmup_study.paths import PRESETS
from warmup_study.running.pilot import find_learning_rates
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

Family = Literal["sgd", "adaptive"]
Bracket = tuple[float, float]

_FIRST_SEED = {"smoke": 1_000, "quick": 2_000, "full": 5_000}  # what quick has shown must not shape full's verdicts
_WITHOUT_LENGTH = ("none", "untuned")  # the latter has the length that its beta2 gives it


class Sizes(BaseModel):
    """How large a chapter is under one preset; a chapter adds what it has of its own.

    ``points_per_decade`` is the density of the grids, ``evaluations`` how often a run is evaluated, ``own``
    what differs on some tasks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...]
    seeds: int
    points_per_decade: int
    evaluations: int = 1
    own: Mapping[str, Mapping[str, Any]] = {}

    @classmethod
    def by_preset(cls, **sizes: Mapping[str, Any]) -> dict[str, Self]:
        """The sizes of every preset, from each size by preset; one that a preset lacks has its default there."""
        return {
            preset: cls.model_validate({name: given[preset] for name, given in sizes.items() if preset in given})
            for preset in PRESETS
        }

    def on(self, task: str) -> Self:
        """The sizes on one task."""
        return self.model_validate(dict(self) | dict(self.own.get(task, {})))


class RunSizes(Sizes):
    """Sizes of a chapter whose runs and warmups have one usual length, in updates."""

    updates: int
    warmup: int


@dataclass(frozen=True, kw_only=True)
class Design:
    """A chapter's design on one task, with the ``updates`` of each run and the length of its ``warmup``."""

    task: str
    parameters: GridParameters
    sizes: Sizes
    updates: int
    warmup: int
    brackets: ClassVar[Mapping[str, Mapping[Family, Bracket]]] = {}  # by task, where they are not the task's own

    @classmethod
    def on(cls, task: str, parameters: RunParameters, sizes: RunSizes) -> Self:
        """The design with lengths as asked, else the preset's; its usual warmup is cut where the run is shorter.

        Raises ``StudyError`` where a longer warmup was asked for than the run has updates.
        """
        sizes = sizes.on(task)
        updates = parameters.updates or sizes.updates
        if parameters.warmup > updates:
            raise StudyError(f"warmup: got {parameters.warmup}; takes at most the number of updates, {updates}")
        warmup = parameters.warmup or min(sizes.warmup, updates)
        return cls(task=task, parameters=parameters, sizes=sizes, updates=updates, warmup=warmup)

    @property
    def batch(self) -> int:
        """Examples in a batch: the task's."""
        return tasks.load(self.task).batch

    @property
    def seeds(self) -> tuple[int, ...]:
        """As many seeds as were asked for, else the preset's."""
        return self.seeded(self.sizes.seeds)

    def seeded(self, count: int) -> tuple[int, ...]:
        """The first so many of the preset's seeds, or as many as were asked for."""
        first = _FIRST_SEED[self.parameters.preset]
        return tuple(range(first, first + (self.parameters.seeds or count)))

    def lrs(self, family: Family, bracket: Bracket | None = None, points_per_decade: int = 0) -> tuple[float, ...]:
        """The grid of a family's learning rates: over the bracket given, the chapter's, the task's, or a pilot's."""
        task = tasks.load(self.task)
        usual = task.sgd_lrs if family == "sgd" else task.adaptive_lrs
        low, high = bracket or self.brackets.get(self.task, {}).get(family) or usual or self._found(family)
        return lr_grid(low, high, points_per_decade or self.sizes.points_per_decade)

    def _found(self, family: Family) -> Bracket:
        """The bracket that a pilot finds; nothing is trained where learning rates are given."""
        if self.parameters.lrs:
            return self.parameters.lrs[0], self.parameters.lrs[-1]
        return find_learning_rates(
            self.task,
            Optimizer(name="sgd" if family == "sgd" else "adam"),
            updates=self.updates,
            batch=self.batch,
            folder=self.parameters.folders.cache,
            device=device_of(self.parameters),
        ).bracket

    def schedule(self, warmup: str, length: int | None = None, **settings: Any) -> Schedule:
        """A warmup over so many updates, or over the usual number."""
        updates = self.warmup if length is None else length
        return Schedule.model_validate(
            {"warmup": warmup, "length": 0 if warmup in _WITHOUT_LENGTH else updates} | settings
        )

    def decaying(self, warmup: str, length: int | None = None, **settings: Any) -> Schedule:
        """A warmup as in `schedule`, then a cosine decay to the end of the run."""
        return self.schedule(warmup, length, decay="cosine", **settings)

    def cross(
        self, optimizers: Mapping[str, Optimizer], warmups: Iterable[str], length: int | None = None
    ) -> tuple[Arm, ...]:
        """Every optimiser under every warmup, as arms ``optimizer/warmup``."""
        return tuple(
            arm(f"{name}/{warmup}", optimizer, self.schedule(warmup, length))
            for name, optimizer in optimizers.items()
            for warmup in warmups
        )

    def experiment(self, part: str, arms: Iterable[Arm], lrs: Sequence[float] | float, **changes: Any) -> Experiment:
        """The arms on the task, from all seeds, with whatever the part has of its own in ``changes``.

        ``lrs``: a grid, which the parameter ``lrs`` replaces, or the one learning rate that the part keeps.
        """
        updates = changes.get("updates", self.updates)
        usual = {
            "task": self.task,
            "seeds": self.seeds,
            "updates": updates,
            "evaluate_every": max(1, updates // self.sizes.evaluations),
            "batch": self.batch,
            "device": device_of(self.parameters),
        }
        used = (lrs,) if isinstance(lrs, float) else self.parameters.lrs or tuple(lrs)
        return Experiment(part=part, arms=tuple(arms), lrs=used, **usual | changes)


def arm(label: str, optimizer: Optimizer, schedule: Schedule | None = None, **settings: Any) -> Arm:
    """An arm; under SGD's momentum μ the grid's learning rates are the effective ones, η/(1−μ), and the arm takes η.

    signSGD and Muon average with weights that sum to 1, so that their momentum leaves the size of a step as it is.
    """
    adds_up = optimizer.kernel == "momentum"
    scale = {"lr_scale": 1 - (optimizer.momentum or 0.0) if adds_up else 1.0}
    return Arm(label=label, optimizer=optimizer, schedule=schedule or Schedule(), **scale | settings)


def device_of(parameters: CommonParameters) -> str:
    """The device that trains: ``auto`` means a CUDA device where there is one."""
    if parameters.device != "auto":
        return parameters.device
    return "cuda" if torch.cuda.is_available() else "cpu"
