"""Modules run in processes of their own that do not outlive their starter.

``python -m warmup_study.running.supervised module ...`` is ``python -m module``, but not past its starter's end: the
starter holds the other end of standard input, which the system closes when it dies, however it dies.
"""

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from threading import Thread

from warmup_study.console import forgive_encodings

GRACE = 8.0  # seconds for an interrupted module to tidy up: papermill ends its kernel
RUNNING: set[subprocess.Popen[str]] = set()


def run(module: str, *arguments: str, settings: Mapping[str, str]) -> tuple[int, str]:
    """Run ``python -m module`` to its end, with ``settings`` in its environment: exit status and what it printed."""
    command = [sys.executable, "-m", __name__, module, *arguments]
    pipe, (lifeline, held) = subprocess.PIPE, os.pipe()
    with (
        open(held, "wb"),
        subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=lifeline,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        os.close(lifeline)
        RUNNING.add(process)
        output, errors = process.communicate()
        RUNNING.discard(process)
    return process.returncode, output + errors


def interrupt() -> None:
    """Interrupt all that run, and wait for their end.

    An interrupt reaches a process through here alone, once: papermill then ends its kernel, which it would leave behind
    when terminated, or when interrupted again while it cleans up.
    """
    for process in RUNNING.copy():
        process.send_signal(signal.SIGINT)
    for process in RUNNING.copy():
        process.wait()


def main() -> None:
    """Run the module named in the arguments."""
    forgive_encodings()
    Thread(target=_end_with_starter, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_starter() -> None:
    """Wait for the end of standard input; then interrupt this process, and end it if that was in vain."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
