"""What the tenth chapter's results say: titles of its figures, and paragraphs of its notebook."""

from collections.abc import Mapping

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
    told_shares,
)
from warmup_study.chapters.new_optimisers.analysis import NAMES, less_adam
from warmup_study.chapters.new_optimisers.design import ADAM, CONTROL, NEWER, OPTIMIZERS
from warmup_study.claims.prose import listed
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import Reading, compared_with_interval, reading
from warmup_study.presentation.formatting import effect, number, tasks_counted
from warmup_study.statistics.bootstrap import Effect, difference, pooled
from warmup_study.statistics.lr_curves import OVERSHOOT, edge_of_training

NOTHING = "Nothing trains here at any learning rate, with warmup or without"
AMOUNTS: dict[Reading, str] = {
    "better": "something",
    "worse": "less than nothing",
    "too small to matter": "next to nothing",
    "too small to tell": "an amount that stays undecided",
}
"""What a gain's interval says, held against the smallest one of interest."""


def gains_title(known: Gains) -> str:
    """How many decades of usable learning rates a ramp gains each optimiser, as far as that is decided."""
    effects = {NAMES[name]: mean_gain(known, name, USABLE) for name in (*OPTIMIZERS, ADAM)}
    told = [f"{name} {_decades(found)}" for name, found in effects.items() if found]
    return f"Decades of usable learning rates that a ramp gains: {', '.join(told)}" if told else NOTHING


def _decades(found: Effect) -> str:
    word = reading(found, margin("usable_lr").value)
    return {"too small to matter": "next to nothing", "too small to tell": "undecided"}.get(
        word, number(found.estimate)
    )


def curves_title(known: Gains) -> str:
    """Which optimisers a ramp helps above the best learning rate, by what their mean gains say."""
    words: dict[Reading, str] = {
        "better": "helps",
        "worse": "harms",
        "too small to matter": "hardly matters for",
        "too small to tell": "leaves undecided",
    }
    effects = {name: mean_gain(known, name, ABOVE) for name in (*OPTIMIZERS, ADAM)}
    told = [f"{word} {names}" for word, names in _grouped(effects, words, "overshoot").items()]
    return f"At {OVERSHOOT:g} times the best learning rate a ramp {'; '.join(told)}" if told else NOTHING


def momentum_title(known: Gains) -> str:
    """Whether a ramp of the momentum gains as much as one of the learning rate, in usable learning rates."""
    words: dict[Reading, str] = {
        "better": "gains more than",
        "worse": "gains less than",
        "too small to matter": "gains as much as",
        "too small to tell": "is not told apart from",
    }
    effects = {name: momentum_less_ramp(known, name, USABLE) for name in NEWER}
    grouped = _grouped(effects, words, "usable_lr")
    told = [f"{word} one of the learning rate with {names}" for word, names in grouped.items()]
    return f"In usable learning rates a ramp of the momentum {'; '.join(told)}" if told else NOTHING


def _grouped(effects: Mapping[str, Effect | None], words: Mapping[Reading, str], endpoint: str) -> dict[str, str]:
    """Names of optimisers by what their effects say, held against the endpoint's margin: {"helps": "Lion and Muon"}."""
    names: dict[str, list[str]] = {word: [] for word in words.values()}
    for optimizer, found in effects.items():
        if found:
            names[words[reading(found, margin(endpoint).value)]].append(NAMES[optimizer])
    return {word: listed(mine) for word, mine in names.items() if mine}


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
        f"**{NAMES[optimizer]}** ({tasks_counted(len(mine))}): with the ramp the loss is "
        f"{compared_with_interval(best)} at the best learning rate of each, and {compared_with_interval(above)} at "
        f"{OVERSHOOT:g} times the one that is best without. The range of usable learning rates widens by "
        f"{effect(usable)} decades, and the largest that trains{_edges(mine)} moves by {effect(largest)} doublings. "
        f"{told_shares(mine)}{_against_adam(found, optimizer)}"
    )


def _edges(mine: Cells) -> str:
    """The largest learning rate that trains without warmup, from the lowest to the highest of the tasks."""
    edges = [
        2.0 ** float(edge_of_training(arms["none"], np.arange(arms["none"].seeds)[None])[0]) for arms in mine.values()
    ]
    told = list(dict.fromkeys(number(edge) for edge in (min(edges), max(edges))))
    return f" ({' to '.join(told)} without warmup)"


def _against_adam(found: Cells, optimizer: str) -> str:
    """What the ramp gains this optimiser less what it gains Adam, over the tasks that both train."""
    trained = counted(found)
    tasks = [task for task, name in trained if name == optimizer and (task, ADAM) in trained]
    if optimizer == ADAM or not tasks:
        return ""
    arms = [{name: trained[task, name] for name in (optimizer, ADAM)} for task in tasks]
    usable, above = (pooled([less_adam(mine, optimizer, place) for mine in arms]) for place in (USABLE, ABOVE))
    return (
        f" On the same tasks its gain less Adam's is {effect(usable)} decades; above the best learning rate its loss "
        f"with the ramp, relative to none, is {compared_with_interval(above)} than Adam's."
    )


def momentum(known: Gains) -> str:
    """A paragraph: what a ramp of the momentum does in place of one of the learning rate."""
    told = []
    for name in NEWER:
        usable, above = (mean_gain(known, name, place, "momentum") for place in (USABLE, ABOVE))
        less = momentum_less_ramp(known, name, USABLE)
        if usable and above and less:
            told.append(
                f"**{NAMES[name]}**: it gains {effect(usable)} decades; less what a ramp of the learning rate gains, "
                f"that is {effect(less)}; above the best learning rate the loss is {compared_with_interval(above)}."
            )
    return " ".join(["A ramp of the momentum at the full learning rate instead.", *told]) if told else NOTHING


def field(known: Gains) -> str:
    """What was found above the best learning rate, held against what others report."""
    ramps = {name: _side(mean_gain(known, name, ABOVE)) for name in ("muon", "lion", CONTROL)}
    momentum_ramp = _side(mean_gain(known, "muon", ABOVE, "momentum"))
    return (
        "Muon's record runs on a small GPT have had no warmup of the learning rate since October 2024, and ramp its "
        f"momentum. Here, above the best learning rate, a ramp of the learning rate gains Muon {ramps['muon']}; one of "
        f"the momentum gains it {momentum_ramp}. A warmup that adapts itself was published for Muon, Lion and "
        f"normalised SGD (arXiv 2602.05813), without a Lion that has none. Here a ramp gains Lion {ramps['lion']}. "
        f"Adagrad was the control that should need none: a ramp gains it {ramps[CONTROL]}."
    )


def _side(found: Effect | None) -> str:
    if found is None:
        return "nothing that could be measured"
    return f"{AMOUNTS[reading(found, margin('overshoot').value)]}, with a loss {compared_with_interval(found)}"
