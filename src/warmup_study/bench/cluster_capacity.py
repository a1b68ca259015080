"""How many cores one driver and one Dask scheduler keep busy: ``python -m warmup_study.bench.cluster_capacity tcp://host:port``."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmup_study.chapters import checked_parameters, open_chapter
from warmup_study.errors import StudyError
from warmup_study.paths import CHAPTERS
from warmup_study.running.local import train_safely
from warmup_study.running.store import Cache
from warmup_study.training.experiment import Chunk

TASKS, STORED = 2000, 100  # how many of each are timed


def main(arguments: list[str]) -> int:
    """Measure on the chunk that the first chapter's full run has most of, and print a line a figure."""
    try:
        address = checked_parameters(CHAPTERS[0], {"scheduler": arguments[0] if arguments else ""}).scheduler
        if not address:
            raise StudyError("scheduler: takes its address, tcp://host:port, or the variable WARMUP_STUDY_SCHEDULER")
        _print(open_chapter(CHAPTERS[0], {"preset": "full"}).experiments[0].chunks()[0], address)
    except StudyError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _print(chunk: Chunk, address: str) -> None:
    from warmup_study.running.dask_cluster import connect

    train_safely(chunk, {})  # compiles
    started = time.process_time()
    table = train_safely(chunk, {})
    seconds = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        storing = _rate(lambda: list(map(cache.put, [chunk] * STORED, [table] * STORED)), STORED)
        stored = cache.path(chunk).stat().st_size
    with connect(address) as client:
        workers = len(client.nthreads())
        tasks = _rate(lambda: client.gather(client.map(_nothing(table.nbytes), range(TASKS), pure=False)), TASKS)
    print(f"chunk      {len(chunk.runs)} runs of {chunk.updates} updates on {chunk.task}: {seconds:.2f} s of one core")
    print(f"bytes      {len(chunk.model_dump_json()):,} out, {table.nbytes:,} back, {stored:,} stored")
    print(f"scheduler  {tasks:.0f} empty tasks/s, their results carried, with {workers} workers")
    print(f"driver     {storing:.0f} chunks/s encoded and stored")
    print(f"together   keep {min(tasks, storing):.0f} cores busy for each second that a chunk takes")


def _nothing(size: int) -> Callable[[int], bytes]:
    """A task that only sends so many bytes; one that travels by value, as the chunks' does."""
    return lambda _: bytes(size)


def _rate(work: Callable[[], Any], count: int) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
