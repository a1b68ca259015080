"""Nets with and without attention: what a ramp gains them, attention early on, and norms."""

from collections.abc import Mapping, Sequence
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
    Gains,
    attention_differences,
)
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import legend, lr_panel, plain_log_scale, seed_lines, with_capped_loss
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS
from warmup_study.statistics.bootstrap import Effect

NETS = {
    "transformer": "post-LN, attention",
    "mixer": "post-LN, no attention",
    "transformer-pre": "pre-LN, attention",
    "mixer-pre": "pre-LN, no attention",
    "he8-norm": "MLP, normalised",
    "he8": "MLP, not normalised",
}
"""What a net is called in a figure."""
SHADE: dict[str, Any] = {"color": "0.5", "alpha": 0.14, "lw": 0}
_RAMPS = {RAMP: WARMUPS["ramp"].marker, SHORT: "v"}
_LAYERS = {
    "gradient_embedding": ("embedding", ":"),
    "gradient_first_block": ("first block", "--"),
    "gradient_last_block": ("last block", "-."),
    "gradient_head": ("head", "-"),
}


@figure_maker
def lr_curves(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against Adam's peak rate, with and without warmup: a row per data set, a column per net on tokens."""
    nets = [net for pair in PLACEMENTS.values() for net in pair]
    grid = runs[(runs["part"] == "grid") & (runs["arm"].isin(["adam/none", "adam/ramp"]))]
    split = grid["task"].str.partition("-")
    grid = with_capped_loss(grid.assign(data=split[0], net=split[2]))
    grid = grid[grid["net"].isin(nets)]
    rows = list(grid["data"].unique())
    figure, axes = plt.subplots(
        len(rows), len(nets), figsize=(10.4, 2.7 * len(rows) + 0.5), sharex=True, sharey="row", squeeze=False
    )
    for (row, data), (column, net) in ((r, c) for r in enumerate(rows) for c in enumerate(nets)):
        lr_panel(axes[row, column], grid[(grid["data"] == data) & (grid["net"] == net)], "adam")
        axes[row, column].set_title(NETS[net] if row == 0 else "")
        axes[row, column].set_xlabel("peak learning rate" if row == len(rows) - 1 else "")
        axes[row, column].set_ylabel(f"{data}\ntest loss (nats)" if column == 0 else "")
    legend(figure, axes[0, 0])
    return figure, Words(
        "Loss against learning rate, with and without attention",
        f"Four columns of panels, one per net, {len(rows)} rows, one per data set. In each, test loss falls and then "
        "rises with Adam's peak rate, one curve without warmup and one under the ramp.",
        f"Adam. Thin: one of n = {grid['seed'].nunique()} seeds; thick: the median; open circles: no warmup, filled "
        "triangles: ramp. A net without attention has learnt, fixed weights over its tokens instead; all else is the "
        "same. A run that diverged counts with the loss of an untrained network (dotted).",
    )


@figure_maker
def attention_gains(by_optimizer: Mapping[str, Mapping[str, Gains]]) -> tuple[Figure, Words]:
    """What a ramp gains each net on tokens, and what attention adds to it: a row per optimiser and data set.

    ``by_optimizer``: what `claims.attention_and_decay.gains` gives for each optimiser.
    """
    nets = [net for pair in PLACEMENTS.values() for net in pair]
    rows = [
        (optimizer, data, effects)
        for optimizer, found in by_optimizer.items()
        for data, effects in found.items()
        if all((net, RAMP) in effects for net in nets)
    ]
    figure, axes = plt.subplots(
        len(rows), 2, figsize=(10.4, 1.55 * len(rows) + 1.0), sharex="col", squeeze=False, width_ratios=(3, 2)
    )
    for (gained, added), (optimizer, data, effects) in zip(axes, rows, strict=True):
        _forest(gained, _of_ramps(effects, nets), [NETS[net] for net in nets], OPTIMIZERS[optimizer].colour)
        pairs = [attention_differences(effects, ramp) for ramp in _RAMPS if (nets[0], ramp) in effects]
        _forest(added, [[pair[place] for pair in pairs] for place in PLACEMENTS], list(PLACEMENTS), INK)
        gained.set_title(f"{OPTIMIZERS[optimizer].label} on {data}: gain of a ramp", loc="left")
    axes[0, 1].set_title("gain with attention − without")
    for axis in axes[-1]:
        axis.set_xlabel("share of the initial loss")
    _ramp_legend(figure, axes[0, 0])
    seeds = min(effect.n for _, _, effects in rows for effect in effects.values())
    return figure, Words(
        "Does attention make warmup pay?",
        f"{len(rows)} rows of two panels, one for each optimiser and data set. Left, what a ramp gains four nets, "
        "post-LN and pre-LN, with attention and without; right, the difference that attention makes, with intervals.",
        f"Gain in lr sensitivity over no warmup, paired by seed (n = {seeds}), with 95 % intervals; to the right of 0 "
        "a ramp helps (left), or helps more where there is attention (right). The short ramp, of Adam alone, is a "
        "quarter as long.",
    )


def _of_ramps(effects: Gains, nets: Sequence[str]) -> list[list[Effect]]:
    """Per net, what was gained by those ramps that were run."""
    return [[effects[net, ramp] for ramp in _RAMPS if (net, ramp) in effects] for net in nets]


def _forest(axes: Axes, effects: Sequence[Sequence[Effect]], labels: Sequence[str], colour: str) -> None:
    """A row per label, in each the effects of the long and the short ramp, one below the other."""
    axes.axvline(0, lw=0.8, color="0.5")
    for row, pair in enumerate(effects):
        for shift, effect, (ramp, marker) in zip((-0.16, 0.16), pair, _RAMPS.items(), strict=False):
            place = row + (shift if len(pair) > 1 else 0)
            axes.plot([effect.low, effect.high], [place, place], color=colour, lw=2, solid_capstyle="butt")
            axes.plot(effect.estimate, place, marker, color=colour, mfc=colour if ramp == RAMP else "white", ms=6)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def _ramp_legend(figure: Figure, axes: Axes) -> None:
    for name, marker, fill in (("ramp", _RAMPS[RAMP], INK), ("short ramp", _RAMPS[SHORT], "white")):
        axes.plot([], [], marker, color=INK, mfc=fill, label=name)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)


