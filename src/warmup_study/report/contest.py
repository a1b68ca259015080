"""How to contest a verdict: the command that tests it anew, what would turn it, and how many seeds that takes."""

from typing import Any

from warmup_study.claims.verdict import Verdict
from warmup_study.report.results import Results
from warmup_study.report.summary import drawn

SETTINGS = "{seeds: %d, output_dir: contested}"


def contest_table(results: Results) -> str:
    """HTML table of the tested claims, folded; empty where none was tested."""
    rows = [_row(results.of_claim(claim.id)[0]) for claim in results.tested]
    return drawn("contest.html.j2", rows=rows) if rows else ""


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "command": _command(verdict),
        "needed": verdict.seeds_needed or ("–" if verdict.verdict == "inconclusive" else verdict.n),
    }


def _command(verdict: Verdict) -> str:
    """Papermill on the claim's chapter, with as many seeds as would decide it; the report's claim takes them all."""
    if verdict.notebook == "report":
        return "WARMUP_STUDY_ROOT=contested make full"
    settings = SETTINGS % (verdict.seeds_needed or 2 * verdict.n)
    return f'.venv/bin/papermill notebooks/{verdict.notebook}.ipynb out.ipynb -p preset full -y "{settings}"'
