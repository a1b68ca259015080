"""Paragraphs and verdicts as a notebook shows them."""

from IPython.display import Markdown, display

from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.presentation.quantities import evidence, told_apart


def say(text: str) -> None:
    """Show a paragraph of prose in a notebook, its numbers filled in from the results by the caller."""
    display(Markdown(" ".join(text.split())))


def show_code(lines: str) -> None:
    """Show lines of Python to copy."""
    display(Markdown(f"```python\n{lines.strip()}\n```"))


def say_verdicts(verdicts: list[Verdict], name: str, no_case: str = "no case to test") -> None:
    """Show the verdicts on one claim: over all tasks, by regime, and task by task, with the numbers behind each."""
    mine = [verdict for verdict in verdicts if verdict.id == name]
    lines = [f"- {_worded(row)} ({'; '.join(filter(None, _numbers(row, no_case)))})" for row in mine]
    display(Markdown("\n".join([f"**Verdict on *{name}*.**", "", *lines])), metadata={"claim": name})


def _worded(row: Verdict) -> str:
    """Which tasks a row speaks of, and its word; the row of one task has none."""
    if row.task != ALL:
        return row.task
    return f"**{row.regime or 'over all tasks'}: {row.verdict}**"


def _numbers(row: Verdict, no_case: str) -> tuple[str, str]:
    """The words of the row's parts, if it has a word of its own, and its numbers."""
    return told_apart(row) if row.task == ALL else "", evidence(row, no_case=no_case)
