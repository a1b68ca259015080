"""From the rows of all claims to words: the correction for the number of claims.

The headline questions are asked in a fixed sequence, each at 0.05, so that the chance of any false answer among them is
at most that. Over all other claims the share of false answers is held at 0.05 (Benjamini & Hochberg 1995); what
Benjamini and Yekutieli's correction would give stands beside. Rows of tasks and regimes are left as they are: a task's
gives no word, and a regime's was corrected for the number of regimes within its claim.
"""

from collections.abc import Sequence

from warmup_study.claims.openness import why_open
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.decisions import benjamini_hochberg, benjamini_yekutieli, fixed_sequence


def corrected(rows: Sequence[Verdict]) -> list[Verdict]:
    """The rows with the words that are left after the correction, order kept.

    A headline question that was not asked yet does not stand in the way of those after it.
    """
    asked = [row for row in rows if row.over_all and row.p_supported is not None]
    headline = sorted((row for row in asked if row.headline), key=lambda row: row.headline)
    others = [row for row in asked if not row.headline]
    told = {**_in_sequence(headline), **_by_discovery_rate(others)}
    return [told.get(row.id, row) if row.over_all else row for row in rows]


def _in_sequence(rows: Sequence[Verdict]) -> dict[str, Verdict]:
    told, reached = {}, True
    for row, p in zip(rows, fixed_sequence(row.p_alone for row in rows), strict=True):
        told[row.id] = _worded(row, float(p), reached=reached)
        reached = reached and told[row.id].verdict != "inconclusive"
    return told


def _by_discovery_rate(rows: Sequence[Verdict]) -> dict[str, Verdict]:
    p_values = [row.p_alone for row in rows]
    pairs = zip(rows, benjamini_hochberg(p_values), benjamini_yekutieli(p_values), strict=True)
    return {row.id: _worded(row, float(p), p_yekutieli=float(beside)) for row, p, beside in pairs}


def _worded(row: Verdict, p: float, *, p_yekutieli: float | None = None, reached: bool = True) -> Verdict:
    """The row after a correction that raises its p-value to ``p``."""
    adjustment = p / row.p_alone if row.p_alone else 1.0
    word = row.word(adjustment) if reached else "inconclusive"
    found = {"verdict": word, "p_adjusted": p, "p_yekutieli": p_yekutieli}
    return row.model_copy(update=found | {"why_open": why_open(row, word, p, reached)})
