"""Results on disk: runs as parquet, written atomically, checked when read, nothing executed from them."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.training.experiment import Chunk
from warmup_study.training.pretraining import STARTING_POINTS, PretrainingBlock
from warmup_study.training.table import RUNS, completed, to_frame

_IDENTITY, _SEAL = b"warmup_study", b"warmup_study_sha256"
_NOTES = b"warmup_study_notes"
_OPEN = b"the digest of this file as it is while these words stand here...".ljust(64, b".")  # as long as the digest
_UNREADABLE = (OSError, ValueError, pa.ArrowException)  # also a name in the footer that is no UTF-8
_LEVEL = 9  # of zstd: 19 saves another 4 % and takes seven times as long
_LISTS = [f"{field.name}.list.element" for field in RUNS if field.type == pa.list_(pa.float32())]
_NOISY = [*_LISTS, "validation_loss", "test_loss"]
"""Columns whose numbers seldom repeat. Stored byte by byte in streams they take two thirds of the room, to the bit."""
_REPEATING = [f"{field.name}{'.list.element' if pa.types.is_list(field.type) else ''}" for field in RUNS]


Work = Chunk | PretrainingBlock


@dataclass(frozen=True)
class Cache:
    """Trained chunks and starting points on disk, one parquet file each, named by its id."""

    folder: Path

    def path(self, work: Work) -> Path:
        """Where the chunk's runs, or the block's starting points, are or will be stored."""
        return self.folder / f"{work.id}.parquet"

    def get(self, work: Work) -> pa.Table | None:
        """What is stored of it, None where that is missing, damaged or another's."""
        return read_chunk(self.path(work), work.id, RUNS if isinstance(work, Chunk) else STARTING_POINTS)

    def put(self, work: Work, table: pa.Table) -> None:
        """Store its table. Raises ``StudyError`` where the disk refuses."""
        write_runs(self.path(work), table, work.id)

    def keep(self, identity: str, table: pa.Table) -> None:
        """Store the runs of the chunk of that id, unless they are there."""
        path = self.folder / f"{identity}.parquet"
        if not path.exists():
            write_runs(path, table, identity)


def write_runs(path: Path, table: pa.Table, identity: str = "", notes: Mapping[str, object] | None = None) -> None:
    """Write a table of runs atomically, with the identity it was made under and a digest of the whole file in it.

    ``notes``: what else is to be known of the runs, as JSON can hold it.
    """
    known = {_IDENTITY: identity, _SEAL: _OPEN} | ({_NOTES: json.dumps(notes)} if notes else {})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(known), buffer, **_encoding(table.schema))
    content = buffer.getvalue()
    write_atomically(path, content.replace(_OPEN, _digest(content)))


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    if not schema.equals(RUNS):
        return {"compression": "zstd"}
    repeating = [name for name in _REPEATING if name not in _NOISY]
    return {
        "compression": "zstd",
        "compression_level": _LEVEL,
        "use_dictionary": repeating,
        "use_byte_stream_split": _NOISY,
    }


def read_chunk(path: Path, identity: str, schema: pa.Schema = RUNS) -> pa.Table | None:
    """The table stored under ``identity``, or None where there is none that can be trusted.

    A missing, damaged or foreign file is no error here: its chunk is simply trained again.
    """
    try:
        table = _read(path)
    except _UNREADABLE:
        return None
    stamp = (table.schema.metadata or {}).get(_IDENTITY, b"")
    return table if stamp == identity.encode() and table.schema.equals(schema) else None


def read_runs(path: Path) -> pd.DataFrame:
    """A file's table of runs; columns that came later are null.

    Raises ``StudyError`` where the file is missing, damaged or no table of runs.
    """
    return to_frame(read_table(path))


def read_table(path: Path) -> pa.Table:
    """As :func:`read_runs`, not yet in pandas."""
    try:
        table = completed(_read(path))
    except _UNREADABLE as problem:
        raise StudyError(f"{path.name}: cannot be read ({problem}); run its notebook again") from problem
    if not table.schema.equals(RUNS):
        raise StudyError(f"{path.name}: its columns are not those of a table of runs; run its notebook again")
    return table


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of a table of runs, fast: its seal is not checked. Raises ``StudyError`` where they are missing."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=list(names))
    except _UNREADABLE as problem:
        raise StudyError(f"{path.name}: cannot be read ({problem}); run its notebook again") from problem


def notes(schema: pa.Schema) -> dict[str, Any]:
    """What :func:`write_runs` noted beside a table of that schema."""
    return dict(json.loads((schema.metadata or {}).get(_NOTES, b"{}")))


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
