"""Published tables as a store: nothing they hold is trained again, each run is stored once, and long work says so."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from small_experiments import arm, small

from warmup_study import chapters
from warmup_study.chapters import judging
from warmup_study.chapters.your_network.design import open_notebook
from warmup_study.claims.verdict import Verdict
from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.report.build import build
from warmup_study.running import forecast, local, registration, sanity_checks, store, tables
from warmup_study.running import sweep as sweep_module
from warmup_study.running.processes import PROCESSES
from warmup_study.running.published import Published
from warmup_study.running.store import Cache
from warmup_study.running.sweep import sweep
from warmup_study.statistics.endpoints import steps_to_share
from warmup_study.training import experiment
from warmup_study.training.experiment import Chunk, Experiment

NAME = "3_momentum"
TINY: dict[str, Any] = {
    "preset": "full",
    "task": "digits-mlp",
    "seeds": 2,
    "updates": 12,
    "warmup": 3,
    "batches": "16",
    "lrs": "0.01, 0.1",
}
CORE = tuple(small(part="core", task=task) for task in ("digits-mlp", "digits-deep"))
OWN = small(part="other", arms=(arm("sgd"),), lrs=(0.1,))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published_in: Callable[[Path], None]) -> Iterator[Path]:
    """A project of its own, where training takes place in this process and without controls."""
    published_in(tmp_path)
    monkeypatch.setenv(PROCESSES, "1")
    monkeypatch.setattr(sanity_checks, "check", lambda *_: None)
    yield tmp_path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the chunks that are trained."""
    ids: list[str] = []
    train = local.train_and_store

    def noting(chunk: Chunk, cache: Cache) -> None:
        ids.append(chunk.id)
        train(chunk, cache)

    monkeypatch.setattr(local, "train_and_store", noting)
    return ids


def empty(cache: Path) -> None:
    for path in cache.iterdir():
        path.unlink()


def runs_of(*experiments: Experiment, folder: Path) -> pd.DataFrame:
    return sweep(experiments, folder, processes=0)


