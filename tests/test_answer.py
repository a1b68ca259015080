"""The page's three opening sentences: which verdict each one tells, and in which words."""

import json
from pathlib import Path
from typing import Any

import pytest
from published import PUBLISHED
from report_fixtures import part, verdict

from warmup_study import report
from warmup_study.chapters.how_long.analysis import lengths
from warmup_study.claims import ledger
from warmup_study.claims.table import claim
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.paths import Folders
from warmup_study.presentation.quantities import measured, told_apart
from warmup_study.report import advice, by_network
from warmup_study.report.answer import _phrases

SIZES = {
    "decades": "1.4",
    "log ratio of test losses": "14",
    "share of units": "15",
    "ratio of first to settled update": "0.15",
}
EXCESS = "16\N{NO-BREAK SPACE}% higher loss"  # an effect of 0.148 where higher means worse


def sentences(root: Path, *rows: dict[str, Any]) -> list[str]:
    """What the page says of these verdicts."""
    folders = Folders.of(str(root), "quick")
    folders.results.mkdir(parents=True, exist_ok=True)
    (folders.results / "verdicts.json").write_text(json.dumps(rows), encoding="utf-8")
    return report.answer(report.Results.read(folders)).splitlines()


def in_losses(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts, in the unit of gains in loss."""
    return [one | {"unit": "log ratio of test losses"} for one in parts]


def test_what_is_decided_is_told_before_what_is_not(tmp_path: Path) -> None:
    open_rows = [verdict("extra-epochs", "inconclusive"), verdict("dead-units", "inconclusive")]
    assert "do not settle whether a ramp saves epochs" in sentences(tmp_path, *open_rows)[1]
    decided = [open_rows[0], verdict("dead-units", "supported")]
    assert "more units die for good" in sentences(tmp_path, *decided)[1]


def test_no_two_sentences_tell_the_same_verdict(tmp_path: Path) -> None:
    rows = [verdict("adaptive-only", "supported"), verdict("better-results", "inconclusive")]
    whether, when, _ = sentences(tmp_path, *rows)
    assert "Warm up adaptive optimisers" in whether and "was not part of this run" in when


@pytest.mark.parametrize(
    ("name", "estimate", "low", "high", "told"),
    [
        ("gain above it", 1.2, -0.2, 2.0, "70 % lower loss (22 % higher loss to 86 % lower loss)"),
        ("excess loss at the end", -1.2, -2.0, 0.1, "70 % lower loss (86 % lower loss to 11 % higher loss)"),
        ("excess loss at the end", 0.5, 0.2, 1.6, "1.6 times higher loss (22 % to 5 times)"),
        ("gain above it", 5.8, 5.5, 6.0, "99.7 % lower loss (99.6 % to 99.8 %)"),
        ("gain above it", -1.5, -2.0, -1.2, "4.5 times higher loss (3.3 times to 7.4 times)"),
        ("early box loss (ramp, adam)", -0.05, -0.1, 0.02, "4.9 % lower loss (9.5 % lower loss to 2 % higher loss)"),
        ("log loss of a long over a short ramp, skewed less mixed", 0.1, 0.05, 0.2, "11 % less gain (5.1 % to 22 %)"),
    ],
)
def test_only_rises_are_told_as_factors(name: str, estimate: float, low: float, high: float, told: str) -> None:
    whole = part(name, estimate, "undecided") | {"unit": "log ratio of test losses", "ci_low": low, "ci_high": high}
    assert measured(Part.model_validate(whole), name).replace("\N{NO-BREAK SPACE}", " ") == told


def test_the_first_answer_tells_both_places(tmp_path: Path) -> None:
    parts = [part("gain at the best learning rate", 0.02, "inside"), part("gain above it", 1.2, "above")]
    whether = sentences(tmp_path, verdict("better-results", "mixed", parts=in_losses(parts)))[0]
    assert "It depends on the learning rate (" in whether and "ends with 2\N{NO-BREAK SPACE}% lower loss" in whether
    assert "with 70\N{NO-BREAK SPACE}% lower loss (69\N{NO-BREAK SPACE}% to 71\N{NO-BREAK SPACE}%)" in whether
    assert whether.endswith("Tasks: all.")


def test_the_table_below_the_answer_tells_networks_and_optimisers_apart(tmp_path: Path) -> None:
    gains = [part("Adam: gain at the best learning rate", 0.02, "inside"), part("Adam: gain above it", 1.2, "above")]
    slower = [part("SGD's gain above the best learning rate", -0.5, "below")]
    deep: dict[str, Any] = {"task": "all", "regime": "deep", "n": 7}
    rows = [
        verdict("better-results", "depends"),
        verdict("better-results", "supported", parts=in_losses(gains), **deep),
        verdict("better-results", "inconclusive", task="digits-he8", regime="deep"),
        verdict("adaptive-only", "mixed", parts=in_losses(slower), **deep),
    ]
    whether = sentences(tmp_path, *rows)[0]
    assert "on the network" in whether and "Tasks:" not in whether  # the table names them
    results = report.Results.read(Folders.of(str(tmp_path), "quick"))
    (row,) = by_network.rows(results)
    assert (row.network, row.tasks, row.n) == ("deep MLPs", ["digits-he8"], 7)
    assert [gain.word for gain in row.gains] == ["too small to matter", "clearly better", "–", "clearly worse"]
    text = report.gain_table(results).replace("\N{NO-BREAK SPACE}", " ")
    assert "70 % lower loss (69 % to 71 %)" in text and "65 % higher loss" in text
    (results.folders.results / "verdicts.json").write_text("[]", encoding="utf-8")
    assert report.gain_table(report.Results.read(results.folders)) == ""


def test_how_long_is_told_by_kind_of_network(tmp_path: Path) -> None:
    at_one_epoch = "excess loss at one epoch, above the best learning rate"
    places = {"easy": "inside", "attention": "above", "deep": "above", "conv": "undecided"}
    rows = [
        verdict("how-long", "inconclusive", task="all", regime=regime, parts=[part(at_one_epoch, 0.1, place)])
        for regime, place in places.items()
    ]
    long = sentences(tmp_path, verdict("how-long", "inconclusive"), *rows)[2]
    assert (
        "one epoch is enough on shallow MLPs, too short on Transformers and deep MLPs, "
        "not settled on convolutional networks." in long
    )


def test_parts_that_differ_are_answered_one_by_one(tmp_path: Path) -> None:
    said = [("at the best learning rate", "inconclusive"), ("above it", "supported")]
    statements = [{"name": name, "word": word, "p_holds": 0.5, "p_fails": 0.5} for name, word in said]
    parts = [part("gain at the best learning rate", 0.02, "undecided"), part("gain above it", 1.2, "above")]
    open_ = verdict("better-results", "inconclusive", parts=in_losses(parts), statements=statements)
    whether = sentences(tmp_path, verdict("adaptive-only", "supported"), open_)[0].replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "Yes where the learning rate is too high: " in whether
        and "a ramp ends with 70 % lower loss (69 % to 71 %)" in whether
    )
    assert "whether that matters is not settled" in whether and "2 % lower loss" in whether
    row = Verdict.model_validate(open_)
    assert told_apart(row) == "at the best learning rate: inconclusive; above it: supported"
    alike = [one | {"word": "supported"} for one in statements]
    assert told_apart(Verdict.model_validate(open_ | {"statements": alike})) == ""


@pytest.mark.parametrize("word", ["supported", "contradicted", "mixed", "inconclusive"])
@pytest.mark.parametrize("name", sorted({row.id for row in claims_table()} & set(_phrases()["phrase"])))
def test_every_phrase_exists(tmp_path: Path, name: str, word: str) -> None:
    lines = sentences(tmp_path, verdict(name, word, n=7, parts=[part("other", 0.1, "above")]))
    assert len(lines) == 3 + (name == "how-long")  # a default, where lengths were tested
    told = [line for line in lines if "was not part of this run" not in line]
    size = SIZES.get(claim(name).unit, "0.15")
    assert any(part in told[0] for part in (size, EXCESS)) and "n = 7" in told[0].replace("\N{NO-BREAK SPACE}", " ")


def test_every_claim_that_a_question_names_has_words() -> None:
    content = _phrases()
    assert {name for question in content["question"] for name in question["claims"]} == set(content["phrase"])


def test_advice_follows_the_part_of_a_claim_that_bears_on_the_situation(tmp_path: Path) -> None:
    said = [("at the best learning rate", "contradicted"), ("above it", "supported")]
    statements = [{"name": name, "word": word, "p_holds": 0.5, "p_fails": 0.5} for name, word in said]
    parts = [part("gain at the best learning rate", 0.02, "inside"), part("gain above it", 1.2, "above")]
    sentences(tmp_path, verdict("better-results", "mixed", parts=parts, statements=statements))
    rows = advice.table(Folders.of(str(tmp_path), "quick")).set_index("situation")
    high, tuned = (rows.loc[name] for name in rows.index if rows["evidence"][name].startswith("better-results"))
    assert (tuned["evidence"], high["evidence"]) == ("better-results: contradicted", "better-results: supported")
    assert high["advice"].startswith("Ramp") and high["measured"].startswith("16")


def test_words_name_effects_that_the_claims_have() -> None:
    """Each stands in the claim's rule; six that stand beside a rule were measured in the published run."""
    rules = {row.id: row.rule for row in claims_table()}
    shown = {(row.id, part.name) for row in ledger.read(PUBLISHED) if row.over_all for part in row.parts}
    named = [(entry["claim"], entry["part"]) for entry in advice._entries() if "part" in entry]
    for name, phrase in _phrases()["phrase"].items():
        effects = [*phrase.get("evidence", {}), *(each["effect"] for each in phrase.get("statement", []))]
        effects += [phrase["by_regime"]["effect"]] if "by_regime" in phrase else []
        named += [(name, effect) for effect in effects if name in rules and effect != "estimate"]
    beside = {pair for pair in named if pair[1] not in rules[pair[0]]}
    alone = "gain above the best learning rate ({}-LN, with attention)"
    assert {(column["claim"], column["effect"]) for column in _phrases()["column"]} <= shown
    expected = {("attention", alone.format(placement)) for placement in ("post", "pre")}
    expected.add(("how-long", "excess loss at 5 % of the run, above the best learning rate"))
    expected.add(("normalisation", "gain (deep MLP, no norm)"))
    expected.add(("hidden-warmups", "excess loss of the replay (RAdam)"))
    expected.add(("new-data", "new loss saved by n updates more at lr = 0, at the best learning rate (fresh state)"))
    assert beside == expected and beside <= shown


def test_the_default_names_rules_of_thumb_that_were_measured() -> None:
    measured = {lengths.named_excess(rule, place) for rule in lengths.RULES for place in lengths.PLACES}
    assert set(_phrases()["default"]["evidence"]) < measured
