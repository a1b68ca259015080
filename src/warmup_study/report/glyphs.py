"""Small drawings for the verdict table: one shape per verdict, and an interval as one row of a forest plot."""

from warmup_study.claims.verdict import Verdict

UNTESTED = "not run"
# Shape and colour (Okabe-Ito) both tell the verdict, and its word always stands beside: never colour alone.
_SHAPES = {
    "supported": ("#009E73", '<circle cx="8" cy="8" r="6.5" fill="currentColor"/>'),
    "contradicted": ("#D55E00", '<path d="M3 3 13 13M13 3 3 13" stroke="currentColor" stroke-width="3.2"/>'),
    "mixed": (
        "#0072B2",
        '<circle cx="8" cy="8" r="5.8" fill="none" stroke="currentColor" stroke-width="1.8"/>'
        '<path d="M8 2.2a5.8 5.8 0 0 1 0 11.6z" fill="currentColor"/>',
    ),
    "depends": (
        "#0072B2",
        '<circle cx="8" cy="8" r="5.8" fill="none" stroke="currentColor" stroke-width="1.8"/>'
        '<path d="M2.2 8a5.8 5.8 0 0 0 11.6 0z" fill="currentColor"/>',
    ),
    "inconclusive": (
        "#6B6B6B",
        '<circle cx="8" cy="8" r="5.8" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    ),
    UNTESTED: (
        "#6B6B6B",
        '<path d="M2 8h12" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2"/>',
    ),
}
_WIDTH, _HEIGHT, _MIDDLE = 120, 18, 9


def mark(word: str) -> str:
    """The shape of a verdict as an inline SVG, hidden from screen readers: the word stands beside it; none of none."""
    if not word:
        return ""
    colour, shape = _SHAPES[word]
    name = word.replace(" ", "-")
    return (
        f'<svg class="mark mark-{name}" width="16" height="16" viewBox="0 0 16 16" color="{colour}" '
        f'aria-hidden="true" focusable="false">{shape}</svg>'
    )


def forest(verdict: Verdict) -> str:
    """Estimate and interval on an axis with zero in the middle and the margin shaded; empty without an interval.

    Every row has its own scale, as units differ; the numbers stand beside, so screen readers skip the drawing.
    """
    low, high = verdict.ci_low, verdict.ci_high
    if verdict.estimate is None or low is None or high is None:
        return ""
    reach = max(abs(low), abs(high), abs(verdict.estimate), abs(verdict.margin or 0.0)) or 1.0
    start, end, middle, edge = (_x(value, reach) for value in (low, high, verdict.estimate, verdict.margin or 0.0))
    return (
        f'<svg class="forest" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'aria-hidden="true" focusable="false">'
        f'<rect class="margin" x="{_WIDTH - edge:.1f}" y="1" width="{2 * edge - _WIDTH:.1f}" height="{_HEIGHT - 2}" '
        f'fill="currentColor" fill-opacity="0.13"/>'
        f'<path class="zero" d="M{_WIDTH / 2} 0V{_HEIGHT}" stroke="currentColor" stroke-width="1" opacity="0.55"/>'
        f'<path d="M{start:.1f} {_MIDDLE}H{end:.1f}M{start:.1f} 5V13M{end:.1f} 5V13" '
        f'stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{middle:.1f}" cy="{_MIDDLE}" r="3.6" fill="currentColor"/></svg>'
    )


def _x(value: float, reach: float) -> float:
    """Position on the axis, which leaves a little room at either end."""
    return _WIDTH / 2 * (1 + 0.94 * value / reach)
