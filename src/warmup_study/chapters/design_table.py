"""A chapter's design as a table in plain words: what will run, part by part and task by task."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from warmup_study.presentation.formatting import number
from warmup_study.presentation.style import OPTIMIZERS, WARMUPS
from warmup_study.training.experiment import Arm, Experiment

MOST_LISTED = 3  # numbers that are listed one by one
SCHEDULES = {name: look.label for name, look in WARMUPS.items()} | {
    "untuned": "ramp of 2/(1−β₂)",
    "first_moment": "first-moment correction",
    "second_moment": "second-moment correction",
    "rectified": "RAdam's rectifier",
}


def design_table(experiments: Iterable[Experiment], parts: Mapping[str, str]) -> Styler:
    """One row for each part and task, and a last one with the total numbers of runs and updates.

    ``parts`` describes each part in plain words.
    """
    groups: dict[tuple[str, str], list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault((experiment.task, experiment.part), []).append(experiment)
    rows = [{"task": task, "part": parts[part]} | _row(mine) for (task, part), mine in groups.items()]
    every = [experiment for mine in groups.values() for experiment in mine]
    updates = sum(_runs(experiment) * experiment.updates for experiment in every)
    rows.append({"task": "total", "updates": f"{updates:,}", "runs": f"{sum(map(_runs, every)):,}"})
    return pd.DataFrame(rows).fillna("").style.hide(axis="index")


def _row(experiments: Sequence[Experiment]) -> dict[str, str]:
    arms = list(dict.fromkeys(arm for experiment in experiments for arm in experiment.arms))
    return {
        "arms": f"{len(arms)}: {_conditions(arms)}",
        "learning rate": "; ".join(dict.fromkeys(map(_learning_rates, experiments))),
        "seeds": "; ".join(dict.fromkeys(str(len(experiment.seeds)) for experiment in experiments)),
        "updates": _numbers(experiment.updates for experiment in experiments),
        "batch": _numbers(experiment.batch for experiment in experiments),
        "warmup": _numbers(arm.schedule.warmup_length for arm in arms if arm.schedule.warmup_length),
        "runs": f"{sum(map(_runs, experiments)):,}",
    }


def _runs(experiment: Experiment) -> int:
    return len(experiment.arms) * len(experiment.lrs) * len(experiment.seeds)


def _conditions(arms: Sequence[Arm]) -> str:
    """Optimisers, schedules, and the number of values of whatever else differs between arms."""
    rules = Counter(OPTIMIZERS[rule.name].label for rule in dict.fromkeys(arm.optimizer for arm in arms))
    named = [name if count == 1 else f"{name} in {count} settings" for name, count in rules.items()]
    warmups = dict.fromkeys(SCHEDULES.get(arm.schedule.warmup, arm.schedule.warmup) for arm in arms)
    others: dict[str, set[Any]] = {
        "decays": {arm.schedule.decay for arm in arms},
        "data streams": {arm.stream for arm in arms},
        "initialisations": {arm.init for arm in arms},
        "starting points": {_beginning(arm) for arm in arms},
        "auxiliary-loss weights": {arm.auxiliary.weight for arm in arms},
    }
    counted = [f"{len(values)} {name}" for name, values in others.items() if len(values) > 1]
    return "; ".join([" / ".join(named), " / ".join(warmups), *counted])


def _beginning(arm: Arm) -> tuple[str, ...]:
    """What an arm takes over from earlier training; empty where it starts from initial weights."""
    return (arm.start.state, arm.start.head, arm.start.backbone) if arm.start else ()


def _learning_rates(experiment: Experiment) -> str:
    """Range and number of an experiment's learning rates; with momentum, the effective ones."""
    effective = any(arm.optimizer.momentum and arm.lr_scale != 1 for arm in experiment.arms)
    scales = {1.0 if arm.optimizer.momentum else arm.lr_scale for arm in experiment.arms}
    lrs = sorted({lr * scale for lr in experiment.lrs for scale in scales})
    span = number(lrs[0]) if len(lrs) == 1 else f"{number(lrs[0])} to {number(lrs[-1])} ({len(lrs)})"
    return f"{span}, effective with momentum" if effective else span


def _numbers(values: Iterable[int]) -> str:
    found = sorted(set(values))
    if len(found) > MOST_LISTED:
        return f"{found[0]:,} to {found[-1]:,} ({len(found)})"
    return " / ".join(f"{value:,}" for value in found) or "–"
