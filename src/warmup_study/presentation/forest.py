"""Forest plots: the same named rows of estimates in one or several panels; ratios share one log axis."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes

from warmup_study.presentation.facets import Facets, facets, legend, log_ticks, most_labelled
from warmup_study.presentation.intervals import Estimate, intervals

Column = TypeVar("Column")
_TICKS = {
    1.4: (0.8, 1, 1.2),
    3: (0.5, 0.7, 1, 1.4, 2),
    9: (0.2, 0.5, 1, 2, 5),
    25: (0.1, 0.3, 1, 3, 10),
    np.inf: (0.01, 0.1, 1, 10, 100),
}
"""Where ratios are marked, by the largest factor that an axis reaches: few, as panels are narrow."""
_FARTHEST = 60.0  # a ratio beyond it is cut off


def forest(
    names: Sequence[str],
    columns: Sequence[Column] | Mapping[Column, str],
    estimates: Callable[[Column], Sequence[Sequence[Estimate]]],
    panel: tuple[float, float],
    around: tuple[float, float],
    *,
    margin: float,
    ratio: bool = False,
    x: str = "",
) -> Facets[str, Column]:
    """A panel for each of the ``columns``, in which each of the ``names`` has a row of ``estimates`` of that column.

    ``panel``: width of a panel and height of a row, in inches; ``around``: room around all panels. The legend is that
    of the panel with the most labels. ``margin`` and ``ratio`` as in `intervals`.
    """
    panels = facets([""], columns, (panel[0], panel[1] * len(names)), around, x=x)
    for _, column, axes in panels:
        intervals(axes, estimates(column), names, margin=margin, ratio=ratio)
    if ratio:
        share_ratio_scale(list(panels.axes.ravel()))
    if names:
        legend(most_labelled(panels.axes.ravel()), ink=False)
    return panels


def share_ratio_scale(panels: Sequence[Axes]) -> None:
    """One log scale for the ratios in all of these panels, with ticks at round factors, 1 among them."""
    for axes in panels:
        axes.set_xscale("log")  # before its ends are read, which leave the same room on both sides of the data
    ends = np.array([axes.get_xlim() for axes in panels if axes.lines]).reshape(-1, 2).clip(1 / _FARTHEST, _FARTHEST)
    low, high = ends[:, 0].min(initial=0.9), ends[:, 1].max(initial=1.11)
    ticks = next(ticks for farthest, ticks in _TICKS.items() if max(high, 1 / low) <= farthest)
    for axes in panels:
        log_ticks(axes, [tick for tick in ticks if low <= tick <= high])
        axes.set_xlim(low, high)
