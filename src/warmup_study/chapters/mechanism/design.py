"""Design of the sixth chapter: curvature, warmups in disguise, the default length, and dead units."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from warmup_study import tasks, theory
from warmup_study.chapters.sizes import Seeds, bracket, device_of, warmup_within
from warmup_study.parameters import GridParameters
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

ARMS = ("none", "zero", "constant", "ramp")
ADAM = Optimizer(name="adam")
EDGES = {
    "sgd": (Optimizer(name="sgd"), 0.4),
    "momentum": (Optimizer(name="momentum"), 0.2),
    "adam": (ADAM, 0.01),
}
"""Rules that descend along the gradient over all examples, and rates at which they reach their edge of stability."""
EDGE_TASK = "mnist1d-mlp+smooth"
LONGEST_RUN = 1.1  # in lengths 2/(1-β2), where those do not fit into the usual run


class Parameters(GridParameters):
    """What the notebook takes."""


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is under one preset.

    ``tracked`` places are probed along training, as shares of the warmup's length; ``points_per_decade`` is the density
    of the grid of learning rates; ``lengths`` are those of the ramp in the search for the best, for each of ``beta2s``
    whose default length fits into the run, and ``few_lengths`` where the run has to be longer for it.
    """

    tasks: tuple[str, ...]
    length_tasks: tuple[str, ...]
    updates: int
    warmup: int
    points_per_decade: int
    seeds: Seeds
    tracked: tuple[float, ...]
    tracked_seeds: int
    edge_updates: int
    edge_points: int
    edge_seeds: int
    beta2s: tuple[float, ...]
    lengths: tuple[int, ...]
    few_lengths: tuple[int, ...]


