"""Figures of the third chapter: what momentum gathers during warmup, what follows, and what warmup gains with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray

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
from warmup_study.presentation.panels import legend, lr_panel, seed_lines, with_capped_loss
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS
from warmup_study.statistics.bootstrap import Effect

SHORT = {"momentum": "rate outside the velocity", "momentum_lr_inside": "rate inside (Sutskever's form)"}
SHADE: dict[str, Any] = {"color": "0.5", "alpha": 0.14, "lw": 0}


@figure_maker
def by_hand(paths: Mapping[str, pd.DataFrame]) -> tuple[Figure, Words]:
    """Velocity and position on the parabola θ²/2, update by update, in both forms, after some updates at rate 0.

    ``paths``: what `theory.momentum_by_hand` gives.
    """
    zero = paths["momentum"]
    start, length = zero["gradient"].iloc[0], len(zero) - len(paths["none"])
    figure, (velocity, position) = plt.subplots(1, 2, figsize=(10.4, 3.4))
    _hand_panel(velocity, paths, "velocity", length)
    _hand_panel(position, paths, "theta", length)
    for form in FORMS:
        _write_values(velocity, paths[form].iloc[: length + 1])
    velocity.set(title="velocity after the update", ylim=(None, 1.2 * zero["velocity"].max()))
    position.set_title("weight θ after the update")
    position.text(length / 2 + 0.5, -0.9, f"rate 0 for {length} updates", ha="center", fontsize=9)
    position.legend(loc="upper right")
    return figure, Words(
        "The two forms of momentum, by hand",
        "Two panels over a few updates. Left, velocities: one form's climbs while the rate is zero, the other's stays "
        "at zero. Right, the weight: one form leaps past the minimum at its first real step, the other reaches it.",
        f"Loss θ²/2, whose gradient is θ itself, from θ = {start:g}; the rate is 0 for {length} updates (shaded), "
        f"then {zero['lr'].iloc[-1]:g}. Rings: no warmup, begun {length} updates later. The numbers are exact.",
    )


def _hand_panel(axes: Axes, paths: Mapping[str, pd.DataFrame], column: str, length: int) -> None:
    for form, marker in zip(FORMS, "os", strict=True):
        path = paths[form]
        axes.plot(path["update"], path[column], marker=marker, color=OPTIMIZERS[form].colour, label=SHORT[form])
    later = paths["none"]
    axes.plot(
        later["update"] + length, later[column], "o", ms=11, mfc="none", mec="0.5", label="no warmup, begun later"
    )
    axes.axvspan(0.5, length + 0.5, **SHADE)
    axes.axhline(0, lw=0.8, color="0.5")
    axes.set_xlabel("update")
    axes.xaxis.set_major_locator(MultipleLocator(1))


def _write_values(axes: Axes, path: pd.DataFrame) -> None:
    for _, row in path.iterrows():
        axes.annotate(
            f"{row['velocity']:g}",
            (row["update"], row["velocity"]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )


@figure_maker
def velocity(runs: pd.DataFrame, task: str) -> tuple[Figure, Words]:
    """Velocity, step and direction of both forms of momentum, update by update: a column per warmup.

    ``runs``: the part "probe" of the table of runs.
    """
    probe = runs[(runs["part"] == "probe") & (runs["task"] == task)]
    warmups = [name for name in WARMUPS if name in set(probe["warmup"])]
    figure, axes = plt.subplots(3, len(warmups), figsize=(2.6 * len(warmups), 7), sharex=True, sharey="row")
    for column, warmup in enumerate(warmups):
        for form in FORMS:
            _velocity_column(axes[:, column], probe, form, warmup)
        axes[0, column].set_title(WARMUPS[warmup].label)
        axes[2, column].set_xlabel("update")
    _velocity_theory(axes, warmups, probe)
    for axis, label in zip(axes[:, 0], ("velocity / first gradient", "step / first step", "cosine"), strict=True):
        axis.set_ylabel(label)
    handles, labels = axes[0, warmups.index("zero")].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure, _velocity_words(probe, task)


def _velocity_column(axes: NDArray[np.object_], probe: pd.DataFrame, form: str, warmup: str) -> None:
    none, seen = (Probed.of(probe, f"{form}/{name}") for name in ("none", warmup))
    first_step = none.values("update_norm")[:, :1]
    first_gradient = first_step if form == "momentum_lr_inside" else first_step / none.lr
    panels = (
        seen.values("velocity_norm") / first_gradient,
        seen.values("update_norm") / first_step,
        seen.values("velocity_alignment"),
    )
    for axis, values in zip(axes, panels, strict=True):
        updates = np.arange(1, values.shape[1] + 1)
        colour = OPTIMIZERS[form].colour
        seed_lines(axis, updates, values, colour, WARMUPS[warmup])
        axis.plot(updates, pd.DataFrame(values).median(), color=colour, label=SHORT[form])
        axis.axhline(0, lw=0.8, color="0.5")
        if seen.length and form == FORMS[0]:
            axis.axvspan(0.5, seen.length + 0.5, **SHADE)


def _velocity_theory(axes: NDArray[np.object_], warmups: Sequence[str], probe: pd.DataFrame) -> None:
    """What a velocity gathers where the rate is 0 or full all the while."""
    length, total = int(probe["length"].max()), len(probe["probed_at"].iloc[0])
    momentum = float(probe["momentum"].iloc[0])
    gathered = theory.gathered_velocity(momentum, length)
    for warmup in ("none", "zero"):
        for values, name, line in zip(
            gathered, ("same gradient each time", "nothing but noise"), (":", "-."), strict=True
        ):
            axes[0, warmups.index(warmup)].plot(range(1, length + 1), values, color="0.5", ls=line, lw=1.3, label=name)
    first_steps = theory.gathered_velocity(momentum, length + 1)
    axes[1, warmups.index("zero")].plot([length + 1] * 2, [case[-1] for case in first_steps], "x", color="0.5", mew=2)
    axes[0, 0].set_xlim(0, total + 1)


def _velocity_words(probe: pd.DataFrame, task: str) -> Words:
    effective = probe["lr"].iloc[0] / (1 - probe["momentum"].iloc[0])
    return Words(
        "What momentum has gathered when warmup ends",
        "A column per warmup, three rows: length of the velocity, size of the step, and the velocity's cosine with "
        "the way straight downhill. At rate zero one form's velocity climbs to about ten gradients and its first real "
        "step is that large; the other form's stays at zero.",
        f"{tasks.load(task).title}. Thin: one of n = {probe['seed'].nunique()} seeds each; thick: the median; shaded: "
        f"warmup. Effective rate η/(1−μ): {effective:.3g}. Lengths are in first batch gradients, steps in first steps "
        "without warmup; a velocity that holds the rate is divided by the peak rate. Grey: theory; crosses: its first "
        "real steps.",
    )


@figure_maker
def outcomes(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against effective peak rate under every warmup: a row per task, a column per form of momentum.

    ``runs``: the parts "grid" and "zero" of the table of runs.
    """
    chosen = runs[runs["part"].isin(["grid", "zero"]) & runs["arm"].str.partition("/")[0].isin(FORMS)]
    chosen = with_capped_loss(chosen.assign(lr=chosen["lr"] / (1 - chosen["momentum"])))
    names = list(chosen["task"].unique())
    figure, axes = plt.subplots(
        len(names), len(FORMS), figsize=(10.4, 2.9 * len(names) + 0.4), sharex=True, sharey="row", squeeze=False
    )
    for (row, task), (column, form) in ((r, c) for r in enumerate(names) for c in enumerate(FORMS)):
        lr_panel(axes[row, column], chosen[(chosen["task"] == task) & (chosen["optimizer"] == form)], form)
        axes[row, column].set_title(f"momentum, {SHORT[form]}" if row == 0 else "")
        axes[row, column].set_xlabel("effective peak rate η/(1−μ)" if row == len(names) - 1 else "")
        axes[row, column].set_ylabel(f"{task}\ntest loss (nats)" if column == 0 else "")
    legend(figure, axes[0, 0])
    return figure, Words(
        "Loss against learning rate under every warmup, in both forms of momentum",
        f"Two columns of panels, one per form of momentum, {len(names)} rows, one per task. In each, four curves of "
        "test loss against the rate, one per warmup, fall and then rise.",
        f"Thin: one of n = {chosen['seed'].nunique()} seeds; thick: the median. lr = 0 has as many updates more as its "
        "warmup takes, so all curves but those of the ramp and the low rate had equal updates at the full rate. A run "
        "that diverged counts with the loss of an untrained network (dotted); hatched: half the seeds diverged.",
    )


