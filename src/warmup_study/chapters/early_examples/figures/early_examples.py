"""Figures of the fourth chapter: what early examples and their order decide, and what new classes do to the old."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from warmup_study.chapters.early_examples import analysis as tests
from warmup_study.chapters.early_examples.analysis.new_classes import NEW_LOSS
from warmup_study.claims.evidence import base_task
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.formatting import number
from warmup_study.presentation.panels import legend, with_middle
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics.bootstrap import Effect

ARMS = ("none", "ramp", "constant")
_COLOUR = OPTIMIZERS["adam"].colour


@figure_maker
def blocks(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Influence of each block of one pass on the final outputs: a row per task, a column per decay."""
    chosen = runs[runs["part"] == "blocks"]
    names, decays = base_task(chosen).unique(), list(chosen["decay"].unique())
    figure, axes = plt.subplots(
        len(names),
        len(decays),
        figsize=(4.6 * len(decays), 2.9 * len(names) + 0.5),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for row, task in enumerate(names):
        tables = tests.influences(chosen[chosen["task"] == task])
        for column, decay in enumerate(decays):
            axis = axes[row, column]
            for warmup in ARMS:
                table = tables[f"{warmup}, {decay}"]
                with_middle(axis, table.columns, table.to_numpy(), WARMUPS[warmup], mean=True)
            axis.axvspan(0, 0.25, color="0.5", alpha=0.12, lw=0)
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.set_title(f"{task}, {'constant rate' if decay == 'constant' else f'{decay} decay'}")
    for axis in axes[-1]:
        axis.set_xlabel("place of the redrawn block in the stream")
    for axis in axes[:, 0]:
        axis.set_ylabel("variance of a final logit")
    legend(figure, axes[0, 0])
    return figure, Words(
        "How much each part of a stream decides",
        "Panels, a row per task and a column per decay of the rate: variance of the final outputs that redrawing one "
        "block of the stream causes, against the block's place, in three curves, one per warmup.",
        f"One pass over the examples, Adam at a peak rate of {chosen['lr'].iloc[0]:g}. Thin: one of n = "
        f"{chosen['seed'].nunique()} seeds; thick: the mean. Half the mean squared difference of two runs that "
        "differ in that block alone. Shaded: warmup. Where early examples matter more, curves fall to the right.",
    )


@figure_maker
def orders(runs: pd.DataFrame, ratios: Mapping[str, Mapping[str, Effect] | None]) -> tuple[Figure, Words]:
    """Test losses over orders of the same examples, and ratios of variances: a row per task."""
    chosen = runs[runs["part"] == "orders"]
    names, rates = base_task(chosen).unique(), sorted(chosen["lr"].unique())
    figure, axes = plt.subplots(len(names), 2, figsize=(10.4, 2.5 * len(names) + 0.5), sharex="col", squeeze=False)
    for (losses, variances), task in zip(axes, names, strict=True):
        _spread(losses, chosen[(chosen["task"] == task) & chosen["init"].notna()], rates)
        _ratio_panel(variances, ratios.get(task))
        losses.set_title(f"{task}: orders of the same examples")
    axes[0, 1].set_title("variance without warmup over that with a ramp")
    axes[-1, 0].set_xlabel("test loss less the network's mean over orders (nats)")
    axes[-1, 1].set_xlabel("ratio of variances")
    return figure, Words(
        "Does a low early rate steady results?",
        "A row of two panels per task. Left, clouds of dots: test losses of the same network after training on many "
        "orders of the same data, without warmup and with a ramp. Right, points with intervals: ratios of variances, "
        "over orders and over initial weights.",
        f"Left: {chosen['init'].nunique()} networks, each trained on n = {chosen['seed'].nunique()} orders at every "
        "rate. Right: mean over the rates at which all runs train, 95 % intervals over orders (above) and over initial "
        "weights under one order (below). Right of 1: a ramp steadies results.",
    )


def _spread(axes: Axes, runs: pd.DataFrame, rates: list[float]) -> None:
    chance = np.random.default_rng(0)
    places = [(lr, warmup) for lr in rates for warmup in ("none", "ramp")]
    for row, (lr, warmup) in enumerate(places):
        cell = runs[(runs["lr"] == lr) & (runs["warmup"] == warmup)]
        deviation = cell["test_loss"] - cell.groupby("init")["test_loss"].transform("mean")
        axes.plot(
            deviation,
            row + chance.uniform(-0.25, 0.25, len(cell)),
            WARMUPS[warmup].marker,
            color=_COLOUR,
            ms=2.5,
            alpha=0.5,
            mfc="none" if warmup == "none" else _COLOUR,
        )
        spread = float(deviation.std())
        axes.plot([-spread, spread], [row, row], color=INK, lw=2, solid_capstyle="butt")
    axes.set_yticks(range(len(places)), [f"{WARMUPS[warmup].label}, lr {lr:g}" for lr, warmup in places])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _ratio_panel(axes: Axes, effects: Mapping[str, Effect] | None) -> None:
    axes.axvline(1, lw=0.8, color="0.5")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    if effects is None:
        axes.text(0.5, 0.5, "no rate at which all runs train", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    for row, effect in enumerate(effects.values()):
        axes.plot(np.exp([effect.low, effect.high]), [row, row], color=_COLOUR, lw=2.5, solid_capstyle="butt")
        axes.plot(np.exp(effect.estimate), row, "o", color=_COLOUR, markersize=7)
    axes.set_yticks(range(len(effects)), list(effects))
    axes.set_ylim(len(effects) - 0.5, -0.5)


@figure_maker
def new_classes(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Loss on the old classes against loss on the new, along training: a row per task, a column per learning rate."""
    chosen = runs[runs["part"] == "new"]
    names, rates = base_task(chosen).unique(), sorted(chosen["lr"].unique())
    figure, axes = plt.subplots(
        len(names),
        len(rates),
        figsize=(1.2 + 2.4 * len(rates), 2.7 * len(names) + 0.5),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for row, task in zip(axes, names, strict=True):
        for axis, lr in zip(row, rates, strict=True):
            cell = chosen[(chosen["task"] == f"{task}+new") & (chosen["lr"] == lr)]
            for warmup in ARMS:
                _path(axis, cell[cell["warmup"] == warmup], WARMUPS[warmup])
            axis.axvline(NEW_LOSS, lw=0.8, color="0.5", ls="--")
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_yscale("symlog", linthresh=1)
            axis.set_yticks([0, 0.5, 1, 2, 5, 10, 20, 50])
            axis.yaxis.set_major_formatter("{x:g}")
            axis.set_title(f"{task}, lr {number(lr)}")
        row[0].set_ylabel("loss on the old classes (nats)")
    axes[0, 0].invert_xaxis()
    for axis in axes[-1]:
        axis.set_xlabel("loss on the new classes (nats)")
    legend(figure, axes[0, 0])
    return figure, Words(
        "A trained model meets new classes: what it gains and what it loses",
        "Panels, a row per task and a column per learning rate: paths from the left, where the new classes are not "
        "known, to the right, where they are learnt, while the loss on the old classes climbs; one path per warmup.",
        f"Adam, after training on the first half of the classes alone; the others come from update 1 on. Medians over "
        f"n = {chosen['seed'].nunique()} seeds after each probed update, thin: one seed each. Lower is better at "
        "equal loss on the new classes; the verdict compares at the dashed line. Log scale from 1 upwards.",
    )


def _path(axes: Axes, runs: pd.DataFrame, look: Look) -> None:
    new, old = (np.stack(runs[column].to_list()).astype(float) for column in ("inside_loss", "outside_loss"))
    gap = np.full((len(runs), 1), np.nan)
    x, y = (np.hstack([values[:, ::2], gap]).ravel() for values in (new, old))
    axes.plot(x, y, color=_COLOUR, lw=0.3, alpha=0.35, ls=look.line)
    axes.plot(
        pd.DataFrame(new).median(),
        pd.DataFrame(old).median(),
        color=_COLOUR,
        ls=look.line,
        marker=look.marker,
        markevery=0.2,
        label=look.label,
    )
