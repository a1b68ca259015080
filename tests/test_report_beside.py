"""A small run's page where there are published verdicts: both side by side, and how they agree."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from report_fixtures import verdict

from warmup_study import report
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders
from warmup_study.report import beside

PUBLISHED = {
    "jump": verdict("jump", "depends", n=60, regimes={"easy": "contradicted", "attention": "supported"}),
    "curvature": verdict("curvature", "supported", n=60, estimate=0.512),
    "dead-units": verdict("dead-units", "contradicted", n=60),
    "attention": verdict("attention", "inconclusive", n=24),
}
OWN = {
    "jump": verdict("jump", "supported", n=6, regimes={"attention": "supported"}),
    "curvature": verdict("curvature", "inconclusive", n=6, estimate=0.734),
    "dead-units": verdict("dead-units", "supported", n=6),
    "momentum-zero": verdict("momentum-zero", "supported", n=6),
}


@pytest.fixture
def project(tmp_path: Path, published_in: Callable[[Path], None]) -> Path:
    published_in(tmp_path)
    enter(Folders(tmp_path, "quick"), OWN)
    return tmp_path


def enter(folders: Folders, rows: dict[str, dict[str, object]]) -> None:
    folders.results.mkdir(parents=True)
    (folders.results / "verdicts.json").write_text(json.dumps(list(rows.values())))


def front(project: Path) -> Tag:
    page = BeautifulSoup(report.build(Folders(project, "quick")).read_text(encoding="utf-8"), "html.parser")
    assert page.body
    return page.body


def test_published_and_own_stand_side_by_side(project: Path) -> None:
    enter(Folders(project, "full"), PUBLISHED)
    table = front(project).select_one("#verdicts table.verdicts")
    assert table
    rows = [[" ".join(cell.get_text(" ").split()) for cell in row.select("th, td")] for row in table.select("tbody tr")]
    readings = {row[0]: (row[1], row[4]) for row in rows}
    assert readings == {
        "Warmup leads to flatter ground": ("supported", beside.SMALL),
        "Too large a start kills units": ("contradicted", "differs: supported"),
        "A ramp beats jumping to full LR": ("depends", beside.AGREES),
        "Warmup helps attention tune slowly": ("inconclusive", beside.NOT_RUN),
        "LR zero builds no momentum": ("–", beside.UNPUBLISHED),
    }
    [flatter] = [row for row in rows if row[0] == "Warmup leads to flatter ground"]
    assert "1.43 ×" in flatter[2] and "n = 60" in flatter[2] and "1.66 ×" in flatter[3] and "n = 6" in flatter[3]
    assert [row[1] for row in rows][:2] == ["supported", "contradicted"], "decided ones first"


def test_claims_that_are_published_are_not_listed_as_not_run(project: Path) -> None:
    enter(Folders(project, "full"), PUBLISHED)
    listed = front(project).select_one(".untested")
    assert listed and "Warmup helps attention tune slowly" not in listed.get_text()


def test_links_lead_to_the_published_page_where_it_lies_beside(project: Path) -> None:
    full = Folders(project, "full")
    enter(full, PUBLISHED)
    assert not front(project).select('a[href^="index.html"]')
    report.build(full)
    page = front(project)
    assert page.select_one('.notice a[href="index.html"]')
    assert page.select_one('#verdicts a[href="index.html#claim-curvature"]')
    elsewhere = Folders.of(str(project / "other"), "quick")
    assert beside.published_page(report.Results.read(elsewhere)) == ""


def test_nothing_published_is_one_line_and_the_own_table(project: Path) -> None:
    page = front(project)
    assert "has not been trained yet" in page.select_one(".notice").get_text()  # type: ignore[union-attr]
    assert "Published verdict" not in page.get_text()


def test_a_run_of_too_few_seeds_never_judges() -> None:
    there, here = (Verdict.model_validate(verdict("jump", "supported", n=n)) for n in (60, 2))
    assert beside.reading(there, here) == beside.SMALL and beside.reading(there, None) == beside.NOT_RUN
    assert beside.reading(there, Verdict.model_validate(verdict("jump", "supported", n=6))) == beside.AGREES
