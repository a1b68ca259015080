"""Design of the ninth chapter: trained networks given new data or a new head, or resumed without optimiser state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from warmup_study import tasks
from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket, arm
from warmup_study.parameters import RunParameters
from warmup_study.tasks.new_data import classes
from warmup_study.tasks.task import are_labels
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Decay, Schedule
from warmup_study.training.starts import PositiveFloat, Pretraining, Start

Backbone = Literal["free", "frozen"]

NEW_DATA, NEW_HEAD, RESUMING = "new data", "new head", "resuming"
PARTS = {
    NEW_DATA: "a trained network fine-tuned on new data, optimiser state kept or fresh; and one trained from scratch",
    NEW_HEAD: "new classes with a new head, backbone free or frozen",
    RESUMING: "a run resumed at full learning rate, with or without its optimiser state",
}
RULES: dict[str, Optimizer] = {"adam": Optimizer(name="adam"), "adamw": Optimizer(name="adamw")}
"""Those that runs are resumed with; the first trains and fine-tunes everywhere else."""
STATES: tuple[Literal["fresh", "kept"], ...] = ("fresh", "kept")
WARMUPS = ("ramp", "constant", "zero")
LONG = ", long"  # ends the label of an arm whose warmup is LONGER times as long
LONGER = 4
RAMPED = 20  # the pre-training's own ramp takes one in so many of its updates
FULL_FOR = 100  # updates at full learning rate after a run is resumed: as many as the longest ramp takes
WATCHED_EVERY = 10  # updates between two evaluations of a resumed run
TWICE = 2.0  # times the best learning rate: the higher full rate at which runs are resumed
FEWEST_CLASSES = 4  # of fewer, half are no task


class Parameters(RunParameters):
    """What the notebook takes."""


class Sizes(design.RunSizes):
    """How large the chapter is on one task.

    ``twists`` name what a network trained on the task meets (`tasks.new_data`); none: what the task allows. It has been
    trained for ``before`` updates at a peak rate of ``lr``; None: the middle of the task's grid. ``bracket`` holds the
    learning rates of fine-tuning, ``frozen`` those of a new head alone, ``long``: whether the longer warmups are tried.
    ``head_seeds`` get a new head, ``resumed_seeds`` are resumed; 0: the task is not in that part. ``ramps`` are the
    lengths tried on resuming.
    """

    twists: tuple[str, ...] = ()
    before: int
    lr: PositiveFloat | None = None
    bracket: Bracket | None = None
    frozen: Bracket | None = None
    long: bool
    head_seeds: int
    resumed_seeds: int
    ramps: tuple[int, ...]


PLANS: Mapping[str, Mapping[str, object]] = {
    "digits-mlp": {"twists": ("new",), "lr": 0.0133, "bracket": (1.8e-3, 0.1), "frozen": (0.01, 0.56)},
    "mnist1d-conv": {"twists": ("new", "noisy"), "lr": 0.03, "bracket": (3.2e-3, 0.18), "frozen": (1.8e-3, 0.1)},
    "digits-transformer": {"twists": ("new",), "lr": 0.0075, "bracket": (1e-3, 0.032), "frozen": (0.032, 3.2)},
    "text-transformer": {"twists": ("reversed",), "lr": 0.0215, "bracket": (3.2e-3, 0.1)},
}
"""What networks meet, and learning rates: of the training before, best there, and of fine-tuning, around the best of
every arm, as other seeds showed."""
FULL: Mapping[str, Mapping[str, object]] = {
    "digits-transformer": {"seeds": 24, "head_seeds": 24, "resumed_seeds": 48},
    "text-transformer": {"seeds": 16, "resumed_seeds": 16, "evaluations": 20},
}
"""Expensive tasks take fewer seeds under ``full``. Planned: some 25 minutes of two cores, new data 15, new heads 5,
resuming 5. Expected half-widths, from a trial with 8 seeds: 0.045 in the old loss saved on digits-mlp, 0.02 over five
tasks; 0.05 in the excess loss on digits-mlp, 0.025 over four. Half the smallest difference of interest is 0.024."""
SIZES = Sizes.by_preset(
    tasks={"smoke": ("digits-mlp",), "quick": ("digits-mlp",), "full": tuple(PLANS)},
    updates={"smoke": 20, "quick": 200, "full": 400},
    warmup={"smoke": 4, "quick": 10, "full": 20},
    before={"smoke": 20, "quick": 600, "full": 1000},
    long={"smoke": True, "quick": False, "full": True},
    ramps={"smoke": (2, 5), "quick": (10, 30, 100), "full": (10, 30, 100)},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    evaluations={"smoke": 5, "quick": 20, "full": 40},
    seeds={"smoke": 2, "quick": 6, "full": 60},
    head_seeds={"smoke": 2, "quick": 6, "full": 60},
    resumed_seeds={"smoke": 2, "quick": 6, "full": 100},
    own={
        "smoke": PLANS,
        "quick": PLANS,
        "full": {task: {**plan, **FULL.get(task, {})} for task, plan in PLANS.items()},
    },
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: what its networks meet, a new head where there are new classes, and resuming at two full rates."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.on(task, parameters, sizes)
        for twist in plan.twists:
            yield plan.meeting(twist)
            yield plan.gathering(twist)
        if plan.sizes.head_seeds and "new" in plan.twists:
            yield from (plan.new_head(backbone) for backbone in ("free", "frozen"))
        if plan.sizes.resumed_seeds:
            yield from (plan.resumed(plan.lr * multiple) for multiple in (1.0, TWICE))


class _Design(design.Design):
    parameters: Parameters
    sizes: Sizes

    @property
    def lr(self) -> float:
        """Peak learning rate of the training before."""
        grid = self.lrs("adaptive") if self.sizes.lr is None else (self.sizes.lr,)
        return grid[len(grid) // 2]

    @property
    def twists(self) -> tuple[str, ...]:
        """What the task's networks meet."""
        return self.sizes.twists or (_fitting(self.task),)

    def meeting(self, twist: str) -> Experiment:
        """Every warmup and length with the state fresh and kept; beside them, networks that begin from scratch."""
        lengths = {"": self.warmup, LONG: min(LONGER * self.warmup, self.updates)}
        used = lengths if self.sizes.long else {"": self.warmup}
        schedules = {"none": self.decaying("none")} | {
            f"{warmup}{name}": self.decaying(warmup, length) for name, length in used.items() for warmup in WARMUPS
        }
        starts = {state: Start(before=self._before(twist), state=state) for state in STATES}
        arms = [
            *(self._adam(state, name, schedules[name], start) for state, start in starts.items() for name in schedules),
            *(self._adam("scratch", name, schedules[name]) for name in ("none", "constant")),
        ]
        return self._on_new_data(NEW_DATA, twist, arms, self.sizes.bracket)

    def gathering(self, twist: str) -> Experiment:
        """A stretch at lr = 0 with as many updates more as it takes, so that active updates are equal."""
        starts = {state: Start(before=self._before(twist), state=state) for state in STATES}
        arms = [self._adam(state, "zero+n", self.decaying("zero"), start) for state, start in starts.items()]
        return self._on_new_data(NEW_DATA, twist, arms, self.sizes.bracket, updates=self.updates + self.warmup)

    def new_head(self, backbone: Backbone) -> Experiment:
        """Every warmup with an untrained head; the loss on the old classes cannot be measured."""
        start = Start(before=self._before("new"), head="new", backbone=backbone)
        arms = [self._adam(backbone, name, self.decaying(name), start) for name in ("none", *WARMUPS)]
        bracket = self.sizes.frozen if backbone == "frozen" else self.sizes.bracket
        return self._on_new_data(NEW_HEAD, "new", arms, bracket, seeds=self.seeded(self.sizes.head_seeds))

    def resumed(self, lr: float) -> Experiment:
        """Runs interrupted at full rate after half their updates: state kept, fresh, and ways to make up for it."""
        arms = [arm for name in RULES for arm in self._resumed_by(name, lr)]
        seeds = self.seeded(self.sizes.resumed_seeds)
        return self.experiment(RESUMING, arms, lr, seeds=seeds, evaluate_every=WATCHED_EVERY)

    def _resumed_by(self, name: str, lr: float) -> Iterator[Arm]:
        before = self._pretraining(self.task, lr, name, updates=self.updates, decay="constant")
        ramps = [n for n in self.sizes.ramps if n <= self.updates]
        ways = {
            "kept": ("kept", self._at_full_rate("none", 0)),
            "fresh": ("fresh", self._at_full_rate("none", 0)),
            **{f"fresh, ramp {n}": ("fresh", self._at_full_rate("ramp", n)) for n in ramps},
            **{f"fresh, zero {n}": ("fresh", self._at_full_rate("zero", n)) for n in ramps[1:2]},
        }
        for label, (state, schedule) in ways.items():
            start = Start.model_validate({"before": before, "state": state})
            yield arm(f"{name}/{label}", RULES[name], schedule, start=start)

    def _at_full_rate(self, warmup: str, length: int) -> Schedule:
        """The decay begins at the same update whatever the ramp's length."""
        return self.decaying(warmup, length, decay_from=min(FULL_FOR, self.updates // 2))

    def _before(self, twist: str) -> Pretraining:
        task = f"{self.task}+old" if twist == "new" else self.task
        return self._pretraining(task, self.lr, "adam", updates=self.sizes.before, decay="cosine")

    def _pretraining(self, task: str, lr: float, optimizer: str, *, updates: int, decay: Decay) -> Pretraining:
        ramp = self.schedule("ramp", updates // RAMPED, decay=decay)
        rule = RULES[optimizer]
        return Pretraining(task=task, updates=updates, optimizer=rule, schedule=ramp, lr=lr, batch=self.batch)

    def _on_new_data(
        self, part: str, twist: str, arms: Sequence[Arm], bracket: Bracket | None, **changes: Any
    ) -> Experiment:
        return self.experiment(part, arms, self.lrs("adaptive", bracket), task=f"{self.task}+{twist}", **changes)

    def _adam(self, whence: str, name: str, schedule: Schedule, start: Start | None = None) -> Arm:
        return arm(f"{whence}/{name}", RULES["adam"], schedule, start=start)


def _fitting(name: str) -> str:
    """What networks of any task can meet: new classes where there are enough, else noise, else text read backwards."""
    task = tasks.load(name)
    inputs, targets = task.splits.train.inputs, task.splits.train.targets
    if targets.ndim == 1 and are_labels(targets) and len(classes(task)) >= FEWEST_CLASSES:
        return "new"
    return "noisy" if inputs.is_floating_point() else "reversed"
