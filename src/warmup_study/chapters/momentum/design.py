"""Design of the third chapter: SGD with and without momentum over depth and batch size, and both forms of momentum."""

from collections.abc import Iterator

from pydantic import Field

from warmup_study.chapters import core_grid, design
from warmup_study.chapters.core_grid import Core
from warmup_study.chapters.design import Bracket
from warmup_study.parameters import BatchSizes, RunParameters, Share
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer

PARTS = {
    core_grid.PART: core_grid.TITLE,
    "forms": "forms of momentum that the core grid lacks",
    "batch": "SGD with and without momentum at other batch sizes",
    "probe": "the velocity, update by update, until shortly after warmup",
}
FORMS = ("momentum", "momentum_lr_inside")  # v ← μv + g, θ ← θ − ηv; and v ← μv + ηg, θ ← θ − v
USUAL = 0.9  # the core grid's momentum
PROBED_LR = 0.1  # effective: the step that settled momentum takes along a steady gradient
PROBED_WARMUP = 30  # updates: a velocity with μ = 0.9 has gathered all but 4 % of its length
PROBED_AFTER, PROBED_EVERY = 20, 10


class Parameters(RunParameters):
    """What the notebook takes."""

    momentum: Share = Field(USUAL, description="a number above 0 and below 1")
    batches: BatchSizes = Field((), description="whole numbers from 1 to 1024 joined by commas (empty: the preset's)")


class Sizes(design.RunSizes):
    """How large the chapter is at the ``batches`` beside each task's own, which the core grid has.

    What differs on a task at a batch size is called ``task at size``; ``bracket`` holds its learning rates.
    """

    batches: tuple[int, ...]
    bracket: Bracket | None = None


# Planned for half-widths of a third of the margins or less, 0.03 decades and 3 % of the loss, as the spread over seeds
# in a pilot promised: with 60 seeds, 24 where a batch is costly. Own parts: 9 minutes, of which 1,024 examples take 6.
FULL = {
    "digits-mlp at 16": {"bracket": (0.0562, 3.17)},
    "digits-he16 at 16": {"bracket": (0.01, 1.0)},
    "digits-mlp at 1024": {"bracket": (0.1, 10.0), "updates": 500, "warmup": 25, "seeds": 24},
    "digits-he16 at 1024": {"bracket": (0.01, 1.78), "updates": 500, "warmup": 25, "seeds": 24},
}
QUICK = {"digits-he8 at 16": {"bracket": (0.0316, 1.0)}}
SIZES = Sizes.by_preset(
    tasks={"smoke": ("digits-he2",), "quick": ("digits-he8",), "full": ("digits-mlp", "digits-he16")},
    updates={"smoke": 20, "quick": 150, "full": 1000},
    warmup={"smoke": 5, "quick": 8, "full": 50},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    evaluations={"smoke": 5, "quick": 4, "full": 5},
    batches={"smoke": (16,), "quick": (16,), "full": (16, 1024)},
    seeds={"smoke": 2, "quick": 5, "full": 60},
    own={"quick": QUICK, "full": FULL},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the core grid's cells of SGD and momentum, the other form, other batches, the velocity."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        usual = parameters.momentum == USUAL
        yield from core_grid.experiments(parameters, (task,), ("sgd", "momentum") if usual else ("sgd",))
        grid = _Forms.on(task, parameters, core_grid.SIZES[parameters.preset])
        yield from grid.forms(FORMS[1:] if usual else FORMS)
        for batch in parameters.batches or sizes.batches:
            if batch != grid.batch:
                yield _Batch.on(task, parameters, sizes.on(f"{task} at {batch}")).pairs(batch)
        yield grid.probe()


class _Forms(Core):
    """Forms of momentum on one task, at the lengths and learning rates of its core grid."""

    parameters: Parameters

    def forms(self, names: tuple[str, ...]) -> Iterator[Experiment]:
        """Without warmup, with a ramp, and at lr = 0 with as many extra updates as it idles away."""
        lrs = self.lrs("sgd", self.sizes.brackets.get("momentum"))
        yield self.experiment("forms", self._arms(names, ("none", "ramp")), lrs)
        yield self.experiment("forms", self._arms(names, ("zero+n",)), lrs, updates=self.updates + self.warmup)

    def _arms(self, names: tuple[str, ...], warmups: tuple[str, ...]) -> list[Arm]:
        return [
            design.arm(f"{name}/{warmup}", _rule(name, self.parameters), self.decaying(warmup.removesuffix("+n")))
            for name in names
            for warmup in warmups
        ]

    def probe(self) -> Experiment:
        """Both forms under every warmup at one learning rate, each update looked at."""
        length = min(PROBED_WARMUP, self.warmup)
        updates = length + PROBED_AFTER
        rules = {name: _rule(name, self.parameters) for name in FORMS}
        return self.experiment(
            "probe",
            self.cross(rules, ("none", "zero", "constant", "ramp"), length),
            PROBED_LR,
            updates=updates,
            evaluate_every=PROBED_EVERY,
            probed=tuple(range(1, updates + 1)),
            probes=("update_norm", "alignment", "velocity_norm", "velocity_alignment"),
        )


class _Batch(design.Design):
    """SGD without and with momentum on one task at a batch size that is not its own."""

    parameters: Parameters
    sizes: Sizes

    def pairs(self, batch: int) -> Experiment:
        """Both without warmup and under a ramp."""
        arms = [
            design.arm(f"{name}/{warmup}", _rule(name, self.parameters), self.decaying(warmup))
            for name in ("sgd", "momentum")
            for warmup in ("none", "ramp")
        ]
        return self.experiment("batch", arms, self.lrs("sgd", self.sizes.bracket), batch=batch)


def _rule(name: str, parameters: Parameters) -> Optimizer:
    momentum = {} if name == "sgd" else {"momentum": parameters.momentum}
    return Optimizer.model_validate({"name": name} | momentum)
