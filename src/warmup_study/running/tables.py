"""The tables of runs in a results folder, which together hold each run once.

The runs of a part that several chapters share lie in tables of its own, one a task, so that a finished task can be
kept; a chapter's file holds its other runs and names all its chunks in order. Whoever reads a chapter gets all of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from warmup_study.errors import StudyError
from warmup_study.files import file_name, locked
from warmup_study.paths import CHAPTERS
from warmup_study.running import store
from warmup_study.running.store import Cache
from warmup_study.statistics.endpoints import steps_to_share
from warmup_study.training.code_hash import training_code
from warmup_study.training.experiment import Chunk
from warmup_study.training.table import RUNS, from_frame, to_frame

SHARED: Mapping[str, str] = {"core": "core_grid"}
"""Parts that several chapters train, and what the files of their runs are called: ``core_grid-digits-mlp.parquet``."""

TARGET = 0.25  # share of the loss at initialisation that counts as trained, for steps_to_target
_DEFINED = ("part", "task", "arm", "grid_lr", "seed", "updates", "batch")
_ADDED = "steps_to_target"  # here, not by training


class Segment(NamedTuple):
    """Rows of a table that were trained in one chunk."""

    chunk: str
    start: int
    length: int


def path(folder: Path, notebook: str) -> Path:
    """Where a chapter's own runs lie; the file exists once the chapter has run."""
    return folder / f"{notebook}.parquet"


def stored(folder: Path) -> list[str]:
    """The chapters that have run, in reading order."""
    return [name for name in CHAPTERS if path(folder, name).exists()]


def read(folder: Path, notebook: str) -> pd.DataFrame:
    """All runs of a chapter, in the order of its experiments, those that it shares among them.

    Raises ``StudyError`` where a file is missing, damaged or no table of runs, or runs that it names are missing.
    """
    own = store.read_table(path(folder, notebook))
    known = store.notes(own.schema)
    if "chunks" not in known:
        return to_frame(own)
    tables = [own, *(store.read_table(folder / f"{name}.parquet") for name in known["shared"])]
    found = {
        segment.chunk: table.slice(*segment[1:]) for table in tables for segment in segments(table["chunk"].to_pylist())
    }
    if lacking := set(known["chunks"]) - set(found):
        files = ", ".join(f"{name}.parquet" for name in (notebook, *known["shared"]))
        raise StudyError(f"{notebook}: {len(lacking)} of its chunks are missing from {files}; run its notebook again")
    return to_frame(pa.concat_tables([found[chunk] for chunk in known["chunks"]]))


def write(folder: Path, notebook: str, runs: pd.DataFrame, cache: Cache) -> pd.DataFrame:
    """Store all runs of a chapter as they were swept, and return them with ``steps_to_target``.

    Files that hold these runs already stay as they are. Finished work that the chapter's file held and holds no longer,
    because other parameters were asked for, goes into the cache.
    """
    chunks = _chunks(runs)
    held = _as_stored(folder, notebook, chunks)
    if held is not None and len(held) == len(runs):
        return held
    runs = _completed(runs)
    mine = ~runs["part"].isin(SHARED)
    named = _share(folder, runs[~mine])
    _keep_what_leaves(path(folder, notebook), chunks, cache)
    codes = {task: code_of(task) for task in sorted(set(runs["task"]))}
    notes = {"code": codes} | ({"shared": named, "chunks": chunks} if named else {})
    store.write_runs(path(folder, notebook), from_frame(runs[mine]), notes=notes)
    return runs


def share(folder: Path, runs: pd.DataFrame) -> list[str]:
    """Add runs of shared parts, as they were swept, to the tables of their tasks; returns those files' names.

    The names are without their ending. Chunks that a file holds stay, unless another version of the training code made
    them.
    """
    return _share(folder, _completed(runs))


