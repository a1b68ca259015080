"""Design of the seventh chapter: a detector under a pull to its anchors, a ramp of the learning rate, both, neither."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket, Family, arm
from warmup_study.errors import StudyError
from warmup_study.parameters import Positive, RunParameters
from warmup_study.training.auxiliary import NO_AUXILIARY, Auxiliary
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PARTS = {
    "grid": "each warmup, both and neither, over a grid of learning rates",
    "picture": "predicted boxes when warmup ends, under Adam",
}
FAMILIES: dict[str, Family] = {"momentum": "sgd", "adam": "adaptive"}
BRACKETS: dict[Family, Bracket] = {"sgd": (0.178, 3.17), "adaptive": (0.00316, 0.0317)}
KERAS_WEIGHT = 1.0  # re-implementations in Keras give the pull the weight of the real boxes
PICTURED = 4  # test canvases whose predictions are kept


class Parameters(RunParameters):
    """What the notebook takes."""

    weight: Positive = Field(0.01, description="a positive number")


class Sizes(design.RunSizes):
    """How large the chapter is; ``one_lr``: of each grid its middle alone."""

    one_lr: bool = False


# Planned from the spread in the exploratory round, standard deviations of the paired log ratio of 0.02 (weak pull) and
# 0.05 (full weight): half-widths of 0.005 and 0.015, a quarter and three quarters of the margin, each over tasks and
# optimisers. About 12 minutes.
SIZES = Sizes.by_preset(
    tasks={"smoke": ("detection",), "quick": ("detection",), "full": ("detection", "detection-scraps")},
    updates={"smoke": 10, "quick": 60, "full": 300},
    warmup={"smoke": 2, "quick": 12, "full": 60},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    one_lr={"smoke": True},
    evaluations={"smoke": 10, "quick": 6, "full": 20},
    seeds={"smoke": 2, "quick": 5, "full": 20},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: a grid for each optimiser, and what Adam predicts when warmup ends, as a picture."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        if "box_curve" not in tasks.load(task).measures:
            raise StudyError(f"task: got {task!r}; this chapter takes detection tasks, such as detection")
        plan = _Design.on(task, parameters, sizes)
        for optimizer, family in FAMILIES.items():
            grid = (plan.middle(family),) if sizes.one_lr else plan.lrs(family)
            yield plan.experiment("grid", plan.arms(optimizer), grid)
        yield plan.picture()


class _Design(design.Design):
    parameters: Parameters
    brackets: ClassVar[Mapping[str, Mapping[Family, Bracket]]] = {"detection": BRACKETS, "detection-scraps": BRACKETS}

    def middle(self, family: Family) -> float:
        grid = self.lrs(family)
        return grid[len(grid) // 2]

    def arms(self, optimizer: str) -> list[Arm]:
        rule, n = Optimizer.model_validate({"name": optimizer}), self.warmup
        weak, strong = (Auxiliary(weight=weight, updates=n) for weight in (self.parameters.weight, KERAS_WEIGHT))
        flat, ramp = Schedule(), self.schedule("ramp")
        conditions = {
            "none": (flat, NO_AUXILIARY),
            "anchor": (flat, weak),
            "ramp": (ramp, NO_AUXILIARY),
            "both": (ramp, weak),
            "keras": (flat, strong),
        }
        return [
            arm(f"{optimizer}/{name}", rule, schedule, auxiliary=auxiliary)
            for name, (schedule, auxiliary) in conditions.items()
        ]

    def picture(self) -> Experiment:
        """From one seed at the middle of the grid, stopped where warmup ends."""
        return self.experiment(
            "picture",
            self.arms("adam"),
            self.middle("adaptive"),
            seeds=self.seeds[:1],
            updates=self.warmup,
            evaluate_every=self.warmup,
            outputs_kept=PICTURED,
        )
