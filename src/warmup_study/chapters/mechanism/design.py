"""Design of the sixth chapter: curvature, warmups in disguise, and dead units, on tasks of the core grid."""

from collections.abc import Iterator, Mapping

from warmup_study import tasks, theory
from warmup_study.chapters import core_grid, design
from warmup_study.chapters.design import arm
from warmup_study.parameters import RunParameters
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PARTS = {
    "edge": "full-batch gradient descent, whose final sharpness theory predicts",
    core_grid.PART: core_grid.TITLE,
    "track": "with and without a ramp, probed often, at the learning rate that is best without warmup",
    "ramp_end": "the same there and at twice that learning rate, on more seeds, probed when the ramp ends",
    "disguise": "fixes said to need no warmup, and plain Adam with the schedule that each implies",
    "first_steps": "sizes of the fixes' first steps, on the same gradients",
    "dead": "dead units with and without a ramp, and the same network with leaky ReLUs",
}
ADAM = core_grid.OPTIMIZERS["adam"]
COMPARED = ("none", "ramp")
EDGES = {
    "sgd": (Optimizer(name="sgd"), 0.4),
    "momentum 0.5": (Optimizer(name="momentum", momentum=0.5), 0.3),
    "momentum 0.9": (Optimizer(name="momentum", momentum=0.9), 0.2),
    "adam": (Optimizer(name="adam"), 0.01),
}
"""Rules that descend along the gradient over all examples, and where they reach their edge of stability."""
EDGE_TASK = "mnist1d-mlp+smooth"
SMALL_LR = 1e-5  # so small that the weights hardly move
FIRST_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60)
FIRST_SEEDS = 6
FIXED_RATES = 7  # of the core grid, from its lowest: the best of every fix lies inside
MULTIPLES = (1.0, 2.0)  # of them, at which the sharpness is taken when the ramp has ended


class Parameters(RunParameters):
    """What the notebook takes."""


class Sizes(design.Sizes):
    """How large the chapter's own parts are; lengths, learning rates and seeds are those of the core grid.

    ``tasks`` are those of the claim about curvature, ``fixed`` and ``rectified`` those of fixes and of dead units.
    ``tracked`` places are probed along training, as shares of the warmup's length, on ``tracked_seeds``, or as many as
    ``tracked_own`` has for a task. Dead units are counted on ``dead_seeds`` at every ``dead_step``-th learning rate.
    Descent along the gradient over all examples takes ``edge_updates`` and is probed at ``edge_points`` places.
    """

    fixed: tuple[str, ...]
    rectified: tuple[str, ...]
    tracked: tuple[float, ...]
    tracked_seeds: int
    tracked_own: Mapping[str, int] = {}
    dead_seeds: int
    dead_step: int
    edge_updates: int
    edge_points: int


# The chapter's own parts under full, in minutes of two cores: track 3 and ramp_end 4 (a look at the sharpness takes as
# long as 3,000 to 7,000 updates), disguise 6, dead 2, edge and first_steps 1. Expected half-widths of the 95 %
# intervals over tasks: 0.15 in the log sharpness, 0.035 in a replay's excess loss, which on the Transformer, where
# seeds differ by 0.5 in the log loss, would take some 200 of them; 0.04 decades between ReLUs and leaky ones.
SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-he16", "digits-transformer"),
    },
    fixed={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-he16", "mnist1d-conv"),
    },
    rectified={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-he16", "mnist1d-conv"),
    },
    seeds={"smoke": 2, "quick": 3, "full": 5},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    tracked={
        "smoke": (0, 1),
        "quick": (0, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 20),
        "full": (0, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 20),
    },
    tracked_seeds={"smoke": 2, "quick": 3, "full": 12},
    tracked_own={"full": {"digits-transformer": 3}},
    dead_seeds={"smoke": 2, "quick": 4, "full": 24},
    dead_step={"smoke": 1, "quick": 2, "full": 1},
    edge_updates={"smoke": 8, "quick": 300, "full": 800},
    edge_points={"smoke": 2, "quick": 10, "full": 40},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The check of the probe, then per task Adam's cell of the core grid and whichever parts the task is one of."""
    sizes = SIZES[parameters.preset]
    for name in EDGES:
        yield _Edges.of(parameters, sizes).descent(name)
    asked = parameters.task_names
    for task in asked or dict.fromkeys((*sizes.tasks, *sizes.fixed, *sizes.rectified)):
        plan = _Plan.on(task, parameters, core_grid.SIZES[parameters.preset])
        if task in (asked or sizes.tasks + sizes.fixed):
            yield plan.cell("adam")
        if task in (asked or sizes.tasks):
            yield from (plan.track(), plan.ramp_end())
        if task in (asked or sizes.fixed):
            yield from (plan.disguises(), plan.first_steps())
        if task in (asked or sizes.rectified):
            yield from (plan.dead(twist) for twist in ("", "+leaky"))


