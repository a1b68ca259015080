"""Figures of the first chapter: the four setups, gains with intervals, the first updates, realised learning rates."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from warmup_study import theory
from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    COLOURS,
    LABELS,
    THIRD,
    USABLE,
    Cells,
    Gains,
    mean_gain,
    shown,
    told_seeds,
    told_untrainable,
)
from warmup_study.chapters.gain_panels import gain_panels, gain_rows
from warmup_study.chapters.sgd_vs_adam import analysis
from warmup_study.chapters.sgd_vs_adam.relative_lr import SETUPS, WARMED, headline, means, of_setups
from warmup_study.claims.evidence import regime_of
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.changes import finding, width
from warmup_study.presentation.facets import Facets, facets, legend, log_ticks, plain_log_scale
from warmup_study.presentation.formatting import count_of, number
from warmup_study.presentation.quantities import grouped
from warmup_study.presentation.style import GUIDE, INK, OPTIMIZERS, REGIMES, WARMUPS
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.lr_curves import OVERSHOOT
from warmup_study.training.optimizers import Optimizer

_ORDER = (THIRD, BEST, ABOVE, USABLE)
_WIDE = 2.0  # inches: panels with room for a finding on one line
_TICKS = (0.1, 0.3, 1, 3, 10, 30)
_ROWS = {
    "loss": "loss ÷ best\nwithout warmup",
    "zero": "lr = 0 first:\nloss with ÷ without",
    "ramp": "ramp:\nloss with ÷ without",
    "share": "share of seeds\nthat train",
}
_LOOKS = {warmup: WARMUPS[warmup] for warmup in ("none", *WARMED)}


@figure_maker
def four_setups(found: Cells, rows: pd.DataFrame, gains: Gains) -> tuple[Figure, Words]:
    """{SGD, Adam}, momentum off and on, x {lr = 0, ramp} against the learning rate relative to the best without warmup.

    Losses and shares of seeds that train are means over tasks; between them, one line per task shows each warmup's
    effect on the loss at the same learning rate. Cells that do not train are left out, unless none does. ``rows``:
    their points.
    """
    panels = _panels(rows, gains, _ROWS, SETUPS, (2.6, 1.85), (0.4, 0.6))
    legend(panels.axes[0, 0])
    _name_tasks(panels, columns=4)
    return panels.figure, _words_of_setups(found, gains)


@figure_maker
def four_setups_narrow(found: Cells, rows: pd.DataFrame, gains: Gains) -> tuple[Figure, Words]:
    """The figure of the four setups for a phone: each warmup's effect on the losses of SGD and Adam, and no other."""
    names = {warmup: _ROWS[warmup] for warmup in WARMED}
    panels = _panels(rows, gains, names, ("sgd", "adam"), (1.75, 1.7), (0.5, 0.8))
    _name_tasks(panels, columns=2)
    return panels.figure, _words_of_setups(found, gains)


def _panels(
    rows: pd.DataFrame,
    gains: Gains,
    names: Mapping[str, str],
    optimizers: Sequence[str],
    size: tuple[float, float],
    around: tuple[float, float],
) -> Facets[str, str]:
    """A row for each of ``names``, a column for each of the optimisers that is drawn, or for all if none of them is."""
    over_tasks = means(rows)
    known = [name for name in SETUPS if name in set(rows["optimizer"])]
    titles = {name: f"{LABELS[name]}, {_tasks(rows, name)}" for name in known if name in optimizers}
    titles = titles or {name: LABELS[name] for name in known}
    wide = size[0] > _WIDE
    label = "LR ÷ best without warmup" if wide else "LR ÷ best without"
    panels = facets(names, titles, size, around, x=label, sharex="all", sharey="row")
    for row, name, axes in panels:
        mean = over_tasks[over_tasks["optimizer"] == name]
        if row in WARMED:
            mine = rows[(rows["optimizer"] == name) & (rows["warmup"] == row)]
            _task_lines(axes, mine, mean[mean["warmup"] == row])
            _tell_gain(axes, mean_gain(gains, name, ABOVE, row), wide=wide)
        else:
            _mean_lines(axes, mean, row, name)
        axes.axvline(1, **GUIDE)
    _scale(panels)
    return panels


def _tasks(rows: pd.DataFrame, optimizer: str) -> str:
    count = rows.loc[rows["optimizer"] == optimizer, "task"].nunique()
    return count_of(count, "task")


def _mean_lines(axes: Axes, mean: pd.DataFrame, column: str, optimizer: str) -> None:
    for warmup, look in _LOOKS.items():
        mine = mean[mean["warmup"] == warmup]
        axes.plot(mine["multiple"], mine[column], **look.keywords(COLOURS[optimizer]), ms=4, lw=1.6)


