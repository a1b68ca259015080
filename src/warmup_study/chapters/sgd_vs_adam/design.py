"""Design of the first chapter: {SGD, SGD + momentum, RMSProp, Adam} x {no warmup, ramp} x learning rates x seeds."""

from collections.abc import Iterator

from pydantic import Field

from warmup_study.chapters import design
from warmup_study.chapters.design import Family, arm
from warmup_study.parameters import RunParameters, Whole
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer

PARTS = {
    "grid": "every optimiser with and without a ramp, over a grid of learning rates",
    "probe": "the first updates one by one, at a moderate learning rate",
    "audit": "every warmup under every decay, followed update by update",
}
OPTIMIZERS: dict[Family, tuple[str, ...]] = {"sgd": ("sgd", "momentum"), "adaptive": ("rmsprop", "adam")}
PROBED_LR: dict[Family, float] = {"sgd": 0.1, "adaptive": 0.001}  # the libraries' common defaults
AUDITED_WARMUPS = ("none", "zero", "constant", "ramp", "polynomial", "exponential", "untuned")
DECAYS = ("constant", "cosine", "inverse_sqrt")
AUDITED_UPDATES, AUDITED_SEEDS = 80, 5
COSTLY = "digits-transformer"  # its updates cost many times as much, and each probe the gradient over all examples
CHEAPER = {"updates": 200, "warmup": 40, "points_per_decade": 2, "probed": (1, 2, 3, 5, 10, 20, 60, 80, 100)}


class Parameters(RunParameters):
    """What the notebook takes."""

    batch: Whole = Field(0, ge=0, le=1024, description="a whole number from 0 (the task's) to 1024")


class Sizes(design.RunSizes):
    """How large the chapter is; ``probed`` are the updates that are looked at one by one."""

    probed: tuple[int, ...]


SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-deep", "mnist1d-mlp", COSTLY),
    },
    updates={"smoke": 20, "quick": 300, "full": 400},
    warmup={"smoke": 5, "quick": 60, "full": 80},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    evaluations={"smoke": 5, "quick": 10, "full": 10},
    selection_seeds={"smoke": 2, "quick": 4, "full": 10},
    confirmation_seeds={"smoke": 2, "quick": 8, "full": 20},
    probed={
        "smoke": (1, 2, 3, 4),
        "quick": (*range(1, 11), *range(15, 101, 5)),
        "full": (*range(1, 21), *range(24, 101, 4)),
    },
    own={"quick": {COSTLY: CHEAPER}, "full": {COSTLY: CHEAPER}},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the grids of learning rates, the probed first updates, and the audit of all schedules."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.on(task, parameters, sizes)
        for family in OPTIMIZERS:
            yield plan.experiment("grid", plan.arms(family), plan.lrs(family), selection_seeds=plan.selection_seeds)
            yield plan.probe(family)
        if task != COSTLY:  # schedules are the same on every task, and the runs above are audited, too
            yield plan.audit()


class _Design(design.Design):
    parameters: Parameters
    sizes: Sizes

    @property
    def batch(self) -> int:
        return self.parameters.batch or super().batch

    def arms(self, family: Family, length: int | None = None) -> tuple[Arm, ...]:
        return self.cross({name: Optimizer(name=name) for name in OPTIMIZERS[family]}, ("none", "ramp"), length)

    def probe(self, family: Family) -> Experiment:
        updates = min(self.sizes.probed[-1], self.updates)
        return self.experiment(
            "probe",
            self.arms(family, min(updates, self.warmup)),
            PROBED_LR[family],
            updates=updates,
            evaluate_every=updates,
            probed=tuple(update for update in self.sizes.probed if update <= updates),
            probes=("update_size", "alignment"),
        )

    def audit(self) -> Experiment:
        plans = [
            self.schedule(warmup, AUDITED_UPDATES // 4, beta2=0.95, decay=decay)
            for warmup in AUDITED_WARMUPS
            for decay in DECAYS
        ]
        return self.experiment(
            "audit",
            [arm(f"{plan.warmup}/{plan.decay}", Optimizer(name="sgd"), plan) for plan in plans],
            PROBED_LR["sgd"],
            confirmation_seeds=self.confirmation_seeds[:AUDITED_SEEDS],
            updates=AUDITED_UPDATES,
            evaluate_every=1,
        )
