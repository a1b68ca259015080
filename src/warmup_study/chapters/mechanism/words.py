"""What the sixth chapter's figures and its notebook say, made from the results."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from warmup_study.chapters.mechanism import analysis
from warmup_study.claims.evidence import Outcome
from warmup_study.claims.table import claim, margin
from warmup_study.presentation.changes import compared
from warmup_study.presentation.formatting import number, percent
from warmup_study.statistics.bootstrap import LEVEL, Effect, pooled
from warmup_study.statistics.decisions import decide

Outcomes = Mapping[str, Outcome[str]]
NOTHING = "no task offers a case"
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
    """How near to theory's limits the sharpness comes."""
    table = analysis.edges(runs)
    low, high = table["largest over limit"].min(), table["largest over limit"].max()
    return f"Whole-batch descent sharpens its ground up to {number(low)} to {number(high)} of the limit of stability"


def edges_sentence(runs: pd.DataFrame) -> str:
    """Where each rule ends, and why strong momentum does not stay at its limit."""
    table = analysis.edges(runs).set_index("rule")
    settled, largest, loss = (table[name] for name in ("settled over limit", "largest over limit", "loss"))
    strong = "momentum 0.9"
    return (
        f"In the last quarter of the run the sharpness is {number(settled['sgd'])} of its limit under plain descent, "
        f"{number(settled['momentum 0.5'])} with a momentum of 0.5, {number(settled[strong])} with one of 0.9, and "
        f"{number(settled['adam'])} under Adam. Momentum of 0.9 comes up to {number(largest[strong])}. The ground "
        f"sharpens only while there is error: momentum of 0.9 ends at a training loss of {number(loss[strong])}, one "
        f"of 0.5 at {number(loss['momentum 0.5'])}, plain descent at {number(loss['sgd'])}."
    )


def curvature_title(found: Outcomes) -> str:
    """Whether the ground is flatter when the ramp has ended."""
    effect = over_tasks(found, analysis.FLATTER)
    if effect is None:
        return f"Sharpness with and without a ramp: {NOTHING}"
    if effect.low <= 0 <= effect.high:
        return "When the ramp ends, the ground is as sharp as without one, as far as these runs tell"
    change = compared(-effect.estimate)
    return f"When the ramp ends, the sharpness is {change} than without one after as many updates"


def curvature_sentence(found: Outcomes) -> str:
    """The sharpness at the ramp's end and the largest trainable rate, over all tasks."""
    flatter, higher = over_tasks(found, analysis.FLATTER), over_tasks(found, HIGHER)
    if flatter is None or higher is None:
        return f"Of curvature {NOTHING}."
    return (
        f"Over all tasks, the sharpness at the end of the ramp is {changed(flatter)} "
        f"than without warmup after as many updates, {percent(flatter.level)} interval in brackets; the largest "
        f"trainable rate is {_factor(higher.estimate)} times as high ({_factor(higher.low)} to "
        f"{_factor(higher.high)}). Kalra & Barkeshli (2024) found a factor of four, in one run."
    )


def _factor(doublings: float) -> str:
    return number(2**doublings)


def trainable_title(found: Outcomes) -> str:
    """By what the ramp changes the largest trainable rate."""
    effect = over_tasks(found, HIGHER)
    if effect is None:
        return f"The largest trainable learning rate: {NOTHING}"
    span = f"{_factor(effect.low)} to {_factor(effect.high)}"
    return {
        "above": f"A ramp makes the largest trainable learning rate {_factor(effect.estimate)} times as high",
        "inside": "A ramp hardly moves the largest trainable learning rate",
        "below": f"A ramp lowers the largest trainable learning rate to {_factor(effect.estimate)} times",
    }.get(
        decide(effect, margin("largest_trainable_lr").value),
        f"A ramp changes the largest trainable learning rate by a factor of {span}",
    )


def gap_title(found: Outcomes) -> str:
    """Whether a falling loss goes with falling curvature, and how far that climbs before."""
    effect = over_tasks(found, analysis.CORRELATION.format("none"))
    climb = over_tasks(found, analysis.CLIMB.format("none"))
    if effect is None or climb is None:
        return f"Sharpness and loss: {NOTHING}"
    if effect.low > 0:
        return f"The sharpness climbs {number(math.exp(climb.estimate))} times, then falls as the loss falls"
    return "As the loss falls, the sharpness rises" if effect.high < 0 else "The sharpness does not follow the loss"


