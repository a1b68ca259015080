"""The lab's figure: loss of up to five setups with bands over seeds; below it, learning rate and update size."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from warmup_study import tasks
from warmup_study.lab.setups import CEILING, Band, Floats, Glance, Seen, names, quantiles
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.facets import plain_log_scale
from warmup_study.presentation.style import GUIDE, OPTIMIZERS, WARMUPS

LETTERS = "ABCD"
CURRENT = "now"
_WIDE = 20.0  # peak learning rates further apart than this share a logarithmic axis
_LINEAR_PROBES = {"alignment", "velocity_alignment", "dead_share", "attention_entropy", "update_angle"}


def labels(shown: int) -> list[str]:
    """Short names of the setups: letters, and the last is the current one."""
    return [*LETTERS[: shown - 1], CURRENT]


@figure_maker
def lab(shown: Sequence[Seen], probe: str = "", glances: Mapping[str, Glance] | None = None) -> tuple[Figure, Words]:
    """Loss bands above; realised learning rate, size of updates and, on request, a probe below.

    ``shown``: pinned setups, then the current one; ``glances``: what the probe saw, by short name.
    """
    named, seen_by_probe = dict(zip(labels(len(shown)), shown, strict=True)), glances or {}
    figure = plt.figure(figsize=(6.6, 5.8))
    rows = figure.add_gridspec(2, 1, height_ratios=(1.6, 1))
    grid = rows[1].subgridspec(1, 3 if seen_by_probe else 2)
    loss, lr, size = (figure.add_subplot(place) for place in (rows[0], grid[0], grid[1]))
    _loss_panel(loss, named)
    _lr_panel(lr, named)
    _bands(size, {letter: (seen, seen.probed, quantiles(seen.size)) for letter, seen in named.items()})
    size.set(title="update size / LR", yscale="log")
    if seen_by_probe:
        _probe_panel(figure.add_subplot(grid[2]), probe, named, seen_by_probe)
    for axes in figure.axes:
        axes.set(xlabel="" if axes is loss else "update", xlim=(0, max(seen.setup.updates for seen in shown)))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _name_ends(axes)
    described = dict(zip(named, names([seen.setup for seen in shown]), strict=True))
    handles = [Line2D([], [], **_line(letter, seen)) for letter, seen in named.items()]
    texts = [f"{letter}: {text}" for letter, text in described.items()]
    figure.legend(handles, texts, loc="outside upper left", ncols=1, handlelength=3.2, labelspacing=0.25)
    return figure, _words(named, texts, probe if seen_by_probe else "")


def _line(letter: str, seen: Seen) -> dict[str, Any]:
    """How a setup's median is drawn: the current one's is the thickest."""
    setup = seen.setup
    thick = 2.6 if letter == CURRENT else 1.4
    return {"color": OPTIMIZERS[setup.optimizer].colour, "ls": WARMUPS[setup.warmup].line, "lw": thick}


def _loss_panel(axes: Axes, shown: Mapping[str, Seen]) -> None:
    _bands(axes, {letter: (seen, seen.evaluated, seen.band) for letter, seen in shown.items()})
    untrained = max(seen.untrained for seen in shown.values())
    lowest = min(float(np.nanmin(seen.band[0])) for seen in shown.values())
    highest = max(float(np.nanmax(seen.band[2])) for seen in shown.values())
    axes.axhline(untrained, ls=":", **GUIDE)
    place = axes.get_yaxis_transform()
    axes.annotate("untrained", (0.99, untrained), (0, 2), place, "offset points", ha="right", fontsize=8)
    plain_log_scale(axes)
    axes.set_ylim(0.85 * lowest, max(1.2 * untrained, min(1.1 * highest, CEILING * untrained)))
    axes.set_title("validation loss (nats)")


def _lr_panel(axes: Axes, shown: Mapping[str, Seen]) -> None:
    _bands(axes, {letter: (seen, seen.evaluated[1:], (seen.rate[1:],) * 3) for letter, seen in shown.items()})
    peaks = [seen.setup.lr for seen in shown.values()]
    if max(peaks) > _WIDE * min(peaks):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * max(peaks))
    axes.set_title("realised LR")


def _probe_panel(axes: Axes, probe: str, shown: Mapping[str, Seen], glances: Mapping[str, Glance]) -> None:
    _bands(axes, {at: (shown[at], found.probed, quantiles(found.values)) for at, found in glances.items()})
    seeds = max(len(found.values) for found in glances.values())
    positive = all(np.nanmin(found.values) > 0 for found in glances.values())
    axes.set_yscale("log" if positive and probe not in _LINEAR_PROBES else "linear")
    axes.set_title(f"{probe.replace('_', ' ')} (n = {seeds})")


def _bands(axes: Axes, drawn: Mapping[str, tuple[Seen, Floats, Band]]) -> None:
    """Median thick, 10 to 90 % tinted. Each median keeps its short name for its end."""
    for letter, (seen, at, (low, middle, high)) in drawn.items():
        line = _line(letter, seen)
        axes.fill_between(at, low, high, color=line["color"], alpha=0.22 if letter == CURRENT else 0.1, lw=0)
        axes.plot(at, middle, gid=f"lab-{letter}", **line)


def _name_ends(axes: Axes) -> None:
    """Each median's short name where it ends, pushed apart where two would overlap."""
    lines = [line for line in axes.get_lines() if str(line.get_gid()).startswith("lab-")]
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [(to_axes.transform(_last_point(line))[1], line) for line in lines]
    room = 13 / (72 * axes.get_position().height * axes.get_figure(root=True).get_figheight())  # type: ignore[union-attr]
    placed = _apart([min(max(height, 0.0), 1.0) for height, _ in ends], room)
    for (_, line), height in zip(ends, placed, strict=True):
        letter = str(line.get_gid()).removeprefix("lab-")
        text = axes.text(1.015, height, letter, transform=axes.transAxes, fontsize=9, va="center")
        text.set(color=line.get_color(), weight="bold" if letter == CURRENT else "normal")


