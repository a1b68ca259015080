"""Figures of the fifth chapter: warmup with and without attention and norms, and before a decay."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study.chapters import core_grid
from warmup_study.chapters.attention_and_decay import sentences
from warmup_study.chapters.attention_and_decay.analysis import (
    DecayGains,
    Gains,
    added,
    alone,
    attention_effects,
    net_by_net,
)
from warmup_study.chapters.attention_and_decay.design import (
    ADAM,
    DECAYS,
    MIXING_NAMES,
    MIXINGS,
    MOST_SEEDS,
    PLACEMENTS,
    WARMUPS,
    token_net,
)
from warmup_study.chapters.core_curves import ABOVE, USABLE
from warmup_study.claims.table import margin
from warmup_study.presentation import style
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import by_warmup, lr_panels
from warmup_study.presentation.facets import facets, legend, log_ticks, plain_log_scale
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import INK
from warmup_study.statistics.bootstrap import Effect
from warmup_study.tasks.networks import Placement
from warmup_study.training import schedules
from warmup_study.training.schedules import Schedule

PLACES = {USABLE: ("usable_lr", "decades of usable learning rates"), ABOVE: ("overshoot", "loss above the best LR")}
"""By place of a gain: its endpoint, and its axis label."""


@figure_maker
def lr_curves(runs: pd.DataFrame, gains: Gains) -> tuple[Figure, Words]:
    """Test loss against Adam's peak learning rate, with and without warmup: a row per depth, a column per net."""
    names = {kind: f"{kind[0]}-LN, {MIXING_NAMES[kind[1]]}" for kind in product(PLACEMENTS, MIXINGS)}
    nets = {
        token_net(*kind, blocks): (name, f"{blocks} blocks") for kind, name in names.items() for blocks in MOST_SEEDS
    }
    arms = [f"{ADAM}/{warmup}" for warmup in WARMUPS]
    chosen = runs["part"].isin([core_grid.PART, "grid"]) & runs["arm"].isin(arms) & runs["task"].isin(list(nets))
    grid = runs[chosen]
    grid = grid.assign(net=[nets[task][0] for task in grid["task"]], depth=[nets[task][1] for task in grid["task"]])
    panels = lr_panels(
        grid.sort_values("depth", kind="stable"), "depth", "net", {n: n for n in names.values()}, (2.6, 2.5)
    )
    return panels.figure, Words(
        sentences.curves_title(gains),
        f"Four columns of panels, one per network, and {count_of(len(panels.rows), 'row')}, one per depth. In each, "
        "test loss falls and then rises with Adam's peak learning rate; one curve without warmup, one with a ramp.",
        f"Adam, cosine decay. Thin lines: n = {_seeds(grid)} seeds; thick: median. Open circles: no warmup; filled "
        "triangles: ramp. Networks without attention mix tokens with learnt weights that do not depend on the input; "
        "all else is the same. Diverged runs are assigned the loss of an untrained network (dotted).",
    )


def _seeds(runs: pd.DataFrame) -> str:
    counts = runs.groupby("task")["seed"].nunique()
    return " to ".join(dict.fromkeys(str(count) for count in (counts.min(), counts.max())))


@figure_maker
def attention_gains(gains: Gains) -> tuple[Figure, Words]:
    """A ramp's gain for networks with attention and their twins, and the difference: a column for each endpoint."""
    rows = {task: effects for task, effects in attention_effects(gains).items() if isinstance(effects, Mapping)}
    names = [f"{placement}-LN, {_blocks(task)} blocks" for task in rows for placement in PLACEMENTS]
    panels = facets(
        {"gain": "", "added": ""}, {USABLE: "", ABOVE: ""}, (4.4, 0.55 * len(names) + 0.75), (1.2, 0.3), sharex="col"
    )
    for row, place, axes in panels:
        if row == "gain":
            shown = [
                _with_and_without(effects, place, placement) for effects in rows.values() for placement in PLACEMENTS
            ]
        else:
            shown = [[Estimate(effects[added(place, p)], INK)] for effects in rows.values() for p in PLACEMENTS]
        endpoint, label = PLACES[place]
        intervals(axes, shown, names, margin=margin(endpoint).value)
        axes.set_title({"gain": f"gain of the ramp: {label}", "added": "with minus without attention"}[row])
    for place, axes in zip(PLACES, panels.axes[-1], strict=True):
        axes.set_xlabel({USABLE: "decades", ABOVE: "log ratio of test losses"}[place])
    legend(panels.axes[0, 0], ink=False)
    return panels.figure, Words(
        sentences.attention_title(list(rows.values())),
        f"Two columns of panels, usable learning rates and loss above the best learning rate. Top: gain of the ramp "
        f"with and without attention, one row for each of {len(names)} kinds of network. Bottom: their difference.",
        "Adam. Points with 95 % intervals, paired by seed. Right of 0, the ramp helps (top), or helps more with "
        "attention (bottom). Above the best learning rate: at twice the best without warmup; 0.1 ≈ 10 % of the loss. "
        "Shaded: differences too small to matter.",
    )


def _blocks(task: str) -> int:
    return next(blocks for blocks in MOST_SEEDS if token_net("post", "attention", blocks) == task)


