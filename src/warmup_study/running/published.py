"""The published tables of runs as a read-only store: runs in them need not be trained again."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from warmup_study.errors import StudyError
from warmup_study.paths import Folders, published_root
from warmup_study.running import store, tables
from warmup_study.running.tables import Segment
from warmup_study.training.experiment import Chunk

OPEN = 4  # tables held in memory at a time; chunks are asked for task by task


class _File(NamedTuple):
    """A file as it was at one moment."""

    path: Path
    changed: int
    size: int


@dataclass(frozen=True)
class Published:
    """All tables of runs in a folder, chapters' and shared ones, by the ids of their chunks."""

    folder: Path

    @classmethod
    def of_project(cls) -> "Published":
        """Those of the project, wherever its results are written."""
        return cls(Folders(published_root(), "full").results)

    def get(self, chunk: Chunk) -> pa.Table | None:
        """The chunk's runs as training left them; None unless every one of them is there."""
        if chunk.id not in self._places:
            return None
        file, segment = self._places[chunk.id]
        table = _sealed(file)
        rows = table.slice(*segment[1:]) if table is not None else None
        return tables.as_trained(rows) if rows is not None and tables.are_of(chunk, rows) else None

    def remark(self, missing: Sequence[Chunk]) -> str:
        """One line where the same seeds of the same tasks are published, trained by another version; else empty."""
        asked: dict[str, set[int]] = {}
        for chunk in missing:
            asked.setdefault(chunk.task, set()).update(chunk.seeds)
        outdated = [task for task, seeds in asked.items() if seeds & self._seeds_by_other_code(task)]
        if not outdated:
            return ""
        return (
            f"the published runs on {', '.join(outdated)} come from another version of the training code: "
            "they will be retrained"
        )

    @cached_property
    def _files(self) -> list[_File]:
        states = [(path, path.stat()) for path in sorted(self.folder.glob("*.parquet"))]
        return [_File(path, state.st_mtime_ns, state.st_size) for path, state in states]

    @cached_property
    def _places(self) -> dict[str, tuple[_File, Segment]]:
        return {segment.chunk: (file, segment) for file in self._files for segment in _index(file)}

    def _seeds_by_other_code(self, task: str) -> set[int]:
        code = tables.code_of(task)
        found = [_seeds(file).get(task, ("", frozenset())) for file in self._files]
        return {seed for made_by, seeds in found if made_by != code for seed in seeds}


@lru_cache
def _index(file: _File) -> list[Segment]:
    """The chunks of a file. One that cannot be read holds none."""
    try:
        return list(tables.segments(store.read_columns(file.path, ["chunk"])["chunk"].to_pylist()))
    except StudyError as problem:
        print(f"{problem}; ignored until then")
        return []


@lru_cache
def _seeds(file: _File) -> dict[str, tuple[str, frozenset[int]]]:
    """By task, the version of the training code that a file's runs were made by, and their seeds."""
    try:
        table = store.read_columns(file.path, ["task", "seed"])
    except StudyError:  # _index has said so
        return {}
    seeds: dict[str, set[int]] = {}
    for row in table.group_by(["task", "seed"]).aggregate([]).to_pylist():
        seeds.setdefault(row["task"], set()).add(row["seed"])
    code = tables.made_by(table)
    return {task: (code.get(task, ""), frozenset(found)) for task, found in seeds.items()}


@lru_cache(maxsize=OPEN)
def _sealed(file: _File) -> pa.Table | None:
    """A file's runs, None where a bit of it is not as it was written."""
    try:
        return store.read_table(file.path)
    except StudyError as problem:
        print(f"{problem}; until then its runs are retrained")
        return None
