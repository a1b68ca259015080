"""Small drawings for the verdict table: one shape per verdict, and an interval as one row of a forest plot."""

import math
from collections.abc import Callable

from warmup_study.claims.table import Claim, claim
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
    """Estimate and interval on an axis with "no effect" in the middle and the margin shaded; empty without an interval.

    Every row has its own scale, as units differ; the numbers stand beside, so screen readers skip the drawing. Ratios
    lie on a logarithmic axis around 1. Where "no effect" is another number than 0, a note says which.
    """
    if verdict.estimate is None or verdict.ci_low is None or verdict.ci_high is None:
        return ""
    place, null, label = _axis(claim(verdict.id))
    low, middle, high = (place(value) - null for value in (verdict.ci_low, verdict.estimate, verdict.ci_high))
    edge = place(verdict.margin) if verdict.margin else 0.0
    reach = max(abs(low), abs(high), abs(middle), edge) or 1.0
    start, dot, end, margin = (_x(value, reach) for value in (low, middle, high, edge))
    said = f'<small class="null">line: {label}</small>' if label else ""
    return (
        f'<svg class="forest" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'aria-hidden="true" focusable="false">'
        f'<rect x="{_WIDTH - margin:.1f}" y="1" width="{2 * margin - _WIDTH:.1f}" '
        f'height="{_HEIGHT - 2}" fill="currentColor" fill-opacity="0.13"/>'
        f'<path d="M{_WIDTH / 2} 0V{_HEIGHT}" stroke="currentColor" stroke-width="1" opacity="0.55"/>'
        f'<path d="M{start:.1f} {_MIDDLE}H{end:.1f}M{start:.1f} 5V13M{end:.1f} 5V13" '
        f'stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{dot:.1f}" cy="{_MIDDLE}" r="3.6" fill="currentColor"/></svg>{said}'
    )


def _axis(row: Claim) -> tuple[Callable[[float], float], float, str]:
    """How a claim's values lie on the axis, where "no effect" is, and what is written there if that is not 0."""
    if row.as_factor:
        return math.log, 0.0, "1×"
    around = next((leaf.around for leaf in row.conditions.leaves() if leaf.around), 0.0)
    return float, around, f"{around:g}".replace("-", "−") if around else ""


def _x(value: float, reach: float) -> float:
    """Position on the axis, which leaves a little room at either end."""
    return _WIDTH / 2 * (1 + 0.94 * value / reach)
