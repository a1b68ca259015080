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
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, GUIDE, INK, REGIMES, SHADE
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics.bootstrap import Effect

LEAST = margin("tuned_loss").value
TITLES = {BEST: "best lr of each length", ABOVE: "2 × the lr best without"}
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
        x="length of the ramp (updates)",
    )
    for place, task, axes in panels:
        _draw_lengths(axes, shown[task], place)
    legend(panels.axes[0, 0], ink=False)
    seeds = min(cell.seeds for cell in found)
    return panels.figure, Words(
        sentences.lengths_title(effects),
        f"{len(shown)} columns of panels, one per task, two rows, one per learning rate. In each, loss over that of "
        "the best length against the length of the ramp, one line per cell of the design.",
        f"Adam, cosine decay, n = {seeds} seeds. Thick: the task's own batch and β₂ = {USUAL_BETA2:g}, a line for each "
        "length of run; thin: other batches and β₂. A dot marks one epoch, 1 is no warmup. Shaded: within 5 % of the "
        "best. The best length is picked on other seeds than those it is judged by, so that lines may dip below 1.",
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
    plain_log_scale(axes)
    log_ticks(axes, [1, 10, 100, 1000])


@figure_maker
def lines(found: Sequence[Cell]) -> tuple[Figure, Words]:
    """Mean excess loss where one length is used in all cells: a line per law, a panel per place."""
    panels = facets([""], TITLES, (4.2, 2.8), (0.3, 0.5), x="typical length (updates)", y="mean excess loss (%)")
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
        "Two panels, one per learning rate, with four lines, one per law: mean excess loss over cells against the "
        "typical length of the ramp.",
        f"One multiple of the unit is used in all {len(sentences.trained(found))} cells; its length is given as the "
        "geometric mean over cells. A mark stands at each law's best multiple. Dotted: 5 %. On these tasks epochs and "
        "numbers of examples are one law.",
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
    intervals(axes, rows, [f"against {name}" for name in names])
    axes.axvline(1, ls=":", **GUIDE)
    if rows:
        legend(axes, ink=False)
    return panels.figure, Words(
        sentences.exponents_title(found),
        f"{len(names)} rows, one per law, with the exponent of the sufficient length as points with intervals.",
        f"Least squares in logarithms over the cells that need a ramp, a constant for each task, {INTERVAL}. Solid: 0, "
        "no dependence; dotted: 1, the sufficient length is constant in that unit.",
    )


@figure_maker
def untuned(effects: Outcomes) -> tuple[Figure, Words]:
    """What 2/(1−β₂) updates lose: a panel per task, a row per β₂."""
    found = measured(effects)
    panels = facets([""], list(found) or [""], (3.2, 2.4), (0.5, 0.4), x="excess loss (log ratio)", sharex="all")
    for _, task, axes in panels:
        mine = found.get(task, {})
        betas = [name for name in mine if name.startswith("excess loss (")]
        rows = [_both_places(mine, name) for name in betas]
        names = [name.removeprefix("excess loss (").rstrip(")").replace("β2", "β₂") for name in betas]
        intervals(axes, rows, names, margin=LEAST)
    if found:
        legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        sentences.untuned_title(effects),
        f"{len(found)} panels, one per task, with a row for each β₂: excess loss as points with intervals.",
        f"Adam with a ramp of 2/(1−β₂) updates against the best length, {INTERVAL}. Filled: each at its best learning "
        "rate; open: at twice the rate that is best without warmup. Shaded: within 5 %.",
    )


def _both_places(mine: Mapping[str, Effect], name: str) -> list[Estimate]:
    above = name.replace("excess loss", f"excess loss {ABOVE}")
    return [Estimate(mine[name], label=TITLES[BEST]), Estimate(mine[above], hollow=True, label=TITLES[ABOVE])]


@figure_maker
def shapes(found: Shapes) -> tuple[Figure, Words]:
    """What other shapes gain over the linear ramp: a panel per place, a row per shape, tasks in it."""
    names = list(next(iter(found.values()))[BEST]) if found else []
    panels = facets([""], TITLES, (3.6, 0.5 * len(names) + 0.8), (1.2, 0.3), x="log loss of linear ÷ shape")
    for _, place, axes in panels:
        rows = [[_of_task(mine[place][name], task) for task, mine in found.items()] for name in names]
        intervals(axes, rows, names, margin=LEAST)
    if found:
        legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        sentences.shapes_title(found),
        f"Two panels, one per learning rate, with {len(names)} rows, one per shape of warmup, and a point for each of "
        f"{len(found)} tasks.",
        f"Adam; loss of the linear ramp from 1/n over that of the shape, {INTERVAL}; right of 0 the shape does better. "
        "All forgo as many full updates as that ramp, save those from 0.01 and from 0.1, which forgo fewer. Shaded: "
        "within 5 %.",
    )


def _of_task(effect: Effect, task: str) -> Estimate:
    look = REGIMES[regime_of(task)]
    return Estimate(effect, look.colour, look.marker, label=task)


@figure_maker
def large_batch(effects: Outcomes) -> tuple[Figure, Words]:
    """The ramp's gain at every batch: a panel per optimiser, tasks side by side."""
    found = measured(effects)
    names = {name: LABELS[name] for name in OPTIMIZERS}
    panels = facets([""], names, (4.0, 2.8), (0.3, 0.3), x="batch", y="gain of the ramp (log ratio)")
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
        "Two panels, SGD with momentum and Adam; in each the gain of the ramp at every batch, a point for each of "
        f"{len(found)} tasks.",
        f"Loss without warmup over that with a ramp, each at its best learning rate, {INTERVAL}; above 0 the ramp "
        "helps. All runs take as many updates, whatever the batch. Shaded: within 5 %.",
    )


@figure_maker
def skew(effects: Outcomes) -> tuple[Figure, Words]:
    """What a long ramp does to the loss on skewed and on mixed streams, and the difference: a row per task."""
    found = measured(effects)
    name = "log loss of a long over a short ramp"
    columns = {"streams": "4 epochs against ¼", "difference": "skewed less mixed"}
    panels = facets([""], columns, (3.6, 0.55 * len(found) + 0.9), (1.2, 0.3), x="log ratio of test losses")
    for _, column, axes in panels:
        rows = [
            [Estimate(mine[f"{name}, skewed less mixed"], INK)]
            if column == "difference"
            else [
                Estimate(mine[f"{name} ({stream})"], hollow=stream == "mixed", label=f"{stream} stream")
                for stream in sentences.STREAMS
            ]
            for mine in found.values()
        ]
        intervals(axes, rows, list(found), margin=LEAST)
    if found:
        legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        sentences.skew_title(effects),
        f"Two panels, a row for each of {len(found)} tasks: the loss of a long ramp over that of a short one on both "
        "streams, and the difference of the two.",
        f"Adam, each length at its best learning rate, {INTERVAL}. Left of 0 the long ramp does better, or gains more "
        "on the skewed stream, whose first half epoch is of one class. Shaded: within 5 %.",
    )
