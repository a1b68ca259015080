"""The page's three opening sentences: which verdict each one tells, and in which words."""

import json
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import part, verdict

from warmup_study import report
from warmup_study.claims.table import table as claims_table
from warmup_study.paths import Folders
from warmup_study.report.answer import _phrases

WIDE: dict[str, Any]
NARROW: dict[str, Any]
WIDE, NARROW = {"ci_low": -0.3, "ci_high": 0.4}, {"ci_low": -0.02, "ci_high": 0.03}


def sentences(root: Path, *rows: dict[str, Any]) -> list[str]:
    """What the page says of these verdicts."""
    folders = Folders.of(str(root), "quick")
    folders.results.mkdir(parents=True, exist_ok=True)
    (folders.results / "verdicts.json").write_text(json.dumps(rows), encoding="utf-8")
    return report.answer(report.Results.read(folders)).splitlines()


def test_what_is_decided_is_told_before_what_is_not(tmp_path: Path) -> None:
    open_rows = [verdict("extra-epochs", "inconclusive"), verdict("dead-units", "inconclusive")]
    assert "do not settle whether warmup saves epochs" in sentences(tmp_path, *open_rows)[1]
    decided = [open_rows[0], verdict("dead-units", "supported")]
    assert "more units die for good" in sentences(tmp_path, *decided)[1]


def test_no_two_sentences_tell_the_same_verdict(tmp_path: Path) -> None:
    rows = [verdict("adaptive-only", "supported"), verdict("better-results", "inconclusive", **WIDE)]
    whether, when, _ = sentences(tmp_path, *rows)
    assert "Warm up Adam" in whether and "was not part of this run" in when


@pytest.mark.parametrize(("interval", "nil"), [(NARROW, True), (WIDE, False)])
def test_an_undecided_sign_within_the_margin_is_told_as_nil(
    tmp_path: Path, interval: dict[str, Any], nil: bool
) -> None:
    whether = sentences(tmp_path, verdict("better-results", "inconclusive", **interval))[0]
    assert ("does as well without warmup" in whether) == nil
    assert ("do not settle" in whether) != nil


@pytest.mark.parametrize(("adam", "nil"), [("inside", True), ("undecided", False)])
def test_nil_takes_all_that_the_sentence_shows(tmp_path: Path, adam: str, nil: bool) -> None:
    parts = [part("SGD's gain in LR sensitivity", 0.001, "inside"), part("Adam's gain in LR sensitivity", 0.001, adam)]
    whether = sentences(tmp_path, verdict("adaptive-only", "inconclusive", parts=parts))[0]
    assert ("neither plain SGD nor Adam" in whether) == nil


@pytest.mark.parametrize("word", ["supported", "contradicted", "mixed", "inconclusive"])
@pytest.mark.parametrize("name", sorted({row.id for row in claims_table()} & set(_phrases()["phrase"])))
def test_every_phrase_exists(tmp_path: Path, name: str, word: str) -> None:
    lines = sentences(tmp_path, verdict(name, word, n=7, parts=[part("other", 0.1, "above")]))
    assert len(lines) == 3
    told = [line for line in lines if "was not part of this run" not in line]
    assert told and "0.15" in told[0] and "n = 7" in told[0].replace("\N{NO-BREAK SPACE}", " ")


def test_every_claim_that_a_question_names_has_words() -> None:
    content = _phrases()
    assert {name for question in content["question"] for name in question["claims"]} == set(content["phrase"])
