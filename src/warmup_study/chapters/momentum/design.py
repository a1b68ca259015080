"""Design of the third chapter: both forms of momentum under every warmup, over depth and batch size, and their kin."""

from collections.abc import Iterator

from pydantic import Field

from warmup_study.chapters import design
from warmup_study.parameters import BatchSizes, RunParameters, Share
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer

PARTS = {
    "grid": "plain SGD and both forms of momentum, over a grid of learning rates",
    "zero": "lr = 0 with the updates made up for that it idles away",
    "batch": "SGD without and with momentum at other batch sizes",
    "adam": "Adam with and without its first moment, over its own grid",
    "probe": "the velocity update by update, to some updates after the warmup's end",
}
FORMS = ("momentum", "momentum_lr_inside")  # v ← μv + g, θ ← θ − ηv; and v ← μv + ηg, θ ← θ − v
PAIR = ("none", "ramp")
PROBED_LR = 0.1  # effective: the step that settled momentum takes along a steady gradient
PROBED_WARMUP = 30  # updates: a velocity with μ = 0.9 has gathered all but 4 % of its length
PROBED_AFTER, PROBED_EVERY = 20, 10


class Parameters(RunParameters):
    """What the notebook takes."""

    momentum: Share = Field(0.9, description="a number above 0 and below 1")
    batches: BatchSizes = Field((), description="whole numbers from 1 to 1024 joined by commas (empty: the preset's)")


class Sizes(design.RunSizes):
    """How large the chapter is.

    ``further`` counts the tasks, from the first on, on which the arms beyond the claims' own are trained, too; of
    ``batches`` the middle one is the chapter's usual batch.
    """

    further: int
    adam_points_per_decade: int
    batches: tuple[int, ...]


SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-he2",),
        "quick": ("digits-he2", "digits-he8"),
        "full": ("digits-he2", "digits-he4", "digits-he8"),
    },
    further={"smoke": 1, "quick": 1, "full": 3},
    updates={"smoke": 20, "quick": 128, "full": 300},
    warmup={"smoke": 5, "quick": 24, "full": 60},
    points_per_decade={"smoke": 1, "quick": 2, "full": 3},
    adam_points_per_decade={"smoke": 1, "quick": 1, "full": 2},
    evaluations={"smoke": 5, "quick": 4, "full": 5},
    batches={"smoke": (16, 64), "quick": (16, 64), "full": (16, 64, 256)},
    selection_seeds={"smoke": 2, "quick": 4, "full": 8},
    confirmation_seeds={"smoke": 2, "quick": 6, "full": 20},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the grid at the usual batch, ``zero`` at equal active updates, other batches, Adam, the velocity."""
    sizes = SIZES[parameters.preset]
    for index, task in enumerate(parameters.task_names or sizes.tasks):
        plan, further = _Design.on(task, parameters, sizes), index < sizes.further
        picking = {"selection_seeds": plan.selection_seeds}
        claimed = plan.plain() + plan.forms(("none", "constant", "ramp"))
        sgd, adam = plan.lrs("sgd"), plan.lrs("adaptive", points_per_decade=sizes.adam_points_per_decade)
        idle = plan.updates + plan.warmup
        yield plan.experiment("grid", claimed + plan.kin() if further else claimed, sgd, **picking)
        yield plan.experiment("zero", plan.forms(("zero",)), sgd, updates=idle, **picking)
        for batch in (size for size in plan.batches if size != plan.batch):  # where nothing is picked
            yield plan.experiment("batch", plan.plain() + plan.forms(PAIR, names=FORMS[:1]), sgd, batch=batch)
        if further:
            yield plan.experiment("adam", plan.adam(), adam, **picking)
        yield plan.probe()


class _Design(design.Design):
    parameters: Parameters
    sizes: Sizes

    @property
    def batches(self) -> tuple[int, ...]:
        return self.parameters.batches or self.sizes.batches

    @property
    def batch(self) -> int:
        return self.batches[len(self.batches) // 2]

    def plain(self) -> tuple[Arm, ...]:
        return self.cross({"sgd": Optimizer(name="sgd")}, PAIR)

    def forms(
        self, warmups: tuple[str, ...], length: int | None = None, names: tuple[str, ...] = FORMS
    ) -> tuple[Arm, ...]:
        momentum = self.parameters.momentum
        rules = {name: Optimizer.model_validate({"name": name, "momentum": momentum}) for name in names}
        return self.cross(rules, warmups, length)

    def kin(self) -> tuple[Arm, ...]:
        """Nesterov's momentum, and a momentum that is itself ramped up."""
        momentum = self.parameters.momentum
        ramped = Optimizer(name="momentum", momentum=momentum, momentum_ramp=self.warmup)
        return self.cross({"nesterov": Optimizer(name="nesterov", momentum=momentum), "ramped": ramped}, PAIR)

    def adam(self) -> tuple[Arm, ...]:
        """Adam without and with its first moment."""
        return self.cross({"adam0": Optimizer(name="adam", beta1=0.0), "adam": Optimizer(name="adam")}, PAIR)

    def probe(self) -> Experiment:
        length = min(PROBED_WARMUP, self.warmup)
        updates = length + PROBED_AFTER
        return self.experiment(
            "probe",
            self.forms(("none", "zero", "constant", "ramp"), length),
            PROBED_LR,
            updates=updates,
            evaluate_every=PROBED_EVERY,
            probed=tuple(range(1, updates + 1)),
            probes=("update_norm", "alignment", "velocity_norm", "velocity_alignment"),
        )
