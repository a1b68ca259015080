"""The notebook's only figure: loss against learning rate, and the share of seeds that train."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from warmup_study.chapters.your_network.analysis import ENOUGH, MULTIPLES, NONE, Arm, Findings, training_seeds
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.changes import finding
from warmup_study.presentation.facets import facets, legend, plain_log_scale
from warmup_study.presentation.style import GUIDE, OPTIMIZERS, WARMUPS
from warmup_study.statistics.bootstrap import LEVEL
from warmup_study.statistics.lr_curves import LrCurves, at_multiple, tuned_loss


@figure_maker
def answer(found: Findings, optimizer: str, network: str) -> tuple[Figure, Words]:
    """Test loss and share of seeds that train, against learning rate relative to the best without warmup."""
    rows = ("test loss", "seeds that train")
    panels = facets(rows, [""], (7.2, 2.8), x=f"learning rate / {found.none.best_lr:g}", height_ratios=(3, 1.2))
    above, below = panels.axes[:, 0]
    shown: tuple[Arm, ...] = (NONE, found.usual, ("zero", found.usual[1]))
    for arm in (arm for arm in shown if arm in found.curves):
        _draw(above, below, found, arm, OPTIMIZERS[optimizer].colour)
    for axes in (above, below):
        axes.axvline(1, ls=":", **GUIDE)
    plain_log_scale(above)
    below.set(ylim=(-0.06, 1.06), xscale="log")
    below.yaxis.set_major_formatter(PercentFormatter(1))
    _tick_factors_of_two(below, found.none)
    legend(above)
    return panels.figure, _words(found, network)


def _draw(above: Axes, below: Axes, found: Findings, arm: Arm, colour: str) -> None:
    curves, look = found.curves[arm], WARMUPS[arm[0]]
    relative = curves.lrs / found.none.best_lr
    losses = pd.DataFrame(curves.test, columns=relative).melt(var_name="lr", value_name="loss")
    interval: dict[str, Any] = {"errorbar": ("ci", 100 * LEVEL), "seed": 0, "err_kws": {"lw": 0, "alpha": 0.12}}
    sns.lineplot(losses, x="lr", y="loss", ax=above, legend=False, **interval, **look.keywords(colour))
    shares = [training_seeds(curves, lr) / curves.seeds for lr in curves.lrs]
    below.plot(relative, shares, **look.keywords(colour))


def _tick_factors_of_two(axes: Axes, none: LrCurves) -> None:
    exponents = np.round(np.log2(none.lrs / none.best_lr)).astype(int)
    ticks = 2.0 ** np.arange(exponents.min(), exponents.max() + 1)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_major_formatter(lambda x, _: f"×{x:g}" if x >= 1 else f"×1/{1 / x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _words(found: Findings, network: str) -> Words:
    where, gain = "At the best learning rates", tuned_loss(found.none, found.ramp)
    if found.multiples:
        where = f"At {MULTIPLES[found.multiples[0]]} the best learning rate"
        gain = at_multiple(found.none, found.ramp, found.multiples[0])
    return Words(
        f"{where}, the loss with a ramp is {finding(gain, ENOUGH)}",
        "Two panels against the learning rate relative to the best without warmup. Top: test loss without warmup, with "
        "a ramp, and after a phase at learning rate 0. Bottom: share of seeds that train with each.",
        f"{network}; ramp and zero phase take {found.usual[1]} updates each. Means over n = {found.none.seeds} seeds "
        f"with {100 * LEVEL:g} % intervals (shaded). Diverged runs are assigned their initial loss. A seed trains if "
        "its loss falls at least half as far as the mean does at the best learning rate.",
    )
