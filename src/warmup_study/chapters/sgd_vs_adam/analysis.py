"""What the first chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    LABELS,
    THIRD,
    USABLE,
    Arms,
    Gains,
    by_task,
    cells,
    counts,
    gain,
)
from warmup_study.claims.evidence import Outcome, exact_verdict, over_tasks, untrainable, where
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.changes import compared_with_interval
from warmup_study.presentation.formatting import INTERVALS, effect, number
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled

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
        for name, own in gains.items():
            found[f"{LABELS[name]}'s gain {place}"] = own
            if name != "sgd":
                found[f"{LABELS[name]}'s gain less SGD's {place}"] = difference(own, gains["sgd"])
    return found


def first_updates(runs: pd.DataFrame) -> dict[str, dict[str, Effect] | None]:
    """Per task: RMSProp's log ratio of first to settled update size, and its alignment, first minus settled.

    The same difference of SGD is taken off the latter: what any first update lacks in direction. None where a run
    diverged within these updates.
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
    """The same, as equal-weight means over tasks; empty where runs diverged on all of them."""
    return over_tasks(first_updates(runs))


def _first_effects(seen: pd.DataFrame, plain: pd.DataFrame) -> dict[str, Effect] | None:
    if not (np.isfinite(seen).all(axis=None) and np.isfinite(plain).all(axis=None)):
        return None
    ratio = np.log(seen["update_size_first"] / seen["update_size_settled"])
    return {
        SIZE: paired_effect(ratio),
        ALIGNMENT: paired_effect(lag(seen)),
        f"{ALIGNMENT}, RMSProp less SGD": paired_effect(lag(seen) - lag(plain)),
    }


def compared_optimizers(gains: Gains) -> Iterator[str]:
    """What is left of each optimiser's mean gain when SGD's is taken off, over the tasks that both have."""
    for name in ("adam", "adam0", "rmsprop", "momentum"):
        tasks = [task for task, optimizer in gains if optimizer == name and (task, "sgd") in gains]
        if tasks:
            by_place = {place: pooled([_less_sgd(gains, task, name, place) for task in tasks]) for place in PLACES}
            usable, above = by_place[USABLE], by_place[ABOVE]
            count = f"{len(tasks)} task{'s' if len(tasks) > 1 else ''}"
            yield (
                f"Against SGD, on the same {count}, the ramp gains {LABELS[name]} "
                f"{effect(usable)} decades of usable learning rates more; at twice the best rate its loss with a ramp, "
                f"relative to none, is {compared_with_interval(above)} than SGD's."
            )


def _less_sgd(gains: Gains, task: str, optimizer: str, place: str) -> Effect:
    mine, plain = (gains[task, name]["ramp", place] for name in (optimizer, "sgd"))
    return difference(mine, plain)


def first_update_in_words(runs: pd.DataFrame) -> str:
    """RMSProp's first update beside its settled ones, in size and direction, as means over the probed tasks."""
    told = mean_first_updates(runs)
    if not told:
        return "RMSProp diverged within its first updates."
    mean = pd.concat(probed(runs, "rmsprop").values()).mean()
    behind = told[f"{ALIGNMENT}, RMSProp less SGD"]
    return (
        f"RMSProp's first update is {number(mean['update_size_first'])} times its learning rate, and "
        f"{number(mean['update_size_settled'])} times once settled; its cosine with the descent direction is "
        f"{number(mean['alignment_first'])} at first and {number(mean['alignment_settled'])} once settled. Against the "
        f"same difference of SGD on the same batches that is {effect(behind)} ({INTERVALS}); below 0 it points worse."
    )


CLAIMS = {"adaptive-only": comparisons, "first-update": first_updates}
BY_HAND = {"definition": definition}
