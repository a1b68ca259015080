"""The table of what is left open, and the smallest effect that a study could find."""

import json
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from report_fixtures import verdict

from warmup_study import report
from warmup_study.claims.openness import POWER
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders
from warmup_study.report.power import detectable
from warmup_study.statistics.bootstrap import paired_effect

SEEDS, STUDIES = 30, 400


def test_the_smallest_effect_is_found_in_four_studies_of_five() -> None:
    chance = np.random.default_rng(11)
    noise = chance.standard_normal((STUDIES, SEEDS))
    studies = [paired_effect(row, 399) for row in noise]
    rows = [
        Verdict.model_validate(verdict("jump", "inconclusive", ci_low=study.low, ci_high=study.high))
        for study in studies
    ]
    least = float(np.median([detectable(row) or np.nan for row in rows]))
    found = np.mean([study.low + least > 0 for study in studies])
    assert found == pytest.approx(POWER, abs=3 * np.sqrt(POWER * (1 - POWER) / STUDIES))


def test_without_an_interval_there_is_no_smallest_effect() -> None:
    assert detectable(Verdict.model_validate(verdict("definition", "supported", ci_low=None, ci_high=None))) is None


def test_undecided_claims_are_listed_the_nearest_first(tmp_path: Path) -> None:
    folders = Folders.of(str(tmp_path), "quick")
    folders.results.mkdir(parents=True)
    rows = [
        verdict("jump", "inconclusive", p_supported=0.4, p_contradicted=0.6, p_adjusted=1.0),
        verdict("extra-epochs", "supported", p_supported=1e-4, p_contradicted=1.0, p_adjusted=2e-3),
        verdict("dead-units", "inconclusive", p_supported=0.003, p_contradicted=1.0, p_adjusted=0.07),
    ]
    (folders.results / "verdicts.json").write_text(json.dumps(rows), encoding="utf-8")
    table = BeautifulSoup(report.undecided_table(report.Results.read(folders)), "html.parser")
    links = [str(link["href"]).partition("#")[2] for link in table("a")]
    assert links == ["dead-units", "jump"]
    alone = [row.select("td")[2].get_text().split() for row in table.select("tbody tr")]
    assert alone == [["alone:", "supported"], ["alone:", "inconclusive"]]
    assert "p: 0.006" in table.get_text()
    decided = [rows[1]]
    (folders.results / "verdicts.json").write_text(json.dumps(decided), encoding="utf-8")
    assert report.undecided_table(report.Results.read(folders)) == ""
