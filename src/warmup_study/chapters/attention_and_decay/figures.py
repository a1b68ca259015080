"""Figures of the fifth chapter: warmup with and without attention and norms, and warmup that meets decay."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study import tasks
from warmup_study.chapters.attention_and_decay.analysis import (
    NORMALISED,
    PLACEMENTS,
    RAMP,
    SHORT,
    DecayGains,
    Gains,
    attention_differences,
)
from warmup_study.chapters.attention_and_decay.design import DECAYS
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import by_warmup, lr_panels, with_capped_loss
from warmup_study.presentation.facets import facets, legend, log_ticks, plain_log_scale
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ADAM, INK, OPTIMIZERS, WARMUPS
from warmup_study.statistics.bootstrap import Effect
from warmup_study.training import schedules
from warmup_study.training.schedules import Schedule

NETS = {
    "transformer": "post-LN, attention",
    "mixer": "post-LN, no attention",
    "transformer-pre": "pre-LN, attention",
    "mixer-pre": "pre-LN, no attention",
    "he8-norm": "MLP, normalised",
    "he8": "MLP, not normalised",
}
"""What a net is called in a figure."""
LAYERS = {
    "gradient_embedding": ("embedding", ":"),
    "gradient_first_block": ("first block", "--"),
    "gradient_last_block": ("last block", "-."),
    "gradient_head": ("head", "-"),
}
DECAY_NAMES = {"constant": "constant", "cosine": "cosine decay", "inverse_sqrt": "inverse square root"}
_ON_TOKENS = [net for pair in PLACEMENTS.values() for net in pair]
_RAMPS = {RAMP: ("ramp", "^"), SHORT: ("short ramp", "v")}
_GRID, _ACROSS = 12, 4  # columns of the layout of `decays`, and panels in a row of it


@figure_maker
def lr_curves(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against Adam's peak learning rate, with and without warmup: a row per data set, a column per net."""
    grid = runs[(runs["part"] == "grid") & (runs["arm"].isin(["adam/none", "adam/ramp"]))]
    split = grid["task"].str.partition("-")
    grid = grid.assign(data=split[0], net=split[2])[split[2].isin(_ON_TOKENS)]
    panels = lr_panels(grid, "data", "net", {net: NETS[net] for net in _ON_TOKENS}, (2.6, 2.7))
    return panels.figure, Words(
        "Loss against learning rate, with and without attention",
        f"Four columns of panels, one per net, {len(panels.rows)} rows, one per data set. In each, test loss falls and "
        "then rises with Adam's peak learning rate, one curve without warmup and one under the ramp.",
        f"Adam. Thin: one of n = {grid['seed'].nunique()} seeds; thick: the median; open circles: no warmup, filled "
        "triangles: ramp. A net without attention has learnt, fixed weights over its tokens instead; all else is the "
        "same. A run that diverged counts with the loss of an untrained network (dotted).",
    )


@figure_maker
def attention_gains(by_optimizer: Mapping[str, Mapping[str, Gains]]) -> tuple[Figure, Words]:
    """What a ramp gains each net on tokens, and what attention adds to it: a row per optimiser and data set.

    ``by_optimizer``: what the chapter's `analysis.gains` gives for each optimiser.
    """
    rows = {
        (optimizer, data): effects
        for optimizer, found in by_optimizer.items()
        for data, effects in found.items()
        if all((net, RAMP) in effects for net in _ON_TOKENS)
    }
    titles = ("", "gain with attention − without")
    x = "share of the initial loss"
    panels = facets(list(rows), titles, (5.2, 1.55), (0, 1.0), x=x, sharey=False, width_ratios=(3, 2))
    for (gained, added), ((optimizer, data), effects) in zip(panels.axes, rows.items(), strict=True):
        gained.set_title(f"{OPTIMIZERS[optimizer].label} on {data}: gain of a ramp")
        _draw_ramps(gained, effects, {net: NETS[net] for net in _ON_TOKENS}, OPTIMIZERS[optimizer].colour)
        _draw_ramps(added, _differences(effects), {place: place for place in PLACEMENTS}, INK)
    legend(panels.axes[0, 0])
    seeds = min(effect.n for effects in rows.values() for effect in effects.values())
    return panels.figure, Words(
        "Does attention make warmup pay?",
        f"{len(rows)} rows of two panels, one for each optimiser and data set. Left, what a ramp gains four nets, "
        "post-LN and pre-LN, with attention and without; right, the difference that attention makes, with intervals.",
        f"Gain in lr sensitivity over no warmup, paired by seed (n = {seeds}), with 95 % intervals; to the right of 0 "
        "a ramp helps (left), or helps more where there is attention (right). The short ramp, of Adam alone, is a "
        "quarter as long.",
    )


def _differences(effects: Gains) -> Gains:
    """What attention adds to the gain, by placement of the norms and ramp."""
    run = [ramp for ramp in _RAMPS if (_ON_TOKENS[0], ramp) in effects]
    return {(place, ramp): e for ramp in run for place, e in attention_differences(effects, ramp).items()}


