"""Results on disk: runs as parquet, written atomically, checked when read, nothing executed from them."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from warmup_study.experiment import Chunk
from warmup_study.paths import StudyError, write_atomically
from warmup_study.probes import PROBES
from warmup_study.tasks.task import CurveName, ScoreName

_IDENTITY, _SEAL = b"warmup_study", b"warmup_study_sha256"
_OPEN = b"the digest of this file as it is while these words stand here...".ljust(64, b".")  # as long as the digest
_UNREADABLE = (OSError, ValueError, pa.ArrowException)  # also a name in the footer that is no UTF-8

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


@dataclass(frozen=True)
class Cache:
    """Trained chunks on disk, one parquet file each, named by the chunk's id."""

    folder: Path

    def path(self, chunk: Chunk) -> Path:
        """Where the chunk's runs are or will be stored."""
        return self.folder / f"{chunk.id}.parquet"

    def get(self, chunk: Chunk) -> pa.Table | None:
        """The stored runs of the chunk, None where they are missing, damaged or of another chunk."""
        return read_chunk(self.path(chunk), chunk.id)

    def put(self, chunk: Chunk, table: pa.Table) -> None:
        """Store the runs of the chunk. Raises ``StudyError`` where the disk refuses."""
        write_runs(self.path(chunk), table, chunk.id)


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    """Rows as a table of runs; a column that a row lacks is null."""
    return pa.Table.from_pylist(rows, schema=RUNS)


def write_runs(path: Path, table: pa.Table, identity: str = "") -> None:
    """Write a table of runs atomically, with the identity it was made under and a digest of the whole file in it."""
    stamped = table.replace_schema_metadata({_IDENTITY: identity, _SEAL: _OPEN})
    buffer = io.BytesIO()
    pq.write_table(stamped, buffer, compression="zstd")
    content = buffer.getvalue()
    write_atomically(path, content.replace(_OPEN, _digest(content)))


def read_chunk(path: Path, identity: str) -> pa.Table | None:
    """The table stored under ``identity``, or None where there is none that can be trusted.

    A missing, damaged or foreign file is no error here: its chunk is simply trained again.
    """
    try:
        table = _read(path)
    except _UNREADABLE:
        return None
    stamp = (table.schema.metadata or {}).get(_IDENTITY, b"")
    return table if stamp == identity.encode() and table.schema.equals(RUNS) else None


def read_runs(path: Path) -> pd.DataFrame:
    """A chapter's table of runs. Raises ``StudyError`` where the file is missing, damaged or no table of runs."""
    try:
        table = _read(path)
    except _UNREADABLE as problem:
        raise StudyError(f"{path.name}: cannot be read ({problem}); run its notebook again") from problem
    if not table.schema.equals(RUNS):
        raise StudyError(f"{path.name}: its columns are not those of a table of runs; run its notebook again")
    return to_frame(table)


def _read(path: Path) -> pa.Table:
    """The table in the file. Raises one of ``_UNREADABLE`` unless every bit is as it was written.

    Parquet's own checksums leave out its footer, where a flipped bit can change what is read.
    """
    content = path.read_bytes()
    with pq.ParquetFile(io.BytesIO(content)) as file:
        seal = (file.metadata.metadata or {}).get(_SEAL, b"")
        if len(seal) != len(_OPEN) or _digest(content.replace(seal, _OPEN)) != seal:
            raise OSError("its checksum is wrong")
        return file.read()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def from_frame(runs: pd.DataFrame) -> pa.Table:
    """A pandas table of runs as it is stored; the inverse of :func:`to_frame`."""
    return pa.Table.from_pandas(runs, schema=RUNS, preserve_index=False)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A table of runs in pandas; whole numbers that may be missing stay whole (``Int64``)."""
    nullable = {pa.int64(): pd.Int64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame
