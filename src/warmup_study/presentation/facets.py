"""A grid of panels, with the names of its rows and columns on the outside and one legend above."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from warmup_study.presentation.style import INK

Row = TypeVar("Row")
Column = TypeVar("Column")
Sharing = bool | Literal["all", "col", "row"]


@dataclass(frozen=True)
class Facets(Generic[Row, Column]):
    """Panels, a row for each of ``rows`` and a column for each of ``columns``; one by one, with both, when iterated."""

    figure: Figure
    axes: NDArray[np.object_]
    rows: Sequence[Row]
    columns: Sequence[Column]

    def __iter__(self) -> Iterator[tuple[Row, Column, Axes]]:
        for row, line in zip(self.rows, self.axes, strict=True):
            for column, axes in zip(self.columns, line, strict=True):
                yield row, column, axes


def facets(
    rows: Sequence[Row] | Mapping[Row, str],
    columns: Sequence[Column] | Mapping[Column, str],
    panel: tuple[float, float],
    around: tuple[float, float] = (0, 0),
    *,
    x: str = "",
    y: str = "",
    sharex: Sharing = "col",
    sharey: Sharing = "row",
    **subplots: Any,
) -> Facets[Row, Column]:
    """Empty panels of one size, in inches, with so much room around them all.

    Rows and columns are values with their names; a text is its own name, another value has none without one. Names of
    columns stand above them, and names of rows on their left, or ``y`` does, and ``x`` below.
    ``subplots``: further keywords of ``plt.subplots``.
    """
    size = (around[0] + panel[0] * len(columns), around[1] + panel[1] * len(rows))
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=size, sharex=sharex, sharey=sharey, squeeze=False, **subplots
    )
    for axis, title in zip(axes[0], _names(columns), strict=True):
        axis.set_title(title, parse_math=False)
    for axis in axes[-1]:
        axis.set_xlabel(x)
    for axis, label in zip(axes[:, 0], _names(rows), strict=True):
        axis.set_ylabel(y or label)
    return Facets(figure, axes, list(rows), list(columns))


def _names(places: Sequence[Any] | Mapping[Any, str]) -> list[str]:
    return (
        [str(name) for name in places.values()]
        if isinstance(places, Mapping)
        else [place if isinstance(place, str) else "" for place in places]
    )


def legend(axes: Axes, *, ink: bool = True, **style: Any) -> None:
    """One legend above all panels, made from one of them.

    In ink, line and marker tell the arm whatever the optimiser's colour. ``style``: keywords of ``Figure.legend``.
    """
    handles, labels = axes.get_legend_handles_labels()
    if ink:
        handles = [copy(handle) for handle in handles if isinstance(handle, Line2D)]
        for handle in handles:
            handle.set(color=INK, markeredgecolor=INK)
    keywords: dict[str, Any] = {"loc": "outside upper right", "ncols": len(labels)} | style
    axes.figure.legend(handles, labels, **keywords)


def most_labelled(panels: Iterable[Axes]) -> Axes:
    """The panel from which a legend for all of them can be made."""
    return max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))


def plain_log_scale(axes: Axes, ticks: Sequence[float] = (1, 2, 5)) -> None:
    """A log scale upwards, with these ticks in every decade, written as plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=ticks))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def log_ticks(axes: Axes, places: Sequence[float], **style: Any) -> None:
    """A log scale to the right, with a tick at each of these places alone."""
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places], **style)
    axes.xaxis.minorticks_off()
