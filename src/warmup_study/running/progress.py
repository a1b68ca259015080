"""How far a sweep has come: a bar where somebody looks on, else a line now and then, and a file for the batch run."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from IPython import get_ipython
from tqdm.auto import tqdm

from warmup_study.files import write_atomically

FILE = "WARMUP_STUDY_PROGRESS"  # environment variable: the file in which the batch run looks for a notebook's progress
SELDOM = 20.0  # seconds between two lines that tell how far a batch run has come
OFTEN = 1.0  # seconds between two notes in the file


def follow(finished: Iterator[None], total: int) -> None:
    """Wait for all of them, and tell how many are done."""
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
    """Whether somebody looks on: a terminal, or a notebook opened in JupyterLab or VS Code; not a batch run."""
    shell = get_ipython()
    by_vs_code = shell is not None and "__vsc_ipynb_file__" in shell.user_ns
    return sys.stderr.isatty() or by_vs_code or bool({"JPY_SESSION_NAME", "VSCODE_PID"} & set(os.environ))
