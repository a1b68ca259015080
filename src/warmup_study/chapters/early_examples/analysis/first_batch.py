"""What becomes of the first batch's head start, as a function of the ramp's length."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.early_examples.analysis.skew import gaps
from warmup_study.claims.evidence import where
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics.bootstrap import Effect, seed_effect
from warmup_study.statistics.endpoints import log

SIZES = {"displacement": "moved", "cluster gap": "gap"}
WHEN = {", update 1": ("first", "_first"), "": ("first", ""), ", whole ramp": ("whole", "")}
NEEDED = {f"slope of the {what} (Adam{when})" for what in SIZES for when in (", update 1", "")}

Effects = Mapping[str, Effect]


def head_starts(runs: pd.DataFrame) -> pd.DataFrame:
    """What batches from a cluster did, beside the twin that had ordinary ones: a row per run.

    ``lasting``: the ``first`` batch or the ``whole`` ramp. ``moved_first`` and ``moved`` are the distance between the
    weights after update 1 and at the end of the ramp, ``gap_first`` and ``gap`` the size of the change in cluster gap.
    """
    rows = gaps(runs[runs["part"] == "first"])
    plain = rows[rows["skew"] == 0].set_index(["optimizer", "length", "seed"])["gap"]
    found = []
    for _, run in rows[rows["skew"] > 0].iterrows():
        row = _head_start(run, plain[run["optimizer"], run["length"], run["seed"]])
        found.append(row)
        if run["length"] == 1:  # the ramp's only batch is its first
            found.append(row | {"lasting": "whole"})
    return pd.DataFrame(found)


def _head_start(run: pd.Series, plain: object) -> dict[str, object]:
    at = list(run["probed_at"]).index(run["length"])
    moved, gap = np.asarray(run["displacement"], dtype=float), np.abs(run["gap"] - plain)
    return {
        **{"optimizer": run["optimizer"], "length": int(run["length"]), "seed": run["seed"]},
        "lasting": "first" if run["span"] == 1 else "whole",
        **{"moved_first": moved[0], "moved": moved[at], "gap_first": gap[0], "gap": gap[at]},
    }


def slopes(runs: pd.DataFrame) -> Effects | None:
    """One task's log-log slopes against the ramp's length, by optimiser, of what its first batch, or all of them, did.

    None where the runs of Adam tell no slope.
    """
    found = head_starts(runs)
    slope = {
        f"slope of the {what} ({LOOKS[str(optimizer)].label}{when})": _log_log_slope(
            where(rows, lasting=lasting), f"{column}{ending}"
        )
        for optimizer, rows in found.groupby("optimizer", sort=False)
        for when, (lasting, ending) in WHEN.items()
        for what, column in SIZES.items()
    }
    known = {name: effect for name, effect in slope.items() if effect is not None}
    return known if set(known) >= NEEDED else None


def _log_log_slope(found: pd.DataFrame, column: str) -> Effect | None:
    """Slope of the log mean size over seeds against log n; None where fewer than two seeds stayed finite."""
    table = found.pivot(index="seed", columns="length", values=column)
    values = table[np.isfinite(table).all(axis=1)].to_numpy(dtype=float)
    if len(values) < 2 or len(table.columns) < 2:
        return None
    place = np.log(table.columns.to_numpy(dtype=float))
    weights = (place - place.mean()) / np.square(place - place.mean()).sum()
    return seed_effect(lambda seeds: log(values[seeds].mean(axis=1)) @ weights, len(values))
