"""Figures of the ninth chapter: old loss at equal new loss, paths, gathered state, new heads, resumed runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from warmup_study.chapters.fine_tuning import sentences
from warmup_study.chapters.fine_tuning.analysis import (
    BACKBONES,
    CLAIM,
    LONGER_LOW,
    PLACES,
    WAYS,
    gathered,
    head_gain,
    old_saved_by,
    trajectories,
)
from warmup_study.chapters.fine_tuning.design import NEW_DATA, RESUMING, STATES
from warmup_study.chapters.fine_tuning.design import WARMUPS as MET_WITH
from warmup_study.chapters.fine_tuning.resuming import MOMENTS, TWICE, excess, excess_curve, ways
from warmup_study.chapters.fine_tuning.trajectories import mean_paths
from warmup_study.claims.conditions import Effects
from warmup_study.claims.evidence import ByTask, measured, over_tasks, where
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker, no_case
from warmup_study.presentation.facets import Facets, facets, legend, plain_log_scale
from warmup_study.presentation.forest import forest
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.intervals import Estimate
from warmup_study.presentation.style import ADAM, GUIDE, INK, WARMUPS
from warmup_study.statistics.bootstrap import Effect

Column = TypeVar("Column")
SHORT = dict(zip(PLACES, ("best LR", "2 × the best LR"), strict=True))
OTHERS = "others"
NOT_LEARNT = "No network here learns the new data"
RAMP_LINES = ((0, (1, 1)), (0, (3, 1.5)), (0, (7, 2)))  # from the shortest ramp to the longest


@figure_maker
def new_data(found: ByTask[str]) -> tuple[Figure, Words]:
    """Old loss without warmup over that with a low learning rate first, at equal new loss: a row per task."""
    tasks = measured(found)
    if not tasks:
        return no_case(NOT_LEARNT)
    shown = _with_mean(found)
    columns = {CLAIM: "a low LR first,\nall four"}
    columns |= {f"{CLAIM} ({state} state, {p})": f"{state} state,\n{SHORT[p]}" for state in STATES for p in PLACES}
    columns |= {OTHERS: "other starts,\nall four"}

    def estimates(name: str) -> list[list[Estimate]]:
        return [_others(effects) if name == OTHERS else [_low(effects[name])] for effects in shown.values()]

    panels = _forest(shown, columns, estimates, 1.65, x="without ÷ with")
    return panels.figure, Words(
        sentences.old_title(found),
        f"{count_of(len(columns), 'panel')} with a row for each task and, of several, for their mean: points with "
        "intervals give the loss on the old data without warmup relative to a run that starts at a low learning "
        "rate, where both reach the same loss on the new data. The last panel shows other ways to start. Right of "
        "1, the old data are retained better.",
        f"Adam; a low LR is 1 % of the full one for as long as the ramp. {_at_least(tasks)}, 95 % intervals; "
        "shaded: differences too small to matter. All four: mean over a fresh and a kept optimiser state, at the "
        "learning rate that is best without warmup and at twice that.",
    )


def _low(effect: Effect) -> Estimate:
    return Estimate(effect, ADAM, WARMUPS["constant"].marker)


def _others(effects: Effects) -> list[Estimate]:
    """All other ways to start, as far as they were tried."""
    ways = {"a ramp": ("ramp", False), "lr = 0": ("zero", False), LONGER_LOW: ("constant", True)}
    return [
        Estimate(effects[old_saved_by(way)], ADAM, WARMUPS[warmup].marker, hollow, f"{way} first")
        for way, (warmup, hollow) in ways.items()
        if old_saved_by(way) in effects
    ]


@figure_maker
def paths(runs: pd.DataFrame, saved: ByTask[str]) -> tuple[Figure, Words]:
    """Loss on the old data against loss on the new along the run: a row per state, a column per task."""
    chosen = where(runs, part=NEW_DATA)
    tasks = list(chosen["task"].unique())
    rows = {state: f"{state} state\nloss on the old data (nats)" for state in STATES}
    panels = facets(rows, tasks, (2.3, 2.3), (0.6, 0.5), x="loss on the new data (nats)", sharey=False)
    found = {task: trajectories(where(chosen, task=task)) for task in tasks}
    for state, task, axes in panels:
        best = found[task][f"{state}/none"].curves.best
        for warmup in ("none", *MET_WITH):
            new, old = mean_paths(found[task][f"{state}/{warmup}"], best)
            axes.plot(new, old, markevery=0.2, ms=4, **WARMUPS[warmup].keywords(ADAM))
        plain_log_scale(axes)
        _tick_losses(axes)
    for axes in panels.axes[0]:
        axes.invert_xaxis()
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        sentences.paths_title(saved),
        "Two rows of panels, optimiser state fresh and kept, and one column per task: loss on the old data against "
        "loss on the new, both on log axes, along the run. Four curves each, one per warmup, go from the left, where "
        "the new data are introduced, to the right, where they are learnt.",
        "Adam at the learning rate that is best without warmup. Geometric means over "
        f"{_seeds(chosen)} seeds, on validation data. A lower curve forgets less of the old data at equal loss on the "
        "new. The title also averages over twice that learning rate, and over a fresh and a kept state.",
    )


def _tick_losses(axes: Axes) -> None:
    """A log scale to the right in plain numbers: decades, or round losses where it spans less than one."""
    axes.set_xscale("log")
    low, high = sorted(axes.get_xlim())
    if high < 10 * low:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


@figure_maker
def gathering(found: ByTask[str]) -> tuple[Figure, Words]:
    """Loss on new data without warmup relative to n extra updates at lr = 0: a row per task, a panel per place."""
    tasks = measured(found)
    if not tasks:
        return no_case(NOT_LEARNT)
    shown = _with_mean(found)

    def estimates(place: str) -> list[list[Estimate]]:
        return [[_of_state(effects, place, state) for state in STATES] for effects in shown.values()]

    panels = _forest(shown, sentences.WHERE, estimates, 3.4, x="loss on the new data: without ÷ with lr = 0")
    return panels.figure, Words(
        sentences.gathering_title(found),
        "Two panels, at the best learning rate and at twice that, with a row for each task and, of several, for their "
        "mean: points with intervals, for a fresh and a kept state, give the loss on the new data without warmup "
        "relative to that after a phase at lr = 0. Right of 1, the phase helps.",
        f"Adam at equal active updates: the phase, as long as a warmup, is added on top. {_at_least(tasks)}, 95 % "
        "intervals; shaded: differences too small to matter.",
    )


def _of_state(effects: Effects, place: str, state: str) -> Estimate:
    return Estimate(effects[gathered(place, state)], ADAM, WARMUPS["zero"].marker, state == "kept", f"{state} state")


@figure_maker
def new_head(found: ByTask[str]) -> tuple[Figure, Words]:
    """Gain of each way to start with a new head: a row per task, a panel per backbone and place."""
    tasks = measured(found)
    if not tasks:
        return no_case(NOT_LEARNT)
    shown = _with_mean(found)
    columns = {(backbone, p): f"{sentences.BACKBONE[backbone]},\n{SHORT[p]}" for backbone in BACKBONES for p in PLACES}

    def estimates(column: tuple[str, str]) -> list[list[Estimate]]:
        backbone, place = column
        return [[_of_way(effects, way, place, backbone) for way in WAYS] for effects in shown.values()]

    panels = _forest(shown, columns, estimates, 2.4, x="loss without ÷ with")
    return panels.figure, Words(
        sentences.head_title(found),
        "Four panels, backbone trained or frozen, at the best learning rate and at twice that, with a row for each "
        "task and, of several, for their mean: points with intervals give the loss on new classes without warmup "
        "relative to that with a low learning rate, a ramp, or lr = 0 first. Right of 1, warmup helps.",
        f"Adam with a fresh state and a new head. {_at_least(tasks)}, 95 % intervals; "
        "shaded: differences too small to matter.",
    )


def _of_way(effects: Effects, way: str, place: str, backbone: str) -> Estimate:
    look = WARMUPS[WAYS[way]]
    return Estimate(effects[head_gain(way, place, backbone)], ADAM, look.marker, label=f"{way} first")


@figure_maker
def resuming(runs: pd.DataFrame, found: ByTask[str]) -> tuple[Figure, Words]:
    """Loss of runs resumed without their state relative to that with it: a row per way, a panel per moment."""
    mean = over_tasks(found)
    rows = list(ways(where(runs, part=RESUMING)))

    def estimates(moment: str) -> list[list[Estimate]]:
        return [[_of_rate(mean, way, moment, more) for more in ("", TWICE)] for way in rows]

    panels = _forest(rows, list(MOMENTS), estimates, 2.6, x="loss ÷ with the state kept", left=2.6)
    return panels.figure, Words(
        sentences.resuming_title(found),
        f"Three panels, by time since the interruption, with a row for each of {len(rows)} ways to continue without "
        "the optimiser state: points with intervals, at the best learning rate and at twice that, give the loss "
        "relative to runs that kept their state. Right of 1, losing the state hurts.",
        f"Means over Adam and AdamW and over {count_of(len(found), 'task')}, interrupted half-way at full learning "
        f"rate. {_at_least(measured(found))}, 95 % intervals; shaded: differences too small to matter. Ramp lengths "
        "are in updates.",
    )


def _of_rate(effects: Effects, way: str, moment: str, more: str) -> Estimate:
    label = "2 × the best LR" if more else "best LR"
    return Estimate(effects[excess(way, moment, more)], ADAM, WARMUPS["none"].marker, bool(more), label)


@figure_maker
def after_resuming(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Loss relative to runs that kept their state, after resuming: a panel per task."""
    chosen = where(runs, part=RESUMING)
    chosen = chosen[chosen["grid_lr"] == _best_lrs(chosen)]
    tasks = list(chosen["task"].unique())
    panels = facets(
        [""], tasks, (2.4, 2.4), (0.6, 0.5), x="updates since resuming", y="loss ÷ with the state kept", sharey=False
    )
    for _, task, axes in panels:
        _draw_after(axes, where(chosen, task=task))
    legend(panels.axes[0, 0], ink=False, ncols=2)
    return panels.figure, Words(
        sentences.peak_title(chosen),
        "One panel per task: mean validation loss relative to runs that kept their optimiser state, against updates "
        "since resuming; one curve for each way to continue without it, all starting at 1.",
        "Adam at the best learning rate, held for a while and then decayed. Means over "
        f"{_seeds(chosen)} seeds. Above 1, losing the state hurts.",
    )


