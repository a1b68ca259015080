"""Curves of many seeds: thin lines, their median thick; by warmup; and loss against learning rate."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from warmup_study.presentation.facets import Facets, facets, legend, plain_log_scale
from warmup_study.presentation.style import ADAM, GUIDE, LEFT_OUT, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics import endpoints

HATCHES = {"none": "///", "ramp": "\\\\\\", "zero": "---", "constant": "|||", "momentum": "..."}


def with_capped_loss(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column ``loss``: the test loss, at most that of initialisation, which diverged runs get."""
    return runs.assign(loss=endpoints.capped(runs["test_loss"], runs["initial_loss"]))


def effective_lr(runs: pd.DataFrame) -> pd.Series:
    """Effective learning rate η/(1 − μ) of each run: that of its momentum, or η itself where it has none."""
    return runs["lr"] / (1 - runs["momentum"].fillna(0))


def lr_label(runs: pd.DataFrame) -> str:
    """Axis label for the learning rate of these runs: the effective one with momentum."""
    return "effective learning rate\nη/(1 − μ)" if runs["momentum"].gt(0).any() else "peak learning rate"


def seed_lines(axes: Axes, x: ArrayLike, values: ArrayLike, look: Look, colour: str = ADAM) -> None:
    """A thin line for each seed: ``values`` [S, K] at ``x``, [K] or [S, K].

    All are one path with gaps, which takes a third of the space of one path each; solid, as the dots of a thin line
    fill megabytes in print.
    """
    across, up = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(values, dtype=float))
    gap = np.full((len(up), 1), np.nan)
    joined = (np.hstack([side, gap]).ravel() for side in (across, up))
    axes.plot(*joined, color=colour, lw=0.4, alpha=0.4, label=LEFT_OUT)


def curves(axes: Axes, x: ArrayLike, values: ArrayLike, look: Look, colour: str = ADAM, **style: Any) -> None:
    """A thin line for each seed, and their median thick and named: ``values`` [S, K] at ``x`` [K].

    ``style``: keywords of ``Axes.plot`` for the thick line.
    """
    places, table = np.asarray(x, dtype=float), pd.DataFrame(np.asarray(values, dtype=float))
    if len(table):
        seed_lines(axes, places, table, look, colour)
        axes.plot(places, table.median(), **look.keywords(colour) | style)


def by_warmup(axes: Axes, runs: pd.DataFrame, x: str, y: str, warmups: Iterable[str] = WARMUPS, **style: Any) -> None:
    """Curves for each warmup that was run: one column of the table of runs against another.

    Both hold a number for each run, or an array for each, ``x`` then the same one. ``style``: keywords of `curves`.
    """
    for warmup in warmups:
        seen = runs[runs["warmup"] == warmup]
        if len(seen):
            curves(axes, *_table(seen, x, y), WARMUPS[warmup], **style)


def _table(runs: pd.DataFrame, x: str, y: str) -> tuple[ArrayLike, ArrayLike]:
    """Places [K] and values [S, K]."""
    if runs[x].dtype == object:
        return runs[x].iloc[0], np.stack(runs[y].to_list())
    table = runs.pivot(index="seed", columns=x, values=y)
    return table.columns.to_numpy(), table.to_numpy()


def lr_panels(
    runs: pd.DataFrame, row: str, column: str, titles: Mapping[str, str], panel: tuple[float, float]
) -> Facets[str, str]:
    """Test loss against learning rate under every warmup, divergence hatched.

    Panels have a row for each value of the column ``row`` of the table of runs and a column for each of ``titles``,
    values of ``column``. With momentum the learning rate is the effective one. Returns the panels.
    """
    shown = with_capped_loss(runs[runs[column].isin(list(titles))].assign(lr=effective_lr))
    rows = {name: f"{name}\ntest loss (nats)" for name in shown[row].unique()}
    panels = facets(rows, titles, panel, (0, 0.5), x=lr_label(shown))
    for name, title, axes in panels:
        _lr_panel(axes, shown[(shown[row] == name) & (shown[column] == title)])
    legend(panels.axes[0, 0])
    return panels


def _lr_panel(axes: Axes, runs: pd.DataFrame) -> None:
    by_warmup(axes, runs, "lr", "loss", colour=OPTIMIZERS[runs["optimizer"].iloc[0]].colour)
    for warmup, seen in runs.groupby("warmup"):
        _hatch_divergence(axes, seen, HATCHES[str(warmup)])
    axes.set_xscale("log")
    plain_log_scale(axes)
    untrained(axes, runs)


def untrained(axes: Axes, runs: pd.DataFrame) -> None:
    """A dotted line at the loss before training."""
    axes.axhline(runs["initial_loss"].median(), ls=":", label="untrained", **GUIDE)


def _hatch_divergence(axes: Axes, runs: pd.DataFrame, hatch: str) -> None:
    """Hatch from the lowest learning rate at which at least half the seeds diverged upwards."""
    diverged = (runs["status"] == "diverged").groupby(runs["lr"]).mean() >= 0.5
    if diverged.any():
        low, high = diverged.index[diverged].min(), diverged.index.max()
        half_step = (diverged.index[-1] / diverged.index[-2]) ** 0.5 if len(diverged) > 1 else 2.0
        axes.axvspan(low / half_step, high * half_step, facecolor="none", hatch=hatch, alpha=0.25, lw=0)
