"""The core grid: optimisers x warmups x learning rates x seeds on tasks of every regime, shared by several chapters.

A cell is an optimiser on a task. Its learning rates run from a quarter of the best rate to where neither arm trains, as
the pilot found them; costly cells take fewer seeds and rates, as their variances allow (``PLANS``). An experiment holds
all warmups of a cell: chapters take whole experiments and select rows, so that nothing is trained twice.
"""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket, Family, arm
from warmup_study.parameters import RunParameters
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PART = "core"
TITLE = "all optimisers and warmups over a grid of learning rates"
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(name="sgd"),
    "momentum": Optimizer(name="momentum", momentum=0.9),
    "rmsprop": Optimizer(name="rmsprop"),
    "adam0": Optimizer(name="adam", beta1=0.0),
    "adam": Optimizer(name="adam"),
}
"""By the first part of an arm's label; ``adam0`` is Adam without its first moment: "momentum off"."""
WARMUPS = ("none", "zero", "constant", "ramp")
LONGER = ("zero", "constant")  # take n updates more in ``zero+n`` and ``constant+n``: as many active ones as ``none``
WITH_LONGER = ("momentum", "adam")  # of the optimisers: those that a claim compares at equal active updates
WARMUP = 0.05  # of the updates


class Sizes(design.RunSizes):
    """How large the grid is on one task; ``brackets`` by optimiser hold the cells that there are."""

    brackets: Mapping[str, Bracket] = Field(default_factory=dict)


def _plan(updates: int, seeds: int, *, points_per_decade: int = 4, **brackets: Bracket) -> dict[str, object]:
    """What one task has of its own under ``full``."""
    warmup = round(WARMUP * updates)
    return {
        "updates": updates,
        "warmup": warmup,
        "seeds": seeds,
        "points_per_decade": points_per_decade,
        "brackets": brackets,
    }


PLANS: dict[str, dict[str, object]] = {
    "digits-mlp": _plan(
        1000, 60, sgd=(0.1, 3.2), momentum=(0.1, 5.6), rmsprop=(6e-4, 0.18), adam0=(1e-3, 0.18), adam=(1.8e-3, 0.32)
    ),
    "digits-he16": _plan(
        2000, 60, sgd=(5.6e-3, 1.0), momentum=(0.018, 1.8), rmsprop=(6e-4, 0.032), adam0=(6e-4, 0.056), adam=(1e-3, 0.1)
    ),
    "mnist1d-conv": _plan(
        2000, 60, sgd=(0.1, 3.2), momentum=(0.56, 10), rmsprop=(1.8e-3, 0.18), adam0=(1.8e-3, 0.32), adam=(5.6e-3, 0.56)
    ),
    "digits-transformer": _plan(
        2000, 24, sgd=(0.056, 1.0), momentum=(0.1, 1.8), rmsprop=(6e-4, 0.056), adam0=(6e-4, 0.056), adam=(1.8e-3, 0.1)
    ),
    "digits-transformer-6": _plan(600, 24, adam=(1e-3, 0.032)),
    "digits-transformer-pre-6": _plan(1200, 24, adam=(6e-4, 0.1)),
    "text-transformer-4": _plan(1000, 24, sgd=(0.32, 3.2), adam=(3.2e-3, 0.056)),
    "mnist1d-conv-1024": _plan(400, 24, momentum=(0.56, 10), adam=(5.6e-3, 0.56)),
}
"""Updates, seeds and brackets (effective learning rates under momentum), as the pilot's results ask for.

Plain SGD has no cell at a batch of 1,024 and with six blocks: in the pilot, its losses at twice the updates were a
third to a half of what they were at these. Six pre-LN blocks take twice as many updates as six post-LN ones under Adam,
too: at 600 their loss was a quarter higher than at 1,200.
"""
BEST_LRS = {
    "digits-mlp": 0.0178,
    "digits-he16": 0.00562,
    "mnist1d-conv": 0.0316,
    "mnist1d-conv-1024": 0.0215,
    "digits-transformer": 0.01,
    "digits-transformer-6": 0.00562,
    "digits-transformer-pre-6": 0.00215,
    "text-transformer-4": 0.01,
}
"""Adam's best learning rates without warmup, as the pilot found them."""
QUICK = {
    "digits-transformer": {
        "updates": 320,
        "warmup": 16,
        "seeds": 12,
        "points_per_decade": 4,
        "brackets": {"sgd": (0.32, 1.0), "adam": (5.6e-3, 0.056)},
    },
    "digits-he8": {
        "updates": 150,
        "warmup": 8,
        "seeds": 5,
        "brackets": {"sgd": (0.0316, 1.0), "momentum": (0.0316, 1.0)},
    },
    "digits-mlp": {"seeds": 5},
}
"""The Transformer's cells are large enough to be compiled and to decide what is large; the others stay below both."""
LENGTHS = {
    "updates": {"smoke": 20, "quick": 200, "full": 1000},
    "warmup": {"smoke": 5, "quick": 10, "full": 50},
}
"""Where a task has none of its own: also of what chapters train beside the grid."""
SIZES = Sizes.by_preset(
    **LENGTHS,
    tasks={"smoke": ("digits-mlp",), "quick": ("digits-transformer",), "full": tuple(PLANS)},
    seeds={"smoke": 2, "quick": 6, "full": 60},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    evaluations={"smoke": 5, "quick": 10, "full": 10},
    own={"quick": QUICK, "full": PLANS},
)


