"""The study's main figure: {SGD, Adam} x {lr = 0 warmup, ramp}, with no warmup beside, momentum off and on."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import legend, lr_panel, with_capped_loss
from warmup_study.presentation.style import OPTIMIZERS

SETUPS = {"sgd": "SGD", "momentum": "SGD + momentum", "adam0": "Adam without momentum", "adam": "Adam"}
ARMS = ("none", "zero", "ramp")


@figure_maker
def four_setups(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against peak rate: a row per task, a column per setup, {none, zero, ramp} in each.

    ``runs``: the part "grid" of the table of runs, arms labelled ``setup/warmup``.
    """
    grid = with_capped_loss(runs[runs["part"] == "grid"])
    labels = grid["arm"].str.split("/", expand=True)
    grid = grid.assign(setup=labels[0], lr=grid["lr"] / (1 - grid["momentum"].fillna(0)))[labels[1].isin(ARMS)]
    rows = list(grid["task"].unique())
    figure, axes = plt.subplots(
        len(rows), len(SETUPS), figsize=(10.8, 2.7 * len(rows) + 0.6), sharex="col", sharey="row", squeeze=False
    )
    for row, task in enumerate(rows):
        for column, setup in enumerate(SETUPS):
            panel = grid[(grid["task"] == task) & (grid["setup"] == setup)]
            lr_panel(axes[row, column], panel, panel["optimizer"].iloc[0])
            _shade_gain(axes[row, column], panel)
        axes[row, 0].set_ylabel(f"{task}\ntest loss (nats)")
        medians = grid[grid["task"] == task].groupby(["arm", "lr"])["loss"].median()
        axes[row, 0].set_ylim(0.7 * medians.min(), 1.25 * medians.max())  # single seeds may lie outside
    for column, setup in enumerate(SETUPS):
        axes[0, column].set_title(SETUPS[setup])
        axes[-1, column].set_xlabel("peak learning rate" + (" / (1 − μ)" if setup == "momentum" else ""))
    legend(figure, axes[0, 0])
    return figure, _words(grid)


def _shade_gain(axes: Axes, panel: pd.DataFrame) -> None:
    """Tint what the ramp gains over no warmup, between the two medians."""
    medians = panel.groupby(["warmup", "lr"])["loss"].median().unstack(0)
    none, ramp = (medians[name].to_numpy(dtype=float) for name in ("none", "ramp"))
    colour = OPTIMIZERS[panel["optimizer"].iloc[0]].colour
    rates = np.asarray(medians.index, dtype=float)
    axes.fill_between(rates, ramp, none, where=ramp < none, interpolate=True, color=colour, alpha=0.3, lw=0)


def _words(grid: pd.DataFrame) -> Words:
    seeds, length = grid["seed"].nunique(), grid.groupby("task", sort=False)[["length", "updates"]].max()
    warmups = ", ".join(f"{row.length} of {row.updates} updates on {task}" for task, row in length.iterrows())
    return Words(
        "The four setups: SGD and Adam, lr = 0 and ramp, momentum off and on",
        "Four columns of panels (SGD, SGD with momentum, Adam without momentum, Adam), a row per task. In each, test "
        "loss falls and rises again as the peak learning rate grows: one curve without warmup, one after a stretch at "
        "learning rate zero, one under the ramp. Where the ramp's curve lies below the one without, the gap is tinted.",
        f"Thin lines: one of n = {seeds} seeds each; thick: their median; tinted: what the ramp gains. Warmup takes "
        f"{warmups}, and all runs of a task are equally long. Momentum: μ = 0.9 at the matched effective rate; "
        f"Adam: β₂ = {grid['beta2'].max():g}, and β₁ = 0 or 0.9. A run that diverged counts with the loss of an "
        "untrained network (dotted); hatched: at least half the seeds diverged.",
    )
