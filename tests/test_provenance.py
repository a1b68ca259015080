import json
import subprocess
from pathlib import Path

import pytest

from warmup_study import provenance
from warmup_study.paths import Folders, StudyError


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.of(str(tmp_path), "smoke")


def content(folders: Folders) -> dict[str, object]:
    found = json.loads((folders.results / "provenance.json").read_text())
    assert isinstance(found, dict)
    return found


def test_runs_are_merged(folders: Folders) -> None:
    provenance.record(folders, "1_sgd_vs_adam", 3.21, [2, 1, 2])
    provenance.record(folders, "3_momentum", 1.0, range(2))
    provenance.record(folders, "1_sgd_vs_adam", 4.56, [7])
    found = content(folders)["notebooks"]
    assert isinstance(found, dict) and list(found) == ["1_sgd_vs_adam", "3_momentum"]
    assert (found["1_sgd_vs_adam"]["wall_seconds"], found["1_sgd_vs_adam"]["seeds"]) == (4.6, [7])
    assert found["3_momentum"]["seeds"] == [0, 1]


def test_machine_is_named_and_nobody_else(folders: Folders) -> None:
    provenance.record(folders, "report", 1.0, [])
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
    provenance.record(folders, "report", 1.0, [])
    assert content(folders)["dirty"] is False and len(str(content(folders)["commit"])) == 40
    (tmp_path / "src" / "file").write_text("new")
    provenance.record(folders, "report", 1.0, [])
    assert content(folders)["dirty"] is True


def test_a_broken_file_is_one_line(folders: Folders) -> None:
    folders.results.mkdir(parents=True)
    (folders.results / "provenance.json").write_text("{")
    with pytest.raises(StudyError, match="remove it to start afresh"):
        provenance.record(folders, "report", 1.0, [])