def _share(folder: Path, runs: pd.DataFrame) -> list[str]:
    named = []
    for (part, task), rows in runs.groupby(["part", "task"]):
        named.append(f"{SHARED[str(part)]}-{file_name(str(task))}")
        with locked(folder):
            _merge(folder / f"{named[-1]}.parquet", from_frame(rows), {str(task): code_of(str(task))})
    return named


def segments(chunks: Iterable[str | None]) -> Iterator[Segment]:
    """The stretches of rows of one chunk each, from a table's column of chunk ids; rows without an id are left out."""
    start = 0
    for chunk, rows in groupby(chunks):
        length = sum(1 for _ in rows)
        if chunk is not None:
            yield Segment(chunk, start, length)
        start += length


def as_trained(rows: pa.Table) -> pa.Table:
    """Rows of a table as training left them."""
    place = RUNS.get_field_index(_ADDED)
    return rows.set_column(place, RUNS.field(_ADDED), pa.nulls(len(rows), RUNS.field(_ADDED).type))


def are_of(chunk: Chunk, rows: pa.Table) -> bool:
    """Whether the rows are the chunk's runs, all of them, in its order; their ids may be another version's."""
    found = list(zip(*(rows[name].to_pylist() for name in _DEFINED), strict=True))
    defined = [
        (chunk.part, chunk.task, run.arm.label, run.grid_lr, run.seed, chunk.updates, chunk.batch) for run in chunk.runs
    ]
    return found == defined


def made_by(table: pa.Table) -> dict[str, str]:
    """By task, what stands for the version of the training code that made a file's runs."""
    return dict(store.notes(table.schema).get("code", {}))


def code_of(task: str) -> str:
    """What stands for the training code as it is now."""
    return training_code(task)[:20]


def _chunks(runs: pd.DataFrame) -> list[str]:
    return [segment.chunk for segment in segments(runs["chunk"])]


def _as_stored(folder: Path, notebook: str, chunks: list[str]) -> pd.DataFrame | None:
    """The chapter as its files hold it; None unless they hold these chunks, in that order, and no others."""
    try:
        held = read(folder, notebook)
    except StudyError:  # missing, of an older study, or damaged
        return None
    return held if _chunks(held) == chunks else None


def _completed(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(**{_ADDED: steps_to_share(runs, TARGET)})


def _by_chunk(table: pa.Table) -> dict[str, pa.Table]:
    return {segment.chunk: table.slice(*segment[1:]) for segment in segments(table["chunk"].to_pylist())}


def _merge(place: Path, rows: pa.Table, codes: Mapping[str, str]) -> None:
    """Write the rows, and those of other chunks that the file holds and this code made, in an order of their own."""
    held = _current(place)
    found, kept = _by_chunk(rows), _by_chunk(held) if held is not None else {}
    if set(found) <= set(kept):
        return
    found = kept | found
    ordered = [found[chunk] for chunk in sorted(found, key=lambda chunk: _order(chunk, found[chunk]))]
    table = pa.concat_tables(ordered).cast(RUNS).combine_chunks()  # or bytes would tell which chunks came from a file
    store.write_runs(place, table, notes={"code": codes})


def _order(chunk: str, rows: pa.Table) -> tuple[str, float, int, str]:
    """The same in whatever order chunks were added."""
    arm, lr, seed = (rows[name][0].as_py() for name in ("arm", "grid_lr", "seed"))
    return arm, lr, seed, chunk


def _current(place: Path) -> pa.Table | None:
    """The rows of the file that the training code, as it is now, has made; None where there are none."""
    try:
        table = store.read_table(place)
    except StudyError:  # missing, of an older study, or damaged: there is nothing to keep
        return None
    current = [task for task, code in made_by(table).items() if code == code_of(task)]
    return table.filter(pc.is_in(table["task"], pa.array(current, pa.string())))


def _keep_what_leaves(place: Path, staying: Iterable[str], cache: Cache) -> None:
    held, stay = _current(place), set(staying)
    for chunk, rows in _by_chunk(held).items() if held is not None else ():
        if chunk not in stay:
            cache.keep(chunk, as_trained(rows))
