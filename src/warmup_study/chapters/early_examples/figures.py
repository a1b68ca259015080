"""Figures of the fourth chapter: effects of early examples, their order and skewed starts, and how long they last."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from warmup_study.chapters.early_examples import analysis
from warmup_study.chapters.early_examples.analysis import blocks as single_pass
from warmup_study.chapters.early_examples.analysis import first_batch as heads
from warmup_study.chapters.early_examples.analysis import sentences, skew
from warmup_study.claims.evidence import base_task
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.facets import Facets, facets, legend, log_ticks, plain_log_scale
from warmup_study.presentation.formatting import number
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, GUIDE, INK, OPTIMIZERS, SHADE, WARMUPS, Look
from warmup_study.statistics.bootstrap import Effect, fewer_resamples

MEAN_RATE = Look("mean LR of the ramp, then full", line=(0, (1, 1.5)), marker="D")
LOOKS = {"none": WARMUPS["none"], "ramp": WARMUPS["ramp"], "constant": MEAN_RATE}
CONDITIONS = {
    "none, constant": ("no warmup", WARMUPS["none"], ADAM),
    "ramp, constant": ("ramp", WARMUPS["ramp"], ADAM),
    "none, cosine": ("no warmup, cosine decay", WARMUPS["none"], INK),
}
PANEL = (3.1, 2.6)
RATIOS = {
    "variance ratio (test logits, orders vary)": "test logits,\nacross orders",
    "variance ratio (test loss, orders vary)": "test loss,\nacross orders",
    "variance ratio (test logits, weights vary)": "test logits,\nacross weights",
    "influence of the first block, without warmup over with a ramp": "influence of\nthe first block",
}
HEADS = {
    ("moved", "adam"): "Adam: distance\nbetween weights",
    ("gap", "adam"): "Adam: change in the\ncluster gap (nats)",
    ("moved", "sgd"): "SGD: distance\nbetween weights",
}


def _estimate(verdicts: Sequence[Verdict], claim: str, name: str, told: Callable[[float], str] = number) -> str:
    """An effect over all tasks as a title gives it; a dash where no task offers a case."""
    part = sentences.parts(verdicts, claim).get(name)
    return "–" if part is None or part.estimate is None else told(part.estimate)


def _factor(log_ratio: float) -> str:
    return number(float(np.exp(log_ratio)))


@figure_maker
def blocks(runs: pd.DataFrame, verdicts: Sequence[Verdict]) -> tuple[Figure, Words]:
    """Influence of each block of one pass on the final outputs, over that of the middle ones: a panel per task."""
    chosen = runs[runs["part"] == "blocks"]
    x, y = "position of the redrawn block", "influence relative to\nthe middle blocks"
    panels = facets([""], list(chosen["task"].unique()), PANEL, (0.5, 0.5), x=x, y=y)
    for _, task, axes in panels:
        _draw_blocks(axes, single_pass.influences(chosen[chosen["task"] == task]))
    legend(panels.axes[0, 0], ink=False)
    first = "influence of the first block over that of the middle ones"
    changed = _estimate(verdicts, "early-examples", first, _factor)
    return panels.figure, Words(
        f"Redrawing the first block changes the outcome {changed} times as much as redrawing a middle one",
        "One panel per task: variance of the final outputs caused by redrawing one block of the stream, relative to "
        "the middle blocks, against the block's position. Three curves: no warmup, a ramp, and no warmup with cosine "
        "decay.",
        f"A single pass over the examples, Adam near its best learning rate, n = {chosen['seed'].nunique()} seeds. "
        "Influence: half the mean squared difference in final test logits between two runs that differ only in that "
        "block. Bars: 95 % intervals. Shaded: warmup. Dotted: 1.2, the claimed minimum for the first block.",
    )


def _draw_blocks(axes: Axes, tables: dict[str, pd.DataFrame]) -> None:
    for shift, (condition, (label, look, colour)) in enumerate(CONDITIONS.items()):
        if condition not in tables:
            continue
        table = tables[condition]
        with fewer_resamples(999):
            found = [single_pass.relative(table, block) for block in range(table.shape[1])]
        places = table.columns.to_numpy(dtype=float) + 0.008 * (shift - 1)
        low, middle, high = np.exp([[one.low, one.estimate, one.high] for one in found]).T
        axes.vlines(places, low, high, color=colour, lw=1.2)
        axes.plot(places, middle, **look.keywords(colour) | {"label": label})
    axes.axvspan(0, 0.25, **SHADE)
    axes.axhline(1, **GUIDE)
    axes.axhline(1.2, ls=":", **GUIDE)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")


@figure_maker
def orders(runs: pd.DataFrame, verdicts: Sequence[Verdict]) -> tuple[Figure, Words]:
    """Variances without warmup relative to those with a ramp: a panel per task."""
    found = {task: effects for task, effects in analysis.steadier(runs).items() if isinstance(effects, dict)}
    panels = facets([""], list(found) or ["no task trains in all runs"], PANEL, (1, 0.5), x="variance without ÷ with")
    for (_, _, axes), effects in zip(panels, found.values(), strict=False):
        _draw_ratios(axes, effects)
    chosen = runs[runs["part"] == "orders"]
    ratio = _estimate(verdicts, "early-variance", next(iter(RATIOS)), _factor)
    return panels.figure, Words(
        f"Across data orders, the variance of the outputs is {ratio} times as large without warmup as with a ramp",
        "One panel per task with four points and their intervals: variance without warmup relative to a ramp, of test "
        "logits and test loss across data orders, of test logits across initial weights, and of the influence of the "
        "first block.",
        f"{chosen['init'].nunique()} networks, each trained on n = {chosen['seed'].nunique()} orders of the same "
        "examples; mean over those learning rates, the best and twice that, at which every run trains. Bars: 95 % "
        "intervals. Right of 1, a ramp reduces the variance. Shaded: differences below 10 %.",
    )


def _draw_ratios(axes: Axes, effects: dict[str, Effect]) -> None:
    shown = {label: effects[name] for name, label in RATIOS.items() if name in effects}
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    intervals(axes, [[Estimate(one)] for one in shown.values()], list(shown), margin=float(np.log(1.1)), ratio=True)


@figure_maker
def primacy(runs: pd.DataFrame, verdicts: Sequence[Verdict]) -> tuple[Figure, Words]:
    """Gap between cluster and rest by epoch, above the best learning rate: a row per task, a column per cluster."""
    chosen = skew.gaps(runs[runs["part"] == "skewed"])
    panels = _skewed_panels(chosen, "gap", "probed_at", "gap (nats)")
    for _, _, axes in panels:
        axes.axhline(0, **GUIDE)
        log_ticks(axes, (0.5, 1, 2, 4, 8, 16))
        axes.set_xlim(left=0.35)
        axes.set_yscale("symlog", linthresh=0.3, linscale=0.7)
        axes.set_yticks([-1, -0.3, 0, 0.3, 1, 3, 10])
        axes.yaxis.set_major_formatter("{x:g}")
    legend(panels.axes[0, 0])
    changed = {end: _estimate(verdicts, "primacy", f"difference in the gap (end of {end})") for end in ("ramp", "run")}
    return panels.figure, Words(
        f"A ramp changes the cluster gap by {changed['ramp']} nats when it ends, and by {changed['run']} by "
        "the end of the run",
        "Panels, one row per task and one column per kind of cluster: test loss outside minus inside the cluster, by "
        "epoch, without warmup, with a ramp, and with the ramp's mean learning rate from the start. The gap opens "
        "while batches come from the cluster and closes afterwards.",
        "Gap: test loss outside the cluster minus inside. Adam at twice the learning rate that is best without "
        f"warmup; in the first half epoch (shaded), {100 * chosen['skew'].max():g} % of each batch comes from the "
        f"cluster. Medians over n = {chosen['seed'].nunique()} seeds; bands: interquartile range. Dashed: end of "
        "warmup. Both axes are stretched at small values. The title averages over learning rates and clusters.",
    )


@figure_maker
def unlearning(runs: pd.DataFrame, verdicts: Sequence[Verdict], reached: float) -> tuple[Figure, Words]:
    """Validation loss after a skewed start, above the best learning rate: a row per task, a column per cluster.

    ``reached``: the share of skewed runs without warmup that get to the target.
    """
    chosen = skew.with_epochs(runs)
    panels = _skewed_panels(chosen, "validation_curve", "evaluated_at", "validation loss (nats)")
    for task, cluster, axes in panels:
        of_task = chosen[chosen["task"] == (f"{task}+marks" if cluster == "mark" else task)]
        (stream,) = (found for found in skew.streams(of_task) if found.cluster == cluster)
        _draw_ordinary(axes, of_task[of_task["lr"] == stream.lr_above])
        plain_log_scale(axes)
    legend(panels.axes[0, 0], ncols=3)
    saved = {name: _estimate(verdicts, "extra-epochs", f"epochs saved ({name})") for name in ("skewed", "ordinary")}
    least = "at least " if reached < 1 else ""
    return panels.figure, Words(
        f"A ramp saves {least}{saved['skewed']} epochs after a skewed start, {saved['ordinary']} on ordinary streams",
        "Panels, one row per task and one column per kind of cluster: validation loss by epoch, without warmup, with "
        "a ramp, and with the ramp's mean learning rate from the start, next to training without warmup on an "
        "ordinary stream. A line marks the target.",
        f"Adam at twice the learning rate that is best without warmup. Medians over n = {chosen['seed'].nunique()} "
        "seeds; bands: interquartile range. Shaded: batches from the cluster; dashed: end of warmup. Target: the loss "
        "reached without warmup on the ordinary stream after a quarter of the run. The title averages over learning "
        "rates, clusters and tasks; a run that never reaches the target counts as its full length.",
    )


def _skewed_panels(runs: pd.DataFrame, column: str, at: str, label: str) -> Facets[str, str]:
    """A column of the runs after a skewed start, above the best learning rate: a row per task, a column per cluster."""
    rows = {str(task): f"{task}\n{label}" for task in base_task(runs).unique()}
    panels = facets(rows, skew.CLUSTERS, PANEL, (0.4, 0.7), x="epochs", sharex=True)
    for task, cluster, axes in panels:
        for stream in skew.streams(runs[base_task(runs) == task]):
            if stream.cluster == cluster:
                _draw_stream(axes, stream, column, at)
    return panels


def _draw_stream(axes: Axes, stream: skew.Streams, column: str, at: str) -> None:
    ramp = stream.runs["ramp"]
    epoch = float(ramp["batch"].iloc[0]) / float(ramp["examples"].iloc[0])
    axes.axvspan(0, float(ramp["span"].max()) * epoch, **SHADE)
    axes.axvline(float(ramp["length"].max()) * epoch, ls="--", **GUIDE)
    for warmup, look in LOOKS.items():
        cell = stream.runs[warmup]
        cell = cell[cell["lr"] == stream.lr_above]
        _banded(axes, np.asarray(cell[at].iloc[0]) * epoch, np.stack(cell[column].to_list()), look)


def _banded(axes: Axes, x: ArrayLike, values: ArrayLike, look: Look) -> None:
    """Median [K] of the seeds' curves [S, K], and a band for their middle half."""
    low, middle, high = np.nanquantile(np.asarray(values, dtype=float), (0.25, 0.5, 0.75), axis=0)
    axes.fill_between(x, low, high, color=ADAM, alpha=0.15, lw=0)
    axes.plot(x, middle, markevery=0.15, **look.keywords(ADAM))


