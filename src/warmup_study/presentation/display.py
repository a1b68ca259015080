"""Paragraphs and verdicts as a notebook shows them."""

from IPython.display import Markdown, display

from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.formatting import evidence


def say(text: str) -> None:
    """Show a paragraph of prose in a notebook, its numbers filled in from the results by the caller."""
    display(Markdown(" ".join(text.split())))


def show_code(lines: str) -> None:
    """Show lines of Python to copy."""
    display(Markdown(f"```python\n{lines.strip()}\n```"))


def say_verdicts(verdicts: list[Verdict], name: str, no_case: str = "no case to test") -> None:
    """Show the verdicts on one claim: over all tasks first, then task by task, with the numbers behind each."""
    mine = [verdict for verdict in verdicts if verdict.id == name]
    titles = {"all": "over all tasks"}
    numbers = [evidence(row, no_case=no_case) for row in mine]
    lines = [
        f"- **{titles.get(row.task, row.task)}: {row.verdict}** ({shown})"
        for row, shown in zip(mine, numbers, strict=True)
    ]
    display(Markdown("\n".join([f"**Verdict on *{name}*.**", "", *lines])), metadata={"claim": name})
