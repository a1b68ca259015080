"""Experiments that train in an instant, for the tests of everything that handles experiments."""

import signal
from collections.abc import Iterable
from typing import Any

from warmup_study.training.experiment import Arm, Experiment, RunSpec, TrainingConfig
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

RAMP = Schedule(warmup="ramp", length=3)
ARMS = (
    Arm(label="adam/none", optimizer=Optimizer(name="adam"), schedule=Schedule()),
    Arm(label="adam/ramp", optimizer=Optimizer(name="adam"), schedule=RAMP),
)
BASE: dict[str, Any] = {
    "part": "grid",
    "task": "digits-mlp",
    "arms": ARMS,
    "lrs": (0.001, 0.1),
    "seeds": (100, 101, 0, 1, 2),
    "updates": 8,
    "batch": 16,
    "evaluate_every": 4,
    "probed": (1, 2),
    "probes": ("update_size",),
}


def small(**changes: Any) -> Experiment:
    """The base experiment with some fields changed; validated like any other."""
    return Experiment.model_validate(BASE | changes)


def arm(optimizer: str | Optimizer, schedule: Schedule | None = None, **changes: Any) -> Arm:
    """One arm of an optimiser; of its name, with the default settings."""
    rule = Optimizer.model_validate({"name": optimizer}) if isinstance(optimizer, str) else optimizer
    return Arm.model_validate({"label": rule.name, "optimizer": rule, "schedule": schedule or Schedule()} | changes)


def config(updates: int, batch: int, evaluate_every: int, task: str = "digits-mlp", **settings: Any) -> TrainingConfig:
    """What the runs of a stack share."""
    given = {"task": task, "updates": updates, "batch": batch, "evaluate_every": evaluate_every}
    return TrainingConfig.model_validate(given | settings)


def runs_of(
    optimizer: str | Optimizer, lr: float, seeds: Iterable[int], schedule: Schedule | None = None
) -> list[RunSpec]:
    """Runs of one arm from several seeds."""
    return [RunSpec(arm(optimizer, schedule), lr, seed) for seed in seeds]


def hear_interrupts() -> None:
    """In a child before it starts: heed Ctrl-C, which nohup or a shell's & around the tests makes it ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
