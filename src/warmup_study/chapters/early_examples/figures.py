"""Figures of the fourth chapter: what early examples, their order and skewed starts decide, and for how long."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from warmup_study.chapters.early_examples import analysis
from warmup_study.chapters.early_examples.analysis import first_batch as heads
from warmup_study.chapters.early_examples.analysis import skew
from warmup_study.chapters.early_examples.analysis.new_classes import NEW_LOSS
from warmup_study.chapters.early_examples.analysis.ramp_lengths import LengthGrid
from warmup_study.claims.evidence import base_task
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import by_warmup, curves, seed_lines
from warmup_study.presentation.facets import Facets, facets, legend, plain_log_scale
from warmup_study.presentation.formatting import number
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, GUIDE, INK, OPTIMIZERS, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect

ARMS = ("none", "ramp", "constant")
CLUSTERS = {"class": "one class", "kmeans": "part of one class", "mark": "true marks"}


@figure_maker
def blocks(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Influence of each block of one pass on the final outputs: a row per task, a column per decay."""
    chosen = runs[runs["part"] == "blocks"]
    names, decays = list(base_task(chosen).unique()), list(chosen["decay"].unique())
    x, y = "place of the redrawn block in the stream", "variance of a final logit"
    panels = facets(names, decays, (4.6, 2.9), (0, 0.5), x=x, y=y, sharex=True)
    for task, decay, axes in panels:
        tables = analysis.influences(chosen[chosen["task"] == task])
        for warmup in ARMS:
            table = tables[f"{warmup}, {decay}"]
            curves(axes, table.columns, table, WARMUPS[warmup], middle="mean", markevery=0.12)
        axes.axvspan(0, 0.25, **SHADE)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(f"{task}, {'constant learning rate' if decay == 'constant' else f'{decay} decay'}")
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "How much each part of a stream decides",
        "Panels, a row per task and a column per decay of the learning rate: variance of the final outputs that "
        "redrawing one block of the stream causes, against the block's place, in three curves, one per warmup.",
        f"One pass over the examples, Adam at a peak learning rate of {chosen['lr'].iloc[0]:g}. Thin: one of n = "
        f"{chosen['seed'].nunique()} seeds; thick: the mean. Half the mean squared difference of two runs that "
        "differ in that block alone. Shaded: warmup. Where early examples matter more, curves fall to the right.",
    )


@figure_maker
def orders(runs: pd.DataFrame, ratios: Mapping[str, Mapping[str, Effect] | None]) -> tuple[Figure, Words]:
    """Test losses over orders of the same examples, and ratios of variances: a row per task."""
    chosen = runs[runs["part"] == "orders"]
    names = list(base_task(chosen).unique())
    panels = facets(range(len(names)), range(2), (5.2, 2.5), (0, 0.5), sharey=False)
    for (losses, variances), task in zip(panels.axes, names, strict=True):
        _draw_orders(losses, chosen[(chosen["task"] == task) & chosen["init"].notna()])
        _draw_ratios(variances, ratios.get(task))
        losses.set_title(f"{task}: orders of the same examples")
    panels.axes[0, 1].set_title("variance without warmup over that with a ramp")
    losses.set_xlabel("test loss less the network's mean over orders (nats)")
    variances.set_xlabel("ratio of variances")
    return panels.figure, Words(
        "Does a low early rate steady results?",
        "A row of two panels per task. Left, clouds of dots: test losses of the same network after training on many "
        "orders of the same data, without warmup and with a ramp. Right, points with intervals: ratios of variances, "
        "over orders and over initial weights.",
        f"Left: {chosen['init'].nunique()} networks, each trained on n = {chosen['seed'].nunique()} orders at every "
        "learning rate. Right: mean over those at which all runs train, 95 % intervals over orders (above) and over "
        "initial weights under one order (below). Right of 1: a ramp steadies results.",
    )


