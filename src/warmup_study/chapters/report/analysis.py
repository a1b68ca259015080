"""Test of the claim that rests on the whole core grid: does warmup give better results?"""

from collections.abc import Mapping

import pandas as pd

from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    FAR,
    LABELS,
    SHARE,
    THIRD,
    Arms,
    Cell,
    Cells,
    by_task,
    cells,
    counted,
    counts,
    gain,
)
from warmup_study.claims.evidence import Outcome, no_evidence, regime_of, untrainable
from warmup_study.claims.robustness import judged
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.presentation.changes import compared_with_interval, reading
from warmup_study.presentation.formatting import NO_BREAK, number
from warmup_study.presentation.style import REGIMES
from warmup_study.statistics.bootstrap import Effect, pooled
from warmup_study.statistics.decisions import decide

CLAIM, NOTEBOOK = "better-results", "report"
PLACES = {
    THIRD: "gain at a third of it",
    BEST: "gain at the best learning rate",
    ABOVE: "gain above it",
    FAR: "gain at four times it",
    SHARE: "gain in the share of seeds that train, above it",
}
"""The effects by the place that they are measured at; the best rate and above it have a say."""
ENDPOINTS = {BEST: "tuned_loss", ABOVE: "overshoot"}

Means = dict[str, Effect]  # by place


def judge(tables: Mapping[str, pd.DataFrame]) -> list[Verdict]:
    """The rows per task, per regime and over all, from the table of runs of each chapter that has run, by its name."""
    if not core_cells(tables):
        return [no_evidence(claim(CLAIM), ALL, 0)] if tables else []
    return judged(CLAIM, gains, tables, 0)


def core_cells(tables: Mapping[str, pd.DataFrame]) -> dict[Cell, Arms]:
    """The cells of the core grid, each from the first chapter that trained it: chapters share these runs."""
    found: dict[Cell, Arms] = {}
    for table in tables.values():
        found = cells(table) | found
    return dict(sorted(found.items()))


def gains(tables: Mapping[str, pd.DataFrame]) -> dict[str, Outcome[str]]:
    """By task: what the ramp gains at each place, or why the task does not count."""
    return {task: _gains_on(arms) for task, arms in by_task(core_cells(tables)).items()}


def _gains_on(arms: Mapping[str, Arms]) -> Outcome[str]:
    """One task's gains, each the mean over the optimisers that train it, and those of every one of them."""
    trained = {name: mine for name, mine in arms.items() if counts(mine)}
    if not trained:
        return untrainable()
    effects = {(place, name): gain(mine, place) for place in PLACES for name, mine in trained.items()}
    means = {told: pooled([effects[place, name] for name in trained]) for place, told in PLACES.items()}
    return means | {f"{LABELS[name]}: {PLACES[place]}": effect for (place, name), effect in effects.items()}


def by_regime(found: Cells) -> dict[str, dict[str, Means]]:
    """What the ramp gains at each place in the tasks that count, regime by regime and task by task."""
    regimes: dict[str, dict[str, Means]] = {regime: {} for regime in REGIMES}
    for task, arms in by_task(counted(found)).items():
        means = {place: pooled([gain(mine, place) for mine in arms.values()]) for place in PLACES}
        regimes[regime_of(task)][task] = means
    return {regime: tasks for regime, tasks in regimes.items() if tasks}


def mean(tasks: Mapping[str, Means]) -> Means:
    """Equal-weight means over tasks."""
    return {place: pooled([means[place] for means in tasks.values()]) for place in PLACES}


def all_tasks(regimes: Mapping[str, Mapping[str, Means]]) -> dict[str, Means]:
    """The tasks of all regimes together."""
    return {task: means for tasks in regimes.values() for task, means in tasks.items()}


def counts_by_place(found: Cells) -> dict[str, dict[str, int]]:
    """In how many cells that count the gain is surely more than the margin, inside it, surely a loss, or open."""
    places = {}
    for place, endpoint in ENDPOINTS.items():
        words = [decide(gain(arms, place), margin(endpoint).value) for arms in counted(found).values()]
        places[place] = {word: words.count(word) for word in ("above", "inside", "below", "undecided")}
    return places


def paragraphs(found: Cells, regimes: Mapping[str, Mapping[str, Means]]) -> list[str]:
    """What the figure shows, in words: at the best rate and above it, over all tasks and by regime."""
    if not regimes:
        return ["No task trains under any optimiser at this size, so that nothing can be said."]
    told = counts_by_place(found)
    return [_paragraph(place, endpoint, told[place], regimes) for place, endpoint in ENDPOINTS.items()] + [
        _beside(mean(all_tasks(regimes)))
    ]


def _paragraph(place: str, endpoint: str, told: Mapping[str, int], regimes: Mapping[str, Mapping[str, Means]]) -> str:
    least = margin(endpoint).value
    over_all = mean(all_tasks(regimes))[place]
    each = [f"{REGIMES[regime].label} {_told(mean(tasks)[place], least)}" for regime, tasks in regimes.items()]
    return (
        f"**{place[:1].upper()}{place[1:]}**, over all tasks, the loss with the ramp is {_told(over_all, least)}. "
        f"By regime: {'; '.join(each)}. Of {sum(told.values())} pairs of task and optimiser {told['above']} gain more "
        f"than the margin, {told['below']} lose more, {told['inside']} do neither, and {told['undecided']} leave it "
        "open."
    )


def _told(effect: Effect, least: float) -> str:
    return f"{compared_with_interval(effect)}, {reading(effect, least)}"


def _beside(over_all: Means) -> str:
    share = over_all[SHARE]
    points = [f"{number(100 * value)}" for value in (share.estimate, share.low, share.high)]
    return (
        f"Beside it: {THIRD} the loss is {compared_with_interval(over_all[THIRD])}; {FAR} it is "
        f"{compared_with_interval(over_all[FAR])}. At twice the best rate {points[0]}{NO_BREAK}percentage "
        f"points more of the seeds train with the ramp than without ({points[1]} to {points[2]})."
    )
