"""Beside the lengths: the ramp at every batch, long and short ramps on skewed streams, and other shapes."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters import core_grid
from warmup_study.chapters.core_curves import ABOVE, BEST
from warmup_study.chapters.how_long.design import IN_CORE, LINEAR, MIXED, NO_WARMUP, SKEW_EPOCHS, SKEWED, skew_arm
from warmup_study.claims.evidence import Outcome, untrainable, where
from warmup_study.statistics.bootstrap import Effect, Floats, difference, weighted_sum
from warmup_study.statistics.lr_curves import OVERSHOOT, LrCurves, at_multiple, trains, tuned_loss

OPTIMIZERS = {"momentum": "momentum", "adam": "Adam"}
"""By their name in the core grid: what effects call them."""
FACTOR = 64  # in batch: from 16 to 1,024
Batches = Mapping[int, Mapping[str, LrCurves]]  # curves by batch and warmup


def batches(runs: pd.DataFrame) -> dict[str, dict[str, dict[int, Mapping[str, LrCurves]]]]:
    """Curves by task, optimiser, batch and warmup; the largest batch may stand in the core grid."""
    chosen = runs[runs["part"].isin(["batch", core_grid.PART])]
    names = {large: task for task, large in IN_CORE.items()}
    found: dict[str, dict[str, dict[int, Mapping[str, LrCurves]]]] = {}
    for (task, optimizer, batch), rows in chosen.groupby(["task", "optimizer", "batch"], sort=False):
        arms = {str(arm).partition("/")[2]: LrCurves.of(mine) for arm, mine in rows.groupby("arm", sort=False)}
        mine = found.setdefault(names.get(str(task), str(task)), {}).setdefault(str(optimizer), {})
        mine[int(str(batch))] = arms
    return found


def large_batch(runs: pd.DataFrame) -> dict[str, Outcome[str]]:
    """Per task: how the ramp's gain at the best learning rate changes with the batch; each gain; the jump at 1,024."""
    return {task: _large_batch(mine) for task, mine in batches(runs).items()}


def _large_batch(by_optimizer: Mapping[str, Batches]) -> Outcome[str]:
    named: dict[str, Effect] = {}
    beside: dict[str, Effect] = {}
    for name, label in OPTIMIZERS.items():
        by_batch = dict(sorted(by_optimizer[name].items()))
        if not all(trains(arms["none"], arms["ramp"]) for arms in by_batch.values()):
            return untrainable(label)
        gains = {batch: tuned_loss(arms["none"], arms["ramp"]) for batch, arms in by_batch.items()}
        weights = _slope_weights(np.log(list(gains)) / math.log(FACTOR))
        named[f"change of the gain over a factor of {FACTOR} in batch ({label})"] = weighted_sum(
            list(gains.values()), weights
        )
        beside |= {f"gain of the ramp ({label}, batch {batch})": gain for batch, gain in gains.items()}
        if "constant" in (arms := by_batch[max(by_batch)]):
            beside[f"gain of a jump ({label}, batch {max(by_batch)})"] = tuned_loss(arms["none"], arms["constant"])
    return named | beside


def _slope_weights(places: Floats) -> list[float]:
    """Weights of the values at these places in the slope of the line of least squares through them."""
    away = places - places.mean()
    return [float(weight) for weight in away / (away**2).sum()]


def skew(runs: pd.DataFrame) -> dict[str, Outcome[str]]:
    """Per task: ln(loss under a ramp of 4 epochs / under one of ¼), on the skewed stream less on the mixed one."""
    found = skew_curves(runs)
    return {task: _skew(streams) for task, streams in found.items()}


def skew_curves(runs: pd.DataFrame) -> dict[str, dict[float, dict[float, LrCurves]]]:
    """Curves by task, stream and length of the ramp in epochs."""
    chosen = where(runs, part="skew")
    return {
        str(task): {
            share: {epochs: LrCurves.of(where(rows, arm=skew_arm(epochs, share))) for epochs in SKEW_EPOCHS}
            for share in (MIXED, SKEWED)
        }
        for task, rows in chosen.groupby("task", sort=False)
    }


def _skew(streams: Mapping[float, Mapping[float, LrCurves]]) -> Outcome[str]:
    short, long = SKEW_EPOCHS[0], SKEW_EPOCHS[-1]
    if not all(trains(arms[short], arms[long]) for arms in streams.values()):
        return untrainable("Adam")
    ratios = {share: tuned_loss(arms[long], arms[short]) for share, arms in streams.items()}
    return {
        "log loss of a long over a short ramp, skewed less mixed": difference(ratios[SKEWED], ratios[MIXED]),
        "log loss of a long over a short ramp (skewed)": ratios[SKEWED],
        "log loss of a long over a short ramp (mixed)": ratios[MIXED],
    }


def shapes(runs: pd.DataFrame) -> dict[str, dict[str, dict[str, Effect]]]:
    """By task, place and shape: ln(loss of the linear ramp / of that shape); positive where the shape does better."""
    chosen = where(runs, part="shapes")
    found = {}
    for task, rows in chosen.groupby("task", sort=False):
        arms = {str(arm): LrCurves.of(mine) for arm, mine in rows.groupby("arm", sort=False)}
        none, linear = arms[NO_WARMUP], arms[LINEAR]
        others = {name: curves for name, curves in arms.items() if name != LINEAR}
        if trains(none, linear):
            found[str(task)] = {
                BEST: {name: tuned_loss(linear, curves) for name, curves in others.items()},
                ABOVE: {name: at_multiple(linear, curves, OVERSHOOT, best_of=none) for name, curves in others.items()},
            }
    return found
