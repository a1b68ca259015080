"""Figures of the third chapter: what momentum accumulates in warmup, the consequences, and a ramp's gain with it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from scipy import stats

from warmup_study import tasks, theory
from warmup_study.chapters.core_curves import ABOVE, USABLE
from warmup_study.chapters.momentum import analysis
from warmup_study.chapters.momentum.analysis import (
    BATCHED,
    FORM_NAMES,
    FORMS,
    BatchGains,
    Probed,
    differences,
    velocity_effects,
)
from warmup_study.claims.evidence import over_tasks
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.changes import finding
from warmup_study.presentation.curves import curves
from warmup_study.presentation.facets import Facets, facets, legend, plain_log_scale
from warmup_study.presentation.formatting import count_of, number
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.quantities import grouped
from warmup_study.presentation.style import GUIDE, INK, OPTIMIZERS, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect, Floats, pooled
from warmup_study.statistics.lr_curves import OVERSHOOT

SHORT = {
    "momentum": "learning rate outside the velocity",
    "momentum_lr_inside": "learning rate inside (Sutskever's form)",
}


@figure_maker
def by_hand(paths: Mapping[str, pd.DataFrame]) -> tuple[Figure, Words]:
    """Velocity and position on the parabola θ²/2, update by update, in both forms, after some at learning rate 0.

    ``paths``: what `theory.momentum_by_hand` gives.
    """
    zero = paths["momentum"]
    start, length = zero["gradient"].iloc[0], len(zero) - len(paths["none"])
    titles = {"velocity": "velocity after the update", "theta": "weight θ after the update"}
    panels = facets([""], titles, (5.2, 3.4), x="update", sharey=False)
    for _, column, axes in panels:
        _hand_panel(axes, paths, column, length)
    velocity, position = panels.axes[0]
    for form in FORMS:
        _write_values(velocity, paths[form].iloc[: length + 1])
    velocity.set_ylim(None, 1.2 * zero["velocity"].max())
    position.text(length / 2 + 0.5, -0.9, f"learning rate 0\nfor {length} updates", ha="center", fontsize=9)
    position.legend(loc="upper right")
    return panels.figure, Words(
        f"By hand: at learning rate 0, one form accumulates {zero['velocity'].max():g} gradients, the other none",
        "Two panels over a few updates. Left, velocity: one form's climbs while the learning rate is zero, the other's "
        "stays at zero. Right, weight: one form leaps past the minimum at its first real step, the other reaches it.",
        f"Loss θ²/2, whose gradient is θ itself, from θ = {start:g}; the learning rate is 0 for {length} updates "
        f"(shaded), then {zero['lr'].iloc[-1]:g}. Rings: no warmup, started {length} updates later. The numbers are "
        "exact.",
    )


def _hand_panel(axes: Axes, paths: Mapping[str, pd.DataFrame], column: str, length: int) -> None:
    for form, marker in zip(FORMS, "os", strict=True):
        path = paths[form]
        axes.plot(path["update"], path[column], marker=marker, color=OPTIMIZERS[form].colour, label=SHORT[form])
    later, name = paths["none"], "no warmup, started later"
    axes.plot(later["update"] + length, later[column], "o", ms=11, mfc="none", mec="0.5", label=name)
    axes.axvspan(0.5, length + 0.5, **SHADE)
    axes.axhline(0, **GUIDE)
    axes.xaxis.set_major_locator(MultipleLocator(1))


def _write_values(axes: Axes, path: pd.DataFrame) -> None:
    for update, value in zip(path["update"], path["velocity"], strict=True):
        place, above = (update, value), (0, 8)
        axes.annotate(f"{value:g}", place, above, textcoords="offset points", ha="center", fontsize=9)


@figure_maker
def velocity(runs: pd.DataFrame, task: str) -> tuple[Figure, Words]:
    """Velocity, step and direction of both forms of momentum, update by update: a column per warmup."""
    probe = runs[(runs["part"] == "probe") & (runs["task"] == task)]
    warmups = {name: look.label for name, look in WARMUPS.items() if name in set(probe["warmup"])}
    rows = ("velocity / first gradient", "step / first step", "cosine")
    panels = facets(rows, warmups, (2.6, 7 / 3), x="update", sharex=True)
    for row, warmup, axes in panels:
        for form in FORMS:
            values = _velocity_values(probe, form, warmup)[rows.index(row)]
            updates, colour = np.arange(1, values.shape[1] + 1), OPTIMIZERS[form].colour
            curves(axes, updates, values, WARMUPS[warmup], colour, ls="-", marker="", label=SHORT[form])
        axes.axhline(0, **GUIDE)
        if length := Probed.of(probe, f"{FORMS[0]}/{warmup}").length:
            axes.axvspan(0.5, length + 0.5, **SHADE)
    _velocity_theory(panels, probe)
    legend(panels.axes[0, panels.columns.index("zero")], ink=False)
    effective = probe["lr"].iloc[0] / (1 - probe["momentum"].iloc[0])
    outside, inside = (
        seen.estimate for name, seen in _effects_on(probe, task).items() if name.startswith("first step")
    )
    return panels.figure, Words(
        f"After learning rate 0, the first step is {number(outside)} times its usual length in torch's form and "
        f"{number(inside)} times in Sutskever's",
        "One column per warmup and three rows: length of the velocity, size of the step, and the velocity's cosine "
        "with the descent direction. At learning rate 0, one form's velocity climbs to several gradients, and its "
        "first real step is that large; the other form's stays at zero.",
        f"{tasks.load(task).title}. Thin lines: n = {probe['seed'].nunique()} seeds; thick: median; shaded: warmup. "
        f"Effective learning rate η/(1 − μ): {effective:.3g}. Velocities are in units of the first batch gradient, "
        "steps in units of the first step without warmup; a velocity that contains the learning rate is divided by "
        "its peak. Grey: theory; crosses: its first real steps.",
    )


def _effects_on(runs: pd.DataFrame, task: str) -> Mapping[str, Effect]:
    found = velocity_effects(runs)[task]
    assert isinstance(found, Mapping)
    return found


def _velocity_values(probe: pd.DataFrame, form: str, warmup: str) -> tuple[Floats, Floats, Floats]:
    """Length of the velocity, size of the step and cosine with descent, each [S, K]."""
    none, seen = (Probed.of(probe, f"{form}/{name}") for name in ("none", warmup))
    return (
        seen.values("velocity_norm") / none.first_gradient()[:, None],
        seen.values("update_norm") / none.values("update_norm")[:, :1],
        seen.values("velocity_alignment"),
    )


def _velocity_theory(panels: Facets[str, str], probe: pd.DataFrame) -> None:
    """What a velocity accumulates while the learning rate is 0, or full throughout."""
    length, momentum = int(probe["length"].max()), float(probe["momentum"].iloc[0])
    names = {"same gradient each time": ":", "pure noise": "-."}
    for warmup in ("none", "zero"):
        axes = panels.axes[0, panels.columns.index(warmup)]
        for values, (name, line) in zip(theory.gathered_velocity(momentum, length), names.items(), strict=True):
            axes.plot(range(1, length + 1), values, color="0.5", ls=line, lw=1.3, label=name)
    first_steps = [case[-1] for case in theory.gathered_velocity(momentum, length + 1)]
    panels.axes[1, panels.columns.index("zero")].plot([length + 1] * 2, first_steps, "x", color="0.5", mew=2)
    panels.axes[0, 0].set_xlim(0, len(probe["probed_at"].iloc[0]) + 1)


@figure_maker
def outcomes(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against effective learning rate in both forms: a row per task, a column per form of momentum."""
    names = {str(task): f"{task}\ntest loss (nats)" for task in runs["task"].unique()}
    titles = {form: f"momentum, {SHORT[form]}" for form in FORMS}
    panels = facets(names, titles, (5.2, 2.9), (0, 0.5), x="effective learning rate η/(1 − μ)")
    for task, form, axes in panels:
        _outcome_panel(axes, runs[runs["task"] == task], form)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        _outcome_title(runs),
        f"Two columns of panels, one per form of momentum, and {count_of(len(panels.rows), 'row')}, one per task. "
        "In each, three curves of test loss against the learning rate, one per warmup, fall and then rise.",
        f"Means over n = {runs['seed'].nunique()} seeds with 95 % intervals. Runs that start at learning rate 0 get as "
        "many extra updates as they idle away. Diverged runs are assigned the loss of an untrained network (dotted). "
        "Vertical lines: the best learning rate without warmup, and twice that.",
    )