def _with_and_without(effects: Mapping[str, Effect], place: str, placement: Placement) -> list[Estimate]:
    return [
        Estimate(effects[alone(place, placement, mixing)], hollow=mixing == "fixed", label=MIXING_NAMES[mixing])
        for mixing in MIXINGS
    ]


@figure_maker
def early_attention(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Largest logit and entropy of attention over the first updates: a column per placement of the norms."""
    watched = runs[runs["part"] == "watch"]
    rows = {"attention_logit": "largest attention logit", "attention_entropy": "entropy of attention"}
    columns = {token_net(placement, "attention", 2): f"{placement}-LN, 2 blocks" for placement in PLACEMENTS}
    panels = facets(rows, columns, (4.4, 2.2), x="update", sharex=True)
    for row, name, axes in panels:
        by_warmup(axes, watched[watched["task"] == name], "probed_at", row, markevery=2)
        if row == "attention_logit":
            plain_log_scale(axes)
        log_ticks(axes, watched["probed_at"].iloc[0])
    panels.axes[0, 0].legend(loc="upper left")
    panels.axes[1, 0].set_ylim(-0.03, 1.03)
    return panels.figure, Words(
        sentences.early_title(runs),
        "Two columns of two panels, one per placement of the norms: largest attention logit and entropy of attention, "
        "without warmup and with a ramp.",
        f"Adam at a peak learning rate of {watched['lr'].iloc[0]:g}, ramp of {watched['length'].max()} updates. Thin "
        f"lines: n = {watched['seed'].nunique()} seeds; thick: median. Entropy 1: attention spread evenly; 0: all on "
        "one token. Both are taken over training examples, layers and heads.",
    )


@figure_maker
def norms(gains: Gains) -> tuple[Figure, Words]:
    """Usable learning rates that a ramp adds for well-normalised networks and their counterparts."""
    shown = net_by_net(gains)
    figure, axes = plt.subplots(figsize=(8.2, 0.42 * len(shown) + 1.1))
    rows = [[Estimate(gain, hollow=place % 2 == 1)] for place, gain in enumerate(shown.values())]
    intervals(axes, rows, list(shown), margin=margin("usable_lr").value)
    axes.set_xlabel("decades of usable learning rates gained by the ramp")
    return figure, Words(
        sentences.norms_title(gains),
        f"{count_of(len(shown), 'row')}, Transformers and MLPs in pairs, each well-normalised network above its "
        "counterpart; points with intervals around a shaded band of small gains.",
        "Adam; paired by seed, with 95 % intervals. Filled: well normalised; open: its counterpart. Shaded: gains too "
        "small to matter. If good normalisation makes warmup unnecessary, filled points lie in the band and left of "
        "the open ones below them.",
    )


@figure_maker
def decays(gains_by_task: Mapping[str, DecayGains], length: int) -> tuple[Figure, Words]:
    """The schedules, and the ramp's gain under every decay at one peak: a panel per task."""
    tasks = list(gains_by_task)
    width = len(DECAYS) * max(1, len(tasks))
    layout: list[Any] = [_mosaic_row(DECAYS, width), _mosaic_row(tasks, width)]
    figure, axes = plt.subplot_mosaic(layout, figsize=(10.4, 4.9))
    for decay in DECAYS:
        _draw_schedules(axes[decay], decay, length)
    axes[DECAYS[0]].set_ylabel("LR / peak")
    for task in tasks[1:]:
        axes[task].sharex(axes[tasks[0]])
        axes[task].tick_params(labelleft=False)
    for task in tasks:
        rows = [[Estimate(gains_by_task[task][decay])] for decay in DECAYS]
        names = [sentences.DECAY_NAMES[decay] for decay in DECAYS]
        intervals(axes[task], rows, names, margin=margin("tuned_loss").value)
        axes[task].set(title=task, xlabel="gain (log ratio)")
    return figure, Words(
        sentences.decays_title(gains_by_task),
        "Top: three learning-rate schedules, constant or decaying, with and without a ramp. Bottom: "
        f"{count_of(len(tasks), 'panel')}, one per task, with the gain of the ramp under each decay as points with "
        "intervals.",
        "Top: solid without warmup, dashed with a ramp; the three agree until the ramp ends. Bottom: Adam's gain in "
        "test loss at one peak, twice the learning rate that is best without warmup under cosine decay; paired by seed "
        f"(n = {min(gain.n for gains in gains_by_task.values() for gain in gains.values())}), with 95 % intervals. "
        "Right of 0, the ramp helps (0.1 ≈ 10 %).",
    )


def _mosaic_row(names: Sequence[str], width: int) -> list[str]:
    """One row of equally wide panels."""
    return [name for name in names for _ in range(width // len(names))]


def _draw_schedules(axes: Axes, decay: str, length: int) -> None:
    total = 5 * length
    updates = np.arange(1, total + 1)
    for warmup, start in (("none", length), ("ramp", 0)):
        plan = {"warmup": warmup, "length": length, "decay": decay, "decay_from": start}
        factors = schedules.factor(Schedule.model_validate(plan), updates, total)
        axes.plot(updates, factors, color=INK, ls=style.WARMUPS[warmup].line, label=warmup)
    axes.set(
        title=sentences.DECAY_NAMES[decay],
        xlabel="update",
        ylim=(0, 1.08),
        xticks=[0, length, total],
        xticklabels=["0", "n", "end"],
    )
