"""The ninth chapter's results in words, in percent and factors; titles state what is decided."""

from dataclasses import replace

import numpy as np
import pandas as pd

from warmup_study.chapters.fine_tuning.analysis import (
    BACKBONES,
    CLAIM,
    LONGER_LOW,
    PLACES,
    WAYS,
    gathered,
    head_gain,
    new_saved_by,
    old_saved_by,
)
from warmup_study.chapters.fine_tuning.design import STATES
from warmup_study.chapters.fine_tuning.resuming import AT_END, FRESH, MOMENTS, TWICE, excess, excess_curve
from warmup_study.claims.evidence import ByTask, measured, over_tasks
from warmup_study.claims.prose import listed
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import compared, compared_with_interval, finding
from warmup_study.presentation.formatting import count_of
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.decisions import decide

NO_CASE = "No network here learns the new data."
BEST, ABOVE = PLACES
AT = {BEST: BEST, ABOVE: "at twice that"}
BACKBONE = dict(zip(BACKBONES, ("backbone trained", "backbone frozen"), strict=True))
WHERE = {BEST: "each at its best learning rate", ABOVE: "at twice the best learning rate"}
ANSWERS = {
    "above": "yes",
    "below": "no, it hurts",
    "inside": "no, any difference is too small to matter",
    "undecided": "these runs cannot tell whether it makes a difference that matters",
}


def _found(effect: Effect) -> str:
    return finding(effect, margin("tuned_loss").value)


def _as_gain(excess_loss: Effect) -> Effect:
    """The same with its sign turned: positive where the loss is lower."""
    low, high = -excess_loss.high, -excess_loss.low
    return replace(excess_loss, estimate=-excess_loss.estimate, low=low, high=high, replicates=-excess_loss.replicates)


def old_title(found: ByTask[str]) -> str:
    """Whether starting at a low learning rate protects the old data."""
    old = _found(over_tasks(found)[CLAIM])
    return f"At equal loss on the new data, starting at a low learning rate leaves the loss on the old data {old}"


def paths_title(found: ByTask[str]) -> str:
    """Which paths from the old data to the new forget less than the one without warmup, averaged over tasks."""
    mean = over_tasks(found)
    told = [f"{_found(mean[old_saved_by(way)])} after {way}" for way in WAYS if old_saved_by(way) in mean]
    if not told:
        return "Paths from the old data to the new"
    return f"At equal loss on the new data, the loss on the old data is {listed(told)}"


def of_old(found: ByTask[str]) -> str:
    """How well a low learning rate first, and other ways to start, retain the old data."""
    mean = over_tasks(found)
    if not mean:
        return NO_CASE
    cells = "; ".join(
        f"{state} state, {AT[place]}: {compared(mean[f'{CLAIM} ({state} state, {place})'].estimate)}"
        for state in STATES
        for place in PLACES
    )
    others = [(way, old_saved_by(way)) for way in ("a ramp", "lr = 0", LONGER_LOW)]
    beside = "; ".join(f"{compared_with_interval(mean[name])} after {way}" for way, name in others if name in mean)
    equal = mean["old loss saved by a low LR first, at equal updates"]
    return (
        f"On {_tasks(found)}, at equal loss on the new data, the loss on the old data is "
        f"{compared_with_interval(mean[CLAIM])} if fine-tuning starts at a low learning rate ({cells}). With "
        f"other starts, it is {beside}. At equal updates, when the new data may be learnt less well, it is "
        f"{compared_with_interval(equal)}."
    )


def of_new(found: ByTask[str]) -> str:
    """Effect of each way to start on the loss on the new data, and of a low learning rate from scratch."""
    mean = over_tasks(found)
    if not mean:
        return NO_CASE
    told = "; ".join(
        f"{compared_with_interval(mean[new_saved_by(way, BEST)])} after {way}, each at its best learning rate, and "
        f"{compared(mean[new_saved_by(way, ABOVE)].estimate)} at twice the best"
        for way in WAYS
    )
    scratch = compared_with_interval(mean["loss saved by a low LR first, from scratch"])
    return (
        f"Relative to no warmup, the final loss on the new data is {told}. In training from scratch, starting at a low "
        f"learning rate leaves the loss {scratch}."
    )


def of_states(found: ByTask[str]) -> str:
    """Whether the optimiser state is worth keeping when the data change."""
    mean = over_tasks(found)
    if not mean:
        return ""
    new, old = (compared_with_interval(mean[f"{side} loss saved by keeping the state"]) for side in ("new", "old"))
    return (
        "At equal updates, each at its best learning rate, keeping the optimiser state from the old data instead of "
        f"starting with a fresh one leaves the loss on the new data {new} and on the old data {old}."
    )


