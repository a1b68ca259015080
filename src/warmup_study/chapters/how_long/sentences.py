"""The eighth chapter's results in words: titles of its figures, paragraphs and the table of rules of thumb."""

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from warmup_study.chapters.core_curves import ABOVE, BEST
from warmup_study.chapters.how_long.analysis.comparisons import FACTOR, OPTIMIZERS
from warmup_study.chapters.how_long.analysis.lengths import (
    PLACES,
    RULES,
    Cell,
    excesses,
    exponents,
    laws,
    named_excess,
)
from warmup_study.chapters.how_long.design import NO_WARMUP
from warmup_study.claims.evidence import Outcome, measured, over_tasks
from warmup_study.claims.prose import listed
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import compared, compared_with_interval, finding, reading
from warmup_study.presentation.formatting import INTERVALS, NO_BREAK, effect, number, percent
from warmup_study.presentation.quantities import grouped, loss_change
from warmup_study.statistics.bootstrap import Effect, pooled, weighted_sum
from warmup_study.statistics.decisions import decide

ENOUGH = margin("tuned_loss").value
NOTHING = "no task here allows a test"
MEAN = "loss, mean over cells"
SHARE = percent(round(math.expm1(ENOUGH), 2))
GAINS = {
    "above": "more",
    "below": "less",
    "inside": "as much",
    "undecided": "not clearly more or less",
}
"""What the interval of a change in the ramp's gain says, given the smallest change that matters."""
UNITS: dict[str, Callable[[float], str]] = {
    "updates": lambda length: f"{number(length)} updates",
    "share of the run": lambda length: f"{number(100 * length)}{NO_BREAK}% of the run",
    "epochs": lambda length: f"{number(length)} epochs",
    "1/(1−β₂)": lambda length: f"{number(length)}/(1−β₂) updates",
}
"""By law: a length in its unit."""
FIXED = {"share of the run": "shares of the run", "1/(1−β₂)": "multiples of 1/(1−β₂)"}
"""What a length is fixed in, where the law's name is no plural."""
Outcomes = Mapping[str, Outcome[str]]
Shapes = Mapping[str, Mapping[str, Mapping[str, Effect]]]


def raised(excess: Effect) -> str:
    """An excess loss in words: "5 % higher (95 % interval: 2 % higher to 8 % higher)"."""
    return compared_with_interval(weighted_sum([excess], [-1.0]))


def told_of(excess: Effect) -> str:
    """An excess loss for a title, which states only what is decided: "12 % higher", "about the same"."""
    return finding(weighted_sum([excess], [-1.0]), ENOUGH)


def trained(found: Sequence[Cell]) -> list[Cell]:
    """The cells that train, or all where none does."""
    return [cell for cell in found if cell.trained] or list(found)


def named(cell: Cell) -> str:
    """A cell in words."""
    return f"{cell.task}, {cell.updates:,} updates, batch {cell.batch:,}, β₂ = {cell.beta2:g}"


def lengths_title(effects: Outcomes) -> str:
    """What one epoch loses, over all tasks."""
    mean = over_tasks(effects)
    if not mean:
        return f"How long a ramp must be: {NOTHING}"
    best, above = (told_of(mean[named_excess("at one epoch", place)]) for place in PLACES)
    return (
        f"Relative to the best length, a one-epoch ramp leaves the loss {best} at the best learning rate and {above} "
        "at twice that"
    )


def how_long(effects: Outcomes) -> str:
    """A paragraph: what one epoch loses in each task."""
    told = [
        f"**{task}:** with a one-epoch ramp, the loss is {raised(mine[named_excess('at one epoch', BEST)])} than "
        "with the best length when each has its best learning rate, and "
        f"{raised(mine[named_excess('at one epoch', ABOVE)])} at twice the learning rate that is best without warmup."
        for task, mine in measured(effects).items()
    ]
    return " ".join(told) or f"How long a ramp must be: {NOTHING}."


def laws_title(found: Sequence[Cell]) -> str:
    """What the best length fixed in each unit costs where length matters most."""
    fitted = laws(trained(found), ABOVE)
    told = [f"{compared(-float(law.lost.min()))} if fixed in {FIXED.get(name, name)}" for name, law in fitted.items()]
    return (
        "Above the best learning rate, one ramp length for all settings makes the loss "
        f"{listed(told)}, relative to each setting's best length"
    )


def laws_told(found: Sequence[Cell]) -> str:
    """A paragraph: the best multiple of each law, and its mean excess loss."""
    told = []
    for place in PLACES:
        fitted = laws(trained(found), place).items()
        each = [
            f"{UNITS[name](float(law.multiples[law.best]))} ({compared(-float(law.lost[law.best]))})"
            for name, law in fitted
        ]
        told.append(f"{place[0].upper()}{place[1:]}, the best length in each unit is {'; '.join(each)}.")
    return " ".join(told) + " In brackets: loss relative to each cell's best length, averaged over cells."


def exponents_title(found: Sequence[Cell]) -> str:
    """What the sufficient length grows with above the best learning rate."""
    known = exponents(trained(found), ABOVE)
    if not known:
        return "Too few of these cells need a ramp to tell what its length scales with"
    seen = [f"{quantity} (power {number(one.estimate)})" for quantity, one in known.items() if one.low > 0]
    told = f"grows with {' and '.join(seen)}" if seen else "does not clearly grow with anything"
    return f"Above the best learning rate, the sufficient ramp length {told}"


def exponents_told(found: Sequence[Cell]) -> str:
    """A paragraph: all exponents with intervals."""
    told = [
        f"{place}, {', '.join(f'{effect(one)} in {law}' for law, one in known.items())}"
        for place in PLACES
        if (known := exponents(trained(found), place))
    ]
    return f"Exponents of the sufficient ramp length, {INTERVALS}: {'; '.join(told)}." if told else ""


