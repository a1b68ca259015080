"""Figures of the seventh chapter: canvases and anchors, boxes when warmup ends, and the effect of each warmup."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from warmup_study import tasks
from warmup_study.chapters.anchor_warmup import analysis
from warmup_study.chapters.anchor_warmup.analysis import EARLY_LOSS, POOLED, PRECISION, Effects
from warmup_study.claims.evidence import pool_tasks
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.changes import compared, finding
from warmup_study.presentation.curves import effective_lr, lr_label
from warmup_study.presentation.facets import Facets, facets, legend
from warmup_study.presentation.formatting import count_of, number
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS, Look
from warmup_study.statistics.bootstrap import Effect, weighted_sum
from warmup_study.tasks import detection, detection_data
from warmup_study.tasks.detection_data import GRID, SIDE, Floats

ARMS = {
    "none": WARMUPS["none"],
    "anchor": Look("anchor warmup", line=(0, (1, 1)), marker="X"),
    "ramp": WARMUPS["ramp"],
    "both": Look("ramp and anchor warmup", line=(0, (5, 1.5, 1, 1.5)), marker="v"),
    "keras": Look("anchor warmup, full weight", line=(0, (3, 1, 1, 1, 1, 1)), marker="P"),
}
ANCHOR_COLOURS = ("#0072B2", "#BC8200", "#009E73")
TRUTH = "#CC79A7"
CORNERS = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
"""Of a frame around its centre, in halves of its width and height; the first closes it."""
SHOWN = 4
QUANTITIES = {
    EARLY_LOSS: (EARLY_LOSS, "log ratio, below 0 is better"),
    PRECISION: ("mAP@0.5 at the end", "difference, above 0 is better"),
}
"""By quantity: the title of its panel, and its unit."""


@figure_maker
def anchors(names: tuple[str, ...]) -> tuple[Figure, Words]:
    """Test canvases with their boxes, and the sizes of all training boxes with the anchors: a row per task."""
    panels = facets(names, range(SHOWN + 1), (10.4 / (SHOWN + 1), 2.3), sharex=False, sharey=False)
    for name, column, axes in panels:
        task = tasks.load(name)
        if column == SHOWN:
            _draw_sizes(axes, task)
        else:
            _draw_canvas(axes, task, column)
            _draw_boxes(axes, _truths(task, column), "true box", TRUTH, width=1.6)
    axes.set_xlabel("width (pixels)")
    return panels.figure, Words(
        "Box sizes fall into three groups, one per anchor",
        f"For each of {count_of(len(names), 'task')}, {SHOWN} grey canvases, divided into {GRID} by {GRID} cells, "
        "with a frame around each digit; on the right the widths and heights of all boxes fall into three groups, one "
        "per anchor.",
        f"{SIDE}×{SIDE} pixels; lines: the {GRID}×{GRID} cells; frames: the exact boxes. Right: sizes of the "
        "training boxes, coloured by the anchor whose shape they overlap most; crosses: the anchors, from k-means with "
        "one minus intersection over union as the distance.",
    )


def _draw_canvas(axes: Axes, task: tasks.Task, which: int) -> None:
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


def _draw_boxes(axes: Axes, boxes: Floats, name: str, colour: str, *, width: float) -> None:
    """Frames as one line, broken between boxes, so that their corners are among the figure's numbers."""
    centres, halves = boxes[:, None, :2] * SIDE, boxes[:, None, 2:] * SIDE / 2
    corners = np.pad(centres + halves * CORNERS, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(-1, 2)
    axes.plot(*corners.T, color=colour, lw=width, solid_joinstyle="miter", label=f"_{name}")


def _draw_sizes(axes: Axes, task: tasks.Task) -> None:
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
    """Predicted boxes when warmup ends, in each arm: a row of test canvases per arm."""
    task = tasks.load(task_name)
    chosen = runs[(runs["part"] == "picture") & (runs["task"] == task_name)]
    labels = {name: ARMS[name].label.replace(", ", "\n") for name in ("none", "anchor", "ramp", "keras")}
    shown = {name: _predicted(chosen, f"adam/{name}", task) for name in labels}
    panels = facets(labels, range(SHOWN), (2.05, 2.05), (0, 0.4), sharex=False, sharey=False)
    for name, column, axes in panels:
        _draw_canvas(axes, task, column)
        _draw_predictions(axes, task, column, shown[name][column])
    pull = {name: chosen.loc[chosen["arm"] == f"adam/{name}", "pull_curve"].iloc[0][-1] for name in labels}
    farther = (pull["none"] / pull["keras"]) ** 0.5  # the pull is a squared distance
    updates, lr = int(chosen["updates"].iloc[0]), float(chosen["lr"].iloc[0])
    return panels.figure, Words(
        f"When warmup ends, boxes without a digit are {number(farther)} times as far from their anchors without a pull "
        "as with the pull at full weight",
        f"{count_of(len(shown), 'row')} of {SHOWN} canvases, one row for each arm. Thin blue frames are the boxes "
        "of predictors without a digit, thick orange ones those of predictors with one. With the pull at full weight, "
        "the thin frames form a regular pattern, one per cell; without a pull, they are scattered.",
        f"{task.title}, one seed of Adam at a learning rate of {lr:.2g} after {updates} updates. Thin, blue: boxes of "
        "the smallest anchor's predictors where there is no digit. Thick, orange: predictors with a digit, of any "
        "anchor. Purple: true boxes. Anchor warmup has Darknet's weight unless marked.",
    )


def _predicted(runs: pd.DataFrame, arm: str, task: tasks.Task) -> Floats:
    """Boxes [SHOWN, P, 4] that a run ended with."""
    outputs = np.array(runs.loc[runs["arm"] == arm, "outputs"].iloc[0], dtype=np.float32)  # a copy that torch may write
    boxes, _ = detection.detections(
        outputs.reshape(-1, detection.PREDICTORS, detection.OUTPUTS), detection.anchors_of(task)
    )
    return boxes


def _draw_predictions(axes: Axes, task: tasks.Task, which: int, boxes: Floats) -> None:
    """The small anchor's boxes without a digit, the boxes of all predictors that have one, and the real boxes."""
    target = task.splits.test.targets[which, :, 0].numpy()
    real = target[target != detection.NONE].astype(int)
    anchor = np.arange(len(boxes)) % detection.ANCHORS
    others = ~np.isin(np.arange(len(boxes)), real)
    _draw_boxes(axes, boxes[others & (anchor == 0)], "without a digit", ANCHOR_COLOURS[0], width=0.9)
    _draw_boxes(axes, _truths(task, which), "true box", TRUTH, width=1.4)
    _draw_boxes(axes, boxes[real], "with a digit", ANCHOR_COLOURS[1], width=2)


def _by_pair(grid: pd.DataFrame, rows: Mapping[str, str], height: float, x: str) -> Facets[str, tuple[str, str]]:
    """Panels, a row per quantity and a column per pair of task and optimiser."""
    pairs = dict.fromkeys(zip(grid["task"], grid["optimizer"], strict=True))
    titles = {(task, optimizer): f"{OPTIMIZERS[optimizer].label}\n{task}" for task, optimizer in pairs}
    return facets(rows, titles, (2.5, height), (2.4, 0), x=x)


def _colour(optimizer: str, arm: str) -> str:
    return INK if arm in analysis.CLAIMED else OPTIMIZERS[optimizer].colour


@figure_maker
def effects(effects_by_task: Mapping[str, Effects]) -> tuple[Figure, Words]:
    """Effect of every arm relative to its control: a row per arm and optimiser, a column per quantity."""
    over_all = pool_tasks(effects_by_task)["all"]
    optimizers = list(dict.fromkeys(optimizer for optimizer, _, _ in over_all))
    rows = [(arm, optimizer) for arm in analysis.COMPARISONS for optimizer in optimizers]
    panels = facets([""], {name: title for name, (title, _) in QUANTITIES.items()}, (5.2, 0.27 * len(rows) + 1.3))
    for _, quantity, axes in panels:
        least = margin("early_box_loss").value if quantity == EARLY_LOSS else 0.0
        _draw_effects(axes, {(arm, o): over_all[o, arm, quantity] for arm, o in rows}, least)
        for place, (arm, optimizer) in enumerate(rows):
            each = [found[optimizer, arm, quantity].estimate for found in effects_by_task.values()]
            axes.plot(each, [place] * len(each), "|", color="0.5", ms=6)
        axes.set_xlabel(QUANTITIES[quantity][1])
    gains = (weighted_sum([over_all[POOLED, arm, EARLY_LOSS]], [-1.0]) for arm in analysis.CLAIMED)
    weak, strong = (finding(gain, margin("early_box_loss").value) for gain in gains)
    return panels.figure, Words(
        f"Early box loss is {weak} with a weak pull towards the anchors and {strong} with a full-weight pull",
        f"Two panels of points with intervals, {count_of(len(rows), 'row')}, one per arm and optimiser: change in "
        "the early box loss, and in the final mean average precision.",
        "Relative to no warmup; both together, relative to the ramp alone. Paired by seed (n = "
        f"{min(effect.n for effect in over_all.values())}), at the learning rate that is best without warmup, with "
        "95 % intervals; means over tasks (grey ticks: each task). Shaded: changes of less than 2 %; for the claim to "
        "hold, the black rows of both pulls must lie left of it. mAP: at an intersection over union of one half, on "
        "the test split.",
    )


def _draw_effects(axes: Axes, effects_of: Mapping[tuple[str, str], Effect], least: float) -> None:
    """Arms, each under every optimiser; rows that decide the claim are black."""
    looks = {optimizer: OPTIMIZERS.get(optimizer, Look(optimizer)) for _, optimizer in effects_of}
    estimates = [
        [Estimate(effect, looks[o].colour if o in OPTIMIZERS else INK, ARMS[arm].marker)]
        for (arm, o), effect in effects_of.items()
    ]
    intervals(axes, estimates, [f"{ARMS[arm].label}, {looks[o].label}" for arm, o in effects_of], margin=least)
    axes.tick_params(axis="y", labelsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))


