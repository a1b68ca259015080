"""What the tenth chapter's results say: titles of its figures, and paragraphs of its notebook."""

from collections.abc import Iterable

import numpy as np

from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    LARGEST,
    USABLE,
    Cells,
    Gains,
    counted,
    mean_gain,
)
from warmup_study.chapters.new_optimisers.analysis import NAMES, less_adam
from warmup_study.chapters.new_optimisers.design import ADAM, CONTROL, NEWER, OPTIMIZERS
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import compared_with_interval, reading
from warmup_study.presentation.formatting import NO_BREAK, effect, number
from warmup_study.statistics.bootstrap import Effect, difference, pooled
from warmup_study.statistics.decisions import decide
from warmup_study.statistics.lr_curves import OVERSHOOT, edge_of_training, share_trained

NOTHING = "Nothing trains here at any learning rate, with warmup or without"
SIDES = {"above": "more than the margin", "below": "less than nothing", "inside": "next to nothing"}
"""What the interval of a gain says, held against the smallest one of interest."""


def gains_title(known: Gains) -> str:
    """How many decades of usable learning rates a ramp gains each optimiser, as far as that is decided."""
    effects = {NAMES[name]: mean_gain(known, name, USABLE) for name in (*OPTIMIZERS, ADAM)}
    told = [f"{name} {_decades(found)}" for name, found in effects.items() if found]
    return f"Decades of usable learning rates that a ramp gains: {', '.join(told)}" if told else NOTHING


def _decades(found: Effect) -> str:
    side = decide(found, margin("usable_lr").value)
    return {"inside": "next to nothing", "undecided": "undecided"}.get(side, number(found.estimate))


def curves_title(known: Gains) -> str:
    """Where above the best learning rate a ramp lowers an optimiser's loss."""
    told = _sorted_by_reading(known, (*OPTIMIZERS, ADAM), ABOVE, "overshoot")
    return f"At {OVERSHOOT:g} times the best learning rate a ramp {told}" if told else NOTHING


def _sorted_by_reading(known: Gains, optimizers: Iterable[str], place: str, endpoint: str) -> str:
    """Which optimisers a ramp serves, by what their mean gains say: "helps Lion and Muon; hardly matters for …"."""
    words = {
        "better": "helps",
        "worse": "harms",
        "too small to matter": "hardly matters for",
        "too small to tell": "leaves undecided",
    }
    by_word: dict[str, list[str]] = {word: [] for word in words.values()}
    for name in optimizers:
        found = mean_gain(known, name, place)
        if found:
            by_word[words[reading(found, margin(endpoint).value)]].append(NAMES[name])
    return "; ".join(f"{word} {' and '.join(names)}" for word, names in by_word.items() if names)


def momentum_title(known: Gains) -> str:
    """Whether a ramp of the momentum gains as much as one of the learning rate, in usable learning rates."""
    sides = {
        "above": "gains more than",
        "below": "gains less than",
        "inside": "gains as much as",
        "undecided": "is not told apart from",
    }
    by_side: dict[str, list[str]] = {}
    for name in NEWER:
        found = momentum_less_ramp(known, name, USABLE)
        if found:
            by_side.setdefault(sides[decide(found, margin("usable_lr").value)], []).append(NAMES[name])
    told = [f"{side} one of the learning rate with {' and '.join(names)}" for side, names in by_side.items()]
    return f"In usable learning rates a ramp of the momentum {'; '.join(told)}" if told else NOTHING


def momentum_less_ramp(known: Gains, optimizer: str, place: str) -> Effect | None:
    """What a ramp of the momentum gains, less what one of the learning rate does; None where neither was compared."""
    momentum, ramp = (mean_gain(known, optimizer, place, warmup) for warmup in ("momentum", "ramp"))
    return difference(momentum, ramp) if momentum and ramp else None


def paragraphs(found: Cells, known: Gains) -> list[str]:
    """One paragraph for each optimiser: what the ramp does to its loss, its range, its edge and its seeds."""
    return [_paragraph(found, known, name) for name in (*OPTIMIZERS, ADAM) if mean_gain(known, name, USABLE)]


