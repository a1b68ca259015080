"""The numbers that a figure draws, as a table in text (CSV): what stands beside each drawing.

A row is a point, with the interval drawn through it or the band drawn around it: `low` and `high`, of whichever of `x`
and `y` is the value. `panel`, `across` and `up` are the texts around the panel. Guides, shades and the thin lines of
single seeds are left out; the table of runs holds the latter. Numbers have six significant digits, and the same figure
gives the same text.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike

from warmup_study.presentation.style import LEFT_OUT

COLUMNS = ("panel", "across", "up", "series", "x", "y", "low", "high")
INTERVAL = "_interval "  # begins the label of a bar; what follows is that of its point. A legend shows neither
_UNNAMED = re.compile(r"_child\d+|_nolegend_")


@dataclass(frozen=True)
class _Point:
    """A point, or with ``low`` and ``high`` a span of its ``along`` coordinate, which is then none of its own."""

    series: str
    x: float
    y: float
    low: float = nan
    high: float = nan
    along: Literal["", "x", "y"] = ""


def numbers(figure: Figure) -> str:
    """The figure's numbers as CSV; empty where it draws none."""
    rows = [row for axes in figure.axes for row in _of_panel(axes, figure.axes)]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([COLUMNS, *rows])
    return buffer.getvalue() if rows else ""


def _of_panel(axes: Axes, panels: list[Axes]) -> Iterator[tuple[str, ...]]:
    """A panel's rows, each under its texts: a grid of panels has them at its edges alone."""
    column = [axes, *(other for other in panels if _aligned(other, axes, "x"))]
    row = [axes, *(other for other in panels if _aligned(other, axes, "y"))]
    around = (
        _first(other.get_title(side) for other in column for side in ("left", "center", "right")),
        _first(other.get_xlabel() for other in column),
        _first(other.get_ylabel() for other in row),
    )
    for point in _joined([points for artist in axes.get_children() if (points := _points(artist, axes))]):
        low, high = (f"{end:.6g}" if isfinite(end) else "" for end in (point.low, point.high))
        yield *around, point.series, _told(point.x, axes.xaxis), _told(point.y, axes.yaxis), low, high


def _aligned(other: Axes, axes: Axes, direction: str) -> bool:
    """Whether two panels stand in one column (x) or one row (y)."""
    one, two = other.get_position(original=True), axes.get_position(original=True)
    return bool(np.isclose(one.x0, two.x0) if direction == "x" else np.isclose(one.y0, two.y0))


def _joined(artists: list[list[_Point]]) -> Iterator[_Point]:
    """All points in the order drawn, with their spans: bars and bands are drawn right before their points or after."""
    spans = [[point for point in points if point.along] for points in artists]
    used: set[_Point] = set()
    for place, points in enumerate(artists):
        beside = _by_place(span for near in spans[max(place - 1, 0) : place + 2] for span in near)
        for point in points:
            if not point.along:
                span = _through(point, beside)
                used.update([span] if span else [])
                yield replace(point, low=span.low, high=span.high) if span else point
    yield from (span for drawn in spans for span in drawn if span not in used)


_Places = dict[tuple[str, str], list[_Point]]  # spans by their direction and by where they stand


def _by_place(spans: Iterable[_Point]) -> _Places:
    found: _Places = {}
    for span in spans:
        found.setdefault((span.along, f"{span.y if span.along == 'x' else span.x:.9g}"), []).append(span)
    return found


def _through(point: _Point, spans: _Places) -> _Point | None:
    """The first span that goes through a point; None where none does."""
    sides = (("y", point.x, point.y), ("x", point.y, point.x))
    near = ((span, value) for along, place, value in sides for span in spans.get((along, f"{place:.9g}"), []))
    return next((span for span, value in near if span.low <= value <= span.high), None)


def _points(artist: Artist, axes: Axes) -> list[_Point]:
    """What an artist draws as points or as spans; nothing where it is a guide, a shade, or no numbers."""
    name, series = str(artist.get_label()), _series(artist)
    if name == LEFT_OUT:
        return []
    if isinstance(artist, Line2D) and artist.get_transform() == axes.transData:  # else across the whole panel: a guide
        corners = _pairs(artist.get_xydata())
        return _bars(series, [corners], axes) if name.startswith(INTERVAL) else _finite(series, corners)
    if isinstance(artist, PathCollection):
        return _finite(series, _pairs(np.ma.filled(artist.get_offsets(), nan)))
    if isinstance(artist, LineCollection):
        return _bars(series, [_pairs(path.vertices) for path in artist.get_paths()], axes)
    if isinstance(artist, PolyCollection):
        return _band(series, [corner for path in artist.get_paths() for corner in _pairs(path.vertices)])
    return []


def _series(artist: Artist) -> str:
    """What a legend calls it, or would; empty where it has no name."""
    name = str(artist.get_label())
    return "" if _UNNAMED.fullmatch(name) else _text(name.removeprefix(INTERVAL).removeprefix("_"))


def _pairs(corners: ArrayLike | None) -> list[tuple[float, float]]:
    table = np.asarray([] if corners is None else corners, dtype=float).reshape(-1, 2)
    return [(float(x), float(y)) for x, y in table]


def _finite(series: str, corners: list[tuple[float, float]]) -> list[_Point]:
    return [_Point(series, x, y) for x, y in corners if isfinite(x) and isfinite(y)]


def _bars(series: str, bars: list[list[tuple[float, float]]], axes: Axes) -> list[_Point]:
    """Spans between the two ends of each bar, along x where rows have names or the bar lies."""
    found = []
    for (x, y), (other_x, other_y) in (bar for bar in bars if len(bar) == 2 and np.isfinite(bar).all()):
        if y == other_y and (x != other_x or _names(axes.yaxis)[1]):
            found.append(_Point(series, nan, y, min(x, other_x), max(x, other_x), "x"))
        else:
            found.append(_Point(series, x, nan, min(y, other_y), max(y, other_y), "y"))
    return found


def _band(series: str, corners: list[tuple[float, float]]) -> list[_Point]:
    """Spans between a band's lower and upper edge."""
    sides: dict[float, list[float]] = {}
    for x, y in corners:
        if isfinite(x) and isfinite(y):
            sides.setdefault(x, []).append(y)
    return [_Point(series, x, nan, min(side), max(side), "y") for x, side in sorted(sides.items())]


def _told(value: float, axis: Axis) -> str:
    """The number, nothing where there is none, or the name of the nearest row or column where an axis has names."""
    if not isfinite(value):
        return ""
    places, names = _names(axis)
    return _text(names[int(np.abs(np.asarray(places) - value).argmin())]) if names else f"{value:.6g}"


def _names(axis: Axis) -> tuple[list[float], list[str]]:
    """Places and names of an axis that has names in the place of numbers."""
    if axis.get_scale() != "linear" or not isinstance(axis.get_major_locator(), FixedLocator):
        return [], []
    places = [float(place) for place in axis.get_majorticklocs()]
    names = axis.get_major_formatter().format_ticks(places)
    return (places, names) if any(character.isalpha() for name in names for character in name) else ([], [])


def _first(texts: Iterable[str]) -> str:
    return _text(next(filter(None, texts), ""))


def _text(text: str) -> str:
    return " ".join(text.split())
