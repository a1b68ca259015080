"""What the runs say about one network: whether, when and how long, in sentences and as a table."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from warmup_study.presentation.changes import compared_with_interval, reading
from warmup_study.presentation.formatting import number, percent
from warmup_study.statistics.bootstrap import Effect
from warmup_study.statistics.lr_curves import LrCurves, at_multiple, excess, tuned_loss

ENOUGH = 0.05  # log ratio of test losses: a length is long enough where its loss is within 5 % of the best length's
MULTIPLES = (2.0, 4.0)  # times the learning rate that is best without warmup

Arm = tuple[str, int]  # warmup and its length
NONE: Arm = ("none", 0)
PYTORCH = {
    "sgd": "SGD(model.parameters(), lr={lr})",
    "momentum": "SGD(model.parameters(), lr={lr}, momentum=0.9)",
    "nesterov": "SGD(model.parameters(), lr={lr}, momentum=0.9, nesterov=True)",
    "rmsprop": "RMSprop(model.parameters(), lr={lr})",
    "adam": "Adam(model.parameters(), lr={lr})",
    "adamw": "AdamW(model.parameters(), lr={lr})",
    "radam": "RAdam(model.parameters(), lr={lr})",
}
"""The optimisers as torch.optim has them; the form with the learning rate inside the momentum is not there."""


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
    verdict = {
        "better": "Warm up: it pays even at the best learning rate.",
        "worse": "At the best learning rate warmup costs more than it brings.",
        "too small to matter": "At the best learning rate it makes no difference worth having.",
        "too small to tell": f"{found.none.seeds} seeds are too few to tell.",
    }[reading(gain, ENOUGH)]
    return (
        f"**Whether.** With a ramp of {found.usual[1]} updates at its best learning rate, "
        f"{number(found.ramp.best_lr)}, the test loss is {compared_with_interval(gain)} than without warmup at its "
        f"best, {number(found.none.best_lr)}. {verdict}{_edges(found)}"
    )


def _edges(found: Findings) -> str:
    """A warning where a better learning rate may lie outside the grid."""
    named = {"without warmup": found.none, "with the ramp": found.ramp}
    edges = [name for name, curves in named.items() if curves.best_on_edge]
    return f" The best learning rate {' and '.join(edges)} is the grid's last: try a wider grid." if edges else ""


def _when(found: Findings) -> str:
    if not found.multiples:
        return "**When.** The grid ends below twice the best learning rate, so that nothing can be said of higher ones."
    return "**When.** " + " ".join(_above(found, times) for times in found.multiples)


def _above(found: Findings, times: float) -> str:
    lr, gain = found.none.best_lr * times, at_multiple(found.none, found.ramp, times)
    without, with_ramp = (training_seeds(curves, lr) for curves in (found.none, found.ramp))
    return (
        f"At {number(times)} times the best learning rate, {number(lr)}, {without} of {found.none.seeds} seeds train "
        f"without warmup and {with_ramp} with it; the loss is {compared_with_interval(gain)} with the ramp."
    )


def training_seeds(curves: LrCurves, lr: float) -> int:
    """Number of seeds whose loss falls at least half as far at this learning rate as the mean does at the best."""
    best = float(curves.test.mean(axis=0).min())
    return int((curves.at(lr) <= (curves.initial + best) / 2).sum())


def _how_long(found: Findings) -> str:
    places = {"at the best learning rate": None, **{f"at {number(x)} times that": x for x in found.multiples[:1]}}
    told = [f"{place} {_shortest(sufficiency(found, times))}" for place, times in places.items()]
    lengths = ", ".join(map(str, found.ramps))
    return (
        f"**How long.** Of ramps of {lengths} updates (0 is none), the shortest that surely comes within "
        f"{percent(ENOUGH)} of the best is, {'; '.join(told)}."
    )


def sufficiency(found: Findings, multiple: float | None) -> dict[int, Effect]:
    """By length: ln(its loss / the best length's), at the best learning rates or at a multiple of the best one."""
    lengths = list(found.ramps.values())
    return {length: excess(found.none, lengths, place, multiple) for place, length in enumerate(found.ramps)}


def _shortest(excesses: Mapping[int, Effect]) -> str:
    """The shortest length that is long enough, and shorter ones that may be."""
    enough = [length for length, found in excesses.items() if found.high < ENOUGH]
    if not enough:
        return "too small to tell"
    open_ = [length for length, found in excesses.items() if length < enough[0] and found.low < ENOUGH]
    shorter = f" ({' and '.join(map(str, open_))}: too small to tell)" if open_ else ""
    return f"{'none at all' if enough[0] == 0 else f'{enough[0]} updates'}{shorter}"


def table(found: Findings) -> pd.DataFrame:
    """Every arm in words: its best learning rate, its loss there against no warmup, and the seeds that train above."""
    rows = []
    for (warmup, length), curves in sorted(found.curves.items(), key=lambda item: (item[0][0] != "none", item[0])):
        gain = tuned_loss(found.none, curves)
        row = {
            "warmup": {"none": "none", "ramp": f"ramp of {length}", "zero": f"lr = 0 for {length}"}[warmup],
            "best learning rate": number(curves.best_lr),
            "test loss there": number(float(curves.test[:, curves.best].mean())),
            "against none": "–" if warmup == "none" else compared_with_interval(gain),
        }
        seeds = {f"seeds that train at {number(x)} × best": _share(found, curves, x) for x in found.multiples}
        rows.append(row | seeds)
    return pd.DataFrame(rows)


def _share(found: Findings, curves: LrCurves, times: float) -> str:
    return f"{training_seeds(curves, found.none.best_lr * times)} of {curves.seeds}"


def recommended(found: Findings) -> tuple[int, float]:
    """Length of warmup and peak learning rate to paste: the shortest that is long enough at the best learning rate.

    Where none is surely so, the usual ramp at its best learning rate.
    """
    enough = [length for length, gap in sufficiency(found, None).items() if gap.high < ENOUGH]
    length = enough[0] if enough else found.usual[1]
    return length, found.ramps[length].best_lr


def pytorch_lines(optimizer: str, lr: float, length: int, updates: int) -> str:
    """PyTorch code of the schedule that was tested: update for update the same learning rates."""
    rule = PYTORCH[optimizer].format(lr=f"{lr:g}")
    return f"""import math
import torch

warmup, total = {length}, {updates}  # counted in optimiser updates


def factor(step):  # step 0 is the first update
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


optimizer = torch.optim.{rule}
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
# in the loop, after each optimizer.step():
scheduler.step()
"""
