import os
from pathlib import Path

import pytest

from warmup_study import paths
from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import Folders, project_root


def test_root_is_the_checkout() -> None:
    assert (project_root() / "src" / "warmup_study" / "paths.py").samefile(paths.__file__)


def test_root_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMUP_STUDY_ROOT", str(tmp_path))
    assert project_root() == tmp_path.resolve()


def test_another_projects_pyproject_is_not_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    package = tmp_path / "lib" / "paths.py"
    monkeypatch.setattr(paths, "__file__", str(package))
    monkeypatch.chdir(tmp_path)
    assert project_root() == tmp_path


@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_only_the_full_preset_writes_what_is_published(tmp_path: Path, preset: str) -> None:
    own, published = Folders.of(str(tmp_path), preset), Folders.of(str(tmp_path), "full")
    assert own.report == tmp_path / "report" / f"{preset}.html"
    assert published.report == tmp_path / "report" / "index.html"
    assert own.figures == published.figures / preset
    assert own.results == tmp_path / "data" / "results" / preset
    assert own.executed == tmp_path / "data" / "executed" / preset
    assert own.cache == published.cache


def test_folders_make_nothing(tmp_path: Path) -> None:
    Folders.of(str(tmp_path / "new" / "deep"), "quick")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("wrong", ["/dev/null/below", "/proc/here", "a\0b", "~nobody-of-that-name/x", "n" * 5000])
def test_unwritable_folder_is_one_line(wrong: str) -> None:
    with pytest.raises(StudyError, match="cannot write to the folder") as caught:
        Folders.of(wrong, "quick")
    assert "\n" not in str(caught.value)


def test_error_shows_itself_without_a_traceback() -> None:
    assert StudyError("too small")._render_traceback_() == ["StudyError: too small"]


@pytest.mark.parametrize("content", ["grün\n", b"\x00\xff"])
def test_written_content_is_there(tmp_path: Path, content: str | bytes) -> None:
    target = tmp_path / "new" / "file"
    write_atomically(target, content)
    write_atomically(target, content)
    assert target.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(target.parent) == ["file"]


def test_failed_writing_leaves_the_old_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudyError, match="No space left"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_writing_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below", "x")