def _outcome_title(runs: pd.DataFrame) -> str:
    found = over_tasks(analysis.like_none_effects(runs))
    if not found:
        return "Momentum trains none of these tasks, with or without warmup"
    words = {
        f"in {name}": finding(found[f"difference in outcome ({name}) above it"], margin("overshoot").value)
        for name in FORM_NAMES.values()
    }
    return f"At twice the best learning rate, starting at learning rate 0 leaves the loss {grouped(words)}"


OUTCOME_ARMS = {"none": "none", "zero+n": "zero", "ramp": "ramp"}  # and the warmup whose look each has


def _outcome_panel(axes: Axes, runs: pd.DataFrame, form: str) -> None:
    batch, colour = analysis.usual_batch(runs), OPTIMIZERS[form].colour
    for name, warmup in OUTCOME_ARMS.items():
        seen = analysis.curves(runs, f"{form}/{name}", batch)
        lrs = seen.lrs / (1 - float(runs["momentum"].max()))
        error = stats.t.ppf(0.975, seen.seeds - 1) * seen.test.std(axis=0, ddof=1) / seen.seeds**0.5
        axes.errorbar(lrs, seen.test.mean(axis=0), error, fmt="none", ecolor=colour, elinewidth=1)
        axes.plot(lrs, seen.test.mean(axis=0), lw=1.4, **WARMUPS[warmup].keywords(colour))
        if name == "none":
            for multiple in (1, OVERSHOOT):
                axes.axvline(multiple * lrs[seen.best], **GUIDE)
            axes.axhline(seen.initial.mean(), ls=":", **GUIDE)
    axes.set_xscale("log")
    plain_log_scale(axes)


