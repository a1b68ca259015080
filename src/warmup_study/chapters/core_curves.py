"""What chapters read off the core grid: the curves of loss against learning rate of each cell, and the gains on them.

A cell is an optimiser on a task. It counts only if its better arm, without warmup or with the ramp, ends below half its
initial loss.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from warmup_study.chapters.core_grid import OPTIMIZERS, PART, WARMUPS
from warmup_study.presentation.formatting import NO_BREAK, number, times
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics.bootstrap import Effect, pooled
from warmup_study.statistics.lr_curves import (
    OVERSHOOT,
    LrCurves,
    at_multiple,
    cost,
    largest_trainable_lr,
    overshoot,
    share_trained,
    trains,
    tuned_loss,
    usable_lr,
)

Cell = tuple[str, str]  # task, optimiser
Arms = Mapping[str, LrCurves]  # by warmup
Cells = Mapping[Cell, Arms]
Gains = Mapping[Cell, Mapping[tuple[str, str], Effect]]  # by warmup and place

FAR_ABOVE = 4.0  # times the best learning rate without warmup
USABLE, LARGEST, THIRD, BEST, ABOVE, FAR, SHARE = (
    "in usable learning rates",
    "in the largest trainable learning rate",
    "at a third of the best learning rate",
    "at the best learning rate",
    "above the best learning rate",
    "at four times the best learning rate",
    "in the share of seeds that train, above the best learning rate",
)
GAINS: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    USABLE: usable_lr,
    LARGEST: largest_trainable_lr,
    THIRD: cost,
    BEST: tuned_loss,
    ABOVE: overshoot,
    FAR: partial(at_multiple, multiple=FAR_ABOVE),
    SHARE: lambda none, arm: share_trained(none, arm)[2],
}
"""An arm's gain over no warmup, by where it is measured; "above" is at twice the best learning rate."""

_LOOKS = {name: LOOKS[rule.name] for name, rule in OPTIMIZERS.items()} | LOOKS
LABELS = {name: look.label for name, look in _LOOKS.items()} | {"adam0": "Adam, β₁ = 0"}
"""What a reader calls an optimiser: those of the grid first, then all others."""
COLOURS = {name: look.colour for name, look in _LOOKS.items()}


def cells(
    runs: pd.DataFrame,
    optimizers: Iterable[str] = tuple(OPTIMIZERS),
    warmups: Iterable[str] = WARMUPS,
    parts: Iterable[str] = (PART,),
) -> dict[Cell, Arms]:
    """The curves of every cell that was run without warmup and with the ramp, at two learning rates or more.

    A chapter that has arms of its own, ``optimiser/warmup`` as the grid's, names them and the ``parts`` they stand in.
    """
    found: dict[Cell, Arms] = {}
    for task, rows in runs[runs["part"].isin(list(parts))].groupby("task", sort=False):
        arms = {str(arm): group for arm, group in rows.groupby("arm", sort=False)}
        for name in optimizers:
            mine = {warmup: arms[f"{name}/{warmup}"] for warmup in warmups if f"{name}/{warmup}" in arms}
            if {"none", "ramp"} <= set(mine) and mine["none"]["grid_lr"].nunique() > 1:
                found[str(task), name] = {warmup: LrCurves.of(group) for warmup, group in mine.items()}
    return found


def counts(arms: Arms) -> bool:
    """Whether a cell counts: one of its arms trains."""
    return trains(arms["none"], arms["ramp"])


def counted(found: Cells) -> dict[Cell, Arms]:
    """The cells that count."""
    return {cell: arms for cell, arms in found.items() if counts(arms)}


def shown(found: Cells) -> Cells:
    """What a figure shows: the cells that count, or all where none does."""
    return counted(found) or found


def named(cell: Cell) -> str:
    """A cell in a reader's words: "SGD on digits-mlp"."""
    task, optimizer = cell
    return f"{LABELS[optimizer]} on {task}"


def told_untrainable(found: Cells) -> str:
    """A sentence on the cells that do not count; empty where all do."""
    lost = [named(cell) for cell in found if not counts(found[cell])]
    return f"Excluded because neither arm trains: {', '.join(lost)}." if lost else ""


def told_seeds(found: Cells) -> str:
    """The number of seeds of these cells, or the least and the most."""
    counts = sorted({arms["none"].seeds for arms in found.values()})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def told_shares(found: Cells, warmup: str = "ramp") -> str:
    """A sentence on how many seeds train above the best learning rate, without a warmup and with it, over cells."""
    shares = [share_trained(arms["none"], arms[warmup]) for arms in found.values()]
    without, with_warmup = (100 * float(np.mean([each[which].estimate for each in shares])) for which in (0, 1))
    return (
        f"At {times(OVERSHOOT)} the best learning rate, {number(without)}{NO_BREAK}% of seeds train without warmup "
        f"and {number(with_warmup)}{NO_BREAK}% with it."
    )


def by_task(found: Cells) -> dict[str, dict[str, Arms]]:
    """The same cells, task by task."""
    tasks: dict[str, dict[str, Arms]] = {}
    for (task, optimizer), arms in found.items():
        tasks.setdefault(task, {})[optimizer] = arms
    return tasks


def gain(arms: Arms, place: str, warmup: str = "ramp") -> Effect:
    """A warmup's gain in one cell at one of the places of `GAINS`; positive is better."""
    return GAINS[place](arms["none"], arms[warmup])


def gains(found: Cells, places: Iterable[str], warmups: Iterable[str] = ("ramp",)) -> Gains:
    """What each warmup gains at each place, in all cells that a figure shows."""
    sought = list(product(warmups, places))
    return {
        cell: {(warmup, place): gain(arms, place, warmup) for warmup, place in sought if warmup in arms}
        for cell, arms in shown(found).items()
    }


def mean_gain(known: Gains, optimizer: str, place: str, warmup: str = "ramp") -> Effect | None:
    """An optimiser's gain as the equal-weight mean over its tasks; None where it has none."""
    mine = [
        effects[warmup, place]
        for (_, name), effects in known.items()
        if name == optimizer and (warmup, place) in effects
    ]
    return pooled(mine) if mine else None
