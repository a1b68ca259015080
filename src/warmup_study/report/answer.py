"""The answer in three sentences, composed from the verdicts, and a default for those who will not test."""

import tomllib
from collections import Counter
from functools import lru_cache
from importlib.resources import files
from typing import Any

from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.presentation.quantities import basis, evidence, measured
from warmup_study.report.results import Results


def answer(results: Results) -> str:
    """Whether, when and how long to warm up, and a default: a Markdown list with numbers from the verdicts."""
    used: set[str] = set()
    lines = []
    for question in _phrases()["question"]:
        verdict = _most_telling(results, question["claims"], used)
        sentence = _sentence(results, verdict) if verdict else _untested(question)
        lines.append(f"- **{question['name']}.** {sentence}")
    return "\n".join([*lines, *_default(results)])


def _default(results: Results) -> list[str]:
    """What to do without any test, and what that costs, as another such line; none where no length was tested."""
    default = _phrases()["default"]
    verdict = results.overall(default["claim"])
    if verdict is None:
        return []
    return [f"- **{default['name']}.** {default['text']} ({evidence(verdict, default['evidence'])})."]


def reading(results: Results) -> str:
    """A paragraph (Markdown) that reads the verdict tables: how many claims fell how, and where tasks differ."""
    words = Counter(verdict.verdict for claim in results.tested for verdict in results.of_claim(claim.id)[:1])
    counts = ", ".join(f"**{count}** {word}" for word, count in words.most_common()) or "none"
    lines = [f"Of {len(results.claims)} claims, {len(results.tested)} have been tested: {counts}."]
    split = [claim.title for claim in results.tested if results.of_claim(claim.id)[0].verdict == "depends"]
    lines += [f"Kinds of networks, or forms of an optimiser, disagree on: {'; '.join(split)}."] if split else []
    return " ".join(lines)


def _most_telling(results: Results, names: list[str], used: set[str]) -> Verdict | None:
    """The first verdict that says something among the claims that no earlier sentence used, else the first at all."""
    tested = [verdict for name in names if name not in used and (verdict := results.overall(name))]
    chosen = next(filter(_says_something, tested), next(iter(tested), None))
    used.update([chosen.id] if chosen else [])
    return chosen


def _says_something(verdict: Verdict) -> bool:
    """Whether the claim is decided, or a part of it for which there is a sentence."""
    phrased = {phrase["name"] for phrase in _phrases()["phrase"][verdict.id].get("statement", [])}
    words = {statement.word for statement in verdict.statements if statement.name in phrased}
    return (words | {verdict.verdict}) != {"inconclusive"}


def _sentence(results: Results, verdict: Verdict) -> str:
    """What a verdict says, with its evidence, kind of network by kind of network, and the tasks that it rests on."""
    phrases = _phrases()["phrase"][verdict.id]
    phrase = phrases.get(verdict.verdict, phrases["mixed"])  # where regimes disagree, unless it says more
    apart = _told_apart(verdict, phrases.get("statement", []))
    told = [apart or f"{phrase} ({evidence(verdict, phrases.get('evidence', {}))})."]
    by_regime = _by_regime(results, verdict.id, phrases.get("by_regime", ""))
    by_optimizer = _by_optimizer(results, phrases.get("by_optimizer", {}))
    told += [f"At twice the best learning rate, by kind of network: {by_regime}."] if by_regime else []
    told += [f"Where plain SGD trains, too: {by_optimizer}."] if by_optimizer else []
    tasks = ", ".join(results.tasks(verdict.id)) or "all"
    return " ".join([*told, f"Tasks: {tasks}{phrases.get('tasks', '')}."])


def _told_apart(verdict: Verdict, phrases: list[dict[str, str]]) -> str:
    """A sentence for each part of a claim, by the part's own word; empty where the claim has one word for all."""
    words = {statement.name: statement.word for statement in verdict.statements}
    effects = {part.name: measured(part, part.name) for part in verdict.parts}
    known = [phrase for phrase in phrases if phrase["name"] in words and phrase["effect"] in effects]
    if len({words[phrase["name"]] for phrase in known}) < 2:
        return ""
    told = [phrase[words[phrase["name"]]].format(effects[phrase["effect"]]) for phrase in known]
    return f"{'. '.join(told)} ({basis(verdict)})."


def _by_regime(results: Results, name: str, effect: str) -> str:
    """The effect in every regime, in words; empty where there is none."""
    rows = [row for row in results.of_claim(name) if row.task == ALL and row.regime]
    parts = [(row.regime, part) for row in rows for part in row.parts if part.name == effect]
    names = _phrases()["network"]
    return "; ".join(f"{names.get(regime, regime)} {measured(part, effect)}" for regime, part in parts)


def _by_optimizer(results: Results, names: dict[str, str]) -> str:
    """The effect under each optimiser that is named, on tasks that all of them train; empty where that was not run."""
    verdict = results.overall("adaptive-only")
    parts = verdict.parts if verdict else ()
    return "; ".join(f"{names[part.name]} {measured(part, part.name)}" for part in parts if part.name in names)


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
