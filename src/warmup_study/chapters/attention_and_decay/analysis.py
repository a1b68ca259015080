"""What the fifth chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from warmup_study.chapters import core_grid
from warmup_study.chapters.attention_and_decay.design import (
    ADAM,
    DECAYS,
    MIXING_NAMES,
    MIXINGS,
    MLPS,
    MOST_SEEDS,
    PLACEMENTS,
    WARMUPS,
    token_net,
)
from warmup_study.chapters.core_curves import ABOVE, USABLE
from warmup_study.claims.evidence import Outcome, untrainable, where
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled
from warmup_study.statistics.lr_curves import OVERSHOOT, LrCurves, at_multiple, overshoot, trains, usable_lr
from warmup_study.tasks.networks import Mixing, Placement

USUAL = "cosine"  # the decay of the core grid, whose best learning rate sets the peak
UNTRAINABLE = untrainable("Adam")


class Gain(NamedTuple):
    """What a ramp gains a net: decades of usable learning rates, log ratio of losses above the best learning rate."""

    usable: Effect
    above: Effect
    trains: bool


class Pair(NamedTuple):
    """A net with good normalisation and its counterpart: what they are called, which norms each has, their tasks."""

    name: str
    norms: tuple[str, str]
    tasks: tuple[str, str]


Gains = Mapping[str, Gain]  # by task
DecayGains = Mapping[str, Effect]  # by decay
DecayCurves = Mapping[str, tuple[LrCurves, LrCurves]]  # by decay: without warmup, with the ramp
Named = dict[str, Effect]


def net_gains(runs: pd.DataFrame) -> dict[str, Gain]:
    """What the ramp gains Adam on every net that was compared, those of the core grid among them."""
    compared = runs[runs["part"].isin([core_grid.PART, "grid"])]
    return {str(task): _gain(rows) for task, rows in compared.groupby("task", sort=False)}


def _gain(runs: pd.DataFrame) -> Gain:
    none, ramp = (LrCurves.of(where(runs, arm=f"{ADAM}/{warmup}")) for warmup in WARMUPS)
    return Gain(usable_lr(none, ramp), overshoot(none, ramp), trains(none, ramp))


def attention_effects(gains: Gains) -> dict[str, Outcome[str]]:
    """What attention adds to the ramp's gain, and the gain of each net.

    A row for each depth, named by its post-LN Transformer; the pre-LN nets of the same depth stand in it, too.
    """
    found: dict[str, Outcome[str]] = {}
    for blocks in MOST_SEEDS:
        nets = {kind: token_net(*kind, blocks) for kind in product(PLACEMENTS, MIXINGS)}
        if all(net in gains for net in nets.values()):
            learnt = all(gains[net].trains for net in nets.values())
            mine = {kind: gains[net] for kind, net in nets.items()}
            found[token_net("post", "attention", blocks)] = _attention(mine) if learnt else UNTRAINABLE
    return found


def _attention(gains: Mapping[tuple[Placement, Mixing], Gain]) -> Named:
    named: Named = {}
    for placement in PLACEMENTS:
        attentive, fixed = (gains[placement, mixing] for mixing in MIXINGS)
        named[added(USABLE, placement)] = difference(attentive.usable, fixed.usable)
        named[added(ABOVE, placement)] = difference(attentive.above, fixed.above)
    for kind, gain in gains.items():
        named[alone(USABLE, *kind)], named[alone(ABOVE, *kind)] = gain.usable, gain.above
    return named


def added(place: str, placement: Placement) -> str:
    """The name of what attention adds to the ramp's gain."""
    return f"added gain with attention {place} ({placement}-LN)"


def alone(place: str, placement: Placement, mixing: Mixing) -> str:
    """The name of the ramp's gain in one net."""
    return f"gain {place} ({placement}-LN, {MIXING_NAMES[mixing]})"


TRANSFORMERS = [
    Pair(
        f"Transformer, {blocks} blocks",
        ("pre-LN", "post-LN"),
        (token_net("pre", "attention", blocks), token_net("post", "attention", blocks)),
    )
    for blocks in MOST_SEEDS
]
DEEP_MLPS = [Pair("deep MLP", ("layer norm", "no norm"), MLPS)]


def learnt(gains: Gains, pairs: Sequence[Pair]) -> list[Pair]:
    """Those pairs of which both nets were compared and train."""
    return [pair for pair in pairs if all(task in gains and gains[task].trains for task in pair.tasks)]


