"""The ledger, verdicts.json: rows of all chapters, their multiplicity adjusted over all that are entered.

A claim whose parts are tested in two chapters has one row, which holds for both as far as both have run.
"""

import json
from collections.abc import Sequence

from warmup_study.claims.conditions import combined
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Verdict, with_holm
from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import Folders
from warmup_study.statistics.decisions import judge as word_of


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
    own, other = sorted((first, second), key=lambda row: row.notebook != claim(row.id).notebook)
    if own.p_supported is None or other.p_supported is None:
        return other if own.p_supported is None else own
    answers = combined([own.answers[:2], other.answers[:2]])
    n = min(own.n, other.n)
    word = word_of(answers.supported, answers.contradicted, n, p_mixed=answers.mixed)
    found = {"p_supported": answers.supported, "p_contradicted": answers.contradicted, "p_mixed": answers.mixed}
    return own.model_copy(update={"verdict": word, "n": n, "parts": (*own.parts, *other.parts), **found})


def write(folders: Folders, rows: Sequence[Verdict]) -> list[Verdict]:
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
