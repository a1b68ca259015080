"""Figures of the seventh chapter: canvases and anchors, boxes when warmup ends, and what either warmup changes."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter

from warmup_study import tasks
from warmup_study.chapters.anchor_warmup import analysis as tests
from warmup_study.chapters.anchor_warmup.analysis import EARLY_LOSS, POOLED, PRECISION, VARIANCE, Effects
from warmup_study.claims.evidence import pool_tasks
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import plain_log_scale
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.endpoints import CONFIRMATION
from warmup_study.tasks import detection, detection_data
from warmup_study.tasks.detection_data import GRID, SIDE, Floats

ARMS = {
    "none": WARMUPS["none"],
    "anchor": Look("anchor warmup", line=(0, (1, 1)), marker="X"),
    "ramp": WARMUPS["ramp"],
    "both": Look("ramp and anchor warmup", line=(0, (5, 1.5, 1, 1.5)), marker="v"),
    "keras": Look("anchor warmup, full weight", line=(0, (3, 1, 1, 1, 1, 1)), marker="P"),
}
ANCHOR_COLOURS = ("#0072B2", "#E69F00", "#009E73")
TRUTH = "#CC79A7"
SHOWN = 4
TITLES = {EARLY_LOSS: EARLY_LOSS, VARIANCE: "its variance over seeds", PRECISION: "mAP@0.5 at the end"}


@figure_maker
def anchors(names: tuple[str, ...]) -> tuple[Figure, Words]:
    """Test canvases with their boxes, and the sizes of all training boxes with the anchors: a row per task."""
    figure, axes = plt.subplots(len(names), SHOWN + 1, figsize=(10.4, 2.3 * len(names)), squeeze=False)
    for row, name in enumerate(names):
        task = tasks.load(name)
        for column in range(SHOWN):
            axis = axes[row, column]
            _canvas(axis, task, column)
            _draw(axis, _truths(task, column), TRUTH, width=1.6)
        axes[row, 0].set_ylabel(name)
        _sizes(axes[row, SHOWN], task)
    axes[-1, SHOWN].set_xlabel("width (pixels)")
    return figure, Words(
        "What is to be detected, and the anchors",
        f"For each of {len(names)} tasks {SHOWN} grey canvases, divided into {GRID} by {GRID} cells, with a frame "
        "around each digit; on the right the widths and heights of all boxes fall into three groups, one per anchor.",
        f"{SIDE}×{SIDE} pixels; lines: the {GRID}×{GRID} cells; frames: the exact boxes. Right: sizes of the "
        "training boxes, coloured by the anchor whose shape they overlap most; crosses: the anchors, by k-means with "
        "one minus intersection over union as the distance.",
    )


def _canvas(axes: Axes, task: tasks.Task, which: int) -> None:
    """One test image, in shades that read on light and dark pages alike, with the cells' lines."""
    image = task.splits.test.inputs[which].view(SIDE, SIDE).numpy()
    axes.imshow(image, cmap="gray", extent=(0, SIDE, SIDE, 0), interpolation="nearest")
    for line in range(1, GRID):
        axes.axhline(line * SIDE / GRID, color="0.5", lw=0.4)
        axes.axvline(line * SIDE / GRID, color="0.5", lw=0.4)
    axes.grid(False)
    axes.set(xticks=[], yticks=[], xlim=(0, SIDE), ylim=(SIDE, 0))


def _truths(task: tasks.Task, which: int) -> Floats:
    """Real boxes [k, 4] of one test canvas."""
    target = task.splits.test.targets[which].numpy().astype(np.float64)
    return np.asarray(target[target[:, 0] != detection.NONE, 1:5])


def _draw(axes: Axes, boxes: Floats, colour: str, *, width: float, alpha: float = 1.0) -> None:
    frames = [Rectangle((x - w / 2, y - h / 2), w, h) for x, y, w, h in boxes * SIDE]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=colour, lw=width, alpha=alpha))


