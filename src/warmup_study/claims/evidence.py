"""From effects to rows of verdicts.json: what the tests of all claims share.

A chapter's analysis has ``CLAIMS``: for each id in claims.toml a function from the chapter's table of runs to

    {task: {effect's name: Effect}, other task: None, third task: "untrainable with SGD"}

Tasks are the names by which `tasks.load` knows them, since a task's regime comes from there. The names of the effects
are those that the claim's conditions use, and readers see them; further effects stand beside, without a say. None says
that a task offers no case to test, and a text why it does not count: use `untrainable` for a cell (a task with an
optimiser) whose better arm does not train (`statistics.lr_curves.trains`).

`verdicts` makes of this a row per task (interval and place, no word), a row per regime (equal-weight mean over its
tasks that count; words by Holm over the claim's regimes) and the row over all tasks that count (equal-weight mean).
`correction.corrected` then corrects the latter for the number of claims. Effects on the same number of seeds are
resampled jointly, so that what tasks share through their seeds is kept.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from warmup_study import tasks
from warmup_study.claims.conditions import Effects
from warmup_study.claims.openness import NO_CASE, seeds_needed, why_open
from warmup_study.claims.table import Claim, claim
from warmup_study.claims.verdict import ALL, Part, Statement, Verdict
from warmup_study.errors import StudyError
from warmup_study.statistics.bootstrap import Effect, pooled
from warmup_study.statistics.decisions import (
    MIN_SEEDS,
    Word,
    decide,
    holm,
    p_of_disagreement,
    two_sided,
    word_of,
)

Key = TypeVar("Key")
Outcome = Mapping[Key, Effect] | str | None
"""Effects measured on a task; None where it offers no case to test; a text why it does not count."""
ByTask = Mapping[str, Outcome[Key]]


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


def named(effects_by_task: ByTask[Key], name: Callable[[Key], str]) -> dict[str, Outcome[str]]:
    """The same effects under the names that conditions and readers know them by."""
    return {
        task: {name(key): effect for key, effect in found.items()} if isinstance(found, Mapping) else found
        for task, found in effects_by_task.items()
    }


def untrainable(optimizer: str = "") -> str:
    """Why a task does not count whose better arm does not train."""
    return f"untrainable with {optimizer}" if optimizer else "untrainable"


def regime_of(task: str) -> str:
    """The regime of a task; empty for one that has none, and for a name that is no task's.

    Raises StudyError where a built-in task cannot be loaded here, since a guess could change a verdict.
    """
    try:
        return str(getattr(tasks.load(task), "regime", ""))
    except StudyError:
        if tasks.built_in(task):
            raise
        return ""


def mean_over_tasks(effects: Sequence[Mapping[Key, Effect]]) -> dict[Key, Effect]:
    """Equal-weight means of those effects that every task has."""
    shared = [key for key in effects[0] if all(key in found for found in effects)]
    return {key: pooled([found[key] for found in effects]) for key in shared}


def measured(found: ByTask[Key]) -> dict[str, Mapping[Key, Effect]]:
    """The tasks on which there was something to measure."""
    return {task: effects for task, effects in found.items() if isinstance(effects, Mapping)}


def over_tasks(found: ByTask[Key]) -> dict[Key, Effect]:
    """Equal-weight means over the tasks that count; empty where none does."""
    effects = list(measured(found).values())
    return mean_over_tasks(effects) if effects else {}


def pool_tasks(effects_by_task: Mapping[str, Mapping[Key, Effect]]) -> dict[str, dict[Key, Effect]]:
    """The effects of each task, and under "all" their means over tasks, of those effects that every task has."""
    by_task = {task: dict(effects) for task, effects in effects_by_task.items()}
    return by_task | {ALL: mean_over_tasks(list(by_task.values()))}


def verdicts(
    name: str, effects_by_task: ByTask[str], seeds: int, regime: Callable[[str], str] = regime_of
) -> list[Verdict]:
    """The rows of a claim: per task, per regime, and over all tasks that count, which comes last.

    `seeds` is the number that a row without a case shows. The words over all tasks are not yet corrected for the
    number of claims.
    """
    return rows_of(claim(name), effects_by_task, seeds, regime)


def rows_of(told: Claim, effects_by_task: ByTask[str], seeds: int, regime: Callable[[str], str]) -> list[Verdict]:
    """`verdicts` of a claim that may stand otherwise than in the table."""
    offered = {task: found for task, found in effects_by_task.items() if isinstance(found, Mapping)}
    left_out = {task: str(found or NO_CASE) for task, found in effects_by_task.items() if task not in offered}
    regimes = {task: regime(task) for task in effects_by_task}
    rows = [
        verdict(told, task, offered[task], regimes[task])
        if task in offered
        else no_evidence(told, task, seeds, regimes[task], {task: left_out[task]})
        for task in effects_by_task
    ]
    if not offered:
        return [*rows, no_evidence(told, ALL, seeds, "", left_out)]
    over = verdict(told, ALL, mean_over_tasks(list(offered.values())), "", left_out)
    by_regime = _of_regimes(told, offered, regimes)
    return [*rows, *by_regime, _with_regimes(told, over, by_regime)]


def _of_regimes(told: Claim, offered: Mapping[str, Effects], regimes: Mapping[str, str]) -> list[Verdict]:
    """A row for each regime of the tasks that count, with words corrected for their number (Holm)."""
    present = [regime for regime in dict.fromkeys(regimes[task] for task in offered) if regime]
    rows = [
        verdict(
            told, ALL, mean_over_tasks([found for task, found in offered.items() if regimes[task] == regime]), regime
        )
        for regime in present
    ]
    adjusted = holm(row.p_alone for row in rows)
    return [_corrected_within(row, float(p)) for row, p in zip(rows, adjusted, strict=True)]


def _corrected_within(row: Verdict, p: float) -> Verdict:
    word = row.word(p / row.p_alone if row.p_alone else 1.0)
    return row.model_copy(update={"p_adjusted": p, "verdict": word, "why_open": why_open(row, word, p)})


def _with_regimes(told: Claim, over: Verdict, by_regime: Sequence[Verdict]) -> Verdict:
    """The row over all tasks with the words of its regimes, and the p-value for their disagreeing."""
    changed: dict[str, Any] = {"regimes": {row.regime: row.verdict for row in by_regime}}
    if by_regime and told.conditions.in_every_regime:
        changed["p_supported"] = max(row.answers[0] for row in by_regime)
    if len(by_regime) > 1:
        adjusted = [row.p_adjusted if row.p_adjusted is not None else 1.0 for row in by_regime]
        changed["p_depends"] = p_of_disagreement(adjusted, [row.likeliest for row in by_regime])
    row = over.model_copy(update=changed)
    return row.model_copy(update={"verdict": row.alone, "why_open": why_open(row, row.alone, None)})


def verdict(
    told: Claim, task: str, effects: Effects, regime: str = "", left_out: Mapping[str, str] | None = None
) -> Verdict:
    """One row of a claim: its own effect, the p-value of each answer, and all effects as its parts.

    Raises StudyError where an effect that the claim's conditions name was not measured.
    """
    supported, contradicted, mixed = told.conditions.answers(effects)
    own = effects[told.estimate] if told.estimate else told.conditions.leaves()[0].worst(effects)
    held = {name: told.margin_and_unit(name) for name in effects}
    name = next(name for name, effect in effects.items() if effect is own)
    scale = math.exp if told.as_factor else float
    row = Verdict(
        **_stated(told, task, regime, left_out or {}),
        estimate=scale(own.estimate),
        ci_low=scale(own.low),
        ci_high=scale(own.high),
        n=own.n,
        verdict="",
        place=decide(own, held[name][0]),
        seeds_needed=seeds_needed(told.conditions, effects),
        statements=_statements(told.conditions.told_apart(effects), own.n),
        p_supported=supported,
        p_contradicted=contradicted,
        p_mixed=mixed,
        parts=tuple(Part.of(name, effect, *held[name]) for name, effect in effects.items()),
    )
    word = row.alone if task == ALL else ""
    return row.model_copy(update={"verdict": word, "why_open": why_open(row, word, None)})


def _statements(told_apart: Mapping[str, tuple[float, float]], seeds: int) -> tuple[Statement, ...]:
    """The parts of a claim that are told apart, with words corrected for their number (Holm)."""
    alone = [two_sided(*pair) for pair in told_apart.values()]
    factors = [p / raw if raw else 1.0 for p, raw in zip(holm(alone), alone, strict=True)]
    words = [word_of((*pair, 1.0), seeds, factor) for pair, factor in zip(told_apart.values(), factors, strict=True)]
    return tuple(
        Statement(name=name, p_holds=holds, p_fails=fails, word=word)
        for (name, (holds, fails)), word in zip(told_apart.items(), words, strict=True)
    )


def no_evidence(
    told: Claim, task: str, seeds: int, regime: str = "", left_out: Mapping[str, str] | None = None
) -> Verdict:
    """The row of a claim for which a task, or none of them, offers a case to test: without numbers, and open."""
    empty = dict.fromkeys(("estimate", "ci_low", "ci_high"))
    word: Word = "inconclusive" if task == ALL else ""
    row = Verdict(**_stated(told, task, regime, left_out or {}), **empty, n=seeds, verdict=word)
    return row.model_copy(update={"why_open": why_open(row, "inconclusive", None)})


def exact_verdict(told: Claim, task: str, deviations: Iterable[float], seeds: int) -> Verdict:
    """The row of a claim that holds exactly or not at all: supported if no run deviates, contradicted if one does."""
    values = np.abs(np.asarray(pd.Series(deviations), dtype=float))
    word: Word = "contradicted" if np.any(values != 0) else "supported"
    decided = word if seeds >= MIN_SEEDS else "inconclusive"
    row = Verdict(
        **_stated(told, task, "", {}),
        estimate=float(values.max()),
        ci_low=None,
        ci_high=None,
        n=values.size,
        verdict=decided if task == ALL else "",
    )
    return row.model_copy(update={"why_open": why_open(row, row.verdict, None)})


def _stated(told: Claim, task: str, regime: str, left_out: Mapping[str, str]) -> dict[str, Any]:
    """What the table of claims says of a row."""
    return {
        "id": told.id,
        "title": told.title,
        "claim": told.text,
        "source": told.source,
        "rule": told.rule,
        "conditions": told.conditions.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        "endpoint": told.endpoint,
        "unit": told.unit,
        "margin": told.margin,
        "notebook": told.notebook,
        "figure": f"{told.notebook}-{told.figure}",
        "task": task,
        "regime": regime,
        "headline": told.headline,
        "left_out": dict(left_out),
    }
