"""The notebooks as papermill runs them, from another folder, at the smallest size."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import table

from warmup_study.chapters import judging
from warmup_study.claims import ledger
from warmup_study.claims.table import table as claims_table
from warmup_study.cli import main
from warmup_study.errors import StudyError
from warmup_study.paths import BATCH, CHAPTERS, Folders, project_root
from warmup_study.presentation.canvas import NARROW
from warmup_study.running import store, tables
from warmup_study.training.table import from_frame

STORED = project_root() / "notebooks"
PRESENT = [name for name in BATCH if (STORED / f"{name}.ipynb").exists()]
TESTED = [name for name in PRESENT if name in CHAPTERS]
FIRST = TESTED[0]


@dataclass(frozen=True)
class Executed:
    """How papermill ended, and the notebook it left behind."""

    status: int
    output: str
    cells: list[dict[str, Any]]

    def outputs(self, kind: str) -> list[dict[str, Any]]:
        """All outputs of a kind, cell by cell."""
        found = [output for cell in self.cells for output in cell.get("outputs", [])]
        return [output for output in found if output["output_type"] == kind]

    @property
    def printed(self) -> str:
        """What was printed to standard output."""
        return "".join("".join(part["text"]) for part in self.outputs("stream") if part["name"] == "stdout")


def execute(name: str, folder: Path, *options: str) -> Executed:
    """Run a stored notebook by papermill, from `folder`, with nothing of the study set in the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", str(STORED / f"{name}.ipynb"), str(result), "--no-progress-bar"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WARMUP_STUDY")}
    environment |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)
    cells = json.loads(result.read_text(encoding="utf-8"))["cells"] if result.exists() else []
    return Executed(ran.returncode, ran.stdout + ran.stderr, cells)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the one that notes the time."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "provenance.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Study:
    """All notebooks run once, in order, into one folder."""

    root: Path
    runs: dict[str, Executed]
    after: dict[str, bytes]

    @property
    def folders(self) -> Folders:
        """Where the outputs lie."""
        return Folders(self.root, "smoke")


def run_all(root: Path, names: list[str]) -> dict[str, Executed]:
    options = ("-p", "preset", "smoke", "-p", "output_dir", str(root))
    return {name: execute(name, root.parent / "elsewhere", *options) for name in names}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = tmp_path_factory.mktemp("study") / "out put"
    runs = run_all(root, PRESENT)
    return Study(root, runs, contents(root))


@pytest.mark.parametrize("name", PRESENT)
def test_notebook_runs_to_its_end(study: Study, name: str) -> None:
    ran = study.runs[name]
    assert ran.status == 0, ran.output[-3000:]
    assert not ran.outputs("error") and ran.cells
    assert not [part for part in ran.outputs("stream") if part["name"] == "stderr"]


@pytest.mark.parametrize("name", TESTED)
def test_chapter_leaves_runs_verdicts_figures_and_provenance(study: Study, name: str) -> None:
    results = study.folders.results
    runs = store.read_runs(results / f"{name}.parquet")
    assert len(runs) and (runs["lr_audit"] == 0).all() and set(runs["status"]) <= {"ok", "diverged"}
    assert runs[["part", "task", "arm", "lr", "seed", "initial_loss"]].notna().all(axis=None)
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["preset"] == "smoke" and provenance["notebooks"][name]["wall_seconds"] > 0
    assert {"rules", "analysis"} <= set(provenance["notebooks"]["report"]["registered"])
    assert set(provenance["notebooks"][name]["seeds"]) == set(runs["seed"])
    entered = {row.id for row in ledger.read(study.folders) if row.notebook == name}
    assert entered == {row.id for row in claims_table() if row.notebook == name}


@pytest.mark.parametrize("name", TESTED)
def test_figures_shown_are_the_figures_saved(study: Study, name: str) -> None:
    shown = [part for part in study.runs[name].outputs("display_data") + study.runs[name].outputs("execute_result")]
    figures = {part["metadata"]["figure"]: part["data"] for part in shown if "figure" in part["metadata"]}
    assert figures and all(stem.startswith(f"{name}-") for stem in figures)
    saved = study.folders.figures
    assert {path.stem.removesuffix(NARROW) for path in saved.glob(f"{name}-*.svg")} == set(figures)
    for stem, data in figures.items():
        svg = data["image/svg+xml"]
        assert (svg if isinstance(svg, str) else "".join(svg)) == (saved / f"{stem}.svg").read_text(encoding="utf-8")
        sidecar = json.loads((saved / f"{stem}.json").read_text(encoding="utf-8"))
        assert set(sidecar) == {"title", "alt", "caption", "maker", "preset", "notebook", "name"}
        assert all(sidecar.values()) and sidecar["preset"] == "smoke" and f"{name}-{sidecar['name']}" == stem
    pointed_at = {row.figure for row in ledger.read(study.folders) if row.notebook == name}
    assert pointed_at <= set(figures), "a verdict points at a figure that is not there"