def _sizes(axes: Axes, task: tasks.Task) -> None:
    targets = task.splits.train.targets
    sizes = targets[targets[..., 0] != detection.NONE][:, 3:5].numpy().astype(np.float64)
    centres = detection.anchors_of(task)
    counts = pd.DataFrame(np.round(sizes * SIDE), columns=["width", "height"]).value_counts().reset_index()
    nearest = detection_data.shape_overlap(counts[["width", "height"]].to_numpy()[:, None] / SIDE, centres).argmax(1)
    colours = [ANCHOR_COLOURS[k] for k in nearest]
    axes.scatter(counts["width"], counts["height"], s=2 + 40 * counts["count"] / counts["count"].max(), c=colours, lw=0)
    axes.plot(*(centres * SIDE).T, "+", color=INK, ms=11, mew=2)
    axes.set_ylabel("height")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


@figure_maker
def early_boxes(runs: pd.DataFrame, task_name: str) -> tuple[Figure, Words]:
    """What every predictor says when warmup ends, under each arm: a row of test canvases per arm."""
    task = tasks.load(task_name)
    chosen = runs[(runs["part"] == "picture") & (runs["task"] == task_name)]
    shown = {name: _predicted(chosen, f"adam/{name}", task) for name in ("none", "anchor", "ramp", "keras")}
    figure, axes = plt.subplots(len(shown), SHOWN, figsize=(8.2, 2.05 * len(shown) + 0.4))
    for row, (name, boxes) in enumerate(shown.items()):
        for column in range(SHOWN):
            axis = axes[row, column]
            _canvas(axis, task, column)
            _predictions(axis, task, column, boxes[column])
        axes[row, 0].set_ylabel("\n".join(ARMS[name].label.split(", ")))
    updates, lr = int(chosen["updates"].iloc[0]), float(chosen["lr"].iloc[0])
    return figure, Words(
        "What the predictors say when warmup ends",
        f"{len(shown)} rows of {SHOWN} canvases, one for each arm. Thin blue frames are the boxes of predictors "
        "without a digit, thick orange ones those of predictors that have one. Under the pull at full weight the thin "
        "frames form a regular pattern, one for each cell; without a pull they are scattered.",
        f"{task.title}, one seed of Adam at a rate of {lr:.2g} after {updates} updates. Thin, blue: what "
        "predictors of the smallest anchor say where they have no digit; thick, orange: predictors that have one, of "
        "any anchor; purple: the digits' real boxes. Anchor warmup has Darknet's weight unless marked.",
    )


def _predicted(runs: pd.DataFrame, arm: str, task: tasks.Task) -> Floats:
    """Boxes [SHOWN, P, 4] that a run ended with."""
    outputs = np.array(runs.loc[runs["arm"] == arm, "outputs"].iloc[0], dtype=np.float32)  # a copy that torch may write
    boxes, _ = detection.detections(
        outputs.reshape(-1, detection.PREDICTORS, detection.OUTPUTS), detection.anchors_of(task)
    )
    return boxes


def _predictions(axes: Axes, task: tasks.Task, which: int, boxes: Floats) -> None:
    """The small anchor's boxes without a digit, the boxes of all predictors that have one, and the real boxes."""
    target = task.splits.test.targets[which, :, 0].numpy()
    real = target[target != detection.NONE].astype(int)
    anchor = np.arange(len(boxes)) % detection.ANCHORS
    others = ~np.isin(np.arange(len(boxes)), real)
    _draw(axes, boxes[others & (anchor == 0)], ANCHOR_COLOURS[0], width=0.9)
    _draw(axes, _truths(task, which), TRUTH, width=1.4)
    _draw(axes, boxes[real], ANCHOR_COLOURS[1], width=2)


