"""Round 1 beside the published round: words then and now, and why each test was changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from report_fixtures import verdict

from warmup_study import report
from warmup_study.claims import ledger
from warmup_study.claims.table import whole_table
from warmup_study.paths import Folders, project_root
from warmup_study.report.rounds import entries

FIRST = {"jump": "supported", "curvature": "inconclusive", "dead-units": "contradicted", "untuned": "inconclusive"}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The published round: one claim decided another way, one no longer open, one without a row."""
    folders = Folders.of(str(tmp_path), "full")
    rows = [verdict("jump", "contradicted"), verdict("curvature", "supported"), verdict("dead-units", "contradicted")]
    for place, content in ((folders.results, rows), (folders.results.parent / ledger.FIRST_ROUND, first_round())):
        place.mkdir(parents=True)
        (place / ledger.FILE).write_text(json.dumps(content))
    return folders


def first_round() -> list[dict[str, object]]:
    """Rows of round 1, one of a claim that nobody has heard of since."""
    gone = verdict("jump", "supported") | {"id": "gone", "title": "Gone"}
    return [*(verdict("jump", word) | {"id": name, "title": name} for name, word in FIRST.items()), gone]


def section(folders: Folders) -> Tag | None:
    return BeautifulSoup(report.build(folders).read_text(encoding="utf-8"), "html.parser").select_one("#rounds")


def test_words_then_and_now_stand_beside_the_reason(folders: Folders) -> None:
    found = section(folders)
    assert found
    rows = [[cell.get_text(" ", strip=True) for cell in row.select("th, td")] for row in found.select("tbody tr")]
    words = {row[0]: [word.rpartition(": ")[2].strip() for word in row[1:3]] for row in rows}
    assert words == {
        "A ramp beats jumping to full LR": ["supported", "contradicted"],
        "Warmup leads to flatter ground": ["inconclusive", "supported"],
        "2/(1−β₂) updates is a good length": ["inconclusive", "not run"],
        "Too large a start kills units": ["contradicted", "contradicted"],
    }
    assert all(len(row[3].split()) > 10 for row in rows)
    told = " ".join(found.get_text(" ").split())
    assert "Round 1 left 2 of 4 claims open; this round leaves 0 of the same open and has not run 1." in told
    assert "differently in the two rounds: A ramp beats jumping to full LR (supported then, contradicted now)" in told


def test_a_small_run_shows_the_published_words(folders: Folders, published_in: Callable[[Path], None]) -> None:
    quick = Folders.of(str(folders.root), "quick")
    published_in(folders.root / "elsewhere")
    before = section(quick)
    assert before and "This round has no verdicts yet." in before.get_text()
    published_in(folders.root)
    after = section(quick)
    assert after and "this round leaves 0 of the same open" in after.get_text()


def test_no_section_without_round_one(tmp_path: Path) -> None:
    assert section(Folders.of(str(tmp_path), "full")) is None


def test_every_claim_of_round_one_has_its_reason_and_successors_exist() -> None:
    kept = {row.id for row in ledger.first_round(Folders(project_root(), "full"))}
    assert [entry["claim"] for entry in entries()] == list(dict.fromkeys(entry["claim"] for entry in entries()))
    assert {entry["claim"] for entry in entries()} == kept
    known = {row.id for row in whole_table()}
    assert {entry.get("now", entry["claim"]) for entry in entries()} <= known
