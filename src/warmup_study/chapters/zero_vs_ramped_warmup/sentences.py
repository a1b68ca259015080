"""The second chapter's results in words, in percent and factors."""

import math
from collections.abc import Mapping

import pandas as pd

from warmup_study.chapters.zero_vs_ramped_warmup import analysis
from warmup_study.claims.evidence import ByTask, measured, over_tasks
from warmup_study.presentation.changes import compared, compared_with_interval
from warmup_study.presentation.formatting import NO_BREAK, count_of, effect, number
from warmup_study.statistics.bootstrap import Effect, weighted_sum

RESAMPLES = 1999  # for what stands beside a verdict
PLACES = {"at the best learning rate": "with each at its best learning rate", "above it": "at twice the best"}
ARMS = {"zero": "a jump from lr = 0", "constant": "a jump from a low learning rate"}

Effects = Mapping[str, Effect]


def share(found: Effect) -> str:
    """A share as a percentage with its interval: "41 % (35 % to 47 %)"."""
    middle, low, high = (f"{number(100 * end)}{NO_BREAK}%" for end in (found.estimate, found.low, found.high))
    return f"{middle} ({low} to {high})"


def of_statistics(found: ByTask[str]) -> str:
    """How much of the ramp's gain statistics account for."""
    mean = over_tasks(found)
    if not mean:
        return f"On none of {count_of(len(found), 'task')} does training fail without warmup and succeed with a ramp."
    recovered, lost, control = (
        share(mean[name])
        for name in ("share recovered at lr = 0", "share lost by a reset", "share lost by a reset before a short ramp")
    )
    return (
        f"Training fails without warmup and succeeds with a ramp on {_tasks(found)} of {len(found)}. There, statistics "
        f"gathered at lr = 0 recover {recovered} of the ramp's gain. Resetting the optimiser state when the ramp ends "
        f"loses {lost} of it; if a short ramp follows the reset, {control}. What the short ramp saves is the cost of "
        "full steps on fresh statistics; only the rest can be due to the statistics themselves."
    )


def of_crossing(found: ByTask[str]) -> str:
    """The roles of the first moment and the counters."""
    mean = over_tasks(found)
    shown = {name: share(mean[name]) for name in list(analysis.RECOVERED)[1:] if name in mean}
    parts = [
        f"{name.partition(' = 0')[2].removeprefix(',').removeprefix(' and').strip()} {text}"
        for name, text in shown.items()
    ]
    return f"Variants of the phase at lr = 0 recover: {'; '.join(parts)}." if parts else ""


def of_advantages(found: ByTask[str], optimizer: str = "Adam") -> str:
    """By how much the ramp ends lower than each jump, at equal active updates."""
    mean = over_tasks(found)
    if not mean:
        return f"{optimizer} trains none of these tasks."
    told = [
        f"{where}, its loss is "
        + " and ".join(
            f"{compared_with_interval(mean[advantage_over(arm, place)])} than after {jump}"
            for arm, jump in ARMS.items()
        )
        for place, where in PLACES.items()
    ]
    return f"**{optimizer}**, ramp vs jumps on {_tasks(found)}: {'; '.join(told)}."


def _tasks(found: ByTask[str]) -> str:
    return count_of(len(measured(found)), "task")


def advantage_over(arm: str, place: str) -> str:
    """The name of the ramp's advantage over a jump at one of `PLACES`."""
    return f"ramp's advantage over {arm} {place}"


def of_other_optimizers(runs: pd.DataFrame) -> list[str]:
    """The ramp's advantages over jumps, for the other optimisers that were run at equal active updates."""
    arms = set(runs["arm"])
    others = [name for name in analysis.SETUPS if name != "adam" and f"{name}/zero+n" in arms]
    return [of_advantages(analysis.advantages(runs, name, RESAMPLES), analysis.SETUPS[name]) for name in others]


def of_the_jump(found: ByTask[str]) -> str:
    """What happens right after the jump."""
    mean = over_tasks(found)
    if not mean:
        return ""
    drift, spike = mean["drift added by the jump"], mean["loss after the jump over loss before it"]
    return (
        f"After the jump, the second moment is off by a further factor of {number(math.exp(drift.estimate))} compared "
        f"with the ramp (mean log ratio {effect(drift)}). In the first {analysis.FIRST} updates, the batch loss "
        f"relative to before is {compared(-spike.estimate)} than with the ramp."
    )


def of_lost_updates(found: ByTask[str]) -> str:
    """How much the updates at lr = 0 delay training."""
    mean = over_tasks(found)
    if not mean:
        return "No task reaches its target without warmup."
    delay, lead = mean["delay of zero"], mean["lead of constant over zero"]
    each = "; ".join(f"{task} {number(effects['delay of zero'].estimate)}" for task, effects in measured(found).items())
    return f"A phase at lr = 0 delays training by {share(delay)} of its length ({each}); {_instead(lead)}"


def _instead(lead: Effect) -> str:
    """What a low learning rate in place of lr = 0 does; it may reach the target sooner or later, or neither clearly."""
    sooner, by = ("sooner", lead) if lead.estimate >= 0 else ("later", weighted_sum([lead], [-1.0]))
    doubt = "" if lead.low * lead.high > 0 else ", not a clear difference"
    return f"a low learning rate instead reaches the target {sooner} by {share(by)} of that length{doubt}."
