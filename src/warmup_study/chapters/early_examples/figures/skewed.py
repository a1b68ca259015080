"""Figures of the fourth chapter's skewed starts: the gap they leave, unlearning, the first batch, the best length."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from warmup_study.chapters.early_examples.analysis import first_batch as heads
from warmup_study.chapters.early_examples.analysis import skew
from warmup_study.chapters.early_examples.analysis.ramp_lengths import LengthGrid
from warmup_study.claims.evidence import base_task
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import legend, plain_log_scale, seed_lines, with_middle
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look

ARMS = ("none", "ramp", "constant")
CLUSTERS = {"class": "one class", "kmeans": "part of one class", "mark": "true marks"}
_COLOUR = OPTIMIZERS["adam"].colour
_ORDINARY = Look("ordinary stream, no warmup", line=":", marker="")


@figure_maker
def primacy(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Gap between cluster and rest along training, at the highest rate: a row per task, a column per cluster."""
    chosen = skew.gaps(runs[runs["part"] == "skewed"])
    chosen = chosen[chosen["lr"] == chosen["lr"].max()]
    figure, axes, panels = _skewed_panels(chosen)
    for axis, cell in panels:
        epochs = np.asarray(cell["probed_at"].iloc[0]) * _epochs_per_update(cell)
        for warmup in ARMS:
            rows = cell[(cell["skew"] > 0) & (cell["warmup"] == warmup)]
            with_middle(axis, epochs, np.stack(rows["gap"].to_list()), WARMUPS[warmup])
        axis.axhline(0, lw=0.8, color="0.5")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_yscale("symlog", linthresh=0.3, linscale=0.7)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_yticks([-1, -0.3, 0, 0.3, 1, 3, 10])
    for axis in axes[:, 0]:
        axis.set_ylabel("gap: loss on the rest\nless on the cluster (nats)")
    legend(figure, axes[0, 0])
    return figure, Words(
        "A skewed start, and what is left of it",
        "Panels, a row per task and a column per kind of cluster: the gap between the test loss outside and inside the "
        "cluster over the epochs, in three curves, one per warmup. It rises while batches come from the cluster and "
        "shrinks after.",
        f"Adam at a peak rate of {chosen['lr'].iloc[0]:g}; the first half epoch (shaded) takes a share of "
        f"{chosen['skew'].max():g} of each batch from the cluster. Thin: one of n = {chosen['seed'].nunique()} seeds; "
        "thick: the median. Dashed line: end of warmup. Both axes stretch the small values.",
    )


def _skewed_panels(runs: pd.DataFrame) -> tuple[Figure, NDArray[np.object_], list[tuple[Axes, pd.DataFrame]]]:
    """Panels, a row per task and a column per cluster, and the runs of each: skewed ones, and the ordinary stream's."""
    names = base_task(runs).unique()
    figure, axes = plt.subplots(
        len(names), len(CLUSTERS), figsize=(10.4, 2.7 * len(names) + 0.6), sharex=True, sharey="row", squeeze=False
    )
    panels: list[tuple[Axes, pd.DataFrame]] = []
    for task, row in zip(names, axes, strict=True):
        for axis, (cluster, label) in zip(row, CLUSTERS.items(), strict=True):
            of_task = runs[runs["task"] == (f"{task}+marks" if cluster == "mark" else task)]
            panels.append((axis, of_task[(of_task["cluster"] == cluster) | (of_task["skew"] == 0)]))
            _mark_start(*panels[-1])
            axis.set_title(f"{task}: {label}")
    for axis in axes[-1]:
        axis.set_xlabel("epochs")
    return figure, axes, panels


def _mark_start(axes: Axes, runs: pd.DataFrame) -> None:
    scale = _epochs_per_update(runs)
    axes.axvspan(0, float(runs["span"].max()) * scale, color="0.5", alpha=0.15, lw=0)
    axes.axvline(float(runs["length"].max()) * scale, color="0.5", lw=0.8, ls="--")


def _epochs_per_update(runs: pd.DataFrame) -> float:
    return float(runs["batch"].iloc[0]) / float(runs["examples"].iloc[0])


