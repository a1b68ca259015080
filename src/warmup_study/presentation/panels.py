"""What several figures draw alike: loss against learning rate, gains with intervals, one legend in ink."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect

HATCHES = {"none": "///", "ramp": "\\\\\\", "zero": "---", "constant": "|||"}


def with_capped_loss(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column ``loss``: the test loss, at most that of initialisation, which diverged runs get."""
    return runs.assign(loss=endpoints.capped(runs["test_loss"], runs["initial_loss"]))


def legend(figure: Figure, axes: Axes) -> None:
    """One legend above all panels, in ink: line and marker tell the arm whatever the optimiser's colour."""
    handles, labels = axes.get_legend_handles_labels()
    inked = [copy(handle) for handle in handles if isinstance(handle, Line2D)]
    for handle in inked:
        handle.set(color=INK, markeredgecolor=INK)
    figure.legend(inked, labels, loc="outside upper right", ncols=len(labels))


def seed_lines(axes: Axes, x: ArrayLike, values: ArrayLike, colour: str, look: Look) -> None:
    """A thin line for each seed: ``values`` [S, K] at ``x`` [K].

    All are one path with gaps, which a file holds in a third of the room of a path for each.
    """
    rows = np.asarray(values, dtype=float)
    gap = np.full((len(rows), 1), np.nan)
    joined = np.hstack([rows, gap]).ravel()
    axes.plot(np.tile(np.append(x, np.nan), len(rows)), joined, color=colour, lw=0.4, alpha=0.4, linestyle=look.line)


def with_middle(
    axes: Axes,
    x: ArrayLike,
    values: ArrayLike,
    look: Look,
    *,
    colour: str = OPTIMIZERS["adam"].colour,
    mean: bool = False,
    every: int = 1,
) -> None:
    """A thin line for each seed, and their median (or mean) thick and named: ``values`` [S, K] at ``x`` [K].

    Thin lines go through every so many points only, which keeps files small.
    """
    table = pd.DataFrame(np.asarray(values, dtype=float))
    if len(table):
        seed_lines(axes, np.asarray(x)[::every], table.iloc[:, ::every], colour, look)
        middle = table.mean() if mean else table.median()
        axes.plot(x, middle, color=colour, ls=look.line, marker=look.marker, markevery=0.12, label=look.label)


def lr_panel(axes: Axes, panel: pd.DataFrame, optimizer: str) -> None:
    """Loss against peak rate for every warmup of one optimiser: seeds thin, their median thick, divergence hatched.

    ``panel``: runs of one task with their capped loss.
    """
    colour = OPTIMIZERS[optimizer].colour
    for warmup in (name for name in WARMUPS if name in set(panel["warmup"])):
        look, runs = WARMUPS[warmup], panel[panel["warmup"] == warmup]
        curves = runs.pivot(index="seed", columns="lr", values="loss")
        seed_lines(axes, curves.columns, curves, colour, look)
        sns.lineplot(
            runs,
            x="lr",
            y="loss",
            estimator="median",
            errorbar=None,
            color=colour,
            linestyle=look.line,
            marker=look.marker,
            label=look.label,
            fillstyle="none" if warmup == "none" else "full",
            markeredgecolor=colour,
            ax=axes,
            legend=False,
        )
        _hatch_divergence(axes, runs, HATCHES[warmup])
    axes.set_xscale("log")
    plain_log_scale(axes)
    axes.axhline(panel["initial_loss"].median(), lw=0.8, ls=":", color="0.5", label="untrained")


def plain_log_scale(axes: Axes) -> None:
    """A log scale upwards, with ticks at 1, 2 and 5 written as plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _hatch_divergence(axes: Axes, runs: pd.DataFrame, hatch: str) -> None:
    """Hatch the learning rates at which at least half the seeds diverged."""
    diverged = (runs["status"] == "diverged").groupby(runs["lr"]).mean() >= 0.5
    if diverged.any():
        low, high = diverged.index[diverged].min(), diverged.index.max()
        half_step = (diverged.index[-1] / diverged.index[-2]) ** 0.5 if len(diverged) > 1 else 2.0
        axes.axvspan(low / half_step, high * half_step, facecolor="none", hatch=hatch, alpha=0.25, lw=0)


def gain_panel(axes: Axes, effects: Sequence[tuple[str, Effect]], least: float) -> None:
    """Gains one below the other, in the colour of their optimisers, the margin ±``least`` shaded."""
    axes.axvspan(-least, least, color="0.5", alpha=0.18, lw=0)
    axes.axvline(0, lw=0.8, color="0.5")
    axes.xaxis.set_major_locator(MaxNLocator(4))  # labels of small numbers are wide
    for row, (optimizer, effect) in enumerate(effects):
        colour = OPTIMIZERS[optimizer].colour
        axes.plot([effect.low, effect.high], [row, row], color=colour, lw=2.5, solid_capstyle="butt")
        axes.plot(effect.estimate, row, WARMUPS["ramp"].marker, color=colour, markersize=7)
