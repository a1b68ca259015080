"""What the fourth chapter's claims rest on: what early examples and their order decide, and the way to the rest."""

from collections.abc import Callable, Mapping

import pandas as pd

from warmup_study.chapters.early_examples.analysis import blocks, first_batch, orders, skew
from warmup_study.claims.evidence import ByTask, base_task
from warmup_study.statistics.bootstrap import Effect

Effects = Mapping[str, Effect]
Measure = Callable[[pd.DataFrame], Effects | str | None]


def by_task(runs: pd.DataFrame, part: str, measure: Measure) -> ByTask[str]:
    """Effects on the runs of one part, base task by base task."""
    chosen = runs[runs["part"] == part]
    if chosen.empty:
        return {}
    return {str(task): measure(rows) for task, rows in chosen.groupby(base_task(chosen), sort=False)}


def steadier(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: what a low rate does to the variance of results; beside it, to the influence of the first block."""
    first = by_task(runs, "blocks", blocks.steadied)
    return {task: _joined(found, first.get(task)) for task, found in by_task(runs, "orders", orders.ratios).items()}


def _joined(found: Effects | str | None, beside: Effects | str | None) -> Effects | str | None:
    return {**found, **beside} if isinstance(found, Mapping) and isinstance(beside, Mapping) else found


CLAIMS: dict[str, Callable[[pd.DataFrame], ByTask[str]]] = {
    "early-examples": lambda runs: by_task(runs, "blocks", blocks.ratios),
    "early-variance": steadier,
    "primacy": lambda runs: by_task(runs, "skewed", skew.gap_differences),
    "one-over-n": lambda runs: by_task(runs, "first", first_batch.slopes),
    "extra-epochs": lambda runs: by_task(runs, "skewed", skew.epochs_saved),
}
