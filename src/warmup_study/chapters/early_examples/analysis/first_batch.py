"""What becomes of the first batch's head start, as a function of the ramp's length."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.early_examples.analysis.skew import gaps
from warmup_study.claims.evidence import by_base_task, where
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics.bootstrap import Effect, seed_effect
from warmup_study.statistics.endpoints import log

Effects = Mapping[str, Effect]


def head_starts(runs: pd.DataFrame) -> pd.DataFrame:
    """What batches from a cluster did, beside the twin that had ordinary ones: a row per run.

    ``lasting``: the ``first`` batch or the ``whole`` ramp. ``moved_first`` and ``moved`` are the distance between the
    weights after update 1 and at the end of the ramp, ``gap_first`` and ``gap`` the size of the change in cluster gap.
    """
    rows = gaps(runs[runs["part"] == "first"])
    plain = rows[rows["skew"] == 0].set_index(["optimizer", "length", "seed"])["gap"]
    changed = rows[rows["skew"] > 0]
    found = []
    for _, run in changed.iterrows():
        at = list(run["probed_at"]).index(run["length"])
        moved = np.asarray(run["displacement"], dtype=float)
        gap = np.abs(run["gap"] - plain[run["optimizer"], run["length"], run["seed"]])
        sizes = {"moved_first": moved[0], "moved": moved[at], "gap_first": gap[0], "gap": gap[at]}
        lasting = "first" if run["span"] == 1 else "whole"
        row = {"optimizer": run["optimizer"], "length": int(run["length"]), "seed": run["seed"]}
        found.append(row | {"lasting": lasting} | sizes)
        if run["length"] == 1:  # the ramp's only batch is its first
            found.append(found[-1] | {"lasting": "whole"})
    return pd.DataFrame(found)


def slopes(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and optimiser: log-log slopes against n, the ramp's length, of what its first batch, or all, did."""
    return by_base_task(runs, ("first",), _slopes)


def _slopes(runs: pd.DataFrame) -> Effects | None:
    found = head_starts(runs)
    tables = {
        f"slope of the {what} ({LOOKS[str(optimizer)].label}{when})": _log_log_slope(
            where(rows, lasting=lasting), column
        )
        for optimizer, rows in found.groupby("optimizer", sort=False)
        for when, lasting, ending in (
            ("", "first", ""),
            (", update 1", "first", "_first"),
            (", whole ramp", "whole", ""),
        )
        for what, column in (("displacement", f"moved{ending}"), ("cluster gap", f"gap{ending}"))
    }
    known = {name: effect for name, effect in tables.items() if effect is not None}
    return known if {"slope of the displacement (Adam)", "slope of the cluster gap (Adam)"} <= set(known) else None


def _log_log_slope(found: pd.DataFrame, column: str) -> Effect | None:
    """Slope of the log mean size over seeds against log n; None where fewer than two seeds stayed finite."""
    table = found.pivot(index="seed", columns="length", values=column)
    values = table[np.isfinite(table).all(axis=1)].to_numpy(dtype=float)
    if len(values) < 2:
        return None
    place = np.log(table.columns.to_numpy(dtype=float))
    weights = (place - place.mean()) / np.square(place - place.mean()).sum()
    return seed_effect(lambda seeds: log(values[seeds].mean(axis=1)) @ weights, len(values))
