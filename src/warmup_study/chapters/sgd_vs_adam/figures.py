"""Figures of the first chapter: loss against learning rate, gains with intervals, the first hundred updates."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study import tasks, theory
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import gain_panel, legend, lr_panel, seed_lines, with_capped_loss
from warmup_study.presentation.style import ENDPOINTS, INK, OPTIMIZERS, WARMUPS
from warmup_study.statistics.bootstrap import Effect
from warmup_study.training.optimizers import Optimizer

Gains = Mapping[str, Mapping[tuple[str, str], Effect]]


@figure_maker
def lr_curves(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against peak learning rate: a row per task, a column per optimiser, {no warmup, ramp} in each.

    ``runs``: the part "grid" of the table of runs.
    """
    grid = with_capped_loss(runs[runs["part"] == "grid"])
    rows, columns = list(grid["task"].unique()), list(grid["optimizer"].unique())
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(2.6 * len(columns), 2.8 * len(rows) + 0.4),
        sharex="col",
        sharey="row",
        squeeze=False,
    )
    for (row, task), (column, optimizer) in ((r, c) for r in enumerate(rows) for c in enumerate(columns)):
        panel = grid[(grid["task"] == task) & (grid["optimizer"] == optimizer)]
        lr_panel(axes[row, column], panel, optimizer)
        axes[row, column].set_title(OPTIMIZERS[optimizer].label if row == 0 else "")
        axes[row, column].set_xlabel("peak learning rate" if row == len(rows) - 1 else "")
        axes[row, column].set_ylabel(f"{task}\ntest loss (nats)" if column == 0 else "")
    legend(figure, axes[0, 0])
    return figure, _lr_words(grid, len(columns))


def _lr_words(grid: pd.DataFrame, columns: int) -> Words:
    seeds, rates = grid["seed"].nunique(), grid.groupby("optimizer")["lr"].nunique().max()
    names = ", ".join(OPTIMIZERS[name].label for name in grid["optimizer"].unique())
    return Words(
        "Test loss against learning rate, with and without warmup",
        f"{columns} columns of panels, one per optimiser ({names}), a row per task. Each shows test loss falling and "
        "then rising with the peak learning rate, one curve without warmup and one under the ramp.",
        f"Thin lines: one seed each; thick lines: the median over n = {seeds} seeds at {rates} learning rates. Open "
        "circles: no warmup; filled triangles: ramp. A run that diverged counts with the loss of an untrained network "
        "(dotted); hatched: at least half the seeds diverged (rising strokes: no warmup, falling ones: ramp).",
    )


@figure_maker
def gains(gains_by_task: Gains, seeds: int) -> tuple[Figure, Words]:
    """Gain of the ramp per endpoint, optimiser and task, with 95 % intervals and the margin shaded."""
    names = list(dict.fromkeys(endpoint for effects in gains_by_task.values() for _, endpoint in effects))
    rows = [
        (task, optimizer)
        for task, effects in gains_by_task.items()
        for optimizer in dict.fromkeys(o for o, _ in effects)
    ]
    figure, axes = plt.subplots(1, len(names), figsize=(10.4, 0.28 * len(rows) + 1.3), sharey=True, squeeze=False)
    for axis, endpoint in zip(axes[0], names, strict=True):
        gain_panel(axis, [(o, gains_by_task[task][o, endpoint]) for task, o in rows], margin(endpoint).value)
        axis.set(title=ENDPOINTS[endpoint][0], xlabel=ENDPOINTS[endpoint][1])
    labels = [f"{OPTIMIZERS[o].label} · {task}" for task, o in rows]
    axes[0, 0].set_yticks(range(len(rows)), labels)
    axes[0, 0].invert_yaxis()
    return figure, Words(
        "What the ramp gains, by optimiser and endpoint",
        f"Three panels of points with intervals, one row for each of {len(rows)} pairs of optimiser and task; points "
        "to the right of zero mean that the ramp does better than no warmup.",
        f"Gain of the ramp over no warmup, paired by seed (n = {seeds} in all, selection and confirmation seeds; the "
        "tuned loss is reported on the confirmation seeds alone), with 95 % bootstrap intervals; that of the largest "
        "trainable rate allows for the grid's step. Shaded: smaller than the smallest gain of interest.",
    )


