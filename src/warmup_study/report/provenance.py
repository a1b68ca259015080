"""The provenance of a run as tables for the page."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from warmup_study.report.results import Results
from warmup_study.running import provenance

UNKNOWN = "unknown"


def provenance_tables(results: Results) -> str:
    """Markdown tables of provenance.json: the run, then its notebooks; a plain line where there is no such file."""
    facts = {name: value for name, value in results.provenance.items() if name != "notebooks"}
    if not results.provenance:
        return "This run left no provenance record."
    run = ["| What | Value |", "|---|---|", *(f"| {name} | {_words(value)} |" for name, value in facts.items())]
    changed = {name: _registration(what) for name, what in provenance.changed_since(results.folders).items()}
    return "\n".join([*run, "", *_notebooks(results.provenance.get("notebooks", {}), changed)])


def _registration(changed: tuple[str, ...]) -> str:
    return f"{' and '.join(changed)} changed since" if changed else "as registered"


def _notebooks(records: dict[str, Any], registrations: Mapping[str, str]) -> Iterator[str]:
    """Lines of a table with a row for each notebook's own run; none where none was recorded."""
    if records:
        yield from ("| Notebook | Seconds | Seeds | Commit | Rules and analysis |", "|---|--:|---|---|---|")
    for name, record in records.items():
        seconds, seeds = _words(record.get("wall_seconds", "–")), _ranges(record.get("seeds", []))
        yield f"| {name} | {seconds} | {seeds} | {_commit(record)} | {registrations.get(name, 'not registered')} |"


def _commit(record: Mapping[str, Any]) -> str:
    """The start of the commit's name, and whether there were changes on top of it."""
    if not record.get("commit"):
        return UNKNOWN
    told = {True: ", with changes", False: "", None: ", changes unknown"}
    return f"{record['commit']:.10}{told[record.get('dirty')]}"


def _words(value: Any) -> str:
    """A value of the record on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return _ranges(value) if all(isinstance(item, int) for item in value) else ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ranges(seeds: Iterable[int]) -> str:
    """Whole numbers with each unbroken run of them as "first–last"."""
    numbers = sorted(set(seeds))
    breaks = [place for place, (low, high) in enumerate(pairwise(numbers), start=1) if high > low + 1]
    runs = [numbers[start:end] for start, end in pairwise([0, *breaks, len(numbers)]) if start < end]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
