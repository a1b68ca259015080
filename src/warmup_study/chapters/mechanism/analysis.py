"""Tests of the sixth chapter's claims, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study import theory
from warmup_study.claims.evidence import by_base_task, over_tasks, verdict
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect
from warmup_study.statistics.decisions import both, either
from warmup_study.statistics.endpoints import CONFIRMATION, sensitivity_gain, trainable_gain, tuned_excess, tuned_gain
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

NOTEBOOK = "6_mechanism"
WARMED = ("zero", "constant", "ramp")
SETTLED = 0.75  # share of a whole-batch run after which it should have reached its edge
LOG_RATIO = "log ratio"

Effects = Mapping[str, Effect]


def judge(runs: pd.DataFrame) -> list[Verdict]:
    """All verdicts of the chapter, per task and over tasks."""
    return [row for name in ("curvature", "hidden-warmups", "untuned", "dead-units") for row in judge_claim(name, runs)]


def judge_claim(name: str, runs: pd.DataFrame) -> list[Verdict]:
    """The verdicts on one claim, from the parts of the table that bear on it."""
    effects, decide, figure = {
        "curvature": (curvatures, _curvature, "curvature"),
        "hidden-warmups": (replays, _hidden_warmups, "disguises"),
        "untuned": (excesses, _untuned, "lengths"),
        "dead-units": (deaths, _dead_units, "dead"),
    }[name]
    seeds = int(runs.loc[runs["role"] == CONFIRMATION, "seed"].nunique())
    return over_tasks(name, effects(runs), decide, seeds=seeds, figure=figure)


def edges(runs: pd.DataFrame) -> pd.DataFrame:
    """Per rule, over the seeds of the whole-batch runs: mean sharpness in their settled part over theory's limit."""
    rows = []
    for label, group in runs[runs["part"] == "edge"].groupby("arm", sort=False):
        shares = edge_shares(group)
        settled = np.asarray(group["probed_at"].iloc[0]) > SETTLED * group["updates"].iloc[0]
        found = paired_effect(shares[:, settled].mean(1))
        limit = float(np.mean([edge_limit(run) for _, run in group.iterrows()]))
        rows.append({"rule": label, "limit": limit, "settled over limit": found.estimate, "seeds": found.n})
    return pd.DataFrame(rows)


def edge_shares(runs: pd.DataFrame) -> NDArray[np.float64]:
    """Sharpness, or preconditioned sharpness where a rule has it, over theory's limit: seeds by probed updates."""
    name = "preconditioned_sharpness" if runs["beta2"].notna().all() else "sharpness"
    limits = np.array([edge_limit(run) for _, run in runs.iterrows()])
    shares: NDArray[np.float64] = np.stack(runs[name].to_list()).astype(float) / limits[:, None]
    return shares


def edge_limit(run: pd.Series) -> float:
    """Largest sharpness at which the run's rule is stable at its learning rate."""
    given = {name: run[name] for name in ("momentum", "beta1", "beta2") if pd.notna(run[name])}
    return theory.stability_limit(Optimizer(name=run["optimizer"], **given)) / float(run["lr"])


