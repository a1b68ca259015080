"""From tables of runs to the ledger: every chapter judges its claims and enters its rows."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pandas as pd

from warmup_study.chapters.packages import analysis_of
from warmup_study.chapters.report import analysis
from warmup_study.claims import ledger
from warmup_study.claims.robustness import judged
from warmup_study.claims.verdict import Verdict
from warmup_study.errors import StudyError
from warmup_study.files import locked
from warmup_study.paths import Folders
from warmup_study.running import provenance, registration
from warmup_study.running import tables as tables_of_runs

_COMPUTE = ("numpy", "scipy", "pandas", "statsmodels")
_CORRECTED = {"verdict", "why_open", "p_adjusted", "p_yekutieli"}  # fields that other chapters' claims have a say in


def judge(notebook: str, runs: pd.DataFrame, claim: str = "") -> list[Verdict]:
    """The rows of one chapter, or of one claim, not yet adjusted: functions of its table of runs alone.

    A chapter's analysis has ``CLAIMS``: by claim, a function from its runs to the effects of each task by name; and
    ``BY_HAND``, functions from its runs to rows, for claims that no conditions decide.
    """
    chapter = analysis_of(notebook)
    seeds = int(runs["seed"].nunique())
    by_hand = {name: rows for name, rows in getattr(chapter, "BY_HAND", {}).items() if claim in ("", name)}
    measured = {name: measure for name, measure in chapter.CLAIMS.items() if claim in ("", name)}
    found = [judged(name, measure, runs, seeds) for name, measure in measured.items()]
    return [row for rows in (*(decide(runs) for decide in by_hand.values()), *found) for row in rows]


def enter_report(folders: Folders) -> list[Verdict]:
    """Enter the report's own rows, which rest on all chapters' tables of runs; nothing where no chapter has run."""
    rows = analysis.judge(tables(folders))
    return enter(folders, analysis.NOTEBOOK, rows) if rows else []


def tables(folders: Folders) -> dict[str, pd.DataFrame]:
    """Every chapter's table of runs, in reading order; one of an older study counts as not run."""
    found = {}
    for name in tables_of_runs.stored(folders.results):
        with contextlib.suppress(StudyError):
            found[name] = tables_of_runs.read(folders.results, name)
    return found


def verdicts(folders: Folders, notebook: str, runs: pd.DataFrame) -> list[Verdict]:
    """The chapter's rows, corrected and entered in verdicts.json.

    Bootstraps take minutes: rows stay as they lie there if these runs gave them, by the rules and analysis of today.
    """
    basis = _basis(notebook, runs)
    kept = [row for row in ledger.read(folders) if row.notebook == notebook]
    if kept and provenance.judged(folders, notebook) == _digest(basis, kept):
        return kept
    rows = enter(folders, notebook, judge(notebook, runs))
    provenance.record_judged(folders, notebook, _digest(basis, rows))
    return rows


def enter(folders: Folders, notebook: str, rows: Sequence[Verdict]) -> list[Verdict]:
    """Replace the notebook's rows in verdicts.json, correct all, write, and return the notebook's as corrected."""
    with locked(folders.results):
        others = [row for row in ledger.read(folders) if row.notebook != notebook]
        return [row for row in ledger.write(folders, [*others, *rows]) if row.notebook == notebook]


def recompute(folders: Folders) -> list[Verdict]:
    """All rows made anew from the chapters' tables of runs alone, written in place of verdicts.json, and returned.

    Raises ``StudyError`` where no chapter has run, or a table of runs is damaged.
    """
    stored = tables_of_runs.stored(folders.results)
    if not stored:
        raise StudyError(f"no results of preset {folders.preset}: run a chapter first")
    with locked(folders.results):
        rows = [row for name in stored for row in judge(name, tables_of_runs.read(folders.results, name))]
        return ledger.write(folders, [*rows, *analysis.judge(tables(folders))])


def _basis(notebook: str, runs: pd.DataFrame) -> dict[str, Any]:
    """All that a chapter's rows follow from: runs, rules, analysis and libraries."""
    return {
        "registered": registration.digests(notebook),
        "libraries": [version(name) for name in _COMPUTE],
        "chunks": list(runs["chunk"].unique()),
        "runs": pd.util.hash_pandas_object(runs.select_dtypes("number"), index=False).tolist(),
    }


def _digest(basis: Mapping[str, Any], rows: Sequence[Verdict]) -> str:
    """What stands for the rows together with all that they follow from."""
    dumped = [row.model_dump(mode="json", exclude=_CORRECTED) for row in rows]
    return hashlib.sha256(json.dumps({**basis, "rows": dumped}, sort_keys=True).encode()).hexdigest()
