"""What the first chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.chapters.core_curves import ABOVE, BEST, LABELS, THIRD, USABLE, Arms, by_task, cells, counts, gain
from warmup_study.claims.evidence import Outcome, exact_verdict, mean_over_tasks, untrainable, where
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect

PLACES = (USABLE, ABOVE, BEST, THIRD)  # the first two decide
SETTLED_AFTER = 50  # updates; by then Adam's and RMSProp's step has its long-run size in theory
SIZE = "size of the first update over that of settled ones"
ALIGNMENT = "alignment of the first update less that of settled ones"


def definition(runs: pd.DataFrame) -> list[Verdict]:
    """Whether every run was trained at exactly the learning rates of the formula."""
    return [
        exact_verdict(claim("definition"), str(task), rows["lr_audit"], seeds=rows["seed"].nunique())
        for task, rows in [*runs.groupby("task"), ("all", runs)]
    ]


def comparisons(runs: pd.DataFrame) -> dict[str, Outcome[str]]:
    """Per task that both SGD and Adam train: what the ramp gains each optimiser, and what is left when SGD's gain is
    taken off.
    """
    return {task: _comparisons(arms) for task, arms in by_task(cells(runs)).items()}


def _comparisons(arms: Mapping[str, Arms]) -> Outcome[str]:
    if not {"sgd", "adam"} <= set(arms):
        return None
    for name in ("sgd", "adam"):
        if not counts(arms[name]):
            return untrainable(LABELS[name])
    found: dict[str, Effect] = {}
    for place in PLACES:
        gains = {name: gain(mine, place) for name, mine in arms.items() if counts(mine)}
        for name, effect in gains.items():
            found[f"{LABELS[name]}'s gain {place}"] = effect
            if name != "sgd":
                found[f"{LABELS[name]}'s gain less SGD's {place}"] = difference(effect, gains["sgd"])
    return found


def first_updates(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per task: RMSProp's log ratio of first to settled update size, and its alignment, first minus settled.

    The same difference of SGD is taken off the latter: what any first update lacks in direction.
    """
    plain = probed(runs, "sgd")
    return {task: _first_effects(seen, plain[task]) for task, seen in probed(runs, "rmsprop").items()}


def probed(runs: pd.DataFrame, optimizer: str) -> dict[str, pd.DataFrame]:
    """Per task, by seed, for an optimiser without warmup: size and alignment of the first and the settled updates."""
    rows = where(runs, part="probe", optimizer=optimizer, warmup="none")
    return {str(task): _first_and_settled(group) for task, group in rows.groupby("task", sort=False)}


def _first_and_settled(runs: pd.DataFrame) -> pd.DataFrame:
    updates = np.asarray(runs["probed_at"].iloc[0])
    settled = updates > min(SETTLED_AFTER, updates[-1] // 2)
    columns: dict[str, NDArray[np.float64]] = {}
    for name in ("update_size", "alignment"):
        values = np.stack(runs[name].to_list()).astype(float)
        columns |= {f"{name}_first": values[:, 0], f"{name}_settled": values[:, settled].mean(1)}
    return pd.DataFrame(columns, index=runs["seed"]).sort_index()


def lag(seen: pd.DataFrame) -> pd.Series:
    """By seed, how much better the first update points than the settled ones; below 0 where it points worse."""
    return seen["alignment_first"] - seen["alignment_settled"]


def mean_first_updates(runs: pd.DataFrame) -> dict[str, Effect]:
    """The same, as equal-weight means over tasks."""
    return mean_over_tasks(list(first_updates(runs).values()))


def _first_effects(seen: pd.DataFrame, plain: pd.DataFrame) -> dict[str, Effect]:
    ratio = np.log(seen["update_size_first"] / seen["update_size_settled"])
    return {
        SIZE: paired_effect(ratio),
        ALIGNMENT: paired_effect(lag(seen)),
        f"{ALIGNMENT}, RMSProp less SGD": paired_effect(lag(seen) - lag(plain)),
    }


CLAIMS = {"adaptive-only": comparisons, "first-update": first_updates}
BY_HAND = {"definition": definition}
