"""Design of the sixth chapter: curvature, warmups in disguise, the default length, and dead units."""

from collections.abc import Iterator

from warmup_study import tasks, theory
from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket, Family, arm
from warmup_study.parameters import RunParameters
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PARTS = {
    "edge": "descent along the gradient over all examples, where theory says at what curvature it settles",
    "grid": "Adam under every warmup, over learning rates from the best to beyond the last that trains",
    "track": "the same arms followed closely, where training without warmup begins to fail",
    "disguise": "fixes that claim to need no warmup, and plain Adam under the schedule that each implies",
    "first_steps": "sizes of the fixes' first steps, where all runs meet the same gradients",
    "dead": "units that die without warmup and with a ramp, and the same net without dying units",
    "lengths": "ramps of many lengths under several β₂, over learning rates around the best",
}
ARMS = ("none", "zero", "constant", "ramp")
ADAM = Optimizer(name="adam")
EDGES = {
    "sgd": (Optimizer(name="sgd"), 0.4),
    "momentum": (Optimizer(name="momentum"), 0.2),
    "adam": (ADAM, 0.01),
}
"""Rules that descend along the gradient over all examples, and where they reach their edge of stability."""
EDGE_TASK = "mnist1d-mlp+smooth"
LONGEST_RUN = 1.1  # in lengths 2/(1-β2), where those do not fit into the usual run
SMALL_LR = 1e-5  # so small that the weights hardly move
FIRST_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60)
TRACKED = ("sharpness", "preconditioned_sharpness", "gradient_snr", "second_moment_drift", "update_angle", "dead_share")
TRACKED_ARMS = {"mnist1d-conv": ("none", "ramp")}
BRACKETS: dict[str, dict[Family, Bracket]] = {
    "digits-mlp": {"adaptive": (1e-2, 1e0)},
    "digits-he8": {"adaptive": (3.2e-3, 3.2e-1)},
    "mnist1d-conv": {"adaptive": (1e-2, 5e-1)},
    "mnist1d-mlp": {"adaptive": (3.2e-3, 3.2e-1)},
}
"""Learning rates from the best to beyond the last that trains, found in trials on other seeds."""
TRACKED_LRS = {"digits-mlp": 0.1, "digits-he8": 0.04, "mnist1d-conv": 0.1}
"""Where training without warmup begins to fail, found in the same trials."""


class Parameters(RunParameters):
    """What the notebook takes."""


class Sizes(design.RunSizes):
    """How large the chapter is.

    ``tracked`` places are probed along training, as shares of the warmup's length; ``edge_points`` many are in descent
    along the gradient over all examples. ``lengths`` are those of the ramp in the search for the best, for each of
    ``beta2s`` whose default length fits into the run, and ``few_lengths`` where the run has to be longer for it.
    """

    length_tasks: tuple[str, ...]
    tracked: tuple[float, ...]
    tracked_seeds: int
    edge_updates: int
    edge_points: int
    edge_seeds: int
    beta2s: tuple[float, ...]
    lengths: tuple[int, ...]
    few_lengths: tuple[int, ...]


