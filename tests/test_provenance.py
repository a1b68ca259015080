import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.running import provenance
from warmup_study.running.registration import PACKAGE, digests


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


def test_a_registration_stays_and_tells_what_changed_since(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    chapter = "3_momentum"
    provenance.register(folders, chapter, [5, 6])
    assert provenance.changed_since(folders) == {chapter: ()}
    first = registered(folders, chapter)
    monkeypatch.setattr(provenance, "digests", lambda name: digests(name) | {"rules": "others"})
    provenance.register(folders, chapter, [6, 5])
    record(folders, chapter, [5, 6])
    assert registered(folders, chapter) == first and provenance.changed_since(folders) == {chapter: ("rules",)}
    provenance.register(folders, chapter, [7])
    assert registered(folders, chapter)["rules"] == "others" and provenance.changed_since(folders) == {chapter: ()}


def registered(folders: Folders, notebook: str) -> Any:
    notebooks: Any = content(folders)["notebooks"]
    return notebooks[notebook]["registered"]


def test_rules_and_analysis_are_those_of_the_chapter(tmp_path: Path) -> None:
    package = tmp_path / "package"
    for room in ("claims", "statistics", "chapters/momentum", "chapters/mechanism"):
        shutil.copytree(PACKAGE / room, package / room)
    before = {name: digests(name, package) for name in ("3_momentum", "6_mechanism")}
    assert before == {name: digests(name) for name in before}
    rules = package / "claims" / "claims.toml"
    rules.write_text(rules.read_text(encoding="utf-8").replace('id = "dead-units"', 'id = "dead-unit"'), "utf-8")
    analysis = package / "chapters" / "momentum" / "analysis.py"
    analysis.write_text(analysis.read_text("utf-8") + "\nMORE = 1\n", "utf-8")
    after = {name: digests(name, package) for name in before}
    changed = {name: [what for what in after[name] if after[name][what] != before[name][what]] for name in before}
    assert changed == {"3_momentum": ["analysis"], "6_mechanism": ["rules"]}
