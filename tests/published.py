"""The published results, for the tests that hold the project to them once there are any."""

import pytest

from warmup_study.paths import Folders, project_root

ROOT = project_root()
PUBLISHED = Folders(ROOT, "full")


def published() -> bool:
    """Whether the full run has ended: its page is built last."""
    return PUBLISHED.report.exists()


needs_published = pytest.mark.skipif(not published(), reason="the full run is not published yet")
