"""Losses on old and new data during fine-tuning, and the comparison of two arms at equal loss on the new data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, seed_effect
from warmup_study.statistics.curves import LrCurves, Seeds, drawn
from warmup_study.statistics.endpoints import log
from warmup_study.statistics.lr_curves import between

NEAR = 1.1  # times the higher of two arms' lowest losses on the new data: the level at which they are compared
_AT_ONCE = 1000  # resamples whose mean paths are held in memory side by side


@dataclass(frozen=True)
class Trajectories:
    """The runs of one arm on one task, by seed, learning rate and evaluation.

    ``new`` and ``old`` [S, L, K] are logarithms of the validation losses on the new and the old data, their means over
    seeds thus logarithms of typical losses; ``curves`` hold the losses on the new data at the end, ``old_at_end`` those
    on the old test data beside the same learning rates' losses on the new validation data.
    """

    curves: LrCurves
    old_at_end: LrCurves
    new: Floats
    old: Floats

    @classmethod
    def of(cls, runs: pd.DataFrame, untrained: Mapping[int, float]) -> "Trajectories":
        """From runs whose initial loss is replaced by that of the seed's untrained network.

        What a network that is to be fine-tuned loses on new data is no measure of training: it may be ten times what
        an untrained one loses. Losses that are not finite count as the untrained network's on the new data, and as the
        last finite one on the old. Raises ValueError where a seed misses a learning rate.
        """
        runs = runs.assign(initial_loss=runs["seed"].map(untrained).astype(float)).sort_values(["seed", "lr"])
        curves = LrCurves.of(runs)
        shape = (curves.seeds, len(curves.lrs), -1)
        new, old = (np.stack(runs[name].to_list()).astype(float) for name in ("validation_curve", "old_loss_curve"))
        new = np.where(np.isfinite(new), new, runs["initial_loss"].to_numpy()[:, None])
        known = pd.DataFrame(np.where(np.isfinite(old), old, np.nan)).ffill(axis=1).to_numpy()
        last = runs["old_test_loss"].to_numpy(dtype=float)
        last = np.where(np.isfinite(last), last, known[:, -1]).reshape(shape[:2])
        return cls(curves, replace(curves, test=last), log(new.reshape(shape)), log(known.reshape(shape)))


def old_saved(none: Trajectories, arm: Trajectories, multiple: float, resamples: int = RESAMPLES) -> Effect:
    """ln(old loss without warmup / with it) at equal loss on the new data, at a multiple of the best learning rate.

    The level is `NEAR` times the higher of the lowest losses on the new data that the arms' mean paths reach at that
    learning rate; each path's loss on the old data is read where it first comes down to it, linear between evaluations
    on log axes. Every resample finds the best learning rate without warmup, the paths and the level anew.
    """

    def statistic(seeds: Seeds) -> Floats:
        parts = np.array_split(seeds, max(1, len(seeds) // _AT_ONCE))
        return np.concatenate([_saved(none, arm, multiple, part) for part in parts])

    return seed_effect(statistic, none.curves.seeds, resamples=resamples)


def _saved(none: Trajectories, arm: Trajectories, multiple: float, seeds: Seeds) -> Floats:
    paths = [(_means(each.new, seeds), _means(each.old, seeds)) for each in (none, arm)]
    level = np.maximum(*(new.min(axis=-1) for new, _ in paths)) + np.log(NEAR)
    without, with_warmup = (old_at(new, old, level) for new, old in paths)
    targets = np.log(none.curves.lrs[none.curves.picked(seeds)] * multiple)
    return between(none.curves.lrs, targets, without - with_warmup)


def _means(table: Floats, seeds: Seeds) -> Floats:
    """Means [B, L, K] over each resample's seeds of a table [S, L, K]."""
    return np.tensordot(drawn(seeds, len(table)) / seeds.shape[1], table, axes=1)


def old_at(new: Floats, old: Floats, level: Floats) -> Floats:
    """What ``old`` [..., K] is where ``new`` [..., K] first comes down to a level [...], linear in between.

    The first where it begins below; a path that never comes down to it is read at its first, too.
    """
    here = (new <= level[..., None]).argmax(axis=-1)[..., None]
    before = np.maximum(here - 1, 0)
    above, below = (np.take_along_axis(new, place, -1)[..., 0] for place in (before, here))
    left, right = (np.take_along_axis(old, place, -1)[..., 0] for place in (before, here))
    fall = above - below
    share = np.where(fall > 0, (above - level) / np.where(fall > 0, fall, 1.0), 0.0)
    return np.asarray(left + np.clip(share, 0, 1) * (right - left))


def mean_paths(runs: Trajectories, column: int) -> Iterator[Floats]:
    """The typical losses on the new and on the old data along the run at one learning rate, [K] each."""
    yield from (np.exp(table[:, column].mean(axis=0)) for table in (runs.new, runs.old))
