"""Progress of a sweep: a bar in interactive use, else a line now and then, and a file for the batch run."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from IPython import get_ipython
from tqdm.auto import tqdm

from warmup_study.files import write_atomically

FILE = "WARMUP_STUDY_PROGRESS"  # environment variable: the file in which the batch run looks for a notebook's progress
SELDOM = 20.0  # seconds between two lines that tell how far a batch run has come
OFTEN = 1.0  # seconds between two notes in the file
TERMINAL = sys.stdout.isatty()
CLEAR = "\r\x1b[K" if TERMINAL else ""  # back to the start of the line, which is emptied


def follow(finished: Iterator[None], total: int) -> None:
    """Wait for all of them, and report how many are done."""
    with tqdm(total=total, desc="training", unit="chunk", disable=not watched(), leave=False) as bar:
        started = told = noted = time.perf_counter()
        for done, _ in enumerate(finished, start=1):
            bar.update()
            now = time.perf_counter()
            left = f"{done} of {total} chunks trained, about {(now - started) / done * (total - done):.0f} s left"
            if now - noted > OFTEN:
                noted = now
                note(left)
            if bar.disable and now - told > SELDOM and done < total:
                told = now
                print(left, flush=True)
    note("")


def note(text: str) -> None:
    """Write into the batch run's file, where there is one, what this notebook is doing."""
    if path := os.environ.get(FILE, ""):
        write_atomically(Path(path), text)


def watched() -> bool:
    """Whether the run is interactive: a terminal, or a notebook in JupyterLab or VS Code; not a batch run."""
    shell = get_ipython()
    by_vs_code = shell is not None and "__vsc_ipynb_file__" in shell.user_ns
    return sys.stderr.isatty() or by_vs_code or bool({"JPY_SESSION_NAME", "VSCODE_PID"} & set(os.environ))


@contextmanager
def told(started: Mapping[str, float], notes: Path, ended: Callable[[], str]) -> Iterator[None]:
    """Meanwhile tell how far the notebooks are that run side by side: on one line in a terminal, else now and then.

    ``started`` holds by name when each of those began that run now; ``notes`` is the folder of what they note, and
    ``ended`` tells how many of how many have ended.
    """
    over = Event()
    teller = Thread(target=_tell, args=(started, notes, ended, over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        print(CLEAR, end="", flush=True)


def _tell(started: Mapping[str, float], notes: Path, ended: Callable[[], str], over: Event) -> None:
    while not over.wait(0.5 if TERMINAL else SELDOM):
        running = "; ".join(f"{name}: {_noted(notes / name, start)}" for name, start in dict(started).items())
        line = f"{ended():8}{running}"
        if running and TERMINAL:
            print(f"{CLEAR}{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        elif running:
            print(line, flush=True)


def _noted(note: Path, start: float) -> str:
    """What a notebook noted, or for how long it has been running."""
    with contextlib.suppress(OSError):
        if text := note.read_text(encoding="utf-8"):
            return text
    return f"{time.monotonic() - start:.0f} s"
