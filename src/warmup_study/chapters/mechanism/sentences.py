"""The sixth chapter's results in words: titles of its figures, and sentences of its notebook."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from warmup_study.chapters.mechanism import analysis
from warmup_study.claims.evidence import Outcome
from warmup_study.claims.table import claim, margin
from warmup_study.presentation.changes import compared, reading
from warmup_study.presentation.formatting import number, percent
from warmup_study.statistics.bootstrap import LEVEL, Effect, pooled
from warmup_study.statistics.decisions import decide

Outcomes = Mapping[str, Outcome[str]]
NOTHING = "no task here allows a test"
HIGHER = analysis.HIGHER.format("ramp")


def over_tasks(found: Outcomes, name: str) -> Effect | None:
    """The mean over the tasks that count of an effect, None where none has it."""
    effects = [mine[name] for mine in found.values() if isinstance(mine, Mapping) and name in mine]
    return pooled(effects) if effects else None


def changed(effect: Effect) -> str:
    """A log ratio of two conditions in percent or as a factor: "32 % higher (5 % lower to 90 % higher)"."""
    low, middle, high = (compared(-end) for end in (effect.low, effect.estimate, effect.high))
    return f"{middle} ({low} to {high})"


def edges_title(runs: pd.DataFrame) -> str:
    """How close the sharpness comes to the limits from theory."""
    table = analysis.edges(runs)
    low, high = table["largest over limit"].min(), table["largest over limit"].max()
    return f"Under full-batch descent, the sharpness peaks at {number(low)} to {number(high)} times its stability limit"


def edges_sentence(runs: pd.DataFrame) -> str:
    """Where each rule settles, and why strong momentum does not stay at its limit."""
    table = analysis.edges(runs).set_index("rule")
    settled, largest, loss = (table[name] for name in ("settled over limit", "largest over limit", "loss"))
    strong = "momentum 0.9"
    return (
        f"In the last quarter of the run, the sharpness is {number(settled['sgd'])} times its limit under plain "
        f"gradient descent, {number(settled['momentum 0.5'])} times with momentum 0.5, {number(settled[strong])} times "
        f"with momentum 0.9, and {number(settled['adam'])} times under Adam. With momentum 0.9, it peaks at "
        f"{number(largest[strong])} times. The sharpness grows only while there is loss left to reduce: momentum 0.9 "
        f"ends at a training loss of {number(loss[strong])}, momentum 0.5 at {number(loss['momentum 0.5'])}, plain "
        f"descent at {number(loss['sgd'])}."
    )


def curvature_title(found: Outcomes) -> str:
    """Whether the sharpness is lower when the ramp has ended."""
    effect = over_tasks(found, analysis.FLATTER)
    if effect is None:
        return f"Sharpness with and without a ramp: {NOTHING}"
    if effect.low <= 0 <= effect.high:
        return "When the ramp ends, the sharpness is not clearly different from that without warmup"
    change = compared(-effect.estimate)
    return f"When the ramp ends, the sharpness is {change} than without warmup after the same number of updates"


def curvature_sentence(found: Outcomes) -> str:
    """The sharpness at the ramp's end and the largest trainable learning rate, over all tasks."""
    flatter, higher = over_tasks(found, analysis.FLATTER), over_tasks(found, HIGHER)
    if flatter is None or higher is None:
        return f"Sharpness with and without a ramp: {NOTHING}."
    return (
        f"Over all tasks, the sharpness at the end of the ramp is {changed(flatter)} "
        f"than without warmup after the same number of updates ({percent(flatter.level)} interval in brackets). The "
        f"largest trainable learning rate is {_factor(higher.estimate)} times as high ({_factor(higher.low)} to "
        f"{_factor(higher.high)}). Kalra & Barkeshli (2024) found a factor of four in one run."
    )


def _factor(doublings: float) -> str:
    return number(2**doublings)


def trainable_title(found: Outcomes) -> str:
    """By how much the ramp changes the largest trainable learning rate."""
    effect = over_tasks(found, HIGHER)
    if effect is None:
        return f"The largest trainable learning rate: {NOTHING}"
    span = f"{_factor(effect.low)} to {_factor(effect.high)}"
    return {
        "above": f"A ramp makes the largest trainable learning rate {_factor(effect.estimate)} times as high",
        "inside": "A ramp hardly changes the largest trainable learning rate",
        "below": f"A ramp lowers the largest trainable learning rate to {_factor(effect.estimate)} times its value",
    }.get(
        decide(effect, margin("largest_trainable_lr").value),
        f"A ramp changes the largest trainable learning rate by a factor of {span}",
    )


def gap_title(found: Outcomes) -> str:
    """Whether the sharpness falls with the loss, and how far it climbs before."""
    effect = over_tasks(found, analysis.CORRELATION.format("none"))
    climb = over_tasks(found, analysis.CLIMB.format("none"))
    if effect is None or climb is None:
        return f"Sharpness and loss: {NOTHING}"
    if effect.low > 0:
        return f"The sharpness climbs by a factor of {number(math.exp(climb.estimate))}, then falls with the loss"
    return "As the loss falls, the sharpness rises" if effect.high < 0 else "Sharpness and loss show no clear relation"


