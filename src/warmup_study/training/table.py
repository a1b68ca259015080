"""The table of runs, one row per run: its columns, and the ways to and from pandas."""

from typing import get_args

import pandas as pd
import pyarrow as pa

from warmup_study.tasks.task import CurveName, ScoreName
from warmup_study.training.probes import PROBES

_NUMBERS, _COUNTS = pa.list_(pa.float32()), pa.list_(pa.int32())

RUNS = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("part", "task", "arm", "role", "optimizer")],
        *[pa.field(name, pa.float64()) for name in ("momentum", "beta1", "beta2", "eps", "weight_decay")],
        *[pa.field(name, pa.bool_()) for name in ("bias_correction", "first_moment_correction", "first_gradient_init")],
        pa.field("keep_counter", pa.bool_()),
        *[pa.field(name, pa.int64()) for name in ("momentum_ramp", "freeze_first_until", "reset_at")],
        *[pa.field(name, pa.int64()) for name in ("count1_from", "count2_from")],
        *[pa.field(name, pa.string()) for name in ("warmup", "decay")],
        *[pa.field(name, pa.int64()) for name in ("length", "hold")],
        pa.field("level", pa.float64()),
        pa.field("cluster", pa.string()),
        pa.field("skew", pa.float64()),
        *[pa.field(name, pa.int64()) for name in ("span", "redrawn_from", "redrawn_to", "order", "examples", "init")],
        pa.field("auxiliary_weight", pa.float64()),
        pa.field("auxiliary_updates", pa.int64()),
        pa.field("lr", pa.float64()),
        *[pa.field(name, pa.int64()) for name in ("seed", "updates", "batch")],
        pa.field("status", pa.string()),
        *[pa.field(name, pa.int64()) for name in ("diverged_at", "steps_to_target")],
        *[
            pa.field(name, pa.float64())
            for name in ("initial_loss", "validation_loss", "validation_error", "test_loss", "test_error", "lr_audit")
        ],
        pa.field("evaluated_at", _COUNTS),
        *[pa.field(name, _NUMBERS) for name in ("realised_lr", "validation_curve")],
        pa.field("probed_at", _COUNTS),
        *[pa.field(name, _NUMBERS) for name in PROBES],
        pa.field("outputs", _NUMBERS),
        *[pa.field(name, _NUMBERS) for name in get_args(CurveName)],
        *[pa.field(name, pa.float64()) for name in get_args(ScoreName)],
    ]
)
"""Columns of the table of runs: one row per run. Settings a rule does not have, and steps not reached, are null."""


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    """Rows as a table of runs; a column that a row lacks is null."""
    return pa.Table.from_pylist(rows, schema=RUNS)


def from_frame(runs: pd.DataFrame) -> pa.Table:
    """A pandas table of runs as it is stored; the inverse of :func:`to_frame`."""
    return pa.Table.from_pandas(runs, schema=RUNS, preserve_index=False)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A table of runs in pandas; whole numbers that may be missing stay whole (``Int64``)."""
    nullable = {pa.int64(): pd.Int64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame
