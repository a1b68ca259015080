"""Figures of the second chapter: shares of the ramp's gain, ramp vs jump, the end of warmup, lost updates."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study.chapters.zero_vs_ramped_warmup.analysis import DOWN, LOST_BY_RESET, RECOVERED, target_loss
from warmup_study.chapters.zero_vs_ramped_warmup.sentences import PLACES, advantage_over, share
from warmup_study.claims.evidence import ByTask, measured, over_tasks, regime_of
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker, no_case
from warmup_study.presentation.changes import compared
from warmup_study.presentation.curves import by_warmup
from warmup_study.presentation.facets import facets, legend, plain_log_scale
from warmup_study.presentation.forest import share_ratio_scale
from warmup_study.presentation.formatting import NO_BREAK, count_of, number
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, GUIDE, INK, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect

JUMPS = ("zero", "constant", "ramp")
SHARES = {
    "share recovered at lr = 0": ("lr = 0, then full: recovers", 0.8, None),
    "share recovered at lr = 0, first moment frozen": ("… first moment kept at 0", None, None),
    "share recovered at lr = 0, counters restarted": ("… counters restarted", None, None),
    "share recovered at lr = 0, first moment frozen and counters restarted": ("… both", None, None),
    "share recovered at lr = 0 and a ramp after it": ("lr = 0, then ramp: recovers", None, None),
    "share lost by a reset": ("ramp, state reset: loses", 0.5, None),
    "share lost by a reset before a short ramp": ("… then a short ramp: loses", None, None),
}
"""An effect's row label, and the smallest share that the claim expects."""
FEWEST, MOST = -1.0, 2.0  # shares beyond which an interval is cut


@figure_maker
def shares(found: ByTask[str]) -> tuple[Figure, Words]:
    """Shares of the ramp's gain that statistics recover, or that losing them costs: a panel per task that can tell."""
    tasks = measured(found)
    shown = ({"mean": over_tasks(found)} if len(tasks) > 1 else {}) | tasks
    if not shown:
        return no_case("Nowhere here does training fail without warmup and succeed with a ramp")
    panels = facets([""], list(shown), (1.7, 3.0), (2.6, 0), x="share of the ramp's gain")
    for _, task, axes in panels:
        _share_panel(axes, shown[task])
    mean = next(iter(shown.values()))
    recovered = share(mean[next(iter(RECOVERED))])
    lost = f"{number(100 * mean[next(iter(LOST_BY_RESET))].estimate)}{NO_BREAK}%"
    seeds = min(effect.n for effects in tasks.values() for effect in effects.values())
    return panels.figure, Words(
        f"Statistics from lr = 0 recover {recovered} of the ramp's gain; a reset costs {lost}",
        f"One panel for each of {count_of(len(tasks), 'task')}, and one for their mean if there are several, with a "
        f"row for each of {len(SHARES)} shares: a point with an interval gives a share of the ramp's gain over no "
        "warmup, where 0 is none of it and 1 all.",
        "Adam, at learning rates at which training fails without warmup and succeeds with the ramp (picked on "
        f"validation data). Shares of the ramp's reduction in loss; at least {seeds} seeds, 95 % intervals, "
        "clipped at the edge of the plot. Shaded: values to expect if a ramp serves to gather statistics. Squares: "
        "lr = 0 for n extra updates; triangles: ramps.",
    )


def _share_panel(axes: Axes, effects: Mapping[str, Effect]) -> None:
    axes.axvline(1, ls="--", **GUIDE)
    for row, (_, low, _) in enumerate(SHARES.values()):
        if low is not None:
            axes.fill_betweenx([row - 0.4, row + 0.4], low, MOST, **SHADE)
    marker = {name: WARMUPS["zero" if name in RECOVERED else "ramp"].marker for name in SHARES}
    rows = [[Estimate(effects[name], ADAM, marker[name])] for name in SHARES]
    intervals(axes, rows, [label for label, *_ in SHARES.values()])
    axes.set_xlim(FEWEST, MOST)
    axes.set_xticks([0, 1])


@figure_maker
def jump(found: ByTask[str]) -> tuple[Figure, Words]:
    """Loss after each jump relative to the ramp: a row per task and for their mean, a panel per place."""
    tasks = measured(found)
    if not tasks:
        return no_case("Adam trains none of these tasks")
    shown = tasks | ({"mean": over_tasks(found)} if len(tasks) > 1 else {})
    panels = facets([""], PLACES, (3.1, 0.42 * len(shown) + 0.8), (1.2, 0), x="loss after the jump ÷ after the ramp")
    for _, place, axes in panels:
        rows = [[_advantage(effects, arm, place) for arm in ("zero", "constant")] for effects in shown.values()]
        endpoint = "tuned_loss" if place == next(iter(PLACES)) else "overshoot"
        intervals(axes, rows, list(shown), margin=margin(endpoint).value, ratio=True)
    share_ratio_scale([axes for *_, axes in panels])
    legend(panels.axes[0, 0], ink=False)
    best, above = (compared(next(reversed(shown.values()))[advantage_over("zero", place)].estimate) for place in PLACES)
    seeds = min(effect.n for effects in tasks.values() for effect in effects.values())
    return panels.figure, Words(
        f"A ramp ends with a loss {best} than a jump from lr = 0 at the best learning rate, and {above} at twice that",
        "Two panels, at the best learning rate and at twice that, with a row for each task: points with intervals give "
        "the loss after a jump from lr = 0, and after one from a low learning rate, relative to the ramp. Right of 1, "
        "the ramp is better.",
        f"Adam at equal active updates: the jumps take n extra updates. At least {seeds} seeds, 95 % intervals; "
        "shaded: differences too small to matter. Twice the best: relative to the best learning rate without warmup.",
    )


