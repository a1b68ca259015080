"""Figures of the tenth chapter: losses over learning rates, what a ramp gains, and a ramp of the momentum instead."""

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
        f"{len(panels.rows)} rows of panels, one per task, and {len(panels.columns)} columns, one per optimiser. In "
        "each, test loss falls and then rises with the peak learning rate: a curve without warmup, one under the ramp, "
        "and one under a ramp of the momentum where there is any.",
        f"Cosine decay. Thin: one of n = {told_seeds(found)} seeds; thick: the median; open circles: no warmup, filled "
        "triangles: ramp of the learning rate (up) or of the momentum (down). A run that diverged counts with the loss "
        "of an untrained network (dotted). Learning rates of different optimisers cannot be held against each other.",
    )


@figure_maker
def gains(found: Cells, known: Gains) -> tuple[Figure, Words]:
    """What the ramp gains by optimiser and task: at the best learning rate, at twice it, over the curve, at its end."""
    return gain_panels(_PLACES, list(gain_rows(known, _PLACES, (*OPTIMIZERS, ADAM)))), Words(
        sentences.gains_title(known),
        f"Panels of points with intervals, a row for each of {len(known)} pairs of optimiser and task and one for each "
        "optimiser's mean; points to the right of the null mean that the ramp does better than no warmup.",
        "Gain of the ramp over no warmup, paired by seed, with 95 % bootstrap intervals "
        f"(n = {told_seeds(shown(found))} seeds); diamonds: means over an optimiser's tasks. Multiples are of the "
        f"learning rate that is best without warmup. Shaded: smaller than the smallest gain of interest. "
        f"{told_untrainable(found)}".rstrip(),
    )


@figure_maker
def momentum(found: Cells, known: Gains) -> tuple[Figure, Words]:
    """What a ramp of the learning rate and one of the momentum gain the newer optimisers, as means over tasks."""
    return gain_panels(_PLACES, list(_both_ramps(known))), Words(
        sentences.momentum_title(known),
        f"Panels of points with intervals, two rows for each of {len(NEWER)} optimisers: a ramp of the learning rate, "
        "and one of the momentum; points to the right of the null do better than no warmup.",
        "Means over tasks, paired by seed, with 95 % bootstrap intervals. Filled: ramp of the learning rate; open: the "
        "learning rate is full from the first update on, and the momentum (Lion's β₁) rises from 0 over as many "
        f"updates. Shaded: smaller than the smallest gain of interest (n = {told_seeds(shown(found))} seeds).",
    )


def _both_ramps(known: Gains) -> Iterator[Row]:
    for name in NEWER:
        for warmup in ("ramp", "momentum"):
            means = {place: mean_gain(known, name, place, warmup) for place in _PLACES}
            look, hollow = LOOKS[warmup], warmup == "momentum"
            label = "ramp of the learning rate" if warmup == "ramp" else look.label
            drawn = {p: Estimate(e, COLOURS[name], look.marker, hollow) for p, e in means.items() if e}
            if drawn:
                yield Row(f"{NAMES[name]}: {label}", drawn)