def gathering_title(found: ByTask[str]) -> str:
    """Effect of a phase at lr = 0 on the loss on the new data."""
    fresh, kept = (_found(over_tasks(found)[gathered(BEST, state)]) for state in STATES)
    return (
        f"A phase at lr = 0 leaves the loss on the new data {fresh} if the state is fresh and {kept} if it is kept, "
        "relative to no such phase"
    )


def of_gathering(found: ByTask[str]) -> str:
    """The answer to whether Adam's state should be gathered at lr = 0 before fine-tuning."""
    mean = over_tasks(found)
    if not mean:
        return NO_CASE
    answer = ANSWERS[decide(mean[gathered(BEST, "fresh")], margin("tuned_loss").value)]
    told = "; ".join(
        f"{state} state, {AT[place]}: {compared_with_interval(mean[gathered(place, state)])}"
        for state in STATES
        for place in PLACES
    )
    return (
        "**Gather Adam's state at lr = 0 before fine-tuning? With a fresh state, at the best learning rate: "
        f"{answer}.** Loss on the new data at equal active updates, relative to no such phase: {told}."
    )


def head_title(found: ByTask[str]) -> str:
    """Effect of a ramp with a new head."""
    free, frozen = (_found(over_tasks(found)[head_gain("a ramp", BEST, backbone)]) for backbone in BACKBONES)
    return f"Under a new head, a ramp leaves the loss {free} if the backbone trains and {frozen} if it is frozen"


def of_heads(found: ByTask[str]) -> str:
    """Effect of each way to start with a new head."""
    mean = over_tasks(found)
    if not mean:
        return NO_CASE
    told = [
        f"**{BACKBONE[backbone]}**, {WHERE[place]}: "
        + ", ".join(f"{compared(mean[head_gain(way, place, backbone)].estimate)} after {way}" for way in WAYS)
        for backbone in BACKBONES
        for place in PLACES
    ]
    return f"Loss on the new classes with a new head, on {_tasks(found)}, relative to no warmup: {'; '.join(told)}."


def resuming_title(found: ByTask[str]) -> str:
    """Cost of a lost state, soon after resuming and at the end."""
    mean = over_tasks(found)
    soon, end = (_found(_as_gain(mean[excess(FRESH, moment)])) for moment in MOMENTS[1:])
    return f"A run resumed without its optimiser state has a loss {soon} {MOMENTS[1]} and {end} {AT_END}"


def of_resuming(found: ByTask[str]) -> str:
    """Cost of a lost state, and whether it is recovered."""
    mean = over_tasks(found)
    if not mean:
        return "No run was resumed."
    told, higher = (
        ", ".join(f"{compared_with_interval(_as_gain(mean[excess(FRESH, m, more)]))} {m}" for m in MOMENTS)
        for more in ("", TWICE)
    )
    return (
        f"On {_tasks(found)}, resuming at full learning rate without the optimiser state leaves the loss {told}; at "
        f"twice the best learning rate, {higher}."
    )


def of_new_ramps(found: ByTask[str]) -> str:
    """How much of the cost a new ramp, or a phase at lr = 0, saves."""
    mean = over_tasks(found)
    names = {name.removeprefix("excess loss of ").removesuffix(f" {AT_END}") for name in mean if name.endswith(AT_END)}
    ways = sorted(names - {FRESH}, key=_by_length)
    told = [
        f"with {_in_updates(way)}, {compared_with_interval(_as_gain(mean[excess(way, MOMENTS[1])]))} {MOMENTS[1]} and "
        f"{compared(-mean[excess(way, AT_END)].estimate)} {AT_END}"
        for way in ways
    ]
    higher = [f"{compared(-mean[excess(way, AT_END, TWICE)].estimate)} with {_in_updates(way)}" for way in ways]
    above = f"At twice the best learning rate, it is {AT_END} {'; '.join(higher)}."
    return f"Relative to a kept state, the loss is, {'; '.join(told)}. {above}" if ways else ""


def _in_updates(way: str) -> str:
    """A way to go on, with the unit of its ramp."""
    return f"{way} updates" if "ramp" in way else way


def _by_length(way: str) -> tuple[bool, int]:
    """Ramps first, from the shortest."""
    return "lr = 0" in way, int("".join(filter(str.isdigit, way.removesuffix("lr = 0"))) or 0)


def peak_title(runs: pd.DataFrame) -> str:
    """When runs without their state are worst off, by the geometric mean over tasks."""
    curves = [excess_curve(rows, "fresh") for _, rows in runs.groupby("task", sort=False)]
    mean = np.mean(np.log(curves), axis=0)
    peak = int(np.argmax(mean))
    updates = int(runs["evaluated_at"].iloc[0][peak])
    if peak == 0:
        return "Averaged over tasks, a run resumed without its optimiser state never falls behind one that kept it"
    return (
        f"A run resumed without its optimiser state is furthest behind {updates} updates later: its loss is "
        f"{compared(-mean[peak])} than with the state kept"
    )


def _tasks(found: ByTask[str]) -> str:
    return count_of(len(measured(found)), "task")
