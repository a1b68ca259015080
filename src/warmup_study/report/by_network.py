"""The table below the answer: what a ramp gains on each kind of network, under Adam and under plain SGD."""

from collections.abc import Iterator
from typing import NamedTuple

from warmup_study.presentation.quantities import GAIN_WORDS, measured
from warmup_study.report.answer import kind_of_network
from warmup_study.report.results import Results
from warmup_study.report.summary import drawn
from warmup_study.report.texts import sentences

CLAIM = "better-results"  # whose kinds of networks and tasks make the rows
CAPTION = "What a ramp does to the loss, by kind of network; plain SGD on those of the tasks that it trains"


class Gain(NamedTuple):
    """Where a gain lies relative to the smallest that matters, in a word, and how large it is."""

    word: str
    size: str


class Row(NamedTuple):
    """A kind of network, the tasks that stand for it, the number of seeds, and a gain for each column."""

    network: str
    tasks: list[str]
    n: int
    gains: list[Gain]


def columns() -> list[str]:
    """What each gain of a row is about."""
    return [column["name"] for column in sentences("answers")["column"]]


def rows(results: Results) -> Iterator[Row]:
    """A row for each kind of network on which the claim was tested."""
    for verdict in results.of_regimes(CLAIM):
        regime = verdict.regime
        gains = [_gain(results, regime, column) for column in sentences("answers")["column"]]
        yield Row(kind_of_network(regime), results.tasks(CLAIM, regime), verdict.n, gains)


def gain_table(results: Results) -> str:
    """The rows as an HTML table; empty where there are none."""
    found = list(rows(results))
    return drawn("by_network.html.j2", rows=found, columns=columns(), caption=CAPTION) if found else ""


def _gain(results: Results, regime: str, column: dict[str, str]) -> Gain:
    """The column's effect on the regime's tasks; a dash where no such run counts."""
    verdicts = (verdict for verdict in results.of_regimes(column["claim"]) if verdict.regime == regime)
    part = next((part for verdict in verdicts for part in verdict.parts if part.name == column["effect"]), None)
    if part is None or part.estimate is None:
        return Gain("–", "")
    return Gain(GAIN_WORDS[part.decision], measured(part, part.name))