SIZES = Sizes.by_preset(
    tasks={"smoke": ("digits-mlp",), "quick": ("digits-he8",), "full": ("digits-mlp", "digits-he8", "mnist1d-conv")},
    length_tasks={"smoke": ("digits-mlp",), "quick": ("digits-mlp",), "full": ("digits-mlp", "mnist1d-mlp")},
    updates={"smoke": 24, "quick": 100, "full": 300},
    warmup={"smoke": 6, "quick": 20, "full": 60},
    points_per_decade={"smoke": 1, "quick": 3, "full": 6},
    selection_seeds={"smoke": 2, "quick": 2, "full": 4},
    confirmation_seeds={"smoke": 2, "quick": 5, "full": 20},
    tracked={"smoke": (0, 1), "quick": (0, 1, 5 / 2), "full": (0, 1 / 2, 1, 5 / 2, 4)},
    tracked_seeds={"smoke": 2, "quick": 5, "full": 20},
    edge_updates={"smoke": 8, "quick": 250, "full": 500},
    edge_points={"smoke": 2, "quick": 10, "full": 20},
    edge_seeds={"smoke": 2, "quick": 2, "full": 5},
    beta2s={"smoke": (0.9, 0.95), "quick": (0.9, 0.98, 0.99), "full": (0.9, 0.95, 0.98, 0.99, 0.999)},
    lengths={"smoke": (0, 5), "quick": (0, 5, 20, 60), "full": (0, 5, 20, 40, 100, 200)},
    few_lengths={"smoke": (0,), "quick": (0, 20), "full": (0, 20, 200)},
    own={"full": {"mnist1d-conv": {"points_per_decade": 4, "tracked": (0, 1)}}},  # curvature costs most there
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The check of the probes, then per task: grid, tracks, disguises, dead units; and the search for a length."""
    sizes = SIZES[parameters.preset]
    for name in EDGES:
        yield _Design.on(EDGE_TASK, parameters, sizes).edge(name)
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.on(task, parameters, sizes)
        yield plan.grid()
        yield plan.track()
        yield plan.disguises()
        yield plan.first_steps()
        yield from (plan.dead(twist) for twist in ("", "+leaky"))
    for task in parameters.task_names or sizes.length_tasks:
        yield from (_Design.on(task, parameters, sizes).lengths(beta2) for beta2 in sizes.beta2s)


class _Design(design.Design):
    sizes: Sizes
    brackets = BRACKETS

    @property
    def coarse(self) -> tuple[float, ...]:
        return self.lrs("adaptive", points_per_decade=-(-self.sizes.points_per_decade // 2))

    def edge(self, name: str) -> Experiment:
        (optimizer, lr), updates = EDGES[name], self.sizes.edge_updates
        every = max(1, updates // self.sizes.edge_points)
        return self.experiment(
            "edge",
            [arm(name, optimizer, lr_scale=1.0)],
            lr,
            confirmation_seeds=self.confirmation_seeds[: self.sizes.edge_seeds],
            updates=updates,
            batch=len(tasks.load(self.task).splits.train),
            probed=tuple(range(every, updates + 1, every)),
            probes=("preconditioned_sharpness" if optimizer.kernel == "adaptive" else "sharpness",),
        )

    def grid(self) -> Experiment:
        return self.experiment("grid", self.adam(ARMS), self.lrs("adaptive"), selection_seeds=self.selection_seeds)

    def track(self) -> Experiment:
        """At a known learning rate; where nothing is known of the task, two thirds up the grid."""
        grid = self.lrs("adaptive")
        probed = sorted({min(self.updates, 1 + round(share * self.warmup)) for share in self.sizes.tracked})
        return self.experiment(
            "track",
            self.adam(TRACKED_ARMS.get(self.task, ARMS)),
            TRACKED_LRS.get(self.task) or grid[2 * (len(grid) - 1) // 3],
            confirmation_seeds=self.confirmation_seeds[: self.sizes.tracked_seeds],
            probed=tuple(probed),
            probes=TRACKED,
        )

    def disguises(self) -> Experiment:
        return self.experiment("disguise", self.disguised(), self.coarse, selection_seeds=self.selection_seeds)

    def first_steps(self) -> Experiment:
        updates = min(FIRST_STEPS[-1], self.updates)
        fixes = [fix for fix in self.disguised() if fix.label.startswith("fix/")]
        return self.experiment(
            "first_steps",
            [*self.adam(("none",)), *fixes],
            SMALL_LR,
            confirmation_seeds=self.confirmation_seeds[:6],
            updates=updates,
            probed=tuple(update for update in FIRST_STEPS if update <= updates),
            probes=("update_size",),
        )

    def dead(self, twist: str) -> Experiment:
        return self.experiment(
            "dead",
            self.adam(("none", "ramp")),
            self.coarse,
            task=self.task + twist,
            probed=tuple(sorted({self.warmup, self.updates})),
            probes=("dead_share",),
        )

    def lengths(self, beta2: float) -> Experiment:
        default = Schedule(warmup="untuned", beta2=beta2).warmup_length
        fits = default <= self.updates
        updates = self.updates if fits else round(LONGEST_RUN * default)
        lengths = sorted({*(self.sizes.lengths if fits else self.sizes.few_lengths), default})
        rule = Optimizer(name="adam", beta2=beta2)
        arms = [arm(f"{beta2:g}/{n}", rule, self.schedule("ramp" if n else "none", n)) for n in lengths if n <= updates]
        low = BRACKETS[self.task]["adaptive"][0] if self.task in BRACKETS else None  # the best lies near
        lrs = self.lrs("adaptive", (low, 10 * low), 2) if low else self.lrs("adaptive", points_per_decade=1)
        return self.experiment("lengths", arms, lrs, updates=updates, selection_seeds=self.selection_seeds)

    def adam(self, warmups: tuple[str, ...]) -> tuple[Arm, ...]:
        return self.cross({"adam": ADAM}, warmups)

    def disguised(self) -> Iterator[Arm]:
        yield from self.adam(("none", "ramp"))
        for name, fix in theory.FIXES.items():
            yield arm(f"fix/{name}", fix)
            implied = theory.implied_schedule(fix)
            if implied.warmup != "none":
                yield arm(f"replay/{name}", ADAM, implied)