class _Edges(design.Design):
    """Descent along the gradient over all examples, which has a task and a length of its own."""

    sizes: Sizes

    @classmethod
    def of(cls, parameters: Parameters, sizes: Sizes) -> "_Edges":
        return cls(task=EDGE_TASK, parameters=parameters, sizes=sizes, updates=sizes.edge_updates, warmup=0)

    def descent(self, name: str) -> Experiment:
        optimizer, lr = EDGES[name]
        every = max(1, self.updates // self.sizes.edge_points)
        sharpness = "preconditioned_sharpness" if optimizer.kernel == "adaptive" else "sharpness"
        return self.experiment(
            "edge",
            [arm(name, optimizer, lr_scale=1.0)],
            lr,
            seeds=self.seeds[: self.sizes.seeds],
            batch=len(tasks.load(self.task).splits.train),
            probed=tuple(range(every, self.updates + 1, every)),
            probes=(sharpness, "training_loss"),
        )


class _Plan(core_grid.Core):
    """The chapter's parts on one task, with lengths, learning rates and seeds of the core grid."""

    @property
    def own(self) -> Sizes:
        return SIZES[self.parameters.preset]

    @property
    def adam_lrs(self) -> tuple[float, ...]:
        return self.cell("adam").lrs

    @property
    def best_lr(self) -> float:
        """Adam's best learning rate where it is known; else the middle of the grid."""
        return core_grid.BEST_LRS.get(self.task) or self.adam_lrs[len(self.adam_lrs) // 2]

    def track(self) -> Experiment:
        """A few seeds, closely."""
        places = sorted({min(self.updates, 1 + round(share * self.warmup)) for share in self.own.tracked})
        closely = self.own.tracked_own.get(self.task, self.own.tracked_seeds)
        return self._looked_at("track", MULTIPLES[:1], self.seeds[:closely], tuple(places))

    def ramp_end(self) -> Experiment:
        """What the claim rests on, from all seeds."""
        return self._looked_at("ramp_end", MULTIPLES, self.seeds, (min(self.updates, 1 + self.warmup),))

    def _looked_at(
        self, part: str, multiples: tuple[float, ...], seeds: tuple[int, ...], probed: tuple[int, ...]
    ) -> Experiment:
        arms = [
            arm(f"adam/{warmup} at {times:g}", ADAM, self.decaying(warmup), lr_scale=times)
            for times in multiples
            for warmup in COMPARED
        ]
        probes = ("sharpness", "training_loss")
        return self.experiment(part, arms, self.best_lr, seeds=seeds, probed=probed, probes=probes)

    def disguises(self) -> Experiment:
        return self.experiment("disguise", self._disguised(), self.adam_lrs[:FIXED_RATES])

    def first_steps(self) -> Experiment:
        updates = min(FIRST_STEPS[-1], self.updates)
        fixes = [arm(f"fix/{name}", fix) for name, fix in theory.FIXES.items()]
        return self.experiment(
            "first_steps",
            [arm("adam/none", ADAM), *fixes],
            SMALL_LR,
            seeds=self.seeds[:FIRST_SEEDS],
            updates=updates,
            probed=tuple(update for update in FIRST_STEPS if update <= updates),
            probes=("update_size",),
        )

    def dead(self, twist: str) -> Experiment:
        arms = [arm(f"adam/{warmup}", ADAM, self.decaying(warmup)) for warmup in COMPARED]
        return self.experiment(
            "dead",
            arms,
            self.adam_lrs[:: self.own.dead_step],
            task=self.task + twist,
            seeds=self.seeds[: self.own.dead_seeds],
            probed=(self.updates,),
            probes=("dead_share",),
        )

    def _disguised(self) -> Iterator[Arm]:
        """Each fix and its replay; plain Adam, which replays a fix that implies no warmup, is in the grid."""
        for name, fix in theory.FIXES.items():
            yield arm(f"fix/{name}", fix, Schedule(decay="cosine"))
            implied = theory.implied_schedule(fix)
            if implied.warmup != "none":
                yield arm(f"replay/{name}", ADAM, implied.model_copy(update={"decay": "cosine"}))
