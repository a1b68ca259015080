"""Design of the second chapter: the ramp taken apart into gathered statistics and small early steps."""

from collections.abc import Iterator

from pydantic import Field

from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket, Family, arm
from warmup_study.parameters import RunParameters, Share
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PARTS = {
    "grid": "every warmup in the four setups, over a grid of learning rates",
    "active": "lr = 0 with the updates made up for that it idles away",
    "factorial": "parts of Adam's state switched on and off, where training without warmup may fail",
    "jump": "update by update through the end of warmups of several lengths",
    "drift": "how far the second moment is from a fresh estimate, around the end of warmup",
    "lost": "how many updates lr = 0 costs, where training needs no warmup",
}
SETUPS: dict[Family, tuple[str, str]] = {"sgd": ("sgd", "momentum"), "adaptive": ("adam", "adam0")}
FULL_ARMS, SETUP_ARMS = ("none", "zero", "constant", "short", "ramp"), ("none", "zero", "ramp")
SHORT = 20  # `short` holds the low rate for one twentieth of the run: answer 3's 500 of 10,000 updates
LOST_LR = 0.01  # Adam trains well at it without warmup
JUMP_LR = 0.03  # a few times higher: where jumps start to hurt
BEFORE, AFTER = 10, 50  # updates followed one by one around the end of warmup
BRACKETS: dict[str, dict[Family, Bracket]] = {
    "digits-he8": {"sgd": (1e-2, 1e0), "adaptive": (1e-3, 3.2e-1)},
    "digits-transformer": {"sgd": (1e-2, 1e0), "adaptive": (1e-3, 1e-1)},
}
"""Narrower brackets than the tasks' own: without most learning rates at which no arm trains."""
SOONER = {
    "digits-he8": {"updates": 150, "warmup": 30},
    "digits-transformer": {"updates": 200, "warmup": 40, "length_seeds": 8, "drift_every": 4},
}
"""Sizes on tasks that train sooner than the others, or whose updates cost many times as much."""
EDGES = {"digits-mlp": (0.1, 0.22), "digits-he8": (0.04, 0.1), "digits-transformer": (0.02, 0.05)}
"""Where training without warmup begins to fail and the ramp may still train, found in trials on other seeds."""
EDGE_PER_DECADE = 6


class Parameters(RunParameters):
    """What the notebook takes."""

    beta2: Share = Field(0.999, description="a number above 0 and below 1")


class Sizes(design.RunSizes):
    """How large the chapter is.

    ``lengths`` of warmups to jump from are shares of the usual one; ``length_seeds`` seeds go through the jumps, and of
    the updates around the usual one every ``drift_every``-th is probed.
    """

    lengths: tuple[float, ...]
    length_seeds: int
    drift_every: int


SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-he8",),
        "full": ("digits-mlp", "digits-he8", "digits-transformer"),
    },
    updates={"smoke": 20, "quick": 150, "full": 300},
    warmup={"smoke": 5, "quick": 30, "full": 60},
    points_per_decade={"smoke": 1, "quick": 2, "full": 2},
    selection_seeds={"smoke": 2, "quick": 3, "full": 4},
    confirmation_seeds={"smoke": 2, "quick": 6, "full": 20},
    lengths={"smoke": (1, 2), "quick": (1 / 4, 1, 2), "full": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2)},
    length_seeds={"smoke": 2, "quick": 6, "full": 20},
    drift_every={"smoke": 4, "quick": 3, "full": 1},
    own={"full": SOONER},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the grids, lr = 0 at equal active updates, the factorial, the jumps, their drift, the lost updates."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.on(task, parameters, sizes)
        yield from (plan.grid(family) for family in SETUPS)
        yield plan.active()
        yield plan.factorial()
        yield from (plan.jump(length) for length in plan.lengths)
        yield plan.drift()
        yield plan.lost()


