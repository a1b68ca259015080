"""What the runs say about one network: whether, when and how long, in sentences and as a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from warmup_study.presentation.changes import compared_with_interval, reading, span
from warmup_study.presentation.formatting import effect, number, percent
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.lr_curves import (
    BELOW,
    LrCurves,
    at_multiple,
    cost,
    excess,
    largest_trainable_lr,
    tuned_loss,
    usable_lr,
)

ENOUGH = 0.05  # log ratio of test losses: a length is long enough where its loss is within 5 % of the best length's
MULTIPLES = {2.0: "twice", 4.0: "four times"}  # the learning rate that is best without warmup

Arm = tuple[str, int]  # warmup and its length
NONE: Arm = ("none", 0)
GAINED: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    "usable learning rates gained (decades)": usable_lr,
    "largest that trains, gained (doublings)": largest_trainable_lr,
}


@dataclass(frozen=True)
class Findings:
    """The curves of every arm, and the ramp of usual length that stands for warmup."""

    curves: Mapping[Arm, LrCurves]
    usual: Arm

    @property
    def none(self) -> LrCurves:
        """Training without warmup."""
        return self.curves[NONE]

    @property
    def ramp(self) -> LrCurves:
        """Training with the ramp of usual length."""
        return self.curves[self.usual]

    @property
    def multiples(self) -> tuple[float, ...]:
        """Times the best learning rate without warmup that lie within the grid."""
        return tuple(times for times in MULTIPLES if self.none.best_lr * times <= self.none.lrs[-1] * 1.001)

    @property
    def ramps(self) -> dict[int, LrCurves]:
        """The ramps' curves by length, 0 for none, ascending."""
        return {length: self.curves[warmup, length] for warmup, length in sorted(self.curves) if warmup != "zero"}


def findings(runs: pd.DataFrame, usual: int) -> Findings:
    """Sort the runs by arm; ``usual`` is the length of the ramp that stands for warmup."""
    keys = zip(runs["warmup"].astype(str), runs["length"].astype(int), strict=True)
    groups = runs.groupby(pd.Series(list(keys), index=runs.index))
    return Findings({arm: LrCurves.of(rows) for arm, rows in groups}, ("ramp", usual))


def answers(found: Findings) -> list[str]:
    """Whether, when and how long, a sentence or two each."""
    return [_whether(found), _when(found), _how_long(found)]


def _whether(found: Findings) -> str:
    gain = tuned_loss(found.none, found.ramp)
    rates = f"{number(found.none.best_lr)} without warmup, {number(found.ramp.best_lr)} with"
    return (
        f"**Whether.** With each at its best learning rate ({rates} a ramp of {found.usual[1]} updates), "
        f"{_verdict(gain, found)}.{_edges(found)}"
    )


def _verdict(gain: Effect, found: Findings) -> str:
    """One clause on a gain: what it is, or why nothing can be said of it."""
    told = f"the loss with the ramp is {compared_with_interval(gain)}"
    return {
        "better": f"{told}: warmup pays",
        "worse": f"{told}: warmup costs more than it brings",
        "too small to matter": f"the difference is too small to matter ({span(gain)})",
        "open": f"{found.none.seeds} seeds are too few to tell the difference ({span(gain)})",
    }[reading(gain, ENOUGH)]


def _edges(found: Findings) -> str:
    """A warning where a better learning rate may lie outside the grid."""
    named = {"without warmup": found.none, "with the ramp": found.ramp}
    edges = [name for name, curves in named.items() if curves.best_on_edge]
    return (
        f" The best learning rate {' and '.join(edges)} is at the edge of the grid: try a wider one." if edges else ""
    )


def _when(found: Findings) -> str:
    if not found.multiples:
        return "**When.** The grid ends below twice the best learning rate, so that nothing can be said of higher ones."
    return "**When.** " + " ".join(_above(found, times) for times in found.multiples)


def _above(found: Findings, times: float) -> str:
    lr, gain = found.none.best_lr * times, at_multiple(found.none, found.ramp, times)
    without, with_ramp = (training_seeds(curves, lr) for curves in (found.none, found.ramp))
    return (
        f"At {MULTIPLES[times]} the learning rate that is best without warmup ({number(lr)}), {without} of "
        f"{found.none.seeds} seeds train without warmup and {with_ramp} with it; {_verdict(gain, found)}."
    )