_ALONG = (0, 1 / 2, 1, 5 / 2, 4)
SIZES = {
    "smoke": Sizes(
        ("digits-mlp",), ("digits-mlp",), 24, 6, 1, Seeds(2, 2), (0, 1), 2, 8, 2, 2, (0.9, 0.95), (0, 5), (0,)
    ),
    "quick": Sizes(
        ("digits-he8",),
        ("digits-mlp",),
        100,
        20,
        3,
        Seeds(2, 5),
        (0, 1, 5 / 2),
        5,
        250,
        10,
        2,
        (0.9, 0.98, 0.99),
        (0, 5, 20, 60),
        (0, 20),
    ),
    "full": Sizes(
        ("digits-mlp", "digits-he8", "mnist1d-conv"),
        ("digits-mlp", "mnist1d-mlp"),
        300,
        60,
        6,
        Seeds(4, 20),
        _ALONG,
        20,
        500,
        20,
        5,
        (0.9, 0.95, 0.98, 0.99, 0.999),
        (0, 5, 20, 40, 100, 200),
        (0, 20, 200),
    ),
}
OWN_SIZES: dict[str, dict[str, Any]] = {"mnist1d-conv": {"points_per_decade": 4, "tracked": (0, 1)}}
"""What differs in ``full`` on a task whose curvature costs as much as thousands of updates."""
TRACKED_ARMS = {"mnist1d-conv": ("none", "ramp")}
BRACKETS = {
    "digits-mlp": (1e-2, 1e0),
    "digits-he8": (3.2e-3, 3.2e-1),
    "mnist1d-conv": (1e-2, 5e-1),
    "mnist1d-mlp": (3.2e-3, 3.2e-1),
}
"""Rates from the best to beyond the last that trains, found in trials on other seeds."""
TRACKED_LRS = {"digits-mlp": 0.1, "digits-he8": 0.04, "mnist1d-conv": 0.1}
"""Where training without warmup begins to fail, found in the same trials."""


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The check of the probes, then per task: grid, tracks, disguises, dead units; and the search for a length."""
    sizes = SIZES[parameters.preset]
    yield from edges(parameters)
    for task in parameters.task_names or sizes.tasks:
        design = _Design(task, parameters)
        yield design.grid()
        yield design.track()
        yield design.disguises()
        yield design.first_steps()
        yield from (design.dead(twist) for twist in ("", "+leaky"))
    for task in parameters.task_names or sizes.length_tasks:
        yield from (_Design(task, parameters).lengths(beta2) for beta2 in sizes.beta2s)


def edges(parameters: Parameters) -> Iterator[Experiment]:
    """Descent along the gradient over all examples, on a smooth loss: theory says at what curvature it settles."""
    sizes, size = SIZES[parameters.preset], len(tasks.load(EDGE_TASK).splits.train)
    every = max(1, sizes.edge_updates // sizes.edge_points)
    for name, (optimizer, lr) in EDGES.items():
        yield Experiment(
            part="edge",
            task=EDGE_TASK,
            arms=(Arm(label=name, optimizer=optimizer, schedule=Schedule()),),
            lrs=(lr,),
            confirmation_seeds=sizes.seeds.of(parameters)["confirmation_seeds"][: sizes.edge_seeds],
            updates=sizes.edge_updates,
            batch=size,
            evaluate_every=sizes.edge_updates,
            probed=tuple(range(every, sizes.edge_updates + 1, every)),
            probes=("preconditioned_sharpness" if optimizer.kernel == "adaptive" else "sharpness",),
            device=device_of(parameters),
        )


class _Design:
    """The experiments on one task."""

    def __init__(self, task: str, parameters: Parameters) -> None:
        self.task, self.parameters = task, parameters
        preset = SIZES[parameters.preset]
        if parameters.preset == "full":
            preset = replace(preset, **OWN_SIZES.get(task, {}))
        updates = parameters.updates or preset.updates
        self.sizes = replace(preset, updates=updates, warmup=warmup_within(parameters, preset.warmup, updates))
        self.seeds = self.sizes.seeds.of(parameters)
        self.reporting = self.seeds["confirmation_seeds"]

    @property
    def bracket(self) -> tuple[float, float]:
        """Lowest and highest rate of the grid."""
        return BRACKETS.get(self.task) or bracket(self.task, "adaptive")

    def lrs(self, points_per_decade: int) -> tuple[float, ...]:
        """The grid of learning rates, at a density."""
        return self.parameters.lrs or lr_grid(*self.bracket, points_per_decade)

    @property
    def tracked_lr(self) -> float:
        """The rate at which runs are followed; where nothing is known of the task, two thirds up the grid."""
        grid = self.lrs(self.sizes.points_per_decade)
        known = None if self.parameters.lrs else TRACKED_LRS.get(self.task)
        return known or grid[2 * (len(grid) - 1) // 3]

    def grid(self) -> Experiment:
        """Adam under every warmup, over rates from the best to beyond the last that trains."""
        arms = [self.arm(f"adam/{name}", ADAM, self.warmup(name)) for name in ARMS]
        return self.experiment("grid", arms, self.lrs(self.sizes.points_per_decade), **self.seeds)

    def track(self) -> Experiment:
        """The same arms, followed closely at a rate at the edge of what trains without warmup."""
        n, updates = self.sizes.warmup, self.sizes.updates
        probed = sorted({min(updates, 1 + round(share * n)) for share in self.sizes.tracked})
        return self.experiment(
            "track",
            [self.arm(f"adam/{name}", ADAM, self.warmup(name)) for name in TRACKED_ARMS.get(self.task, ARMS)],
            (self.tracked_lr,),
            confirmation_seeds=self.reporting[: self.sizes.tracked_seeds],
            probed=tuple(probed),
            probes=(
                "sharpness",
                "preconditioned_sharpness",
                "gradient_snr",
                "second_moment_drift",
                "update_angle",
                "dead_share",
            ),
        )

    def disguises(self) -> Experiment:
        """Every fix that claims to need no warmup, and plain Adam under the schedule that the fix implies."""
        return self.experiment("disguise", self._disguised(), self.lrs(self._coarse), **self.seeds)

    def first_steps(self) -> Experiment:
        """Sizes of the fixes' first steps, at a rate so small that all runs meet the same gradients."""
        updates = min(60, self.sizes.updates)
        fixes = [arm for arm in self._disguised() if arm.label.startswith("fix/")]
        return self.experiment(
            "first_steps",
            [self.arm("adam/none", ADAM, Schedule()), *fixes],
            (1e-5,),
            confirmation_seeds=self.reporting[:6],
            updates=updates,
            probed=tuple(sorted({i for i in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60) if i <= updates})),
            probes=("update_size",),
        )

    def dead(self, twist: str) -> Experiment:
        """Without warmup and with a ramp, from a good rate to far too high a one, as it is or without dying units."""
        n, updates = self.sizes.warmup, self.sizes.updates
        return self.experiment(
            "dead",
            [self.arm(f"adam/{name}", ADAM, self.warmup(name)) for name in ("none", "ramp")],
            self.lrs(self._coarse),
            task=self.task + twist,
            confirmation_seeds=self.reporting,
            probed=tuple(sorted({n, updates})),
            probes=("dead_share",),
        )

    def lengths(self, beta2: float) -> Experiment:
        """Ramps of many lengths under one β2, each over rates around the best."""
        default = Schedule(warmup="untuned", beta2=beta2).warmup_length
        fits = default <= self.sizes.updates
        others = self.sizes.lengths if fits else self.sizes.few_lengths
        updates = self.sizes.updates if fits else round(LONGEST_RUN * default)
        rule = Optimizer(name="adam", beta2=beta2)
        ramps = {
            n: Schedule(warmup="ramp", length=n) if n else Schedule()
            for n in sorted({*others, default})
            if n <= updates
        }
        arms = [self.arm(f"{beta2:g}/{n}", rule, ramp) for n, ramp in ramps.items()]
        low, high = self.bracket
        around_best = lr_grid(low, 10 * low, 2) if self.task in BRACKETS else lr_grid(low, high, 1)
        return self.experiment("lengths", arms, self.parameters.lrs or around_best, updates=updates, **self.seeds)

    @property
    def _coarse(self) -> int:
        return -(-self.sizes.points_per_decade // 2)

    def _disguised(self) -> list[Arm]:
        arms = [self.arm(f"adam/{name}", ADAM, self.warmup(name)) for name in ("none", "ramp")]
        for name, fix in theory.FIXES.items():
            arms.append(self.arm(f"fix/{name}", fix, Schedule()))
            implied = theory.implied_schedule(fix)
            if implied.warmup != "none":
                arms.append(self.arm(f"replay/{name}", ADAM, implied))
        return arms

    def warmup(self, name: str) -> Schedule:
        """The schedule of a warmup arm."""
        return Schedule.model_validate({"warmup": name, "length": 0 if name == "none" else self.sizes.warmup})

    def arm(self, label: str, optimizer: Optimizer, schedule: Schedule) -> Arm:
        """One arm."""
        return Arm(label=label, optimizer=optimizer, schedule=schedule)

    def experiment(self, part: str, arms: list[Arm], lrs: tuple[float, ...], **settings: Any) -> Experiment:
        """An experiment on the task, with whatever it has of its own."""
        updates = settings.get("updates", self.sizes.updates)
        usual = {
            "part": part,
            "task": self.task,
            "arms": tuple(arms),
            "lrs": lrs,
            "updates": updates,
            "evaluate_every": updates,
            "batch": tasks.load(self.task).batch,
            "device": device_of(self.parameters),
        }
        return Experiment.model_validate(usual | settings)
