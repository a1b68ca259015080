"""The answer in three sentences, composed from the verdicts."""

import tomllib
from collections import Counter
from functools import lru_cache
from importlib.resources import files
from typing import Any

from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.formatting import evidence
from warmup_study.report.results import Results


def answer(results: Results) -> str:
    """Three sentences (Markdown list): whether, when and how long to warm up, with numbers from the verdicts."""
    used: set[str] = set()
    lines = []
    for question in _phrases()["question"]:
        verdict = _most_telling(results, question["claims"], used)
        sentence = _sentence(results, verdict) if verdict else _untested(question)
        lines.append(f"- **{question['name']}.** {sentence}")
    return "\n".join(lines)


def reading(results: Results) -> str:
    """A paragraph (Markdown) that reads the verdict tables: how many claims fell how, and where tasks differ."""
    words = Counter(verdict.verdict for claim in results.tested for verdict in results.of_claim(claim.id)[:1])
    counts = ", ".join(f"**{count}** {word}" for word, count in words.most_common()) or "none"
    lines = [f"Of {len(results.claims)} claims, {len(results.tested)} have been tested: {counts}."]
    split = [claim.title for claim in results.tested if results.of_claim(claim.id)[0].verdict == "depends"]
    lines.append(f"Regimes give different words on: {'; '.join(split)}." if split else "No regimes disagree on any.")
    return " ".join(lines)


def _most_telling(results: Results, names: list[str], used: set[str]) -> Verdict | None:
    """The first verdict that says something among the claims that no earlier sentence used, else the first at all."""
    tested = [verdict for name in names if name not in used and (verdict := results.overall(name))]
    chosen = next((verdict for verdict in tested if verdict.verdict != "inconclusive"), next(iter(tested), None))
    used.update([chosen.id] if chosen else [])
    return chosen


def _sentence(results: Results, verdict: Verdict) -> str:
    """What a verdict says, with its evidence and the tasks it stands on."""
    phrases = _phrases()["phrase"][verdict.id]
    tasks = results.tasks(verdict.id) or ["all tasks"]
    numbers = evidence(verdict, phrases.get("evidence", {}))
    phrase = phrases.get(verdict.verdict, phrases["mixed"])  # where regimes disagree, unless it says more
    return f"{phrase} ({numbers}; {', '.join(tasks)})."


def _untested(question: dict[str, Any]) -> str:
    """An honest gap, and where it will be filled."""
    known = {row.id: row.notebook for row in claims_table()}
    chapters = sorted({chapter_name(known[name]) for name in question["claims"] if name in known})
    if not chapters:
        return f"{question['untested']}."
    return f"{question['untested']} (run {' and '.join(chapters)})."


def chapter_name(notebook: str) -> str:
    """A notebook's name in a sentence."""
    chapter = notebook.partition("_")[0]
    return f"chapter {chapter}" if chapter.isdigit() else f"the {notebook}"


@lru_cache(maxsize=1)
def _phrases() -> dict[str, Any]:
    """The parsed answers.toml."""
    return tomllib.loads(files(__package__).joinpath("answers.toml").read_text(encoding="utf-8"))
