"""Figures of the sixth chapter on curvature and hidden units: edges of stability, tracks along training, dead units."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from warmup_study import theory
from warmup_study.chapters.mechanism import analysis as tests
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import gain_panel, legend, plain_log_scale, seed_lines, with_capped_loss
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule, factor

COLOUR = OPTIMIZERS["adam"].colour
EDGE_LINES = {"sgd": "2 / η", "momentum": "(2 + 2μ) / η", "adam": "(2 + 2β₁) / ((1 − β₁) η)"}
TRACKED = {
    "sharpness": "sharpness",
    "preconditioned_sharpness": "preconditioned sharpness\n× lr / limit",
    "gradient_snr": "gradient signal / noise",
    "second_moment_drift": "error of v, |ln √v̂ − ln √s|",
    "update_angle": "angle of update (rad)",
    "dead_share": "share of units off",
}
CURVATURE, SIGNS = tuple(TRACKED)[:2], tuple(TRACKED)[2:]


@figure_maker
def edges(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness of whole-batch descent against theory's limit: a panel per rule.

    ``runs``: the part "edge" of the table of runs.
    """
    edge = runs[runs["part"] == "edge"]
    rules = list(edge["arm"].unique())
    figure, axes = plt.subplots(1, len(rules), figsize=(3.5 * len(rules), 3.1), sharey=True, squeeze=False)
    for axis, rule in zip(axes[0], rules, strict=True):
        seen = edge[edge["arm"] == rule]
        updates, shares = np.asarray(seen["probed_at"].iloc[0]), tests.edge_shares(seen)
        colour = OPTIMIZERS[rule].colour
        seed_lines(axis, updates, shares, colour, Look(""))
        axis.plot(updates, np.median(shares, 0), color=colour)
        axis.axhline(1, color=INK, lw=1, ls=":")
        limit = tests.edge_limit(seen.iloc[0])
        axis.text(
            0.97, 0.06, f"limit: {EDGE_LINES[rule]} = {limit:.4g}", transform=axis.transAxes, ha="right", fontsize=9
        )
        axis.set(title=f"{OPTIMIZERS[rule].label}, η = {seen['lr'].iloc[0]:g}", xlabel="update", ylim=(0, 1.45))
    axes[0, 0].set_ylabel("sharpness / theory's limit\n(Adam: preconditioned)")
    return figure, Words(
        "Whole-batch descent sharpens its ground until it is barely stable",
        f"{len(rules)} panels, one per rule. In each, sharpness climbs within some hundred updates from a fraction of "
        "the limit of stability to that limit, a dotted line at one, and stays near it.",
        f"Descent along the gradient over all examples; n = {edge['seed'].nunique()} seeds (thin), median thick. The "
        "probe is right if the curves end near one: nothing but the learning rate and the rule sets the limit.",
    )


