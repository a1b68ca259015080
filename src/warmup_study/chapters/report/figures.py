"""The report's own figure: the ramp's gain in every regime, below the best learning rate, at it and above it."""

from collections.abc import Iterator, Mapping

from matplotlib.figure import Figure

from warmup_study.chapters.core_curves import ABOVE, BEST, Cells, counted, told_untrainable
from warmup_study.chapters.gain_panels import Row, gain_panels
from warmup_study.chapters.report.analysis import ENDPOINTS, PLACES, Means, all_tasks, mean
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.changes import finding
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.intervals import Estimate
from warmup_study.presentation.style import INK, REGIMES

Regimes = Mapping[str, Mapping[str, Means]]


@figure_maker
def pooled(found: Cells, regimes: Regimes) -> tuple[Figure, Words]:
    """The ramp's gain at every place: over all tasks, by regime, and task by task."""
    seeds = sorted({arms["none"].seeds for arms in counted(found).values()})
    count = f"n = {seeds[0]} to {seeds[-1]} seeds" if seeds else "no task trains"
    return gain_panels(list(PLACES), list(_rows(regimes)), 2.0), Words(
        _title(regimes),
        f"{count_of(len(PLACES), 'panel')} of points with intervals, one per learning rate at which both arms are "
        "compared. Rows: all tasks together, each regime and each of its tasks. Right of the null line, the ramp "
        "beats no warmup.",
        f"Gain of the ramp, averaged over the optimisers that train a task, with 95 % bootstrap intervals ({count}). "
        "Diamonds: equal-weight means over tasks. Learning rates are multiples of the one that is best without warmup. "
        f"Shaded: gains too small to matter. {told_untrainable(found)}".rstrip(),
    )


def _rows(regimes: Regimes) -> Iterator[Row]:
    if regimes:
        yield _row("all tasks", mean(all_tasks(regimes)), INK, "D")
    for regime, tasks in regimes.items():
        look = REGIMES[regime]
        if len(tasks) > 1:
            yield _row(f"{look.label}: mean", mean(tasks), look.colour, "D")
        for task, means in tasks.items():
            yield _row(f"{look.label} · {task}", means, look.colour, look.marker, hollow=len(tasks) > 1)


def _row(name: str, means: Means, colour: str, marker: str, hollow: bool = False) -> Row:
    return Row(name, {place: Estimate(effect, colour, marker, hollow) for place, effect in means.items()})


def _title(regimes: Regimes) -> str:
    if not regimes:
        return "Nothing trains at this size, with or without warmup"
    over_all = mean(all_tasks(regimes))
    best, above = (finding(over_all[place], margin(ENDPOINTS[place]).value) for place in (BEST, ABOVE))
    return f"With a ramp, the loss is {best} at the best learning rate and {above} at twice that"
