"""Figures of the sixth chapter: edges of stability, probes along training, dead units, disguises, the best length."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from warmup_study import theory
from warmup_study.chapters.mechanism import analysis
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import by_warmup, curves, untrained, with_capped_loss
from warmup_study.presentation.facets import Facets, facets, legend, plain_log_scale
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, INK, OPTIMIZERS, SHADE, WARMUPS
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Floats
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule, factor

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
_COLOURS = [OPTIMIZERS[name].colour for name in ("radam", "sgd", "momentum", "adamw")]
_FIX_LOOKS = dict(zip(theory.FIXES, zip(_COLOURS, "osDv", strict=True), strict=True))
_HORIZON = 300  # updates drawn of the implied factors


@figure_maker
def edges(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness of whole-batch descent against theory's limit: a panel per rule."""
    edge = runs[runs["part"] == "edge"]
    rules = edge.groupby("arm", sort=False)["lr"].first()
    titles = {str(rule): f"{OPTIMIZERS[str(rule)].label}, η = {lr:g}" for rule, lr in rules.items()}
    label = "sharpness / theory's limit\n(Adam: preconditioned)"
    panels = facets([""], titles, (3.5, 3.1), x="update", y=label)
    for _, rule, axes in panels:
        seen, look = edge[edge["arm"] == rule], OPTIMIZERS[rule]
        curves(axes, seen["probed_at"].iloc[0], analysis.edge_shares(seen), look, look.colour, marker="")
        axes.axhline(1, color=INK, lw=1, ls=":")
        limit = f"limit: {EDGE_LINES[rule]} = {analysis.edge_limit(seen.iloc[0]):.4g}"
        axes.text(0.97, 0.06, limit, transform=axes.transAxes, ha="right", fontsize=9)
        axes.set_ylim(0, 1.45)
    return panels.figure, Words(
        "Whole-batch descent sharpens its ground until it is barely stable",
        f"{len(rules)} panels, one per rule. In each, sharpness climbs within some hundred updates from a fraction of "
        "the limit of stability to that limit, a dotted line at one, and stays near it.",
        f"Descent along the gradient over all examples; n = {edge['seed'].nunique()} seeds (thin), median thick. The "
        "probe is right if the curves end near one: nothing but the learning rate and the rule sets the limit.",
    )