@figure_maker
def unlearning(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Validation loss over the epochs after a skewed start, and the target: a row per task, a column per cluster."""
    chosen = skew.with_epochs_to_target(runs)
    chosen = chosen[chosen["lr"] == chosen["lr"].max()]
    figure, axes, panels = _skewed_panels(chosen)
    for axis, cell in panels:
        epochs = np.asarray(cell["evaluated_at"].iloc[0]) * _epochs_per_update(cell)
        for warmup in ARMS:
            rows = cell[(cell["skew"] > 0) & (cell["warmup"] == warmup)]
            with_middle(axis, epochs, np.stack(rows["validation_curve"].to_list()), WARMUPS[warmup], every=2)
        control = cell[(cell["skew"] == 0) & (cell["warmup"] == "none")]
        median = pd.DataFrame(np.stack(control["validation_curve"].to_list())).median()
        axis.plot(epochs, median, color=INK, lw=1.2, ls=_ORDINARY.line, label=_ORDINARY.label)
        axis.axhline(cell["target"].iloc[0], lw=0.8, color="0.5", label="target")
        plain_log_scale(axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("validation loss (nats)")
    legend(figure, axes[0, 0])
    return figure, Words(
        "How long a skewed start takes to unlearn",
        "Panels, a row per task and a column per kind of cluster: validation loss over the epochs, without warmup, "
        "with a ramp, and with a low rate first, beside an ordinary stream; a line marks the target.",
        f"Adam at a peak rate of {chosen['lr'].iloc[0]:g}. Thin: one of n = {chosen['seed'].nunique()} seeds; thick: "
        "the median. Shaded: batches from the cluster; dashed: end of warmup. Target: what runs without warmup on the "
        "ordinary stream have reached halfway (their median).",
    )


@figure_maker
def first_batch(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """What the first batch did, and what the whole ramp did, against the ramp's length: weights above, gap below."""
    chosen = runs[runs["part"] == "first"]
    found = {str(task): heads.head_starts(rows) for task, rows in chosen.groupby("task", sort=False)}
    columns = [(task, optimizer) for task in found for optimizer in found[task]["optimizer"].unique()]
    figure, axes = plt.subplots(
        2, len(columns), figsize=(max(8.5, 1.4 + 2.4 * len(columns)), 5.2), sharex=True, sharey="row", squeeze=False
    )
    for column, (task, optimizer) in enumerate(columns):
        cell = found[task][found[task]["optimizer"] == optimizer]
        for axis, value in zip(axes[:, column], ("moved", "gap"), strict=True):
            _first_panel(axis, cell, value, OPTIMIZERS[optimizer].colour)
        axes[0, column].set_title(f"{OPTIMIZERS[optimizer].label}, {task}")
        axes[1, column].set_xlabel("length n of the ramp (updates)")
    axes[0, 0].set_ylabel("distance of the weights")
    axes[1, 0].set_ylabel("change of the cluster gap (nats)")
    legend(figure, axes[0, 0])
    return figure, Words(
        "What becomes of the first batch's head start",
        "Two rows of panels, a column per optimiser and task, on log axes: distance between the weights of twins, and "
        "change of the cluster gap, against the length of the ramp. Curves for update one, for the ramp's end, and for "
        "a whole ramp of changed batches; a dotted line falls as one over n.",
        f"Twins differ in their first batch alone (or in all of the ramp's): from one class, or ordinary. Means over n "
        f"= {chosen['seed'].nunique()} seeds; bars span the middle half. Dotted: 1/n, from the value at n = 1.",
    )


def _first_panel(axes: Axes, cell: pd.DataFrame, value: str, colour: str) -> None:
    curves = (
        ("first", f"{value}_first", "first batch, after update 1", Look("", line=":", marker="o")),
        ("first", value, "first batch, at the ramp's end", Look("", line="-", marker="^")),
        ("whole", value, "all of the ramp's batches, at its end", Look("", line=(0, (5, 2)), marker="s")),
    )
    for lasting, column, label, look in curves:
        groups = cell[cell["lasting"] == lasting].groupby("length")[column]
        mean, low, high = groups.mean(), groups.quantile(0.25), groups.quantile(0.75)
        axes.vlines(mean.index, low, high, color=colour, lw=1, alpha=0.6)
        axes.plot(mean.index, mean, color=colour, ls=look.line, marker=look.marker, label=label)
    start = cell[cell["length"] == 1][f"{value}_first"].mean()
    lengths = sorted(cell["length"].unique())
    axes.plot(lengths, start / np.asarray(lengths), color="0.5", lw=4, alpha=0.35, label="1/n")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yscale("log")


@figure_maker
def lengths(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Tuned test loss against the length of the ramp: a row per task, a column per skew of the stream's start."""
    chosen = runs[runs["part"] == "lengths"]
    grids = {str(task): LengthGrid(rows) for task, rows in chosen.groupby("task", sort=False)}
    skews = next(iter(grids.values())).skews
    figure, axes = plt.subplots(
        len(grids),
        len(skews),
        figsize=(max(8.5, 1.2 + 2.4 * len(skews)), 2.7 * len(grids) + 0.4),
        sharex="row",
        sharey="row",
        squeeze=False,
    )
    for (task, grid), row in zip(grids.items(), axes, strict=True):
        for place, axis in enumerate(row):
            _length_panel(axis, grid, place)
            axis.set_title(f"{task}, skew {skews[place]:g}")
        row[0].set_ylabel("test loss at the best rate (nats)")
    for axis in axes[-1]:
        axis.set_xlabel("length of the ramp (epochs)")
    return figure, Words(
        "The best length of a ramp, by skew of the stream",
        "Panels, a row per task and a column per share of early batches that come from one class: test loss against "
        "the length of the ramp in epochs on a log axis, each at its best learning rate; a ring marks the lowest.",
        f"Adam. Thin: one of n = {chosen.loc[chosen['role'] == 'confirmation', 'seed'].nunique()} seeds; thick: their "
        "geometric mean; ring: the lowest. Rates are picked for each length on other seeds. Skew: the share of each "
        "batch of the first half epoch that comes from one class. Grey: one epoch.",
    )


def _length_panel(axes: Axes, grid: LengthGrid, place: int) -> None:
    losses = np.log(grid.test[place])
    rates = grid.validation[place].mean(axis=1).argmin(axis=-1)
    tuned = np.exp(np.stack([losses[row][:, rate] for row, rate in enumerate(rates)], axis=1))
    middle = np.exp(np.log(tuned).mean(axis=0))
    x = 2.0**grid.doublings
    seed_lines(axes, x, tuned, _COLOUR, Look(""))
    axes.plot(x, middle, color=_COLOUR, marker=WARMUPS["ramp"].marker)
    best = int(middle.argmin())
    axes.plot(x[best], middle[best], "o", ms=12, mfc="none", mec=INK, mew=1.5)
    axes.axvline(1, lw=0.8, color="0.5")
    axes.set_xscale("log", base=2)
    axes.set_xticks(x, ["none" if epochs == 0 else f"{epochs:.2g}" for epochs in grid.epochs])
    axes.tick_params(axis="x", labelsize=8)
    plain_log_scale(axes)
