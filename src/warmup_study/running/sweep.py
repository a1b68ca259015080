"""Runs experiments: what is stored is reused, what is missing is trained, on this machine or on a Dask cluster.

Every chunk is stored as soon as it is finished, so whatever is finished survives an interrupted sweep. Starting points
that chunks need are trained and stored before them, once for all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from warmup_study.errors import StudyError
from warmup_study.running import dask_cluster, forecast, local, progress
from warmup_study.running.processes import side_by_side
from warmup_study.running.published import Published
from warmup_study.running.starts import as_chunk, missing_blocks
from warmup_study.running.store import Cache, Work
from warmup_study.training import stackable
from warmup_study.training.experiment import Chunk, Experiment
from warmup_study.training.pretraining import PretrainingBlock
from warmup_study.training.table import to_frame

WORTH_TIMING = 20_000  # updates of runs; fewer are too short to be worth a timing
WORTH_TELLING = 120.0  # seconds of training that are told beforehand


class Swept(NamedTuple):
    """The runs, one row each, and the seconds that training took now: 0 where all were stored already."""

    runs: pd.DataFrame
    seconds: float


def sweep(
    experiments: Sequence[Experiment], folder: Path, processes: int | None = None, scheduler: str = ""
) -> pd.DataFrame:
    """Every run of the experiments: :func:`timed_sweep` for those who need no time."""
    return timed_sweep(experiments, folder, processes, scheduler).runs


def timed_sweep(
    experiments: Sequence[Experiment],
    folder: Path,
    processes: int | None = None,
    scheduler: str = "",
    before: Callable[[], None] | None = None,
) -> Swept:
    """Every run of the experiments, trained now where neither ``folder`` nor the published tables hold it yet.

    ``processes`` train side by side (default: `side_by_side`; 0: none but this one), or the workers of the Dask
    ``scheduler`` at that address; the result depends on neither. ``before`` is called before anything is trained, and
    only then. Raises ``StudyError`` in one line where a chunk cannot be trained or stored, or a worker or the scheduler
    dies; all chunks finished by then stay stored.
    """
    cache, published = Cache(folder), Published.of_project()
    chunks = [chunk for experiment in experiments for chunk in experiment.chunks()]
    found = {chunk.id: _stored(chunk, cache, published) for chunk in chunks}
    missing = list({chunk.id: chunk for chunk in chunks if found[chunk.id] is None}.values())
    seconds = 0.0
    if missing:
        processes = side_by_side() if processes is None else processes
        blocks = missing_blocks(missing, cache)
        _announce(chunks, missing, blocks, published, folder, 0 if scheduler else max(1, processes))
        if before:
            before()
        seconds = _train([*blocks, *missing], cache, processes, scheduler)
        found |= {chunk.id: _trained(chunk, cache) for chunk in missing}
    elif scheduler:
        dask_cluster.try_unused(scheduler)
    return Swept(to_frame(pa.concat_tables([found[chunk.id] for chunk in chunks])), seconds)


def _stored(chunk: Chunk, cache: Cache, published: Published) -> pa.Table | None:
    table = cache.get(chunk)
    return published.get(chunk) if table is None else table


def _announce(
    chunks: Sequence[Chunk],
    missing: Sequence[Chunk],
    blocks: Sequence[PretrainingBlock],
    published: Published,
    folder: Path,
    processes: int,
) -> None:
    """Say why published runs do not serve, and how long training will take where that is long.

    ``missing`` chunks take the starting points of the ``blocks``, which come on top. ``processes``: how many train side
    by side; 0 where that is a cluster's to say.
    """
    if remark := published.remark(missing):
        print(remark)
    ahead = [*missing, *map(as_chunk, blocks)]
    if sum(chunk.cost for chunk in ahead) < WORTH_TIMING:
        return
    seconds = forecast.seconds(ahead, folder) / max(1, processes)
    if seconds > WORTH_TELLING:
        runs, lacking = (sum(len(chunk.runs) for chunk in some) for some in (chunks, missing))
        where = "on 1 core" if processes == 1 else f"on {processes} cores" if processes else "for a single core"
        needed = f"about {_hours(seconds)} of training {where}, within a factor of two"
        progress.note(needed)
        stored = f"{runs:,} runs, of which {runs - lacking:,} are stored"
        print(f"{needed}, estimated from a brief timing: {stored}", flush=True)


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _train(work: Sequence[Work], cache: Cache, processes: int, scheduler: str) -> float:
    """Train and store chunks, and before them starting points, dearest first; returns the seconds it took.

    Says in one line what was done. A task whose runs cannot be stacked is named before, with what that costs.
    """
    for task in dict.fromkeys(piece.task for piece in work):
        _remark_once(task)
    started = time.perf_counter()
    ordered = sorted(work, key=lambda piece: -piece.cost)
    progress.follow(_finished(ordered, cache, processes, scheduler), len(ordered))
    seconds = time.perf_counter() - started
    print(f"trained {_amount(ordered)} in {seconds:.0f} s")
    return seconds


def _amount(work: Sequence[Work]) -> str:
    runs = sum(len(piece.runs) for piece in work if isinstance(piece, Chunk))
    points = sum(len(piece.seeds) for piece in work if isinstance(piece, PretrainingBlock))
    return f"{runs:,} runs" + (f" and {points:,} starting points" if points else "")


@cache
def _remark_once(task: str) -> None:
    if remark := stackable.remark(task):
        print(remark)


def _finished(work: Sequence[Work], cache: Cache, processes: int, scheduler: str) -> Iterator[None]:
    """Yields once for each piece of work as it is stored."""
    if scheduler:
        return dask_cluster.finished(work, cache, scheduler)
    return local.finished(work, cache, min(processes, len(work)))


def _trained(chunk: Chunk, cache: Cache) -> pa.Table:
    table = cache.get(chunk)
    if table is None:
        raise StudyError("a trained chunk cannot be read back: the code or the disk changed in the meantime; run again")
    return table
