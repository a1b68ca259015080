"""From effects to rows of verdicts.json: what the tests of all claims share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, pooled
from warmup_study.statistics.decisions import MIN_SEEDS, Word, judge

ALL = "all"
Key = TypeVar("Key")

GAINS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Effect]] = {
    "tuned_loss": endpoints.tuned_gain,
    "lr_sensitivity": endpoints.sensitivity_gain,
    "max_trainable_lr": endpoints.trainable_gain,
}
"""How an arm's gain over `none` is measured on each endpoint, from the runs of either."""


def base_task(runs: pd.DataFrame) -> pd.Series:
    """The task of each run; ``task+twist`` counts as the task that it was made from."""
    return runs["task"].str.partition("+")[0]


def by_base_task(
    runs: pd.DataFrame, parts: tuple[str, ...], effects: Callable[[pd.DataFrame], Mapping[Key, Effect] | None]
) -> dict[str, Mapping[Key, Effect] | None]:
    """Effects on the runs of some parts, base task by base task."""
    chosen = runs[runs["part"].isin(parts)]
    return {str(task): effects(rows) for task, rows in chosen.groupby(base_task(chosen), sort=False)}


def pool_tasks(effects_by_task: Mapping[str, Mapping[Key, Effect]]) -> dict[str, dict[Key, Effect]]:
    """The effects of each task, and under "all" their means over tasks, of those effects that every task has."""
    by_task = {task: dict(effects) for task, effects in effects_by_task.items()}
    first, *_ = by_task.values()
    shared = [key for key in first if all(key in effects for effects in by_task.values())]
    return by_task | {ALL: {key: pooled([effects[key] for effects in by_task.values()]) for key in shared}}


def verdict(
    name: str,
    task: str,
    effect: Effect,
    *,
    p_supported: float,
    p_contradicted: float,
    p_mixed: float = 1.0,
    parts: Sequence[Part] = (),
    figure: str,
    transform: Callable[[float], float] = float,
) -> Verdict:
    """The row of a claim on one task: its main effect and the p-values of each answer.

    ``transform`` brings an effect that is tested on another scale (a log ratio) back to the claim's unit; it must be
    increasing. ``figure`` is the name of the chapter's figure that shows the evidence.
    """
    estimate, low, high = (float(transform(value)) for value in (effect.estimate, effect.low, effect.high))
    return Verdict(
        **_stated(name, task, figure),
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        n=effect.n,
        verdict=judge(p_supported, p_contradicted, effect.n, p_mixed=p_mixed),
        p_supported=p_supported,
        p_contradicted=p_contradicted,
        p_mixed=p_mixed,
        parts=tuple(parts),
    )


def no_evidence(name: str, task: str, *, seeds: int, figure: str) -> Verdict:
    """The row of a claim for which a task offers no case to test: inconclusive, without numbers."""
    empty = dict.fromkeys(("estimate", "ci_low", "ci_high"))
    return Verdict(**_stated(name, task, figure), **empty, n=seeds, verdict="inconclusive")


def over_tasks(
    name: str,
    effects_by_task: Mapping[str, Mapping[Key, Effect] | None],
    decide: Callable[[str, Mapping[Key, Effect]], Verdict],
    *,
    seeds: int,
    figure: str,
) -> list[Verdict]:
    """The rows of a claim per task and over tasks, the latter over those tasks alone that offer a case (not None)."""
    offered = {task: effects for task, effects in effects_by_task.items() if effects is not None}
    known = pool_tasks(offered) if offered else {}
    return [
        decide(task, known[task]) if task in known else no_evidence(name, task, seeds=seeds, figure=figure)
        for task in (*effects_by_task, ALL)
    ]


def exact_verdict(name: str, task: str, deviations: Iterable[float], *, seeds: int, figure: str) -> Verdict:
    """The row of a claim that holds exactly or not at all: supported if no run deviates, contradicted if one does."""
    values = np.abs(np.asarray(pd.Series(deviations), dtype=float))
    word: Word = "contradicted" if np.any(values != 0) else "supported"
    return Verdict(
        **_stated(name, task, figure),
        estimate=float(values.max()),
        ci_low=None,
        ci_high=None,
        n=values.size,
        verdict=word if seeds >= MIN_SEEDS else "inconclusive",
    )


def _stated(name: str, task: str, figure: str) -> dict[str, Any]:
    """What the table of claims says of a row."""
    row = claim(name)
    return {
        "id": row.id,
        "claim": row.text,
        "source": row.source,
        "rule": row.rule,
        "endpoint": row.endpoint,
        "unit": row.unit,
        "margin": row.margin,
        "notebook": row.notebook,
        "figure": f"{row.notebook}-{figure}",
        "task": task,
    }
