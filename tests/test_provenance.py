import json
import shutil
import subprocess
from collections.abc import Callable, Iterable
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


def committed(root: Path, *folders: str) -> None:
    """A repository of a file in each folder."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "file").write_text("old")
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)


@pytest.fixture
def version(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[Any, Any]]:
    """What is recorded of the commit, and of changes, of code that lies in a folder."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def recorded(root: Path) -> tuple[Any, Any]:
        monkeypatch.setattr(provenance, "checkout", lambda: root)
        record(folders, "report", [])
        found = content(folders)
        return found["commit"], found["dirty"]

    return recorded


def test_a_changed_source_is_dirty_and_a_changed_result_is_not(
    version: Callable[[Path], tuple[Any, Any]], tmp_path: Path
) -> None:
    committed(tmp_path / "study", "src", "data")
    (tmp_path / "study" / "data" / "file").write_text("new")
    commit, dirty = version(tmp_path / "study")
    assert len(commit) == 40 and dirty is False
    (tmp_path / "study" / "src" / "file").write_text("new")
    assert version(tmp_path / "study") == (commit, True)


def test_what_git_cannot_tell_is_unknown_and_not_clean(
    version: Callable[[Path], tuple[Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, around = tmp_path / "plain", tmp_path / "around"
    (plain / "src").mkdir(parents=True)
    assert version(plain) == (None, None), "an unpacked archive"
    committed(around, "src", "unpacked/src")
    assert version(around)[0] and version(around / "unpacked") == (None, None), "within another repository"
    subprocess.run(["git", "-C", str(plain), "init", "-q"], check=True)
    assert version(plain) == (None, None), "a repository without a commit"
    monkeypatch.setenv("GIT_DIR", str(around / ".git"))
    assert version(plain) == version(around) == (None, None), "git is sent elsewhere"
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert version(around) == (None, None), "the folder is another user's"


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
    provenance.register(folders, chapter, [6])
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
