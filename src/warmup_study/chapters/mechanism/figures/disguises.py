"""Figures of the sixth chapter on schedules: warmups in disguise, and the search for the best length."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study import theory
from warmup_study.chapters.mechanism import analysis as tests
from warmup_study.chapters.mechanism.figures.mechanism import COLOUR, effect_rows
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.style import INK, OPTIMIZERS
from warmup_study.statistics import endpoints
from warmup_study.statistics.endpoints import CONFIRMATION
from warmup_study.training.schedules import Schedule, factor

FIX_COLOURS = dict(
    zip(theory.FIXES, (OPTIMIZERS[name].colour for name in ("radam", "sgd", "momentum", "adamw")), strict=True)
)
FIX_MARKERS = dict(zip(theory.FIXES, "osDv", strict=True))
_HORIZON = 300  # updates drawn of the implied factors


@figure_maker
def disguises(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Effective factor of each fix beside the ramp, and what its replay on plain Adam loses or gains.

    ``runs``: the parts "disguise" and "first_steps" of the table of runs.
    """
    found = tests.replays(runs)
    count = sum(len(effects or {}) for effects in found.values())
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11.4, max(3.8, 0.3 * count + 1.2)), gridspec_kw={"width_ratios": (1.15, 1)}
    )
    _factors(left, runs)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=5)
    effect_rows(right, found, margin("tuned_loss").value)
    right.set(title="tuned loss: replay over fix", xlabel="log ratio (0: the same)")
    steps = runs[runs["part"] == "first_steps"]
    return figure, Words(
        "Warmups in disguise",
        f"Left, a factor against the update, on log axes, a curve for each of {len(theory.FIXES)} fixes beside the "
        "linear ramp: all but one rise from far below one. Right, a point with an interval for each fix and task: how "
        "much better or worse plain Adam does under that curve.",
        f"Left: lines are closed forms at β₂ = 0.999; marks, steps measured on {', '.join(steps['task'].unique())} "
        f"over those of plain Adam (median of n = {steps['seed'].nunique()} seeds) at a rate at which the weights "
        f"hardly move. Right: 95 % intervals, n = {_reported(runs, 'disguise')} seeds; shaded: differences too small "
        "to count.",
    )


def _factors(axes: Axes, runs: pd.DataFrame) -> None:
    updates = np.arange(1, _HORIZON + 1)
    ramp = Schedule(warmup="ramp", length=int(runs.loc[runs["part"] == "disguise", "length"].max()))
    axes.plot(updates, factor(ramp, updates, _HORIZON), color=INK, ls=(0, (5, 2)), label="linear ramp")
    steps = runs[runs["part"] == "first_steps"]
    for name, fix in theory.FIXES.items():
        colour = FIX_COLOURS[name]
        implied = factor(theory.implied_schedule(fix), updates, _HORIZON)
        axes.plot(updates, np.where(implied > 0, implied, np.nan), color=colour, label=name)
        measured = _measured(steps, f"fix/{name}")
        axes.plot(measured.index, measured, FIX_MARKERS[name], color=colour, mfc="none", ls="")
    axes.set(xscale="log", yscale="log", xlabel="update", ylabel="step / step of plain Adam", ylim=(0.02, None))
    axes.set_title("effective factor")


def _measured(steps: pd.DataFrame, label: str) -> pd.Series:
    """Median over seeds and tasks of an arm's update size over plain Adam's, by update."""
    sizes = {
        arm: np.stack(rows.sort_values(["task", "seed"])["update_size"].to_list()).astype(float)
        for arm, rows in steps[steps["arm"].isin([label, "adam/none"])].groupby("arm")
    }
    return pd.Series(np.median(sizes[label] / sizes["adam/none"], axis=0), index=steps["probed_at"].iloc[0])


@figure_maker
def lengths(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Tuned loss against the ramp's length, a panel for each β2, a row per task; the default length marked.

    ``runs``: the part "lengths" of the table of runs.
    """
    chosen = runs[runs["part"] == "lengths"]
    tasks, beta2s = list(chosen["task"].unique()), sorted(chosen["beta2"].unique())
    figure, axes = plt.subplots(
        len(tasks), len(beta2s), figsize=(1 + 2.4 * len(beta2s), 2.7 * len(tasks) + 0.3), sharey="row", squeeze=False
    )
    for row, task in enumerate(tasks):
        for column, beta2 in enumerate(beta2s):
            _length_panel(axes[row, column], chosen[(chosen["task"] == task) & (chosen["beta2"] == beta2)], beta2)
        axes[row, 0].set_ylabel(f"{task}\nloss / best loss")
    for axis, beta2 in zip(axes[0], beta2s, strict=True):
        axis.set_title(f"β₂ = {beta2:g}")
    for axis in axes[-1]:
        axis.set_xlabel("length of ramp (updates)")
    return figure, Words(
        "How long a ramp, by the memory of the second moment",
        f"A row of panels for each of {len(tasks)} tasks, a panel for each of {len(beta2s)} values of β₂: test loss, "
        "each at its best learning rate, over that of the best length, against the length of the ramp. A ring marks "
        "the default, 2/(1 − β₂).",
        f"Bars: 95 % intervals over n = {_reported(runs, 'lengths')} seeds; shaded: within the margin of the best; "
        "ring: the default length. Where the default is longer than the usual run, the run is longer and fewer "
        "lengths are tried. Length 0 is no warmup.",
    )


def _length_panel(axes: Axes, runs: pd.DataFrame, beta2: float) -> None:
    arms = {int(length): runs[runs["length"] == length] for length in sorted(runs["length"].unique())}
    best = min(arms.values(), key=lambda rows: float(endpoints.tuned(rows).losses.mean()))
    places = [max(length, 1) for length in arms]
    found = [np.exp([e.estimate, e.low, e.high]) for e in (endpoints.tuned_gain(rows, best) for rows in arms.values())]
    axes.axhspan(np.exp(-margin("tuned_loss").value), np.exp(margin("tuned_loss").value), color="0.5", alpha=0.14, lw=0)
    axes.vlines(places, [low for _, low, _ in found], [high for *_, high in found], color=COLOUR, lw=2)
    axes.plot(places, [middle for middle, *_ in found], "^-", color=COLOUR, lw=1)
    default = Schedule(warmup="untuned", beta2=beta2).warmup_length
    at = list(arms).index(default)
    axes.plot(places[at], found[at][0], "o", color=INK, mfc="none", markersize=13, mew=1.6)
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{length}" for length in arms], fontsize=8)
    axes.minorticks_off()


def _reported(runs: pd.DataFrame, part: str) -> int:
    """Number of confirmation seeds of a part."""
    return int(runs.loc[(runs["part"] == part) & (runs["role"] == CONFIRMATION), "seed"].nunique())
