"""Warmup that meets decay: gains under every decay, and the Transformer paper's schedule beside its control."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warmup_study import tasks
from warmup_study.chapters.attention_and_decay.analysis import DECAYS, DecayGains
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.panels import plain_log_scale, seed_lines, with_capped_loss
from warmup_study.presentation.style import INK, OPTIMIZERS, WARMUPS
from warmup_study.statistics.bootstrap import Effect
from warmup_study.training import schedules
from warmup_study.training.schedules import Schedule

DECAY_NAMES = {"constant": "constant rate", "cosine": "cosine decay", "inverse_sqrt": "inverse square root"}
_GRID, _ACROSS = 12, 4  # columns of the layout, and panels in a row of it
_MARKERS = {"adam": WARMUPS["ramp"].marker, "sgd": "s"}


@figure_maker
def decays(gains_by_optimizer: Mapping[str, Mapping[str, DecayGains | None]], length: int) -> tuple[Figure, Words]:
    """The schedules, and what the ramp gains under every decay: a panel per task, SGD beside Adam."""
    names = list(gains_by_optimizer["adam"])
    rows = [names[start : start + _ACROSS] for start in range(0, len(names), _ACROSS)]
    shapes = [place for decay in DECAYS for place in [decay] * (_GRID // len(DECAYS))]
    layout: list[Any] = [shapes, *map(_mosaic_row, rows)]
    figure, axes = plt.subplot_mosaic(layout, figsize=(10.4, 2.2 + 2.2 * len(rows)))
    for decay in DECAYS:
        _shape(axes[decay], decay, length)
        axes[decay].set_ylabel("rate / peak" if decay == DECAYS[0] else "")
    for row in rows:
        for name in row:
            found = {o: gains[name] for o, gains in gains_by_optimizer.items() if gains.get(name)}
            _decay_panel(axes[name], found, named=name == row[0])
            axes[name].set_title(name)
    _optimizer_legend(figure, axes[names[0]])
    effects = [e for gains in gains_by_optimizer.values() for found in gains.values() for e in (found or {}).values()]
    return figure, Words(
        "Is the gain of a ramp kept under decay?",
        f"Above, three rates over a run, with a ramp and without, that stay constant or decay. Below, {len(names)} "
        "panels, one per task, with the gain of the ramp under each decay as points with intervals.",
        "Above: solid without warmup, dashed with; both decay alike. Below: gain in test loss at the tuned rate, "
        f"paired by seed (n = {min(effect.n for effect in effects)} confirmation seeds), with 95 % intervals; right "
        "of 0 the ramp helps. Triangles: Adam, which decides; squares: plain SGD.",
    )


def _mosaic_row(names: Sequence[str]) -> list[str]:
    """One row of panels on a grid of _GRID columns, blank at its end where they do not fill it."""
    places = [name for name in names for _ in range(_GRID // len(names))]
    return places + ["."] * (_GRID - len(places))


def _shape(axes: Axes, decay: str, length: int) -> None:
    total = 5 * length
    updates = np.arange(1, total + 1)
    for warmup in ("none", "ramp"):
        plan = Schedule.model_validate(
            {"warmup": warmup, "length": length, "decay": decay, "decay_from": length if warmup == "none" else 0}
        )
        axes.plot(updates, schedules.factor(plan, updates, total), color=INK, ls=WARMUPS[warmup].line)
    axes.set(title=DECAY_NAMES[decay], ylim=(0, 1.08), xticks=[0, length, total], xticklabels=["0", "n", "end"])


def _decay_panel(axes: Axes, found: Mapping[str, DecayGains | None], *, named: bool) -> None:
    axes.axvline(0, lw=0.8, color="0.5")
    for shift, (optimizer, effects) in zip((-0.14, 0.14), found.items(), strict=False):
        look, marker = OPTIMIZERS[optimizer], _MARKERS[optimizer]
        for row, decay in enumerate(DECAYS):
            effect = (effects or {})[decay]
            axes.plot([effect.low, effect.high], [row + shift] * 2, color=look.colour, lw=2.5, solid_capstyle="butt")
            label = look.label if decay == DECAYS[0] else None
            axes.plot(effect.estimate, row + shift, marker, color=look.colour, ms=6, label=label)
    axes.set_yticks(range(len(DECAYS)), [DECAY_NAMES[decay] if named else "" for decay in DECAYS])
    axes.set_ylim(len(DECAYS) - 0.5, -0.5)
    axes.set_xlabel("gain (log ratio)")


def _optimizer_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels))


@figure_maker
def paper(runs: pd.DataFrame, gains: Mapping[int, Effect]) -> tuple[Figure, Words]:
    """The Transformer paper's schedule for several n: the rates, the losses with and without its ramp, the gain.

    ``runs``: the part "paper" of the table of runs; ``gains``: what `claims.attention_and_decay.paper_gains` gives.
    """
    chosen = with_capped_loss(runs[runs["part"] == "paper"])
    lengths, total = list(gains), int(chosen["updates"].iloc[0])
    chosen = chosen.assign(n=chosen["arm"].str.rpartition("/")[2].astype(int))
    figure, (rates, losses, gained) = plt.subplots(1, 3, figsize=(10.4, 3.4))
    peaks = chosen.groupby("n")["lr"].first()
    updates = np.arange(1, total + 1)
    for n in lengths:
        factor = schedules.factor(Schedule(warmup="ramp", length=n, decay="inverse_sqrt"), updates, total)
        rates.plot(updates, peaks[n] * factor, color=INK, lw=1.2)
        rates.annotate(f"n = {n}", (n, peaks[n]), xytext=(4, 2), textcoords="offset points", fontsize=9)
    rates.set(title="the rate, for each n", xlabel="update", ylabel="learning rate")
    for warmup in ("none", "ramp"):
        table = chosen[chosen["arm"].str.startswith(f"adam/{warmup}/")].pivot(index="seed", columns="n", values="loss")
        look, colour = WARMUPS[warmup], OPTIMIZERS["adam"].colour
        seed_lines(losses, table.columns, table, colour, look)
        losses.plot(
            table.columns,
            table.median(),
            color=colour,
            ls=look.line,
            marker=look.marker,
            fillstyle="none" if warmup == "none" else "full",
            label=look.label,
        )
    plain_log_scale(losses)
    losses.set(title="with the ramp, and without it", ylabel="test loss (nats)")
    losses.legend(loc="best")
    effects = list(gains.values())
    gained.axhline(0, lw=0.8, color="0.5")
    gained.vlines(lengths, [e.low for e in effects], [e.high for e in effects], color=colour, lw=2.5)
    gained.plot(lengths, [e.estimate for e in effects], WARMUPS["ramp"].marker, color=colour, ms=7)
    gained.set(title="gain of the ramp", ylabel="log ratio of test losses")
    for axis in (losses, gained):
        axis.set_xscale("log")
        axis.set_xticks(lengths, [str(n) for n in lengths])
        axis.minorticks_off()
        axis.set_xlabel("n (updates)")
    return figure, _paper_words(chosen)


def _paper_words(chosen: pd.DataFrame) -> Words:
    return Words(
        "The Transformer paper's schedule, as it is",
        "Three panels. Left, rates that rise for n updates and then fall as an inverse square root, one curve for each "
        "n, the longer the lower. Middle, final test loss against n, with the ramp and without it. Right, the gain.",
        f"{tasks.load(chosen['task'].iloc[0]).title}; Adam with β₂ = {chosen['beta2'].iloc[0]:g}. The formula ties the "
        "peak to n: a longer warmup is also a lower one. Without the ramp the rate stays at the peak for n updates. "
        f"Thin: one of n = {chosen['seed'].nunique()} seeds; thick: the median; 95 % intervals.",
    )