class _Design(design.Design):
    parameters: Parameters
    sizes: Sizes
    brackets = BRACKETS

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of warmup to jump from, in updates, none longer than the run."""
        asked = (max(1, round(self.warmup * share)) for share in self.sizes.lengths)
        return tuple(sorted({min(length, self.updates) for length in asked}))

    def arms(self, setup: str, warmups: tuple[str, ...], length: int | None = None) -> tuple[Arm, ...]:
        beta2 = self.parameters.beta2
        optimizer = {
            "sgd": Optimizer(name="sgd"),
            "momentum": Optimizer(name="momentum"),
            "adam": Optimizer(name="adam", beta2=beta2),
            "adam0": Optimizer(name="adam", beta1=0.0, beta2=beta2),
        }[setup]
        return self.cross({setup: optimizer}, warmups, length)

    def schedule(self, warmup: str, length: int | None = None, **settings: int) -> Schedule:
        if warmup == "short":
            return super().schedule("constant", max(1, self.updates // SHORT))
        return super().schedule(warmup, length, **settings)

    def grid(self, family: Family) -> Experiment:
        decisive, other = SETUPS[family]
        arms = self.arms(decisive, FULL_ARMS) + self.arms(other, SETUP_ARMS)
        return self.experiment("grid", arms, self.lrs(family), selection_seeds=self.selection_seeds)

    def active(self) -> Experiment:
        return self.experiment(
            "active",
            self.arms("adam", ("zero",)),
            self.lrs("adaptive"),
            selection_seeds=self.selection_seeds,
            updates=self.updates + self.warmup,
            evaluate_every=self.updates,
        )

    def factorial(self) -> Experiment:
        """At learning rates around the highest that Adam trains at without warmup, or half of its grid."""
        n = self.warmup
        zero, ramp = self.schedule("zero"), self.schedule("ramp")
        then = self.schedule("ramp", min(n, self.updates - n), hold=n)
        restart = {"count1_from": n, "count2_from": n}
        arms = (
            *self.arms("adam", SETUP_ARMS),
            self.switched("zero-frozen", zero, freeze_first_until=n),
            self.switched("zero-restarted", zero, **restart),
            self.switched("zero-frozen-restarted", zero, freeze_first_until=n, **restart),
            self.switched("ramp-reset", ramp, reset_at=n),
            self.switched("zero-then-ramp", then),
        )
        grid, edge = self.lrs("adaptive"), EDGES.get(self.task)
        lrs = lr_grid(*edge, EDGE_PER_DECADE) if edge else grid[len(grid) // 2 :]
        return self.experiment("factorial", arms, lrs, selection_seeds=self.selection_seeds)

    def switched(self, name: str, schedule: Schedule, **switches: int) -> Arm:
        return arm(f"adam/{name}", Optimizer(name="adam", beta2=self.parameters.beta2, **switches), schedule)

    def jump(self, length: int) -> Experiment:
        names = ("none", "zero", "constant", "ramp") if length == self.warmup else ("zero", "constant", "ramp")
        return self.experiment(
            "jump",
            self.arms("adam", names, length),
            JUMP_LR,
            confirmation_seeds=self.confirmation_seeds[: self.sizes.length_seeds],
            probed=tuple(i for i in range(length - BEFORE, length + AFTER + 1) if 0 < i <= self.updates),
            probes=("batch_loss", "update_norm"),
        )

    def drift(self) -> Experiment:
        n = self.warmup
        return self.experiment(
            "drift",
            self.arms("adam", ("zero", "constant", "ramp")),
            JUMP_LR,
            updates=n + AFTER,
            evaluate_every=self.updates,
            probed=tuple(range(n // 2 + 1, n + AFTER + 1, self.sizes.drift_every)),
            probes=("second_moment_drift",),
        )

    def lost(self) -> Experiment:
        return self.experiment(
            "lost",
            self.arms("adam", ("none", "zero", "constant")),
            LOST_LR,
            updates=self.updates + self.warmup,
            evaluate_every=max(1, self.warmup // 10),  # ten times a warmup
        )
