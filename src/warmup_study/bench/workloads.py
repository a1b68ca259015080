"""What is trained to measure speed: four networks, and how much of each makes one measurement."""

from dataclasses import dataclass

from warmup_study.tasks import Task, digits
from warmup_study.tasks.networks import mlp

LR = 1e-3
BATCH = 64


@dataclass(frozen=True)
class Workload:
    """A network to train with Adam: ``runs`` at once for ``updates``, or alone for ``loop_updates``."""

    title: str
    task: str
    runs: int
    updates: int
    loop_updates: int


def wide() -> Task:
    """Four hidden layers of 64 units on digits."""
    return Task(
        "digits-wide", "digits, MLP 64-64x4-10", lambda: mlp(64, 10, width=64, depth=4), digits.splits(), stack=32
    )


WORKLOADS = (
    Workload("MLP 64-32-32-10", "digits-mlp", 64, 400, 3000),
    Workload("MLP 64-64×4-10", "warmup_study.bench.workloads:wide", 32, 400, 2000),
    Workload("post-LN Transformer", "digits-transformer", 32, 60, 500),
    Workload("1-D convolutional net", "mnist1d-conv", 32, 200, 1500),
)
