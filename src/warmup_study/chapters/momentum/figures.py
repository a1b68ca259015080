"""Figures of the third chapter: what momentum gathers during warmup, what follows, and what warmup gains with it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from warmup_study import tasks, theory
from warmup_study.chapters.momentum.analysis import (
    BATCHED,
    COMPARISONS,
    FORMS,
    SENSITIVITY,
    BatchGains,
    Gains,
    Probed,
    momentum_differences,
)
from warmup_study.claims.evidence import pool_tasks
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import curves, lr_panels
from warmup_study.presentation.facets import Facets, facets, legend
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import GUIDE, INK, OPTIMIZERS, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Floats

SHORT = {
    "momentum": "learning rate outside the velocity",
    "momentum_lr_inside": "learning rate inside (Sutskever's form)",
}


@figure_maker
def by_hand(paths: Mapping[str, pd.DataFrame]) -> tuple[Figure, Words]:
    """Velocity and position on the parabola θ²/2, update by update, in both forms, after some at learning rate 0.

    ``paths``: what `theory.momentum_by_hand` gives.
    """
    zero = paths["momentum"]
    start, length = zero["gradient"].iloc[0], len(zero) - len(paths["none"])
    titles = {"velocity": "velocity after the update", "theta": "weight θ after the update"}
    panels = facets([""], titles, (5.2, 3.4), x="update", sharey=False)
    for _, column, axes in panels:
        _hand_panel(axes, paths, column, length)
    velocity, position = panels.axes[0]
    for form in FORMS:
        _write_values(velocity, paths[form].iloc[: length + 1])
    velocity.set_ylim(None, 1.2 * zero["velocity"].max())
    position.text(length / 2 + 0.5, -0.9, f"learning rate 0\nfor {length} updates", ha="center", fontsize=9)
    position.legend(loc="upper right")
    return panels.figure, Words(
        "The two forms of momentum, by hand",
        "Two panels over a few updates. Left, velocities: one form's climbs while the learning rate is zero, the "
        "other's stays at zero. Right, the weight: one form leaps past the minimum at its first real step, the other "
        "reaches it.",
        f"Loss θ²/2, whose gradient is θ itself, from θ = {start:g}; the learning rate is 0 for {length} updates "
        f"(shaded), then {zero['lr'].iloc[-1]:g}. Rings: no warmup, begun {length} updates later. The numbers are "
        "exact.",
    )


def _hand_panel(axes: Axes, paths: Mapping[str, pd.DataFrame], column: str, length: int) -> None:
    for form, marker in zip(FORMS, "os", strict=True):
        path = paths[form]
        axes.plot(path["update"], path[column], marker=marker, color=OPTIMIZERS[form].colour, label=SHORT[form])
    later, name = paths["none"], "no warmup, begun later"
    axes.plot(later["update"] + length, later[column], "o", ms=11, mfc="none", mec="0.5", label=name)
    axes.axvspan(0.5, length + 0.5, **SHADE)
    axes.axhline(0, **GUIDE)
    axes.xaxis.set_major_locator(MultipleLocator(1))


def _write_values(axes: Axes, path: pd.DataFrame) -> None:
    for update, value in zip(path["update"], path["velocity"], strict=True):
        place, above = (update, value), (0, 8)
        axes.annotate(f"{value:g}", place, above, textcoords="offset points", ha="center", fontsize=9)


@figure_maker
def velocity(runs: pd.DataFrame, task: str) -> tuple[Figure, Words]:
    """Velocity, step and direction of both forms of momentum, update by update: a column per warmup."""
    probe = runs[(runs["part"] == "probe") & (runs["task"] == task)]
    warmups = {name: look.label for name, look in WARMUPS.items() if name in set(probe["warmup"])}
    rows = ("velocity / first gradient", "step / first step", "cosine")
    panels = facets(rows, warmups, (2.6, 7 / 3), x="update", sharex=True)
    for row, warmup, axes in panels:
        for form in FORMS:
            values = _velocity_values(probe, form, warmup)[rows.index(row)]
            updates, colour = np.arange(1, values.shape[1] + 1), OPTIMIZERS[form].colour
            curves(axes, updates, values, WARMUPS[warmup], colour, ls="-", marker="", label=SHORT[form])
        axes.axhline(0, **GUIDE)
        if length := Probed.of(probe, f"{FORMS[0]}/{warmup}").length:
            axes.axvspan(0.5, length + 0.5, **SHADE)
    _velocity_theory(panels, probe)
    legend(panels.axes[0, panels.columns.index("zero")], ink=False)
    effective = probe["lr"].iloc[0] / (1 - probe["momentum"].iloc[0])
    return panels.figure, Words(
        "What momentum has gathered when warmup ends",
        "A column per warmup, three rows: length of the velocity, size of the step, and the velocity's cosine with "
        "the way straight downhill. At learning rate zero one form's velocity climbs to about ten gradients and its "
        "first real step is that large; the other form's stays at zero.",
        f"{tasks.load(task).title}. Thin: one of n = {probe['seed'].nunique()} seeds each; thick: the median; shaded: "
        f"warmup. Effective learning rate η/(1 − μ): {effective:.3g}. Lengths are in first batch gradients, steps in "
        "first steps without warmup; a velocity that holds the learning rate is divided by the peak one. Grey: theory; "
        "crosses: its first real steps.",
    )


def _velocity_values(probe: pd.DataFrame, form: str, warmup: str) -> tuple[Floats, Floats, Floats]:
    """Length of the velocity, size of the step and cosine with descent, each [S, K]."""
    none, seen = (Probed.of(probe, f"{form}/{name}") for name in ("none", warmup))
    first_step = none.values("update_norm")[:, :1]
    first_gradient = first_step if form == "momentum_lr_inside" else first_step / none.lr
    return (
        seen.values("velocity_norm") / first_gradient,
        seen.values("update_norm") / first_step,
        seen.values("velocity_alignment"),
    )


def _velocity_theory(panels: Facets[str, str], probe: pd.DataFrame) -> None:
    """What a velocity gathers where the learning rate is 0 or full all the while."""
    length, momentum = int(probe["length"].max()), float(probe["momentum"].iloc[0])
    names = {"same gradient each time": ":", "nothing but noise": "-."}
    for warmup in ("none", "zero"):
        axes = panels.axes[0, panels.columns.index(warmup)]
        for values, (name, line) in zip(theory.gathered_velocity(momentum, length), names.items(), strict=True):
            axes.plot(range(1, length + 1), values, color="0.5", ls=line, lw=1.3, label=name)
    first_steps = [case[-1] for case in theory.gathered_velocity(momentum, length + 1)]
    panels.axes[1, panels.columns.index("zero")].plot([length + 1] * 2, first_steps, "x", color="0.5", mew=2)
    panels.axes[0, 0].set_xlim(0, len(probe["probed_at"].iloc[0]) + 1)


@figure_maker
def outcomes(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against effective learning rate under every warmup: a row per task, a column per form of momentum."""
    chosen = runs[runs["part"].isin(["grid", "zero"]) & runs["arm"].str.partition("/")[0].isin(FORMS)]
    titles = {form: f"momentum, {SHORT[form]}" for form in FORMS}
    panels = lr_panels(chosen, "task", "optimizer", titles, (5.2, 2.9))
    return panels.figure, Words(
        "Loss against learning rate under every warmup, in both forms of momentum",
        f"Two columns of panels, one per form of momentum, {len(panels.rows)} rows, one per task. In each, four curves "
        "of test loss against the learning rate, one per warmup, fall and then rise.",
        f"Thin: one of n = {chosen['seed'].nunique()} seeds; thick: the median. lr = 0 has as many updates more as its "
        "warmup takes, so all curves but those of the ramp and the low learning rate had equal updates at the full "
        "one. A run that diverged counts with the loss of an untrained network (dotted); hatched: half the seeds "
        "diverged.",
    )