def _best_lrs(runs: pd.DataFrame) -> pd.Series:
    """The lower of each task's two full rates, for each of its runs."""
    return runs.groupby("task")["grid_lr"].transform("min")


def _draw_after(axes: Axes, runs: pd.DataFrame) -> None:
    axes.axhline(1, **GUIDE)
    at, lines = runs["evaluated_at"].iloc[0], iter(RAMP_LINES)
    for way, label in ways(runs).items():
        look = WARMUPS["ramp" if "ramp" in label else "zero" if "zero" in label else "none"]
        line = next(lines, look.line) if "ramp" in label else look.line
        style = look.keywords(INK if "zero" in label else ADAM) | {"ls": line, "label": way}
        axes.plot(at, excess_curve(runs, label), markevery=0.2, ms=4, **style)


def _with_mean(found: ByTask[str]) -> Mapping[str, Effects]:
    """The tasks that count and, where there are several, their mean last."""
    tasks = measured(found)
    return tasks | ({"mean": over_tasks(found)} if len(tasks) > 1 else {})


def _forest(
    rows: Iterable[str],
    columns: Sequence[Column] | Mapping[Column, str],
    estimates: Callable[[Column], list[list[Estimate]]],
    width: float,
    *,
    x: str,
    left: float = 1.4,
) -> Facets[str, Column]:
    """Ratios of losses; differences within the smallest of interest are shaded."""
    least = margin("tuned_loss").value
    return forest(list(rows), columns, estimates, (width, 0.45), (left, 1.0), margin=least, ratio=True, x=x)


def _at_least(tasks: Mapping[str, Mapping[str, Effect]]) -> str:
    seeds = min(effect.n for effects in tasks.values() for effect in effects.values())
    return f"At least {seeds} seeds"


def _seeds(runs: pd.DataFrame) -> str:
    counts = runs.groupby("task")["seed"].nunique()
    return " to ".join(dict.fromkeys(str(count) for count in (counts.min(), counts.max())))
