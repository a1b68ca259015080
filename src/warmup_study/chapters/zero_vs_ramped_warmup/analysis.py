"""Tests of the second chapter's claims, as functions of its table of runs alone."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import over_tasks, verdict
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, paired_effect, seed_effect
from warmup_study.statistics.decisions import both, either
from warmup_study.statistics.endpoints import CONFIRMATION, SELECTION, TRAINED, loss_table, tuned_gain

NOTEBOOK = "2_zero_vs_ramped_warmup"
LEAST_GAIN = 0.1  # of the initial loss: where the ramp gains less, there is nothing to share out
LEAST_LOST = 0.5  # share of the ramp's gain that a reset must cost
RECOVERING = ("zero", "zero-frozen", "zero-restarted", "zero-frozen-restarted", "zero-then-ramp", "ramp-reset")
"""Arms whose share of the ramp's gain is measured."""

Effects = Mapping[str, Effect]


def judge(runs: pd.DataFrame) -> list[Verdict]:
    """All verdicts of the chapter, per task and over tasks."""
    claims = ("statistics", "lost-epoch", "jump", "constant-then-jump")
    return [row for name in claims for row in judge_claim(name, runs)]


def judge_claim(name: str, runs: pd.DataFrame) -> list[Verdict]:
    """The verdicts on one claim, from the parts of the table that bear on it."""
    effects, decide, figure = {
        "statistics": (shares, _statistics, "shares"),
        "lost-epoch": (lost_updates, _lost_epoch, "lost_updates"),
        "jump": (advantages, _jump, "jump"),
        "constant-then-jump": (constant_gains, _constant_then_jump, "four_setups"),
    }[name]
    seeds = int(runs.loc[runs["role"] == CONFIRMATION, "seed"].nunique())
    return over_tasks(name, effects(runs), decide, seeds=seeds, figure=figure)