@figure_maker
def first_updates(runs: pd.DataFrame, task: str) -> tuple[Figure, Words]:
    """Size of each of the first updates over its learning rate, against theory, and its alignment with descent.

    ``runs``: the part "probe" of the table of runs.
    """
    probed = runs[(runs["part"] == "probe") & (runs["task"] == task)]
    columns = list(probed["optimizer"].unique())
    figure, axes = plt.subplots(
        2, len(columns), figsize=(2.6 * len(columns), 5.2), sharex=True, sharey="row", squeeze=False
    )
    for column, optimizer in enumerate(columns):
        panel = probed[probed["optimizer"] == optimizer]
        _trace(axes[0, column], panel, optimizer, "update_size")
        _trace(axes[1, column], panel, optimizer, "alignment")
        _theory(axes[0, column], optimizer, int(panel["probed_at"].iloc[0][-1]))
        axes[0, column].set(title=OPTIMIZERS[optimizer].label, xscale="log", yscale="log")
        axes[1, column].axhline(0, lw=0.8, color="0.5")
        axes[1, column].set_xlabel("update")
    axes[0, 0].set_ylabel("size of update / learning rate")
    axes[1, 0].set_ylabel("cosine with descent")
    legend(figure, axes[0, -1])
    return figure, _first_words(probed, task)


def _trace(axes: Axes, panel: pd.DataFrame, optimizer: str, column: str) -> None:
    colour = OPTIMIZERS[optimizer].colour
    for warmup in ("none", "ramp"):
        runs, look = panel[panel["warmup"] == warmup], WARMUPS[warmup]
        updates, values = np.asarray(runs["probed_at"].iloc[0]), np.stack(runs[column].to_list())
        seed_lines(axes, updates, values, colour, look)
        axes.plot(updates, np.median(values, 0), color=colour, ls=look.line, label=look.label)


def _theory(axes: Axes, optimizer: str, updates: int) -> None:
    rule = Optimizer.model_validate({"name": optimizer})
    if rule.kernel == "adaptive":
        sizes = theory.noise_update_size(rule, updates)
        axes.plot(range(1, updates + 1), sizes, color="0.5", lw=1.2, ls=":", label="theory, pure noise")


def _first_words(probed: pd.DataFrame, task: str) -> Words:
    seeds = probed["seed"].nunique()
    return Words(
        "The first updates: how large, and which way",
        "A column per optimiser. Above, the size of each update divided by its learning rate, on log axes: RMSProp "
        "starts near ten and falls, Adam starts at one. Below, the cosine between the update and the descent "
        "direction of the whole training set.",
        f"{tasks.load(task).title}; thin lines: one of n = {seeds} seeds; thick: the median. Size is the root "
        "mean square over parameters. Dotted: what theory predicts where gradients are nothing but noise. The learning "
        "rate is divided out, so the ramp acts only through where it has led.",
    )


@figure_maker
def realised_lr(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Realised learning rate over its peak as the engine logged it: a column per warmup, a row per decay.

    ``runs``: the part "audit" of the table of runs.
    """
    audit = runs[runs["part"] == "audit"].drop_duplicates("arm")
    rows, columns = list(audit["decay"].unique()), list(audit["warmup"].unique())
    figure, axes = plt.subplots(len(rows), len(columns), figsize=(10.4, 4.4), sharex=True, sharey=True, squeeze=False)
    for _, run in audit.iterrows():
        panel = axes[rows.index(run["decay"]), columns.index(run["warmup"])]
        updates, realised = np.asarray(run["evaluated_at"])[1:], np.asarray(run["realised_lr"])[1:]
        panel.plot(updates, realised / run["lr"], color=INK, lw=0.8, alpha=0.5)
        panel.plot(updates[::5], realised[::5] / run["lr"], ".", color=INK, markersize=4)
    for axis, warmup in zip(axes[0], columns, strict=True):
        axis.set_title(warmup)
    for axis, decay in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(f"{decay.replace('_', ' ')}\nlr / peak")
    for axis in axes[-1]:
        axis.set_xlabel("update")
    return figure, Words(
        "The learning rates that updates were really taken at",
        f"A grid of small panels, {len(columns)} warmups across and {len(rows)} decays down; in each the learning rate "
        "rises as its warmup says and then stays at its peak or decays.",
        f"As logged by the engine at each of {len(audit['evaluated_at'].iloc[0]) - 1} updates, as a share of the peak "
        "rate. Columns: the warmup; rows: what follows it.",
    )