def gap_sentence(found: Outcomes) -> str:
    """The rank correlations of sharpness and training loss, and the climb at the start."""
    correlated, climbs = [], []
    for warmup, words in (("none", "without warmup"), ("ramp", "with a ramp")):
        effect, climb = (over_tasks(found, name.format(warmup)) for name in (analysis.CORRELATION, analysis.CLIMB))
        if effect is not None and climb is not None:
            interval = f"({number(effect.low)} to {number(effect.high)})"
            correlated.append(f"{number(effect.estimate)} {interval} {words}")
            climbs.append(f"{number(math.exp(climb.estimate))} times its first value {words}")
    if not correlated:
        return f"Of sharpness and loss {NOTHING}."
    return (
        "If curvature were H₀ + H₁(f − f*), sharpness and loss would rank alike along a run. Their rank correlation "
        f"over all tasks is {' and '.join(correlated)}, {percent(LEVEL)} intervals in brackets. But first the "
        f"sharpness climbs, to {' and '.join(climbs)}."
    )


def dead_title(found: Outcomes) -> str:
    """What the ramp spares in dead units, and whether that is where its gain comes from."""
    spared, added = (over_tasks(found, name) for name in ("share of dead units spared", "added gain with ReLU"))
    if spared is None or added is None:
        return f"Units that die of too large a start: {NOTHING}"
    points = f"{number(100 * abs(spared.estimate))} points"
    first = {
        "above": f"Above the best rate a ramp spares {points} of units",
        "below": f"Above the best rate a ramp costs {points} of units",
        "inside": "Above the best rate a ramp hardly changes how many units die",
    }.get(decide(spared, claim("dead-units").margin or 0.0), "Whether a ramp spares units is not settled")
    second = {
        "above": "and gains more with ReLUs than with leaky ones",
        "below": "and gains less with ReLUs than with leaky ones",
        "inside": "and gains as much with leaky ReLUs",
    }.get(decide(added, margin("usable_lr").value), "and whether that is its gain is not settled")
    return f"{first}, {second}"


def dead_sentence(found: Outcomes) -> str:
    """The same in numbers."""
    names = {"gain (ReLU)": "with ReLUs", "gain (leaky ReLU)": "with leaky ones"}
    gains = {words: over_tasks(found, name) for name, words in names.items()}
    spared = over_tasks(found, "share of dead units spared")
    if spared is None:
        return f"Of dead units {NOTHING}."
    told = [f"{number(gain.estimate)} decades {words}" for words, gain in gains.items() if gain is not None]
    return (
        f"At twice the best rate {_points(spared.estimate)} points of units more are dead at the end without warmup "
        f"than with a ramp ({_points(spared.low)} to {_points(spared.high)}). In usable learning rates the ramp gains "
        f"{' and '.join(told)}."
    )


def _points(share: float) -> str:
    return number(100 * share)


def disguises_title(found: Outcomes) -> str:
    """How far the replay that is farthest off lies from its fix."""
    fix, effect = farthest(found)
    if effect is None:
        return f"Warmups in disguise: {NOTHING}"
    least = margin("tuned_loss").value
    if all(decide(each, least) == "inside" for each in _replays(found).values()):
        return f"Replayed on plain Adam, every fix ends within {percent(round(math.expm1(least), 2))} of itself"
    return f"Replayed on plain Adam, {fix} is farthest off: its loss is {compared(-effect.estimate)}"


def disguises_sentence(found: Outcomes) -> str:
    """Every fix and its replay, over all tasks."""
    told = [
        f"{fix}: {changed(effect)}" if effect.estimate else f"{fix}: the same"
        for fix, effect in _replays(found).items()
    ]
    return (
        f"Loss of the replay beside that of the fix, over all tasks: {'; '.join(told)}."
        if told
        else f"Of fixes {NOTHING}."
    )


def farthest(found: Outcomes) -> tuple[str, Effect | None]:
    """The fix whose replay deviates most over all tasks, and by how much."""
    replays = _replays(found)
    name = max(replays, key=lambda fix: abs(replays[fix].estimate), default="")
    return name, replays.get(name)


def _replays(found: Outcomes) -> dict[str, Effect]:
    names: Iterable[str] = dict.fromkeys(name for mine in found.values() if isinstance(mine, Mapping) for name in mine)
    pairs: dict[str, Any] = {name: over_tasks(found, name) for name in names}
    return {name: effect for name, effect in pairs.items() if effect is not None}