@figure_maker
def curvature(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness, and preconditioned sharpness times learning rate, along training: a column per task."""
    track = runs[runs["part"] == "track"]
    panels = _tracks(track, CURVATURE)
    for axes in panels.axes[1]:
        axes.axhline(1, color=INK, lw=1, ls=":")
    place = axes.get_yaxis_transform()
    axes.annotate("limit of stability", (0.98, 1), (0, 4), place, "offset points", ha="right", fontsize=9)
    return panels.figure, Words(
        "Does warmup lead to flatter ground?",
        f"Two rows of panels, a column for each of {len(panels.columns)} tasks; a curve for each warmup. Above, the "
        "top Hessian eigenvalue along training; below, what Adam feels of it, times the learning rate and over the "
        "limit of stability, which is a dotted line at one.",
        f"Adam at {_peaks(track)}, warmup of {track['length'].max()} updates. Thin: one of n = "
        f"{track['seed'].nunique()} seeds; thick: the median; log axes. Below, the learning rate is the scheduled one; "
        "where it is 0 there is nothing to show. The limit holds for whole batches; noise keeps training below it."
        + _seldom(track),
    )


@figure_maker
def signs(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Gradient signal over noise, error of the second moment, angle of the update and units off, along training."""
    track = runs[runs["part"] == "track"]
    panels = _tracks(track, SIGNS)
    for axes in panels.axes[-1]:
        axes.set(yscale="linear", ylim=(0, None))
    return panels.figure, Words(
        "What else changes while the learning rate warms up",
        f"Four rows of panels, a column for each of {len(panels.columns)} tasks, four curves each, one per warmup: how "
        "much of a batch gradient is signal, how far Adam's second moment is from the truth, by what angle an update "
        "turns the weights, and the share of hidden units that are off on every example.",
        f"Adam at {_peaks(track)}; n = {track['seed'].nunique()} seeds (thin), median thick; log axes but for the "
        "last row. Signal: squared length of the gradient over all examples; noise: variance of a batch gradient, "
        "summed over weights. s: squared batch gradients, mean over fresh batches. Angles: mean over weight matrices.",
    )


def _tracks(track: pd.DataFrame, probes: Sequence[str]) -> Facets[str, str]:
    """Probes (rows) along training, on every task (columns), under every warmup."""
    tasks, rows = list(track["task"].unique()), {probe: TRACKED[probe] for probe in probes}
    panels = facets(rows, tasks, (3.2, 2.2), (2, 0.6), x="update", sharey=False)
    for probe, task, axes in panels:
        seen = track[track["task"] == task]
        seen = seen.assign(**{probe: [_positive(run, probe) for _, run in seen.iterrows()]})
        by_warmup(axes, seen, "probed_at", probe)
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.axvspan(1, seen["length"].max(), **SHADE)
    legend(panels.axes[0, 0])
    return panels


def _positive(run: pd.Series, probe: str) -> Floats:
    """A probe along a run, for a log axis; preconditioned sharpness over the limit at the update's learning rate."""
    values = np.asarray(run[probe], dtype=float)
    if probe == "preconditioned_sharpness":
        schedule = Schedule.model_validate({"warmup": run["warmup"], "length": int(run["length"])})
        factors = factor(schedule, np.asarray(run["probed_at"]), int(run["updates"]))
        values = values * factors / analysis.edge_limit(run)
    return np.where(values > 0, values, np.nan)


def _peaks(runs: pd.DataFrame) -> str:
    peaks = runs.groupby("task", sort=False)["lr"].first()
    return "a peak learning rate of " + ", ".join(f"{lr:g} ({task})" for task, lr in peaks.items())


def _seldom(track: pd.DataFrame) -> str:
    """Names the tasks whose curvature, dear as it is, was taken at the start and at the peak alone."""
    looks = {str(task): len(rows["probed_at"].iloc[0]) for task, rows in track.groupby("task", sort=False)}
    seldom = [task for task, number in looks.items() if number < max(looks.values())]
    return f" On {', '.join(seldom)}: at the start and at the peak alone, for two warmups." if seldom else ""


@figure_maker
def trainable(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Largest trainable learning rate against what sharpness at the warmup's end allows: a panel per task."""
    tracked = runs[runs["part"] == "track"]
    tasks = list(tracked["task"].unique())
    x, y = "learning rate that the sharpness allows", "largest trainable learning rate"
    panels = facets([""], tasks, (3.2, 3.4), (1.2, 0), x=x, y=y, sharey=False)
    for _, task, axes in panels:
        arms = set(tracked.loc[tracked["task"] == task, "arm"])
        for warmup in (name for name in WARMUPS if f"adam/{name}" in arms):
            _draw_trainable(axes, runs[(runs["task"] == task) & (runs["arm"] == f"adam/{warmup}")], warmup)
        axes.set(xscale="log", yscale="log")
        limits = [*axes.get_xlim(), *axes.get_ylim()]
        ends = (min(limits), max(limits))
        axes.plot(ends, ends, color=INK, lw=1, ls=":")
        axes.set(xlim=ends, ylim=ends)
    legend(panels.axes[0, 0])
    seeds = runs.loc[runs["part"] == "grid", "seed"].nunique()
    return panels.figure, Words(
        "Does sharpness tell the largest trainable rate?",
        f"{len(tasks)} panels, one per task, with a point for each warmup: the largest learning rate that trains, "
        "upwards, against the one that stability would allow at the sharpness found when warmup ends. A dotted "
        "diagonal marks agreement.",
        f"Allowed: {theory.stability_limit(Optimizer(name='adam')):.3g} over the preconditioned sharpness once "
        "the peak is reached; bars: the middle half of the seeds. Trainable: at least half the seeds end below half "
        f"the initial loss (n = {seeds} seeds, in steps of the grid). Dotted: equal.",
    )


def _draw_trainable(axes: Axes, runs: pd.DataFrame, warmup: str) -> None:
    grid, track = (runs[runs["part"] == part] for part in ("grid", "track"))
    seen = analysis.at_peak(track, "preconditioned_sharpness")["peak" if track["length"].iloc[0] else "start"]
    allowed = analysis.edge_limit(track.iloc[0]) * float(track["lr"].iloc[0]) / seen[seen > 0]
    if len(allowed):
        largest = 2 ** endpoints.max_trainable_lr(grid).log2_lr
        low, middle, high = allowed.quantile([0.25, 0.5, 0.75])
        axes.plot([low, high], [largest] * 2, color=ADAM, lw=2.5)
        axes.plot(middle, largest, **WARMUPS[warmup].keywords(ADAM) | {"ls": "", "ms": 8})


@figure_maker
def dead(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Share of dead units, and loss, against the learning rate, with ReLUs and with leaky ones: a column per task."""
    chosen = with_capped_loss(runs[runs["part"] == "dead"])
    chosen = chosen.assign(share=[float(shares[-1]) for shares in chosen["dead_share"]])
    tasks = list(chosen["task"].str.partition("+")[0].unique())
    rows = {"dead": "share of dead ReLUs", "relu": "test loss, ReLU", "leaky": "test loss, leaky"}
    panels = facets(rows, tasks, (3.2, 2.4), (2, 0), x="peak learning rate")
    for row, task, axes in panels:
        seen = chosen[chosen["task"] == (f"{task}+leaky" if row == "leaky" else task)]
        by_warmup(axes, seen, "lr", "share" if row == "dead" else "loss")
        axes.set_xscale("log")
        if row != "dead":
            plain_log_scale(axes)
            untrained(axes, seen)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "Units that die of too large a start",
        f"Three rows of panels, a column for each of {len(tasks)} tasks: the share of dead ReLUs at the end rises with "
        "the learning rate, less so under the ramp; below, test loss against the learning rate with ReLUs, and with "
        "leaky ReLUs, which cannot die.",
        f"Dead: off on every training example after the last update. Thin: one of n = {chosen['seed'].nunique()} "
        "seeds; thick: the median. Losses count at most as those of an untrained network (dotted).",
    )


@figure_maker
def disguises(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Effective factor of each fix beside the ramp, and what its replay on plain Adam loses or gains."""
    found = {(task, fix): e for task, effects in analysis.replays(runs).items() for fix, e in (effects or {}).items()}
    titles = ("effective factor", "tuned loss: replay over fix")
    size = (5.7, max(3.8, 0.3 * len(found) + 1.2))
    panels = facets([""], titles, size, sharey=False, width_ratios=(1.15, 1))
    left, right = panels.axes[0]
    _draw_factors(left, runs)
    legend(left, ink=False, loc="outside upper left", ncols=5)
    rows = [[Estimate(effect)] for effect in found.values()]
    intervals(right, rows, [f"{fix} · {task}" for task, fix in found], margin=margin("tuned_loss").value)
    right.set_xlabel("log ratio (0: the same)")
    steps = runs[runs["part"] == "first_steps"]
    return panels.figure, Words(
        "Warmups in disguise",
        f"Left, a factor against the update, on log axes, a curve for each of {len(theory.FIXES)} fixes beside the "
        "linear ramp: all but one rise from far below one. Right, a point with an interval for each fix and task: how "
        "much better or worse plain Adam does under that curve.",
        f"Left: lines are closed forms at β₂ = 0.999; marks, steps measured on {', '.join(steps['task'].unique())} "
        f"over those of plain Adam (median of n = {steps['seed'].nunique()} seeds) at a learning rate at which the "
        f"weights hardly move. Right: 95 % intervals, n = {_reported(runs, 'disguise')} seeds; shaded: differences too "
        "small to count.",
    )


def _draw_factors(axes: Axes, runs: pd.DataFrame) -> None:
    updates = np.arange(1, _HORIZON + 1)
    ramp = Schedule(warmup="ramp", length=int(runs.loc[runs["part"] == "disguise", "length"].max()))
    axes.plot(updates, factor(ramp, updates, _HORIZON), color=INK, ls=WARMUPS["ramp"].line, label="linear ramp")
    for name, fix in theory.FIXES.items():
        colour, marker = _FIX_LOOKS[name]
        implied = factor(theory.implied_schedule(fix), updates, _HORIZON)
        axes.plot(updates, np.where(implied > 0, implied, np.nan), color=colour, label=name)
        steps, measured = _measured(runs[runs["part"] == "first_steps"], f"fix/{name}")
        axes.plot(steps, measured, marker, color=colour, mfc="none")
    axes.set(xscale="log", yscale="log", xlabel="update", ylabel="step / step of plain Adam", ylim=(0.02, None))


def _measured(steps: pd.DataFrame, label: str) -> tuple[Sequence[int], Floats]:
    """Updates, and an arm's update size over plain Adam's at each: the median over seeds and tasks."""
    ordered = steps.sort_values(["task", "seed"])
    arm, adam = (
        np.stack(ordered.loc[ordered["arm"] == name, "update_size"].to_list()) for name in (label, "adam/none")
    )
    return steps["probed_at"].iloc[0], np.median(arm / adam, axis=0)


@figure_maker
def lengths(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Tuned loss against the ramp's length, a panel for each β2, a row per task; the default length marked."""
    chosen = runs[runs["part"] == "lengths"]
    tasks = {task: f"{task}\nloss / best loss" for task in chosen["task"].unique()}
    beta2s = {beta2: f"β₂ = {beta2:g}" for beta2 in sorted(chosen["beta2"].unique())}
    panels = facets(tasks, beta2s, (2.4, 2.7), (1, 0.3), x="length of ramp (updates)", sharex=False)
    for task, beta2, axes in panels:
        _draw_lengths(axes, chosen[(chosen["task"] == task) & (chosen["beta2"] == beta2)], beta2)
    return panels.figure, Words(
        "How long a ramp, by the memory of the second moment",
        f"A row of panels for each of {len(tasks)} tasks, a panel for each of {len(beta2s)} values of β₂: test loss, "
        "each at its best learning rate, over that of the best length, against the length of the ramp. A ring marks "
        "the default, 2/(1 − β₂).",
        f"Bars: 95 % intervals over n = {_reported(runs, 'lengths')} seeds; shaded: within the margin of the best; "
        "ring: the default length. Where the default is longer than the usual run, the run is longer and fewer "
        "lengths are tried. Length 0 is no warmup.",
    )


def _draw_lengths(axes: Axes, runs: pd.DataFrame, beta2: float) -> None:
    arms = {length: runs[runs["length"] == length] for length in sorted(runs["length"].unique())}
    best = min(arms.values(), key=lambda rows: float(endpoints.tuned(rows).losses.mean()))
    gains, least = [endpoints.tuned_gain(rows, best) for rows in arms.values()], margin("tuned_loss").value
    names, places = [str(length) for length in arms], [float(np.log2(max(length, 1))) for length in arms]
    intervals(axes, [[Estimate(gain)] for gain in gains], names, places, margin=least, ratio=True, upright=True)
    ratios = np.exp([gain.estimate for gain in gains])
    axes.plot(places, ratios, color=ADAM, lw=1)
    default = list(arms).index(Schedule(warmup="untuned", beta2=beta2).warmup_length)
    axes.plot(places[default], ratios[default], "o", color=INK, mfc="none", ms=13, mew=1.6)
    axes.tick_params(axis="x", labelsize=8)


def _reported(runs: pd.DataFrame, part: str) -> int:
    """Number of confirmation seeds of a part."""
    return int(runs.loc[(runs["part"] == part) & (runs["role"] == endpoints.CONFIRMATION), "seed"].nunique())
