"""Figures of the eighth chapter: loss against the length of the ramp, laws, shapes, batches and skewed streams."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study.chapters.core_curves import ABOVE, BEST, LABELS
from warmup_study.chapters.how_long import sentences
from warmup_study.chapters.how_long.analysis.comparisons import OPTIMIZERS
from warmup_study.chapters.how_long.analysis.lengths import PLACES, Cell, by_task, exponents, laws
from warmup_study.chapters.how_long.sentences import Outcomes, Shapes
from warmup_study.chapters.how_long.sizes import USUAL_BETA2
from warmup_study.claims.evidence import measured, regime_of
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.facets import facets, legend, log_ticks, plain_log_scale
from warmup_study.presentation.forest import forest
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, GUIDE, INK, REGIMES, SHADE
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics.bootstrap import Effect

LEAST = margin("tuned_loss").value
TITLES = {BEST: "best LR of each length", ABOVE: "2 × best LR without warmup"}
LINES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "^", "s", "D")
INTERVAL = "with 95 % intervals, paired by seed"


@figure_maker
def lengths(found: Sequence[Cell], effects: Outcomes) -> tuple[Figure, Words]:
    """Loss over the best length's against the length of the ramp: a column per task, a row per place."""
    shown = by_task(sentences.trained(found))
    panels = facets(
        {place: f"{title}\nloss ÷ best length's" for place, title in TITLES.items()},
        list(shown),
        (3.1, 2.5),
        (0.4, 0.4),
        x="ramp length (updates)",
    )
    for place, task, axes in panels:
        _draw_lengths(axes, shown[task], place)
    legend(panels.axes[0, 0], ink=False)
    seeds = min(cell.seeds for cell in found)
    return panels.figure, Words(
        sentences.lengths_title(effects),
        f"{count_of(len(shown), 'column')} of panels, one per task, and two rows, one per learning rate: loss "
        "relative to the best length against ramp length, one line per cell of the design.",
        f"Adam, cosine decay, at least {seeds} seeds. Thick: the task's own batch size and β₂ = {USUAL_BETA2:g}, one "
        "line per run length; thin: other batch sizes and β₂. Dots mark one epoch; a length of 1 is no warmup. "
        "Shaded: within 5 % of the best. The best length is picked on different seeds from those that score it, so "
        "lines can dip below 1.",
    )


def _draw_lengths(axes: Axes, found: Sequence[Cell], place: str) -> None:
    axes.axhline(1, **GUIDE)
    axes.axhspan(np.exp(-LEAST), np.exp(LEAST), **SHADE)
    usual = [cell for cell in found if cell.batch == found[0].batch and cell.beta2 == USUAL_BETA2]
    for cell in found:
        profile = cell.lengths.profile(np.arange(cell.seeds)[None], PLACES[place])
        across, up = np.maximum(cell.lengths.lengths, 1), np.exp(profile[0])
        if cell not in usual:
            axes.plot(across, up, color="0.55", lw=0.6)
            continue
        line = LINES[usual.index(cell) % len(LINES)]
        axes.plot(across, up, color=ADAM, ls=line, label=f"{cell.updates:,} updates")
        axes.plot([max(cell.epoch, 1)], [np.exp(cell.lengths.at(profile, cell.epoch)[0])], "o", color=INK, ms=5)
    plain_log_scale(axes, (1, 1.2, 1.5, 2, 3, 5, 7))
    log_ticks(axes, [1, 10, 100, 1000])


@figure_maker
def lines(found: Sequence[Cell]) -> tuple[Figure, Words]:
    """Mean excess loss where one length is used in all cells: a line per law, a panel per place."""
    panels = facets([""], TITLES, (4.2, 2.8), (0.3, 0.5), x="typical ramp length (updates)", y="mean excess loss (%)")
    for _, place, axes in panels:
        axes.axhline(100 * np.expm1(LEAST), ls=":", **GUIDE)
        for (name, law), line, marker in zip(
            laws(sentences.trained(found), place).items(), LINES, MARKERS, strict=True
        ):
            lost = 100 * np.expm1(law.lost)
            axes.plot(law.typical, lost, color=ADAM, ls=line, label=f"constant in {name}")
            axes.plot(law.typical[law.best], lost[law.best], marker, color=INK)
        log_ticks(axes, [1, 10, 100])
    legend(panels.axes[0, 0], ncols=2)
    return panels.figure, Words(
        sentences.laws_title(found),
        "Two panels, one per learning rate, with four lines, one per law: excess loss, averaged over cells, against "
        "typical ramp length.",
        f"One multiple of the unit is used in all {len(sentences.trained(found))} cells; the typical length is the "
        "geometric mean over cells. Markers: each law's best multiple. Dotted: 5 %. On these tasks, a length constant "
        "in epochs is constant in examples, too.",
    )


@figure_maker
def powers(found: Sequence[Cell]) -> tuple[Figure, Words]:
    """Exponents of the sufficient length: a row per law, both places in it."""
    known = {place: exponents(sentences.trained(found), place) for place in PLACES}
    names = list(dict.fromkeys(law for mine in known.values() for law in mine))
    rows = [
        [Estimate(mine[law], hollow=place == BEST, label=TITLES[place]) for place, mine in known.items() if law in mine]
        for law in names
    ]
    panels = facets([""], [""], (7.4, 0.55 * len(names) + 0.8), x="exponent of the sufficient length")
    axes = panels.axes[0, 0]
    intervals(axes, rows, [f"in {name}" for name in names])
    axes.axvline(1, ls=":", **GUIDE)
    if rows:
        legend(axes, ink=False)
    return panels.figure, Words(
        sentences.exponents_title(found),
        f"{count_of(len(names), 'row')}, one per law: exponent of the sufficient ramp length, as points with "
        "intervals.",
        f"Least squares in logarithms over the cells that need a ramp, with one constant per task, {INTERVAL}. Solid "
        "line: 0, no dependence. Dotted: 1, proportional to that quantity.",
    )


