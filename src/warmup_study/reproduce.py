"""Trains a part of a finished study anew, chosen by chance, and holds it against the stored tables of runs."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from warmup_study import chapters
from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.running import local, tables
from warmup_study.running.processes import side_by_side
from warmup_study.running.starts import missing_blocks
from warmup_study.running.store import Cache, Work
from warmup_study.training.experiment import Chunk
from warmup_study.training.table import from_frame, to_frame

# What holds on another kind of machine: the share of runs that end alike, the median |log ratio| of test losses, and
# the median distance, in updates, of the steps at which a run diverged.
SAME_END, CLOSE, STEPS = 0.95, 0.01, 1.0
_NOT_TRAINED = ["steps_to_target", "chunk"]  # the chapter adds the one; the other names the code that trained


@dataclass(frozen=True)
class Comparison:
    """One chapter's stored runs beside the same runs trained now.

    ``equal`` runs are equal in every bit; ``same_end`` ended alike (finite, or diverged); ``deviation`` is the median
    \\|ln(loss now / loss stored)\\| of the test losses that are finite in both, ``step_gap`` the median distance in
    updates between the steps at which runs diverged in both.
    """

    notebook: str
    chunks: int
    runs: int
    equal: int
    same_end: int
    deviation: float
    step_gap: float

    @property
    def holds(self) -> bool:
        """Whether the chapter was reproduced: to the bit, or within what rounding on another machine explains."""
        alike = self.same_end >= SAME_END * self.runs
        return self.equal == self.runs or (alike and self.deviation <= CLOSE and self.step_gap <= STEPS)


def reproduce(folders: Folders, share: float, seed: int, processes: int | None = None) -> Iterator[Comparison]:
    """Compare that share of each chapter's chunks, at least one, chosen by ``seed``; chapters not run are left out.

    Raises ``StudyError`` where a table of runs is damaged or of another design than this code's.
    """
    present = tables.stored(folders.results)
    if not present:
        raise StudyError(f"reproduce: no chapter of preset {folders.preset} has run in {folders.results}")
    for name in present:
        yield _compare(name, folders, share, seed, side_by_side() if processes is None else processes)


def _compare(name: str, folders: Folders, share: float, seed: int, processes: int) -> Comparison:
    pairs = _chosen(name, folders, share, seed)
    stored = pa.concat_tables([rows for _, rows in pairs])
    trained = _trained([chunk for chunk, _ in pairs], processes)
    old, new = (to_frame(table) for table in (stored, trained))
    equal = sum(before == now for before, now in zip(_lines(old), _lines(new), strict=True))
    same_end = int((old["status"] == new["status"]).sum())
    return Comparison(name, len(pairs), len(old), equal, same_end, _deviation(old, new), _step_gap(old, new))


def _chosen(name: str, folders: Folders, share: float, seed: int) -> list[tuple[Chunk, pa.Table]]:
    """Chunks drawn by chance, each with its rows of the stored table.

    They are found by place, not by id: an id stands for the code that trained, and what another version trained must
    come out the same, too.
    """
    table = from_frame(tables.read(folders.results, name))
    opened = chapters.open_chapter(name, {"preset": folders.preset})
    chunks = [chunk for experiment in opened.experiments for chunk in experiment.chunks()]
    starts = np.cumsum([0, *(len(chunk.runs) for chunk in chunks)])
    if starts[-1] != len(table):
        raise StudyError(f"{name}.parquet: has {len(table)} runs, the preset's design {starts[-1]}: it is another's")
    picked = np.random.default_rng(seed).permutation(len(chunks))[: max(1, round(share * len(chunks)))]
    pairs = [(chunks[k], table.slice(starts[k], len(chunks[k].runs))) for k in sorted(picked)]
    if not all(tables.are_of(*pair) for pair in pairs):
        raise StudyError(f"{name}.parquet: its runs are not those of the preset's design: it is another's")
    return pairs


def _trained(chunks: list[Chunk], processes: int) -> pa.Table:
    """The chunks trained now, whatever the study's own cache may hold."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        work: list[Work] = [*missing_blocks(chunks, cache), *chunks]
        for _ in local.finished(work, cache, min(processes, len(work))):
            pass
        return pa.concat_tables([table for chunk in chunks if (table := cache.get(chunk)) is not None])


def _lines(runs: pd.DataFrame) -> list[str]:
    """Each run as text that tells apart any two floats and holds one nan equal to another."""
    return [repr(row) for row in from_frame(runs).drop_columns(_NOT_TRAINED).to_pylist()]


def _deviation(old: pd.DataFrame, new: pd.DataFrame) -> float:
    return _median_gap(*(np.log(runs["test_loss"].where(runs["status"] == "ok")) for runs in (old, new)))


def _step_gap(old: pd.DataFrame, new: pd.DataFrame) -> float:
    return _median_gap(old["diverged_at"], new["diverged_at"])


def _median_gap(old: pd.Series, new: pd.Series) -> float:
    """Median distance of the rows that have a number in both; 0 where there are none."""
    gaps = (new.astype(float) - old.astype(float)).abs().dropna()
    return float(gaps.median()) if len(gaps) else 0.0
