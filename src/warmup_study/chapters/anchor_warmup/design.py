"""Design of the seventh chapter: a detector under a pull to its anchors, under a ramp of the rate, both and neither."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters.sizes import Seeds, bracket, device_of, warmup_within
from warmup_study.errors import StudyError
from warmup_study.parameters import GridParameters, Positive
from warmup_study.training.auxiliary import NO_AUXILIARY, Auxiliary
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

MOMENTUM = 0.9  # Darknet's
FAMILIES = {"momentum": "sgd", "adam": "adaptive"}
KERAS_WEIGHT = 1.0  # re-implementations in Keras give the pull the weight of the real boxes
PICTURED = 4  # test canvases whose predictions are kept


class Parameters(GridParameters):
    """What the notebook takes."""

    weight: Positive = Field(0.01, description="a positive number")


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is under one preset.

    ``warmup`` is the length of both kinds, in updates, ``points_per_decade`` the density of the grids (0: one rate
    alone).
    """

    tasks: tuple[str, ...]
    updates: int
    warmup: int
    points_per_decade: int
    evaluations: int
    seeds: Seeds


SIZES = {
    "smoke": Sizes(("detection",), 10, 2, 0, 10, Seeds(2, 2)),
    "quick": Sizes(("detection",), 80, 16, 2, 10, Seeds(2, 5)),
    "full": Sizes(("detection", "detection-scraps"), 160, 32, 2, 20, Seeds(4, 32)),
}


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: a grid for each optimiser, and what Adam predicts when warmup ends, as a picture."""
    for task in parameters.task_names or SIZES[parameters.preset].tasks:
        if "box_curve" not in tasks.load(task).measures:
            raise StudyError(f"task: got {task!r}; this chapter takes detection tasks, such as detection")
        for optimizer in FAMILIES:
            yield _grid(task, optimizer, parameters)
        yield _picture(task, parameters)


def run_length(parameters: Parameters) -> int:
    """Updates of each run."""
    return parameters.updates or SIZES[parameters.preset].updates


def warmup_length(parameters: Parameters) -> int:
    """Updates of either warmup."""
    return warmup_within(parameters, SIZES[parameters.preset].warmup, run_length(parameters))


def _arms(optimizer: str, parameters: Parameters) -> tuple[Arm, ...]:
    """Neither warmup, each alone, both, and the strong pull; momentum at the matched effective rate."""
    n = warmup_length(parameters)
    weak, strong = (Auxiliary(weight=weight, updates=n) for weight in (parameters.weight, KERAS_WEIGHT))
    flat, ramp = Schedule(), Schedule(warmup="ramp", length=n)
    conditions = {
        "none": (flat, NO_AUXILIARY),
        "anchor": (flat, weak),
        "ramp": (ramp, NO_AUXILIARY),
        "both": (ramp, weak),
        "keras": (flat, strong),
    }
    return tuple(
        Arm(
            label=f"{optimizer}/{name}",
            optimizer=Optimizer.model_validate({"name": optimizer}),
            schedule=schedule,
            auxiliary=auxiliary,
            lr_scale=1 - MOMENTUM if optimizer == "momentum" else 1.0,
        )
        for name, (schedule, auxiliary) in conditions.items()
    )


def _lrs(task: str, optimizer: str, parameters: Parameters) -> tuple[float, ...]:
    density = SIZES[parameters.preset].points_per_decade
    grid = lr_grid(*bracket(task, FAMILIES[optimizer]), density or 1)
    return parameters.lrs or (grid if density else grid[len(grid) // 2 :][:1])


def _grid(task: str, optimizer: str, parameters: Parameters) -> Experiment:
    """All arms over the bracketing grid of one optimiser."""
    return _experiment(
        "grid",
        task,
        optimizer,
        parameters,
        lrs=_lrs(task, optimizer, parameters),
        updates=run_length(parameters),
        evaluate_every=max(1, run_length(parameters) // SIZES[parameters.preset].evaluations),
        **SIZES[parameters.preset].seeds.of(parameters),
    )


def _picture(task: str, parameters: Parameters) -> Experiment:
    """One seed of Adam at the middle rate, stopped where warmup ends."""
    rates, n = _lrs(task, "adam", parameters), warmup_length(parameters)
    seeds = SIZES[parameters.preset].seeds.of(parameters)["confirmation_seeds"]
    settings: dict[str, Any] = {"lrs": rates[len(rates) // 2 :][:1], "confirmation_seeds": seeds[:1]}
    return _experiment("picture", task, "adam", parameters, updates=n, evaluate_every=n, outputs_kept=PICTURED, **settings)


def _experiment(part: str, task: str, optimizer: str, parameters: Parameters, **settings: Any) -> Experiment:
    return Experiment(
        part=part,
        task=task,
        arms=_arms(optimizer, parameters),
        batch=tasks.load(task).batch,
        device=device_of(parameters),
        **settings,
    )