@figure_maker
def untuned(effects: Outcomes) -> tuple[Figure, Words]:
    """Excess loss of 2/(1−β₂) updates: a panel per task, a row per β₂."""
    found = measured(effects)
    panels = facets([""], list(found) or [""], (3.2, 2.4), (0.5, 0.4), x="excess loss (log ratio)", sharex="all")
    for _, task, axes in panels:
        mine = found.get(task, {})
        betas = [name for name in mine if name.startswith("excess loss (")]
        rows = [_both_places(mine, name) for name in betas]
        names = [sentences.at_beta2(name).strip("()") for name in betas]
        intervals(axes, rows, names, margin=LEAST)
    if found:
        legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        sentences.untuned_title(effects),
        f"{count_of(len(found), 'panel')}, one per task, with a row for each β₂: excess loss as points with intervals.",
        f"Adam with a ramp of 2/(1−β₂) updates relative to the best length, {INTERVAL} (0.1 ≈ 10 %). Filled: each at "
        "its best learning rate; open: at twice the best without warmup. Shaded: within 5 %.",
    )


def _both_places(mine: Mapping[str, Effect], name: str) -> list[Estimate]:
    above = name.replace("excess loss", f"excess loss {ABOVE}")
    return [Estimate(mine[name], label=TITLES[BEST]), Estimate(mine[above], hollow=True, label=TITLES[ABOVE])]


@figure_maker
def shapes(found: Shapes) -> tuple[Figure, Words]:
    """Gains of other shapes over the linear ramp: a panel per place, a row per shape, tasks in it."""
    names = list(next(iter(found.values()))[BEST]) if found else []

    def estimates(place: str) -> list[list[Estimate]]:
        return [[_of_task(mine[place][name], task) for task, mine in found.items()] for name in names]

    panels = forest(
        names, TITLES, estimates, (3.6, 0.5), (1.2, 1.1), margin=LEAST, x="log ratio of losses, linear ÷ shape"
    )
    return panels.figure, Words(
        sentences.shapes_title(found),
        f"Two panels, one per learning rate, with {count_of(len(names), 'row')}, one per warmup shape, and a point "
        f"for each of {count_of(len(found), 'task')}.",
        f"Adam; loss with the linear ramp from 1/n relative to the shape, {INTERVAL}. Right of 0, the shape is better "
        "(0.1 ≈ 10 %). All give up as many full updates as that ramp, except those from 0.01 and 0.1, which give up "
        "fewer. Shaded: within 5 %.",
    )


def _of_task(effect: Effect, task: str) -> Estimate:
    look = REGIMES[regime_of(task)]
    return Estimate(effect, look.colour, look.marker, label=task)


@figure_maker
def large_batch(effects: Outcomes) -> tuple[Figure, Words]:
    """The ramp's gain at every batch size: a panel per optimiser, tasks side by side."""
    found = measured(effects)
    names = {name: LABELS[name] for name in OPTIMIZERS}
    panels = facets([""], names, (4.0, 2.8), (0.3, 0.3), x="batch size", y="gain of the ramp (log ratio)")
    for _, name, axes in panels:
        start = f"gain of the ramp ({OPTIMIZERS[name]}, batch "
        sizes = list(
            dict.fromkeys(key.removeprefix(start) for mine in found.values() for key in mine if key.startswith(start))
        )
        rows = [[_of_task(mine[start + size], task) for task, mine in found.items()] for size in sizes]
        intervals(axes, rows, [size.rstrip(")") for size in sizes], margin=LEAST, upright=True)
        axes.set_title(names[name], color=LOOKS[name].colour)
    if found:
        legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        sentences.large_batch_title(effects),
        "Two panels, SGD with momentum and Adam: gain of the ramp at each batch size, one point for each of "
        f"{count_of(len(found), 'task')}.",
        f"Loss without warmup relative to that with a ramp, each at its best learning rate, {INTERVAL}. Above 0, the "
        "ramp helps (0.1 ≈ 10 %). All runs take equally many updates, whatever the batch size. Shaded: within 5 %.",
    )


@figure_maker
def skew(effects: Outcomes) -> tuple[Figure, Words]:
    """Effect of a long ramp on the loss on skewed and on mixed streams, and the difference: a row per task."""
    found = measured(effects)
    name = "log loss of a long over a short ramp"
    columns = {"streams": "4 epochs vs ¼", "difference": "skewed minus ordinary"}

    def estimates(column: str) -> list[list[Estimate]]:
        return [
            [Estimate(mine[f"{name}, skewed less mixed"], INK)]
            if column == "difference"
            else [
                Estimate(mine[f"{name} ({stream})"], hollow=stream == "mixed", label=f"{shown} stream")
                for stream, shown in sentences.STREAMS.items()
            ]
            for mine in found.values()
        ]

    panels = forest(
        list(found), columns, estimates, (3.6, 0.55), (1.2, 1.2), margin=LEAST, x="log ratio of test losses"
    )
    return panels.figure, Words(
        sentences.skew_title(effects),
        f"Two panels, one row for each of {count_of(len(found), 'task')}: loss with a long ramp relative to a short "
        "one on both streams, and the difference between the streams.",
        f"Adam, each length at its best learning rate, {INTERVAL}. Left of 0, the long ramp is better, or gains more "
        "on the skewed stream, whose first half epoch is from one class (0.1 ≈ 10 %). Shaded: within 5 %.",
    )
