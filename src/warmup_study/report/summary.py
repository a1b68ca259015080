"""The first screens: verdicts, main figure, what to do, what was not run. Shared by the page and its notebook."""

from collections.abc import Sequence
from typing import Any

from IPython.display import HTML
from jinja2 import Environment, PackageLoader

from warmup_study.claims.openness import NOT_REACHED
from warmup_study.claims.table import Claim, claim
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.formatting import number, percent
from warmup_study.presentation.quantities import main_effect, measured, told_apart
from warmup_study.report import advice
from warmup_study.report.answer import chapter_name, kind_of_network
from warmup_study.report.glyphs import UNTESTED, forest, mark
from warmup_study.report.results import Results, Sidecar, published
from warmup_study.statistics.bootstrap import LEVEL

AT_ONCE = 12  # rows of a table that a reader sees at once; the rest of a longer one is folded
MAIN_FIGURES = ("four_setups", "lr_curves")  # by the names that their chapters give them, the better first
ORDER = (
    "supported",
    "contradicted",
    "depends",
    "mixed",
    "inconclusive",
)  # a reader in haste gets what was decided first


def own_verdict_table(results: Results) -> str:
    """HTML table of the tested claims; a line that says so where there is none."""
    if not results.tested:
        return "<p>No claim has been tested by this run.</p>"
    rows = verdict_rows(results)
    late = [row for row in rows if _can_wait(row)] if len(rows) > AT_ONCE else []
    return drawn("verdicts.html.j2", rows=[row for row in rows if row not in late], late=late)


def _can_wait(row: dict[str, Any]) -> bool:
    """Whether a row tells of a claim that is left open and is no headline question."""
    return row["verdict"].verdict == "inconclusive" and not row["claim"].headline


def verdict_rows(results: Results) -> list[dict[str, Any]]:
    """What each row of the verdict table shows: headline questions first, then decided claims, then open ones."""
    rows = [
        {"claim": row, "verdict": results.of_claim(row.id)[0], "tasks": results.tasks(row.id)} for row in results.tested
    ]
    return sorted(rows, key=lambda row: (not row["claim"].headline, ORDER.index(row["verdict"].verdict)))


def untested_table(results: Results) -> str:
    """HTML table of the claims that have no verdict; empty where every claim has one."""
    claims = untested(results)
    if not claims:
        return ""
    return drawn("untested.html.j2", claims=claims, untested=UNTESTED, chapter_name=chapter_name)


def untested(results: Results) -> Sequence[Claim]:
    """Claims without a verdict, of this run or, where it is a small one, published."""
    shown = () if results.folders.preset == "full" else published().tested
    return [row for row in results.untested if row not in shown]


def main_figure(results: Results) -> Sidecar | None:
    """The figure of the four setups if it exists, else the first chapter's curves, else none."""
    figures = list(results.figures.values())
    candidates = [figure for name in MAIN_FIGURES for figure in figures if figure.name.startswith(name)]
    return next(iter(candidates), None)


def verdicts_by_task(results: Results) -> HTML:
    """The verdicts behind the table over all tasks, claim by claim and task by task; folded, as they are many."""
    groups = [(row, results.of_claim(row.id)[0], _by_task(results, row)) for row in results.tested]
    groups = [group for group in groups if group[-1]]
    count = sum(len(verdicts) for *_, verdicts in groups)
    return HTML(drawn("verdicts_by_task.html.j2", groups=groups, count=count))


def _by_task(results: Results, row: Claim) -> Sequence[Verdict]:
    return [verdict for verdict in results.of_claim(row.id) if not verdict.over_all]


def practice_table(results: Results) -> str:
    """HTML table of what to do in practice; empty where nothing has been tested."""
    if not results.tested:
        return ""
    rows = [row | _evidence(row["evidence"]) for row in advice.table(results.folders).to_dict("records")]
    return drawn("practice.html.j2", rows=rows[:AT_ONCE], late=rows[AT_ONCE:])


def _evidence(source: str) -> dict[str, Any]:
    """The claim behind a row of the practical table, if any, and the word of its verdict."""
    name, _, word = source.rpartition(": ")
    return {"claim": claim(name) if name else None, "word": word}


def own_effect(verdict: Verdict) -> str:
    """The estimate that a verdict shows as its own, with its interval, in words."""
    return measured(verdict, main_effect(claim(verdict.id)))


def why_open(verdict: Verdict) -> str:
    """Why a verdict is open, for readers who don't know what a fixed sequence is."""
    if verdict.why_open == NOT_REACHED:
        return "not judged: the headline question before it is open"
    return verdict.why_open


def drawn(name: str, **content: Any) -> str:
    """A template of the page's folder, filled in; it escapes what it is given."""
    words: dict[str, Any] = {
        "number": number,
        "measured": own_effect,
        "told_apart": told_apart,
        "why_open": why_open,
        "kind": kind_of_network,
        "mark": mark,
        "forest": forest,
        "level": percent(LEVEL),
    }
    environment = Environment(loader=PackageLoader("warmup_study.report", "page"), autoescape=True)
    return environment.get_template(name).render(**words, **content)
