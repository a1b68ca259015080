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
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import Reading, compared_with_interval, reading, width
from warmup_study.presentation.formatting import count_of, number, times
from warmup_study.presentation.quantities import by_word, grouped
from warmup_study.statistics.bootstrap import Effect, difference, pooled
from warmup_study.statistics.lr_curves import OVERSHOOT, edge_of_training

NOTHING = "Nothing trains here at any learning rate, with or without warmup"
AMOUNTS: dict[Reading, str] = {
    "better": "helps",
    "worse": "hurts",
    "too small to matter": "makes no difference that matters",
    "open": "has no clear effect",
}
"""What a gain's interval says, given the smallest gain that matters."""


def gains_title(known: Gains) -> str:
    """By how much a ramp widens each optimiser's range of usable learning rates, where that is decided."""
    effects = {NAMES[name]: mean_gain(known, name, USABLE) for name in (*OPTIMIZERS, ADAM)}
    told = grouped({name: f"{width(found, margin('usable_lr').value)} for" for name, found in effects.items() if found})
    return f"With a ramp, the range of usable learning rates is {told}" if told else NOTHING


def curves_title(known: Gains) -> str:
    """Which optimisers a ramp helps above the best learning rate, by what their mean gains say."""
    words: dict[Reading, str] = {
        "better": "helps",
        "worse": "hurts",
        "too small to matter": "hardly matters for",
        "open": "has no clear effect on",
    }
    effects = {name: mean_gain(known, name, ABOVE) for name in (*OPTIMIZERS, ADAM)}
    told = [f"{word} {names}" for word, names in _grouped(effects, words, "overshoot").items()]
    return f"At {times(OVERSHOOT)} the best learning rate, a ramp {'; '.join(told)}" if told else NOTHING


def momentum_title(known: Gains) -> str:
    """Whether a momentum ramp widens the range of usable learning rates as much as a learning-rate ramp."""
    words: dict[Reading, str] = {
        "better": "more than",
        "worse": "less than",
        "too small to matter": "as much as",
        "open": "not clearly more or less than",
    }
    effects = {name: momentum_less_ramp(known, name, USABLE) for name in NEWER}
    grouped = _grouped(effects, words, "usable_lr")
    told = [f"{word} a learning-rate ramp for {names}" for word, names in grouped.items()]
    return f"In usable learning rates, a momentum ramp gains {'; '.join(told)}" if told else NOTHING


def _grouped(effects: Mapping[str, Effect | None], words: Mapping[Reading, str], endpoint: str) -> dict[str, str]:
    """Names of optimisers by what their effects say, given the endpoint's margin: {"helps": "Lion and Muon"}."""
    least = margin(endpoint).value
    names = by_word({NAMES[optimizer]: words[reading(found, least)] for optimizer, found in effects.items() if found})
    return {word: names[word] for word in words.values() if word in names}


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
        f"at {times(OVERSHOOT)} the best without warmup. The range of usable learning rates is "
        f"{_told(usable, 'decades', 'wider', 'narrower')}, the largest that trains{_edges(mine)} "
        f"{_told(largest, 'doublings', 'higher', 'lower')}. "
        f"{told_shares(mine)}{_against_adam(found, optimizer)}"
    )


def _told(found: Effect, unit: str, more: str, less: str) -> str:
    """An effect by its size, in words for its sign: "0.1 decades narrower (−0.2 to 0.4)"."""
    sign, word = (1, more) if found.estimate >= 0 else (-1, less)
    low, high = sorted((sign * found.low, sign * found.high))
    return f"{number(sign * found.estimate)} {unit} {word} ({number(low)} to {number(high)})"


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
        f" On the same tasks, what a ramp adds to the range is {_told(usable, 'decades', 'more', 'less')} than with "
        f"Adam; at {times(OVERSHOOT)} the best learning rate, the ratio of the loss with a ramp to that without is "
        f"{compared_with_interval(above)} than with Adam."
    )


def momentum(known: Gains) -> str:
    """A paragraph: what a momentum ramp does in place of a learning-rate ramp."""
    told = []
    for name in NEWER:
        usable, above = (mean_gain(known, name, place, "momentum") for place in (USABLE, ABOVE))
        less = momentum_less_ramp(known, name, USABLE)
        if usable and above and less:
            none, ramp = (_told(each, "decades", "wider", "narrower") for each in (usable, less))
            told.append(
                f"**{NAMES[name]}**'s range of usable learning rates is {none} than without warmup and {ramp} than "
                f"with a learning-rate ramp; at {times(OVERSHOOT)} the best learning rate, its loss is "
                f"{compared_with_interval(above)} than without warmup."
            )
    return " ".join(["With a momentum ramp at full learning rate instead:", *told]) if told else f"{NOTHING}."


def field(known: Gains) -> str:
    """Results above the best learning rate, compared with what others report."""
    ramps = {name: _side(mean_gain(known, name, ABOVE)) for name in ("muon", "lion", CONTROL)}
    momentum_ramp = _side(mean_gain(known, "muon", ABOVE, "momentum"))
    return (
        "Muon's record runs on a small GPT have used no learning-rate warmup since October 2024; they ramp the "
        f"momentum instead. Here, above the best learning rate, ramping Muon's learning rate {ramps['muon']}; ramping "
        f"its momentum {momentum_ramp}. A self-adapting warmup has been published for Muon, Lion and normalised SGD "
        "(arXiv 2602.05813), but without a Lion baseline that has no warmup. Here, ramping Lion's learning rate "
        f"{ramps['lion']}. Adagrad, the control, is often said to need no warmup. Here, ramping its learning rate "
        f"{ramps[CONTROL]}."
    )


def _side(found: Effect | None) -> str:
    if found is None:
        return "could not be tested"
    return f"{AMOUNTS[reading(found, margin('overshoot').value)]}: the loss is {compared_with_interval(found)}"
