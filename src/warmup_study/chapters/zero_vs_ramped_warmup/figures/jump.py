"""Figures of the second chapter: shares of the ramp's gain, the jump update by update, lengths, lost updates."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import legend, plain_log_scale, seed_lines
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect

JUMPS = ("zero", "constant", "ramp")
SHARES = {
    "zero": ("lr = 0, then full rate", 0.8, 1.0),
    "zero-frozen": ("… first moment kept at 0", None, None),
    "zero-restarted": ("… step counters restarted", None, None),
    "zero-frozen-restarted": ("… both of these", None, None),
    "zero-then-ramp": ("lr = 0, then ramp", None, None),
    "ramp-reset": ("ramp, state wiped at its end", None, 0.5),
}
"""How an arm is called, and the range in which the claim expects its share (None: open, or no expectation)."""
_COLOUR = OPTIMIZERS["adam"].colour


@figure_maker
def shares(effects_by_task: Mapping[str, Mapping[str, Effect] | None]) -> tuple[Figure, Words]:
    """Share of the ramp's gain that each arm of the factorial recovers, a panel per task; blank where none fails."""
    count = len(effects_by_task)
    figure, axes = plt.subplots(1, count, figsize=(3.2 + 2.6 * count, 3.0), sharey=True, squeeze=False)
    for axis, (task, effects) in zip(axes[0], effects_by_task.items(), strict=True):
        axis.set(title=task, xlabel="share of the ramp's gain", xlim=(-0.6, 1.6))
        if effects is None:
            axis.text(0.5, 2.5, "no rate at which\nonly the ramp trains", ha="center", va="center")
            axis.grid(visible=False)
        else:
            _share_panel(axis, effects)
    axes[0, 0].set_yticks(range(len(SHARES)), [label for label, *_ in SHARES.values()])
    axes[0, 0].invert_yaxis()
    return figure, _share_words(effects_by_task)


def _share_panel(axes: Axes, effects: Mapping[str, Effect]) -> None:
    for value, style in ((0, "-"), (1, "--")):
        axes.axvline(value, lw=0.8, ls=style, color="0.5")
    for row, (name, (_, low, high)) in enumerate(SHARES.items()):
        if high is not None:
            limits = axes.get_xlim()
            axes.fill_betweenx(
                [row - 0.4, row + 0.4],
                limits[0] if low is None else low,
                limits[1] if low else high,
                color="0.5",
                alpha=0.18,
                lw=0,
            )
        effect, look = effects[name], WARMUPS["ramp" if name == "ramp-reset" else "zero"]
        axes.plot([effect.low, effect.high], [row, row], color=_COLOUR, lw=2.5, solid_capstyle="butt")
        axes.plot(effect.estimate, row, look.marker, color=_COLOUR, markersize=7)


def _share_words(effects_by_task: Mapping[str, Mapping[str, Effect] | None]) -> Words:
    seeds = [effect.n for effects in effects_by_task.values() if effects for effect in effects.values()]
    shown = f"n = {min(seeds)} seeds, " if seeds else ""
    return Words(
        "Which part of the ramp's gain is statistics?",
        "A panel per task with one row for each of six kinds of warmup; a point with an interval gives its share of "
        "what the ramp gains over no warmup, 0 being none of it and 1 all.",
        "Adam, at rates at which training without warmup fails and the ramp gains (picked on other seeds). Share = "
        f"mean loss lowered by the arm over mean loss lowered by the ramp; {shown}95 % intervals. Shaded: where the "
        "claim expects it, if gathered statistics are what a ramp is for. Dashed: the ramp itself. All "
        "arms are equally long.",
    )