def experiments(
    parameters: RunParameters,
    names: Sequence[str] = (),
    optimizers: Sequence[str] = tuple(OPTIMIZERS),
    *,
    longer: bool = True,
) -> Iterator[Experiment]:
    """The cells of these optimisers on these tasks, or on those that were asked for, or on the preset's.

    Under ``full`` a task of the plan has the optimisers that the plan gives it; any other task has all that are asked
    for. ``longer`` adds ``zero+n`` and ``constant+n`` to `WITH_LONGER`.
    """
    sizes = SIZES[parameters.preset]
    for name in names or parameters.task_names or sizes.tasks:
        plan = Core.on(name, parameters, sizes)
        for optimizer in optimizers:
            if plan.holds(optimizer):
                yield plan.cell(optimizer)
                if longer and optimizer in WITH_LONGER:
                    yield plan.longer(optimizer)


class Core(design.Design):
    """The grid on one task."""

    sizes: Sizes

    def holds(self, optimizer: str) -> bool:
        """Whether the plan has this optimiser on the task."""
        return not self.sizes.brackets or optimizer in self.sizes.brackets

    def cell(self, optimizer: str) -> Experiment:
        """All warmups of an optimiser, for as many updates as the task takes."""
        return self._of(optimizer, [(warmup, self.decaying(warmup)) for warmup in WARMUPS], self.updates)

    def longer(self, optimizer: str) -> Experiment:
        """The warmups that make little or no progress, with as many extra updates as they last."""
        arms = [(f"{warmup}+n", self.decaying(warmup)) for warmup in LONGER]
        return self._of(optimizer, arms, self.updates + self.warmup)

    def _of(self, optimizer: str, schedules: Sequence[tuple[str, Schedule]], updates: int) -> Experiment:
        rule = OPTIMIZERS[optimizer]
        arms: list[Arm] = [arm(f"{optimizer}/{warmup}", rule, schedule) for warmup, schedule in schedules]
        return self.experiment(PART, arms, self.grid(optimizer), updates=updates)

    def grid(self, optimizer: str) -> tuple[float, ...]:
        """The learning rates of a cell, where no others are asked for."""
        family: Family = "sgd" if OPTIMIZERS[optimizer].kernel == "momentum" else "adaptive"
        return self.lrs(family, self.sizes.brackets.get(optimizer))
