"""Design of the tenth chapter: newer optimisers without warmup, with a ramp, and with a ramp of the momentum instead.

Lion and signSGD step by the sign of an averaged gradient, Muon by the orthogonal factor of one; Adagrad, whose steps
shrink by themselves, is the control that should need no warmup. Lengths, seeds and decay are the core grid's, whose
Adam serves as reference. A pilot on seeds of its own laid out the brackets: three seeds (9,200 to 9,202), runs of 500
updates, three learning rates a decade; then two more seeds at the full length, at either end of the brackets.

Beside the core grid ``full`` takes some 14,300 runs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from warmup_study.chapters import core_grid, design
from warmup_study.chapters.design import Bracket, arm
from warmup_study.parameters import RunParameters
from warmup_study.paths import PRESETS
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import SETTINGS, Optimizer

PARTS = {
    core_grid.PART: core_grid.TITLE,
    "grid": "newer optimisers without warmup, with a ramp and with a momentum ramp, over a grid of learning rates",
}
ADAM = "adam"
NEWER = ("lion", "signsgd", "muon")
CONTROL = "adagrad"
OPTIMIZERS = (*NEWER, CONTROL)
WARMUPS = ("none", "ramp", "momentum")
"""The last ramps the momentum (Lion's β1) from 0 over as many updates, at the full learning rate."""
FACTORS = {"lion": 0.2, "signsgd": 0.4, "muon": 1.0, CONTROL: 5.6, ADAM: 1.0}
"""Rough ratio of an optimiser's learning rates to Adam's in the pilot, for tasks without a bracket of their own."""


class Parameters(RunParameters):
    """What the notebook takes."""


class Sizes(design.RunSizes):
    """How large the chapter is on one task; ``brackets`` hold the learning rates by optimiser."""

    brackets: Mapping[str, Bracket] = Field(default_factory=dict)


BRACKETS: dict[str, dict[str, Bracket]] = {
    "digits-mlp": {"lion": (1.8e-4, 0.032), "signsgd": (3.2e-4, 0.056), "muon": (1e-3, 0.18), CONTROL: (0.01, 1.8)},
    "digits-he16": {
        "lion": (1.8e-4, 0.01),
        "signsgd": (1.8e-4, 0.01),
        "muon": (5.6e-4, 0.032),
        CONTROL: (3.2e-3, 0.32),
    },
    "digits-transformer": {
        "lion": (3.2e-4, 0.018),
        "signsgd": (3.2e-4, 0.032),
        "muon": (1.8e-3, 0.32),
        CONTROL: (0.01, 0.56),
    },
}
"""From a quarter of the best learning rate to where the optimiser trains neither with warmup nor without."""
QUICK: dict[str, Bracket] = {
    "lion": (3.2e-3, 0.032),
    "signsgd": (3.2e-3, 0.032),
    "muon": (0.01, 0.1),
    CONTROL: (0.032, 0.32),
    ADAM: (3.2e-3, 0.032),
}
"""About the best learning rate on the Transformer, and well above it."""


def _own(preset: str) -> dict[str, dict[str, Any]]:
    """What each task has of its own: under ``full`` the core grid's lengths and seeds, so that Adam's runs are shared.

    Under ``quick`` runs are shorter than the core grid's, and Adam trains with the others.
    """
    own: dict[str, dict[str, Any]] = {name: {"brackets": brackets} for name, brackets in BRACKETS.items()}
    if preset == "quick":
        return own | {"digits-transformer": {"brackets": QUICK}}
    for name, mine in own.items():
        core = core_grid.SIZES[preset].on(name)
        mine |= {field: getattr(core, field) for field in ("updates", "warmup", "seeds")}
    return own


SIZES = Sizes.by_preset(
    tasks={"smoke": ("digits-mlp",), "quick": ("digits-transformer",), "full": tuple(BRACKETS)},
    updates=core_grid.LENGTHS["updates"] | {"quick": 100},
    warmup=core_grid.LENGTHS["warmup"] | {"quick": 5},
    seeds={"smoke": 2, "quick": 5, "full": 60},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    own={preset: _own(preset) for preset in PRESETS},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Every optimiser on every task, and Adam: from the core grid where that has runs of the same length."""
    sizes = SIZES[parameters.preset]
    for name in parameters.task_names or sizes.tasks:
        plan = _Design.on(name, parameters, sizes)
        for optimizer in OPTIMIZERS:
            yield plan.cell(optimizer)
        if plan.shares_adam():
            yield from core_grid.experiments(parameters, (name,), (ADAM,), longer=False)
        else:
            yield plan.cell(ADAM)


class _Design(design.Design):
    sizes: Sizes

    def shares_adam(self) -> bool:
        """Whether the core grid trains Adam on this task from the same seeds for as many updates, warmed up alike."""
        core = core_grid.SIZES[self.parameters.preset]
        mine = self.sizes
        theirs = core.on(self.task)
        alike = (theirs.updates, theirs.warmup, theirs.seeds) == (mine.updates, mine.warmup, mine.seeds)
        return self.task in core.tasks and alike

    def cell(self, optimizer: str) -> Experiment:
        """All arms of an optimiser."""
        warmups = [warmup for warmup in WARMUPS if warmup != "momentum" or "momentum_ramp" in SETTINGS[optimizer]]
        return self.experiment("grid", [self._arm(optimizer, warmup) for warmup in warmups], self._lrs(optimizer))

    def _arm(self, optimizer: str, warmup: str) -> Arm:
        if warmup == "momentum":
            rule = Optimizer.model_validate({"name": optimizer, "momentum_ramp": self.warmup})
            return arm(f"{optimizer}/{warmup}", rule, self.decaying("none"))
        rule = Optimizer.model_validate({"name": optimizer})
        return arm(f"{optimizer}/{warmup}", rule, self.decaying(warmup))

    def _lrs(self, optimizer: str) -> tuple[float, ...]:
        """The optimiser's grid: over its bracket, or over Adam's, moved by the optimiser's factor."""
        bracket = self.sizes.brackets.get(optimizer)
        if bracket or self.parameters.lrs:
            return self.lrs("adaptive", bracket)
        usual, factor = self.lrs("adaptive"), FACTORS[optimizer]
        return lr_grid(usual[0] * factor, usual[-1] * factor, self.sizes.points_per_decade)
