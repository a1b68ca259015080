"""The eleventh chapter's results in words: titles of its figures, paragraphs and the table of policies."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.predictable.analysis import ALWAYS, BARE, CRITICAL, NEVER, PREDICTORS, Auc, Policy
from warmup_study.presentation.formatting import NO_BREAK, count_of, effect, number, percent
from warmup_study.statistics.bootstrap import Effect

CLEAR = 0.5  # of the critical learning rate: below it, a ramp was hardly ever needed in round 1
PREDICTORS_TOLD = (
    "learning rate alone",
    "learning rate ÷ critical learning rate at the start",
    "learning rate ÷ critical learning rate after 30 updates",
    "learning rate ÷ lowest critical learning rate in 30 updates",
    "learning rate × angle of the first update",
    "learning rate ÷ signal-to-noise ratio of the gradient",
)
WAYS = dict(zip(PREDICTORS, PREDICTORS_TOLD, strict=True)) | {ALWAYS: ALWAYS, NEVER: "never a ramp"}
"""What a reader calls the predictors, and the ways to decide without any."""
TOO_FEW = "Too few tasks: whether a measurement transfers from task to task takes several to tell."


def better(found: Mapping[str, Auc]) -> list[str]:
    """The predictors that clearly rank cases better than the learning rate alone."""
    return [name for name, mine in found.items() if name != BARE and mine.over_bare.low > 0]


def auc_title(found: Mapping[str, Auc]) -> str:
    """Which measurement, if any, beats the learning rate alone."""
    if not found:
        return "Too few tasks to tell how a prediction carries over to the next one"
    names = "; ".join(WAYS[name] for name in better(found))
    if not names:
        return "No cheap measurement is clearly better than the learning rate alone at predicting the need for warmup"
    return f"Clearly better than the learning rate alone at predicting the need for warmup: {names}"


def predicted(found: Mapping[str, Auc]) -> str:
    """The areas under the curve in words, and what they imply for a rule."""
    if not found:
        return TOO_FEW
    told = "; ".join(
        f"{WAYS[name]}, {number(mine.value.estimate)} (difference {effect(mine.over_bare)})"
        for name, mine in found.items()
        if name != BARE
    )
    bare = found[BARE].value
    follows = (
        "So a formula is worth fitting and testing on generated tasks, which this pilot does not do."
        if better(found)
        else "None is clearly better, so no formula was fitted and the search stops here: always ramp, or test."
    )
    return (
        f"Given a case that needs a ramp and one that does not, with the same optimiser on any of {bare.n} tasks, the "
        f"learning rate alone ranks them correctly with probability {effect(bare)}. Others: {told}. "
        f"{follows}"
    )


def critical_title(cases: pd.DataFrame) -> str:
    """How often a ramp pays below and above half the critical learning rate at the start."""
    below = cases[CRITICAL] < np.log(CLEAR)
    told = [
        f"in {int(mine['pays'].sum())} of {len(mine)} cases {where} half the critical learning rate"
        for mine, where in ((cases[below], "below"), (cases[~below], "above"))
    ]
    return f"A ramp pays {told[0]}, and {told[1]}"


def policies_table(found: Mapping[str, Policy]) -> pd.DataFrame:
    """A row for each way to decide: its mean loss over that of the better arm, missed needs, needless ramps."""
    rows = [
        {
            "decide by": WAYS[name],
            "loss above the better arm's": _percent(mine.regret),
            "above always a ramp": "–" if name == ALWAYS else _percent(mine.over_always),
            "missed needs": f"{mine.missed} of {mine.needs}",
            "needless ramps": f"{mine.needless} of {mine.cases - mine.needs}",
        }
        for name, mine in found.items()
    ]
    return pd.DataFrame(rows)


def decided(cases: pd.DataFrame, found: Mapping[str, Policy]) -> str:
    """What always and never using a ramp cost, and which thresholds clearly cost less than always, in words."""
    if not len(cases):
        return "No case: none of the cells trains at this size."
    always, never = found[ALWAYS], found[NEVER]
    share = percent(round(always.needs / always.cases, 2))
    return (
        f"A ramp pays in {share} of {always.cases} cases on {count_of(cases['task'].nunique(), 'task')}. Always using "
        f"one costs {_percent(always.regret)} over the better arm's loss on average, never using one "
        f"{_percent(never.regret)}. {_cheaper(found)}"
    )


def _cheaper(found: Mapping[str, Policy]) -> str:
    """The thresholds that clearly cost less on held-out tasks than always using a ramp."""
    thresholds = {name: mine for name, mine in found.items() if name in PREDICTORS}
    if not thresholds:
        return TOO_FEW
    told = [f"{WAYS[name]} ({_percent(mine.regret)})" for name, mine in thresholds.items() if mine.over_always.high < 0]
    if not told:
        return "No threshold, on any measurement, clearly costs less than that on held-out tasks."
    return f"On held-out tasks, a threshold clearly costs less than always where it is set on {'; '.join(told)}."


def _percent(logs: Effect) -> str:
    """A log ratio of losses as percent: "1.5 % (0.9 to 2.4)"; the estimate alone where nothing could be resampled."""
    estimate, low, high = (number(100 * np.expm1(value)) for value in (logs.estimate, logs.low, logs.high))
    return f"{estimate}{NO_BREAK}%" + (f" ({low} to {high})" if logs.n > 1 else "")
