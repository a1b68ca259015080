"""The provenance of a run as tables for the page."""

from collections.abc import Iterator
from typing import Any

from warmup_study.report.results import Results


def provenance_table(results: Results) -> str:
    """Markdown table of provenance.json, nested names joined; a plain line where there is no such file."""
    rows = [f"| {name} | {value} |" for name, value in _flat("", results.provenance)]
    if not rows:
        return "This run left no provenance record."
    return "\n".join(["| What | Value |", "|---|---|", *rows])


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Pairs of a dotted name and a text, in the record's order."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix} · {name}" if prefix else str(name), inner)
    elif isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, f"{value:.4g}" if isinstance(value, float) else str(value)
