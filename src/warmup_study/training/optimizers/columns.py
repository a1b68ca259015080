"""What the kernels' tables are made of: settings of R runs as rows, and updates 1..T as a column."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from warmup_study.training.optimizers.settings import Name, Optimizer

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, Floats]


def setting(optimizers: Sequence[Optimizer], field: str, absent: float = 0.0) -> Floats:
    """One setting of all runs [R]; ``absent`` where a rule does not have it."""
    values = [getattr(optimizer, field) for optimizer in optimizers]
    return np.array([absent if value is None else value for value in values], dtype=np.float64)


def named(optimizers: Sequence[Optimizer], *names: Name) -> NDArray[np.bool_]:
    """Tell which runs [R] use one of the named rules."""
    return np.array([optimizer.name in names for optimizer in optimizers])


def updates(rates: Floats) -> Integers:
    """Update indices 1..T as a column [T, 1]."""
    return np.arange(1, len(rates) + 1)[:, None]


def survives(optimizers: Sequence[Optimizer], update: Integers) -> Floats:
    """Return 0 at the update after a reset, where the state is forgotten, else 1."""
    reset = setting(optimizers, "reset_at")
    return np.where((reset > 0) & (update == reset + 1), 0.0, 1.0)


def ramped(optimizers: Sequence[Optimizer], field: str, update: Integers) -> Floats:
    """A setting [T, R] that rises linearly from 0 over ``momentum_ramp`` updates."""
    ramp = setting(optimizers, "momentum_ramp")
    rise = np.where(ramp > 0, np.minimum(1.0, (update - 1) / np.maximum(ramp, 1)), 1.0)
    return setting(optimizers, field) * rise


def counter(optimizers: Sequence[Optimizer], update: Integers, field: str) -> Integers:
    """Number of updates that a moment's bias correction counts, this one included, since it last started."""
    restart = setting(optimizers, field)
    reset = np.where(setting(optimizers, "keep_counter"), 0, setting(optimizers, "reset_at"))
    latest = np.maximum(np.where(restart < update, restart, 0), np.where(reset < update, reset, 0))
    begun = np.where(latest > 0, latest, -setting(optimizers, "updates_before"))
    return (update - begun).astype(np.int64)
