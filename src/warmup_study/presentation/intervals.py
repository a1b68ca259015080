"""Estimates with their intervals: one below the other or side by side, the margin shaded and the null drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from warmup_study.presentation.numbers import INTERVAL
from warmup_study.presentation.style import ADAM, GUIDE, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect

_APART = 0.3  # rows between two estimates that share one


@dataclass(frozen=True)
class Estimate:
    """An effect as it is drawn, and what a legend calls it."""

    effect: Effect
    colour: str = ADAM
    marker: str = WARMUPS["ramp"].marker
    hollow: bool = False
    label: str | None = None

    def draw(self, axes: Axes, place: float, *, ratio: bool, upright: bool, label: str | None) -> None:
        """Draw bar and marker at a place of the axis that does not hold the values."""
        low, middle, high = (self.effect.low, self.effect.estimate, self.effect.high)
        if ratio:
            low, middle, high = np.exp([low, middle, high])
        bar, point = ([low, high], [place] * 2), ([middle], [place])
        style: dict[str, Any] = {"mfc": "white"} if self.hollow else {}
        bar_name, name = f"{INTERVAL}{self.label or ''}", f"_{self.label}" if self.label else None  # in no legend
        axes.plot(*(bar[::-1] if upright else bar), color=self.colour, lw=2.5, solid_capstyle="butt", label=bar_name)
        axes.plot(
            *(point[::-1] if upright else point), self.marker, color=self.colour, ms=7, label=label or name, **style
        )


def intervals(
    axes: Axes,
    rows: Sequence[Sequence[Estimate]],
    names: Sequence[str],
    places: Sequence[float] = (),
    *,
    margin: float = 0.0,
    ratio: bool = False,
    upright: bool = False,
) -> None:
    """Draw a named row of estimates below the other, or a column beside the other where ``upright``.

    Rows are one apart unless their ``places`` are given. The null is drawn and the margin ±``margin`` shaded; a
    ``ratio`` is drawn where its logarithm was measured. Labels are those of the first row.
    """
    null, *ends = np.exp([0.0, -margin, margin]) if ratio else (0.0, -margin, margin)
    (axes.axhline if upright else axes.axvline)(null, **GUIDE)
    if margin:
        (axes.axhspan if upright else axes.axvspan)(*ends, **SHADE)
    for place, row in zip(places or range(len(rows)), rows, strict=True):
        for beside, estimate in enumerate(row):
            shifted = place + _APART * (beside - (len(row) - 1) / 2)
            label = estimate.label if row is rows[0] else None
            estimate.draw(axes, shifted, ratio=ratio, upright=upright, label=label)
    name_rows(axes, names, places, upright=upright)
    if margin and not (upright or ratio):
        axes.xaxis.set_major_locator(MaxNLocator(4))  # labels of small numbers are wide


def name_rows(axes: Axes, names: Sequence[str], places: Sequence[float] = (), *, upright: bool = False) -> None:
    """Name the rows from above, or the columns from the left where ``upright``."""
    ticks = places or range(len(names))
    ends = (min(ticks, default=0) - 0.5, max(ticks, default=0) + 0.5)
    if upright:
        axes.set_xticks(ticks, names)
        axes.set_xlim(ends)
    else:
        axes.set_yticks(ticks, names)
        axes.set_ylim(ends[::-1])
