"""Design of the third chapter: both forms of momentum under every warmup, over depth and batch size, and their kin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from warmup_study.chapters.sizes import Seeds, bracket, device_of
from warmup_study.parameters import BatchSizes, GridParameters, Share
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule, Warmup

FORMS = ("momentum", "momentum_lr_inside")  # v ← μv + g, θ ← θ − ηv; and v ← μv + ηg, θ ← θ − v
PROBED_LR = 0.1  # effective: the step that settled momentum takes along a steady gradient
PROBED_WARMUP = 30  # updates: a velocity with μ = 0.9 has gathered all but 4 % of its length
PROBED_AFTER = 20


class Parameters(GridParameters):
    """What the notebook takes."""

    momentum: Share = Field(0.9, description="a number above 0 and below 1")
    batches: BatchSizes = Field((), description="whole numbers from 1 to 1024 joined by commas (empty: the preset's)")


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is under one preset.

    ``further`` counts the tasks, from the first on, on which the arms beyond the claims' own are trained, too; of
    ``batches`` the middle one is the chapter's usual batch.
    """

    tasks: tuple[str, ...]
    further: int
    updates: int
    warmup: int
    points_per_decade: int
    adam_points_per_decade: int
    evaluations: int
    batches: tuple[int, ...]
    seeds: Seeds


_DEPTHS = ("digits-he2", "digits-he4", "digits-he8")
SIZES = {
    "smoke": Sizes(_DEPTHS[:1], 1, 20, 5, 1, 1, 5, (16, 64), Seeds(2, 2)),
    "quick": Sizes((_DEPTHS[0], _DEPTHS[2]), 1, 128, 24, 2, 1, 4, (16, 64), Seeds(4, 6)),
    "full": Sizes(_DEPTHS, 3, 300, 60, 3, 2, 5, (16, 64, 256), Seeds(8, 20)),
}


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: the grid at the usual batch, ``zero`` at equal active updates, other batches, Adam, the velocity."""
    sizes = SIZES[parameters.preset]
    for index, task in enumerate(parameters.task_names or sizes.tasks):
        further = index < sizes.further
        yield _grid("grid", task, _claimed(parameters) + (_kin(parameters) if further else ()), parameters)
        yield _grid("zero", task, _zero(parameters), parameters, extra_updates=warmup_length(parameters))
        for batch in batches(parameters):
            if batch != usual_batch(parameters):
                yield _other_batch(task, batch, parameters)
        if further:
            yield _grid("adam", task, _adam(parameters), parameters, family="adaptive")
        yield _probe(task, parameters)


def warmup_length(parameters: Parameters) -> int:
    """Length of every warmup in updates: as asked, else the preset's, never longer than the run."""
    sizes = SIZES[parameters.preset]
    return min(parameters.warmup or sizes.warmup, parameters.updates or sizes.updates)


def batches(parameters: Parameters) -> tuple[int, ...]:
    """The batch sizes compared, ascending."""
    return parameters.batches or SIZES[parameters.preset].batches


def usual_batch(parameters: Parameters) -> int:
    """The batch size of all that does not compare batch sizes."""
    sizes = batches(parameters)
    return sizes[len(sizes) // 2]


def _arm(family: str, warmup: Warmup, parameters: Parameters, length: int = 0, **settings: Any) -> Arm:
    """One arm, ``family/warmup``; with momentum, at the matched effective rate η/(1−μ)."""
    has_momentum = "momentum" in settings
    return Arm(
        label=f"{family}/{warmup}",
        optimizer=Optimizer(**settings),
        schedule=Schedule(warmup=warmup, length=0 if warmup == "none" else length or warmup_length(parameters)),
        lr_scale=1 - parameters.momentum if has_momentum else 1.0,
    )


def _forms(warmups: tuple[Warmup, ...], parameters: Parameters, length: int = 0) -> tuple[Arm, ...]:
    return tuple(
        _arm(form, warmup, parameters, length, name=form, momentum=parameters.momentum)
        for form in FORMS
        for warmup in warmups
    )


def _pair(family: str, parameters: Parameters, **settings: Any) -> tuple[Arm, ...]:
    return tuple(_arm(family, warmup, parameters, **settings) for warmup in ("none", "ramp"))


def _claimed(parameters: Parameters) -> tuple[Arm, ...]:
    """Plain SGD, and both forms of momentum."""
    return (*_pair("sgd", parameters, name="sgd"), *_forms(("none", "constant", "ramp"), parameters))


def _kin(parameters: Parameters) -> tuple[Arm, ...]:
    """Nesterov's momentum, and a momentum that is itself ramped up."""
    settings = {"momentum": parameters.momentum}
    ramped = settings | {"name": "momentum", "momentum_ramp": warmup_length(parameters)}
    return (*_pair("nesterov", parameters, name="nesterov", **settings), *_pair("ramped", parameters, **ramped))


def _zero(parameters: Parameters) -> tuple[Arm, ...]:
    return _forms(("zero",), parameters)


def _adam(parameters: Parameters) -> tuple[Arm, ...]:
    """Adam without and with its first moment."""
    return (*_pair("adam0", parameters, name="adam", beta1=0.0), *_pair("adam", parameters, name="adam"))


def _grid(
    part: str, task: str, arms: tuple[Arm, ...], parameters: Parameters, *, family: str = "sgd", extra_updates: int = 0
) -> Experiment:
    """Arms over a family's bracketing grid of learning rates, at the usual batch."""
    sizes = SIZES[parameters.preset]
    updates = (parameters.updates or sizes.updates) + extra_updates
    density = sizes.points_per_decade if family == "sgd" else sizes.adam_points_per_decade
    return Experiment(
        part=part,
        task=task,
        arms=arms,
        lrs=parameters.lrs or lr_grid(*bracket(task, family), density),
        updates=updates,
        batch=usual_batch(parameters),
        evaluate_every=max(1, updates // sizes.evaluations),
        device=device_of(parameters),
        **sizes.seeds.of(parameters),
    )


def _other_batch(task: str, batch: int, parameters: Parameters) -> Experiment:
    """SGD without and with momentum at another batch size; nothing is picked here, so no seed is kept for that."""
    momentum = _pair("momentum", parameters, name="momentum", momentum=parameters.momentum)
    usual = _grid("batch", task, (*_pair("sgd", parameters, name="sgd"), *momentum), parameters)
    return usual.model_copy(update={"batch": batch, "selection_seeds": ()})


def _probe(task: str, parameters: Parameters) -> Experiment:
    """The velocity update by update, from the first to some after the warmup's end."""
    length = min(PROBED_WARMUP, warmup_length(parameters))
    updates = length + PROBED_AFTER
    return Experiment(
        part="probe",
        task=task,
        arms=_forms(("none", "zero", "constant", "ramp"), parameters, length),
        lrs=(PROBED_LR,),
        confirmation_seeds=SIZES[parameters.preset].seeds.of(parameters)["confirmation_seeds"],
        updates=updates,
        batch=usual_batch(parameters),
        probed=tuple(range(1, updates + 1)),
        probes=("update_norm", "alignment", "velocity_norm", "velocity_alignment"),
        device=device_of(parameters),
    )