def _paragraph(found: Cells, known: Gains, optimizer: str) -> str:
    mine = {cell: arms for cell, arms in counted(found).items() if cell[1] == optimizer}
    best, above, usable, largest = (mean_gain(known, optimizer, place) for place in (BEST, ABOVE, USABLE, LARGEST))
    if not (mine and best and above and usable and largest):
        return f"**{NAMES[optimizer]}** trains on no task here."
    return (
        f"**{NAMES[optimizer]}** ({len(mine)} task{'s' if len(mine) > 1 else ''}): with the ramp the loss is "
        f"{compared_with_interval(best)} at the best learning rate of each, and {compared_with_interval(above)} at "
        f"{OVERSHOOT:g} times the one that is best without. The range of usable learning rates widens by "
        f"{effect(usable)} decades, and the largest that trains{_edges(mine)} moves by {effect(largest)} doublings. "
        f"{_shares(mine)}{_against_adam(found, optimizer)}"
    )


def _edges(mine: Cells) -> str:
    """The largest learning rate that trains without warmup, from the lowest to the highest of the tasks."""
    edges = [
        2.0 ** float(edge_of_training(arms["none"], np.arange(arms["none"].seeds)[None])[0]) for arms in mine.values()
    ]
    told = list(dict.fromkeys(number(edge) for edge in (min(edges), max(edges))))
    return f" ({' to '.join(told)} without warmup)"


def _shares(mine: Cells) -> str:
    shares = [share_trained(arms["none"], arms["ramp"]) for arms in mine.values()]
    without, with_ramp = (100 * float(np.mean([each[which].estimate for each in shares])) for which in (0, 1))
    return (
        f"At {OVERSHOOT:g} times the best learning rate {number(without)}{NO_BREAK}% of the seeds train without "
        f"warmup, {number(with_ramp)}{NO_BREAK}% with it."
    )


def _against_adam(found: Cells, optimizer: str) -> str:
    """What the ramp gains this optimiser less what it gains Adam, over the tasks that both train."""
    trained = counted(found)
    tasks = [task for task, name in trained if name == optimizer and (task, ADAM) in trained]
    if optimizer == ADAM or not tasks:
        return ""
    arms = [{name: trained[task, name] for name in (optimizer, ADAM)} for task in tasks]
    usable, above = (pooled([less_adam(mine, optimizer, place) for mine in arms]) for place in (USABLE, ABOVE))
    return (
        f" Held against Adam on the same tasks, the ramp gains it {effect(usable)} decades more, and leaves its loss "
        f"above the best learning rate {compared_with_interval(above)} relative to Adam's."
    )


def momentum(known: Gains) -> str:
    """A paragraph: what a ramp of the momentum does in place of one of the learning rate."""
    told = []
    for name in NEWER:
        usable, above = (mean_gain(known, name, place, "momentum") for place in (USABLE, ABOVE))
        less = momentum_less_ramp(known, name, USABLE)
        if usable and above and less:
            told.append(
                f"**{NAMES[name]}**: it gains {effect(usable)} decades, {effect(less)} more than a ramp of the "
                f"learning rate does; above the best learning rate the loss is {compared_with_interval(above)}."
            )
    return " ".join(["A ramp of the momentum at the full learning rate instead.", *told]) if told else NOTHING


def field(known: Gains) -> str:
    """What was found above the best learning rate, held against what others report."""
    ramps = {name: _side(mean_gain(known, name, ABOVE)) for name in ("muon", "lion", CONTROL)}
    momentum_ramp = _side(mean_gain(known, "muon", ABOVE, "momentum"))
    return (
        "Muon's record runs on a small GPT have had no warmup of the learning rate since October 2024, and ramp its "
        f"momentum. Here, above the best learning rate, a ramp of the learning rate gains Muon {ramps['muon']}, one of "
        f"the momentum {momentum_ramp}. Lion is used with warmup and without, and no comparison over several seeds was "
        f"found. Here a ramp gains it {ramps['lion']}. Adagrad was the control that should need none: it gains "
        f"{ramps[CONTROL]}."
    )


def _side(found: Effect | None) -> str:
    if found is None:
        return "nothing that could be measured"
    side = SIDES.get(decide(found, margin("overshoot").value), "an amount that stays undecided")
    return f"{side} ({compared_with_interval(found)})"