@figure_maker
def batches(gains_by_task: Mapping[str, BatchGains]) -> tuple[Figure, Words]:
    """The ramp's gain for SGD with and without momentum, and the difference, by batch size: a column per task."""
    columns, least = pool_tasks(gains_by_task), margin(SENSITIVITY)
    rows = (f"gain of the ramp\n({least.unit})", "momentum minus SGD")
    titles = {task: task if task in gains_by_task else "all tasks" for task in columns}
    panels = facets(rows, titles, (2.2, 2.6), (1.6, 0), x="batch size", sharex=True)
    for row, task, axes in panels:
        estimates = _of_optimizers(columns[task]) if row == rows[0] else _of_differences(columns[task])
        names = [str(size) for size in estimates]
        intervals(axes, list(estimates.values()), names, margin=least.value, upright=True)
    legend(panels.axes[0, 0], ink=False)
    seeds = min(effect.n for effects in columns.values() for effect in effects.values())
    return panels.figure, Words(
        "Does momentum make SGD gain from a ramp?",
        f"Two rows of panels, one column for each of {len(gains_by_task)} tasks and one for all: above, what a ramp "
        "gains SGD and SGD with momentum at each batch size; below, the difference, with a band for small effects.",
        f"Gain in lr sensitivity at matched effective learning rates η/(1 − μ), with 95 % intervals over n = {seeds} "
        "seeds. Shaded: smaller than the smallest gain of interest. Tasks from shallow to deep.",
    )


def _of_optimizers(effects: BatchGains) -> dict[int, list[Estimate]]:
    looks = {name: OPTIMIZERS[name] for name in BATCHED}
    return {
        size: [Estimate(effects[name, size], look.colour, label=look.label) for name, look in looks.items()]
        for size in sorted({size for _, size in effects})
    }


def _of_differences(effects: BatchGains) -> dict[int, list[Estimate]]:
    return {size: [Estimate(effect, INK)] for size, effect in sorted(momentum_differences(effects).items())}


@figure_maker
def kin(gains_by_task: Mapping[str, Gains], seeds: int) -> tuple[Figure, Words]:
    """Gain of every warmup in lr sensitivity, for momentum and its kin: a row per comparison, a column per task."""
    names = [name for name in COMPARISONS if any((name, SENSITIVITY) in effects for effects in gains_by_task.values())]
    least, shown = margin(SENSITIVITY), list(gains_by_task)
    height = 0.3 * len(names) + 1.2
    panels = facets([""], shown, (2.6, height), (2.6, 0), x=f"gain ({least.unit})", sharex=True)
    for _, task, axes in panels:
        rows = [_of_comparison(gains_by_task[task], name) for name in names]
        intervals(axes, rows, names, margin=least.value)
    return panels.figure, Words(
        "What each warmup gains, by form of momentum",
        f"{len(shown)} panels of points with intervals, one for each task, {len(names)} rows of comparisons; points to "
        "the right of zero mean that the warmup does better than none.",
        f"Gain in lr sensitivity over no warmup, paired by seed (n = {seeds}), with 95 % intervals. Shaded: smaller "
        "than the smallest gain of interest. Squares: lr = 0; diamonds: low learning rate; triangles: ramp. A momentum "
        "that is ramped itself is held against momentum at full strength from the start.",
    )


def _of_comparison(effects: Gains, name: str) -> list[Estimate]:
    if (name, SENSITIVITY) not in effects:
        return []
    pair = COMPARISONS[name]
    look = OPTIMIZERS[pair.optimizer]
    return [Estimate(effects[name, SENSITIVITY], look.colour, WARMUPS[pair.warmup].marker)]
