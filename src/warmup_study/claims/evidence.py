"""From effects to rows of verdicts.json: what the tests of all claims share."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from warmup_study.claims.conditions import ByHand, Effects, bounds
from warmup_study.claims.table import Claim, claim
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, pooled
from warmup_study.statistics.decisions import MIN_SEEDS, Word, judge

ALL = "all"
Key = TypeVar("Key")
ByTask = Mapping[str, Mapping[Key, Effect] | None]
"""Effects of each task; None where a task offers no case to test."""

GAINS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Effect]] = {
    "tuned_loss": endpoints.tuned_gain,
    "lr_sensitivity": endpoints.sensitivity_gain,
    "max_trainable_lr": endpoints.trainable_gain,
}
"""How an arm's gain over `none` is measured on each endpoint, from the runs of either."""


def where(runs: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """The runs that have these values in these columns."""
    chosen = np.ones(len(runs), dtype=bool)
    for name, value in columns.items():
        chosen &= (runs[name] == value).fillna(False).to_numpy(dtype=bool)
    return runs[chosen]


def base_task(runs: pd.DataFrame) -> pd.Series:
    """The task of each run; ``task+twist`` counts as the task that it was made from."""
    return runs["task"].str.partition("+")[0]


def by_base_task(
    runs: pd.DataFrame, parts: tuple[str, ...], effects: Callable[[pd.DataFrame], Mapping[Key, Effect] | None]
) -> dict[str, Mapping[Key, Effect] | None]:
    """Effects on the runs of some parts, base task by base task."""
    chosen = runs[runs["part"].isin(parts)]
    return {str(task): effects(rows) for task, rows in chosen.groupby(base_task(chosen), sort=False)}


def named(effects_by_task: ByTask[Key], name: Callable[[Key], str]) -> ByTask[str]:
    """The same effects under the names that conditions and readers know them by."""
    return {
        task: None if effects is None else {name(key): effect for key, effect in effects.items()}
        for task, effects in effects_by_task.items()
    }


def pool_tasks(effects_by_task: Mapping[str, Mapping[Key, Effect]]) -> dict[str, dict[Key, Effect]]:
    """The effects of each task, and under "all" their means over tasks, of those effects that every task has."""
    by_task = {task: dict(effects) for task, effects in effects_by_task.items()}
    first, *_ = by_task.values()
    shared = [key for key in first if all(key in effects for effects in by_task.values())]
    return by_task | {ALL: {key: pooled([effects[key] for effects in by_task.values()]) for key in shared}}


def verdicts(name: str, effects_by_task: ByTask[str], seeds: int, notebook: str = "") -> list[Verdict]:
    """The rows of a claim per task and over tasks, the latter over those tasks alone that offer a case.

    `seeds` is the number that a row without a case shows; `notebook` the chapter that judges, where not the claim's.
    """
    told = claim(name).told_by(notebook)
    offered = {task: effects for task, effects in effects_by_task.items() if effects is not None}
    known = pool_tasks(offered) if offered else {}
    return [
        verdict(told, task, known[task]) if task in known else no_evidence(told, task, seeds)
        for task in (*effects_by_task, ALL)
    ]


def verdict(told: Claim, task: str, effects: Effects) -> Verdict:
    """The row of a claim on one task: its own effect, the p-value of each answer, and all effects as its parts.

    Raises StudyError where an effect that the claim's conditions name was not measured.
    """
    if isinstance(told.conditions, ByHand):
        raise TypeError(f"{told.id} is judged by hand")
    supported, contradicted, mixed = told.conditions.answers(effects)
    own = effects[told.estimate] if told.estimate else bounds(told.conditions)[0].worst(effects)
    scale = math.exp if told.as_factor else float
    held = {name: told.margin_and_unit(name) for name in effects}
    return Verdict(
        **_stated(told, task),
        estimate=scale(own.estimate),
        ci_low=scale(own.low),
        ci_high=scale(own.high),
        n=own.n,
        verdict=judge(supported, contradicted, own.n, p_mixed=mixed),
        p_supported=supported,
        p_contradicted=contradicted,
        p_mixed=mixed,
        parts=tuple(Part.of(name, effect, *held[name]) for name, effect in effects.items()),
    )


def no_evidence(told: Claim, task: str, seeds: int) -> Verdict:
    """The row of a claim for which a task offers no case to test: inconclusive, without numbers."""
    empty = dict.fromkeys(("estimate", "ci_low", "ci_high"))
    return Verdict(**_stated(told, task), **empty, n=seeds, verdict="inconclusive")


def exact_verdict(told: Claim, task: str, deviations: Iterable[float], seeds: int) -> Verdict:
    """The row of a claim that holds exactly or not at all: supported if no run deviates, contradicted if one does."""
    values = np.abs(np.asarray(pd.Series(deviations), dtype=float))
    word: Word = "contradicted" if np.any(values != 0) else "supported"
    return Verdict(
        **_stated(told, task),
        estimate=float(values.max()),
        ci_low=None,
        ci_high=None,
        n=values.size,
        verdict=word if seeds >= MIN_SEEDS else "inconclusive",
    )


def _stated(told: Claim, task: str) -> dict[str, Any]:
    """What the table of claims says of a row."""
    return {
        "id": told.id,
        "title": told.title,
        "claim": told.text,
        "source": told.source,
        "rule": claim(told.id).rule,
        "conditions": claim(told.id).conditions.model_dump(exclude_none=True, exclude_defaults=True),
        "endpoint": told.endpoint,
        "unit": told.unit,
        "margin": told.margin,
        "notebook": told.notebook,
        "figure": f"{told.notebook}-{told.figure}",
        "task": task,
    }
