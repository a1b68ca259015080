"""The ledger, verdicts.json: rows of all chapters, corrected for the number of claims that are entered."""

import json
from collections.abc import Sequence
from pathlib import Path

from warmup_study.claims.correction import corrected
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import Folders

FILE = "verdicts.json"
FIRST_ROUND = "round1"
"""Folder of the exploratory round's rows, which had other rules and Holm's correction over all claims."""


def write(folders: Folders, rows: Sequence[Verdict]) -> list[Verdict]:
    """Correct the rows for their number, sort and write them: a claim's row over all tasks, its regimes, its tasks."""
    adjusted = sorted(
        corrected(rows), key=lambda row: (row.notebook, row.id, row.task != ALL, bool(row.regime), row.regime, row.task)
    )
    content = json.dumps([row.model_dump(mode="json") for row in adjusted], indent=1, ensure_ascii=False)
    write_atomically(folders.results / FILE, content + "\n")
    return adjusted


def read(folders: Folders) -> list[Verdict]:
    """All rows entered so far; none where no chapter has run. Raises ``StudyError`` where the file is damaged."""
    return _rows(folders.results / FILE)


def first_round(folders: Folders) -> list[Verdict]:
    """The rows of the exploratory round, to show beside; none where they are not there."""
    return _rows(folders.results.parent / FIRST_ROUND / FILE)


def _rows(path: Path) -> list[Verdict]:
    try:
        return [Verdict.model_validate(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as problem:
        raise StudyError(f"{path.name}: cannot be read; remove it and run the chapters again") from problem
