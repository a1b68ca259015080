"""What the fourth chapter's claims rest on: what early examples and their order decide, and the way to the rest."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.chapters.early_examples.analysis import first_batch, skew
from warmup_study.claims.evidence import by_base_task, named
from warmup_study.statistics.bootstrap import Effect, difference, pooled, seed_effect
from warmup_study.statistics.endpoints import TRAINED, log

DECIDING = "none, constant"  # the condition that the claim is about: no warmup, constant rate
RESULTS = ("test loss", "test logits")
LEVELLED = "ramp minus none, constant"

Effects = Mapping[str, Effect]
Floats = NDArray[np.float64]


def influence_slopes(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and "warmup, decay": slope of the log influence of a block against its place in the stream, 0 to 1."""
    return by_base_task(runs, ("blocks",), _influence_slopes)


def _influence_slopes(runs: pd.DataFrame) -> Effects | None:
    tables = influences(runs)
    if tables[DECIDING].empty:
        return None
    slopes = {name: _slope(table) for name, table in tables.items() if not table.empty}
    if "ramp, constant" in slopes:
        slopes[LEVELLED] = difference(slopes["ramp, constant"], slopes[DECIDING])
    return slopes


def _slope(table: pd.DataFrame) -> Effect:
    values, places = table.to_numpy(), table.columns.to_numpy(dtype=float)
    weights = (places - places.mean()) / np.square(places - places.mean()).sum()
    return seed_effect(lambda seeds: log(values[seeds].mean(axis=1)) @ weights, len(values))


def influences(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By "warmup, decay": variance of a final logit that redrawing a block causes, seeds x place of the block (0 to 1).

    Half the mean squared difference of two runs that differ in that block alone is an unbiased estimate of it (Jansen
    1999). A seed of which any run diverged is left out.
    """
    groups = runs[runs["part"] == "blocks"].groupby(["warmup", "decay"], sort=False)
    return {", ".join(map(str, key)): _influence(rows) for key, rows in groups}


def _influence(runs: pd.DataFrame) -> pd.DataFrame:
    original = runs[runs["redrawn_from"].isna()].set_index("seed")["outputs"]
    found = {}
    for _, rows in runs[runs["redrawn_to"].notna()].groupby("redrawn_to"):
        middle = (float(rows["redrawn_from"].iloc[0]) - 1 + float(rows["redrawn_to"].iloc[0])) / 2
        place = middle / float(rows["updates"].iloc[0])
        redrawn = rows.set_index("seed")["outputs"]
        found[place] = {
            seed: float(np.square(np.subtract(redrawn[seed], original[seed], dtype=float)).mean() / 2)
            for seed in original.index
        }
    return pd.DataFrame(found).sort_index(axis=1).dropna()


def variance_ratios(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: log ratio of variances, `none` over `ramp`, of test loss and logits over orders, and over weights.

    Mean over the rates at which every run of both has trained; None where there is no such rate. Where orders vary,
    variances are taken around each network's own mean.
    """
    return by_base_task(runs, ("orders",), _variance_ratios)


def _variance_ratios(runs: pd.DataFrame) -> Effects | None:
    ratios = {
        f"{result}, {varied}": [_log_ratio(groups, result) for groups in _trained_groups(runs, column)]
        for varied, column in (("orders vary", "init"), ("weights vary", "order"))
        for result in RESULTS
    }
    known = all(ratios.values()) and runs["seed"].nunique() > 1
    return {name: pooled(found) for name, found in ratios.items()} if known else None


def _trained_groups(runs: pd.DataFrame, column: str) -> list[dict[str, list[pd.DataFrame]]]:
    """At each rate at which all runs have trained: the runs that share a value of ``column``, by warmup."""
    rows = runs[runs[column].notna()]
    trained = (rows["test_loss"] < TRAINED * rows["initial_loss"]).groupby(rows["lr"]).all()
    return [
        {str(w): [same for _, same in arm.groupby(column)] for w, arm in rows[rows["lr"] == lr].groupby("warmup")}
        for lr in trained.index[trained]
    ]


def _log_ratio(groups: Mapping[str, list[pd.DataFrame]], result: str) -> Effect:
    none, ramp = (np.stack([_results(rows, result) for rows in groups[name]]) for name in ("none", "ramp"))
    return seed_effect(lambda seeds: log(_variance(none, seeds)) - log(_variance(ramp, seeds)), none.shape[1])


def _results(runs: pd.DataFrame, result: str) -> Floats:
    """One network's results, [seeds, numbers]."""
    ordered = runs.sort_values("seed")
    if result == "test loss":
        return ordered[["test_loss"]].to_numpy(dtype=float)
    return np.stack(ordered["outputs"].to_list()).astype(float)


def _variance(results: Floats, seeds: NDArray[np.intp]) -> Floats:
    """Variance over the seeds drawn, averaged over networks and numbers: [networks, S, numbers] at [B, n] -> [B].

    From sums and sums of squares, weighted by how often each seed was drawn: what was drawn itself would fill memory.
    """
    centred = results - results.mean(axis=1, keepdims=True)
    drawn = np.stack([np.bincount(row, minlength=results.shape[1]) for row in seeds])
    sums, squares = (drawn @ powers for powers in (centred, np.square(centred)))
    count = seeds.shape[1]
    sizes = (squares - np.square(sums) / count) / (count - 1)
    return np.asarray(sizes.mean(axis=(0, 2)))


CLAIMS = {
    "early-variance": lambda runs: named(variance_ratios(runs), "variance ratio ({})".format),
    "primacy": lambda runs: named(skew.gap_differences(runs), "difference in the gap ({})".format),
    "one-over-n": first_batch.slopes,
    "extra-epochs": lambda runs: named(skew.extra_epochs(runs), "epochs saved ({})".format),
}
