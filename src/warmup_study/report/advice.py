"""What to do in practice: advice chosen by the verdicts of all chapters that have run, each row with its evidence."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

import pandas as pd

from warmup_study.claims import ledger
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.paths import Folders
from warmup_study.presentation.formatting import NO_BREAK, interval, number, percent
from warmup_study.statistics.bootstrap import LEVEL

COLUMNS = ["if you have", "then", "by", f"{percent(LEVEL)} interval", "n", "evidence"]


def table(folders: Folders) -> pd.DataFrame:
    """One row for each situation; where the claim behind it has not been run, the row says so."""
    overall = {row.id: row for row in ledger.read(folders) if row.over_all}
    return pd.DataFrame([_row(entry, overall.get(entry["claim"])) for entry in _entries()], columns=COLUMNS)


def _row(entry: dict[str, Any], verdict: Verdict | None) -> list[str]:
    word = _word(entry, verdict) if verdict else "not run"
    source = f"{entry['claim']}: {word}"
    if verdict is None:
        return [entry["situation"], "–", "–", "–", "–", source]
    shown = _shown(entry, verdict)
    size = number(shown.estimate)
    with_unit = f"{size}{NO_BREAK}{shown.unit}" if shown.estimate is not None else size
    advice = entry.get(word, entry["mixed"])  # where regimes disagree, unless it says more
    return [entry["situation"], advice, with_unit, interval(shown) or "–", str(shown.n), source]


def _word(entry: dict[str, Any], verdict: Verdict) -> str:
    """The word of the claim's statement that bears on the situation, the claim's own where the entry names none."""
    words = {statement.name: statement.word for statement in verdict.statements}
    return words.get(entry.get("statement", ""), verdict.verdict)


def _shown(entry: dict[str, Any], verdict: Verdict) -> Verdict | Part:
    """The claim's part that bears on the situation, the claim itself where the entry names none."""
    return next((part for part in verdict.parts if part.name == entry.get("part")), verdict)


@lru_cache(maxsize=1)
def _entries() -> list[dict[str, Any]]:
    """The parsed advice.toml, as far as there are chapters that test its claims."""
    known = {claim.id for claim in claims_table()}
    content = tomllib.loads(files(__package__).joinpath("advice.toml").read_text(encoding="utf-8"))
    return [row for row in content["row"] if row["claim"] in known]