def curvatures(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: what warmup does to the largest trainable rate, and to the sharpness until the peak is reached.

    Sharpness: ln of that when the warmup has ended over that before the first update. None where it is never finite.
    """
    return by_base_task(runs, ("grid", "track"), _curvatures)


def _curvatures(runs: pd.DataFrame) -> Effects | None:
    grid, track = (runs[runs["part"] == part] for part in ("grid", "track"))
    found = {}
    for name in WARMED:
        found[f"{name}, trainable"] = trainable_gain(_arm(grid, "adam/none"), _arm(grid, f"adam/{name}"))
        if f"adam/{name}" not in set(track["arm"]):
            continue
        change = at_peak(_arm(track, f"adam/{name}"), "sharpness")
        change = change[(change > 0).all(axis=1)]
        if change.empty:
            return None
        found[f"{name}, sharpness"] = paired_effect(np.log(change["peak"] / change["start"]))
    return found


def at_peak(runs: pd.DataFrame, probe: str) -> pd.DataFrame:
    """A probe before the first update and once warmup has ended, per seed."""
    probed, length = np.asarray(runs["probed_at"].iloc[0]), int(runs["length"].iloc[0])
    values = np.stack(runs[probe].to_list()).astype(float)
    after = int(np.flatnonzero(probed > min(length, probed[-1] - 1))[0])
    return pd.DataFrame({"start": values[:, 0], "peak": values[:, after]}, index=runs["seed"].to_numpy())


def _curvature(task: str, effects: Effects) -> Verdict:
    least = margin("max_trainable_lr")
    gain, change = effects["ramp, trainable"], effects["ramp, sharpness"]
    higher, lower = gain.p_above(least.value), gain.p_below(least.value)
    flatter, sharper = change.p_below(0), change.p_above(0)
    parts = [
        Part.of(name, effect, least.value, least.unit)
        if name.endswith("trainable")
        else Part.of(name, effect, 0.0, LOG_RATIO)
        for name, effect in effects.items()
    ]
    return verdict(
        "curvature",
        task,
        gain,
        parts=parts,
        figure="curvature",
        p_supported=both(higher, flatter),
        p_contradicted=both(lower, sharper),
        p_mixed=either(both(higher, sharper), both(lower, flatter)),
    )


def replays(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and fix: ln of the tuned loss under the replayed schedule over that of the fix itself."""
    return by_base_task(runs, ("disguise",), _replays)


def _replays(runs: pd.DataFrame) -> Effects:
    return {name: tuned_gain(_arm(runs, replay_of(runs, name)), _arm(runs, f"fix/{name}")) for name in theory.FIXES}


def replay_of(runs: pd.DataFrame, fix: str) -> str:
    """The arm that replays a fix: plain Adam without warmup where the fix implies none."""
    label = f"replay/{fix}"
    return label if (runs["arm"] == label).any() else "adam/none"


def _hidden_warmups(task: str, effects: Effects) -> Verdict:
    least = claim("hidden-warmups").margin or 0.0
    inside = {name: effect.p_inside(least) for name, effect in effects.items()}
    outside = {name: either(effect.p_above(least), effect.p_below(-least)) for name, effect in effects.items()}
    widest = max(effects.values(), key=lambda effect: abs(effect.estimate))
    unit = margin("tuned_loss").unit
    return verdict(
        "hidden-warmups",
        task,
        widest,
        figure="disguises",
        parts=[Part.of(name, effect, least, unit) for name, effect in effects.items()],
        p_supported=both(*inside.values()),
        p_contradicted=both(*outside.values()),
        p_mixed=_split(inside, outside),
    )


def _split(holds: Mapping[str, float], fails: Mapping[str, float]) -> float:
    """P-value for "at least one of them holds and at least one fails"."""
    return both(either(*holds.values()), either(*fails.values()))


def excesses(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and β2: ln of the tuned loss under a ramp of 2/(1-β2) updates over that of the best length tried."""
    return by_base_task(runs, ("lengths",), _excesses)


def _excesses(runs: pd.DataFrame) -> Effects:
    found = {}
    for beta2 in sorted(runs["beta2"].unique()):
        arms = dict(list(runs[runs["beta2"] == beta2].groupby("length")))
        default = Schedule(warmup="untuned", beta2=float(beta2)).warmup_length
        found[f"β2 = {beta2:g}"] = tuned_excess(arms[default], list(arms.values()))
    return found


def _untuned(task: str, effects: Effects) -> Verdict:
    least = claim("untuned").margin or 0.0
    good = {name: effect.p_below(least) for name, effect in effects.items()}
    bad = {name: effect.p_above(least) for name, effect in effects.items()}
    worst = max(effects.values(), key=lambda effect: effect.estimate)
    unit = margin("tuned_loss").unit
    return verdict(
        "untuned",
        task,
        worst,
        figure="lengths",
        parts=[Part.of(name, effect, least, unit) for name, effect in effects.items()],
        p_supported=both(*good.values()),
        p_contradicted=both(*bad.values()),
        p_mixed=_split(good, bad),
    )


def deaths(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: what warmup spares in dead units, and how much more it gains where units can die.

    The dead share is that at the end, mean over the rates of the grid at which neither run of a pair diverged; the gain
    is in sensitivity to the rate over the same grid, with ReLUs less with leaky ones. None where all have diverged.
    """
    return by_base_task(runs, ("dead",), _deaths)


def _deaths(runs: pd.DataFrame) -> Effects | None:
    leaky = runs["task"].str.endswith("+leaky")
    gains = {
        name: sensitivity_gain(_arm(rows, "adam/none"), _arm(rows, "adam/ramp"))
        for name, rows in (("ReLU", runs[~leaky]), ("leaky ReLU", runs[leaky]))
    }
    spared = paired_shares(runs[~leaky]).dropna(how="all", axis=1).mean()
    if spared.empty:
        return None
    return {
        "dead units spared": paired_effect(spared),
        "gain, ReLU minus leaky": difference(gains["ReLU"], gains["leaky ReLU"]),
        "gain, ReLU": gains["ReLU"],
        "gain, leaky ReLU": gains["leaky ReLU"],
    }


def paired_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """Dead share at the end without warmup less that with a ramp: rates by seeds, NaN where either run diverged."""
    none, ramp = (final_share(_arm(runs, f"adam/{name}")) for name in ("none", "ramp"))
    return none - ramp


def final_share(runs: pd.DataFrame) -> pd.DataFrame:
    """Share of dead units at the end of one arm's runs: rates by seeds."""
    last = runs.assign(share=[float(shares[-1]) for shares in runs["dead_share"]])
    return last.pivot(index="lr", columns="seed", values="share")


def _dead_units(task: str, effects: Effects) -> Verdict:
    spared, gain = effects["dead units spared"], effects["gain, ReLU minus leaky"]
    fewer, more = spared.p_above(0), spared.p_below(0)
    larger, smaller = gain.p_above(0), gain.p_below(0)
    unit = claim("dead-units").unit
    parts = [
        Part.of(name, effect, 0.0, unit if name == "dead units spared" else margin("lr_sensitivity").unit)
        for name, effect in effects.items()
    ]
    return verdict(
        "dead-units",
        task,
        spared,
        parts=parts,
        figure="dead",
        p_supported=both(fewer, larger),
        p_contradicted=both(more, smaller),
        p_mixed=either(both(fewer, smaller), both(more, larger)),
    )


def _arm(runs: pd.DataFrame, label: str) -> pd.DataFrame:
    return runs[runs["arm"] == label]