def _advantage(effects: Mapping[str, Effect], arm: str, place: str) -> Estimate:
    look = WARMUPS[arm]
    return Estimate(effects[advantage_over(arm, place)], ADAM, look.marker, arm == "constant", look.label)


@figure_maker
def end_of_warmup(runs: pd.DataFrame, found: ByTask[str]) -> tuple[Figure, Words]:
    """Batch loss and drift of the second moment around the end of warmup: a column for one task of each regime."""
    jumps = runs[runs["part"] == "jump"]
    rows = {"batch_loss": "batch loss (nats)", "second_moment_drift": "drift of √v"}
    tasks = list({regime_of(task): task for task in reversed(jumps["task"].unique())}.values())[::-1]
    panels = facets(rows, tasks, (2.2, 2.0), (1.2, 0.3), x="updates after warmup", sharex=False)
    for probe, task, axes in panels:
        by_warmup(axes, _around_the_end(jumps[jumps["task"] == task]), "after", probe, JUMPS, markevery=0.2)
        axes.axvline(0.5, **GUIDE)
        if probe == "batch_loss":
            plain_log_scale(axes)
    legend(panels.axes[0, 0])
    drift = over_tasks(found).get("drift added by the jump")
    side = "" if drift is None else ("further behind" if drift.estimate > 0 else "no further behind")
    title = f"After the jump, the second moment lags {side}" if side else "What happens at the end of warmup"
    return panels.figure, Words(
        f"{title} than during the ramp" if side else title,
        "Two rows of panels, one column for one task of each regime: batch loss, and drift of the second moment, from "
        "the second half of warmup to fifty updates after it. Three curves each: learning rate 0, a low learning rate, "
        "and the ramp.",
        f"Adam at twice its best learning rate. Thin lines: at least {jumps.groupby('task')['seed'].nunique().min()} "
        "seeds; thick: median. Drift: mean distance |ln √v̂ − ln √s| of the second moment from a fresh estimate s at "
        "the same weights; 0 is up to date, 1 is off by a factor of e.",
    )


def _around_the_end(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with their probed updates counted from the end of warmup."""
    after = [np.asarray(at) - length for at, length in zip(runs["probed_at"], runs["length"], strict=True)]
    return runs.assign(after=pd.Series(after, index=runs.index, dtype=object))


@figure_maker
def lost_updates(runs: pd.DataFrame, found: ByTask[str]) -> tuple[Figure, Words]:
    """Validation loss against updates where no warmup is needed, and the target: a panel per task."""
    lost = runs[runs["part"] == "lost"]
    tasks = list(lost["task"].unique())
    panels = facets([""], tasks, (2.25, 2.5), (1, 0.3), x="update", y="validation loss (nats)", sharey=False)
    for _, task, axes in panels:
        _lost_panel(axes, lost[lost["task"] == task])
    legend(panels.axes[0, 0])
    mean = over_tasks(found)
    title = (
        f"Updates at learning rate 0 delay training by {number(mean['delay of zero'].estimate)} times their number, on "
        "average"
        if mean
        else "Training never reaches its target here, so no delay can be measured"
    )
    return panels.figure, Words(
        title,
        "One panel per task: validation loss against updates without warmup, after a phase at learning rate 0, and "
        "after one at a low learning rate. A dotted copy of the first curve is shifted right by the phase's length.",
        f"Adam at half its best learning rate, held constant; n = {lost['length'].max()} updates. Thin lines: at least "
        f"{lost.groupby('task')['seed'].nunique().min()} seeds; thick: median. Target: {number(100 * DOWN)}{NO_BREAK}% "
        "of the reduction in loss that training without warmup achieves. If updates at learning rate 0 are simply "
        "lost, the dotted curve coincides with that of lr = 0.",
    )


def _lost_panel(axes: Axes, runs: pd.DataFrame) -> None:
    by_warmup(axes, runs, "evaluated_at", "validation_curve", ("none", "zero", "constant"), markevery=0.15)
    none = runs[runs["warmup"] == "none"]
    median = np.median(np.stack(none["validation_curve"].to_list()), axis=0)
    moved = np.asarray(none["evaluated_at"].iloc[0]) + runs["length"].max()
    axes.plot(moved, median, color=INK, lw=1, ls=":", label="no warmup, shifted by n")
    axes.axhline(target_loss(runs), label="target", **GUIDE)
    axes.set_xlim(0, runs["updates"].max())
    plain_log_scale(axes)
