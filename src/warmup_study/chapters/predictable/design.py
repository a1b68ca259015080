"""Design of the eleventh chapter: a short probe of every cell of the core grid, to predict where a ramp pays there.

This is the pilot of the claim: it asks whether any cheap measurement ranks cells and learning rates better than the
bare learning rate does. Only if one does are tasks generated to judge a formula on (`tasks.generated`).

Beside the core grid ``full`` takes some minutes: thirty updates a run, and a hundred forward passes a probe.
"""

from collections.abc import Iterator

from warmup_study.chapters import core_grid, design
from warmup_study.chapters.core_grid import Core
from warmup_study.chapters.design import arm
from warmup_study.parameters import RunParameters
from warmup_study.training.experiment import Experiment
from warmup_study.training.probes import ProbeName
from warmup_study.training.schedules import Schedule

PARTS = {
    core_grid.PART: core_grid.TITLE,
    "probe": "the first updates at a small learning rate, probed along the way",
}
PROBED = (1, 3, 10, 30)
"""Updates after which a run is looked at: at the start, and along the short probe."""
PROBES: tuple[ProbeName, ...] = ("critical_lr", "gradient_snr", "update_angle")


class Parameters(RunParameters):
    """What the notebook takes."""


class Sizes(design.Sizes):
    """How large the chapter is; ``optimizers`` are those of the core grid that it looks at.

    ``probed_seeds`` of the grid's seeds are probed: the measurements vary little over seeds.
    """

    optimizers: tuple[str, ...]
    probed_seeds: int


SIZES = Sizes.by_preset(
    tasks={preset: sizes.tasks for preset, sizes in core_grid.SIZES.items()},
    optimizers={"smoke": ("sgd", "adam"), "quick": ("sgd", "adam"), "full": tuple(core_grid.OPTIMIZERS)},
    seeds={preset: sizes.seeds for preset, sizes in core_grid.SIZES.items()},
    points_per_decade={preset: sizes.points_per_decade for preset, sizes in core_grid.SIZES.items()},
    probed_seeds={"smoke": 2, "quick": 2, "full": 8},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task and optimiser: the core grid's cell, and the probe of it."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        yield from core_grid.experiments(parameters, (task,), sizes.optimizers, longer=False)
        plan = _Probed.on(task, parameters, core_grid.SIZES[parameters.preset])
        yield from (plan.probe(name, sizes.probed_seeds) for name in sizes.optimizers if plan.holds(name))


class _Probed(Core):
    """The probe of one task's cells."""

    def probe(self, optimizer: str, seeds: int) -> Experiment:
        """Thirty updates without warmup, at the lowest learning rate of the cell's grid."""
        updates = min(PROBED[-1], self.updates)
        return self.experiment(
            "probe",
            [arm(f"{optimizer}/none", core_grid.OPTIMIZERS[optimizer], Schedule())],
            float(self.grid(optimizer)[0]),
            seeds=self.seeds[:seeds],
            updates=updates,
            evaluate_every=updates,
            probed=[update for update in PROBED if update <= updates],
            probes=PROBES,
        )
