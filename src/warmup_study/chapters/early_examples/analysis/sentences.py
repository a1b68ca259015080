"""What the results say, in sentences: numbers over all tasks that count, from the rows of the verdicts."""

from collections.abc import Mapping, Sequence

import numpy as np

from warmup_study.claims.verdict import ALL, Part, Verdict
from warmup_study.presentation.formatting import INTERVALS, NO_BREAK, interval, number

NO_CASE = "No task offers a case to test here."

Parts = Mapping[str, Part]


def parts(verdicts: Sequence[Verdict], claim: str) -> Parts:
    """The effects of a claim over all tasks, by name; empty where no task offers a case."""
    rows = [row for row in verdicts if row.id == claim and row.task == ALL and not row.regime]
    return {part.name: part for row in rows for part in row.parts}


def times(part: Part) -> str:
    """A log ratio as a factor with its interval: "2.7 (2.4 to 3) times"."""
    middle, *ends = (number(None if end is None else float(np.exp(end))) for end in _numbers(part))
    return f"{middle} ({' to '.join(ends)}) times"


def measured(part: Part, unit: str = "") -> str:
    """An effect with its interval: "0.12 (0.08 to 0.16) nats"."""
    return f"{number(part.estimate)} ({interval(part)}) {unit}".strip()


def early(verdicts: Sequence[Verdict]) -> str:
    """What redrawing the first block does, and the last."""
    found = parts(verdicts, "early-examples")
    if not found:
        return NO_CASE
    first = "influence of the first block over that of the middle ones"
    more = {"with a ramp": ", with a ramp", "under cosine decay": ", under cosine decay"}
    beside = "; ".join(f"{how}, {times(found[first + name])}" for how, name in more.items() if first + name in found)
    return (
        f"Over all tasks, redrawing the first block changes the final outputs {times(found[first])} as much as "
        f"redrawing one of the middle ({INTERVALS}); {beside}. The last block: "
        f"{times(found['influence of the last block over that of the middle ones'])}."
    )


def steadier(verdicts: Sequence[Verdict]) -> str:
    """What a ramp does to the variance of results."""
    found = parts(verdicts, "early-variance")
    if not found:
        return NO_CASE
    logits, loss, weights = (
        times(found[f"variance ratio ({name})"])
        for name in ("test logits, orders vary", "test loss, orders vary", "test logits, weights vary")
    )
    return (
        f"From one order of the examples to another, the variance of the test logits is {logits} as large without "
        f"warmup as with a ramp ({INTERVALS}), that of the test loss {loss}. From one initialisation to another, that "
        f"of the logits is {weights} as large."
    )


def head_start(verdicts: Sequence[Verdict]) -> str:
    """How what the first batch moved depends on the length of the ramp."""
    found = parts(verdicts, "one-over-n")
    if not found:
        return NO_CASE
    slopes = {
        optimizer: [found.get(f"slope of the displacement ({optimizer}{when})") for when in (", update 1", "")]
        for optimizer in ("Adam", "SGD")
    }
    told = [
        f"{optimizer} {measured(first)} right after the first update and {measured(last)} at the ramp's end"
        for optimizer, (first, last) in slopes.items()
        if first and last
    ]
    return (
        f"Log–log slopes of the distance between the weights against n, of which the claim says −1 ({INTERVALS}): "
        f"{'; '.join(told)}. Adam decides the verdict; plain SGD stands beside it."
    )


def left_over(verdicts: Sequence[Verdict]) -> str:
    """What is left of a skewed start at the end of the run, and at that of the ramp."""
    found = parts(verdicts, "primacy")
    if not found:
        return NO_CASE
    gap = {name.partition("(")[2].rstrip(")"): part for name, part in found.items()}
    return (
        f"At the end of the run a ramp changes the gap by {measured(gap['end of run'], 'nats')}; below zero, the gap "
        f"is smaller ({INTERVALS}). At the best rate it is {measured(gap['end of run, at the best learning rate'])}, "
        f"above it {measured(gap['end of run, above it'])}. At the ramp's end it is {measured(gap['end of ramp'])}; "
        "but beside equally small steps that do not grow, "
        f"{measured(gap['end of ramp, beside equally small steps'])}."
    )


def unlearnt(verdicts: Sequence[Verdict], reached: float) -> str:
    """The epochs that a ramp saves; ``reached``: the share of skewed runs without warmup that get to the target."""
    found = parts(verdicts, "extra-epochs")
    if not found:
        return NO_CASE
    saved = {name.partition("(")[2].rstrip(")"): part for name, part in found.items()}
    least = "at least " if reached < 1 else ""
    return (
        f"After a skewed start the ramp saves {least}{measured(saved['skewed'], 'epochs')} on the way to the target "
        f"({INTERVALS}): {measured(saved['skewed, at the best learning rate'])} at the best learning rate, "
        f"{measured(saved['skewed, above it'])} above it. On ordinary streams it saves {measured(saved['ordinary'])}; "
        f"below zero, it costs time. Without warmup {number(100 * reached)}{NO_BREAK}% of the skewed runs get there."
    )


def _numbers(part: Part) -> tuple[float | None, float | None, float | None]:
    return part.estimate, part.ci_low, part.ci_high