@figure_maker
def early_attention(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Largest logit and entropy of attention, and the layers' gradients, over the first updates: a column per net.

    ``runs``: the part "watch" of the table of runs.
    """
    watched = runs[runs["part"] == "watch"]
    names = list(watched["task"].unique())
    figure, axes = plt.subplots(4, len(names), figsize=(10.4, 9.2), sharex=True, sharey="row", squeeze=False)
    for column, name in enumerate(names):
        for warmup in ("none", "ramp"):
            seen = watched[(watched["task"] == name) & (watched["warmup"] == warmup)]
            _attention_panel(axes[0, column], seen, "attention_logit")
            _attention_panel(axes[1, column], seen, "attention_entropy")
            _layer_panel(axes[2 + (warmup == "ramp"), column], seen)
        axes[0, column].set_title(tasks.load(name).title)
        plain_log_scale(axes[0, column])
        axes[-1, column].set(xlabel="update", xscale="log")
        axes[-1, column].set_xticks(*[watched["probed_at"].iloc[0]] * 2)
        axes[-1, column].minorticks_off()
    labels = (
        "largest attention logit",
        "entropy / even attention",
        "gradient norm,\nno warmup",
        "gradient norm,\nramp",
    )
    for axis, label in zip(axes[:, 0], labels, strict=True):
        axis.set_ylabel(label)
    axes[1, 0].set_ylim(-0.03, 1.03)
    axes[0, 0].legend(loc="upper left")
    _shared_gradient_scale(list(axes[2:].flat))
    axes[2, 0].legend(loc="lower left", ncols=2)
    return figure, _early_words(watched)


def _attention_panel(axes: Axes, seen: pd.DataFrame, column: str) -> None:
    look, colour = WARMUPS[seen["warmup"].iloc[0]], OPTIMIZERS["adam"].colour
    updates, values = np.asarray(seen["probed_at"].iloc[0]), np.stack(seen[column].to_list()).astype(float)
    seed_lines(axes, updates, values, colour, look)
    axes.plot(
        updates,
        np.median(values, 0),
        color=colour,
        ls=look.line,
        marker=look.marker,
        markevery=2,
        fillstyle="none" if look is WARMUPS["none"] else "full",
        label=look.label,
    )


def _shared_gradient_scale(panels: Sequence[Axes]) -> None:
    """One range for all panels of gradients, with room for a legend below."""
    low, high = min(axis.get_ylim()[0] for axis in panels), max(axis.get_ylim()[1] for axis in panels)
    for axis in panels:
        plain_log_scale(axis)
        axis.set_ylim(low * (low / high) ** 0.35, high)


def _layer_panel(axes: Axes, seen: pd.DataFrame) -> None:
    for column, (label, line) in _LAYERS.items():
        updates, values = np.asarray(seen["probed_at"].iloc[0]), np.stack(seen[column].to_list()).astype(float)
        axes.plot(updates, np.median(values, 0), color=INK, ls=line, lw=1.6, label=label)
    axes.set_yscale("log")


def _early_words(watched: pd.DataFrame) -> Words:
    return Words(
        "Attention over the first updates",
        f"{watched['task'].nunique()} columns of four panels, one per placement of the norms: largest attention logit, "
        "entropy of attention, and the gradient norms of four layers without warmup and under the ramp.",
        f"Adam at a peak rate of {watched['lr'].iloc[0]:g}, ramp of {watched['length'].max()} updates. Thin: one of n "
        f"= {watched['seed'].nunique()} seeds; thick: the median. Entropy: 1 is attention spread evenly, 0 all of it "
        "on one token. Logits and entropy over examples, layers and heads; gradients over the whole training split.",
    )


@figure_maker
def norms(gains_by_data: Mapping[str, Gains]) -> tuple[Figure, Words]:
    """What a ramp gains Adam in nets with good normalisation and their counterparts: a panel per data set."""
    nets = [net for pair in NORMALISED.values() for net in pair]
    shown = {data: found for data, found in gains_by_data.items() if all((net, RAMP) in found for net in nets)}
    figure, axes = plt.subplots(
        1, len(shown), figsize=(3 + 3.7 * len(shown), 2.6), sharex=True, sharey=True, squeeze=False
    )
    least = margin("lr_sensitivity")
    labels = [NETS[net].removesuffix(", attention") for net in nets]
    for axis, (data, effects) in zip(axes[0], shown.items(), strict=True):
        axis.axvspan(-least.value, least.value, **SHADE)
        _forest(axis, _of_ramps(effects, nets), labels, OPTIMIZERS["adam"].colour)
        axis.set(title=data, xlabel="gain (share of the initial loss)")
    _ramp_legend(figure, axes[0, 0])
    seeds = min(effect.n for effects in shown.values() for effect in effects.values())
    return figure, Words(
        "What a ramp gains where layers are normalised well, and where not",
        f"{len(shown)} panels, one per data set, four rows each: pre-LN and post-LN Transformer, MLP with and without "
        "layer normalisation; points with intervals around a shaded band of small gains.",
        f"Adam; gain in lr sensitivity over no warmup, paired by seed (n = {seeds}), with 95 % intervals. Shaded: "
        "smaller than the smallest gain of interest. If good normalisation makes warmup needless, the first and the "
        "third row lie in the band and the others to its right.",
    )
