"""Figures of the tenth chapter: loss against learning rate, gains of a ramp, and of a momentum ramp instead."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from warmup_study.chapters import core_grid
from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    COLOURS,
    LABELS,
    LARGEST,
    USABLE,
    Cells,
    Gains,
    mean_gain,
    shown,
    told_seeds,
    told_untrainable,
)
from warmup_study.chapters.gain_panels import Row, gain_panels, gain_rows
from warmup_study.chapters.new_optimisers import sentences
from warmup_study.chapters.new_optimisers.analysis import NAMES
from warmup_study.chapters.new_optimisers.design import ADAM, NEWER, OPTIMIZERS, WARMUPS
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import lr_panels
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.intervals import Estimate
from warmup_study.presentation.style import WARMUPS as LOOKS

_PLACES = (BEST, ABOVE, USABLE, LARGEST)


@figure_maker
def curves(runs: pd.DataFrame, found: Cells, known: Gains) -> tuple[Figure, Words]:
    """Test loss against peak learning rate under every warmup: a row for each task, a column for each optimiser."""
    arms = [f"{name}/{warmup}" for name in (*OPTIMIZERS, ADAM) for warmup in WARMUPS]
    grid = runs[runs["part"].isin(["grid", core_grid.PART]) & runs["arm"].isin(arms)]
    # The momentum of these rules leaves the size of a step as it is, so that no learning rate is an effective one.
    drawn = grid.assign(rule=grid["optimizer"].map(LABELS), warmup=grid["arm"].str.rpartition("/")[2], momentum=np.nan)
    panels = lr_panels(drawn, "task", "rule", {LABELS[name]: LABELS[name] for name in (*OPTIMIZERS, ADAM)}, (2.3, 2.3))
    return panels.figure, Words(
        sentences.curves_title(known),
        f"{count_of(len(panels.rows), 'row')} of panels, one per task, and "
        f"{count_of(len(panels.columns), 'column')}, one per optimiser. In "
        "each, test loss falls and then rises with the peak learning rate; curves for no warmup, a learning-rate ramp "
        "and, where there is one, a momentum ramp.",
        f"Cosine decay. Thin lines: n = {told_seeds(found)} seeds; thick: median. Open circles: no warmup; filled "
        "triangles: ramp of the learning rate (up) or of the momentum (down). Diverged runs are assigned the loss of "
        "an untrained network (dotted). Learning rates are not comparable across optimisers.",
    )


@figure_maker
def gains(found: Cells, known: Gains) -> tuple[Figure, Words]:
    """The ramp's gain by optimiser and task: at the best learning rate, at twice that, over the curve, at its end."""
    return gain_panels(_PLACES, list(gain_rows(known, _PLACES, (*OPTIMIZERS, ADAM)))), Words(
        sentences.gains_title(known),
        f"Panels of points with intervals: one row for each of {len(known)} pairs of optimiser and task and one for "
        "each optimiser's mean. Right of the null line, the ramp beats no warmup.",
        "Gain of the ramp over no warmup, paired by seed, with 95 % bootstrap intervals "
        f"(n = {told_seeds(shown(found))} seeds). Diamonds: means over an optimiser's tasks. Multiples are of the "
        f"learning rate that is best without warmup. Shaded: gains too small to matter. "
        f"{told_untrainable(found)}".rstrip(),
    )


@figure_maker
def momentum(found: Cells, known: Gains) -> tuple[Figure, Words]:
    """Gains of a learning-rate ramp and of a momentum ramp for the newer optimisers, as means over tasks."""
    return gain_panels(_PLACES, list(_both_ramps(known))), Words(
        sentences.momentum_title(known),
        f"Panels of points with intervals, two rows for each of {len(NEWER)} optimisers: learning-rate ramp and "
        "momentum ramp. Right of the null line, the ramp beats no warmup.",
        f"Means over tasks, paired by seed, with 95 % bootstrap intervals (n = {told_seeds(shown(found))} seeds). "
        "Filled: ramp of the learning rate. Open: full learning rate from the first update, while the momentum "
        "(Lion's β₁) rises from 0 over as many updates. Shaded: gains too small to matter.",
    )


def _both_ramps(known: Gains) -> Iterator[Row]:
    for name in NEWER:
        for warmup in ("ramp", "momentum"):
            means = {place: mean_gain(known, name, place, warmup) for place in _PLACES}
            look, hollow = LOOKS[warmup], warmup == "momentum"
            label = "learning-rate ramp" if warmup == "ramp" else look.label
            drawn = {p: Estimate(e, COLOURS[name], look.marker, hollow) for p, e in means.items() if e}
            if drawn:
                yield Row(f"{NAMES[name]}: {label}", drawn)