@figure_maker
def curvature(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness, and preconditioned sharpness times learning rate, along training: a column per task.

    ``runs``: the part "track" of the table of runs.
    """
    figure, axes, track = _tracks(runs, CURVATURE)
    for axis in axes[1]:
        axis.axhline(1, color=INK, lw=1, ls=":")
    axes[1, -1].annotate(
        "limit of stability",
        (0.98, 1),
        xytext=(0, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        fontsize=9,
        ha="right",
    )
    return figure, Words(
        "Does warmup lead to flatter ground?",
        f"Two rows of panels, a column for each of {axes.shape[1]} tasks; a curve for each warmup. Above, the "
        "top Hessian eigenvalue along training; below, what Adam feels of it, times the learning rate and over the "
        "limit of stability, which is a dotted line at one.",
        f"Adam at {_rates(track)}, warmup of {track['length'].max()} updates. Thin: one of n = "
        f"{track['seed'].nunique()} seeds; thick: the median; log axes. Below, the learning rate is the scheduled one; "
        "at rate 0 there is nothing to show. The limit holds for whole batches; noise keeps training below it."
        + _seldom(track),
    )


@figure_maker
def signs(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Gradient signal over noise, error of the second moment, angle of the update and units off, along training.

    ``runs``: the part "track" of the table of runs.
    """
    figure, axes, track = _tracks(runs, SIGNS)
    for axis in axes[3]:
        axis.set(yscale="linear", ylim=(0, None))
    return figure, Words(
        "What else changes while the rate warms up",
        f"Four rows of panels, a column for each of {axes.shape[1]} tasks, four curves each, one per warmup: how much "
        "of a batch gradient is signal, how far Adam's second moment is from the truth, by what angle an update turns "
        "the weights, and the share of hidden units that are off on every example.",
        f"Adam at {_rates(track)}; n = {track['seed'].nunique()} seeds (thin), median thick; log axes but for the "
        "last row. Signal: squared length of the gradient over all examples; noise: variance of a batch gradient, "
        "summed over weights. s: squared batch gradients, mean over fresh batches. Angles: mean over weight matrices.",
    )


def _tracks(runs: pd.DataFrame, names: Sequence[str]) -> tuple[Figure, Any, pd.DataFrame]:
    """Probes (rows) along training, on every task (columns), under every warmup."""
    track = runs[runs["part"] == "track"]
    tasks = list(track["task"].unique())
    figure, axes = plt.subplots(
        len(names), len(tasks), figsize=(2 + 3.2 * len(tasks), 2.2 * len(names) + 0.6), sharex="col", squeeze=False
    )
    for column, task in enumerate(tasks):
        for row, name in enumerate(names):
            for warmup, look in WARMUPS.items():
                seen = track[(track["task"] == task) & (track["warmup"] == warmup)]
                if seen.empty:
                    continue
                updates, values = np.asarray(seen["probed_at"].iloc[0]), _values(seen, name)
                axis = axes[row, column]
                seed_lines(axis, updates, values, COLOUR, look)
                middle = pd.DataFrame(values).median()
                axis.plot(updates, middle, color=COLOUR, ls=look.line, marker=look.marker, label=look.label)
            axes[row, column].set_yscale("log")
            axes[row, column].yaxis.set_minor_formatter(NullFormatter())
        axes[0, column].set_title(task)
        axes[-1, column].set_xlabel("update")
        length = track.loc[track["task"] == task, "length"].max()
        for axis in axes[:, column]:
            axis.axvspan(1, length, color="0.5", alpha=0.12, lw=0)
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(TRACKED[name])
    legend(figure, axes[0, 0])
    return figure, axes, track


def _values(runs: pd.DataFrame, name: str) -> Any:
    """A probe of every seed, [S, K]; preconditioned sharpness as a share of the limit at the update's own rate."""
    values = np.stack(runs[name].to_list()).astype(float)
    if name == "preconditioned_sharpness":
        length = int(runs["length"].iloc[0])
        shares = _factors(str(runs["warmup"].iloc[0]), np.asarray(runs["probed_at"].iloc[0]), length, runs)
        values = values * shares / np.array([[tests.edge_limit(run)] for _, run in runs.iterrows()])
    return np.where(values > 0, values, np.nan)


def _factors(warmup: str, updates: Any, length: int, runs: pd.DataFrame) -> Any:
    schedule = Schedule.model_validate({"warmup": warmup, "length": length})
    return factor(schedule, updates, int(runs["updates"].iloc[0]))


def _rates(runs: pd.DataFrame) -> str:
    rates = runs.groupby("task", sort=False)["lr"].first()
    return "a peak rate of " + ", ".join(f"{rate:g} ({task})" for task, rate in rates.items())


def _seldom(track: pd.DataFrame) -> str:
    """Names the tasks whose curvature, dear as it is, was taken at the start and at the peak alone."""
    looks = {str(task): len(rows["probed_at"].iloc[0]) for task, rows in track.groupby("task", sort=False)}
    seldom = [task for task, number in looks.items() if number < max(looks.values())]
    return f" On {', '.join(seldom)}: at the start and at the peak alone, for two warmups." if seldom else ""


@figure_maker
def trainable(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Largest trainable rate against the one that sharpness at the warmup's end allows: a panel per task.

    ``runs``: the parts "grid" and "track" of the table of runs.
    """
    tasks = list(runs.loc[runs["part"] == "track", "task"].unique())
    figure, axes = plt.subplots(1, len(tasks), figsize=(1.2 + 3.2 * len(tasks), 3.4), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        mine = runs[runs["task"] == task]
        for warmup, look in WARMUPS.items():
            if f"adam/{warmup}" in set(mine.loc[mine["part"] == "track", "arm"]):
                _trainable_point(axis, mine[mine["arm"] == f"adam/{warmup}"], look)
        axis.set(title=task, xscale="log", yscale="log", xlabel="rate that the sharpness allows")
        ends = np.array([*axis.get_xlim(), *axis.get_ylim()])
        axis.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color=INK, lw=1, ls=":")
        axis.set(xlim=(ends.min(), ends.max()), ylim=(ends.min(), ends.max()))
    axes[0, 0].set_ylabel("largest trainable rate")
    legend(figure, axes[0, 0])
    seeds = runs.loc[runs["part"] == "grid", "seed"].nunique()
    return figure, Words(
        "Does sharpness tell the largest trainable rate?",
        f"{len(tasks)} panels, one per task, with a point for each warmup: the largest rate that trains, upwards, "
        "against the rate that stability would allow at the sharpness found when warmup ends. A dotted diagonal marks "
        "agreement.",
        f"Allowed: {theory.stability_limit(Optimizer(name='adam')):.3g} over the preconditioned sharpness once "
        "the peak is reached; bars: the middle half of the seeds. Trainable: at least half the seeds end below half "
        f"the initial loss (n = {seeds} seeds, in steps of the grid). Dotted: equal.",
    )


def _trainable_point(axes: Axes, runs: pd.DataFrame, look: Look) -> None:
    grid, track = (runs[runs["part"] == part] for part in ("grid", "track"))
    seen = tests.at_peak(track, "preconditioned_sharpness")["peak" if track["length"].iloc[0] else "start"]
    allowed = tests.edge_limit(track.iloc[0]) * float(track["lr"].iloc[0]) / seen[seen > 0]
    largest = 2 ** endpoints.max_trainable_lr(grid).log2_lr
    if allowed.empty:
        return
    low, middle, high = allowed.quantile([0.25, 0.5, 0.75])
    axes.plot([low, high], [largest] * 2, color=COLOUR, lw=2.5)
    axes.plot(
        middle,
        largest,
        look.marker,
        color=COLOUR,
        markersize=8,
        label=look.label,
        ls="",
        fillstyle="none" if look is WARMUPS["none"] else "full",
    )


@figure_maker
def dead(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Share of dead units, and loss, against the rate, with ReLUs and with leaky ones: a column per task.

    ``runs``: the part "dead" of the table of runs.
    """
    chosen = with_capped_loss(runs[runs["part"] == "dead"])
    chosen = chosen.assign(share=[float(shares[-1]) for shares in chosen["dead_share"]])
    tasks = list(chosen["task"].str.partition("+")[0].unique())
    figure, axes = plt.subplots(
        3, len(tasks), figsize=(2 + 3.2 * len(tasks), 7.2), sharex="col", sharey="row", squeeze=False
    )
    for column, task in enumerate(tasks):
        plain, leaky = (chosen[chosen["task"] == name] for name in (task, f"{task}+leaky"))
        for axis, seen, value in zip(axes[:, column], (plain, plain, leaky), ("share", "loss", "loss"), strict=True):
            _against_rate(axis, seen, value)
        for axis in axes[1:, column]:
            plain_log_scale(axis)
            axis.axhline(seen["initial_loss"].median(), lw=0.8, ls=":", color="0.5")
        axes[0, column].set(title=task, xscale="log")
        axes[2, column].set_xlabel("peak learning rate")
    for axis, label in zip(axes[:, 0], ("share of dead ReLUs", "test loss, ReLU", "test loss, leaky"), strict=True):
        axis.set_ylabel(label)
    legend(figure, axes[0, 0])
    return figure, Words(
        "Units that die of too large a start",
        f"Three rows of panels, a column for each of {len(tasks)} tasks: the share of dead ReLUs at the end rises with "
        "the learning rate, less so under the ramp; below, test loss against the rate with ReLUs, and with leaky "
        "ReLUs, which cannot die.",
        f"Dead: off on every training example after the last update. Thin: one of n = {chosen['seed'].nunique()} "
        "seeds; thick: the median. Losses count at most as those of an untrained network (dotted).",
    )


def _against_rate(axes: Axes, runs: pd.DataFrame, value: str) -> None:
    for warmup in ("none", "ramp"):
        look = WARMUPS[warmup]
        table = runs[runs["warmup"] == warmup].pivot(index="seed", columns="lr", values=value)
        seed_lines(axes, table.columns.to_numpy(), table.to_numpy(), COLOUR, look)
        axes.plot(
            table.columns,
            table.median(),
            color=COLOUR,
            ls=look.line,
            marker=look.marker,
            label=look.label,
            fillstyle="none" if warmup == "none" else "full",
        )


def effect_rows(axes: Axes, by_task: Mapping[str, Mapping[str, Effect] | None], least: float) -> None:
    """Effects by name, one row for each and task, with the margin shaded."""
    rows = [(task, name, effect) for task, effects in by_task.items() for name, effect in (effects or {}).items()]
    gain_panel(axes, [("adam", effect) for *_, effect in rows], least)
    axes.set_yticks(range(len(rows)), [f"{name} · {task}" for task, name, _ in rows])
    axes.invert_yaxis()