def _task_lines(axes: Axes, rows: pd.DataFrame, mean: pd.DataFrame) -> None:
    """Loss with warmup over loss without: a line for each task in its regime's look, and their mean with its band."""
    axes.axhline(1, **GUIDE)
    for task, mine in rows.groupby("task", sort=False):
        look = REGIMES[regime_of(str(task))]
        ratios = np.exp([-effect.estimate for effect in mine["gain"]])
        axes.plot(mine["multiple"], ratios, **look.keywords(look.colour), ms=3, lw=0.9)
    effects = list(mean["gain"])
    best, worst = (np.exp([-getattr(effect, end) for effect in effects]) for end in ("high", "low"))
    axes.fill_between(mean["multiple"], best, worst, color=INK, alpha=0.18, lw=0)
    axes.plot(mean["multiple"], np.exp([-e.estimate for e in effects]), color=INK, lw=2, label="mean over tasks, 95 %")


def _tell_gain(axes: Axes, above: Effect | None, *, wide: bool) -> None:
    if above:
        between = " " if wide else "\n"
        text = f"at {OVERSHOOT:g}×:{between}{finding(above, margin('overshoot').value)}"
        axes.text(0.03, 0.04, text, transform=axes.transAxes, fontsize=9, va="bottom")


def _scale(panels: Facets[str, str]) -> None:
    """Log scales, with equal ends in both rows of ratios, whose direction is told."""
    for row, _, axes in panels:
        log_ticks(axes, _TICKS)
        if row != "share":
            plain_log_scale(axes)
        else:
            axes.set_ylim(-0.04, 1.04)
    ratios = _ratios(panels)
    low, high = min(axes.get_ylim()[0] for axes in ratios), max(axes.get_ylim()[1] for axes in ratios)
    for axes in ratios:
        axes.set_ylim(min(0.6, low), max(1.8, high))
    for axes in ratios[:: len(panels.columns)]:
        axes.text(0.03, 0.95, "↑ warmup is worse", transform=axes.transAxes, fontsize=8.5, va="top")


def _ratios(panels: Facets[str, str]) -> list[Axes]:
    """The panels of losses with warmup over losses without, row by row."""
    return [axes for row, _, axes in panels if row in WARMED]


