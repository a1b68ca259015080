"""Paragraphs and verdicts as a notebook shows them."""

from IPython.display import Markdown, display

from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.presentation.quantities import evidence, told_apart

_FOLD = '<details class="more"><summary>By kind of network and task by task</summary>'


def say(text: str) -> None:
    """Show a paragraph of prose in a notebook, its numbers filled in from the results by the caller."""
    display(Markdown(" ".join(text.split())))


def show_code(lines: str) -> None:
    """Show lines of Python to copy."""
    display(Markdown(f"```python\n{lines.strip()}\n```"))


def say_verdicts(verdicts: list[Verdict], name: str, no_case: str = "no case to test") -> None:
    """Show the verdict on one claim over all tasks, with its numbers; those by regime and by task are folded."""
    mine = [verdict for verdict in verdicts if verdict.id == name]
    over_all = [f"**{row.title}: {row.verdict}** {_numbers(row, no_case)}" for row in mine if row.over_all]
    others = [f"- {_worded(row)} {_numbers(row, no_case)}" for row in mine if not row.over_all]
    folded = [_FOLD, "", *others, "", "</details>"] if len(others) > 1 else []  # one task says nothing of its own
    display(Markdown("\n".join([*over_all, "", *folded])), metadata={"claim": name})


def _worded(row: Verdict) -> str:
    """Which tasks a row speaks of, and its word; the row of one task has none."""
    return f"**{row.regime}: {row.verdict}**" if row.task == ALL else row.task


def _numbers(row: Verdict, no_case: str) -> str:
    """In brackets, the words of the row's parts, if it has a word of its own, and its numbers."""
    parts = told_apart(row) if row.task == ALL else ""
    return f"({'; '.join(filter(None, (parts, evidence(row, no_case=no_case))))})"
