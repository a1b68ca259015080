"""The table of runs, one row per run: its columns, and the ways to and from pandas."""

from typing import Annotated, Any, get_args, get_origin

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from warmup_study.errors import StudyError
from warmup_study.tasks.task import CurveName, ScoreName
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.probes import PROBES

_NUMBERS, _COUNTS = pa.list_(pa.float32()), pa.list_(pa.int32())
_SCALARS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}

_START = {
    **dict.fromkeys(("task", "optimizer", "warmup", "decay"), pa.string()),
    **dict.fromkeys(("length", "updates", "batch"), pa.int64()),
    "lr": pa.float64(),
    **dict.fromkeys(("state", "head", "backbone", "batches"), pa.string()),
}


def _stored_as(annotation: Any) -> pa.DataType:
    """The column type of a setting, which may be None."""
    (kind,) = {part for part in get_args(annotation) or (annotation,) if part is not type(None)}
    return _SCALARS[get_args(kind)[0] if get_origin(kind) is Annotated else kind]


def _settings(model: type[BaseModel]) -> list[pa.Field]:
    """A column for each setting but the name."""
    fields = {name: field.annotation for name, field in model.model_fields.items() if name != "name"}
    return [pa.field(name, _stored_as(annotation)) for name, annotation in fields.items()]


RUNS = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("part", "task", "arm", "optimizer")],
        *_settings(Optimizer),
        *[pa.field(name, pa.string()) for name in ("warmup", "decay")],
        *[pa.field(name, pa.int64()) for name in ("length", "hold")],
        *[pa.field(name, pa.float64()) for name in ("level", "power", "start_factor")],
        pa.field("second_ramp", pa.int64()),
        pa.field("cluster", pa.string()),
        pa.field("skew", pa.float64()),
        *[pa.field(name, pa.int64()) for name in ("span", "redrawn_from", "redrawn_to", "order", "examples", "init")],
        pa.field("auxiliary_weight", pa.float64()),
        pa.field("auxiliary_updates", pa.int64()),
        *[pa.field(f"start_{name}", kind) for name, kind in _START.items()],
        *[pa.field(name, pa.float64()) for name in ("grid_lr", "lr")],
        *[pa.field(name, pa.int64()) for name in ("seed", "updates", "batch")],
        pa.field("status", pa.string()),
        *[pa.field(name, pa.int64()) for name in ("diverged_at", "steps_to_target")],
        *[
            pa.field(name, pa.float64())
            for name in (
                "initial_loss",
                "trained_share",
                "validation_loss",
                "validation_error",
                "test_loss",
                "test_error",
                "lr_audit",
            )
        ],
        pa.field("evaluated_at", _COUNTS),
        *[pa.field(name, _NUMBERS) for name in ("realised_lr", "validation_curve")],
        pa.field("probed_at", _COUNTS),
        *[pa.field(name, _NUMBERS) for name in PROBES],
        pa.field("outputs", _NUMBERS),
        pa.field("old_loss_curve", _NUMBERS),
        *[pa.field(name, pa.float64()) for name in ("old_test_loss", "old_test_error")],
        *[pa.field(name, _NUMBERS) for name in get_args(CurveName)],
        *[pa.field(name, pa.float64()) for name in get_args(ScoreName)],
        pa.field("chunk", pa.string()),
    ]
)
"""Columns of the table of runs: one row per run. Settings a rule does not have, and steps not reached, are null.

What stands under ``start_`` is of the training before, ``old_`` results are on its task's data; both are null without.
``lr`` is the peak learning rate that a run trained at, ``grid_lr`` that of the grid, before the arm's ``lr_scale``;
``chunk`` is the id of the chunk that the run was trained in.
"""

_LATER = {
    *(
        "updates_before",
        "match_rms",
        "adam_lr_ratio",
        "power",
        "start_factor",
        "second_ramp",
        "critical_lr",
        "training_loss",
        "trained_share",
    ),
    *(name for name in RUNS.names if name.startswith(("start_", "old_"))),
}


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    """Rows as a table of runs; a column that a row lacks is null.

    Raises ``StudyError`` for keys that are no column: what they hold would be lost.
    """
    unknown = sorted({name for row in rows for name in row} - set(RUNS.names))
    if unknown:
        raise StudyError(f"table of runs: got {', '.join(unknown)}; takes {', '.join(RUNS.names)}")
    return pa.Table.from_pylist(rows, schema=RUNS)


def completed(table: pa.Table) -> pa.Table:
    """A table of runs as it is now: columns that the study did not have when it was stored are null."""
    for column in RUNS:
        if column.name in _LATER and column.name not in table.column_names:
            table = table.append_column(column, pa.nulls(len(table), column.type))
    return table.select(RUNS.names) if set(table.column_names) == set(RUNS.names) else table


def from_frame(runs: pd.DataFrame) -> pa.Table:
    """A pandas table of runs as it is stored; the inverse of :func:`to_frame`."""
    return pa.Table.from_pandas(runs, schema=RUNS, preserve_index=False)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A table of runs in pandas; whole numbers that may be missing stay whole (``Int64``)."""
    nullable = {pa.int64(): pd.Int64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame
