"""The report's own figure: what warmup gains in every task and optimiser, and all of them together."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study.chapters.report.analysis import FEWEST, Cell, prediction, summary
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.intervals import Estimate, intervals, name_rows
from warmup_study.presentation.style import INK, OPTIMIZERS
from warmup_study.statistics.bootstrap import Effect


@figure_maker
def pooled(gains: Mapping[Cell, Effect]) -> tuple[Figure, Words]:
    """The ramp's gain at the tuned learning rate for each task and optimiser, their mean, and what to expect."""
    figure, axes = plt.subplots(figsize=(8.4, 0.2 * len(gains) + 1.9))
    labels = [f"{task} · {_named(optimizer)}" for task, optimizer in gains]
    rows = [[Estimate(gain, OPTIMIZERS[_look(optimizer)].colour)] for (_, optimizer), gain in gains.items()]
    intervals(axes, rows, labels, margin=margin("tuned_loss").value)
    if len(gains) >= FEWEST:
        _draw_summary(axes, gains)
        name_rows(axes, [*labels, "", "all together"])
    axes.set(xlabel="gain of the ramp at the tuned learning rate (log ratio of test losses)")
    seeds = sorted(gain.n for gain in gains.values())
    count = f"n = {seeds[0]} to {seeds[-1]} seeds" if seeds else "no cell has been run"
    return figure, Words(
        "Does warmup give better results, all in all?",
        f"A row for each of {len(gains)} pairs of task and optimiser: a point with an interval for what the ramp gains "
        "in test loss at the tuned learning rate, right of zero where warmup helps. The last row, a diamond, is their "
        "random-effects mean, and a thin line through it says what to expect of a further task and optimiser.",
        f"Bars: 95 % intervals over {count}. Diamond: mean with its 95 % interval (Hartung, Knapp, Sidik, Jonkman); "
        "thin line: 95 % prediction interval. Shaded: gains too small to count.",
    )


def _draw_summary(axes: Axes, gains: Mapping[Cell, Effect]) -> None:
    mean, ends, place = summary(gains), prediction(gains), len(gains) + 1
    axes.plot(ends, [place] * 2, color=INK, lw=1)
    corners = [mean.low, mean.estimate, mean.high, mean.estimate]
    axes.fill(corners, [place, place - 0.4, place, place + 0.4], color=INK)


def _named(optimizer: str) -> str:
    """How the reader knows a cell's optimiser: ``adam0`` is Adam without momentum."""
    label = OPTIMIZERS[_look(optimizer)].label
    return f"{label}, β₁ = 0" if optimizer.endswith("0") else label


def _look(optimizer: str) -> str:
    """The optimiser whose colour a cell has."""
    plain = optimizer.rstrip("0123456789")
    return plain if plain in OPTIMIZERS else "adam"
