"""Finding a task's learning rates: a few runs without warmup on seeds of their own, before the runs that count."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from warmup_study.errors import StudyError
from warmup_study.running.sweep import sweep
from warmup_study.statistics.curves import FLOOR
from warmup_study.statistics.endpoints import capped
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Kernel, Optimizer
from warmup_study.training.schedules import Schedule

SHORTEST = 100  # updates: in fewer, few networks learn enough to tell learning rates apart
SEEDS = (9_000, 9_001)  # in no run that counts
START: dict[Kernel, tuple[int, int]] = {
    "momentum": (-3, 1),
    "adaptive": (-4, 0),
    "sign": (-5, -1),
    "orthogonal": (-4, 0),
}
"""First decades tried, by the optimiser's kernel: exponents of ten."""
LOWEST, HIGHEST = -8, 4  # no decade outside is tried: exponents of ten
TELLS = 0.01  # share of the initial loss: smaller differences are chance on so few seeds
FALLEN = 0.98  # share of the initial loss below which something has been learnt


@dataclass(frozen=True)
class Pilot:
    """Validation losses as shares of the initial one, means over the pilot's seeds, by learning rate, ascending."""

    shares: pd.Series

    @property
    def best(self) -> float:
        """The lowest learning rate whose loss is as good as the lowest: few seeds cannot tell such losses apart."""
        return float(self.shares[self.shares <= self.shares.min() + TELLS].index[0])

    @property
    def bracket(self) -> tuple[float, float]:
        """A grid's ends: a tenth of the best learning rate, and the lowest of those tried at which training fails."""
        beyond = self.shares.index[self.shares.index > self.highest_trained]
        return float(f"{self.best / 10:.6g}"), float(beyond[0] if len(beyond) else self.highest_trained)

    @property
    def highest_trained(self) -> float:
        """The highest learning rate at which the loss falls at least half as far as at the best."""
        return float(self.shares[self.shares <= (1 + self.shares.min()) / 2].index[-1])


@cache
def find_learning_rates(
    task: str,
    optimizer: Optimizer,
    *,
    updates: int,
    batch: int,
    folder: Path,
    device: str = "cpu",
) -> Pilot:
    """Sweep decades until the best learning rate lies inside and the highest does not train, then half decades.

    Runs take at least `SHORTEST` updates. They train in this process: so few are done before others have started.
    Raises ``StudyError`` where the loss falls at no learning rate.
    """

    def shares_at(lrs: Iterable[float]) -> pd.Series:
        experiment = Experiment(
            part="pilot",
            task=task,
            arms=(Arm(label="none", optimizer=optimizer, schedule=Schedule(decay="cosine")),),
            lrs=tuple(lrs),
            seeds=SEEDS,
            updates=max(updates, SHORTEST),
            batch=batch,
            evaluate_every=max(updates, SHORTEST),
            device=device,
        )
        return _shares(sweep([experiment], folder, processes=0))

    first, last = START[optimizer.kernel]
    found = shares_at(lr_grid(10.0**first, 10.0**last, 1))
    while further := _further(found):
        found = pd.concat([found, shares_at(further)]).sort_index()
    _refuse_what_never_falls(task, found)
    best = Pilot(found).best
    return Pilot(pd.concat([found, shares_at(lr_grid(best / 10**0.5, best * 10**0.5, 2)[::2])]).sort_index())


def _shares(runs: pd.DataFrame) -> pd.Series:
    shares = (capped(runs["validation_loss"], runs["initial_loss"]) / runs["initial_loss"]).clip(lower=FLOOR)
    means: pd.Series = shares.groupby(runs["lr"]).mean()
    return means


def _further(found: pd.Series) -> list[float]:
    """Decades to try next, at either end of those tried; none where the best lies inside and the highest fails."""
    pilot, lowest, highest = Pilot(found), float(found.index[0]), float(found.index[-1])
    below = [lowest / 10] if pilot.best == lowest and lowest > 10.0**LOWEST * 1.01 else []
    above = [highest * 10] if pilot.highest_trained == highest and highest < 10.0**HIGHEST * 0.99 else []
    return [float(f"{lr:.6g}") for lr in below + above]


def _refuse_what_never_falls(task: str, found: pd.Series) -> None:
    if found.min() >= FALLEN:
        raise StudyError(
            f"task {task!r} does not learn at any learning rate from {found.index[0]:g} to {found.index[-1]:g}: its "
            f"validation loss ends at {100 * found.min():.0f} % of the initial loss at best"
        )