@figure_maker
def jump(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Batch loss, length of the update and drift of the second moment around the end of warmup: a column per task."""
    longest = runs[(runs["part"] == "drift")].groupby("task", sort=False)["length"].max()
    rows = {"batch_loss": "batch loss (nats)", "update_norm": "length of update", "second_moment_drift": "drift of √v"}
    figure, axes = plt.subplots(3, len(longest), figsize=(2 + 3.1 * len(longest), 6.6), sharey="row", squeeze=False)
    for column, (task, length) in enumerate(longest.items()):
        seen = runs[(runs["task"] == task) & (runs["length"] == length) & runs["part"].isin(["jump", "drift"])]
        for axis, probe in zip(axes[:, column], rows, strict=True):
            for warmup in JUMPS:
                _trace(axis, seen[(seen["warmup"] == warmup) & seen[probe].notna()], probe, warmup)
            axis.axvline(0.5, lw=0.8, color="0.5")
            axis.set_xlim(-11, 51)
        axes[0, column].set_title(f"{task}, n = {length}")
        axes[-1, column].set_xlabel("updates after the end of warmup")
    for axis, label in zip(axes[:, 0], rows.values(), strict=True):
        axis.set_ylabel(label)
    for axis in axes[:2].flat:
        plain_log_scale(axis)
    legend(figure, axes[0, 0])
    return figure, _jump_words(runs)


def _trace(axes: Axes, runs: pd.DataFrame, probe: str, warmup: str) -> None:
    look = WARMUPS[warmup]
    after = np.asarray(runs["probed_at"].iloc[0]) - runs["length"].iloc[0]
    values = np.stack(runs[probe].to_list()).astype(float)
    values[values == 0] = np.nan  # no update at all: nothing to show on a log axis
    seed_lines(axes, after, values, _COLOUR, look)
    axes.plot(
        after, np.median(values, 0), color=_COLOUR, ls=look.line, marker=look.marker, markevery=0.15, label=look.label
    )


def _jump_words(runs: pd.DataFrame) -> Words:
    jumps, drift = runs[runs["part"] == "jump"], runs[runs["part"] == "drift"]
    return Words(
        "What happens at the jump, update by update",
        "Three rows of panels, a column per task: batch loss, length of the update, and drift of the second moment, "
        "from ten updates before the end of warmup to fifty after. Three curves each: learning rate zero, a low "
        "rate, and the ramp.",
        f"Adam at a peak rate of {jumps['lr'].max():g}. Thin: one seed each (n = {drift['seed'].nunique()} for the "
        f"drift, at least {jumps.groupby('task')['seed'].nunique().min()} above); thick: the median. Drift: mean "
        "distance |ln √v̂ − ln √s| of the second moment from a fresh estimate s at the same weights; 0 is up to date, "
        "1 off by a factor of e. Updates at rate 0 have no length to show.",
    )


@figure_maker
def lengths(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Final test loss, and rise of the batch loss after the jump, against the length of warmup: a column per task."""
    jumps = runs[runs["part"] == "jump"]
    tasks = list(jumps["task"].unique())
    figure, axes = plt.subplots(
        2, len(tasks), figsize=(2 + 3.1 * len(tasks), 5.0), sharex="col", sharey="row", squeeze=False
    )
    for column, task in enumerate(tasks):
        seen = jumps[jumps["task"] == task]
        seen = seen.assign(
            loss=endpoints.capped(seen["test_loss"], seen["initial_loss"]),
            rise=[_rise(run) for _, run in seen.iterrows()],
        )
        for axis, value in zip(axes[:, column], ("loss", "rise"), strict=True):
            _length_panel(axis, seen, value)
        axes[0, column].set_title(task)
        plain_log_scale(axes[0, column])
        steps = sorted(seen.loc[seen["warmup"] != "none", "length"].unique())
        axes[1, column].set_xticks(steps, steps)
        axes[1, column].minorticks_off()
        axes[1, column].set_xlabel("length of warmup (updates)")
    axes[0, 0].set_ylabel("final test loss (nats)")
    axes[1, 0].set_ylabel("rise of the batch loss\nafter warmup (nats)")
    legend(figure, axes[0, 0])
    return figure, _length_words(jumps)


def _length_panel(axes: Axes, seen: pd.DataFrame, value: str) -> None:
    for warmup in JUMPS:
        look, table = (
            WARMUPS[warmup],
            seen[seen["warmup"] == warmup].pivot(index="length", columns="seed", values=value),
        )
        seed_lines(axes, table.index, table.T, _COLOUR, look)
        axes.plot(table.index, table.median(axis=1), color=_COLOUR, ls=look.line, marker=look.marker, label=look.label)
    if value == "loss":
        none = seen.loc[seen["warmup"] == "none", value].median()
        axes.axhline(none, color=INK, lw=1, label=WARMUPS["none"].label)
    axes.set_xscale("log")


def _rise(run: pd.Series) -> float:
    """Highest five-update mean of the batch loss after warmup, less the mean over the updates before its end."""
    after = np.asarray(run["probed_at"]) > run["length"]
    loss = np.asarray(run["batch_loss"], dtype=float)
    if after.sum() < 5 or after.all():
        return np.nan
    return float(np.convolve(loss[after], np.ones(5) / 5, "valid").max() - loss[~after].mean())


def _length_words(jumps: pd.DataFrame) -> Words:
    return Words(
        "How long to warm up before the jump",
        "Two rows of panels, a column per task: final test loss, and rise of the batch loss after warmup, against the "
        "length of warmup on a log axis; three curves for learning rate zero, a low rate, and the ramp.",
        f"Adam at a peak rate of {jumps['lr'].max():g}, all runs of a task equally long. Thin: one seed each (n = "
        f"{jumps.groupby('task')['seed'].nunique().min()} or more per task); thick: the median. Rise: highest mean of "
        "five batch losses within fifty updates after warmup, less the mean of the last ten before. Solid: no warmup.",
    )


@figure_maker
def lost_updates(runs: pd.DataFrame, share: float) -> tuple[Figure, Words]:
    """Validation loss against updates where no warmup is needed, and the target at ``share`` of the initial loss."""
    lost = runs[runs["part"] == "lost"]
    tasks = list(lost["task"].unique())
    figure, axes = plt.subplots(1, len(tasks), figsize=(2 + 3.1 * len(tasks), 3.2), sharey=True, squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        seen = lost[lost["task"] == task]
        for warmup in ("none", "zero", "constant"):
            _curve(axis, seen[seen["warmup"] == warmup], WARMUPS[warmup])
        length = seen["length"].max()
        none = seen[seen["warmup"] == "none"]
        axis.plot(_evaluated(none) + length, _median(none), color=INK, lw=1, ls=":", label="no warmup, moved by n")
        axis.axhline(share * seen["initial_loss"].median(), lw=0.8, color="0.5", label="target")
        axis.set(title=f"{task}, n = {length}", xlabel="update", xlim=(0, seen["updates"].max()))
        plain_log_scale(axis)
    axes[0, 0].set_ylabel("validation loss (nats)")
    legend(figure, axes[0, 0])
    return figure, _lost_words(lost)


def _curve(axes: Axes, runs: pd.DataFrame, look: Look) -> None:
    curves = np.stack(runs["validation_curve"].to_list())
    seed_lines(axes, _evaluated(runs), curves, _COLOUR, look)
    axes.plot(
        _evaluated(runs),
        _median(runs),
        color=_COLOUR,
        ls=look.line,
        marker=look.marker,
        markevery=0.15,
        label=look.label,
    )


def _evaluated(runs: pd.DataFrame) -> NDArray[np.int64]:
    return np.asarray(runs["evaluated_at"].iloc[0], dtype=np.int64)


def _median(runs: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray(np.median(np.stack(runs["validation_curve"].to_list()), axis=0), dtype=float)


def _lost_words(lost: pd.DataFrame) -> Words:
    return Words(
        "Updates at a learning rate of zero are lost",
        "A panel per task: validation loss falls with the updates, without warmup, after a stretch at learning rate "
        "zero, and after one at a low rate; a dotted copy of the first curve is moved right by the stretch's length.",
        f"Adam at a rate of {lost['lr'].max():g}, at which it needs no warmup. Thin: one of n = "
        f"{lost['seed'].nunique()} seeds each; thick: the median. Where the updates at zero are simply lost, the "
        "dotted curve and that of lr = 0 coincide.",
    )