def _draw_ordinary(axes: Axes, runs: pd.DataFrame) -> None:
    """The median on the ordinary stream without warmup, and the target that it sets; runs at one learning rate."""
    cell = runs[(runs["skew"] == 0) & (runs["warmup"] == "none")]
    epoch = float(cell["batch"].iloc[0]) / float(cell["examples"].iloc[0])
    median = np.nanmedian(np.stack(cell["validation_curve"].to_list()), axis=0)
    label = "ordinary stream, no warmup"
    axes.plot(np.asarray(cell["evaluated_at"].iloc[0]) * epoch, median, color=INK, lw=1.2, ls=":", label=label)
    axes.axhline(float(cell["target"].iloc[0]), label="target", **GUIDE)


@figure_maker
def first_batch(runs: pd.DataFrame, verdicts: Sequence[Verdict]) -> tuple[Figure, Words]:
    """Effect of the first batch, and of the whole ramp, against the ramp's length: a column per task."""
    chosen = runs[runs["part"] == "first"]
    found = {str(task): heads.head_starts(rows) for task, rows in chosen.groupby("task", sort=False)}
    panels = facets(HEADS, list(found), PANEL, (0.5, 0.5), x="ramp length n (updates)", sharex=True)
    for (value, optimizer), task, axes in panels:
        cell = found[task][found[task]["optimizer"] == optimizer]
        _draw_head_starts(axes, cell, value, OPTIMIZERS[optimizer].colour)
    legend(panels.axes[0, 0], ncols=2)
    at_once, left = (
        _estimate(verdicts, "one-over-n", f"slope of the displacement (Adam{when})") for when in (", update 1", "")
    )
    return panels.figure, Words(
        f"The weight shift due to Adam's first batch scales with ramp length to the power {at_once} after update 1 and "
        f"{left} at the ramp's end",
        "Panels on log axes, one column per task: distance between the weights of twin runs under Adam, change in the "
        "cluster gap, and distance under SGD, against ramp length. Curves: first batch changed, after update 1 and at "
        "the ramp's end; all batches of the ramp changed. A grey line falls as 1/n.",
        "Twin runs differ only in their first batch (or in all batches of the ramp): from one class, or ordinary. "
        f"Means over {chosen['seed'].nunique()} seeds; bars: interquartile range. Grey: 1/n from the value at n = 1.",
    )


def _draw_head_starts(axes: Axes, cell: pd.DataFrame, value: str, colour: str) -> None:
    shown = (
        ("first", f"{value}_first", "first batch, after update 1", ":", "o"),
        ("first", value, "first batch, at the ramp's end", "-", "^"),
        ("whole", value, "all batches of the ramp, at its end", (0, (5, 2)), "s"),
    )
    for lasting, column, label, line, marker in shown:
        groups = cell[cell["lasting"] == lasting].groupby("length")[column]
        mean = groups.mean()
        axes.vlines(mean.index, groups.quantile(0.25), groups.quantile(0.75), color=colour, lw=1, alpha=0.6)
        axes.plot(mean.index, mean, color=colour, ls=line, marker=marker, label=label)
    start = cell[cell["length"] == 1][f"{value}_first"].mean()
    lengths = np.sort(cell["length"].unique())
    axes.plot(lengths, start / lengths, color="0.5", lw=4, alpha=0.35, label="1/n")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yscale("log")
