"""Design of the second chapter: the ramp taken apart into gathered statistics and small early steps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters.sizes import Seeds, bracket, device_of, warmup_within
from warmup_study.parameters import GridParameters, Share
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

MOMENTUM = 0.9
FAMILIES = {"sgd": ("sgd", "momentum"), "adaptive": ("adam", "adam0")}
FULL_ARMS, SETUP_ARMS = ("none", "zero", "constant", "short", "ramp"), ("none", "zero", "ramp")
SHORT = 20  # `short` holds the low rate for one twentieth of the run: answer 3's 500 of 10,000 updates
LOST_LR = 0.01  # Adam trains well at it without warmup
JUMP_LR = 0.03  # a few times higher: where jumps start to hurt
BEFORE, AFTER = 10, 50  # updates followed one by one around the end of warmup


class Parameters(GridParameters):
    """What the notebook takes."""

    beta2: Share = Field(0.999, description="a number above 0 and below 1")


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is on one task.

    ``warmup`` is the length in updates of every warmup in the grid; ``lengths`` are further ones, as shares of it,
    whose jumps ``length_seeds`` seeds go through; of the updates around the jump every ``drift_every``-th is probed.
    """

    updates: int
    warmup: int
    points_per_decade: int
    seeds: Seeds
    lengths: tuple[float, ...]
    length_seeds: int
    drift_every: int


TASKS = {
    "smoke": ("digits-mlp",),
    "quick": ("digits-he8",),
    "full": ("digits-mlp", "digits-he8", "digits-transformer"),
}
SIZES = {
    "smoke": Sizes(20, 5, 1, Seeds(2, 2), (1, 2), 2, 4),
    "quick": Sizes(150, 30, 2, Seeds(3, 6), (1 / 4, 1, 2), 6, 3),
    "full": Sizes(300, 60, 2, Seeds(4, 20), (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2), 20, 1),
}
OWN_SIZES: dict[str, dict[str, Any]] = {
    "digits-he8": {"updates": 150, "warmup": 30},
    "digits-transformer": {"updates": 200, "warmup": 40, "length_seeds": 8, "drift_every": 4},
}
"""What differs on some tasks in ``full``: those that train sooner, or whose updates cost many times as much."""
BRACKETS = {
    "digits-he8": {"sgd": (1e-2, 1e0), "adaptive": (1e-3, 3.2e-1)},
    "digits-transformer": {"sgd": (1e-2, 1e0), "adaptive": (1e-3, 1e-1)},
}
"""Narrower brackets than the tasks' own: without most rates at which no arm trains."""
EDGES = {"digits-mlp": (0.1, 0.22), "digits-he8": (0.04, 0.1), "digits-transformer": (0.02, 0.05)}
"""Where training without warmup begins to fail and the ramp may still train, found in trials on other seeds."""
EDGE_PER_DECADE = 6


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the grids, lr = 0 at equal active updates, the factorial, the jumps, their drift, the lost updates."""
    for task in parameters.task_names or TASKS[parameters.preset]:
        design = _Design(task, parameters)
        yield from (design.grid(family) for family in FAMILIES)
        yield design.active()
        yield design.factorial()
        yield from (design.jump(length) for length in design.lengths)
        yield design.drift()
        yield design.lost()


def sizes_of(parameters: Parameters, task: str) -> Sizes:
    """The preset's sizes on a task, with the run's and the warmup's length as asked."""
    sizes = SIZES[parameters.preset]
    if parameters.preset == "full":
        sizes = replace(sizes, **OWN_SIZES.get(task, {}))
    updates = parameters.updates or sizes.updates
    return replace(sizes, updates=updates, warmup=warmup_within(parameters, sizes.warmup, updates))


