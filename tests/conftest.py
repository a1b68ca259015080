"""What all tests share."""

import os

from hypothesis import settings

# One thread: the tests' networks are tiny, and results do not depend on how many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
# The same examples every time: what fails, fails for everybody. `make test-long` draws new ones.
settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")