def _draw_ramps(axes: Axes, effects: Gains, names: Mapping[str, str], colour: str, least: float = 0.0) -> None:
    """A row per name, in each the effects of those ramps that were run."""
    rows = [
        [
            Estimate(effects[key, ramp], colour, marker, hollow=ramp == SHORT, label=label)
            for ramp, (label, marker) in _RAMPS.items()
            if (key, ramp) in effects
        ]
        for key in names
    ]
    intervals(axes, rows, list(names.values()), margin=least)


@figure_maker
def early_attention(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Largest logit and entropy of attention, and the layers' gradients, over the first updates: a column per net."""
    watched = runs[runs["part"] == "watch"]
    rows = {
        "attention_logit": "largest attention logit",
        "attention_entropy": "entropy / even attention",
        "none": "gradient norm,\nno warmup",
        "ramp": "gradient norm,\nramp",
    }
    names = {name: tasks.load(name).title for name in watched["task"].unique()}
    panels = facets(rows, names, (5.2, 2.3), x="update", sharex=True)
    for row, name, axes in panels:
        seen = watched[watched["task"] == name]
        if row in WARMUPS:
            _draw_layers(axes, seen[seen["warmup"] == row])
        else:
            by_warmup(axes, seen, "probed_at", row, markevery=2)
        if row != "attention_entropy":
            plain_log_scale(axes)
        log_ticks(axes, watched["probed_at"].iloc[0])
    panels.axes[0, 0].legend(loc="upper left")
    panels.axes[1, 0].set_ylim(-0.03, 1.03)
    _share_gradient_scale(panels.axes[2:].ravel())
    panels.axes[2, 0].legend(loc="lower left", ncols=2)
    return panels.figure, Words(
        "Attention over the first updates",
        f"{len(names)} columns of four panels, one per placement of the norms: largest attention logit, entropy of "
        "attention, and the gradient norms of four layers without warmup and under the ramp.",
        f"Adam at a peak learning rate of {watched['lr'].iloc[0]:g}, ramp of {watched['length'].max()} updates. Thin: "
        f"one of n = {watched['seed'].nunique()} seeds; thick: the median. Entropy: 1 is attention spread evenly, 0 "
        "all of it on one token. Logits and entropy over examples, layers and heads; gradients over the whole training "
        "split.",
    )


def _draw_layers(axes: Axes, seen: pd.DataFrame) -> None:
    for column, (label, line) in LAYERS.items():
        median = np.median(np.stack(seen[column].to_list()).astype(float), axis=0)
        axes.plot(seen["probed_at"].iloc[0], median, color=INK, ls=line, lw=1.6, label=label)


def _share_gradient_scale(panels: Iterable[Axes]) -> None:
    """One range for all panels of gradients, with room for a legend below."""
    low, high = min(axes.get_ylim()[0] for axes in panels), max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low * (low / high) ** 0.35, high)


@figure_maker
def norms(gains_by_data: Mapping[str, Gains]) -> tuple[Figure, Words]:
    """What a ramp gains Adam in nets with good normalisation and their counterparts: a panel per data set."""
    names = {net: NETS[net].removesuffix(", attention") for pair in NORMALISED.values() for net in pair}
    shown = [data for data, found in gains_by_data.items() if all((net, RAMP) in found for net in names)]
    panels = facets([""], shown, (3.7, 2.6), (3, 0), x="gain (share of the initial loss)", sharex=True)
    for _, data, axes in panels:
        _draw_ramps(axes, gains_by_data[data], names, ADAM, margin("lr_sensitivity").value)
    legend(panels.axes[0, 0])
    seeds = min(effect.n for data in shown for effect in gains_by_data[data].values())
    return panels.figure, Words(
        "What a ramp gains where layers are normalised well, and where not",
        f"{len(shown)} panels, one per data set, four rows each: pre-LN and post-LN Transformer, MLP with and without "
        "layer normalisation; points with intervals around a shaded band of small gains.",
        f"Adam; gain in lr sensitivity over no warmup, paired by seed (n = {seeds}), with 95 % intervals. Shaded: "
        "smaller than the smallest gain of interest. If good normalisation makes warmup needless, the first and the "
        "third row lie in the band and the others to its right.",
    )


