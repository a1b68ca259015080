"""Training in worker processes on this machine, one chunk at a time in each.

A worker stores what it has trained itself. Ctrl-C ends all of them at once, and none outlives the process it works for.
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from multiprocessing import active_children, get_context, parent_process
from threading import Thread

import pyarrow as pa

from warmup_study.errors import StudyError
from warmup_study.running.processes import KEEPING_MEMORY
from warmup_study.running.starts import in_waves, stored_for
from warmup_study.running.store import Cache, Work
from warmup_study.training.pretraining import PretrainingBlock, pretrained
from warmup_study.training.trainer import train_chunk


def finished(chunks: Sequence[Work], cache: Cache, processes: int) -> Iterator[None]:
    """Train and store the chunks in so many processes (0: in this one); yields once for each as it is stored.

    Starting points among them come first, as chunks begin there. Raises ``StudyError`` where a chunk cannot be trained
    or stored, or a process dies.
    """
    if processes == 0:
        for chunk in chain(*in_waves(chunks)):
            train_and_store(chunk, cache)
            yield
        return
    with _team(processes) as pool:
        for wave in in_waves(chunks):
            yield from _finished_by(pool, wave, cache)


def _finished_by(pool: ProcessPoolExecutor, chunks: Sequence[Work], cache: Cache) -> Iterator[None]:
    try:
        with _interrupts_held_back(), _environment(KEEPING_MEMORY):
            futures = [pool.submit(train_and_store, chunk, cache) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as problem:
        raise StudyError(
            "a training process died (out of memory, or killed); run again: finished work is kept"
        ) from problem
    except StudyError as problem:
        raise StudyError(str(problem)) from None  # without the worker's traceback


@contextmanager
def _team(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes; after an error or an interrupt they are ended at once, in the middle of their work."""
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow_driver)
    try:
        yield pool
    except BaseException:
        for worker in set(active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Workers started within never see Ctrl-C, which a terminal sends to all: the driver alone decides.

    A process inherits which signals are blocked; an interrupt that comes meanwhile arrives afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Settings that processes started within inherit, where the user has none of the same name."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _follow_driver() -> None:
    """In a worker: end when the driver has died, which an idle worker would not notice."""
    Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    driver = parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def train_and_store(work: Work, cache: Cache) -> None:
    """One piece of work, stored in the cache."""
    cache.put(work, train_safely(work, stored_for(work, cache)))


def train_safely(work: Work, stored: Mapping[str, pa.Table]) -> pa.Table:
    """The chunk's runs, which begin at starting points that are stored, or the block's starting points.

    Whatever goes wrong, in a user's own task too, is a ``StudyError`` that names the task.
    """
    try:
        return pretrained(work) if isinstance(work, PretrainingBlock) else train_chunk(work, stored)
    except StudyError:
        raise
    except (Exception, SystemExit) as problem:
        raise StudyError(f"task {work.task!r} cannot be trained: {type(problem).__name__}: {problem}") from problem
