"""What all tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# One thread: the tests' networks are tiny, and results do not depend on how many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
# The same examples every time: what fails, fails for everybody. `make test-long` draws new ones.
settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")


@pytest.fixture
def published_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """A function that makes a folder's full run the published one."""

    def use(root: Path) -> None:
        monkeypatch.setenv("WARMUP_STUDY_ROOT", str(root))
        monkeypatch.setattr("warmup_study.paths.checkout", lambda: root)

    return use