class _Design:
    """The experiments on one task."""

    def __init__(self, task: str, parameters: Parameters) -> None:
        self.task, self.parameters, self.sizes = task, parameters, sizes_of(parameters, task)
        self.seeds = self.sizes.seeds.of(parameters)
        self.reporting = self.seeds["confirmation_seeds"]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of warmup to jump from, in updates, none longer than the run."""
        asked = (max(1, round(self.sizes.warmup * share)) for share in self.sizes.lengths)
        return tuple(sorted({min(length, self.sizes.updates) for length in asked}))

    def grid(self, family: str) -> Experiment:
        """The four setups: all arms over bracketing grids, momentum off and on (at matched effective rates)."""
        decisive, other = FAMILIES[family]
        arms = [self.arm(decisive, name) for name in FULL_ARMS] + [self.arm(other, name) for name in SETUP_ARMS]
        return self.experiment("grid", arms, self.lrs(family), **self.seeds)

    def active(self) -> Experiment:
        """``zero`` with n updates more, so that as many as in the other arms are taken at the full rate."""
        updates = self.sizes.updates + self.sizes.warmup
        return self.experiment(
            "active", [self.arm("adam", "zero")], self.lrs("adaptive"), updates=updates, **self.seeds
        )

    def factorial(self) -> Experiment:
        """What the ramp and lr = 0 do apart, at rates where training without warmup may fail."""
        n, updates = self.sizes.warmup, self.sizes.updates
        zero, ramp = Schedule(warmup="zero", length=n), Schedule(warmup="ramp", length=n)
        restart = {"count1_from": n, "count2_from": n}
        arms = [
            *(self.arm("adam", name) for name in SETUP_ARMS),
            self.adam("zero-frozen", zero, freeze_first_until=n),
            self.adam("zero-restarted", zero, **restart),
            self.adam("zero-frozen-restarted", zero, freeze_first_until=n, **restart),
            self.adam("ramp-reset", ramp, reset_at=n),
            self.adam("zero-then-ramp", Schedule(warmup="ramp", length=min(n, updates - n), hold=n)),
        ]
        return self.experiment("factorial", arms, self.edge_lrs(), **self.seeds)

    def jump(self, length: int) -> Experiment:
        """Update by update through the end of one warmup."""
        names = ("none", "zero", "constant", "ramp") if length == self.sizes.warmup else ("zero", "constant", "ramp")
        return self.experiment(
            "jump",
            [self.arm("adam", name, length) for name in names],
            (JUMP_LR,),
            confirmation_seeds=self.reporting[: self.sizes.length_seeds],
            probed=tuple(i for i in range(length - BEFORE, length + AFTER + 1) if 0 < i <= self.sizes.updates),
            probes=("batch_loss", "update_norm"),
        )

    def drift(self) -> Experiment:
        """How far the second moment is from a fresh estimate, in the ramp's second half and after it."""
        n = self.sizes.warmup
        return self.experiment(
            "drift",
            [self.arm("adam", name) for name in ("zero", "constant", "ramp")],
            (JUMP_LR,),
            confirmation_seeds=self.reporting,
            updates=n + AFTER,
            probed=tuple(range(n // 2 + 1, n + AFTER + 1, self.sizes.drift_every)),
            probes=("second_moment_drift",),
        )

    def lost(self) -> Experiment:
        """How many updates lr = 0 costs where training needs no warmup: evaluated ten times a warmup."""
        return self.experiment(
            "lost",
            [self.arm("adam", name) for name in ("none", "zero", "constant")],
            (LOST_LR,),
            confirmation_seeds=self.reporting,
            updates=self.sizes.updates + self.sizes.warmup,
            evaluate_every=max(1, self.sizes.warmup // 10),
        )

    def arm(self, setup: str, name: str, length: int = 0) -> Arm:
        """One warmup arm of a setup, over ``length`` updates (the grid's where 0)."""
        schedules = {
            "none": Schedule(),
            "short": Schedule(warmup="constant", length=max(1, self.sizes.updates // SHORT)),
        }
        usual = {"warmup": name, "length": length or self.sizes.warmup}
        return Arm(
            label=f"{setup}/{name}",
            optimizer=_optimizer(setup, self.parameters),
            schedule=schedules.get(name) or Schedule.model_validate(usual),
            lr_scale=1 - MOMENTUM if setup == "momentum" else 1.0,
        )

    def adam(self, name: str, schedule: Schedule, **switches: int) -> Arm:
        """An arm of Adam whose state is meddled with."""
        optimizer = Optimizer(name="adam", beta2=self.parameters.beta2, **switches)
        return Arm(label=f"adam/{name}", optimizer=optimizer, schedule=schedule)

    def lrs(self, family: str) -> tuple[float, ...]:
        """The grid of learning rates of a family."""
        low, high = BRACKETS.get(self.task, {}).get(family) or bracket(self.task, family)
        return self.parameters.lrs or lr_grid(low, high, self.sizes.points_per_decade)

    def edge_lrs(self) -> tuple[float, ...]:
        """Rates around the highest that Adam trains at without warmup; where that is unknown, half of its grid."""
        if self.task in EDGES:
            return lr_grid(*EDGES[self.task], EDGE_PER_DECADE)
        grid = self.lrs("adaptive")
        return grid[len(grid) // 2 :]

    def experiment(self, part: str, arms: list[Arm], lrs: tuple[float, ...], **settings: Any) -> Experiment:
        """An experiment on the task, with whatever it has of its own."""
        return Experiment(
            part=part,
            task=self.task,
            arms=tuple(arms),
            lrs=lrs,
            batch=tasks.load(self.task).batch,
            device=device_of(self.parameters),
            **{"updates": self.sizes.updates, "evaluate_every": self.sizes.updates} | settings,
        )


def _optimizer(setup: str, parameters: Parameters) -> Optimizer:
    """The optimiser of a setup: {SGD, Adam} with momentum off or on."""
    return {
        "sgd": Optimizer(name="sgd"),
        "momentum": Optimizer(name="momentum", momentum=MOMENTUM),
        "adam": Optimizer(name="adam", beta2=parameters.beta2),
        "adam0": Optimizer(name="adam", beta1=0.0, beta2=parameters.beta2),
    }[setup]