def rules_table(found: Sequence[Cell]) -> pd.DataFrame:
    """Every rule of thumb: in how many cells it comes within 5 % of the best length, its mean loss, its worst case."""
    return pd.DataFrame([_rule(trained(found), rule, place) for place in PLACES for rule in RULES])


def _rule(found: Sequence[Cell], rule: str, place: str) -> dict[str, str]:
    lost = excesses(found, rule, place)
    row = {"where": place, "ramp": rule.removeprefix("at "), f"within {SHARE}": "–", MEAN: "–", "worst case": "–"}
    if not lost:
        return row
    near = sum(one.estimate < ENOUGH for _, one in lost)
    cell, worst = max(lost, key=lambda pair: pair[1].estimate)
    return row | {
        f"within {SHARE}": f"{near} of {len(lost)} cells",
        MEAN: raised(pooled([one for _, one in lost])),
        "worst case": f"{compared(-worst.estimate)} ({named(cell)})",
    }


def untuned_title(effects: Outcomes) -> str:
    """Excess loss of 2/(1−β₂) updates at the β₂ where it is largest."""
    mean = {name: one for name, one in over_tasks(effects).items() if name.startswith("excess loss (")}
    if not mean:
        return f"Ramps of 2/(1−β₂) updates: {NOTHING}"
    worst = max(mean, key=lambda name: mean[name].estimate)
    return (
        f"A ramp of 2/(1−β₂) updates does worst {at_beta2(worst)}: at the best learning rate, its loss relative to "
        f"the best length is {told_of(mean[worst])}"
    )


def at_beta2(name: str) -> str:
    """Of an effect's name, the β₂ that it was measured at: "(β₂ = 0.9)"."""
    return name.removeprefix("excess loss ").replace("β2", "β₂")


def untuned(effects: Outcomes) -> str:
    """A paragraph: the mean over tasks at every β₂."""
    mean = over_tasks(effects)
    told = "; ".join(f"{raised(one)} {at_beta2(name)}" for name, one in mean.items())
    return f"Loss with a ramp of 2/(1−β₂) updates relative to the best length: {told}." if told else ""


def shapes_title(found: Shapes) -> str:
    """Which shape differs most from the linear ramp, of those that warm up."""
    if not found:
        return f"Shapes of warmup: {NOTHING}"
    means = {
        (shape, place): pooled([mine[place][shape] for mine in found.values()])
        for place in PLACES
        for shape in _shapes(found, place)
        if shape != NO_WARMUP
    }
    seen = {key: one for key, one in means.items() if reading(one, ENOUGH) in ("better", "worse")}
    if not seen:
        return "No ramp shape is clearly better or worse than the linear one"
    shape, place = max(seen, key=lambda key: abs(seen[key].estimate))
    return (
        f"The shape that differs most from the linear ramp is {shape}: its loss is "
        f"{compared(seen[shape, place].estimate)} {place}"
    )


def shapes_told(found: Shapes) -> str:
    """A paragraph: the mean over tasks of every shape."""
    if not found:
        return f"Ramp shapes: {NOTHING}."
    told = []
    for place in PLACES:
        means = {shape: pooled([mine[place][shape] for mine in found.values()]) for shape in _shapes(found, place)}
        each = "; ".join(f"{shape}, {compared_with_interval(one)}" for shape, one in means.items())
        told.append(f"{place[0].upper()}{place[1:]}: {each}.")
    return f"Loss relative to the linear ramp, averaged over tasks. {' '.join(told)}"


def _shapes(found: Shapes, place: str) -> list[str]:
    return list(next(iter(found.values()))[place])


def large_batch_title(effects: Outcomes) -> str:
    """Whether the ramp gains more at large batches."""
    mean = over_tasks(effects)
    if not mean:
        return f"Batch size and warmup: {NOTHING}"
    changes = {
        name: mean[f"change of the gain over a factor of {FACTOR} in batch ({name})"] for name in OPTIMIZERS.values()
    }
    told = grouped({f"with {name}": GAINS[decide(change, ENOUGH)] for name, change in changes.items()})
    return f"At {FACTOR} times the batch size, a ramp gains {told}"


def large_batch(effects: Outcomes) -> str:
    """A paragraph: each task's change of the gain, and the effect of the jump at the largest batch."""
    told = [
        f"**{task}:** "
        + "; ".join(
            f"{name}: {loss_change(one, name)}"
            for name, one in mine.items()
            if name.startswith(("change", "gain of a jump"))
        )
        + "."
        for task, mine in measured(effects).items()
    ]
    return " ".join(told) or f"Batch size and warmup: {NOTHING}."


def skew_title(effects: Outcomes) -> str:
    """What a long ramp does on skewed and on mixed streams."""
    mean = over_tasks(effects)
    if not mean:
        return f"Long ramps on skewed streams: {NOTHING}"
    skewed, mixed = (told_of(mean[f"log loss of a long over a short ramp ({name})"]) for name in STREAMS)
    return f"With a ramp of 4 epochs instead of ¼, the loss is {skewed} on skewed streams and {mixed} on ordinary ones"


STREAMS = {"skewed": "skewed", "mixed": "ordinary"}


def skew(effects: Outcomes) -> str:
    """A paragraph: both streams and their difference, task by task."""
    told = [
        f"**{task}:** with the long ramp, the loss is "
        + " and ".join(
            f"{raised(mine[f'log loss of a long over a short ramp ({name})'])} on the {shown} stream"
            for name, shown in STREAMS.items()
        )
        + " than with the short one."
        for task, mine in measured(effects).items()
    ]
    return " ".join(told) or f"Long ramps on skewed streams: {NOTHING}."
