"""Does a verdict hang on how it was reached? Each claim is judged again under other averages, caps and margins."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple, TypeVar

from warmup_study.claims.evidence import ByTask, regime_of, rows_of
from warmup_study.claims.table import Claim, claim
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.statistics.curves import Average, measured_as
from warmup_study.statistics.decisions import Word

AVERAGES: tuple[Average, ...] = ("mean", "median")
CAPPED = (True, False)
MARGINS = (0.5, 1.0, 2.0)
RESAMPLES = 1999

Runs = TypeVar("Runs")
Measuring = Callable[[Runs], ByTask[str]]  # from a chapter's table of runs, or several tables


class Robustness(NamedTuple):
    """How many of the variants give the same word as the rule itself, each as if no other claim had been tested."""

    agree: int
    variants: int

    def __str__(self) -> str:
        return f"{self.agree} of {self.variants}"


def judged(
    name: str, measure: Measuring[Runs], runs: Runs, seeds: int, regime: Callable[[str], str] = regime_of
) -> list[Verdict]:
    """`evidence.verdicts` of what ``measure`` finds in the runs, the row over all tasks with its robustness."""
    *others, over_all = rows_of(claim(name), measure(runs), seeds, regime)
    if over_all.estimate is None:
        return [*others, over_all]
    return [*others, over_all.model_copy(update={"robust": str(robustness(name, measure, runs, seeds, regime))})]


def robustness(
    name: str, measure: Measuring[Runs], runs: Runs, seeds: int, regime: Callable[[str], str] = regime_of
) -> Robustness:
    """Judge a claim under {mean, median} x {capped or not} x {half, one, two margins}.

    The first two pairs concern effects on `LrCurves`; where a claim has none, only the margins vary.
    """
    first, *words = _words(claim(name), measure, runs, seeds, regime)
    return Robustness(1 + sum(word == first for word in words), 1 + len(words))


def _words(
    told: Claim, measure: Measuring[Runs], runs: Runs, seeds: int, regime: Callable[[str], str]
) -> Iterator[Word]:
    """The claim's word as it stands, then under every variant."""
    for average, capped in product(AVERAGES, CAPPED):
        with measured_as(average, capped) as used, fewer_resamples(RESAMPLES):
            effects = measure(runs)
        for factor in sorted(MARGINS, key=lambda factor: factor != 1):
            yield rows_of(told.scaled(factor), effects, seeds, regime)[-1].alone
        if not used.used:
            return