def shares(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task, for each arm of RECOVERING: its share of the ramp's gain at the rates where training without fails.

    A ratio of mean losses over those rates and the confirmation seeds; 1 is all of the gain, 0 none. None where there
    is no such rate, or where the confirmation seeds leave it open whether the ramp gains: a share of nothing is noise.
    """
    return _by_task(runs, ("factorial",), _shares)


def failing_lrs(runs: pd.DataFrame) -> list[float]:
    """Rates of the factorial's runs on one task at which `none` fails and the ramp gains: found on the selection seeds.

    `none` fails where at least half the seeds end untrained; the ramp gains where its mean loss is lower by at least
    LEAST_GAIN of the loss at initialisation. The same rates serve all arms, so their choice favours none of them.
    """
    none, ramp = (loss_table(_arm(runs, f"adam/{name}"), "validation_loss", SELECTION) for name in ("none", "ramp"))
    initial = runs["initial_loss"].mean()
    fails = (none >= TRAINED * initial).mean() >= 0.5
    gains = (none - ramp).mean() >= LEAST_GAIN * initial
    return [float(lr) for lr in none.columns if fails[lr] and gains[lr]]


def _shares(runs: pd.DataFrame) -> Effects | None:
    rates = failing_lrs(runs)
    if not rates:
        return None
    losses = {
        name: loss_table(_arm(runs, f"adam/{name}"), "test_loss", CONFIRMATION)[rates].mean(axis=1).to_numpy()
        for name in ("none", "ramp", *RECOVERING)
    }
    whole = losses["none"] - losses["ramp"]
    if paired_effect(whole).low <= 0:
        return None
    return {name: _share(losses["none"] - losses[name], whole) for name in RECOVERING}


def _share(gain: NDArray[np.float64], whole: NDArray[np.float64]) -> Effect:
    """Ratio of two mean gains over the same seeds."""
    return seed_effect(lambda seeds: gain[seeds].mean(-1) / whole[seeds].mean(-1), len(gain))


def _statistics(task: str, effects: Effects) -> Verdict:
    least = claim("statistics").margin or 0.0
    zero, reset = effects["zero"], effects["ramp-reset"]
    most_kept = 1 - LEAST_LOST  # what a reset costs is what the arm with it does not recover
    recovers, falls_short = zero.p_above(least), zero.p_below(least)
    loses, keeps = reset.p_below(most_kept), reset.p_above(most_kept)
    margins = {"zero": least, "ramp-reset": most_kept}
    parts = [Part.of(name, effect, margins.get(name, 0.0), "share") for name, effect in effects.items()]
    return verdict(
        "statistics",
        task,
        zero,
        parts=parts,
        figure="shares",
        p_supported=both(recovers, loses),
        p_contradicted=both(falls_short, keeps),
        p_mixed=either(both(recovers, keeps), both(falls_short, loses)),
    )


def lost_updates(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task, in warmup lengths: delay of `zero` behind `none` to the target, and lead of `constant` over `zero`.

    A run that never reaches the target counts with the length of the run. None where fewer than half the runs without
    warmup reach it, so that the rate is none at which they do well.
    """
    return _by_task(runs, ("lost",), _lost_updates)


def _lost_updates(runs: pd.DataFrame) -> Effects | None:
    arms = {name: _arm(runs, f"adam/{name}").set_index("seed").sort_index() for name in ("none", "zero", "constant")}
    if arms["none"]["steps_to_target"].notna().mean() < 0.5:
        return None
    length = float(arms["zero"]["length"].iloc[0])
    steps = {name: rows["steps_to_target"].fillna(rows["updates"]).astype(float) for name, rows in arms.items()}
    return {
        "delay of zero": paired_effect((steps["zero"] - steps["none"]) / length),
        "lead of constant": paired_effect((steps["zero"] - steps["constant"]) / length),
    }


def _lost_epoch(task: str, effects: Effects) -> Verdict:
    width = claim("lost-epoch").margin or 0.0
    delay, lead = effects["delay of zero"], effects["lead of constant"]
    equals = both(delay.p_above(1 - width), delay.p_below(1 + width)) if delay.low <= 1 <= delay.high else 1.0
    differs = either(delay.p_below(1 - width), delay.p_above(1 + width))
    ahead, behind = lead.p_above(0), lead.p_below(0)
    unit = "warmup lengths"
    parts = [Part.of("delay of zero", delay, 1 + width, unit), Part.of("lead of constant", lead, 0.0, unit)]
    return verdict(
        "lost-epoch",
        task,
        delay,
        parts=parts,
        figure="lost_updates",
        p_supported=both(equals, ahead),
        p_contradicted=either(differs, behind),
        p_mixed=either(both(equals, behind), both(differs, ahead)),
    )


def advantages(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: what the ramp gains over either jump in tuned log loss, and what the jump adds to the drift.

    The drift added is that of the second moment after the jump of `zero` less that in the second half of the ramp.
    """
    return _by_task(runs, ("grid", "active", "drift"), _advantages)


def _advantages(runs: pd.DataFrame) -> Effects | None:
    parts = dict(list(runs.groupby("part")))
    grid, drift = parts["grid"], parts["drift"]
    ramp = _arm(grid, "adam/ramp")
    added = _mean_drift(_arm(drift, "adam/zero"))["after"] - _mean_drift(_arm(drift, "adam/ramp"))["during"]
    if added.isna().all():
        return None  # every run had diverged by then
    return {
        "over zero": tuned_gain(_arm(grid, "adam/zero"), ramp),
        "over constant": tuned_gain(_arm(grid, "adam/constant"), ramp),
        "over zero at equal active updates": tuned_gain(parts["active"], ramp),
        "drift added": paired_effect(added.dropna()),
    }


def _mean_drift(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean drift of the second moment per seed, `during` warmup and `after` it."""
    warm = np.asarray(runs["probed_at"].iloc[0]) <= runs["length"].iloc[0]
    drift = np.stack(runs["second_moment_drift"].to_list()).astype(float)
    return pd.DataFrame({"during": drift[:, warm].mean(1), "after": drift[:, ~warm].mean(1)}, index=runs["seed"])


def _jump(task: str, effects: Effects) -> Verdict:
    least = margin("tuned_loss")
    zero, constant, drift = effects["over zero"], effects["over constant"], effects["drift added"]
    beats = [zero.p_above(least.value), constant.p_above(least.value)]
    fails = [zero.p_below(least.value), constant.p_below(least.value)]
    parts = [
        Part.of(name, effect, 0.0, "mean log ratio")
        if name == "drift added"
        else Part.of(name, effect, least.value, least.unit)
        for name, effect in effects.items()
    ]
    return verdict(
        "jump",
        task,
        zero,
        parts=parts,
        figure="jump",
        p_supported=both(*beats, drift.p_above(0)),
        p_contradicted=both(*fails),
        p_mixed=either(both(beats[0], fails[1]), both(fails[0], beats[1]), both(*beats, drift.p_below(0))),
    )


def constant_gains(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: tuned gain over `none` of a low rate for a twentieth of the run (Adam, SGD), and of Adam's ramp."""
    return _by_task(runs, ("grid",), _constant_gains)


def _constant_gains(runs: pd.DataFrame) -> Effects:
    arms = (("Adam, constant", "adam/short"), ("Adam, ramp", "adam/ramp"), ("SGD, constant", "sgd/short"))
    return {name: tuned_gain(_arm(runs, f"{arm.partition('/')[0]}/none"), _arm(runs, arm)) for name, arm in arms}


def _constant_then_jump(task: str, effects: Effects) -> Verdict:
    least, gain = margin("tuned_loss"), effects["Adam, constant"]
    parts = [Part.of(f"(a) {name}", effect, least.value, least.unit) for name, effect in effects.items()]
    return verdict(
        "constant-then-jump",
        task,
        gain,
        parts=parts,
        figure="four_setups",
        p_supported=gain.p_above(least.value),
        p_contradicted=gain.p_below(least.value),
    )


def best_points(runs: pd.DataFrame) -> pd.DataFrame:
    """Per task and setup: the tuned test loss of each arm of the grid, and of `zero` with its updates made up for."""
    shown = runs[runs["part"].isin(["grid", "active"])]
    arms = shown["arm"].where(shown["part"] == "grid", shown["arm"] + ", active")
    split = arms.str.split("/", expand=True)
    groups = shown.groupby(["task", split[0].rename("setup"), split[1].rename("arm")], sort=False)
    tuned = {key: endpoints.tuned(rows).losses.mean() for key, rows in groups}
    return pd.Series(tuned).rename_axis(["task", "setup", "arm"]).unstack().sort_index(axis=1).reset_index()


def _by_task(
    runs: pd.DataFrame, parts: tuple[str, ...], effects: Callable[[pd.DataFrame], Effects | None]
) -> dict[str, Effects | None]:
    chosen = runs[runs["part"].isin(parts)]
    return {str(task): effects(rows) for task, rows in chosen.groupby("task", sort=False)}


def _arm(runs: pd.DataFrame, label: str) -> pd.DataFrame:
    return runs[runs["arm"] == label]
