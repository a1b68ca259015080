"""How to contest a verdict: the command that tests it anew, what would turn it, and how many seeds that takes."""

from typing import Any

from warmup_study.claims.verdict import Verdict
from warmup_study.parameters import MOST_SEEDS
from warmup_study.paths import BATCH, CHAPTERS
from warmup_study.report.results import Results
from warmup_study.report.summary import drawn

CORE_GRID, REPORT = CHAPTERS[0], BATCH[-1]  # the notebooks that train the core grid, and that judge it as a whole


def contest_table(results: Results) -> str:
    """HTML table of the tested claims, folded; empty where none was tested."""
    rows = [_row(results.of_claim(claim.id)[0]) for claim in results.tested]
    return drawn("contest.html.j2", rows=rows) if rows else ""


def _row(verdict: Verdict) -> dict[str, Any]:
    decided = verdict.verdict != "inconclusive"
    return {
        "verdict": verdict,
        "command": _command(verdict),
        "needed": verdict.n if decided else verdict.seeds_needed or "–",
    }


def _command(verdict: Verdict) -> str:
    """Papermill on the claim's chapter, with as many seeds as would decide it; the report judges the core grid's runs.

    A decided claim is tested on twice its seeds; an exact audit, which has no interval, on the preset's own.
    """
    seeds = f"-p seeds {_seeds(verdict)} " if verdict.ci_low is not None else ""
    if verdict.notebook == REPORT:
        return f"{_run(CORE_GRID, seeds)} && {_run(REPORT)}"
    return _run(verdict.notebook, seeds)


def _run(notebook: str, seeds: str = "") -> str:
    return f".venv/bin/papermill notebooks/{notebook}.ipynb out.ipynb -p preset full {seeds}-p output_dir contested"


def _seeds(verdict: Verdict) -> int:
    """How many seeds contest the verdict: those that would decide an open one, within what notebooks take."""
    wanted = verdict.seeds_needed if verdict.verdict == "inconclusive" else None
    return min(wanted or 2 * verdict.n, MOST_SEEDS)
