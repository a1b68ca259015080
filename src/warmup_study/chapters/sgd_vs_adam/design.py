"""Design of the first chapter: the core grid without its longer runs, the first updates one by one, and an audit."""

from collections.abc import Iterator

from pydantic import Field

from warmup_study.chapters import core_grid, design
from warmup_study.chapters.design import Family, arm
from warmup_study.parameters import RunParameters, Whole
from warmup_study.training.experiment import Experiment
from warmup_study.training.optimizers import Optimizer

PARTS = {
    core_grid.PART: core_grid.TITLE,
    "probe": "the first updates, one by one, at a moderate learning rate",
    "audit": "every warmup with every decay, checked update by update",
}
OPTIMIZERS: dict[Family, tuple[str, ...]] = {"sgd": ("sgd", "momentum"), "adaptive": ("rmsprop", "adam")}
PROBED_LR: dict[Family, float] = {"sgd": 0.1, "adaptive": 0.001}  # the libraries' common defaults
AUDITED_WARMUPS = ("none", "zero", "constant", "ramp", "polynomial", "exponential", "untuned")
DECAYS = ("constant", "cosine", "inverse_sqrt")
AUDITED_UPDATES, AUDITED_SEEDS = 80, 5


class Parameters(RunParameters):
    """What the notebook takes."""

    batch: Whole = Field(0, ge=0, le=1024, description="a whole number from 0 (the task's) to 1024")


class Sizes(design.RunSizes):
    """How large the chapter's own parts are: their ``tasks``, and the updates that are ``probed`` one by one."""

    probed: tuple[int, ...]


# The chapter's own parts under full: 4 tasks x 4 optimisers x 60 seeds x 100 updates with 40 full-batch gradients, 4 to
# 6 minutes of two cores. Expected half-widths of the 95 % intervals: 0.02 in the log size, 0.02 in the cosine.
SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-he16", "mnist1d-conv", "digits-transformer"),
    },
    **core_grid.LENGTHS,
    seeds={"smoke": 2, "quick": 12, "full": 60},
    points_per_decade={"smoke": 1, "quick": 4, "full": 4},
    probed={
        "smoke": (1, 2, 3, 4),
        "quick": (*range(1, 11), *range(15, 101, 5)),
        "full": (*range(1, 21), *range(24, 101, 4)),
    },
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The core grid, the probed first updates of each task, and the audit of all schedules on the first."""
    for cell in core_grid.experiments(parameters, longer=False):
        yield cell.model_copy(update={"batch": parameters.batch}) if parameters.batch else cell
    sizes = SIZES[parameters.preset]
    names = parameters.task_names or sizes.tasks
    for name in names:
        plan = _Design.on(name, parameters, sizes)
        yield from map(plan.probe, OPTIMIZERS)
        if name == names[0]:  # schedules are the same on every task, and the runs above are audited, too
            yield plan.audit()


class _Design(design.Design):
    parameters: Parameters
    sizes: Sizes

    @property
    def batch(self) -> int:
        return self.parameters.batch or super().batch

    def probe(self, family: Family) -> Experiment:
        updates = min(self.sizes.probed[-1], self.updates)
        rules = {name: Optimizer.model_validate({"name": name}) for name in OPTIMIZERS[family]}
        return self.experiment(
            "probe",
            self.cross(rules, ("none",)),
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
            seeds=self.seeds[:AUDITED_SEEDS],
            updates=AUDITED_UPDATES,
            evaluate_every=1,
        )