@figure_maker
def batches(gains_by_task: Mapping[str, BatchGains]) -> tuple[Figure, Words]:
    """The ramp's gain for SGD with and without momentum, and the difference, by batch size: a column per task."""
    rows = {USABLE: f"usable learning rates\n({margin('usable_lr').unit})", ABOVE: "loss above best LR\n(log ratio)"}
    panels = facets(rows, list(gains_by_task), (3.6, 2.6), (1.4, 0.3), x="batch size")
    for place, task, axes in panels:
        estimates = _by_batch(gains_by_task[task], place)
        intervals(
            axes, list(estimates.values()), [f"{size:,}" for size in estimates], margin=_margin(place), upright=True
        )
    every = [effect for gains in gains_by_task.values() for effect in differences(gains, USABLE).values()]
    if every:
        legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        _batch_title(every),
        f"Two rows of panels, one column for each of {count_of(len(gains_by_task), 'task')}: gain of a ramp for SGD "
        "and for SGD with momentum at each batch size, and their difference, with a band for small effects. Top: "
        "usable learning rates. Bottom: loss at twice the best learning rate.",
        f"Gains at matched effective learning rates η/(1 − μ), with 95 % intervals over n = {_seeds(every)} seeds. "
        "Above 0, the ramp is better (0.1 ≈ 10 % of the loss). Shaded: gains too small to matter.",
    )


def _batch_title(every: list[Effect]) -> str:
    if not every:
        return "SGD trains none of these tasks, with or without momentum"
    more = pooled(every).estimate
    side = "more" if more > 0 else "fewer"
    return f"A ramp gains {number(abs(more))} {side} decades of usable learning rates with momentum than without"


def _by_batch(gains: BatchGains, place: str) -> dict[int, list[Estimate]]:
    """Each batch size's estimates: both optimisers, and the difference."""
    return {
        size: [
            *(
                Estimate(gains[size, name, place], OPTIMIZERS[name].colour, label=OPTIMIZERS[name].label)
                for name in BATCHED
            ),
            Estimate(effect, INK, "D", label="momentum minus SGD"),
        ]
        for size, effect in differences(gains, place).items()
    }


def _margin(place: str) -> float:
    return margin("usable_lr" if place == USABLE else "overshoot").value


def _seeds(effects: list[Effect]) -> str:
    return " or ".join(str(n) for n in sorted({effect.n for effect in effects}))