@figure_maker
def rates(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Early box loss and final mAP at every peak learning rate, by arm: a column per task and optimiser."""
    grid = analysis.with_endpoints(runs)
    grid = grid.assign(lr=effective_lr)
    rows = {"early": "early box loss", "mean_ap": "mAP@0.5 at the end"}
    panels = _by_pair(grid, rows, 2.6, lr_label(grid))
    for quantity, (task, optimizer), axes in panels:
        for place, name in enumerate(ARMS):
            arm = grid[(grid["task"] == task) & (grid["arm"] == f"{optimizer}/{name}")]
            _draw_quartiles(axes, arm, quantity, ARMS[name].keywords(_colour(optimizer, name)), place)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    legend(panels.axes[0, 0], ink=False)
    high = {arm: compared(-_at_highest_lr(grid, arm)) for arm in analysis.CLAIMED}
    return panels.figure, Words(
        f"At the highest learning rate, early box loss is {high['anchor']} with the weak pull and {high['keras']} "
        "with the pull at full weight",
        f"Two rows of panels, one column for each of {len(panels.columns)} pairs of task and optimiser: early box loss "
        "(top) and final mean average precision (bottom) against the peak learning rate, one curve for each of five "
        "arms.",
        f"Medians over n = {grid['seed'].nunique()} seeds; bars: quartiles, which are robust to single runs that blow "
        "up. With momentum, the learning rate is the effective one. Points are shifted sideways to avoid overlap.",
    )


def _at_highest_lr(grid: pd.DataFrame, arm: str) -> float:
    """Mean over tasks and optimisers of the log ratio of the median early box losses, arm over none, at that rate."""
    ratios = []
    for (_, optimizer), mine in grid.groupby(["task", "optimizer"]):
        highest = mine[mine["lr"] == mine["lr"].max()].groupby("arm")["early"].median()
        ratios.append(np.log(highest[f"{optimizer}/{arm}"] / highest[f"{optimizer}/none"]))
    return float(np.mean(ratios))


def _draw_quartiles(axes: Axes, runs: pd.DataFrame, quantity: str, style: Mapping[str, Any], place: int) -> None:
    low, middle, high = (runs.groupby("lr")[quantity].quantile(share) for share in (0.25, 0.5, 0.75))
    shifted = middle.index.to_numpy(dtype=float) * 1.06 ** (place - len(ARMS) // 2)
    axes.errorbar(shifted, middle, [middle - low, high - middle], lw=1.2, elinewidth=1, **style)
