"""Training a part of a finished study anew."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from small_experiments import arm, small

from warmup_study import chapters, reproduce
from warmup_study.cli import main
from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.running import store, sweep
from warmup_study.training.table import from_frame

NAME = "3_momentum"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """One chapter's table of runs at the smallest size, as its notebook leaves it."""
    folders = Folders(tmp_path_factory.mktemp("published"), "smoke")
    opened = chapters.open_chapter(NAME, {"preset": "smoke"})
    runs = sweep.sweep(opened.experiments, folders.cache, processes=0)
    store.write_runs(folders.results / f"{NAME}.parquet", from_frame(runs))
    return folders


def tampered(root: Path, change: pd.DataFrame) -> Folders:
    folders = Folders(root, "smoke")
    store.write_runs(folders.results / f"{NAME}.parquet", from_frame(change))
    return folders


def runs_of(folders: Folders) -> pd.DataFrame:
    return store.read_runs(folders.results / f"{NAME}.parquet")


def test_all_of_it_comes_out_the_same_to_the_bit(published: Folders) -> None:
    (row,) = reproduce.reproduce(published, share=1.0, seed=0, processes=0)
    assert (
        row.runs == row.equal == row.same_end == len(runs_of(published))
        and row.deviation == row.step_gap == 0
        and row.holds
    )


def test_a_share_is_chosen_by_the_seed(published: Folders) -> None:
    few = [next(reproduce.reproduce(published, 0.1, seed, processes=0)) for seed in (0, 0, 1)]
    assert few[0] == few[1] and all(0 < row.runs < len(runs_of(published)) for row in few)


def test_other_numbers_are_found(published: Folders, tmp_path: Path) -> None:
    runs = runs_of(published)
    folders = tampered(tmp_path, runs.assign(test_loss=runs["test_loss"] * 1.02))
    (row,) = reproduce.reproduce(folders, 1.0, 0, processes=0)
    assert row.equal == 0 and row.same_end == row.runs and 0.01 < row.deviation < 0.03 and not row.holds


def test_rounding_on_another_machine_is_no_failure(published: Folders, tmp_path: Path) -> None:
    runs = runs_of(published)
    folders = tampered(tmp_path, runs.assign(test_loss=runs["test_loss"] * (1 + 1e-6)))
    (row,) = reproduce.reproduce(folders, 1.0, 0, processes=0)
    assert row.equal == 0 and row.holds


def test_runs_that_ended_otherwise_are_found(published: Folders, tmp_path: Path) -> None:
    folders = tampered(tmp_path, runs_of(published).assign(status="diverged"))
    (row,) = reproduce.reproduce(folders, 1.0, 0, processes=0)
    assert row.same_end == 0 and not row.holds


@pytest.mark.parametrize(("shift", "holds"), [(1, True), (3, False)])
def test_runs_that_diverged_elsewhere_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int, holds: bool
) -> None:
    wild = small(arms=(arm("sgd"),), lrs=(1e3,))
    opened = replace(chapters.open_chapter(NAME, {"preset": "smoke"}), experiments=(wild,))
    monkeypatch.setattr(chapters, "open_chapter", lambda *_: opened)
    runs = sweep.sweep([wild], tmp_path / "cache", processes=0)
    assert 0 < runs["diverged_at"].notna().sum() < len(runs)
    folders = tampered(tmp_path, runs.assign(diverged_at=runs["diverged_at"] + shift))
    (row,) = reproduce.reproduce(folders, 1.0, 0, processes=0)
    assert row.step_gap == shift and row.holds == holds and row.same_end == row.runs and row.deviation == 0


def test_a_table_of_another_design_and_no_table_are_one_line(published: Folders, tmp_path: Path) -> None:
    folders = tampered(tmp_path, runs_of(published).iloc[1:])
    with pytest.raises(StudyError, match="another's"):
        next(reproduce.reproduce(folders, 1.0, 0, processes=0))
    with pytest.raises(StudyError, match="no chapter of preset full has run"):
        next(reproduce.reproduce(Folders(tmp_path, "full"), 1.0, 0, processes=0))


def test_the_command_prints_a_table(published: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--preset", "smoke", "--output-dir", str(published.root), "--share", "0.05"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["chapter", "chunks", "runs"] and line.startswith(NAME)
    for share in ("0", "1.1", "nan", "much"):
        with pytest.raises(SystemExit):
            main(["reproduce", "--share", share])
    assert "--share" in capsys.readouterr().err
