"""verdicts.json: every chapter enters its rows, and multiplicity is adjusted over all rows entered so far.

A claim whose parts are tested in two chapters has one row, which holds for both as far as both have run.
"""

import contextlib
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from warmup_study import claims, store
from warmup_study.claims import better_results
from warmup_study.inference import Verdict, both, either, with_holm
from warmup_study.inference import judge as word_of
from warmup_study.paths import CHAPTERS, Folders, StudyError, locked, write_atomically


def judge(notebook: str, runs: pd.DataFrame, claim: str = "") -> list[Verdict]:
    """The rows of one chapter, or of one claim that it shares, not yet adjusted: functions of its table of runs alone.

    A chapter that shares a claim has a function ``judge_claim`` beside its ``judge``.
    """
    tests = importlib.import_module(f"warmup_study.claims.{notebook.partition('_')[2]}")
    return list(tests.judge_claim(claim, runs) if claim else tests.judge(runs))


def enter_report(folders: Folders) -> list[Verdict]:
    """Enter the report's own rows, which rest on all chapters' tables of runs; nothing where no chapter has run."""
    rows = better_results.judge(tables(folders))
    return enter(folders, better_results.NOTEBOOK, rows) if rows else []


def tables(folders: Folders) -> dict[str, pd.DataFrame]:
    """Every chapter's table of runs, in reading order; one of an older study counts as not run."""
    found = {}
    for name, path in _stored(folders).items():
        with contextlib.suppress(StudyError):
            found[name] = store.read_runs(path)
    return found


def _stored(folders: Folders) -> dict[str, Path]:
    """Where the chapters' tables of runs lie that exist, in reading order."""
    paths = {name: folders.results / f"{name}.parquet" for name in CHAPTERS}
    return {name: path for name, path in paths.items() if path.exists()}


def enter(folders: Folders, notebook: str, rows: Sequence[Verdict]) -> list[Verdict]:
    """Replace the notebook's rows in verdicts.json, adjust all (Holm), write, and return the notebook's as adjusted."""
    mine = {row.id for row in rows}
    with locked(folders.results):
        entered = joined([*_of_sister_chapters(folders, notebook), *rows])
        others = [row for row in read(folders) if row.notebook != notebook and row.id not in mine]
        return [row for row in _write(folders, [*others, *entered]) if row.id in mine]


def joined(rows: Sequence[Verdict]) -> list[Verdict]:
    """One row per claim and task: the parts of a claim that two chapters tested, brought together.

    Supported or contradicted where both parts agree, mixed where they disagree; a part without evidence has no say.
    """
    found: dict[tuple[str, str], Verdict] = {}
    for row in rows:
        known = found.get((row.id, row.task))
        found[row.id, row.task] = _together(known, row) if known else row
    return list(found.values())


def _together(first: Verdict, second: Verdict) -> Verdict:
    own, other = sorted((first, second), key=lambda row: row.notebook != claims.claim(row.id).notebook)
    if own.p_supported is None or other.p_supported is None:
        return other if own.p_supported is None else own
    holds, fails = zip(_answers(own), _answers(other), strict=True)
    answers = {
        "p_supported": both(*holds),
        "p_contradicted": both(*fails),
        "p_mixed": either(both(holds[0], fails[1]), both(fails[0], holds[1])),
    }
    n = min(own.n, other.n)
    word = word_of(answers["p_supported"], answers["p_contradicted"], n, p_mixed=answers["p_mixed"])
    return own.model_copy(update={"verdict": word, "n": n, "parts": (*own.parts, *other.parts), **answers})


def _answers(row: Verdict) -> tuple[float, float]:
    """P-values for "it holds" and "it fails"; 1 where nothing was estimated."""
    supported, contradicted = row.p_supported, row.p_contradicted
    return 1.0 if supported is None else supported, 1.0 if contradicted is None else contradicted


def _of_sister_chapters(folders: Folders, notebook: str) -> list[Verdict]:
    """Rows that other chapters contribute to the claims which this one shares with them, where they have run."""
    rows = []
    for claim in claims.table():
        tested_in = (claim.notebook, *claim.also)
        for other in tested_in if notebook in tested_in else ():
            with contextlib.suppress(StudyError):  # a table of an older study counts as not run
                if other != notebook:
                    rows += judge(other, store.read_runs(folders.results / f"{other}.parquet"), claim.id)
    return rows


def recompute(folders: Folders) -> list[Verdict]:
    """All rows made anew from the chapters' tables of runs alone, written in place of verdicts.json, and returned.

    Raises ``StudyError`` where no chapter has run, or a table of runs is damaged.
    """
    stored = _stored(folders)
    if not stored:
        raise StudyError(f"no results of preset {folders.preset}: run a chapter first")
    with locked(folders.results):
        rows = [row for name, path in stored.items() for row in judge(name, store.read_runs(path))]
        return _write(folders, [*joined(rows), *better_results.judge(tables(folders))])


def _write(folders: Folders, rows: Sequence[Verdict]) -> list[Verdict]:
    """Adjust the rows for their number, sort and write them."""
    adjusted = sorted(with_holm(rows), key=lambda row: (row.notebook, row.id, row.task != "all", row.task))
    content = json.dumps([row.model_dump(mode="json") for row in adjusted], indent=1, ensure_ascii=False)
    write_atomically(folders.results / "verdicts.json", content + "\n")
    return adjusted


def read(folders: Folders) -> list[Verdict]:
    """All rows entered so far; none where no chapter has run. Raises ``StudyError`` where the file is damaged."""
    path = folders.results / "verdicts.json"
    try:
        return [Verdict.model_validate(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as problem:
        raise StudyError(f"{path.name}: cannot be read; remove it and run the chapters again") from problem
