"""What to do in practice: a row for each symptom, with a test, advice chosen by a verdict, and the evidence."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from warmup_study.claims import ledger
from warmup_study.claims.table import claim
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import ALL, Part, Verdict
from warmup_study.paths import Folders
from warmup_study.presentation.formatting import count_of
from warmup_study.presentation.quantities import DECISION_WORDS, GAIN_WORDS, is_cost, is_loss, main_effect, measured
from warmup_study.report.texts import sentences
from warmup_study.statistics.decisions import MIN_SEEDS, Decision, Word

COLUMNS = ["situation", "test", "advice", "measured", "n", "odds", "evidence", "about"]
NOT_RUN = "not run"
OPPOSITE: dict[Decision, Decision] = {"above": "below", "below": "above"}
ANSWERS: dict[Decision, Word] = {
    "above": "supported",
    "inside": "contradicted",
    "below": "contradicted",
    "undecided": "inconclusive",
}
"""The word for "this gain is larger than the smallest that matters", by where its interval lies."""


def table(folders: Folders) -> pd.DataFrame:
    """One row for each situation; where the claim behind it has not been run, the row says so."""
    rows = ledger.read(folders)
    return pd.DataFrame([_row(entry, rows) for entry in _entries()], columns=COLUMNS)


def _row(entry: dict[str, Any], rows: Sequence[Verdict]) -> list[str]:
    head = [entry["situation"], entry["test"]]
    if "always" in entry:
        return [*head, entry["always"], "–", "–", "", entry["basis"], ""]
    mine = [row for row in rows if row.id == entry["claim"]]
    verdict = next((row for row in mine if row.over_all), None)
    if verdict is None:
        return [*head, entry["inconclusive"], "–", "–", "", f"{entry['claim']}: {NOT_RUN}", ""]
    effect = entry.get("part") or main_effect(claim(entry["claim"]))
    shown = _shown(verdict, effect)
    word, about = _told(entry, verdict, shown)
    advice = entry[word if word in entry else "mixed"]  # where regimes disagree, unless it says more
    source = f"{entry['claim']}: {word}"
    return [*head, advice, measured(shown, effect), str(shown.n), _odds(mine, effect), source, about]


def _told(entry: dict[str, Any], verdict: Verdict, shown: Verdict | Part) -> tuple[str, str]:
    """The word that chooses the advice, and what it is about: the effect shown, a statement, or "" for the claim."""
    if "asks" in entry:
        place = shown.decision if isinstance(shown, Part) and shown.n >= MIN_SEEDS else "undecided"
        return ANSWERS[place], entry["asks"]
    statement = next((each for each in verdict.statements if each.name == entry.get("statement")), None)
    return (statement.word, statement.name) if statement else (verdict.verdict, "")


def _shown(verdict: Verdict, effect: str) -> Verdict | Part:
    """The claim's part that measures the effect, the claim itself where it has no such part."""
    return next((part for part in verdict.parts if part.name == effect), verdict)


def _odds(rows: Sequence[Verdict], effect: str) -> str:
    """On how many tasks the effect is above its margin, within it, below, or open; empty where none counts.

    Also empty for effects such as a delay, whose margin lies around another value than 0.
    """
    if any(leaf.around for leaf in claim(rows[0].id).conditions.leaves() if effect in leaf.subjects):
        return ""
    found = [_shown(row, effect) for row in rows if row.task != ALL and row.estimate is not None]
    places = Counter(_place(one, effect) for one in found)
    names = GAIN_WORDS if found and is_loss(found[0].unit) else DECISION_WORDS
    told = [f"{places[place]} {words}" for place, words in names.items() if places[place]]
    return f"{count_of(len(found), 'task')}: {', '.join(told)}" if told else ""


def _place(found: Verdict | Part, effect: str) -> Decision:
    """Where the effect lies in the sense in which its number is told, "lower loss" being above."""
    place = found.decision if isinstance(found, Part) else found.place
    return OPPOSITE.get(place, place) if is_cost(effect) else place


def _entries() -> list[dict[str, Any]]:
    """The rows of advice.toml, as far as there are chapters that test their claims."""
    known = {row.id for row in claims_table()}
    return [row for row in sentences("advice")["row"] if row.get("claim", "") in {*known, ""}]
