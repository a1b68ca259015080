"""How the processor works while a run is trained: the same wherever and beside whatever that is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def steady() -> Iterator[None]:
    """Within: one thread, so that bits do not depend on the machine's cores; no denormals, which are slow on CPUs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
