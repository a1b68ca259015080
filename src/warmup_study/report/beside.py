"""A small run beside the published one: for each claim the published verdict, this run's estimate, and how they agree.

A claim that a run leaves open is not judged by it: a small run decides what is large and by design nothing else, so
that "inconclusive" would be told of its size, not of the claim.
"""

from typing import Any

from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders, published_root
from warmup_study.report.results import Results, published
from warmup_study.report.summary import ORDER, drawn, own_verdict_table
from warmup_study.statistics.decisions import MIN_SEEDS

NOT_RUN, UNPUBLISHED = "not run here", "not published"
AGREES, DIFFERS, SMALL = "agrees", "differs", "too small to tell"


def verdict_table(results: Results) -> str:
    """HTML table of the verdicts: the run's own where it is the published one, or none is; else both side by side."""
    theirs = published()
    if results.folders.preset == "full" or not theirs.tested:
        return own_verdict_table(results)
    return drawn("beside.html.j2", rows=rows(results, theirs), page=published_page(results))


def rows(results: Results, theirs: Results) -> list[dict[str, Any]]:
    """A row for each claim that either run has tested, the published decided ones first."""
    found = [(row, theirs.overall(row.id), results.overall(row.id)) for row in results.claims]
    told = [
        {"claim": row, "published": there, "own": here, "reading": reading(there, here)}
        for row, there, here in found
        if there or here
    ]
    return sorted(told, key=lambda row: ORDER.index(row["published"].verdict) if row["published"] else len(ORDER))


def reading(there: Verdict | None, here: Verdict | None) -> str:
    """How this run's row stands to the published one."""
    if here is None:
        return NOT_RUN
    if here.verdict == "inconclusive" or here.n < MIN_SEEDS:
        return SMALL
    if there is None:
        return UNPUBLISHED
    return AGREES if here.verdict == _expected(there, here) else f"{DIFFERS}: {here.verdict}"


def _expected(there: Verdict, here: Verdict) -> str:
    """The published word that a run has to meet: where its tasks are all of one regime, that regime's."""
    regimes = list(here.regimes)
    return there.regimes.get(regimes[0], there.verdict) if len(regimes) == 1 else there.verdict


def published_page(results: Results) -> str:
    """The address of the published page as seen from this run's; empty where it is another place or another's."""
    page = Folders(published_root(), "full").report
    beside = page.parent == results.folders.report.parent and page != results.folders.report
    return page.name if beside and page.exists() else ""
