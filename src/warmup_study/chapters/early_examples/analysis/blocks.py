"""How much each block of one pass over a stream decides about the final outputs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.claims.evidence import untrainable
from warmup_study.statistics.bootstrap import Effect, Floats, seed_effect
from warmup_study.statistics.curves import Seeds
from warmup_study.statistics.endpoints import log, trained_share

DECIDING = "none, constant"  # what the claim is about: no warmup, and a constant rate, as decay makes late steps short
RAMP = "ramp, constant"
BESIDE = {RAMP: ", with a ramp", "none, cosine": ", under cosine decay"}

Effects = Mapping[str, Effect]


def ratios(runs: pd.DataFrame) -> Effects | str | None:
    """One task's log ratios of influence: the first block, and the last, over the mean of those between them."""
    tables = influences(runs)
    if DECIDING not in tables:
        return None
    if not _trains(runs):
        return untrainable("Adam")
    last = {"influence of the last block over that of the middle ones": relative(tables[DECIDING], -1)}
    first = {
        f"influence of the first block over that of the middle ones{how}": relative(tables[condition], 0)
        for condition, how in ({DECIDING: ""} | BESIDE).items()
        if condition in tables
    }
    return first | last


def steadied(runs: pd.DataFrame) -> Effects | None:
    """One task's log ratio of the first block's influence, without warmup over with a ramp."""
    tables = influences(runs)
    if not {DECIDING, RAMP} <= set(tables):
        return None
    paired = pd.concat([tables[name].iloc[:, 0] for name in (DECIDING, RAMP)], axis=1).dropna().to_numpy()
    return {"influence of the first block, without warmup over with a ramp": _log_ratio(paired[:, 0], paired[:, 1])}


def _trains(runs: pd.DataFrame) -> bool:
    """Whether one pass takes training without warmup to where it counts as trained, on average."""
    plain = runs[(runs["warmup"] == "none") & runs["redrawn_to"].isna()]
    return bool(plain["test_loss"].mean() < trained_share(runs) * plain["initial_loss"].mean())


def influences(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By "warmup, decay": variance of a final logit that redrawing a block causes, seeds x place of the block (0 to 1).

    Half the mean squared difference of two runs that differ in that block alone is an unbiased estimate of it (Jansen
    1999). A seed of which any run diverged is left out, and a condition of which fewer than two seeds are left.
    """
    groups = runs[runs["part"] == "blocks"].groupby(["warmup", "decay"], sort=False)
    found = {", ".join(map(str, key)): _influence(rows) for key, rows in groups}
    return {name: table for name, table in found.items() if len(table) > 1}


def _influence(runs: pd.DataFrame) -> pd.DataFrame:
    original = runs[runs["redrawn_from"].isna()].set_index("seed")["outputs"]
    found = {}
    for _, rows in runs[runs["redrawn_to"].notna()].groupby("redrawn_to"):
        middle = (float(rows["redrawn_from"].iloc[0]) - 1 + float(rows["redrawn_to"].iloc[0])) / 2
        redrawn = rows.set_index("seed")["outputs"]
        found[middle / float(rows["updates"].iloc[0])] = {
            seed: float(np.square(np.subtract(redrawn[seed], original[seed], dtype=float)).mean() / 2)
            for seed in original.index
        }
    return pd.DataFrame(found).sort_index(axis=1).dropna()


def relative(table: pd.DataFrame, block: int) -> Effect:
    """Log ratio of one block's influence over the mean of those between the first and the last."""
    values = table.to_numpy()
    return _log_ratio(values[:, block], values[:, 1:-1].mean(axis=1))


def _log_ratio(above: Floats, below: Floats) -> Effect:
    """ln of the ratio of two means over the same seeds, [S] each."""

    def ratio(seeds: Seeds) -> Floats:
        return log(above[seeds].mean(axis=1)) - log(below[seeds].mean(axis=1))

    return seed_effect(ratio, len(above))
