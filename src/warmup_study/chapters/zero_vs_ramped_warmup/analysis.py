"""What the second chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import by_base_task, where
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, paired_effect, seed_effect
from warmup_study.statistics.endpoints import CONFIRMATION, SELECTION, TRAINED, loss_table, tuned_gain

LEAST_GAIN = 0.1  # of the initial loss: where the ramp gains less, there is nothing to share out
RECOVERING = ("zero", "zero-frozen", "zero-restarted", "zero-frozen-restarted", "zero-then-ramp", "ramp-reset")
"""Arms whose share of the ramp's gain is measured."""

Effects = Mapping[str, Effect]


def shares(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task, for each arm of RECOVERING: its share of the ramp's gain at the rates where training without fails.

    A ratio of mean losses over those rates and the confirmation seeds; 1 is all of the gain, 0 none. None where there
    is no such rate, or where the confirmation seeds leave it open whether the ramp gains: a share of nothing is noise.
    """
    return by_base_task(runs, ("factorial",), _shares)


def failing_lrs(runs: pd.DataFrame) -> list[float]:
    """Rates of the factorial's runs on one task at which `none` fails and the ramp gains: found on the selection seeds.

    `none` fails where at least half the seeds end untrained; the ramp gains where its mean loss is lower by at least
    LEAST_GAIN of the loss at initialisation. The same rates serve all arms, so their choice favours none of them.
    """
    none, ramp = (
        loss_table(where(runs, arm=f"adam/{name}"), "validation_loss", SELECTION) for name in ("none", "ramp")
    )
    initial = runs["initial_loss"].mean()
    fails = (none >= TRAINED * initial).mean() >= 0.5
    gains = (none - ramp).mean() >= LEAST_GAIN * initial
    return [float(lr) for lr in none.columns if fails[lr] and gains[lr]]


def _shares(runs: pd.DataFrame) -> Effects | None:
    rates = failing_lrs(runs)
    if not rates:
        return None
    losses = {
        name: loss_table(where(runs, arm=f"adam/{name}"), "test_loss", CONFIRMATION)[rates].mean(axis=1).to_numpy()
        for name in ("none", "ramp", *RECOVERING)
    }
    whole = losses["none"] - losses["ramp"]
    if paired_effect(whole).low <= 0:
        return None
    return {name: _share(losses["none"] - losses[name], whole) for name in RECOVERING}


def _share(gain: NDArray[np.float64], whole: NDArray[np.float64]) -> Effect:
    """Ratio of two mean gains over the same seeds."""
    return seed_effect(lambda seeds: gain[seeds].mean(-1) / whole[seeds].mean(-1), len(gain))


def lost_updates(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task, in warmup lengths: delay of `zero` behind `none` to the target, and lead of `constant` over `zero`.

    A run that never reaches the target counts with the length of the run. None where fewer than half the runs without
    warmup reach it, so that the rate is none at which they do well.
    """
    return by_base_task(runs, ("lost",), _lost_updates)


def _lost_updates(runs: pd.DataFrame) -> Effects | None:
    arms = {
        name: where(runs, arm=f"adam/{name}").set_index("seed").sort_index() for name in ("none", "zero", "constant")
    }
    if arms["none"]["steps_to_target"].notna().mean() < 0.5:
        return None
    length = float(arms["zero"]["length"].iloc[0])
    steps = {name: rows["steps_to_target"].fillna(rows["updates"]).astype(float) for name, rows in arms.items()}
    return {
        "delay of zero": paired_effect((steps["zero"] - steps["none"]) / length),
        "lead of constant over zero": paired_effect((steps["zero"] - steps["constant"]) / length),
    }


def advantages(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: what the ramp gains over either jump in tuned log loss, and what the jump adds to the drift.

    The drift added is that of the second moment after the jump of `zero` less that in the second half of the ramp.
    """
    return by_base_task(runs, ("grid", "active", "drift"), _advantages)


def _advantages(runs: pd.DataFrame) -> Effects | None:
    parts = dict(list(runs.groupby("part")))
    grid, drift = parts["grid"], parts["drift"]
    ramp = where(grid, arm="adam/ramp")
    added = _mean_drift(where(drift, arm="adam/zero"))["after"] - _mean_drift(where(drift, arm="adam/ramp"))["during"]
    if added.isna().all():
        return None  # every run had diverged by then
    return {
        "ramp's advantage over zero": tuned_gain(where(grid, arm="adam/zero"), ramp),
        "ramp's advantage over constant": tuned_gain(where(grid, arm="adam/constant"), ramp),
        "ramp's advantage over zero at equal active updates": tuned_gain(parts["active"], ramp),
        "drift added by the jump": paired_effect(added.dropna()),
    }


def _mean_drift(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean drift of the second moment per seed, `during` warmup and `after` it."""
    warm = np.asarray(runs["probed_at"].iloc[0]) <= runs["length"].iloc[0]
    drift = np.stack(runs["second_moment_drift"].to_list()).astype(float)
    return pd.DataFrame({"during": drift[:, warm].mean(1), "after": drift[:, ~warm].mean(1)}, index=runs["seed"])


def constant_gains(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: tuned gain over `none` of a low rate for a twentieth of the run (Adam, SGD), and of Adam's ramp."""
    return by_base_task(runs, ("grid",), _constant_gains)


def _constant_gains(runs: pd.DataFrame) -> Effects:
    adam, sgd = where(runs, arm="adam/none"), where(runs, arm="sgd/none")
    return {
        "Adam's gain from a low LR first": tuned_gain(adam, where(runs, arm="adam/short")),
        "Adam's gain from a ramp": tuned_gain(adam, where(runs, arm="adam/ramp")),
        "SGD's gain from a low LR first": tuned_gain(sgd, where(runs, arm="sgd/short")),
    }


def best_points(runs: pd.DataFrame) -> pd.DataFrame:
    """Per task and setup: the tuned test loss of each arm of the grid, and of `zero` with its updates made up for."""
    shown = runs[runs["part"].isin(["grid", "active"])]
    arms = shown["arm"].where(shown["part"] == "grid", shown["arm"] + ", active")
    split = arms.str.split("/", expand=True)
    groups = shown.groupby(["task", split[0].rename("setup"), split[1].rename("arm")], sort=False)
    tuned = {key: endpoints.tuned(rows).losses.mean() for key, rows in groups}
    return pd.Series(tuned).rename_axis(["task", "setup", "arm"]).unstack().sort_index(axis=1).reset_index()


CLAIMS = {"lost-epoch": lost_updates}
