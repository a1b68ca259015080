"""What a reader's own commands write is passed over by git, so that a clone stays clean; what is published is not."""

import subprocess
from pathlib import Path

import pytest

from warmup_study.bench.__main__ import FILE, KEPT
from warmup_study.paths import BATCH, NOTEBOOKS, PRESETS, Folders, project_root

ROOT = project_root()
IN_GIT = subprocess.run(["git", "-C", str(ROOT), "rev-parse"], capture_output=True).returncode == 0
pytestmark = pytest.mark.skipif(not IN_GIT, reason="an archive without git's records")


def written(folders: Folders) -> list[Path]:
    """Files of a run: its tables, verdicts, figures and page, and the executed notebooks."""
    own = [folders.results / name for name in ("verdicts.json", "provenance.json", "core_grid-digits-mlp.parquet")]
    tables = [folders.results / f"{name}.parquet" for name in NOTEBOOKS]
    figures = [folders.figures / f"{name}-drawn.{kind}" for name in NOTEBOOKS for kind in ("svg", "json", "csv")]
    return [*own, *tables, *figures, folders.report]


def aside(folders: Folders) -> list[Path]:
    """What a run leaves that is never published."""
    executed = [folders.executed / f"{name}.ipynb" for name in BATCH]
    network = [folders.executed / "your_network-my_task-wine.ipynb", ROOT / "report" / "your_network-my_task-wine.html"]
    return [*executed, *network, folders.cache / "0f.parquet", ROOT / "figures" / "lab" / "lab-sgd.svg"]


def ignored(paths: list[Path]) -> set[Path]:
    """Those of the paths that git passes over."""
    names = "\n".join(str(path.relative_to(ROOT)) for path in paths)
    command = ["git", "-C", str(ROOT), "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, input=names, capture_output=True, text=True)
    return {ROOT / line for line in done.stdout.splitlines()}


@pytest.mark.parametrize("preset", PRESETS[:-1])
def test_own_runs_and_own_networks_leave_the_tree_clean(preset: str) -> None:
    folders = Folders(ROOT, preset)
    paths = [*written(folders), *aside(folders)]
    assert not set(paths) - ignored(paths)


def test_the_published_run_is_kept_and_what_it_leaves_aside_is_not() -> None:
    folders = Folders(ROOT, PRESETS[-1])
    kept = [*written(folders), folders.results.parent / "bench.json", folders.results.parent / "pilot.parquet"]
    assert not ignored(kept)
    assert not set(aside(folders)) - ignored(aside(folders))


def test_a_benchmark_leaves_the_tree_clean() -> None:
    paths = [ROOT / KEPT / name for name in (FILE, "speed.svg", "speed.json", "speed.csv")]
    assert ignored(paths) == set(paths)
