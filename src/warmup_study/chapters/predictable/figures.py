"""Figures of the eleventh chapter: how well cheap measurements rank cases, and the best known of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from warmup_study.chapters.core_curves import LABELS
from warmup_study.chapters.predictable import sentences
from warmup_study.chapters.predictable.analysis import BARE, CRITICAL, PAYS, Auc
from warmup_study.claims.evidence import regime_of
from warmup_study.presentation.canvas import Words, figure_maker, no_case
from warmup_study.presentation.facets import facets, legend, most_labelled
from warmup_study.presentation.formatting import count_of, number, percent
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import GUIDE, REGIMES, SHADE
from warmup_study.statistics.bootstrap import LEVEL


@figure_maker
def auc(found: Mapping[str, Auc]) -> tuple[Figure, Words]:
    """By how much each measurement ranks cases better than the learning rate alone."""
    if not found:
        return no_case(sentences.auc_title(found))
    others = {name: mine for name, mine in found.items() if name != BARE}
    panels = facets([""], [""], (4.0, 0.36 * len(others)), (3.4, 0.7))
    axes = panels.axes[0, 0]
    names = [f"{sentences.WAYS[name]}\n(AUC {number(mine.value.estimate)})" for name, mine in others.items()]
    intervals(axes, [[Estimate(mine.over_bare)] for mine in others.values()], names)
    axes.set_xlabel(f"AUC gained over the learning rate alone (AUC {number(found[BARE].value.estimate)})")
    return panels.figure, Words(
        sentences.auc_title(found),
        f"{count_of(len(others), 'row')}, one per measurement, with the gain in area under the curve over the "
        "learning rate alone and its interval. Right of the line, the measurement predicts better.",
        f"AUC: the probability that a case in which a ramp pays has the higher score; mean over optimisers, with "
        f"{percent(LEVEL)} bootstrap intervals over {found[BARE].value.n} tasks. A ramp pays where it lowers the loss "
        f"by more than {percent(PAYS)} of the initial one.",
    )


@figure_maker
def critical(cases: pd.DataFrame) -> tuple[Figure, Words]:
    """A ramp's gain against the learning rate relative to the initial critical one: a panel for each optimiser."""
    if not len(cases):
        return no_case("Nothing to test: no cell trains at this size")
    optimizers = list(cases["optimizer"].unique())
    panels = facets([""], {name: LABELS[name] for name in optimizers}, (2.2, 2.4), sharex=True, sharey=True)
    for _, optimizer, axes in panels:
        mine = cases[cases["optimizer"] == optimizer]
        for regime, dots in mine.groupby(mine["task"].map(regime_of), sort=False):
            look = REGIMES[str(regime)]
            gained = (dots["none"] - dots["ramp"]) / dots[["none", "ramp"]].max(axis=1)
            axes.plot(np.exp(dots[CRITICAL]), gained, look.marker, color=look.colour, ms=4, label=look.label)
        axes.axvspan(sentences.CLEAR, 1.0, **SHADE)
        axes.axhline(0, **GUIDE)
        axes.set_xscale("log")
        axes.set_xlabel("LR ÷ critical LR")
    panels.axes[0, 0].set_ylabel("share of the loss saved")
    legend(most_labelled(panels.axes[0]), ink=False)
    return panels.figure, Words(
        sentences.critical_title(cases),
        f"{count_of(len(optimizers), 'panel')}, one per optimiser: share of the loss that a ramp saves, one point "
        "per case, against the learning rate relative to the critical one at the start of training.",
        "The critical learning rate is the smallest at which a step in the direction of the first update raises the "
        "loss, found with forward passes alone. One point for each learning rate of each task at which one of the arms "
        "trains; means over seeds. Shaded: from half the critical learning rate up to it.",
    )
