"""Tests of what becomes of the first batch's head start, as a function of the ramp's length."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.early_examples.analysis.skew import gaps
from warmup_study.claims.evidence import by_base_task, verdict
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics.bootstrap import Effect, seed_effect
from warmup_study.statistics.decisions import both, either
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
        found += [
            {
                "optimizer": run["optimizer"],
                "length": int(run["length"]),
                "seed": run["seed"],
                "lasting": lasting,
                **sizes,
            }
        ]
        if run["length"] == 1:  # the ramp's only batch is its first
            found.append(found[-1] | {"lasting": "whole"})
    return pd.DataFrame(found)


def slopes(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and optimiser: log-log slopes against n, the ramp's length, of what its first batch, or all, did."""
    return by_base_task(runs, ("first",), _slopes)


def _slopes(runs: pd.DataFrame) -> Effects | None:
    found = head_starts(runs)
    tables = {
        f"{optimizer}, {name}": _log_log_slope(rows[rows["lasting"] == lasting], column)
        for optimizer, rows in found.groupby("optimizer", sort=False)
        for name, lasting, column in (
            ("weights", "first", "moved"),
            ("gap", "first", "gap"),
            ("weights at update 1", "first", "moved_first"),
            ("gap at update 1", "first", "gap_first"),
            ("weights, whole ramp", "whole", "moved"),
            ("gap, whole ramp", "whole", "gap"),
        )
    }
    known = {name: effect for name, effect in tables.items() if effect is not None}
    return known if {"adam, weights", "adam, gap"} <= set(known) else None


def _log_log_slope(found: pd.DataFrame, column: str) -> Effect | None:
    """Slope of the log mean size over seeds against log n; None where fewer than two seeds stayed finite."""
    table = found.pivot(index="seed", columns="length", values=column)
    values = table[np.isfinite(table).all(axis=1)].to_numpy(dtype=float)
    if len(values) < 2:
        return None
    place = np.log(table.columns.to_numpy(dtype=float))
    weights = (place - place.mean()) / np.square(place - place.mean()).sum()
    return seed_effect(lambda seeds: log(values[seeds].mean(axis=1)) @ weights, len(values))


def one_over_n(task: str, effects: Effects) -> Verdict:
    """Both slopes at the end of Adam's ramp are −1 within the margin."""
    width, unit = claim("one-over-n").margin or 0.0, claim("one-over-n").unit
    moved, gap = effects["adam, weights"], effects["adam, gap"]
    holds, fails = ([test(effect, width) for effect in (moved, gap)] for test in (_is_minus_one, _is_not))
    return verdict(
        "one-over-n",
        task,
        moved,
        figure="first_batch",
        parts=[Part.of(name, effect, 0.0, unit) for name, effect in effects.items()],
        p_supported=both(*holds),
        p_contradicted=both(*fails),
        p_mixed=either(both(holds[0], fails[1]), both(fails[0], holds[1])),
    )


def _is_minus_one(slope: Effect, width: float) -> float:
    within = both(slope.p_above(-1 - width), slope.p_below(-1 + width))
    return within if slope.low <= -1 <= slope.high else 1.0


def _is_not(slope: Effect, width: float) -> float:
    return either(slope.p_below(-1 - width), slope.p_above(-1 + width))
