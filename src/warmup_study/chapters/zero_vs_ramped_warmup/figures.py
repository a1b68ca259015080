"""Figures of the second chapter: the four setups, shares of the ramp's gain, the jump, lengths, lost updates."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import by_warmup, effective_lr, lr_panels, with_capped_loss
from warmup_study.presentation.facets import facets, legend, log_ticks, plain_log_scale
from warmup_study.presentation.intervals import Estimate, intervals, name_rows
from warmup_study.presentation.style import ADAM, GUIDE, INK, OPTIMIZERS, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect

SETUPS = {"sgd": "SGD", "momentum": "SGD + momentum", "adam0": "Adam without momentum", "adam": "Adam"}
JUMPS = ("zero", "constant", "ramp")
SHARES = {
    "zero": ("lr = 0, then full", 0.8, 1.0),
    "zero-frozen": ("… first moment kept at 0", None, None),
    "zero-restarted": ("… step counters restarted", None, None),
    "zero-frozen-restarted": ("… both of these", None, None),
    "zero-then-ramp": ("lr = 0, then ramp", None, None),
    "ramp-reset": ("ramp, state wiped at its end", None, 0.5),
}
"""How an arm is called, and the range in which the claim expects its share (None: open, or no expectation)."""


@figure_maker
def four_setups(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against peak learning rate: a row per task, a column per setup, {none, zero, ramp} in each.

    Arms are labelled ``setup/warmup``.
    """
    grid = runs[(runs["part"] == "grid") & runs["warmup"].isin(["none", "zero", "ramp"])]
    grid = with_capped_loss(grid.assign(setup=grid["arm"].str.partition("/")[0]))
    panels = lr_panels(grid, "task", "setup", SETUPS, (2.7, 2.7))
    for task, setup, axes in panels:
        mine = grid[grid["task"] == task]
        _shade_gain(axes, mine[mine["setup"] == setup])
        medians = mine.groupby(["arm", "lr"])["loss"].median()
        axes.set_ylim(0.7 * medians.min(), 1.25 * medians.max())  # single seeds may lie outside
    length = grid.groupby("task", sort=False)[["length", "updates"]].max()
    warmups = ", ".join(f"{row.length} of {row.updates} updates on {task}" for task, row in length.iterrows())
    return panels.figure, Words(
        "The four setups: SGD and Adam, lr = 0 and ramp, momentum off and on",
        "Four columns of panels (SGD, SGD with momentum, Adam without momentum, Adam), a row per task. In each, test "
        "loss falls and rises again as the peak learning rate grows: one curve without warmup, one after a stretch at "
        "learning rate zero, one under the ramp. Where the ramp's curve lies below the one without, the gap is tinted.",
        f"Thin lines: one of n = {grid['seed'].nunique()} seeds each; thick: their median; tinted: what the ramp "
        f"gains. Warmup takes {warmups}, and all runs of a task are equally long. Momentum: μ = 0.9 at the matched "
        f"effective learning rate; Adam: β₂ = {grid['beta2'].max():g}, and β₁ = 0 or 0.9. A run that diverged counts "
        "with the loss of an untrained network (dotted); hatched: at least half the seeds diverged.",
    )


def _shade_gain(axes: Axes, runs: pd.DataFrame) -> None:
    """Tint what the ramp gains over no warmup, between the two medians."""
    medians = runs.assign(lr=effective_lr).groupby(["warmup", "lr"])["loss"].median().unstack(0)
    none, ramp = (medians[name].to_numpy(dtype=float) for name in ("none", "ramp"))
    lrs, colour = medians.index.to_numpy(dtype=float), OPTIMIZERS[runs["optimizer"].iloc[0]].colour
    axes.fill_between(lrs, ramp, none, where=ramp < none, interpolate=True, color=colour, alpha=0.3, lw=0)


