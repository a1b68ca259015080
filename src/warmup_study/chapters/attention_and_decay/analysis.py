"""Tests of the fifth chapter's claims, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.claims.evidence import over_tasks, verdict
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled
from warmup_study.statistics.decisions import both, either
from warmup_study.statistics.endpoints import CONFIRMATION, capped, sensitivity_gain, tuned_gain

NOTEBOOK = "5_attention_and_decay"
DECIDING = "adam"  # the optimiser whose gains decide; those of SGD are reported beside
RAMP, SHORT = "ramp", "short"
PLACEMENTS = {"post-LN": ("transformer", "mixer"), "pre-LN": ("transformer-pre", "mixer-pre")}
"""By placement of the norms: the net with attention, and the same net without."""
NORMALISED = {"Transformer": ("transformer-pre", "transformer"), "MLP": ("he8-norm", "he8")}
"""By kind of net: the one with good normalisation, and its counterpart."""
DECAYS = ("constant", "cosine", "inverse_sqrt")

Gains = Mapping[tuple[str, str], Effect]  # by (net, arm)
DecayGains = Mapping[str, Effect]  # by decay


def judge(runs: pd.DataFrame) -> list[Verdict]:
    """All verdicts of the chapter.

    Rows of *attention* and *normalisation* belong to data sets, each learnt by several nets ("digits", not
    "digits-transformer"); a data set without all the nets that a claim compares has no row.
    """
    seeds = int(runs.loc[runs["role"] == CONFIRMATION, "seed"].nunique())
    compared = gains(runs, DECIDING)
    return [
        *over_tasks("attention", _complete(compared, PLACEMENTS), _attention, seeds=seeds, figure="attention_gains"),
        *over_tasks("normalisation", _complete(compared, NORMALISED), _normalisation, seeds=seeds, figure="norms"),
        *over_tasks("decay-after", decay_gains(runs, DECIDING), _decay_after, seeds=seeds, figure="decays"),
    ]


def gains(runs: pd.DataFrame, optimizer: str) -> dict[str, dict[tuple[str, str], Effect]]:
    """Per data set: what the ramp and, where it was run, the short ramp gain each net in lr_sensitivity."""
    grid = runs[(runs["part"] == "grid") & (runs["optimizer"] == optimizer)]
    found: dict[str, dict[tuple[str, str], Effect]] = {}
    for task, rows in grid.groupby("task", sort=False):
        data, _, net = str(task).partition("-")
        arms = {str(arm): chosen for arm, chosen in rows.groupby("arm")}
        for ramp in (ramp for ramp in (RAMP, SHORT) if f"{optimizer}/{ramp}" in arms):
            gain = sensitivity_gain(arms[f"{optimizer}/none"], arms[f"{optimizer}/{ramp}"])
            found.setdefault(data, {})[net, ramp] = gain
    return found


def _complete(compared: Mapping[str, Gains], pairs: Mapping[str, tuple[str, str]]) -> dict[str, Gains | None]:
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
    return {data: attention_differences(found) for data, found in _complete(compared, PLACEMENTS).items() if found}


def _attention(task: str, effects: Gains) -> Verdict:
    unit = claim("attention").unit
    differences = attention_differences(effects)
    above = [found.p_above(0) for found in differences.values()]
    below = [found.p_below(0) for found in differences.values()]
    named = {f"difference, {place}": found for place, found in differences.items()}
    named |= {f"difference, {place}, short ramp": f for place, f in attention_differences(effects, SHORT).items()}
    named |= {f"gain, {net}": effects[net, RAMP] for pair in PLACEMENTS.values() for net in pair}
    return verdict(
        "attention",
        task,
        pooled(list(differences.values())),
        figure="attention_gains",
        parts=[Part.of(name, effect, 0.0, unit) for name, effect in named.items()],
        p_supported=both(*above),
        p_contradicted=both(*below),
        p_mixed=either(both(above[0], below[1]), both(below[0], above[1])),
    )


def _normalisation(task: str, effects: Gains) -> Verdict:
    least = margin("lr_sensitivity")
    holds, fails = [], []
    for good, counterpart in NORMALISED.values():
        gain = effects[good, RAMP]
        holds.append(both(gain.p_inside(least.value), effects[counterpart, RAMP].p_above(least.value)))
        fails.append(gain.p_above(least.value))
    nets = [net for pair in NORMALISED.values() for net in pair]
    return verdict(
        "normalisation",
        task,
        pooled([effects[good, RAMP] for good, _ in NORMALISED.values()]),
        figure="norms",
        parts=[Part.of(f"gain, {net}", effects[net, RAMP], least.value, least.unit) for net in nets],
        p_supported=both(*holds),
        p_contradicted=both(*fails),
        p_mixed=either(both(holds[0], fails[1]), both(fails[0], holds[1])),
    )


def decay_gains(runs: pd.DataFrame, optimizer: str) -> dict[str, DecayGains | None]:
    """Per task: the ramp's gain in tuned log loss under every decay, over the same decay without warmup."""
    decayed = runs[(runs["part"] == "decay") & (runs["optimizer"] == optimizer)]
    return {str(task): _decay_gains(rows, optimizer) for task, rows in decayed.groupby("task", sort=False)}


def _decay_gains(runs: pd.DataFrame, optimizer: str) -> DecayGains:
    arms = {str(arm): rows for arm, rows in runs.groupby("arm")}
    return {decay: tuned_gain(arms[f"{optimizer}/none/{decay}"], arms[f"{optimizer}/ramp/{decay}"]) for decay in DECAYS}


def _decay_after(task: str, effects: DecayGains) -> Verdict:
    unit = claim("decay-after").unit
    above = {decay: effects[decay].p_above(0) for decay in DECAYS}
    below = {decay: effects[decay].p_below(0) for decay in DECAYS}
    opposite = [both(above[one], below[other]) for one in DECAYS for other in DECAYS if one != other]
    return verdict(
        "decay-after",
        task,
        pooled([effects[decay] for decay in DECAYS]),
        figure="decays",
        parts=[Part.of(f"gain, {decay}", effects[decay], 0.0, unit) for decay in DECAYS],
        p_supported=both(*above.values()),
        p_contradicted=either(both(*below.values()), *opposite),
    )


def paper_gains(runs: pd.DataFrame) -> dict[int, Effect]:
    """By length n: ln(test loss without the ramp / with it) under the Transformer paper's schedule, as it is."""
    paper = runs[runs["part"] == "paper"]
    losses = paper.assign(loss=capped(paper["test_loss"], paper["initial_loss"]))
    by_arm = losses.pivot(index="seed", columns="arm", values="loss")
    lengths = sorted({int(str(arm).rpartition("/")[2]) for arm in by_arm.columns})
    return {n: paired_effect(np.log(by_arm[f"adam/none/{n}"] / by_arm[f"adam/ramp/{n}"])) for n in lengths}


def early_attention(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per watched net and warmup: mean entropy of attention at the last update watched, over seeds still finite."""
    watched = runs[runs["part"] == "watch"]
    found: dict[str, dict[str, Effect]] = {}
    for (task, warmup), rows in watched.groupby(["task", "warmup"], sort=False):
        last = np.array([entropies[-1] for entropies in rows["attention_entropy"]], dtype=float)
        if np.isfinite(last).any():
            found.setdefault(str(task), {})[str(warmup)] = paired_effect(last[np.isfinite(last)])
    return found
