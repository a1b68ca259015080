"""Published findings compared with the verdicts: where they differ, a reason or an honest "we don't know"."""

from html import escape
from typing import Any

from warmup_study.claims.table import claim
from warmup_study.report.results import Results
from warmup_study.report.summary import drawn
from warmup_study.report.texts import section, sentences


def literature(results: Results) -> str:
    """The section as Markdown with one table; empty where none of its claims has been tested."""
    rows = [(entry, verdict.verdict) for entry in entries() if (verdict := results.overall(entry["claim"]))]
    if not rows:
        return ""
    shown = [_row(entry, word) for entry, word in rows if word != entry["expects"]]
    same = [f"*{claim(entry['claim']).title}* ({word})" for entry, word in rows if word == entry["expects"]]
    parts = [section("literature"), drawn("literature.html.j2", rows=shown) if shown else ""]
    parts.append(f"In line with published findings: {'; '.join(same)}." if same else "")
    return "\n\n".join(filter(None, parts))


def _row(entry: dict[str, Any], word: str) -> dict[str, Any]:
    """What one row shows: the finding, the verdict here, and what may lie behind the difference."""
    linked = {"published": _linked(entry["published"]), "reason": _linked(entry["reason"])}
    return {"claim": claim(entry["claim"]), "word": word} | linked


def _linked(text: str) -> str:
    """A text as HTML, in which every work that it cites is a link."""
    shown = escape(text)
    for name, address in sentences("literature")["paper"].items():
        shown = shown.replace(escape(name), f'<a href="{address}">{escape(name)}</a>')
    return shown


def entries() -> list[dict[str, Any]]:
    """The findings of literature.toml: claim, what was published, the verdict it would lead to, why ours may differ."""
    return list(sentences("literature")["finding"])
