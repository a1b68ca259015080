"""Training on a Dask cluster, reached by its scheduler's address: the same chunks, the same rows.

Workers need this package and, for a task of the user's own, its module. They share no disk with this process: they send
tables back, and it stores them. The scheduler needs Dask alone.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from warmup_study.errors import StudyError
from warmup_study.running.local import train_safely
from warmup_study.running.starts import in_waves, stored_for
from warmup_study.running.store import Cache, Work

PATIENCE = "10s"  # for the scheduler to answer
AHEAD, LEAST = 3, 64  # chunks under way: so many to each thread of the cluster, and no fewer than that in all
MESSAGE = 1000  # chunks sent at once: some megabytes
GLANCE = 10.0  # seconds without a result after which to see whether there are workers at all

_WORK: TypeAdapter[Work] = TypeAdapter(Work)
_ALONE = (
    Lock()
)  # torch's seed and threads belong to the whole process: a worker with threads trains one chunk at a time


def finished(chunks: Sequence[Work], cache: Cache, address: str) -> Generator[None]:
    """Train the chunks on the cluster and store them here; yields once for each as it is stored.

    Starting points among them come first, as they travel with the chunks that begin there.
    Raises ``StudyError`` where no scheduler answers or it is lost, a worker's code differs, or a chunk cannot be
    trained. A worker that dies costs its chunks' time only: Dask gives them to others. Closed early, by Ctrl-C too,
    this takes back whatever has not begun.
    """
    with _quiet(), connect(address) as client:
        try:
            for wave in in_waves(chunks):
                for chunk, table in _trained(client, wave, cache):
                    cache.put(chunk, table)
                    yield
        except StudyError as problem:
            raise StudyError(str(problem)) from None  # without the worker's traceback
        except (OSError, CancelledError):
            raise StudyError(f"scheduler: lost the connection to {address}; run again: finished work is kept") from None
        except Exception as problem:
            reason = f"{type(problem).__name__}: {problem}"
            raise StudyError(
                f"scheduler: work at {address} stopped ({reason}); run again: finished work is kept"
            ) from None


def _trained(client: Any, chunks: Sequence[Work], cache: Cache) -> Iterator[tuple[Work, pa.Table]]:
    """Every chunk with its table, as they come.

    Few are under way at a time, and each is given up as its table arrives, so that neither the scheduler nor the
    workers fill up with them.
    """
    waiting = iter({chunk.id: chunk for chunk in chunks}.values())
    under_way: dict[str, tuple[Work, Any]] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    room = LEAST
    while True:
        if len(under_way) <= room // 2:
            room = max(LEAST, AHEAD * sum(client.nthreads().values()))
            batch = list(islice(waiting, room - len(under_way)))
            for chunk, future in zip(batch, _submit(client, batch, cache), strict=True):
                under_way[future.key] = chunk, future
                future.add_done_callback(ended.put)
        if not under_way:
            return
        done = [under_way.pop(future.key) for future in _await_some(client, ended)]
        good = [(chunk, future) for chunk, future in done if future.status not in ("error", "cancelled")]
        tables = client.gather([future for _, future in good])
        yield from zip((chunk for chunk, _ in good), tables, strict=True)
        for chunk, future in done:
            if future.status in ("error", "cancelled"):
                raise _problem(chunk, future)


def _submit(client: Any, batch: Sequence[Work], cache: Cache) -> list[Any]:
    """Futures of the chunks' tables. Chunks that another driver has asked for, too, are trained once for both.

    The starting points of its runs, some ten kilobytes each, travel with a chunk.
    """
    contents, ids = [chunk.model_dump_json() for chunk in batch], [chunk.id for chunk in batch]
    starts, keys = [stored_for(chunk, cache) for chunk in batch], [f"chunk-{name}" for name in ids]
    futures: list[Any] = client.map(_errand(), contents, ids, starts, key=keys, pure=False, batch_size=MESSAGE)
    return futures


def _errand() -> Callable[[str, str, dict[str, pa.Table]], pa.Table]:
    """What a worker does: a function inside another travels by value, and so arrives where the study is missing."""

    def errand(content: str, expected: str, stored: dict[str, pa.Table]) -> pa.Table:
        from warmup_study.running.dask_cluster import train

        return train(content, expected, stored)

    return errand


def train(content: str, expected: str, stored: dict[str, pa.Table]) -> pa.Table:
    """On a worker: a chunk or starting points written as JSON, if the code that trains here is the code that asked."""
    with _ALONE:
        try:
            work = _WORK.validate_json(content)
            known = work.id == expected
        except ValueError:  # there, chunks have other fields
            known = False
        except StudyError as problem:
            raise StudyError(f"on a worker: {problem}") from None
        if not known:
            raise StudyError("scheduler: a worker has another version of warmup_study or torch than this process")
        return train_safely(work, stored)


def _await_some(client: Any, ended: SimpleQueue[Any]) -> list[Any]:
    """The futures that have ended, at least one."""
    told = False
    while True:
        try:
            some = [ended.get(timeout=GLANCE)]
            while not ended.empty():
                some.append(ended.get())
            return some
        except Empty:
            if not told and not client.nthreads():
                told = True
                print(f"scheduler: the cluster at {client.scheduler.address} has no workers; waiting for some to join")


def _problem(chunk: Work, future: Any) -> Exception:
    """Why the chunk has no table, as an error to raise."""
    from distributed.scheduler import KilledWorker

    if future.status == "cancelled":
        return ConnectionError("the scheduler is gone")
    problem: Exception = future.exception()
    if isinstance(problem, KilledWorker):
        many = f"{problem.allowed_failures + 1} workers died trying (out of memory, or killed)"
        return StudyError(f"task {chunk.task!r} cannot be trained: {many}; run again: finished work is kept")
    if isinstance(problem, ImportError):
        return StudyError(f"scheduler: a worker lacks a package of the study ({problem}): install warmup-study there")
    return problem


def connect(address: str) -> Any:
    """A client of the scheduler. Raises ``StudyError`` where none answers there."""
    try:
        client = _distributed().Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise StudyError(f"scheduler: got {address!r}; no Dask scheduler answers there") from problem
    if max(client.nthreads().values(), default=1) > 1:
        print("scheduler: workers with several threads train one chunk at a time; start them with --nthreads 1")
    return client


def try_unused(address: str) -> None:
    """See that a scheduler answers although there is nothing to train, and say that it was not needed.

    Raises ``StudyError`` where none answers there: a wrong address must not pass for a right one.
    """
    with _quiet(), connect(address):
        print(f"scheduler: everything is stored already; {address} had nothing to train")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's log of a lost connection, which would bury the one line that says so."""
    _distributed()  # sets its levels when it is imported
    levels = {log: log.level for log in map(logging.getLogger, ("distributed", "distributed.client"))}
    for log in levels:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as problem:
        raise StudyError("scheduler: needs the extra `cluster`: pip install warmup-study[cluster]") from problem
    return distributed