def test_smoke_decides_nothing(study: Study) -> None:
    rows = ledger.read(study.folders)
    assert {row.verdict for row in rows} == {"", "inconclusive"}, "tasks have no word"
    assert {row.verdict for row in rows if row.over_all} == {"inconclusive"}
    assert {row.id for row in rows if row.over_all} == {row.id for row in rows}


def test_outputs_lie_where_they_belong(study: Study) -> None:
    tops = {Path(name).parts[:3] for name in study.after}
    assert {parts[:2] for parts in tops} <= {("data", "results"), ("data", "cache"), ("figures", "smoke")}
    elsewhere = study.root.parent / "elsewhere"
    assert {path.name for path in elsewhere.iterdir()} == {f"{name}.ipynb" for name in PRESENT}


def test_verdicts_follow_from_the_tables_of_runs_alone(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Folders(tmp_path, "smoke")
    copy.results.mkdir(parents=True)
    for path in study.folders.results.glob("*.parquet"):
        shutil.copy(path, copy.results)
    assert main(["verdicts", "--preset", "smoke", "--output-dir", str(tmp_path)]) == 0
    written = study.folders.results / "verdicts.json"
    assert (copy.results / "verdicts.json").read_bytes() == written.read_bytes()
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert listed == [f"{row.id} {row.task} {row.verdict}".split() for row in ledger.read(study.folders)]


def test_recomputing_nothing_or_damage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = Folders(tmp_path, "smoke")
    with pytest.raises(StudyError, match="no results of preset smoke"):
        judging.recompute(folders)
    store.write_runs(folders.results / f"{FIRST}.parquet", from_frame(table([])))
    content = (folders.results / f"{FIRST}.parquet").read_bytes()
    (folders.results / f"{FIRST}.parquet").write_bytes(content[:-9])
    assert main(["verdicts", "--preset", "smoke", "--output-dir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warmup-study: {FIRST}.parquet: cannot be read")
    assert not (folders.results / "verdicts.json").exists()


def test_a_second_run_trains_nothing_and_changes_nothing(study: Study) -> None:
    stamps = {path.name: path.stat().st_mtime_ns for path in study.folders.cache.iterdir()}
    assert all("trained" in study.runs[name].printed for name in TESTED)
    again = run_all(study.root, TESTED[:1])
    assert all(ran.status == 0 and "trained" not in ran.printed for ran in again.values())
    assert {path.name: path.stat().st_mtime_ns for path in study.folders.cache.iterdir()} == stamps
    after = contents(study.root)
    assert [name for name in after if after[name] != study.after.get(name)] == [] and set(after) == set(study.after)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("-p", "sedes", "3"), "sedes: no such parameter, did you mean seeds?; takes preset, task, seeds"),
        (("-p", "seeds", "many"), "seeds: got 'many'; takes a whole number from 0"),
        (("-y", "lrs: [1e-3, -1]"), "lrs: got ['1e-3', -1]; takes positive numbers"),
    ],
    ids=["unknown name", "wrong type", "out of range"],
)
def test_a_bad_parameter_ends_in_one_line_before_any_training(
    tmp_path: Path, options: tuple[str, ...], line: str
) -> None:
    root = tmp_path / "out"
    ran = execute(FIRST, tmp_path / "elsewhere", "-p", "preset", "smoke", "-p", "output_dir", str(root), *options)
    assert ran.status != 0 and line in ran.output
    (error,) = ran.outputs("error")
    assert error["ename"] == "StudyError" and error["evalue"].startswith(line)
    assert error["traceback"] == [f"StudyError: {error['evalue']}"]
    assert not contents(tmp_path / "out") and "trained" not in ran.printed


@pytest.mark.long
def test_numbers_may_come_as_text(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.folders.cache, tmp_path / "data" / "cache")  # what the controls train
    yaml = f"{{preset: smoke, lrs: 1e-3, updates: '6', warmup: 2e0, output_dir: '{tmp_path}'}}"
    ran = execute(FIRST, tmp_path / "elsewhere", "-y", yaml)
    assert ran.status == 0, ran.output[-3000:]
    runs = tables.read(tmp_path / "data" / "results" / "smoke", FIRST)
    of_grid = runs[(runs["part"] == "core") & (runs["arm"] == "adam/ramp")]
    assert set(of_grid["lr"]) == {1e-3} and set(of_grid["updates"]) == {6} and set(of_grid["length"]) == {2}