def norm_effects(gains: Gains) -> dict[str, Outcome[str]]:
    """Usable learning rates that the ramp gains nets with good normalisation, and how much more than the others.

    Equal-weight means over depths and over data sets, of the pairs that train; each net's own gain stands beside.
    """
    transformers, mlps = learnt(gains, TRANSFORMERS), learnt(gains, DEEP_MLPS)
    if not (transformers and mlps):
        return {"digits": UNTRAINABLE} if gains else {}
    return {
        "digits": {
            "gain (Transformer, pre-LN)": _mean(gains, transformers),
            "gain (Transformer, pre-LN less post-LN)": _excess(gains, transformers),
            "gain (deep MLP, layer norm)": _mean(gains, mlps),
            "gain (deep MLP, with less without layer norm)": _excess(gains, mlps),
            **{f"gain ({net})": gain for net, gain in net_by_net(gains).items()},
        }
    }


def net_by_net(gains: Gains) -> Named:
    """Usable learning rates that the ramp gains each of these nets, by the name that readers know it by."""
    return {
        f"{pair.name}, {norm}": gains[task].usable
        for pair in learnt(gains, [*TRANSFORMERS, *DEEP_MLPS])
        for norm, task in zip(pair.norms, pair.tasks, strict=True)
    }


def _mean(gains: Gains, pairs: Sequence[Pair]) -> Effect:
    return pooled([gains[pair.tasks[0]].usable for pair in pairs])


def _excess(gains: Gains, pairs: Sequence[Pair]) -> Effect:
    return pooled([difference(*(gains[task].usable for task in pair.tasks)) for pair in pairs])


def decay_gains(runs: pd.DataFrame) -> dict[str, DecayGains]:
    """Per task that Adam trains: the ramp's gain under every decay, all at one peak.

    The peak is twice the one that is best without warmup under the study's usual decay, `USUAL`. So the runs of either
    arm are the same under all decays until the ramp ends, and differ in nothing but what follows.
    """
    found = {task: _at_one_peak(curves) for task, curves in decay_curves(runs).items()}
    return {task: gains for task, gains in found.items() if gains}


def decay_curves(runs: pd.DataFrame) -> dict[str, DecayCurves]:
    """Per task and decay: the curves without warmup and with the ramp."""
    decayed = where(runs, part="decay")
    return {str(task): _by_decay(rows) for task, rows in decayed.groupby("task", sort=False)}


def _by_decay(runs: pd.DataFrame) -> DecayCurves:
    arms = {
        arm: LrCurves.of(where(runs, arm=arm))
        for arm in (f"{ADAM}/{warmup}/{decay}" for decay in DECAYS for warmup in WARMUPS)
    }
    return {decay: (arms[f"{ADAM}/none/{decay}"], arms[f"{ADAM}/ramp/{decay}"]) for decay in DECAYS}


def _at_one_peak(curves: DecayCurves) -> DecayGains:
    """Nothing where no decay lets the task train."""
    usual, *_ = curves[USUAL]
    trained = any(trains(*pair) for pair in curves.values())
    return {name: at_multiple(*pair, OVERSHOOT, best_of=usual) for name, pair in curves.items()} if trained else {}


def decay_effects(runs: pd.DataFrame) -> dict[str, Outcome[str]]:
    """Per task: what a decay adds to the ramp's gain at one peak, and the gains; at each decay's own peak beside.

    A task offers a case where the ramp gains: where the mean of its gains over the decays is above 0.
    """
    return {task: _decays(curves) for task, curves in decay_curves(runs).items()}


def _decays(curves: DecayCurves) -> Outcome[str]:
    gains = _at_one_peak(curves)
    if not gains:
        return UNTRAINABLE
    if not has_case(gains):
        return None
    return {
        **{
            f"added gain ({decay})": difference(gains[decay], gains["constant"])
            for decay in DECAYS
            if decay != "constant"
        },
        **{f"gain ({decay})": effect for decay, effect in gains.items()},
        **{f"gain at a peak of its own ({decay})": overshoot(*pair) for decay, pair in curves.items()},
    }


def has_case(gains: DecayGains) -> bool:
    """Whether the ramp gains anything, over all decays."""
    return pooled(list(gains.values())).low > 0


def early_attention(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per watched net and warmup: mean entropy of attention at the last update watched, over seeds still finite."""
    watched = where(runs, part="watch")
    found: dict[str, dict[str, Effect]] = {}
    for (task, warmup), rows in watched.groupby(["task", "warmup"], sort=False):
        last = np.array([entropies[-1] for entropies in rows["attention_entropy"]], dtype=float)
        if np.isfinite(last).any():
            found.setdefault(str(task), {})[str(warmup)] = paired_effect(last[np.isfinite(last)])
    return found


CLAIMS = {
    "attention": lambda runs: attention_effects(net_gains(runs)),
    "normalisation": lambda runs: norm_effects(net_gains(runs)),
    "decay-after": decay_effects,
}