@figure_maker
def decays(gains_by_optimizer: Mapping[str, Mapping[str, DecayGains | None]], length: int) -> tuple[Figure, Words]:
    """The schedules, and what the ramp gains under every decay: a panel per task, SGD beside Adam."""
    names = list(gains_by_optimizer["adam"])
    rows = [names[start : start + _ACROSS] for start in range(0, len(names), _ACROSS)]
    layout: list[Any] = [_mosaic_row(row) for row in ([str(decay) for decay in DECAYS], *rows)]
    figure, axes = plt.subplot_mosaic(layout, figsize=(10.4, 2.2 + 2.2 * len(rows)))
    for decay in DECAYS:
        _draw_schedules(axes[decay], decay, length)
    axes[DECAYS[0]].set_ylabel("lr / peak")
    for name in names:
        found = {optimizer: gains[name] for optimizer, gains in gains_by_optimizer.items() if gains.get(name)}
        _draw_decays(axes[name], found, named=name in {row[0] for row in rows})
        axes[name].set(title=name, xlabel="gain (log ratio)")
    legend(axes[names[0]], ink=False, loc="outside lower right")
    effects = [e for gains in gains_by_optimizer.values() for found in gains.values() for e in (found or {}).values()]
    return figure, Words(
        "Is the gain of a ramp kept under decay?",
        f"Above, three learning rates over a run, with a ramp and without, that stay constant or decay. Below, "
        f"{len(names)} panels, one per task, with the gain of the ramp under each decay as points with intervals.",
        "Above: solid without warmup, dashed with; both decay alike. Below: gain in test loss at the tuned learning "
        f"rate, paired by seed (n = {min(effect.n for effect in effects)} confirmation seeds), with 95 % intervals; "
        "right of 0 the ramp helps. Triangles: Adam, which decides; squares: plain SGD.",
    )


def _mosaic_row(names: Sequence[str]) -> list[str]:
    """One row of panels on a grid of _GRID columns, blank at its end where they do not fill it."""
    places = [name for name in names for _ in range(_GRID // len(names))]
    return places + ["."] * (_GRID - len(places))


def _draw_schedules(axes: Axes, decay: str, length: int) -> None:
    total = 5 * length
    updates = np.arange(1, total + 1)
    for warmup, start in (("none", length), ("ramp", 0)):
        plan = {"warmup": warmup, "length": length, "decay": decay, "decay_from": start}
        factors = schedules.factor(Schedule.model_validate(plan), updates, total)
        axes.plot(updates, factors, color=INK, ls=WARMUPS[warmup].line)
    axes.set(title=DECAY_NAMES[decay], ylim=(0, 1.08), xticks=[0, length, total], xticklabels=["0", "n", "end"])


def _draw_decays(axes: Axes, found: Mapping[str, DecayGains | None], *, named: bool) -> None:
    looks = {name: (OPTIMIZERS[name], "^" if name == "adam" else "s") for name in found}
    rows = [
        [
            Estimate((found[o] or {})[decay], look.colour, marker, label=look.label)
            for o, (look, marker) in looks.items()
        ]
        for decay in DECAYS
    ]
    intervals(axes, rows, [DECAY_NAMES[decay] if named else "" for decay in DECAYS])


@figure_maker
def paper(runs: pd.DataFrame, gains: Mapping[int, Effect]) -> tuple[Figure, Words]:
    """The Transformer paper's schedule for several n: learning rates, losses with its ramp and without it, the gain.

    ``gains``: what the chapter's `analysis.paper_gains` gives.
    """
    chosen = with_capped_loss(runs[runs["part"] == "paper"])
    chosen = chosen.assign(n=chosen["arm"].str.rpartition("/")[2].astype(int))
    titles = ("the learning rate, for each n", "with the ramp, and without it", "gain of the ramp")
    panels = facets([""], titles, (10.4 / 3, 3.4), x="n (updates)", sharey=False)
    schedule, losses, gained = panels.axes[0]
    _draw_papers(schedule, chosen, list(gains))
    by_warmup(losses, chosen, "n", "loss")
    plain_log_scale(losses)
    log_ticks(losses, list(gains))
    losses.legend(loc="best")
    losses.set_ylabel("test loss (nats)")
    estimates = [[Estimate(gain)] for gain in gains.values()]
    intervals(gained, estimates, [str(n) for n in gains], [float(np.log2(n)) for n in gains], upright=True)
    gained.set_ylabel("log ratio of test losses")
    return panels.figure, Words(
        "The Transformer paper's schedule, as it is",
        "Three panels. Left, learning rates that rise for n updates and then fall as an inverse square root, one curve "
        "for each n, the longer the lower. Middle, final test loss against n, with the ramp and without it. Right, the "
        "gain.",
        f"{tasks.load(chosen['task'].iloc[0]).title}; Adam with β₂ = {chosen['beta2'].iloc[0]:g}. The formula ties the "
        "peak to n: a longer warmup is also a lower one. Without the ramp the learning rate stays at the peak for n "
        f"updates. Thin: one of n = {chosen['seed'].nunique()} seeds; thick: the median; 95 % intervals.",
    )


def _draw_papers(axes: Axes, runs: pd.DataFrame, lengths: Sequence[int]) -> None:
    total, peaks = int(runs["updates"].iloc[0]), runs.groupby("n")["lr"].first()
    updates = np.arange(1, total + 1)
    for n in lengths:
        factors = schedules.factor(Schedule(warmup="ramp", length=n, decay="inverse_sqrt"), updates, total)
        axes.plot(updates, peaks[n] * factors, color=INK, lw=1.2)
        axes.annotate(f"n = {n}", (n, peaks[n]), xytext=(4, 2), textcoords="offset points", fontsize=9)
    axes.set(xlabel="update", ylabel="learning rate")
