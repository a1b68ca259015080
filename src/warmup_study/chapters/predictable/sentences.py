"""The eleventh chapter's results in words: titles of its figures, paragraphs and the table of policies."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.predictable.analysis import BARE, CRITICAL, Auc, Policy
from warmup_study.presentation.formatting import NO_BREAK, count_of, effect, number, percent

CLEAR = 0.5  # of the critical learning rate: below it, a ramp was hardly ever needed in round 1
TOO_FEW = "Too few tasks: whether a measurement transfers from task to task takes several to tell."


def better(found: Mapping[str, Auc]) -> list[str]:
    """The predictors that clearly rank cases better than the learning rate alone."""
    return [name for name, mine in found.items() if name != BARE and mine.over_bare.low > 0]


def auc_title(found: Mapping[str, Auc]) -> str:
    """Which measurement, if any, beats the learning rate alone."""
    if not found:
        return "Too few tasks to tell how a prediction carries over to the next one"
    names = better(found)
    if not names:
        return "No cheap measurement predicts the need for warmup better than the learning rate alone"
    return f"Better than the learning rate alone at predicting the need for warmup: learning rate {', '.join(names)}"


def predicted(found: Mapping[str, Auc]) -> str:
    """The areas under the curve in words, and what they imply for a rule."""
    if not found:
        return TOO_FEW
    told = "; ".join(
        f"{name}, {number(mine.value.estimate)} (difference {effect(mine.over_bare)})"
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
        f"learning rate alone ranks them correctly with probability {effect(bare)}. Others: learning rate {told}. "
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
    """A row for each way to decide: its mean loss over that of the better arm, needs missed, needless ramps."""
    rows = [
        {
            "decide by": name if name in ("always a ramp", "never") else f"learning rate {name}".replace(BARE, "alone"),
            "loss above the better arm's": _loss_above(mine),
            "needs missed": f"{mine.missed} of {mine.needs}",
            "needless ramps": f"{mine.needless} of {mine.cases - mine.needs}",
        }
        for name, mine in found.items()
    ]
    return pd.DataFrame(rows)


def decided(cases: pd.DataFrame, found: Mapping[str, Policy]) -> str:
    """The cheapest way to decide, in words."""
    if not len(cases):
        return "No case: none of the cells trains at this size."
    best = min(found, key=lambda name: found[name].regret)
    always = found["always a ramp"]
    share = percent(round(always.needs / always.cases, 2))
    costs = {name: _loss_above(mine) for name, mine in found.items()}
    return (
        f"A ramp pays in {share} of {always.cases} cases on {count_of(cases['task'].nunique(), 'task')}. On "
        f"held-out tasks, deciding by *{best}* loses least: {costs[best]} above the better arm's loss on average. "
        f"Always using a ramp costs {costs['always a ramp']}, never using one {costs['never']}."
    )


def _loss_above(policy: Policy) -> str:
    return f"{number(100 * np.expm1(policy.regret))}{NO_BREAK}%"
