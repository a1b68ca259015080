"""The tenth chapter's results in words: titles of its figures, and paragraphs of its notebook."""

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
from warmup_study.presentation.formatting import count_of, effect, number, times
from warmup_study.statistics.bootstrap import Effect, difference, pooled
from warmup_study.statistics.lr_curves import OVERSHOOT, edge_of_training

NOTHING = "Nothing trains here at any learning rate, with or without warmup"
AMOUNTS: dict[Reading, str] = {
    "better": "helps",
    "worse": "hurts",
    "too small to matter": "makes no difference that matters",
    "too small to tell": "has no clear effect",
}
"""What a gain's interval says, given the smallest gain that matters."""


def gains_title(known: Gains) -> str:
    """How many decades of usable learning rates a ramp gains each optimiser, where that is decided."""
    effects = {NAMES[name]: mean_gain(known, name, USABLE) for name in (*OPTIMIZERS, ADAM)}
    told = [f"{_decades(found)} for {name}" for name, found in effects.items() if found]
    return f"Usable learning rates that a ramp gains, in decades: {', '.join(told)}" if told else NOTHING


def _decades(found: Effect) -> str:
    word = reading(found, margin("usable_lr").value)
    return {"too small to matter": "almost none", "too small to tell": "unclear"}.get(word, number(found.estimate))


def curves_title(known: Gains) -> str:
    """Which optimisers a ramp helps above the best learning rate, by what their mean gains say."""
    words: dict[Reading, str] = {
        "better": "helps",
        "worse": "hurts",
        "too small to matter": "hardly matters for",
        "too small to tell": "has no clear effect on",
    }
    effects = {name: mean_gain(known, name, ABOVE) for name in (*OPTIMIZERS, ADAM)}
    told = [f"{word} {names}" for word, names in _grouped(effects, words, "overshoot").items()]
    return f"At {times(OVERSHOOT)} the best learning rate, a ramp {'; '.join(told)}" if told else NOTHING


def momentum_title(known: Gains) -> str:
    """Whether a momentum ramp gains as many usable learning rates as a learning-rate ramp."""
    words: dict[Reading, str] = {
        "better": "gains more than",
        "worse": "gains less than",
        "too small to matter": "gains as much as",
        "too small to tell": "is not clearly different from",
    }
    effects = {name: momentum_less_ramp(known, name, USABLE) for name in NEWER}
    grouped = _grouped(effects, words, "usable_lr")
    told = [f"{word} a learning-rate ramp for {names}" for word, names in grouped.items()]
    return f"In usable learning rates, a momentum ramp {'; '.join(told)}" if told else NOTHING


def _grouped(effects: Mapping[str, Effect | None], words: Mapping[Reading, str], endpoint: str) -> dict[str, str]:
    """Names of optimisers by what their effects say, given the endpoint's margin: {"helps": "Lion and Muon"}."""
    names: dict[str, list[str]] = {word: [] for word in words.values()}
    for optimizer, found in effects.items():
        if found:
            names[words[reading(found, margin(endpoint).value)]].append(NAMES[optimizer])
    return {word: listed(mine) for word, mine in names.items() if mine}


def momentum_less_ramp(known: Gains, optimizer: str, place: str) -> Effect | None:
    """Gain of a momentum ramp minus that of a learning-rate ramp; None where neither was compared."""
    momentum, ramp = (mean_gain(known, optimizer, place, warmup) for warmup in ("momentum", "ramp"))
    return difference(momentum, ramp) if momentum and ramp else None


def paragraphs(found: Cells, known: Gains) -> list[str]:
    """One paragraph for each optimiser: the ramp's effect on its loss, its range, its edge and its seeds."""
    return [_paragraph(found, known, name) for name in (*OPTIMIZERS, ADAM) if mean_gain(known, name, USABLE)]


def _paragraph(found: Cells, known: Gains, optimizer: str) -> str:
    mine = {cell: arms for cell, arms in counted(found).items() if cell[1] == optimizer}
    best, above, usable, largest = (mean_gain(known, optimizer, place) for place in (BEST, ABOVE, USABLE, LARGEST))
    if not (mine and best and above and usable and largest):
        return f"**{NAMES[optimizer]}** trains on none of these tasks."
    return (
        f"**{NAMES[optimizer]}** ({count_of(len(mine), 'task')}): with a ramp, the loss is "
        f"{compared_with_interval(best)} with each arm at its best learning rate, and {compared_with_interval(above)} "
        f"at {times(OVERSHOOT)} the best without warmup. The range of usable learning rates changes by "
        f"{effect(usable)} decades, the largest that trains{_edges(mine)} by {effect(largest)} doublings. "
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
    """The ramp's gain for this optimiser minus its gain for Adam, over the tasks that both train."""
    trained = counted(found)
    tasks = [task for task, name in trained if name == optimizer and (task, ADAM) in trained]
    if optimizer == ADAM or not tasks:
        return ""
    arms = [{name: trained[task, name] for name in (optimizer, ADAM)} for task in tasks]
    usable, above = (pooled([less_adam(mine, optimizer, place) for mine in arms]) for place in (USABLE, ABOVE))
    return (
        f" On the same tasks, its gain minus Adam's is {effect(usable)} decades; above the best learning rate, its "
        f"loss with a ramp, relative to none, is {compared_with_interval(above)} than Adam's."
    )


def momentum(known: Gains) -> str:
    """A paragraph: what a momentum ramp does in place of a learning-rate ramp."""
    told = []
    for name in NEWER:
        usable, above = (mean_gain(known, name, place, "momentum") for place in (USABLE, ABOVE))
        less = momentum_less_ramp(known, name, USABLE)
        if usable and above and less:
            told.append(
                f"**{NAMES[name]}** gains {effect(usable)} decades, a difference of {effect(less)} from a "
                f"learning-rate ramp; above the best learning rate, its loss is {compared_with_interval(above)}."
            )
    return " ".join(["With a momentum ramp at full learning rate instead:", *told]) if told else NOTHING


def field(known: Gains) -> str:
    """Results above the best learning rate, compared with what others report."""
    ramps = {name: _side(mean_gain(known, name, ABOVE)) for name in ("muon", "lion", CONTROL)}
    momentum_ramp = _side(mean_gain(known, "muon", ABOVE, "momentum"))
    return (
        "Muon's record runs on a small GPT have used no learning-rate warmup since October 2024; they ramp the "
        f"momentum instead. Here, above the best learning rate, ramping Muon's learning rate {ramps['muon']}; ramping "
        f"its momentum {momentum_ramp}. A self-adapting warmup has been published for Muon, Lion and normalised SGD "
        "(arXiv 2602.05813), but without a Lion baseline that has no warmup. Here, ramping Lion's learning rate "
        f"{ramps['lion']}. Adagrad was the control that should need no warmup: ramping its learning rate "
        f"{ramps[CONTROL]}."
    )


def _side(found: Effect | None) -> str:
    if found is None:
        return "had no effect that could be measured"
    return f"{AMOUNTS[reading(found, margin('overshoot').value)]}: the loss is {compared_with_interval(found)}"
