"""Figures of the sixth chapter: edges of stability, sharpness along training, dead units, disguises."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from warmup_study import theory
from warmup_study.chapters.mechanism import analysis, sentences
from warmup_study.claims.evidence import Outcome
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker, no_case
from warmup_study.presentation.curves import by_warmup, curves, untrained, with_capped_loss
from warmup_study.presentation.facets import facets, legend, plain_log_scale
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, GUIDE, INK, OPTIMIZERS, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect, Floats
from warmup_study.training.schedules import Schedule, factor

EDGE_LINES = {"sgd": "2 / η", "momentum": "(2 + 2μ) / η", "adam": "(2 + 2β₁) / ((1 − β₁) η)"}
_COLOURS = [OPTIMIZERS[name].colour for name in ("radam", "sgd", "momentum", "adamw")]
_FIX_LOOKS = dict(zip(theory.FIXES, zip(_COLOURS, "osDv", strict=True), strict=True))
_HORIZON = 300  # updates drawn of the implied factors


@figure_maker
def edges(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness of full-batch descent relative to its stability limit: a panel per rule."""
    edge = runs[runs["part"] == "edge"]
    rules = {str(rule): _rule(rows.iloc[0]) for rule, rows in edge.groupby("arm", sort=False)}
    label = "sharpness ÷ stability limit\n(Adam: preconditioned)"
    panels = facets([""], rules, (2.7, 2.9), x="update", y=label)
    for _, rule, axes in panels:
        seen = edge[edge["arm"] == rule]
        look = OPTIMIZERS[seen["optimizer"].iloc[0]]
        curves(axes, seen["probed_at"].iloc[0], analysis.edge_shares(seen), look, look.colour, marker="")
        axes.axhline(1, color=INK, lw=1, ls=":")
        limit = f"limit: {EDGE_LINES[seen['optimizer'].iloc[0]]}\n= {analysis.edge_limit(seen.iloc[0]):.4g}"
        axes.text(0.97, 0.06, limit, transform=axes.transAxes, ha="right", fontsize=9)
        axes.set_ylim(0, 1.45)
    return panels.figure, Words(
        sentences.edges_title(runs),
        f"{count_of(len(rules), 'panel')}, one per optimiser. In each, sharpness climbs in a few hundred updates "
        "from a fraction of the stability limit to that limit, a dotted line at one; with strong momentum it falls "
        "below it again.",
        f"Full-batch gradient descent; n = {edge['seed'].nunique()} seeds (thin lines), median thick. The probe is "
        "correct if the curves reach one: only the learning rate and the optimiser set the limit.",
    )


def _rule(run: pd.Series) -> str:
    name = OPTIMIZERS[run["optimizer"]].label
    momentum = f" {run['momentum']:g}" if pd.notna(run["momentum"]) else ""
    return f"{name}{momentum}\nη = {run['lr']:g}"