@figure_maker
def batches(gains_by_task: Mapping[str, BatchGains]) -> tuple[Figure, Words]:
    """The ramp's gain for SGD with and without momentum, and the difference, by batch size: a column per task."""
    columns = pool_tasks(gains_by_task)
    least = margin(SENSITIVITY)
    figure, axes = plt.subplots(
        2, len(columns), figsize=(2.2 * len(columns) + 1.6, 5.2), sharex=True, sharey="row", squeeze=False
    )
    for column, (task, effects) in enumerate(columns.items()):
        _batch_column(axes[:, column], effects)
        axes[0, column].set_title(task if task in gains_by_task else "all tasks")
        for axis in axes[:, column]:
            axis.axhspan(-least.value, least.value, **SHADE)
            axis.axhline(0, lw=0.8, color="0.5")
        axes[1, column].set_xlabel("batch size")
    axes[0, 0].set_ylabel(f"gain of the ramp\n({least.unit})")
    axes[1, 0].set_ylabel("momentum minus SGD")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    seeds = min(effect.n for effects in columns.values() for effect in effects.values())
    return figure, Words(
        "Does momentum make SGD gain from a ramp?",
        f"Two rows of panels, one column for each of {len(gains_by_task)} tasks and one for all: above, what a ramp "
        "gains SGD and SGD with momentum at each batch size; below, the difference, with a band for small effects.",
        f"Gain in lr sensitivity at matched effective rates η/(1−μ), with 95 % intervals over n = {seeds} seeds. "
        "Shaded: smaller than the smallest gain of interest. Tasks from shallow to deep.",
    )


