"""The first screen: verdict table, main figure, claims that were not run. Shared by the page and its notebook."""

import pandas as pd
from jinja2 import Environment, PackageLoader, Template

from warmup_study.claims import Claim
from warmup_study.inference import LEVEL, Verdict
from warmup_study.report.answer import chapter_name
from warmup_study.report.marks import UNTESTED, forest, mark
from warmup_study.report.results import Results, Sidecar
from warmup_study.wording import interval, number, percent

MAIN_FIGURES = ("four_setups", "lr_curves")  # by the names that their chapters give them, the better first


def verdict_table(results: Results) -> str:
    """HTML table of the tested claims; a line that says so where there is none."""
    if not results.tested:
        return "<p>No claim has been tested by this run.</p>"
    rows = [_row(results, claim) for claim in results.tested]
    words = {"number": number, "interval": interval, "mark": mark, "forest": forest}
    return _template("verdicts.html.j2").render(rows=rows, level=percent(LEVEL), **words)


def _row(results: Results, claim: Claim) -> dict[str, object]:
    """What one row of the verdict table shows."""
    verdict = results.of_claim(claim.id)[0]
    tasks = results.tasks(claim.id) or ["all tasks"]
    return {"claim": claim, "verdict": verdict, "tasks": tasks}


def untested_table(results: Results) -> str:
    """HTML table of the claims that have no verdict; empty where every claim has one."""
    if not results.untested:
        return ""
    return _template("untested.html.j2").render(
        claims=results.untested, mark=mark, untested=UNTESTED, chapter_name=chapter_name
    )


def main_figure(results: Results) -> Sidecar | None:
    """The figure of the four setups if it exists, else the first chapter's curves, else none."""
    figures = list(results.figures.values())
    candidates = [figure for name in MAIN_FIGURES for figure in figures if figure.name.startswith(name)]
    return next(iter(candidates), None)


def task_table(results: Results) -> pd.DataFrame:
    """One row per claim and task: the verdict behind the table over all tasks."""
    per_task = [verdict for verdict in results.verdicts if verdict.task != "all"]
    columns = ["claim", "task", "verdict", "estimate", "95 % interval", "n", "p after Holm"]
    return pd.DataFrame([_task_row(verdict) for verdict in per_task], columns=columns).set_index(["claim", "task"])


def _task_row(verdict: Verdict) -> list[str | int]:
    """One verdict in words and numbers."""
    size = f"{number(verdict.estimate)} {verdict.unit}"
    words = [verdict.id, verdict.task, verdict.verdict, size, interval(verdict) or "–"]
    return [*words, verdict.n, number(verdict.p_holm)]


def _template(name: str) -> Template:
    """A template of the page's folder, escaping what it is given."""
    loader = PackageLoader("warmup_study.report", "page")
    return Environment(loader=loader, autoescape=True).get_template(name)