@figure_maker
def curvature(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness during training at the best learning rate, a column per task, and the ramp's effect at its end."""
    found = analysis.curvatures(runs)
    track = runs[runs["part"] == "track"]
    tasks = list(track["task"].unique())
    panels = facets([""], tasks, (3.2, 2.7), (1.2, 0.6), x="update", y="sharpness", sharey=False)
    for _, task, axes in panels:
        seen = track[track["task"] == task]
        by_warmup(axes, seen, "probed_at", "sharpness", ms=4)
        axes.set(xscale="log", yscale="log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.axvspan(1, seen["length"].max(), **SHADE)
        _tell_changes(axes, found.get(task))
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        sentences.curvature_title(found),
        f"One panel for each of {count_of(len(tasks), 'task')}: top Hessian eigenvalue during training without "
        "warmup and with a ramp, whose length is shaded.",
        f"Adam at the learning rate that is best without warmup. Thin lines: {_counts(track)} seeds; thick: median; "
        "log axes. Text in each panel: sharpness with the ramp relative to no warmup, once the ramp has ended "
        f"({_counts(runs[runs['part'] == 'ramp_end'])} seeds; 95 % intervals).",
    )


def _tell_changes(axes: Axes, found: Outcome[str]) -> None:
    """The ramp's effect at each learning rate, in words."""
    effects = found if isinstance(found, Mapping) else {}
    told = {place: effects.get(f"log sharpness {place}") for place in analysis.PLACES.values()}
    lines = [f"{place}:\n{sentences.changed(effect)}" for place, effect in told.items() if effect is not None]
    low, high = axes.get_ylim()
    axes.set_ylim(low * (low / high) ** 0.6, high)  # room for them below the curves
    axes.text(0.02, 0.03, "\n".join(lines), transform=axes.transAxes, fontsize=7)


def _counts(runs: pd.DataFrame) -> str:
    """Numbers of seeds, task by task where they differ."""
    counts = runs.groupby("task", sort=False)["seed"].nunique()
    if counts.nunique() == 1:
        return f"n = {counts.iloc[0]}"
    return "n = " + ", ".join(f"{count} ({task})" for task, count in counts.items())


@figure_maker
def gap(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Sharpness against training loss in the same runs: a column per task."""
    track, found = runs[runs["part"] == "track"], analysis.curvatures(runs)
    tasks = list(track["task"].unique())
    panels = facets(
        [""],
        tasks,
        (3.2, 2.7),
        (1.2, 0.6),
        x="training loss (nats), falling to the right",
        y="sharpness",
        sharex=False,
        sharey=False,
    )
    for _, task, axes in panels:
        for warmup, seen in track[track["task"] == task].groupby("warmup", sort=False):
            look = WARMUPS[str(warmup)]
            loss, sharpness = (
                np.nanmedian(analysis.probed(seen, name), axis=0) for name in ("training_loss", "sharpness")
            )
            axes.plot(loss, sharpness, **look.keywords(ADAM) | {"ms": 4})
            axes.annotate("start", (loss[0], sharpness[0]), (4, 4), textcoords="offset points", fontsize=8)
        axes.set(xscale="log", yscale="log")
        axes.invert_xaxis()
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        sentences.gap_title(found),
        f"{count_of(len(tasks), 'panel')}, one per task: sharpness against training loss, which falls to the right; "
        "one path without warmup and one with a ramp.",
        f"Adam at the best learning rate without warmup; medians of {_counts(track)} seeds at "
        f"{len(track['probed_at'].iloc[0])} points of training, from the start; log axes.",
    )


@figure_maker
def trainable(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Gain of every warmup in the largest trainable learning rate, task by task."""
    found = {task: effects for task, effects in analysis.curvatures(runs).items() if isinstance(effects, Mapping)}
    if not found:
        return no_case(sentences.trainable_title(found))
    arms = [(warmup, analysis.HIGHER.format(warmup)) for warmup in analysis.WARMED]
    rows = [
        [Estimate(effects[name], marker=WARMUPS[arm].marker, label=WARMUPS[arm].label) for arm, name in arms]
        for effects in found.values()
    ]
    panels = facets([""], [""], (5.6, max(1.6, 0.75 * len(rows))), (0, 0.8))
    axes = panels.axes[0, 0]
    intervals(axes, rows, list(found), margin=margin("largest_trainable_lr").value)
    axes.set_xlabel("gain in the largest trainable learning rate (doublings)")
    legend(axes)
    seeds = [effects[arms[0][1]].n for effects in found.values()]
    return panels.figure, Words(
        sentences.trainable_title(found),
        f"One row for each of {count_of(len(found), 'task')} with an interval for each of three warmups: gain in "
        "the largest learning rate that trains, in doublings.",
        f"Adam, 95 % intervals over n = {', '.join(map(str, dict.fromkeys(seeds)))} seeds; shaded: gains too small to "
        "matter. Trainable: the median run trains, interpolated between learning rates.",
    )


@figure_maker
def dead(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Share of dead units, and loss, against the learning rate, with ReLUs and with leaky ones: a column per task."""
    chosen = with_capped_loss(runs[runs["part"] == "dead"])
    chosen = chosen.assign(share=[float(shares[-1]) for shares in chosen["dead_share"]])
    seeds = _counts(chosen[~chosen["task"].str.endswith("+leaky")])
    tasks = list(chosen["task"].str.partition("+")[0].unique())
    rows = {"dead": "share of dead ReLUs", "relu": "test loss, ReLU", "leaky": "test loss, leaky ReLU"}
    panels = facets(rows, tasks, (3.2, 2.1), (1.2, 0), x="peak learning rate")
    for row, task, axes in panels:
        seen = chosen[chosen["task"] == (f"{task}+leaky" if row == "leaky" else task)]
        by_warmup(axes, seen, "lr", "share" if row == "dead" else "loss", ms=4)
        axes.set_xscale("log")
        if row != "dead":
            plain_log_scale(axes)
            untrained(axes, seen)
    legend(panels.axes[0, 0])
    return panels.figure, Words(
        sentences.dead_title(analysis.deaths(runs)),
        f"Three rows of panels, one column for each of {count_of(len(tasks), 'task')}, against the learning rate. "
        "Top: share of dead ReLUs at the end. Below: test loss with ReLUs, and with leaky ReLUs, which cannot die.",
        f"Dead: inactive on every training example after the last update. Thin lines: {seeds} seeds; "
        "thick: median. Losses are capped at that of an untrained network (dotted).",
    )


@figure_maker
def disguises(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Effective factor of each fix and of the ramp, and what its replay on plain Adam loses or gains."""
    found = dict(_deviations(runs))
    titles = ("effective warmup factor", "tuned loss: replay ÷ fix")
    size = (5.7, max(3.8, 0.3 * len(found) + 1.2))
    panels = facets([""], titles, size, sharey=False, width_ratios=(1.15, 1))
    left, right = panels.axes[0]
    _draw_factors(left, runs)
    legend(left, ink=False, loc="outside upper left", ncols=5)
    intervals(
        right,
        [[Estimate(effect)] for effect in found.values()],
        list(found),
        margin=margin("tuned_loss").value,
        ratio=True,
    )
    right.set_xlabel("ratio of losses (1: the same)")
    steps = runs[runs["part"] == "first_steps"]
    return panels.figure, Words(
        sentences.disguises_title(analysis.replays(runs)),
        f"Left: factor against update, on log axes, one curve for each of {len(theory.FIXES)} fixes and one for the "
        "linear ramp; all but one rise from far below one. Right: a point with an interval for each fix and task, the "
        "loss of plain Adam with that factor relative to the fix.",
        f"Left: lines, closed forms at β₂ = 0.999; markers, steps measured on {', '.join(steps['task'].unique())} "
        f"relative to plain Adam (median of n = {steps['seed'].nunique()} seeds), at a learning rate so small that the "
        f"weights hardly move. Right: 95 % intervals, {_counts(runs[runs['part'] == 'disguise'])} seeds; shaded: "
        "differences too small to matter.",
    )


def _deviations(runs: pd.DataFrame) -> Iterator[tuple[str, Effect]]:
    for task, effects in analysis.replays(runs).items():
        if isinstance(effects, Mapping):
            for fix, effect in effects.items():
                yield f"{fix} · {task}", effect


def _draw_factors(axes: Axes, runs: pd.DataFrame) -> None:
    updates = np.arange(1, _HORIZON + 1)
    ramp = Schedule(warmup="ramp", length=int(runs["length"].max()))
    axes.plot(updates, factor(ramp, updates, _HORIZON), color=INK, ls=WARMUPS["ramp"].line, label="linear ramp")
    for name, fix in theory.FIXES.items():
        colour, marker = _FIX_LOOKS[name]
        implied = factor(theory.implied_schedule(fix), updates, _HORIZON)
        axes.plot(updates, np.where(implied > 0, implied, np.nan), color=colour, label=name)
        steps, measured = _measured(runs[runs["part"] == "first_steps"], f"fix/{name}")
        axes.plot(steps, measured, marker, color=colour, mfc="none")
    axes.axhline(1, **GUIDE)
    axes.set(xscale="log", yscale="log", xlabel="update", ylabel="step ÷ plain Adam's step", ylim=(0.02, None))


def _measured(steps: pd.DataFrame, label: str) -> tuple[list[int], Floats]:
    """Updates, and an arm's update size over plain Adam's at each: the median over seeds and tasks."""
    ordered = steps.sort_values(["task", "seed"])
    arm, adam = (
        np.stack(ordered.loc[ordered["arm"] == name, "update_size"].to_list()) for name in (label, "adam/none")
    )
    return list(steps["probed_at"].iloc[0]), np.median(arm / adam, axis=0)
