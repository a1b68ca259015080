"""How much results vary from one order of the same examples to another, and from one initialisation to another."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.claims.evidence import untrainable
from warmup_study.statistics.bootstrap import Effect, Floats, pooled, seed_effect
from warmup_study.statistics.curves import Seeds, drawn
from warmup_study.statistics.endpoints import log, trained_share

RESULTS = ("test logits", "test loss")
VARIED = {"orders vary": "init", "weights vary": "order"}  # the column that holds what stays the same

Effects = Mapping[str, Effect]


def ratios(runs: pd.DataFrame) -> Effects | str | None:
    """One task's log ratios of variances, `none` over `ramp`: of test logits and loss, over orders and over weights.

    Mean over the learning rates at which every run of both trains. Where orders vary, variances are taken around each
    network's own mean.
    """
    if runs["seed"].nunique() < 2:
        return None
    lrs = _trained_lrs(runs)
    if not lrs:
        return untrainable("Adam")
    return {
        f"variance ratio ({result}, {varied})": pooled([_log_ratio(runs, column, lr, result) for lr in lrs])
        for varied, column in VARIED.items()
        for result in RESULTS
    }


def _trained_lrs(runs: pd.DataFrame) -> list[float]:
    trained = (runs["test_loss"] < trained_share(runs) * runs["initial_loss"]).groupby(runs["lr"]).all()
    return [float(lr) for lr in trained.index[trained]]


def _log_ratio(runs: pd.DataFrame, column: str, lr: float, result: str) -> Effect:
    chosen = runs[runs[column].notna() & (runs["lr"] == lr)]
    none, ramp = (
        np.stack([_results(same, result) for _, same in chosen[chosen["warmup"] == warmup].groupby(column)])
        for warmup in ("none", "ramp")
    )
    return seed_effect(lambda seeds: log(variance(none, seeds)) - log(variance(ramp, seeds)), none.shape[1])


def _results(runs: pd.DataFrame, result: str) -> Floats:
    """One network's results, [seeds, numbers]."""
    ordered = runs.sort_values("seed")
    if result == "test loss":
        return ordered[["test_loss"]].to_numpy(dtype=float)
    return np.stack(ordered["outputs"].to_list()).astype(float)


def variance(results: Floats, seeds: Seeds) -> Floats:
    """Variance over the seeds drawn, averaged over networks and numbers: [networks, S, numbers] at [B, n] -> [B].

    From sums and sums of squares, weighted by how often each seed was drawn: what was drawn itself would fill memory.
    """
    centred = results - results.mean(axis=1, keepdims=True)
    counts, size = drawn(seeds, results.shape[1]), seeds.shape[1]
    sums, squares = (counts @ powers for powers in (centred, np.square(centred)))
    sizes = (squares - np.square(sums) / size) / (size - 1)
    return np.asarray(sizes.mean(axis=(0, 2)))