@figure_maker
def shares(effects_by_task: Mapping[str, Mapping[str, Effect] | None]) -> tuple[Figure, Words]:
    """Share of the ramp's gain that each arm of the factorial recovers, a panel per task; blank where none fails."""
    tasks = list(effects_by_task)
    panels = facets([""], tasks, (2.6, 3.0), (3.2, 0), x="share of the ramp's gain")
    for _, task, axes in panels:
        axes.set_xlim(-0.6, 1.6)
        effects = effects_by_task[task]
        if effects is None:
            axes.text(0.5, 2.5, "no learning rate at which\nonly the ramp trains", ha="center", va="center")
            axes.grid(visible=False)
            name_rows(axes, [label for label, *_ in SHARES.values()])
        else:
            _share_panel(axes, effects)
    seeds = [effect.n for effects in effects_by_task.values() if effects for effect in effects.values()]
    shown = f"n = {min(seeds)} seeds, " if seeds else ""
    return panels.figure, Words(
        "Which part of the ramp's gain is statistics?",
        "A panel per task with one row for each of six kinds of warmup; a point with an interval gives its share of "
        "what the ramp gains over no warmup, 0 being none of it and 1 all.",
        "Adam, at learning rates at which training without warmup fails and the ramp gains (picked on other seeds). "
        f"Share = mean loss lowered by the arm over mean loss lowered by the ramp; {shown}95 % intervals. Shaded: "
        "where the claim expects it, if gathered statistics are what a ramp is for. Dashed: the ramp itself. All arms "
        "are equally long.",
    )


def _share_panel(axes: Axes, effects: Mapping[str, Effect]) -> None:
    axes.axvline(1, ls="--", **GUIDE)
    left, right = axes.get_xlim()
    for row, (_, low, high) in enumerate(SHARES.values()):
        if high is not None:
            ends = (left, high) if low is None else (low, right)
            axes.fill_betweenx([row - 0.4, row + 0.4], *ends, **SHADE)
    markers = [WARMUPS["ramp" if name == "ramp-reset" else "zero"].marker for name in SHARES]
    rows = [[Estimate(effects[name], ADAM, marker)] for name, marker in zip(SHARES, markers, strict=True)]
    intervals(axes, rows, [label for label, *_ in SHARES.values()])


@figure_maker
def jump(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Batch loss, length of the update and drift of the second moment around the end of warmup: a column per task."""
    jumps, drift = runs[runs["part"] == "jump"], runs[runs["part"] == "drift"]
    longest = drift.groupby("task", sort=False)["length"].max()
    rows = {"batch_loss": "batch loss (nats)", "update_norm": "length of update", "second_moment_drift": "drift of √v"}
    titles = {str(task): f"{task}, n = {length}" for task, length in longest.items()}
    panels = facets(rows, titles, (3.1, 2.2), (2, 0), x="updates after the end of warmup", sharex=False)
    for probe, task, axes in panels:
        seen = runs[(runs["task"] == task) & (runs["length"] == longest[task]) & runs["part"].isin(["jump", "drift"])]
        by_warmup(axes, _around_the_end(seen[seen[probe].notna()], probe), "after", probe, JUMPS, markevery=0.15)
        axes.axvline(0.5, **GUIDE)
        axes.set_xlim(-11, 51)
        if probe != "second_moment_drift":
            plain_log_scale(axes)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "What happens at the jump, update by update",
        "Three rows of panels, a column per task: batch loss, length of the update, and drift of the second moment, "
        "from ten updates before the end of warmup to fifty after. Three curves each: learning rate zero, a low "
        "one, and the ramp.",
        f"Adam at a peak learning rate of {jumps['lr'].max():g}. Thin: one seed each (n = {drift['seed'].nunique()} "
        f"for the drift, at least {jumps.groupby('task')['seed'].nunique().min()} above); thick: the median. Drift: "
        "mean distance |ln √v̂ − ln √s| of the second moment from a fresh estimate s at the same weights; 0 is up to "
        "date, 1 off by a factor of e. Updates at learning rate 0 have no length to show.",
    )


def _around_the_end(runs: pd.DataFrame, probe: str) -> pd.DataFrame:
    """The runs with their updates counted from the end of warmup; an update without length is a gap on a log axis."""
    after = [np.asarray(at) - length for at, length in zip(runs["probed_at"], runs["length"], strict=True)]
    values = [np.where(np.equal(found, 0), np.nan, np.asarray(found, dtype=float)) for found in runs[probe]]
    return runs.assign(**{"after": after, probe: values})


@figure_maker
def lengths(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Final test loss, and rise of the batch loss after the jump, against the length of warmup: a column per task."""
    jumps = with_capped_loss(runs[runs["part"] == "jump"])
    jumps = jumps.assign(rise=[_rise(run) for _, run in jumps.iterrows()])
    rows = {"loss": "final test loss (nats)", "rise": "rise of the batch loss\nafter warmup (nats)"}
    tasks = list(jumps["task"].unique())
    panels = facets(rows, tasks, (3.1, 2.5), (2, 0), x="length of warmup (updates)")
    for value, task, axes in panels:
        mine = jumps[jumps["task"] == task]
        none = mine["warmup"] == "none"
        by_warmup(axes, mine, "length", value, JUMPS)
        if value == "loss":
            axes.axhline(mine.loc[none, value].median(), color=INK, lw=1, label=WARMUPS["none"].label)
            plain_log_scale(axes)
        log_ticks(axes, sorted(mine.loc[~none, "length"].unique()))
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "How long to warm up before the jump",
        "Two rows of panels, a column per task: final test loss, and rise of the batch loss after warmup, against the "
        "length of warmup on a log axis; three curves for learning rate zero, a low one, and the ramp.",
        f"Adam at a peak learning rate of {jumps['lr'].max():g}, all runs of a task equally long. Thin: one seed each "
        f"(n = {jumps.groupby('task')['seed'].nunique().min()} or more per task); thick: the median. Rise: highest "
        "mean of five batch losses within fifty updates after warmup, less the mean of the last ten before. Solid: no "
        "warmup.",
    )


