"""Design of the first chapter: {SGD, SGD + momentum, RMSProp, Adam} x {no warmup, ramp} x learning rates x seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters.sizes import Seeds, bracket, device_of, warmup_within
from warmup_study.parameters import GridParameters, Whole
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

MOMENTUM = 0.9
FAMILIES = {"sgd": ("sgd", "momentum"), "adaptive": ("rmsprop", "adam")}
AUDITED_WARMUPS = ("none", "zero", "constant", "ramp", "polynomial", "exponential", "untuned")
DECAYS = ("constant", "cosine", "inverse_sqrt")
PROBED_LR = {"sgd": 0.1, "adaptive": 0.001}  # the libraries' common defaults
AUDITED_UPDATES, AUDITED_SEEDS = 80, 5


class Parameters(GridParameters):
    """What the notebook takes."""

    batch: Whole = Field(0, ge=0, le=1024, description="a whole number from 0 (the task's) to 1024")


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is on one task.

    ``warmup`` is the ramp's length in updates, ``points_per_decade`` the density of the grid of learning rates,
    ``probed`` the updates that are looked at one by one.
    """

    updates: int
    warmup: int
    points_per_decade: int
    evaluations: int
    seeds: Seeds
    probed: tuple[int, ...]


TASKS = {
    "smoke": ("digits-mlp",),
    "quick": ("digits-mlp",),
    "full": ("digits-mlp", "digits-deep", "mnist1d-mlp", "digits-transformer"),
}
SIZES = {
    "smoke": Sizes(20, 5, 1, 5, Seeds(2, 2), (1, 2, 3, 4)),
    "quick": Sizes(300, 60, 2, 10, Seeds(4, 8), (*range(1, 11), *range(15, 101, 5))),
    "full": Sizes(400, 80, 4, 10, Seeds(10, 20), (*range(1, 21), *range(24, 101, 4))),
}
COSTLY = {"digits-transformer": {"updates": 200, "warmup": 40, "points_per_decade": 2}}
"""Tasks on which an update costs many times as much, and the sizes that they do not exceed."""
FEWER_PROBED = (1, 2, 3, 5, 10, 20, 50, *range(60, 101, 10))  # each needs the gradient over all examples


def sizes_of(parameters: Parameters, task: str) -> Sizes:
    """The preset's sizes on a task, with the run's length as asked."""
    preset = SIZES[parameters.preset]
    limited = {name: min(limit, getattr(preset, name)) for name, limit in COSTLY.get(task, {}).items()}
    sizes = replace(preset, **limited)
    if task in COSTLY:
        sizes = replace(sizes, probed=tuple(update for update in sizes.probed if update in FEWER_PROBED))
    return replace(sizes, updates=parameters.updates or sizes.updates)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the learning-rate grids, the probed first updates, and the audit of all schedules."""
    for task in parameters.task_names or TASKS[parameters.preset]:
        for family in FAMILIES:
            yield _grid(task, family, parameters)
            yield _probe(task, family, parameters)
        if task not in COSTLY:  # schedules are the same on every task, and the runs above are audited, too
            yield _audit(task, parameters)


def _arms(family: str, length: int) -> tuple[Arm, ...]:
    """{no warmup, ramp} for each optimiser of a family; momentum at the matched effective rate η/(1−μ)."""
    return tuple(
        Arm(
            label=f"{optimizer}/{warmup}",
            optimizer=Optimizer(name=optimizer),
            schedule=Schedule(warmup=warmup, length=length if warmup == "ramp" else 0),
            lr_scale=1 - MOMENTUM if optimizer == "momentum" else 1.0,
        )
        for optimizer in FAMILIES[family]
        for warmup in ("none", "ramp")
    )


def _grid(task: str, family: str, parameters: Parameters) -> Experiment:
    """Every arm over the same bracketing grid of learning rates."""
    sizes = sizes_of(parameters, task)
    return Experiment(
        part="grid",
        task=task,
        arms=_arms(family, warmup_length(parameters, sizes)),
        lrs=parameters.lrs or lr_grid(*bracket(task, family), sizes.points_per_decade),
        updates=sizes.updates,
        batch=parameters.batch or tasks.load(task).batch,
        evaluate_every=max(1, sizes.updates // sizes.evaluations),
        device=device_of(parameters),
        **sizes.seeds.of(parameters),
    )


def _probe(task: str, family: str, parameters: Parameters) -> Experiment:
    """The first updates one by one, at a moderate learning rate."""
    sizes = sizes_of(parameters, task)
    updates = min(sizes.probed[-1], sizes.updates)
    return Experiment(
        part="probe",
        task=task,
        arms=_arms(family, min(updates, warmup_length(parameters, sizes))),
        lrs=(PROBED_LR[family],),
        confirmation_seeds=sizes.seeds.of(parameters)["confirmation_seeds"],
        updates=updates,
        batch=parameters.batch or tasks.load(task).batch,
        evaluate_every=updates,
        probed=tuple(update for update in sizes.probed if update <= updates),
        probes=("update_size", "alignment"),
        device=device_of(parameters),
    )


def _audit(task: str, parameters: Parameters) -> Experiment:
    """Every warmup under every decay, followed update by update."""
    updates, length = AUDITED_UPDATES, AUDITED_UPDATES // 4
    schedules = [
        Schedule(warmup=warmup, length=0 if warmup in {"none", "untuned"} else length, beta2=0.95, decay=decay)
        for warmup in AUDITED_WARMUPS
        for decay in DECAYS
    ]
    return Experiment(
        part="audit",
        task=task,
        arms=tuple(
            Arm(label=f"{plan.warmup}/{plan.decay}", optimizer=Optimizer(name="sgd"), schedule=plan)
            for plan in schedules
        ),
        lrs=(PROBED_LR["sgd"],),
        confirmation_seeds=SIZES[parameters.preset].seeds.of(parameters)["confirmation_seeds"][:AUDITED_SEEDS],
        updates=updates,
        evaluate_every=1,
        device=device_of(parameters),
    )


def warmup_length(parameters: Parameters, sizes: Sizes) -> int:
    """Length of the ramp in updates; ``StudyError`` where it was asked to be longer than the run."""
    return warmup_within(parameters, sizes.warmup, sizes.updates)
