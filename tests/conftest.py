"""What all tests share."""

import os

# One thread: the tests' networks are tiny, and results do not depend on how many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