def _rise(run: pd.Series) -> float:
    """Highest five-update mean of the batch loss after warmup, less the mean over the updates before its end."""
    after = np.asarray(run["probed_at"]) > run["length"]
    loss = np.asarray(run["batch_loss"], dtype=float)
    if after.sum() < 5 or after.all():
        return np.nan
    return float(np.convolve(loss[after], np.ones(5) / 5, "valid").max() - loss[~after].mean())


@figure_maker
def lost_updates(runs: pd.DataFrame, share: float) -> tuple[Figure, Words]:
    """Validation loss against updates where no warmup is needed, and the target at ``share`` of the initial loss."""
    lost = runs[runs["part"] == "lost"]
    longest = lost.groupby("task", sort=False)["length"].max()
    titles = {str(task): f"{task}, n = {length}" for task, length in longest.items()}
    panels = facets([""], titles, (3.1, 3.2), (2, 0), x="update", y="validation loss (nats)")
    for _, task, axes in panels:
        seen = lost[lost["task"] == task]
        by_warmup(axes, seen, "evaluated_at", "validation_curve", ("none", "zero", "constant"), markevery=0.15)
        none = seen[seen["warmup"] == "none"]
        moved = np.asarray(none["evaluated_at"].iloc[0]) + longest[task]
        median = np.median(np.stack(none["validation_curve"].to_list()), axis=0)
        axes.plot(moved, median, color=INK, lw=1, ls=":", label="no warmup, moved by n")
        axes.axhline(share * seen["initial_loss"].median(), label="target", **GUIDE)
        axes.set_xlim(0, seen["updates"].max())
        plain_log_scale(axes)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "Updates at a learning rate of zero are lost",
        "A panel per task: validation loss falls with the updates, without warmup, after a stretch at learning rate "
        "zero, and after one at a low learning rate; a dotted copy of the first curve is moved right by the stretch's "
        "length.",
        f"Adam at a learning rate of {lost['lr'].max():g}, at which it needs no warmup. Thin: one of n = "
        f"{lost['seed'].nunique()} seeds each; thick: the median. Where the updates at zero are simply lost, the "
        "dotted curve and that of lr = 0 coincide.",
    )
