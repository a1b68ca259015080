"""``python -m warmup_study.running.supervised module ...``: as ``python -m module``, but not past its starter's end.

The starter holds the other end of standard input, which the system closes when it dies, however it dies.
"""

import os
import runpy
import signal
import sys
import time
from threading import Thread

from warmup_study.console import forgive_encodings

GRACE = 8.0  # seconds for an interrupted module to tidy up: papermill ends its kernel


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
