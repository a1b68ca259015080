import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.running import provenance


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.of(str(tmp_path), "smoke")


def content(folders: Folders) -> dict[str, object]:
    found = json.loads((folders.results / "provenance.json").read_text())
    assert isinstance(found, dict)
    return found


def record(folders: Folders, notebook: str, seeds: Iterable[int], wall: float = 1.0, training: float = 0.5) -> None:
    provenance.record(folders, notebook, seeds, wall_seconds=wall, training_seconds=training)


def test_a_run_that_trains_nothing_keeps_the_seconds_of_the_one_that_did(folders: Folders) -> None:
    def seconds() -> list[float]:
        notebooks: Any = content(folders)["notebooks"]
        return [notebooks["report"][name] for name in ("wall_seconds", "training_seconds")]

    record(folders, "report", [1, 2], wall=90.0, training=80.0)
    record(folders, "report", [2, 1], wall=9.0, training=0.0)
    assert seconds() == [90.0, 80.0]
    record(folders, "report", [2, 3], wall=8.0, training=0.0)
    assert seconds() == [8.0, 0.0], "other seeds are another run"


def test_runs_are_merged(folders: Folders) -> None:
    record(folders, "1_sgd_vs_adam", [2, 1, 2], wall=3.21)
    record(folders, "3_momentum", range(2))
    record(folders, "1_sgd_vs_adam", [7], wall=4.56)
    found = content(folders)["notebooks"]
    assert isinstance(found, dict) and list(found) == ["1_sgd_vs_adam", "3_momentum"]
    assert (found["1_sgd_vs_adam"]["wall_seconds"], found["1_sgd_vs_adam"]["seeds"]) == (4.6, [7])
    assert found["3_momentum"]["seeds"] == [0, 1]


def test_machine_is_named_and_nobody_else(folders: Folders) -> None:
    record(folders, "report", [])
    found = content(folders)
    assert set(found) >= {"commit", "dirty", "versions", "python", "machine", "threads", "preset", "notebooks"}
    text = json.dumps(found)
    assert str(Path.home()) not in text and str(folders.root) not in text


def test_a_changed_source_is_dirty_and_a_changed_result_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMUP_STUDY_ROOT", str(tmp_path))
    for folder in ("src", "data"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("old")
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    folders = Folders.of("", "smoke")
    (tmp_path / "data" / "file").write_text("new")
    record(folders, "report", [])
    assert content(folders)["dirty"] is False and len(str(content(folders)["commit"])) == 40
    (tmp_path / "src" / "file").write_text("new")
    record(folders, "report", [])
    assert content(folders)["dirty"] is True


def test_a_broken_file_is_one_line(folders: Folders) -> None:
    folders.results.mkdir(parents=True)
    (folders.results / "provenance.json").write_text("{")
    with pytest.raises(StudyError, match="remove it to start afresh"):
        record(folders, "report", [])