def _last_point(line: Line2D) -> tuple[float, float]:
    """The last finite point of a line; (1, 1) for a line without any."""
    points = np.asarray(line.get_xydata(), dtype=float)
    finite = points[np.isfinite(points).all(1)]
    return (float(finite[-1, 0]), float(finite[-1, 1])) if len(finite) else (1.0, 1.0)


def _apart(heights: Sequence[float], room: float) -> list[float]:
    """Heights in the same order from bottom to top, at least ``room`` from each other."""
    order = np.argsort(heights, kind="stable")
    placed = np.asarray(heights, dtype=float)[order]
    for here in range(1, len(placed)):
        placed[here] = max(placed[here], placed[here - 1] + room)
    placed -= max(0.0, placed[-1] - 1.0) if len(placed) else 0.0
    return [float(placed[place]) for place in np.argsort(order, kind="stable")]


def _words(named: Mapping[str, Seen], texts: Sequence[str], probe: str) -> Words:
    titles = ", ".join(dict.fromkeys(tasks.load(seen.setup.task).title for seen in named.values()))
    probed = f", and {probe.replace('_', ' ')}" if probe else ""
    ends = "; ".join(f"{letter} {seen.band[1][-1]:.2g}" for letter, seen in named.items())
    seeds = len(named[CURRENT].loss)
    return Words(
        "Lab runs: loss, learning rate and update size",
        f"Curves with bands for {len(named)} setups ({'; '.join(texts)}). Top: validation loss, with a final median of "
        f"{ends}. Bottom: realised learning rate, update size relative to it{probed}.",
        f"{titles}. Lines: medians over n = {seeds} seeds; bands: 10th to 90th percentile. Losses are capped at "
        f"{CEILING:g} times that of an untrained network; diverged runs are placed at the cap.",
    )