def _batch_column(axes: NDArray[np.object_], effects: BatchGains) -> None:
    sizes = sorted({batch for _, batch in effects})
    places = [float(place) for place in range(len(sizes))]
    for optimizer, shift in zip(BATCHED, (-0.1, 0.1), strict=True):
        look = OPTIMIZERS[optimizer]
        _points(
            axes[0],
            [place + shift for place in places],
            [effects[optimizer, size] for size in sizes],
            look.colour,
            look.label,
        )
    differences = momentum_differences(effects)
    _points(axes[1], places, [differences[size] for size in sizes], INK, "difference")
    axes[1].set_xticks(places, [str(size) for size in sizes])
    axes[1].set_xlim(-0.5, len(sizes) - 0.5)


def _points(axes: Axes, places: Sequence[float], effects: Iterable[Effect], colour: str, label: str) -> None:
    shown = list(effects)
    axes.vlines(places, [e.low for e in shown], [e.high for e in shown], color=colour, lw=2.5)
    axes.plot(places, [e.estimate for e in shown], WARMUPS["ramp"].marker, color=colour, markersize=7, label=label)


@figure_maker
def kin(gains_by_task: Mapping[str, Gains], seeds: int) -> tuple[Figure, Words]:
    """Gain of every warmup in lr sensitivity, for momentum and its kin: a row per comparison, a column per task."""
    names = [name for name in COMPARISONS if any((name, SENSITIVITY) in effects for effects in gains_by_task.values())]
    least, count = margin(SENSITIVITY), len(gains_by_task)
    figure, axes = plt.subplots(
        1, count, figsize=(2.6 * count + 2.6, 0.3 * len(names) + 1.2), sharex=True, sharey=True, squeeze=False
    )
    for axis, (task, effects) in zip(axes[0], gains_by_task.items(), strict=True):
        axis.axvspan(-least.value, least.value, **SHADE)
        axis.axvline(0, lw=0.8, color="0.5")
        for row, name in enumerate(names):
            if (name, SENSITIVITY) in effects:
                _gain(axis, row, name, effects[name, SENSITIVITY])
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.set(title=task, xlabel=f"gain ({least.unit})")
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    return figure, Words(
        "What each warmup gains, by form of momentum",
        f"{count} panels of points with intervals, one for each task, {len(names)} rows of comparisons; points to the "
        "right of zero mean that the warmup does better than none.",
        f"Gain in lr sensitivity over no warmup, paired by seed (n = {seeds}), with 95 % intervals. Shaded: smaller "
        "than the smallest gain of interest. Squares: lr = 0; diamonds: low rate; triangles: ramp. A momentum that is "
        "ramped itself is held against momentum at full strength from the start.",
    )


def _gain(axes: Axes, row: int, name: str, effect: Effect) -> None:
    pair = COMPARISONS[name]
    colour = OPTIMIZERS[pair.optimizer].colour
    axes.plot([effect.low, effect.high], [row, row], color=colour, lw=2.5, solid_capstyle="butt")
    axes.plot(effect.estimate, row, WARMUPS[pair.warmup].marker, color=colour, markersize=7)
