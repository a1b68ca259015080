"""Ramps of every length: what rules of thumb lose, what the sufficient length grows with, and 2/(1−β₂) updates."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from warmup_study.chapters.core_curves import ABOVE, BEST
from warmup_study.chapters.how_long.design import (
    epoch,
    holds_untuned,
    untuned_length,
)
from warmup_study.claims.evidence import Outcome, untrainable, where
from warmup_study.claims.table import claim
from warmup_study.statistics.bootstrap import Effect, Floats, pooled, seed_effect
from warmup_study.statistics.curves import Seeds
from warmup_study.statistics.lengths import Lengths
from warmup_study.statistics.lr_curves import OVERSHOOT, LrCurves, trains

PLACES: dict[str, float | None] = {BEST: None, ABOVE: OVERSHOOT}
"""Where lengths are compared: each at its own best learning rate, or all at twice the one best without warmup."""
SPARE = 3  # cells beyond as many as there are coefficients, before an exponent is told
UNTRAINABLE = untrainable("Adam")


@dataclass(frozen=True, eq=False)
class Cell:
    """Ramps of every length in runs of so many ``updates``, at one batch and β₂."""

    task: str
    updates: int
    batch: int
    beta2: float
    lengths: Lengths
    trained: bool

    @cached_property
    def epoch(self) -> float:
        """Updates to an epoch."""
        return epoch(self.task, self.batch)

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return self.lengths.seeds


Rule = Callable[[Cell], float | None]
RULES: dict[str, Rule] = {
    "without warmup": lambda cell: 0,
    "at one epoch": lambda cell: cell.epoch,
    "at 5 % of the run": lambda cell: 0.05 * cell.updates,
    "at 2/(1−β₂) updates": lambda cell: untuned_length(cell.beta2) if holds_untuned(cell.updates, cell.beta2) else None,
    "at 100 updates": lambda cell: 100,
}
"""Lengths that rules of thumb give, in updates; None where a rule makes no sense, as its ramp outlasts the run."""
LAWS: dict[str, Callable[[Cell], float]] = {
    "updates": lambda cell: 1.0,
    "share of the run": lambda cell: float(cell.updates),
    "epochs": lambda cell: cell.epoch,
    "1/(1−β₂)": lambda cell: 1 / (1 - cell.beta2),
}
"""What the sufficient length may be constant in: updates to one unit of it."""
GROWING = {"share of the run": "the length of the run", "epochs": "the length of an epoch", "1/(1−β₂)": "1/(1−β₂)"}
"""By law: what a sufficient length grows with that is constant in its unit."""


def cells(runs: pd.DataFrame) -> list[Cell]:
    """The cells, in the order they were run in."""
    chosen = where(runs, part="lengths")
    keys = ["task", "updates", "batch", "beta2"]
    return [_cell(rows) for _, rows in chosen.groupby(keys, sort=False)]


def _cell(runs: pd.DataFrame) -> Cell:
    curves = {int(str(length)): LrCurves.of(rows) for length, rows in runs.groupby("length")}
    trained = any(trains(curves[0], arm) for arm in curves.values())
    one = runs.iloc[0]
    updates, batch, beta2 = int(one["updates"]), int(one["batch"]), float(one["beta2"])
    return Cell(str(one["task"]), updates, batch, beta2, Lengths.of(curves), trained)


def by_task(found: Iterable[Cell]) -> dict[str, list[Cell]]:
    """The same cells, task by task."""
    tasks: dict[str, list[Cell]] = {}
    for cell in found:
        tasks.setdefault(cell.task, []).append(cell)
    return tasks


def excesses(found: Sequence[Cell], rule: str, place: str) -> list[tuple[Cell, Effect]]:
    """What the length that a rule of thumb gives loses in every cell where it makes sense."""
    lengths = [(cell, RULES[rule](cell)) for cell in found]
    return [(cell, cell.lengths.excess(length, PLACES[place])) for cell, length in lengths if length is not None]


def named_excess(rule: str, place: str) -> str:
    """The name of what a rule of thumb loses."""
    return f"excess loss {rule}, {place}"


def how_long(runs: pd.DataFrame) -> dict[str, Outcome[str]]:
    """Per task, as equal-weight means over its cells that train: what each rule of thumb loses; and the exponents.

    An exponent is one of the sufficient length, of those cells that need a ramp.
    """
    return {task: _how_long([cell for cell in mine if cell.trained]) for task, mine in by_task(cells(runs)).items()}


def _how_long(found: Sequence[Cell]) -> Outcome[str]:
    if not found:
        return UNTRAINABLE
    named: dict[str, Effect] = {}
    for rule in sorted(RULES, key=lambda rule: rule != "at one epoch"):
        for place in PLACES:
            lost = [effect for _, effect in excesses(found, rule, place)]
            if lost:
                named[named_excess(rule, place)] = pooled(lost)
    for place in PLACES:
        named |= {f"exponent against {quantity}, {place}": one for quantity, one in exponents(found, place).items()}
    return named


def exponents(found: Sequence[Cell], place: str) -> dict[str, Effect]:
    """Exponents of the sufficient length against run length, epoch and 1/(1−β₂), where the cells tell them apart.

    Least squares in logarithms over the cells in which training without warmup does not suffice, with a constant for
    each task; bootstrap over seeds, which all cells share (as many as the cell with the fewest has). No length reaches
    beyond the longest that a cell tried. A law's own exponent is 1 where the length is constant in
    its unit alone; all are 0 where it is constant in updates.
    """
    every, enough = np.arange(min((cell.seeds for cell in found), default=0))[None], claim("how-long").margin or 0.0
    sufficient = partial(_sufficient, enough=enough, multiple=PLACES[place])
    needy = [cell for cell in found if sufficient([cell], every)[0, 0] > 0]
    columns = [[math.log(LAWS[law](cell)) for cell in needy] for law in GROWING]
    tasks = [[float(cell.task == task) for cell in needy] for task in dict.fromkeys(cell.task for cell in needy)]
    known = _told_apart(columns, tasks)
    if not known:
        return {}
    weights = np.linalg.pinv(np.array([*(columns[k] for k in known), *tasks]).T)
    quantities = list(GROWING.values())
    return {
        quantities[k]: seed_effect(lambda seeds, row=row: sufficient(needy, seeds) @ weights[row], every.size)
        for row, k in enumerate(known)
    }


def _sufficient(found: Sequence[Cell], seeds: Seeds, *, enough: float, multiple: float | None) -> Floats:
    """Logs of sufficient lengths: [B, cells]."""
    return np.stack([cell.lengths.log_sufficient(seeds, enough, multiple) for cell in found], axis=1)


def _told_apart(columns: Sequence[Sequence[float]], constants: Sequence[Sequence[float]]) -> list[int]:
    """Which columns vary apart from the constants and from one another, with some cells to spare."""
    known: list[int] = []
    for k in range(len(columns)):
        chosen = np.array([*(columns[j] for j in (*known, k)), *constants])
        if chosen.shape[1] >= chosen.shape[0] + SPARE and np.linalg.matrix_rank(chosen) == chosen.shape[0]:
            known.append(k)
    return known


@dataclass(frozen=True)
class Law:
    """How well a length constant in one unit does: the mean excess loss [K] at its ``typical`` lengths [K].

    ``typical`` is the geometric mean of the lengths over cells, in updates; ``multiples`` [K] the length in the unit.
    """

    multiples: Floats
    typical: Floats
    lost: Floats

    @property
    def best(self) -> int:
        """Place of the lowest mean excess."""
        return int(self.lost.argmin())


def laws(found: Sequence[Cell], place: str) -> dict[str, Law]:
    """Every law over typical lengths from 1 to 300 updates, on the seeds as they are."""
    profiles = [cell.lengths.profile(np.arange(cell.seeds)[None], PLACES[place]) for cell in found]
    typical = np.geomspace(1, 300, 60)
    fitted = {}
    for law, unit in LAWS.items():
        units = np.array([unit(cell) for cell in found])
        multiples = typical / np.exp(np.log(units).mean())
        lost = [
            np.mean(
                [
                    cell.lengths.at(profile, multiple * one)[0]
                    for cell, profile, one in zip(found, profiles, units, strict=True)
                ]
            )
            for multiple in multiples
        ]
        fitted[law] = Law(multiples, typical, np.array(lost))
    return fitted


def untuned(runs: pd.DataFrame) -> dict[str, Outcome[str]]:
    """Per task and β₂: what 2/(1−β₂) updates lose against the best length, at the task's own batch.

    In the shortest runs that are half as long again as that ramp, or longer.
    """
    return {task: _untuned(mine) for task, mine in by_task(cells(runs)).items()}


def _untuned(found: Sequence[Cell]) -> Outcome[str]:
    chosen: dict[float, Cell] = {}
    for cell in sorted(found, key=lambda cell: (cell.beta2, -cell.updates)):
        if untuned_length(cell.beta2) in cell.lengths.lengths and cell.batch == found[0].batch:
            chosen[cell.beta2] = cell
    trained = {beta2: cell for beta2, cell in chosen.items() if cell.trained}
    if chosen and not trained:
        return UNTRAINABLE
    named = {}
    for words, place in (("excess loss", BEST), (f"excess loss {ABOVE}", ABOVE)):
        for beta2, cell in trained.items():
            named[f"{words} (β2 = {beta2:g})"] = cell.lengths.excess(untuned_length(beta2), PLACES[place])
    return named or None