def _draw_orders(axes: Axes, runs: pd.DataFrame) -> None:
    chance, names = np.random.default_rng(0), []
    for row, ((lr, warmup), cell) in enumerate(runs.groupby(["lr", "warmup"])):
        look, apart = WARMUPS[str(warmup)], row + chance.uniform(-0.25, 0.25, len(cell))
        deviation = cell["test_loss"] - cell.groupby("init")["test_loss"].transform("mean")
        axes.plot(deviation, apart, look.marker, color=ADAM, fillstyle=look.fill, ms=2.5, alpha=0.5)
        spread = float(deviation.std())
        axes.plot([-spread, spread], [row, row], color=INK, lw=2, solid_capstyle="butt")
        names.append(f"{look.label}, lr {lr:g}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _draw_ratios(axes: Axes, effects: Mapping[str, Effect] | None) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    if effects is None:
        axes.text(0.5, 0.5, "no learning rate at which all runs train", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
    else:
        intervals(axes, [[Estimate(effect, marker="o")] for effect in effects.values()], list(effects), ratio=True)


@figure_maker
def new_classes(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Loss on the old classes against loss on the new, along training: a row per task, a column per learning rate."""
    chosen = runs[runs["part"] == "new"]
    names, lrs = list(base_task(chosen).unique()), sorted(chosen["lr"].unique())
    x, y = "loss on the new classes (nats)", "loss on the old classes (nats)"
    panels = facets(names, lrs, (2.4, 2.7), (1.2, 0.5), x=x, y=y, sharex=True)
    for task, lr, axes in panels:
        _draw_paths(axes, chosen[(chosen["task"] == f"{task}+new") & (chosen["lr"] == lr)])
        axes.axvline(NEW_LOSS, ls="--", **GUIDE)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_yticks([0, 0.5, 1, 2, 5, 10, 20, 50])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        axes.set_title(f"{task}, lr {number(lr)}")
    panels.axes[0, 0].invert_xaxis()
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "A trained model meets new classes: what it gains and what it loses",
        "Panels, a row per task and a column per learning rate: paths from the left, where the new classes are not "
        "known, to the right, where they are learnt, while the loss on the old classes climbs; one path per warmup.",
        f"Adam, after training on the first half of the classes alone; the others come from update 1 on. Medians over "
        f"n = {chosen['seed'].nunique()} seeds after each probed update, thin: one seed each. Lower is better at "
        "equal loss on the new classes; the verdict compares at the dashed line. Log scale from 1 upwards.",
    )


def _draw_paths(axes: Axes, runs: pd.DataFrame) -> None:
    for warmup in ARMS:
        seen, look = runs[runs["warmup"] == warmup], WARMUPS[warmup]
        new, old = (np.stack(seen[name].to_list()).astype(float) for name in ("inside_loss", "outside_loss"))
        seed_lines(axes, new[:, ::2], old[:, ::2], look)
        medians = (pd.DataFrame(values).median() for values in (new, old))
        axes.plot(*medians, markevery=0.2, **look.keywords(ADAM))


@figure_maker
def primacy(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Gap between cluster and rest along training, at the highest lr: a row per task, a column per cluster."""
    chosen = _with_epochs(skew.gaps(runs[runs["part"] == "skewed"]), "probed_at")
    panels = _skewed_panels(chosen, "gap", "gap: loss on the rest\nless on the cluster (nats)")
    for _, _, axes in panels:
        axes.axhline(0, **GUIDE)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.3, linscale=0.7)
        axes.set_yticks([-1, -0.3, 0, 0.3, 1, 3, 10])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "A skewed start, and what is left of it",
        "Panels, a row per task and a column per kind of cluster: the gap between the test loss outside and inside the "
        "cluster over the epochs, in three curves, one per warmup. It rises while batches come from the cluster and "
        "shrinks after.",
        f"Adam at a peak learning rate of {chosen['lr'].iloc[0]:g}; the first half epoch (shaded) takes a share of "
        f"{chosen['skew'].max():g} of each batch from the cluster. Thin: one of n = {chosen['seed'].nunique()} seeds; "
        "thick: the median. Dashed line: end of warmup. Both axes stretch the small values.",
    )


def _with_epochs(runs: pd.DataFrame, updates: str) -> pd.DataFrame:
    """The runs at the highest learning rate, with a column ``epochs``: a column of updates in epochs."""
    chosen: pd.DataFrame = runs[runs["lr"] == runs["lr"].max()]
    batches, sizes = chosen["batch"], chosen["examples"]
    epochs = [np.asarray(at) * batch / size for at, batch, size in zip(chosen[updates], batches, sizes, strict=True)]
    return chosen.assign(epochs=epochs)


def _skewed_panels(runs: pd.DataFrame, column: str, label: str, every: int = 1) -> Facets[str, str]:
    """A column of the skewed runs over the epochs: a row of panels per task, a column per cluster."""
    names = list(base_task(runs).unique())
    panels = facets(names, list(CLUSTERS), (10.4 / 3, 2.7), (0, 0.6), x="epochs", y=label, sharex=True)
    for task, cluster, axes in panels:
        cell = _of_cluster(runs, task, cluster)
        epoch = cell["batch"].iloc[0] / cell["examples"].iloc[0]
        axes.axvspan(0, cell["span"].max() * epoch, **SHADE)
        axes.axvline(cell["length"].max() * epoch, ls="--", **GUIDE)
        axes.set_title(f"{task}: {CLUSTERS[cluster]}")
        by_warmup(axes, cell[cell["skew"] > 0], "epochs", column, every=every, markevery=0.12)
    return panels


def _of_cluster(runs: pd.DataFrame, task: str, cluster: str) -> pd.DataFrame:
    """The runs whose stream begins with a cluster, and those on the ordinary stream."""
    of_task = runs["task"] == (f"{task}+marks" if cluster == "mark" else task)
    return runs[of_task & ((runs["cluster"] == cluster) | (runs["skew"] == 0))]


@figure_maker
def unlearning(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Validation loss over the epochs after a skewed start, and the target: a row per task, a column per cluster."""
    chosen = _with_epochs(skew.with_epochs_to_target(runs), "evaluated_at")
    panels = _skewed_panels(chosen, "validation_curve", "validation loss (nats)", every=2)
    for task, cluster, axes in panels:
        cell = _of_cluster(chosen, task, cluster)
        control = cell[(cell["skew"] == 0) & (cell["warmup"] == "none")]
        median = pd.DataFrame(np.stack(control["validation_curve"].to_list())).median()
        axes.plot(control["epochs"].iloc[0], median, color=INK, lw=1.2, ls=":", label="ordinary stream, no warmup")
        axes.axhline(cell["target"].iloc[0], label="target", **GUIDE)
        plain_log_scale(axes)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "How long a skewed start takes to unlearn",
        "Panels, a row per task and a column per kind of cluster: validation loss over the epochs, without warmup, "
        "with a ramp, and with a low learning rate first, beside an ordinary stream; a line marks the target.",
        f"Adam at a peak learning rate of {chosen['lr'].iloc[0]:g}. Thin: one of n = {chosen['seed'].nunique()} seeds; "
        "thick: the median. Shaded: batches from the cluster; dashed: end of warmup. Target: what runs without warmup "
        "on the ordinary stream have reached halfway (their median).",
    )


@figure_maker
def first_batch(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """What the first batch did, and what the whole ramp did, against the ramp's length: weights above, gap below."""
    chosen = runs[runs["part"] == "first"]
    found = {str(task): heads.head_starts(rows) for task, rows in chosen.groupby("task", sort=False)}
    columns = {
        (task, optimizer): f"{OPTIMIZERS[optimizer].label}, {task}"
        for task, starts in found.items()
        for optimizer in starts["optimizer"].unique()
    }
    rows = {"moved": "distance of the weights", "gap": "change of the cluster gap (nats)"}
    panel, x = (max(2.4, 7.1 / len(columns)), 2.6), "length n of the ramp (updates)"
    panels = facets(rows, columns, panel, (1.4, 0), x=x, sharex=True)
    for value, (task, optimizer), axes in panels:
        cell = found[task][found[task]["optimizer"] == optimizer]
        _draw_head_starts(axes, cell, value, OPTIMIZERS[optimizer].colour)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        "What becomes of the first batch's head start",
        "Two rows of panels, a column per optimiser and task, on log axes: distance between the weights of twins, and "
        "change of the cluster gap, against the length of the ramp. Curves for update one, for the ramp's end, and for "
        "a whole ramp of changed batches; a dotted line falls as one over n.",
        f"Twins differ in their first batch alone (or in all of the ramp's): from one class, or ordinary. Means over n "
        f"= {chosen['seed'].nunique()} seeds; bars span the middle half. Dotted: 1/n, from the value at n = 1.",
    )


def _draw_head_starts(axes: Axes, cell: pd.DataFrame, value: str, colour: str) -> None:
    shown = (
        ("first", f"{value}_first", "first batch, after update 1", ":", "o"),
        ("first", value, "first batch, at the ramp's end", "-", "^"),
        ("whole", value, "all of the ramp's batches, at its end", (0, (5, 2)), "s"),
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


@figure_maker
def lengths(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Tuned test loss against the length of the ramp: a row per task, a column per skew of the stream's start."""
    chosen = runs[runs["part"] == "lengths"]
    grids = {str(task): LengthGrid(rows) for task, rows in chosen.groupby("task", sort=False)}
    skews = next(iter(grids.values())).skews
    panel, x, y = (max(2.4, 7.3 / len(skews)), 2.7), "length of the ramp (epochs)", "test loss at the best lr (nats)"
    panels = facets(list(grids), skews, panel, (1.2, 0.4), x=x, y=y, sharex="row")
    for task, share, axes in panels:
        _draw_lengths(axes, grids[task], skews.index(share))
        axes.set_title(f"{task}, skew {share:g}")
    return panels.figure, Words(
        "The best length of a ramp, by skew of the stream",
        "Panels, a row per task and a column per share of early batches that come from one class: test loss against "
        "the length of the ramp in epochs on a log axis, each at its best learning rate; a ring marks the lowest.",
        f"Adam. Thin: one of n = {chosen.loc[chosen['role'] == 'confirmation', 'seed'].nunique()} seeds; thick: their "
        "geometric mean; ring: the lowest. Learning rates are picked for each length on other seeds. Skew: the share "
        "of each batch of the first half epoch that comes from one class. Grey: one epoch.",
    )


def _draw_lengths(axes: Axes, grid: LengthGrid, place: int) -> None:
    best_lrs = grid.validation[place].mean(axis=1).argmin(axis=-1)
    tuned = np.stack([losses[:, lr] for losses, lr in zip(grid.test[place], best_lrs, strict=True)], axis=1)
    middle, x = np.exp(np.log(tuned).mean(axis=0)), 2.0**grid.doublings
    seed_lines(axes, x, tuned, WARMUPS["none"])
    axes.plot(x, middle, color=ADAM, marker=WARMUPS["ramp"].marker)
    best = int(middle.argmin())
    axes.plot(x[best], middle[best], "o", ms=12, mfc="none", mec=INK, mew=1.5)
    axes.axvline(1, **GUIDE)
    axes.set_xscale("log", base=2)
    axes.set_xticks(x, ["none" if epochs == 0 else f"{epochs:.2g}" for epochs in grid.epochs], fontsize=8)
    plain_log_scale(axes)
