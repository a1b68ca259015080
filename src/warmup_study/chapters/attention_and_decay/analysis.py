"""What the fifth chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.chapters.attention_and_decay.design import DECAYS
from warmup_study.claims.evidence import where
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled
from warmup_study.statistics.endpoints import capped, sensitivity_gain, tuned_gain

DECIDING = "adam"  # the optimiser whose gains decide; those of SGD are reported beside
RAMP, SHORT = "ramp", "short"
PLACEMENTS = {"post-LN": ("transformer", "mixer"), "pre-LN": ("transformer-pre", "mixer-pre")}
"""By placement of the norms: the net with attention, and the same net without."""
NORMALISED = {"Transformer": ("transformer-pre", "transformer"), "MLP": ("he8-norm", "he8")}
"""By kind of net: the one with good normalisation, and its counterpart."""

Gains = Mapping[tuple[str, str], Effect]  # by (net, arm)
DecayGains = Mapping[str, Effect]  # by decay
Named = dict[str, Effect]


def gains(runs: pd.DataFrame, optimizer: str) -> dict[str, dict[tuple[str, str], Effect]]:
    """Per data set: what the ramp and, where it was run, the short ramp gain each net in lr_sensitivity."""
    grid = where(runs, part="grid", optimizer=optimizer)
    found: dict[str, dict[tuple[str, str], Effect]] = {}
    for task, rows in grid.groupby("task", sort=False):
        data, _, net = str(task).partition("-")
        arms = dict(list(rows.groupby("arm")))  # the labels alone tell a ramp from a short one of equal length
        for ramp in (ramp for ramp in (RAMP, SHORT) if f"{optimizer}/{ramp}" in arms):
            gain = sensitivity_gain(arms[f"{optimizer}/none"], arms[f"{optimizer}/{ramp}"])
            found.setdefault(data, {})[net, ramp] = gain
    return found


def _complete(compared: Mapping[str, Gains], pairs: Mapping[str, tuple[str, str]]) -> dict[str, Gains]:
    """The gains of those nets, for each data set that all of them learnt."""
    nets = [net for pair in pairs.values() for net in pair]
    return {
        data: {(net, ramp): effect for (net, ramp), effect in effects.items() if net in nets}
        for data, effects in compared.items()
        if all((net, RAMP) in effects for net in nets)
    }


def attention_differences(effects: Gains, ramp: str = RAMP) -> dict[str, Effect]:
    """By placement of the norms: gain with attention less gain without."""
    return {place: difference(effects[net, ramp], effects[other, ramp]) for place, (net, other) in PLACEMENTS.items()}


def differences_by_data(compared: Mapping[str, Gains]) -> dict[str, dict[str, Effect]]:
    """The same per data set that all nets on tokens learnt."""
    return {data: attention_differences(found) for data, found in _complete(compared, PLACEMENTS).items()}


def attention_effects(runs: pd.DataFrame) -> dict[str, Named]:
    """Per data set that all nets on tokens learnt: what attention adds to the ramp's gain, and each net's gain."""
    return {data: _attention(found) for data, found in _complete(gains(runs, DECIDING), PLACEMENTS).items()}


def _attention(effects: Gains) -> Named:
    added = attention_differences(effects)
    short = attention_differences(effects, SHORT)
    return {
        **{f"added gain with attention ({place})": effect for place, effect in added.items()},
        **{f"added gain with attention ({place}, short ramp)": effect for place, effect in short.items()},
        "added gain with attention (mean)": pooled(list(added.values())),
        **{f"gain ({net})": effects[net, RAMP] for pair in PLACEMENTS.values() for net in pair},
    }


def norm_effects(runs: pd.DataFrame) -> dict[str, Named]:
    """Per data set that all the nets learnt: the ramp's gain in nets with good normalisation and in the others."""
    return {data: _norms(found) for data, found in _complete(gains(runs, DECIDING), NORMALISED).items()}


def _norms(effects: Gains) -> Named:
    named = {f"gain ({net})": effects[net, RAMP] for pair in NORMALISED.values() for net in pair}
    well = pooled([effects[good, RAMP] for good, _ in NORMALISED.values()])
    return named | {"gain (mean of the well normalised)": well}


def decay_gains(runs: pd.DataFrame, optimizer: str) -> dict[str, DecayGains]:
    """Per task: the ramp's gain in tuned log loss under every decay, over the same decay without warmup."""
    decayed = where(runs, part="decay", optimizer=optimizer)
    return {str(task): _decay_gains(rows) for task, rows in decayed.groupby("task", sort=False)}


def _decay_gains(runs: pd.DataFrame) -> DecayGains:
    none, ramp = where(runs, warmup="none"), where(runs, warmup="ramp")
    return {decay: tuned_gain(where(none, decay=decay), where(ramp, decay=decay)) for decay in DECAYS}


def decay_effects(runs: pd.DataFrame) -> dict[str, Named]:
    """Per task: the gain under every decay, its mean, and what a decay adds to the gain under a constant rate."""
    return {task: _decays(found) for task, found in decay_gains(runs, DECIDING).items()}


def _decays(gains: DecayGains) -> Named:
    added = {name: difference(effect, gains["constant"]) for name, effect in gains.items() if name != "constant"}
    return {
        **{f"added gain ({decay})": effect for decay, effect in added.items()},
        **{f"gain ({decay})": effect for decay, effect in gains.items()},
        "gain (mean)": pooled(list(gains.values())),
    }


def paper_gains(runs: pd.DataFrame) -> dict[int, Effect]:
    """By length n: ln(test loss without the ramp / with it) under the Transformer paper's schedule, as it is."""
    paper = where(runs, part="paper")
    losses = paper.assign(loss=capped(paper["test_loss"], paper["initial_loss"]))
    by_arm = losses.pivot(index="seed", columns="arm", values="loss")
    lengths = sorted(int(n) for n in where(paper, warmup="ramp")["length"].unique())
    return {n: paired_effect(np.log(by_arm[f"adam/none/{n}"] / by_arm[f"adam/ramp/{n}"])) for n in lengths}


def early_attention(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per watched net and warmup: mean entropy of attention at the last update watched, over seeds still finite."""
    watched = where(runs, part="watch")
    found: dict[str, dict[str, Effect]] = {}
    for (task, warmup), rows in watched.groupby(["task", "warmup"], sort=False):
        last = np.array([entropies[-1] for entropies in rows["attention_entropy"]], dtype=float)
        if np.isfinite(last).any():
            found.setdefault(str(task), {})[str(warmup)] = paired_effect(last[np.isfinite(last)])
    return found


CLAIMS = {"decay-after": decay_effects}