def _name_tasks(panels: Facets[str, str], columns: int) -> None:
    """A legend of the regimes, below."""
    pairs = [pair for axes in _ratios(panels) for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    handles = {label: handle for handle, label in pairs}
    panels.figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def _words_of_setups(found: Cells, gains: Gains) -> Words:
    drawn = of_setups(found)
    return Words(
        headline(found, gains),
        f"Four rows of panels, one column for each of {len({name for _, name in drawn})} optimisers, against the "
        "learning rate as a multiple of the best without warmup. Top: loss, which falls to its best at 1 and rises "
        "beyond. Middle: one line per task, loss with lr = 0 first, and with a ramp, relative to no warmup. Bottom: "
        "share of seeds that train.",
        "Learning rates (effective ones with momentum) are relative to the best without warmup, picked on the "
        f"validation split. Losses and shares of seeds: equal-weight means over tasks (n = {told_seeds(drawn)} seeds "
        "each). With ÷ without, thin: one line per task, coloured by kind of task; thick: their mean with its 95 % "
        "band. Above 1, warmup is worse than none at the same learning rate; below 1, better. "
        f"{told_untrainable(found)}".rstrip(),
    )


@figure_maker
def gains(found: Cells, known: Gains) -> tuple[Figure, Words]:
    """The ramp's gain by optimiser and task: below the best learning rate, at it, at twice it, and over the curve."""
    return gain_panels(_ORDER, list(gain_rows(known, _ORDER))), Words(
        _title_of_gains(known),
        f"Panels of points with intervals: one row for each of {len(known)} pairs of optimiser and task and one for "
        "each optimiser's mean. Right of the null line, the ramp beats no warmup.",
        "Gain of the ramp over no warmup, paired by seed, with 95 % bootstrap intervals "
        f"(n = {told_seeds(shown(found))} seeds). Diamonds: means over an optimiser's tasks. Multiples are of the "
        f"learning rate that is best without warmup. Shaded: gains too small to matter. "
        f"{told_untrainable(found)}".rstrip(),
    )


def _title_of_gains(known: Gains) -> str:
    effects = {LABELS[name]: mean_gain(known, name, USABLE) for name in ("adam", "sgd")}
    least = margin("usable_lr").value
    told = grouped({name: f"{width(effect, least)} for" for name, effect in effects.items() if effect})
    if not told:
        return "Neither Adam nor SGD trains any task"
    return f"With a ramp, the range of usable learning rates is {told}"


@figure_maker
def first_updates(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Size of the first updates relative to the learning rate, with theory, and their alignment with descent."""
    probed = runs[runs["part"] == "probe"]
    tasks = list(probed["task"].unique())
    rows = {"update_size": "update size\n÷ learning rate", "alignment": "cosine with\ndescent direction"}
    panels = facets(rows, tasks, (max(2.6, 5.2 / len(tasks)), 2.3), x="update", sharex="all")
    for column, task, axes in panels:
        for optimizer, seen in probed[probed["task"] == task].groupby("optimizer", sort=False):
            _band(axes, seen, column, str(optimizer))
            if column == "update_size":
                _noise(axes, str(optimizer), int(seen["probed_at"].iloc[0][-1]))
        log_ticks(axes, (1, 3, 10, 30, 100))
        if column == "alignment":
            axes.axhline(0, **GUIDE)
        else:
            plain_log_scale(axes)
    legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        _title_of_first(runs),
        f"One column per task ({', '.join(tasks)}). Top: size of each update divided by its learning rate, on log "
        "axes; RMSProp starts near ten and falls, Adam starts at one. Bottom: cosine between the update and the "
        "descent direction on the full training set.",
        f"Without warmup. Lines: means over n = {probed['seed'].nunique()} seeds, with 95 % bands. Size: root mean "
        "square over parameters. Dotted: theory for gradients that are pure noise.",
    )


def _band(axes: Axes, runs: pd.DataFrame, column: str, optimizer: str) -> None:
    """The mean over seeds at each probed update, with Student's 95 % interval."""
    values, look = np.stack(runs[column].to_list()).astype(float), OPTIMIZERS[optimizer]
    mean, count = values.mean(0), len(values)
    reach = stats.t.ppf(0.975, count - 1) * values.std(0, ddof=1) / np.sqrt(count) if count > 1 else 0 * mean
    updates = np.asarray(runs["probed_at"].iloc[0])
    axes.fill_between(updates, mean - reach, mean + reach, color=look.colour, alpha=0.25, lw=0)
    axes.plot(updates, mean, color=look.colour, lw=1.5, label=look.label)


def _noise(axes: Axes, optimizer: str, updates: int) -> None:
    """The update size that theory predicts for an adaptive rule on pure noise."""
    rule = Optimizer.model_validate({"name": optimizer})
    if rule.kernel == "adaptive":
        sizes = theory.noise_update_size(rule, updates)
        axes.plot(range(1, updates + 1), sizes, color=OPTIMIZERS[optimizer].colour, lw=1.2, ls=":")


def _title_of_first(runs: pd.DataFrame) -> str:
    told = analysis.mean_first_updates(runs)
    if not told:
        return "RMSProp diverged within its first updates"
    ratio = number(np.exp(told[analysis.SIZE].estimate))
    behind = told[f"{analysis.ALIGNMENT}, RMSProp less SGD"]
    words = {True: "and lags more in direction than SGD's", False: "and lags less in direction than SGD's"}
    direction = "with no clear extra lag in direction" if behind.low <= 0 <= behind.high else words[behind.high < 0]
    return f"RMSProp's first update is {ratio} times as large as its later ones, {direction}"


@figure_maker
def realised_lr(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Realised learning rate over its peak as the engine logged it: a column per warmup, a row per decay."""
    audit = runs[runs["part"] == "audit"].drop_duplicates("arm")
    decays = {decay: f"{decay.replace('_', ' ')}\nLR / peak" for decay in audit["decay"].unique()}
    warmups = list(audit["warmup"].unique())
    size = (10.4 / len(warmups), 4.4 / len(decays))
    panels = facets(decays, warmups, size, x="update", sharex=True, sharey=True)
    for decay, warmup, axes in panels:
        for _, run in audit[(audit["decay"] == decay) & (audit["warmup"] == warmup)].iterrows():
            updates, shares = np.asarray(run["evaluated_at"])[1:], np.asarray(run["realised_lr"])[1:] / run["lr"]
            axes.plot(updates, shares, color=INK, lw=0.8, alpha=0.5)
            axes.plot(updates[::5], shares[::5], ".", color=INK, markersize=4)
    return panels.figure, Words(
        _title_of_audit(runs),
        f"A grid of small panels, {len(warmups)} warmups across and {len(decays)} decays down. In each, the learning "
        "rate rises as its warmup prescribes, then stays at its peak or decays.",
        f"As logged by the engine at each of {len(audit['evaluated_at'].iloc[0]) - 1} updates, relative to the peak "
        "learning rate. Columns: warmup; rows: decay.",
    )


def _title_of_audit(runs: pd.DataFrame) -> str:
    deviant = int((runs["lr_audit"] != 0).sum())
    return (
        f"{deviant:,} of {len(runs):,} runs deviated from the formula's learning rates"
        if deviant
        else f"Every update of all {len(runs):,} runs used exactly the formula's learning rate"
    )