def training_seeds(curves: LrCurves, lr: float) -> int:
    """Number of seeds whose loss falls at least half as far at this learning rate as the mean does at the best."""
    best = float(curves.test.mean(axis=0).min())
    return int((curves.at(lr) <= (curves.initial + best) / 2).sum())


def _how_long(found: Findings) -> str:
    lengths = [str(length) for length in found.ramps if length]
    places = {"at the best learning rates": None} | {f"at {MULTIPLES[x]} that": x for x in found.multiples[:1]}
    by_finding: dict[str, list[str]] = {}
    for place, multiple in places.items():
        by_finding.setdefault(_shortest(sufficiency(found, multiple)), []).append(place)
    told = "; ".join(f"{' and '.join(where)}, {finding}" for finding, where in by_finding.items())
    tried = f"Ramps of {', '.join(lengths[:-1])} and {lengths[-1]} updates were tried"
    return f"**How long.** {tried}. {told[0].upper()}{told[1:]}."


def sufficiency(found: Findings, multiple: float | None) -> dict[int, Effect]:
    """By length: ln(its loss / the best length's), at the best learning rates or at a multiple of the best one."""
    lengths = list(found.ramps.values())
    return {length: excess(found.none, lengths, place, multiple) for place, length in enumerate(found.ramps)}


def _shortest(excesses: Mapping[int, Effect]) -> str:
    """The shortest length that surely comes within `ENOUGH` of the best, and whether a shorter one may, too."""
    enough = [length for length, found in excesses.items() if found.high < ENOUGH]
    if not enough:
        return "the seeds are too few to tell which length suffices"
    maybe = any(length < enough[0] and found.low < ENOUGH for length, found in excesses.items())
    told = f"{enough[0]} updates come" if enough[0] else "training without warmup comes"
    return f"{told} within {percent(ENOUGH)} of the best length{', and shorter ones may' if maybe else ''}"


def table(found: Findings) -> pd.DataFrame:
    """Every arm in words, against no warmup: at its best learning rate, below and above, and how far it can go."""
    order = sorted(found.curves.items(), key=lambda item: (item[0][0] != "none", item[0]))
    return pd.DataFrame([_row(found, arm, curves) for arm, curves in order])


def _row(found: Findings, arm: Arm, curves: LrCurves) -> dict[str, str]:
    warmup, length = arm
    row = {
        "warmup": {"none": "none", "ramp": f"ramp of {length}", "zero": f"lr = 0 for {length}"}[warmup],
        "best learning rate": number(curves.best_lr),
        "test loss there": number(float(curves.test[:, curves.best].mean())),
    }
    for times in found.multiples:
        trained = training_seeds(curves, found.none.best_lr * times)
        row[f"seeds that train at {MULTIPLES[times]} the best"] = f"{trained} of {curves.seeds}"
    if warmup == "none":
        return row | dict.fromkeys(("loss against none", "at a third of the best", *GAINED), "–")
    gained = {name: effect(measure(found.none, curves)) for name, measure in GAINED.items()}
    against = compared_with_interval(tuned_loss(found.none, curves))
    return row | {"loss against none": against, "at a third of the best": _below(found, curves)} | gained


def _below(found: Findings, curves: LrCurves) -> str:
    """What warmup costs at a third of the best learning rate, where nobody needs it; a dash outside the grid."""
    inside = found.none.best_lr * BELOW >= found.none.lrs[0]
    return compared_with_interval(cost(found.none, curves)) if inside else "–"


def recommended(found: Findings) -> tuple[int, float]:
    """Length of warmup and peak learning rate to paste.

    No warmup where none is surely needed; else the usual ramp, unless it is surely too short and a longer one is not.
    """
    excesses = sufficiency(found, None)
    surely = [length for length, excess_ in excesses.items() if excess_.high < ENOUGH]
    usual = found.usual[1] if excesses[found.usual[1]].low < ENOUGH or not surely else surely[0]
    length = 0 if 0 in surely else usual
    return length, found.ramps[length].best_lr
