"""Experiments that train in an instant, for the tests of everything that handles experiments."""

import signal
from typing import Any

from warmup_study.training.experiment import Arm, Experiment
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
    "selection_seeds": (100, 101),
    "confirmation_seeds": (0, 1, 2),
    "updates": 8,
    "batch": 16,
    "evaluate_every": 4,
    "probed": (1, 2),
    "probes": ("update_size",),
}


def small(**changes: Any) -> Experiment:
    """The base experiment with some fields changed; validated like any other."""
    return Experiment.model_validate(BASE | changes)


def arm(name: str, schedule: Schedule | None = None, **changes: Any) -> Arm:
    """One arm of an optimiser with its default settings."""
    rule = Optimizer.model_validate({"name": name})
    return Arm.model_validate({"label": name, "optimizer": rule, "schedule": schedule or Schedule()} | changes)


def hear_interrupts() -> None:
    """In a child before it starts: heed Ctrl-C, which nohup or a shell's & around the tests makes it ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
