"""Round 1's verdicts beside those of the published round: what each said, and why its test was changed."""

from collections import Counter
from typing import Any

from warmup_study.claims import ledger
from warmup_study.claims.table import whole_table
from warmup_study.claims.verdict import Verdict
from warmup_study.report.glyphs import UNTESTED
from warmup_study.report.results import Results, published
from warmup_study.report.summary import drawn
from warmup_study.report.texts import section, sentences

OPEN = ("inconclusive", UNTESTED)


def rounds(results: Results) -> str:
    """The section as Markdown with one table; empty where round 1's verdicts are not there."""
    first = {row.id: row for row in ledger.first_round(results.folders) if row.over_all}
    now = results if results.folders.preset == "full" else published()
    rows = [_row(entry, first[entry["claim"]], now) for entry in entries() if entry["claim"] in first]
    if not rows:
        return ""
    return "\n\n".join([section("rounds"), _counted(rows), drawn("rounds.html.j2", rows=rows)])


def _row(entry: dict[str, str], first: Verdict, now: Results) -> dict[str, Any]:
    """What one row shows; a claim that this round has not tested, or no longer has, is told as not run."""
    name = entry.get("now", entry["claim"])
    verdict = now.overall(name)
    known = {row.id: row for row in whole_table()}
    word = verdict.verdict if verdict else UNTESTED
    return {"claim": known.get(name, first), "then": first.verdict, "now": word, "why": entry["why"]}


def _counted(rows: list[dict[str, Any]]) -> str:
    """How many claims were open and are, and by name those that this round decides another way."""
    then = Counter(row["then"] for row in rows)["inconclusive"]
    if all(row["now"] == UNTESTED for row in rows):
        return f"Round 1 left {then} of {len(rows)} claims open. This round has no verdicts yet."
    now = Counter(row["now"] for row in rows)
    missing = f" and has not run {now[UNTESTED]}" if now[UNTESTED] else ""
    left = f"{now['inconclusive']} of the same open{missing}"
    told = f"Round 1 left {then} of {len(rows)} claims open; this round leaves {left}."
    other = [row for row in rows if row["then"] != row["now"] and not {row["then"], row["now"]} & set(OPEN)]
    named = "; ".join(f"*{row['claim'].title}* ({row['then']} then, {row['now']} now)" for row in other)
    return f"{told} Decided differently in the two rounds: {named}." if other else told


def entries() -> list[dict[str, str]]:
    """The changes of rounds.toml: a claim of round 1, why its test was changed, and what it is called now."""
    return list(sentences("rounds")["change"])
