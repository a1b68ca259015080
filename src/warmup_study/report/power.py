"""What a run leaves open: how near each claim came to a verdict, and how small an effect it could have found."""

from typing import Any

from warmup_study.claims.openness import POWER, reach
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.formatting import percent
from warmup_study.report.results import Results
from warmup_study.report.summary import drawn


def undecided_table(results: Results) -> str:
    """HTML table of the claims that are inconclusive over all tasks; empty where every claim is decided."""
    found = [(row, verdict) for row in results.tested if (verdict := results.overall(row.id))]
    rows: list[dict[str, Any]] = [
        {"claim": row, "verdict": verdict, "least": detectable(verdict)}
        for row, verdict in sorted(found, key=lambda pair: pair[1].p_alone)
        if verdict.verdict == "inconclusive"
    ]
    return drawn("undecided.html.j2", rows=rows, power=percent(POWER)) if rows else ""


def detectable(verdict: Verdict) -> float | None:
    """The smallest distance from its rule's bound that a study with this interval finds with probability ``POWER``.

    None where there is no interval.
    """
    if verdict.ci_low is None or verdict.ci_high is None:
        return None
    return (verdict.ci_high - verdict.ci_low) / 2 * reach()