def gap_sentence(found: Outcomes) -> str:
    """The rank correlations of sharpness and training loss, and the climb at the start."""
    correlated, climbs = [], []
    for warmup, words in (("none", "without warmup"), ("ramp", "with a ramp")):
        effect, climb = (over_tasks(found, name.format(warmup)) for name in (analysis.CORRELATION, analysis.CLIMB))
        if effect is not None and climb is not None:
            interval = f"({number(effect.low)} to {number(effect.high)})"
            correlated.append(f"{number(effect.estimate)} {interval} {words}")
            climbs.append(f"{number(math.exp(climb.estimate))} times its initial value {words}")
    if not correlated:
        return f"Sharpness and loss: {NOTHING}."
    return (
        "If curvature were H₀ + H₁(f − f*), sharpness and loss would rise and fall together along a run. Their rank "
        f"correlation over all tasks is {' and '.join(correlated)} ({percent(LEVEL)} intervals in brackets). But first "
        f"the sharpness climbs, to {' and '.join(climbs)}."
    )


def dead_title(found: Outcomes) -> str:
    """How many units the ramp keeps alive, and whether that explains its gain."""
    spared, added = (over_tasks(found, name) for name in ("share of dead units spared", "added gain with ReLU"))
    if spared is None or added is None:
        return f"Dead units with and without a ramp: {NOTHING}"
    points = f"{number(100 * abs(spared.estimate))} percentage points"
    first = {
        "above": f"Above the best learning rate, a ramp keeps {points} more of the units alive",
        "below": f"Above the best learning rate, a ramp kills {points} more of the units",
        "inside": "Above the best learning rate, a ramp hardly changes how many units die",
    }.get(decide(spared, claim("dead-units").margin or 0.0), "These runs leave open whether a ramp saves units")
    second = {
        "above": "and it gains more with ReLUs than with leaky ones",
        "below": "and it gains less with ReLUs than with leaky ones",
        "inside": "and it gains as much with leaky ReLUs",
    }.get(decide(added, margin("usable_lr").value), "and whether that explains its gain is unclear")
    return f"{first}, {second}"


def dead_sentence(found: Outcomes) -> str:
    """How many units a ramp spares, and what it gains with and without units that can die."""
    names = {"gain (ReLU)": "with ReLUs", "gain (leaky ReLU)": "with leaky ones"}
    gains = {words: over_tasks(found, name) for name, words in names.items()}
    spared = over_tasks(found, "share of dead units spared")
    if spared is None:
        return f"Dead units with and without a ramp: {NOTHING}."
    told = [f"{number(gain.estimate)} decades {words}" for words, gain in gains.items() if gain is not None]
    return (
        f"At twice the best learning rate, {_points(spared.estimate)} percentage points more of the units are dead at "
        f"the end without warmup than with a ramp ({_points(spared.low)} to {_points(spared.high)}). In usable "
        f"learning rates, the ramp gains {' and '.join(told)}."
    )


def _points(share: float) -> str:
    return number(100 * share)


def disguises_title(found: Outcomes) -> str:
    """How far the most deviant replay is from its fix, of those that clearly differ."""
    least = margin("tuned_loss").value
    replays = _replays(found)
    readings = {fix: reading(effect, least) for fix, effect in replays.items()}
    if not readings:
        return f"Warmups in disguise: {NOTHING}"
    if set(readings.values()) == {"too small to matter"}:
        return f"Plain Adam with a fix's schedule always ends within {percent(round(math.expm1(least), 2))} of the fix"
    differing = {fix: replays[fix] for fix, word in readings.items() if word in ("better", "worse")}
    if not differing:
        return "Plain Adam under a fix's own schedule is not clearly better or worse than any of the fixes"
    fix, effect = max(differing.items(), key=lambda pair: abs(pair[1].estimate))
    loss = compared(-effect.estimate)
    return f"Plain Adam under a fix's own schedule differs most from the fix for {fix}: plain Adam's loss is {loss}"


def disguises_sentence(found: Outcomes) -> str:
    """Every fix and its replay, over all tasks."""
    told = [
        f"{fix}: {changed(effect)}" if effect.estimate else f"{fix}: the same"
        for fix, effect in _replays(found).items()
    ]
    return (
        f"Loss of each replay relative to its fix, over all tasks: {'; '.join(told)}."
        if told
        else f"Warmups in disguise: {NOTHING}."
    )


def _replays(found: Outcomes) -> dict[str, Effect]:
    names: Iterable[str] = dict.fromkeys(name for mine in found.values() if isinstance(mine, Mapping) for name in mine)
    pairs: dict[str, Any] = {name: over_tasks(found, name) for name in names}
    return {name: effect for name, effect in pairs.items() if effect is not None}
