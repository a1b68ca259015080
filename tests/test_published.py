"""The published results: small, clean, and the figures and verdicts follow from the tables of runs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from published import PUBLISHED, ROOT, needs_published

from warmup_study import chapters
from warmup_study.claims import ledger
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import BATCH, CHAPTERS
from warmup_study.running import provenance, store, tables
from warmup_study.tasks import text

PRESENT = tables.stored(PUBLISHED.results)
DRAWN_EACH_TIME = ("3_momentum", "7_anchor_warmup", "11_predictable")
LARGEST_REPOSITORY, ALL_TABLES = 40 * 2**20, 24 * 2**20  # curves of losses are noise to a packer


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_the_repository_stays_small() -> None:
    assert sum(path.stat().st_size for path in tracked()) < LARGEST_REPOSITORY
    assert sum(path.stat().st_size for path in PUBLISHED.results.glob("*.parquet")) < ALL_TABLES


@needs_published
def test_every_claim_has_its_verdict_or_is_said_to_wait_for_its_chapter() -> None:
    judged = {row.id for row in ledger.read(PUBLISHED) if row.over_all}
    waiting = [row for row in claims_table() if row.id not in judged]
    assert PRESENT and {row.notebook for row in waiting} == set(CHAPTERS) - set(PRESENT)
    assert judged == {row.id for row in claims_table() if row.notebook in (*PRESENT, BATCH[-1])}
    page = BeautifulSoup(PUBLISHED.report.read_text(encoding="utf-8"), "html.parser")
    said = [heading.get_text() for heading in page.select("table.untested tbody th")]
    assert len(said) == len(waiting) and all(row.title in text for row, text in zip(waiting, said, strict=True))
    assert set(_words(page, "#verdicts details")) == {"inconclusive"}
    shown = _words(page, "#verdicts > .scroll")
    assert len(shown) + len(_words(page, "#verdicts details")) == len(judged) > len(shown)


def _words(page: BeautifulSoup, place: str) -> list[str]:
    """First words of the verdicts shown at a place."""
    return [cell.get_text(" ", strip=True).split()[0] for cell in page.select(f"{place} table:not(.untested) td.word")]


@needs_published
def test_published_runs_serve_the_chapters_as_they_are_designed_today() -> None:
    """Nothing would be trained anew: every chunk of the full design is stored under its id."""
    columns = [store.read_columns(path, ["chunk"])["chunk"] for path in PUBLISHED.results.glob("*.parquet")]
    stored = {chunk for column in columns for chunk in column.unique().to_pylist()}
    for name in PRESENT:
        chapter = chapters.open_chapter(name, {"preset": "full"})
        assert {chunk.id for experiment in chapter.experiments for chunk in experiment.chunks()} <= stored, name


@needs_published
def test_results_come_from_a_clean_commit() -> None:
    provenance = json.loads((PUBLISHED.results / "provenance.json").read_text(encoding="utf-8"))
    assert set(PRESENT) <= set(provenance["notebooks"])
    for name in PRESENT:
        assert provenance["notebooks"][name]["dirty"] is False, name


@needs_published
def test_results_on_text_are_among_them() -> None:
    """A machine that cannot have the text runs all else, and says so: what is published has it."""
    trained = {task for name in PRESENT for task in tables.read(PUBLISHED.results, name)["task"]}
    assert any(task.startswith("text-transformer") for task in trained)


@needs_published
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in DRAWN_EACH_TIME else pytest.mark.long) for name in PRESENT]
)
def test_figures_drawn_anew_from_the_tables_have_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drew = json.loads((PUBLISHED.results / "provenance.json").read_text(encoding="utf-8"))["versions"]["matplotlib"]
    if matplotlib.__version__ != drew:
        pytest.skip(f"drawn by Matplotlib {drew}, whose bytes another version need not repeat")
    if name.startswith("5") and text.missing():
        pytest.skip(text.missing())

    def stored_runs(chapter: chapters.Chapter) -> pd.DataFrame:
        return tables.read(PUBLISHED.results, chapter.name)

    def stored_verdicts(chapter: chapters.Chapter, runs: pd.DataFrame) -> list[Verdict]:
        return [row for row in ledger.read(PUBLISHED) if row.notebook == chapter.name]

    monkeypatch.setattr(chapters.Chapter, "run", stored_runs)
    monkeypatch.setattr(chapters.Chapter, "judge", stored_verdicts)
    run_cells(name, {"preset": "full", "output_dir": str(tmp_path)})
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    kept = {path.name: path.read_bytes() for path in PUBLISHED.figures.glob(f"{name}-*")}
    assert sorted(drawn) == sorted(kept) and drawn
    assert [file for file in drawn if drawn[file] != kept[file]] == []


def run_cells(name: str, parameters: dict[str, Any]) -> None:
    """The notebook's code in this process, with other parameters, as a kernel would run it."""
    namespace: dict[str, Any] = {"In": []}
    for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), namespace)
        if "parameters" in cell.metadata.get("tags", []):
            namespace |= parameters


@needs_published
def test_rules_and_analysis_are_those_that_were_registered_before_training() -> None:
    assert not any(provenance.changed_since(PUBLISHED).values())


def test_the_first_rounds_verdicts_are_kept() -> None:
    rows = ledger.first_round(PUBLISHED)
    assert len({row.id for row in rows}) == 24 and sum(row.over_all for row in rows) == 24
    assert [row.verdict for row in rows if row.over_all].count("inconclusive") == 16
