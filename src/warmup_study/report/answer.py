"""The answer in three sentences, composed from the verdicts, and a default for those who will not test."""

from collections import Counter
from typing import Any

from warmup_study.claims.prose import listed
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.quantities import basis, evidence, measured
from warmup_study.report.results import Results
from warmup_study.report.texts import sentences


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
    lines = [f"Of {len(results.claims)} claims, {len(results.tested)} were examined: {counts}."]
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
    told += _by_regime(results, verdict.id, phrases["by_regime"]) if "by_regime" in phrases else []
    if not ("in_table" in phrases and results.of_regimes(verdict.id)):
        told.append(f"Tasks: {', '.join(results.tasks(verdict.id)) or 'all'}{phrases.get('tasks', '')}.")
    return " ".join(told)


def _told_apart(verdict: Verdict, phrases: list[dict[str, str]]) -> str:
    """A sentence for each part of a claim, by the part's own word; empty where the claim has one word for all."""
    words = {statement.name: statement.word for statement in verdict.statements}
    effects = {part.name: measured(part, part.name) for part in verdict.parts}
    known = [phrase for phrase in phrases if phrase["name"] in words and phrase["effect"] in effects]
    if len({words[phrase["name"]] for phrase in known}) < 2:
        return ""
    told = [phrase[words[phrase["name"]]].format(effects[phrase["effect"]]) for phrase in known]
    return f"{'. '.join(told)} ({basis(verdict)})."


def _by_regime(results: Results, name: str, words: dict[str, Any]) -> list[str]:
    """A sentence that says where the effect lies on each kind of network; none where there is none."""
    rows = results.of_regimes(name)
    places = {row.regime: part.decision for row in rows for part in row.parts if part.name == words["effect"]}
    told = [
        words["places"][decision].format(listed([kind_of_network(regime) for regime in regimes]))
        for decision in words["places"]
        if (regimes := [regime for regime, place in places.items() if place == decision])
    ]
    return [f"{words['text'].format(', '.join(told))}."] if told else []


def kind_of_network(regime: str) -> str:
    """A regime in a reader's words."""
    name: str = _phrases()["network"].get(regime, regime)
    return name


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


def _phrases() -> dict[str, Any]:
    return sentences("answers")
