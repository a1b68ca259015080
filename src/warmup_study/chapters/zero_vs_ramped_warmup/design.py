"""Design of the second chapter: the ramp taken apart into gathered statistics and small early steps."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from warmup_study.chapters import core_grid, design
from warmup_study.chapters.design import arm
from warmup_study.parameters import RunParameters, Share
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PARTS = {
    core_grid.PART: core_grid.TITLE,
    "statistics": "Adam's state ablated part by part, where training fails without warmup",
    "jump": "loss and second moment around the end of warmup, at twice the best learning rate",
    "lost": "updates lost to lr = 0, at half the best learning rate",
}
ABOVE, BELOW = 2.0, 0.5  # times the best learning rate: where jumps hurt, and where no warmup is needed
SHORT = 5  # the second ramp, after a reset, takes a fifth of the first
AFTER = 50  # updates followed after the end of warmup, the first ten one by one
LOST = 400  # updates in which losses fall far enough to tell a delay


class Parameters(RunParameters):
    """What the notebook takes."""

    beta2: Share = Field(0.999, description="a number above 0 and below 1")


class Sizes(design.RunSizes):
    """How large the chapter is.

    ``optimizers``: those of the core grid that it looks at. ``multiples`` of the best learning rate at which parts of
    Adam's state are switched; none where training without warmup is not known to fail. ``jump_seeds`` and
    ``lost_seeds`` go through the two parts that watch a stretch of training; 0: the task is not in that part.
    """

    optimizers: tuple[str, ...]
    multiples: tuple[float, ...] = ()
    jump_seeds: int
    lost_seeds: int


_SIX_BLOCKS = {"updates": 600, "warmup": 30, "seeds": 24, "jump_seeds": 12}
PLANS: Mapping[str, Mapping[str, object]] = {
    "digits-mlp": {},
    "digits-he16": {"multiples": (3.2, 5.6)},
    "mnist1d-conv": {"multiples": (2.2, 3.2)},
    "mnist1d-conv-1024": {"updates": 400, "warmup": 20, "jump_seeds": 12, "lost_seeds": 0},
    "digits-transformer": {"multiples": (2.5, 3.2), "seeds": 40},
    "digits-transformer-6": _SIX_BLOCKS | {"multiples": (1.8, 2.5), "lost_seeds": 0},
    "digits-transformer-pre-6": _SIX_BLOCKS | {"updates": 1200, "warmup": 60, "lost_seeds": 0},
    "text-transformer-4": {"multiples": (2.2, 3.2), "seeds": 16, "jump_seeds": 12, "lost_seeds": 16},
}
"""Planned: some 14 minutes of two cores, 9.5 of them for the statistics (9 arms; Transformer of two blocks 2.5, of six
2.5, text 3.5), 3 for the jumps, whose probes cost an epoch each, 1.5 for the lost updates. Expected half-widths: shares
of the ramp's gain 0.1 to 0.2 on a task and below 0.1 over five, drift 0.1, delays 0.1 warmup lengths."""
SIZES = Sizes.by_preset(
    tasks={"smoke": ("digits-mlp",), "quick": ("digits-transformer",), "full": tuple(PLANS)},
    optimizers={"smoke": ("adam", "sgd"), "quick": ("adam",), "full": ("adam", "sgd", "momentum", "rmsprop", "adam0")},
    **core_grid.LENGTHS,
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    seeds={"smoke": 2, "quick": 5, "full": 60},
    multiples={"smoke": (21.0,), "quick": (3.2,)},
    jump_seeds={"smoke": 2, "quick": 3, "full": 24},
    lost_seeds={"smoke": 2, "quick": 4, "full": 40},
    own={"full": PLANS},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The core grid, and per task: Adam's state switched, the end of warmup update by update, the lost updates."""
    sizes = SIZES[parameters.preset]
    yield from core_grid.experiments(parameters, optimizers=sizes.optimizers)
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.on(task, parameters, sizes)
        if plan.sizes.multiples or task not in PLANS:
            yield plan.statistics()
            yield plan.longer_statistics()
        if plan.sizes.jump_seeds:
            yield plan.jump()
        if plan.sizes.lost_seeds:
            yield plan.lost()


class _Design(design.Design):
    parameters: Parameters
    sizes: Sizes

    @property
    def best(self) -> float:
        """Adam's best learning rate without warmup, or the middle of its grid where no pilot has found it."""
        grid = self.lrs("adaptive")
        return core_grid.BEST_LRS.get(self.task) or grid[len(grid) // 2]

    def statistics(self) -> Experiment:
        """Arms of the usual number of updates: a reset of all state, and a short ramp after it as its control."""
        n = self.warmup
        ramp = self.decaying("ramp")
        twice = self.decaying("ramp", second=min(max(1, n // SHORT), self.updates - n))
        arms = (
            self._adam("none", self.decaying("none")),
            self._adam("ramp", ramp),
            self._adam("ramp-reset", ramp, reset_at=n),
            self._adam("ramp-reset-ramp", twice, reset_at=n),
        )
        return self._switched(arms, self.updates)

    def longer_statistics(self) -> Experiment:
        """Arms that gather statistics at lr = 0 for n updates more: first moment frozen x counters restarted."""
        n = self.warmup
        zero, then = self.decaying("zero"), self.decaying("ramp", hold=n)
        restart = {"count1_from": n, "count2_from": n}
        arms = (
            self._adam("zero+n", zero),
            self._adam("zero+n, frozen", zero, freeze_first_until=n),
            self._adam("zero+n, restarted", zero, **restart),
            self._adam("zero+n, frozen and restarted", zero, freeze_first_until=n, **restart),
            self._adam("zero+n, then ramp", then),
        )
        return self._switched(arms, self.updates + n)

    def _switched(self, arms: tuple[Arm, ...], updates: int) -> Experiment:
        """At multiples of the best learning rate, or over the upper half of the grid of a task without any."""
        grid = self.lrs("adaptive") if self.task not in core_grid.BEST_LRS else ()
        lrs = [float(f"{self.best * multiple:.4g}") for multiple in self.sizes.multiples]
        return self.experiment("statistics", arms, grid[len(grid) // 2 :] or lrs, updates=updates)

    def jump(self) -> Experiment:
        n = self.warmup
        probed = (*range(n // 2 + 1, n + 1, max(1, n // 12)), *range(n + 1, n + 11), *range(n + 14, n + AFTER + 1, 4))
        return self.experiment(
            "jump",
            [self._adam(name, self.schedule(name)) for name in ("zero", "constant", "ramp")],
            self.best * ABOVE,
            seeds=self.seeds[: self.sizes.jump_seeds],
            updates=n + AFTER,
            evaluate_every=n + AFTER,
            probed=probed,
            probes=("batch_loss", "second_moment_drift"),
        )

    def lost(self) -> Experiment:
        return self.experiment(
            "lost",
            [self._adam(name, self.schedule(name)) for name in ("none", "zero", "constant")],
            self.best * BELOW,
            seeds=self.seeds[: self.sizes.lost_seeds],
            updates=min(self.updates, LOST) + self.warmup,
            evaluate_every=max(1, self.warmup // 10),  # ten times a warmup
        )

    def _adam(self, name: str, schedule: Schedule, **switches: int) -> Arm:
        return arm(f"adam/{name}", Optimizer(name="adam", beta2=self.parameters.beta2, **switches), schedule)