def study() -> dict[str, bytes]:
    """What a chapter and the page leave behind: the bytes of every file but those of the cache."""
    chapter = chapters.open_chapter(NAME, TINY)
    runs = chapter.run()
    chapter.judge(runs)
    build(chapter.folders)
    root = chapter.folders.root
    files = [path for path in root.rglob("*") if path.is_file() and chapter.folders.cache not in path.parents]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_a_fresh_clone_makes_the_same_bytes_without_training(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("this was to be taken from the published tables")

    before = study()
    assert {"report/index.html", f"data/results/full/{NAME}.parquet"} <= set(before)
    empty(root / "data" / "cache")
    for module, name in (
        (local, "finished"),
        (local, "train_chunk"),
        (forecast, "_seconds"),
        (sanity_checks, "check"),
        (judging, "judge"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert study() == before
    elsewhere = chapters.open_chapter(NAME, TINY | {"output_dir": str(root / "else")})
    elsewhere.run()
    kept = root / "else" / "data" / "results" / "full"
    names = {path.name for path in (root / "data" / "results" / "full").iterdir()} - {"verdicts.json"}
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {
        name: before[f"data/results/full/{name}"] for name in names
    }


def test_a_changed_parameter_trains_only_what_is_new(root: Path, trained: list[str]) -> None:
    default = chapters.open_chapter(NAME, TINY)
    default.run()
    ids = {chunk.id for planned in default.experiments for chunk in planned.chunks()}
    assert set(trained) == ids
    empty(root / "data" / "cache")
    trained.clear()
    changed = chapters.open_chapter(NAME, TINY | {"lrs": "0.01, 0.03, 0.1"})
    changed.run()
    new = {chunk.id for planned in changed.experiments for chunk in planned.chunks()} - ids
    assert new and sorted(trained) == sorted(new)
    trained.clear()
    chapters.open_chapter(NAME, TINY | {"lrs": "0.01"}).run()
    default.run()
    assert not trained, "what left the chapter's table stayed in the cache"


def test_rows_are_judged_anew_where_what_they_follow_from_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    judge = judging.judge

    def noting(notebook: str, runs: pd.DataFrame) -> list[Verdict]:
        judged.append(notebook)
        return judge(notebook, runs)

    monkeypatch.setattr(judging, "judge", noting)
    chapter = chapters.open_chapter(NAME, TINY)
    runs = chapter.run()
    rows = chapter.judge(runs)
    assert chapter.judge(runs) == rows and judged == [NAME]
    ledger_file = chapter.folders.results / "verdicts.json"
    content = ledger_file.read_text(encoding="utf-8")
    ledger_file.write_text(content.replace('"n": 2', '"n": 3'), encoding="utf-8")
    assert chapter.judge(runs) == rows and judged == [NAME] * 2, "someone changed a row"
    assert ledger_file.read_text(encoding="utf-8") == content
    chapter.judge(runs.assign(test_loss=runs["test_loss"] * 1.5))
    assert judged == [NAME] * 3, "other runs"
    chapter.judge(runs)
    monkeypatch.setattr(registration, "digests", lambda _: {"rules": "others", "analysis": "another"})
    assert chapter.judge(runs) == rows and judged == [NAME] * 5, "other rules"


@pytest.fixture
def published(root: Path) -> Path:
    """Two chapters' tables that share the runs of a core grid on two tasks."""
    folder = Folders(root, "full").results
    cache = Cache(root / "cache")
    tables.write(folder, "1_sgd_vs_adam", runs_of(*CORE, OWN, folder=cache.folder), cache)
    finer = CORE[0].model_copy(update={"lrs": (0.01, 0.1)})
    tables.write(folder, "2_zero_vs_ramped_warmup", runs_of(finer, folder=cache.folder), cache)
    return folder


def test_runs_that_chapters_share_are_stored_once(published: Path, tmp_path: Path) -> None:
    names = ["1_sgd_vs_adam", "2_zero_vs_ramped_warmup", "core_grid-digits-deep", "core_grid-digits-mlp"]
    assert sorted(path.stem for path in published.iterdir()) == names
    rows = [store.read_runs(published / f"{name}.parquet") for name in names]
    assert [len(table) for table in rows] == [5, 0, 20, 30]
    first, second = (tables.read(published, name) for name in names[:2])
    cache = Cache(tmp_path / "cache")
    swept = runs_of(*CORE, OWN, folder=cache.folder)
    pd.testing.assert_frame_equal(first, swept.assign(steps_to_target=steps_to_share(swept, tables.TARGET)))
    assert tables.write(published, names[0], swept, cache).equals(first), "what lies there is not made anew"
    assert set(second["grid_lr"]) == {0.01, 0.1} and len(second) == 20
    reverse = tmp_path / "reverse"
    tables.write(reverse, names[1], second, cache)
    tables.write(reverse, names[0], first, cache)
    assert all((reverse / path.name).read_bytes() == path.read_bytes() for path in published.iterdir())
    (published / "core_grid-digits-deep.parquet").unlink()
    with pytest.raises(StudyError, match=r"^core_grid-digits-deep.parquet: cannot be read"):
        tables.read(published, names[0])
    tables.share(published, store.read_runs(reverse / f"{names[2]}.parquet")[:10])
    with pytest.raises(StudyError, match=r"^1_sgd_vs_adam: 1 of its chunks are missing from 1_sgd_vs_adam.parquet"):
        tables.read(published, names[0])


def test_a_part_of_a_study_serves_as_far_as_it_goes(published: Path, tmp_path: Path, trained: list[str]) -> None:
    (published / "core_grid-digits-deep.parquet").unlink()
    runs = runs_of(*CORE, OWN, folder=tmp_path / "empty")
    assert sorted(trained) == sorted(chunk.id for chunk in CORE[1].chunks())
    pd.testing.assert_frame_equal(runs, runs_of(*CORE, OWN, folder=tmp_path / "cache"))
    for planned in (CORE[0], OWN):
        for chunk in planned.chunks():
            table = Published(published).get(chunk)
            assert table is not None and table.equals(
                store.read_chunk(tmp_path / "cache" / f"{chunk.id}.parquet", chunk.id)
            )


def test_incomplete_or_damaged_published_runs_do_not_serve(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk = OWN.chunks()[0]
    path = published / "1_sgd_vs_adam.parquet"
    whole, content = store.read_table(path), path.read_bytes()
    for rows in (whole.slice(1), whole.take(np.arange(len(whole))[::-1])):
        store.write_runs(path, rows)
        assert Published(published).get(chunk) is None
    place = content.index(b"digits-mlp")
    path.write_bytes(content[:place] + b"d1gits" + content[place + 6 :])
    assert Published(published).get(chunk) is None
    assert "1_sgd_vs_adam.parquet: cannot be read" in capsys.readouterr().out


def test_published_runs_of_another_version_are_told_in_one_line(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trained: list[str],
) -> None:
    for module in (experiment, tables):
        monkeypatch.setattr(module, "training_code", lambda task: f"another version for {task}")
    runs_of(small(part="core", seeds=(500,)), folder=tmp_path / "empty")
    assert "version" not in capsys.readouterr().out, "other seeds are no published runs"
    again = [Experiment.model_validate(planned.model_dump()) for planned in (*CORE, OWN)]
    runs_of(*again, folder=tmp_path / "empty")
    line = "the published runs on digits-mlp, digits-deep come from another version of the training code"
    assert capsys.readouterr().out.count(line) == 1 and len(trained) == 2 + 5


def test_long_training_is_told_before(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = small(lrs=(0.01,), updates=200)
    chunk = planned.chunks()[0]
    seconds = forecast.seconds([chunk], root / "costs")
    assert 0.002 < seconds < 10, "ten runs of 200 updates of so small a network"
    monkeypatch.setattr(forecast, "_timed", lambda _: pytest.fail("timed twice"))
    assert (
        forecast.seconds([chunk, *planned.model_copy(update={"lrs": (0.1,)}).chunks()], root / "costs") == 2 * seconds
    )
    monkeypatch.setattr(forecast, "_timed", lambda _: forecast.Cost(7800 / 20 / 200, 0.0, 0.0, 0.0, 2))
    monkeypatch.setattr(sweep_module, "WORTH_TIMING", 0)
    runs_of(planned, folder=root / "cache")
    runs_of(planned.model_copy(update={"lrs": (0.01, 0.02, 0.1)}), folder=root / "cache")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("about")]
    assert [line.partition(",")[0] for line in told] == [
        f"about {t} of training on 1 core" for t in ("1 h 5 min", "2 h 10 min")
    ]
    assert told[1].endswith(": 30 runs, of which 10 are stored")
    runs_of(planned, folder=root / "cache")
    assert not capsys.readouterr().out, "nothing is missing"


def test_a_network_opened_again_has_the_same_design(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = iter(forecast.Cost(update, update, 0.0, 0.0, 2) for update in (0.0013, 1.0))
    monkeypatch.setattr(forecast, "_timed", lambda _: next(costs))

    def opened() -> Experiment:
        return open_notebook({"task": "digits-mlp", "lrs": "0.01,0.03,0.1"}).experiment

    assert opened() == opened() and 6 < len(opened().seeds) < 60
