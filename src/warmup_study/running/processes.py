"""How many processes train side by side on this machine, and what their environment needs."""

import os

from warmup_study.errors import StudyError

PROCESSES = "WARMUP_STUDY_PROCESSES"  # environment variable: how many processes train side by side
KEEPING_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""For the environment of a process that trains: glibc then keeps what was freed for the next update.

Otherwise it gives large blocks back to the system and gets them again empty, page by page: a third of the time of six
Transformer blocks. Other C libraries ignore these names.
"""


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side() -> int:
    """How many processes train beside this one: `PROCESSES` of the environment, else one per core.

    0, none but this one, where that would be a single one: this one has loaded torch already. Raises ``StudyError``
    where the environment names no whole number from 1 on.
    """
    given = os.environ.get(PROCESSES, "")
    if given and not (given.isdecimal() and int(given)):
        raise StudyError(f"{PROCESSES}: got {given!r}; takes a whole number of at least 1")
    count = int(given or available_cores())
    return count if count > 1 else 0
