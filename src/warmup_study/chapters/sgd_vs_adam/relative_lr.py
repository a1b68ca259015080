"""The four setups against the learning rate relative to the best without warmup: figures' numbers and reading.

Left of 1 is the cost of warmup where it is not needed, right of 1 its benefit where the learning rate is too high.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    LABELS,
    THIRD,
    Arms,
    Cells,
    Gains,
    counted,
    mean_gain,
    shown,
    told_shares,
)
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import compared_with_interval, finding, reading
from warmup_study.presentation.formatting import count_of, times
from warmup_study.statistics.bootstrap import Floats, pooled
from warmup_study.statistics.lr_curves import OVERSHOOT, LrCurves, at_multiple

SETUPS = ("sgd", "momentum", "adam0", "adam")  # SGD and Adam, momentum off and on
WARMED = {"zero": "lr = 0 first", "ramp": "ramp"}
MULTIPLES = tuple(10 ** (step / 4) for step in range(-4, 9))  # of the best learning rate without warmup
RESAMPLES = 999  # for the bands of a figure
ENDPOINTS = {THIRD: "tuned_loss", BEST: "tuned_loss", ABOVE: "overshoot"}
"""The margin that a gain is compared with."""


def of_setups(found: Cells) -> Cells:
    """The cells of the four setups that train; all of the four setups where none does."""
    return {cell: arms for cell, arms in shown(found).items() if cell[1] in SETUPS}


def points(found: Cells) -> pd.DataFrame:
    """A row for each cell, warmup and multiple of the best learning rate within the grid.

    ``loss``: mean test loss over that at the best learning rate without warmup; ``share`` of seeds that train;
    ``gain``: the effect of the warmup at this multiple, None without.
    """
    rows = [row for (task, optimizer), arms in found.items() for row in _points(task, optimizer, arms)]
    return pd.DataFrame(rows, columns=["task", "optimizer", "warmup", "multiple", "loss", "share", "gain"])


def _points(task: str, optimizer: str, arms: Arms) -> Iterator[dict[str, object]]:
    none = arms["none"]
    ends = none.lrs[[0, -1]] / none.best_lr * (1 - 1e-6, 1 + 1e-6)
    for warmup, curves in arms.items():
        if warmup not in ("none", *WARMED):
            continue
        for multiple in MULTIPLES:
            if ends[0] <= multiple <= ends[1]:
                lr = multiple * none.best_lr
                yield {
                    **{"task": task, "optimizer": optimizer, "warmup": warmup, "multiple": multiple},
                    "loss": np.exp(_between(curves, np.log(_means(curves)), lr) - np.log(_means(none)[none.best])),
                    "share": _between(curves, curves.shares_trained, lr),
                    "gain": None if warmup == "none" else at_multiple(none, curves, multiple, RESAMPLES),
                }


def _means(curves: LrCurves) -> Floats:
    """Average test loss at each learning rate, [L]."""
    return np.asarray(curves.averaged(curves.test, np.arange(curves.seeds)[None])[0])


def _between(curves: LrCurves, values: Floats, lr: float) -> float:
    """The value at a learning rate, linear between those of the grid in log learning rate."""
    return float(np.interp(np.log(lr), np.log(curves.lrs), values))


def means(found: pd.DataFrame) -> pd.DataFrame:
    """Of the `points` of each optimiser and warmup the equal-weight mean over tasks, at multiples that every task has.

    Losses are averaged as logarithms.
    """
    rows = []
    for (optimizer, warmup, multiple), group in found.groupby(["optimizer", "warmup", "multiple"], sort=False):
        if len(group) == found.loc[found["optimizer"] == optimizer, "task"].nunique():
            rows.append(
                {
                    **{"optimizer": optimizer, "warmup": warmup, "multiple": multiple},
                    "loss": np.exp(np.log(group["loss"]).mean()),
                    "share": group["share"].mean(),
                    "gain": None if warmup == "none" else pooled(list(group["gain"])),
                }
            )
    return pd.DataFrame(rows, columns=["optimizer", "warmup", "multiple", "loss", "share", "gain"])


def headline(found: Cells, gains: Gains) -> str:
    """The figure's finding, as a title: each warmup's effect on each optimiser's loss above the best learning rate."""
    if not counted(found):
        return "Nothing trains here at any learning rate, with or without warmup"
    told, least = [], margin(ENDPOINTS[ABOVE]).value
    for warmup, words in {"ramp": "with a ramp", "zero": "with lr = 0 first"}.items():
        effects = {LABELS[name]: mean_gain(gains, name, ABOVE, warmup) for name in ("adam", "sgd")}
        findings = {label: finding(effect, least) for label, effect in effects.items() if effect}
        told += [_losses(findings, words)] if findings else []
    return f"At {times(OVERSHOOT)} the best learning rate, {'; '.join(told)}"


def _losses(findings: dict[str, str], warmed: str) -> str:
    """ "Adam's loss with a ramp is 36 % lower, SGD's about the same"; "Adam's and SGD's losses … are the same"."""
    owners = [f"{label}'s" for label in findings]
    if len(findings) > 1 and len(words := set(findings.values())) == 1:
        return f"{' and '.join(owners)} losses {warmed} are {words.pop()}"
    first, *others = findings.values()
    told = [f"{owner} {found}" for owner, found in zip(owners[1:], others, strict=True)]
    return ", ".join([f"{owners[0]} loss {warmed} is {first}", *told])


def paragraphs(found: Cells, gains: Gains) -> list[str]:
    """One paragraph for each setup: its cost left of 1, its effect at the best learning rate, its gain right of it."""
    return [
        _paragraph({cell: arms for cell, arms in shown(found).items() if cell[1] == name}, gains, name, warmup)
        for name, warmup in product(SETUPS, WARMED)
        if mean_gain(gains, name, ABOVE, warmup)
    ]


def _paragraph(mine: Cells, gains: Gains, optimizer: str, warmup: str) -> str:
    told = []
    for place, endpoint in ENDPOINTS.items():
        effect = mean_gain(gains, optimizer, place, warmup)
        if effect:
            word = reading(effect, margin(endpoint).value)
            told.append(f"{place}, the loss is {compared_with_interval(effect)}, {word}")
    tasks = count_of(len(mine), "task")
    return f"**{LABELS[optimizer]}, {WARMED[warmup]}** ({tasks}): {'; '.join(told)}. {told_shares(mine, warmup)}"
