"""What is trained to measure speed: five networks, and how much of each makes one measurement."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from warmup_study import tasks
from warmup_study.bench.ordinary_networks import Transformer, convolutional
from warmup_study.tasks import Task, digits
from warmup_study.tasks.networks import mlp

LR = 1e-3


@dataclass(frozen=True)
class Workload:
    """A task to train with Adam: ``runs`` at once for ``updates`` (JAX: ``jax_updates``), or one for ``loop_updates``.

    The ensemble also evaluates, on the whole test split at the end: its updates are so many that training prevails.
    ``ordinary`` makes the task's network as most users of torch would write it, with parameters of the same names.
    """

    title: str
    task: str
    ordinary: Callable[[], nn.Module]
    runs: int
    updates: int
    jax_updates: int
    loop_updates: int

    @property
    def batch(self) -> int:
        """Examples in a batch: as many as the study trains this task with."""
        return tasks.load(self.task).batch


def wide() -> Task:
    """Four hidden layers of 64 units on digits."""
    return Task(
        "digits-wide", "digits, MLP 64-64x4-10", lambda: mlp(64, 10, width=64, depth=4), digits.splits(), stack=32
    )


def _transformer(blocks: int) -> Callable[[], nn.Module]:
    return partial(Transformer, 16, 4, 10, blocks=blocks)


WORKLOADS = (
    Workload("MLP 64-32-32-10", "digits-mlp", partial(mlp, 64, 10), 64, 600, 600, 1500),
    Workload("MLP 64-64×4-10", f"{__name__}:wide", partial(mlp, 64, 10, width=64, depth=4), 32, 400, 400, 1000),
    Workload("post-LN Transformer, 2 blocks", "digits-transformer", _transformer(2), 32, 150, 60, 300),
    Workload("post-LN Transformer, 6 blocks", "digits-transformer-6", _transformer(6), 32, 60, 20, 100),
    Workload("1-D convolutional net", "mnist1d-conv", partial(convolutional, 40, 10), 32, 600, 150, 800),
)