@figure_maker
def box_loss(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Box loss and pull along training for every arm, at the rate that suits training without warmup.

    A column per task and optimiser.
    """
    grid = runs[runs["part"] == "grid"]
    pairs = list(dict.fromkeys(zip(grid["task"], grid["optimizer"], strict=True)))
    figure, axes = plt.subplots(
        2, len(pairs), figsize=(2.4 + 2.6 * len(pairs), 5.6), sharex=True, sharey="row", squeeze=False
    )
    length = int(grid["auxiliary_updates"].max())
    for column, (task, optimizer) in enumerate(pairs):
        arms = tests.at_best_rate(grid[grid["task"] == task], optimizer)
        for axis, curve in zip(axes[:, column], ("box_curve", "pull_curve"), strict=True):
            for name, rows in arms.items():
                _curves(axis, rows, curve, optimizer, name)
            axis.axvspan(0, length, color="0.5", alpha=0.14, lw=0)
            plain_log_scale(axis)
        rate = next(iter(arms.values()))["lr"].iloc[0]
        axes[0, column].set_title(f"{OPTIMIZERS[optimizer].label}, rate {rate:.2g}\n{task}", fontsize=9.5)
        axes[1, column].set_xlabel("update")
    axes[0, 0].set_ylabel("box loss (real boxes)")
    axes[1, 0].set_ylabel("squared distance of\nother boxes to anchors")
    _legend(figure, axes[0, 0])
    seeds = grid[grid["role"] == CONFIRMATION]["seed"].nunique()
    return figure, Words(
        "Box loss, and what the pull acts on, along training",
        f"Two rows of panels, one column for each of {len(pairs)} pairs of task and optimiser. Above, five curves "
        "of the box loss fall with training; below, the distance of all other boxes to their anchors, which the pull "
        "at full weight keeps small within warmup, and which rises without a pull.",
        f"On the validation split. Thin: one of n = {seeds} seeds without warmup and with anchor warmup; thick: each "
        f"arm's median. Shaded: both warmups, {length} updates. Rate: the best without any warmup.",
    )


def _curves(axes: Axes, runs: pd.DataFrame, column: str, optimizer: str, name: str) -> None:
    """Seeds thin where the claim compares them, the arm's median thick."""
    look, colour = ARMS[name], OPTIMIZERS[optimizer].colour
    values = np.stack(runs[column].to_list()).astype(float)
    updates = np.asarray(runs["evaluated_at"].iloc[0])
    if name in ("none", tests.CLAIMED):
        axes.plot(updates, values.T, color=colour if name == "none" else INK, lw=0.3, alpha=0.25)
    axes.plot(
        updates,
        np.nanmedian(values, axis=0),
        color=INK if name == tests.CLAIMED else colour,
        ls=look.line,
        marker=look.marker,
        markevery=(len(updates) // 2, len(updates)),
        lw=1.6,
        label=look.label,
    )


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8.5)


@figure_maker
def effects(effects_by_task: Mapping[str, Effects]) -> tuple[Figure, Words]:
    """What every arm changes against its control, by quantity: a row per arm and optimiser, a column per quantity."""
    over_all = pool_tasks(effects_by_task)["all"]
    optimizers = list(dict.fromkeys(optimizer for optimizer, _, _ in over_all))
    rows = [(arm, optimizer) for arm in tests.COMPARISONS for optimizer in optimizers]
    units = {
        EARLY_LOSS: "log ratio, below 0 is better",
        VARIANCE: "log ratio, below 0 is steadier",
        PRECISION: "difference, above 0 is better",
    }
    figure, axes = plt.subplots(1, len(units), figsize=(10.6, 0.27 * len(rows) + 1.3), sharey=True)
    for axis, (quantity, unit) in zip(axes, units.items(), strict=True):
        axis.axvline(0, lw=0.8, color="0.5")
        decisive = rows.index((tests.CLAIMED, POOLED))
        axis.axhspan(decisive - 0.5, decisive + 0.5, color="0.5", alpha=0.18, lw=0)
        for row, (arm, optimizer) in enumerate(rows):
            _point(axis, row, over_all[optimizer, arm, quantity], optimizer, arm)
            for effects_of in effects_by_task.values():
                axis.plot(effects_of[optimizer, arm, quantity].estimate, row, "|", color="0.5", ms=6)
        axis.set(title=TITLES[quantity], xlabel=unit)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    labels = [f"{ARMS[arm].label}, {_called(optimizer)}" for arm, optimizer in rows]
    axes[0].set_yticks(range(len(rows)), labels, fontsize=8.5)
    axes[0].invert_yaxis()
    seeds = min(effect.n for effect in over_all.values())
    return figure, Words(
        "What either warmup changes",
        f"Three panels of points with intervals, {len(rows)} rows, one per arm and optimiser: change of the early box "
        "loss, of its variance over seeds, and of the final mean average precision.",
        f"Against no warmup, and for both together against the ramp alone; paired by n = {seeds} seeds, at the rate "
        f"that is best without warmup, with 95 % intervals, mean over {len(effects_by_task)} tasks (grey bars: each). "
        "The shaded row decides the claim, by its two left panels. mAP: at an intersection over union of one half, on "
        "the test split.",
    )


def _called(optimizer: str) -> str:
    return optimizer if optimizer == POOLED else OPTIMIZERS[optimizer].label


def _point(axes: Axes, row: int, effect: Effect, optimizer: str, arm: str) -> None:
    colour = INK if optimizer == POOLED else OPTIMIZERS[optimizer].colour
    axes.plot([effect.low, effect.high], [row, row], color=colour, lw=2.5, solid_capstyle="butt")
    axes.plot(effect.estimate, row, ARMS[arm].marker, color=colour, markersize=7)


@figure_maker
def rates(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Early box loss and final mAP at every peak rate, by arm: a column per task and optimiser."""
    grid = tests.with_endpoints(runs)
    grid = grid[grid["role"] == CONFIRMATION]
    pairs = list(dict.fromkeys(zip(grid["task"], grid["optimizer"], strict=True)))
    figure, axes = plt.subplots(
        2, len(pairs), figsize=(2.4 + 2.6 * len(pairs), 5.2), sharey="row", sharex="col", squeeze=False
    )
    for column, (task, optimizer) in enumerate(pairs):
        mine = grid[(grid["task"] == task) & (grid["optimizer"] == optimizer)]
        for axis, quantity in zip(axes[:, column], ("early", "mean_ap"), strict=True):
            _by_rate(axis, mine, quantity, optimizer)
        axes[0, column].set_title(f"{OPTIMIZERS[optimizer].label}\n{task}", fontsize=9.5)
        axes[1, column].set_xlabel("peak learning rate")
    axes[0, 0].set_ylabel("early box loss")
    axes[1, 0].set_ylabel("mAP@0.5 at the end")
    _legend(figure, axes[0, 0])
    return figure, Words(
        "The same at other learning rates",
        f"Two rows of panels, one column for each of {len(pairs)} pairs of task and optimiser: early box loss above, "
        "final mean average precision below, both against the peak learning rate, one curve for each of five arms.",
        f"Medians over n = {grid['seed'].nunique()} seeds, bars: quartiles, which single runs gone wild leave alone. "
        "Points are shifted sideways so as not to cover each other.",
    )


def _by_rate(axes: Axes, runs: pd.DataFrame, quantity: str, optimizer: str) -> None:
    colour = OPTIMIZERS[optimizer].colour
    for place, (name, look) in enumerate(ARMS.items()):
        mine = runs[runs["arm"] == f"{optimizer}/{name}"].groupby("lr")[quantity]
        low, middle, high = (mine.quantile(share) for share in (0.25, 0.5, 0.75))
        shifted = middle.index.to_numpy(dtype=float) * 1.06 ** (place - len(ARMS) // 2)
        axes.errorbar(
            shifted,
            middle,
            [middle - low, high - middle],
            color=INK if name == tests.CLAIMED else colour,
            ls=look.line,
            marker=look.marker,
            lw=1.2,
            elinewidth=1,
            label=look.label,
        )
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
