"""Gains stacked in rows, with a panel for each place they are measured at: margins shaded, the null drawn."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    COLOURS,
    FAR,
    LABELS,
    LARGEST,
    SHARE,
    THIRD,
    USABLE,
    Gains,
    mean_gain,
)
from warmup_study.claims.table import margin
from warmup_study.presentation.facets import facets
from warmup_study.presentation.forest import share_ratio_scale
from warmup_study.presentation.intervals import Estimate, intervals

_RATIO = "loss without ÷ with"


@dataclass(frozen=True)
class Panel:
    """A place's title, its unit, and whether gains are ratios of losses."""

    title: str
    unit: str
    endpoint: str = ""
    ratio: bool = False

    @property
    def margin(self) -> float:
        """The smallest gain of interest; 0 where none was set."""
        return margin(self.endpoint).value if self.endpoint else 0.0


PANELS = {
    USABLE: Panel("usable LRs", "decades gained", "usable_lr"),
    LARGEST: Panel("largest trainable LR", "doublings gained", "largest_trainable_lr"),
    THIRD: Panel("⅓ × the best LR", _RATIO, "tuned_loss", ratio=True),
    BEST: Panel("at its best LR", _RATIO, "tuned_loss", ratio=True),
    ABOVE: Panel("2 × the best LR", _RATIO, "overshoot", ratio=True),
    FAR: Panel("4 × the best LR", _RATIO, "overshoot", ratio=True),
    SHARE: Panel("seeds that train", "gained at 2 × best"),
}


@dataclass(frozen=True)
class Row:
    """A named row with its estimates by place; means stand out by a diamond."""

    name: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


def gain_rows(known: Gains, places: Sequence[str], optimizers: Iterable[str] = tuple(LABELS)) -> Iterator[Row]:
    """What the ramp gains each optimiser: its mean, and below it its tasks."""
    for optimizer in optimizers:
        label, colour = LABELS[optimizer], COLOURS[optimizer]
        mine = {task: effects for (task, name), effects in known.items() if name == optimizer}
        if len(mine) > 1:
            means = {place: mean_gain(known, optimizer, place) for place in places}
            yield Row(f"{label}: mean", {place: Estimate(e, colour, "D") for place, e in means.items() if e})
        for task, effects in mine.items():
            estimates = {place: Estimate(effects["ramp", place], colour, hollow=len(mine) > 1) for place in places}
            yield Row(f"{label} · {task}", estimates)


def gain_panels(places: Sequence[str], rows: Sequence[Row], width: float = 2.3) -> Figure:
    """A panel for each of the ``places``, keys of `PANELS`, in which each row has its estimate, where it has one.

    Ratios of losses share one log axis, right of 1 where warmup does better.
    """
    panels = facets([""], {place: PANELS[place].title for place in places}, (width, 0.24 * len(rows) + 1.1))
    for _, place, axes in panels:
        look = PANELS[place]
        shown = [[row.estimates[place]] if place in row.estimates else [] for row in rows]
        intervals(axes, shown, [row.name for row in rows], margin=look.margin, ratio=look.ratio)
        axes.set_xlabel(look.unit)
    share_ratio_scale([axes for _, place, axes in panels if PANELS[place].ratio])
    return panels.figure
