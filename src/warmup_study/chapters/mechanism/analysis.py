"""What the sixth chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study import theory
from warmup_study.claims.evidence import by_base_task, named, where
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect
from warmup_study.statistics.endpoints import trainable_gain, tuned_excess, tuned_gain
from warmup_study.statistics.lr_curves import LrCurves, usable_lr
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

WARMED = ("zero", "constant", "ramp")
SETTLED = 0.75  # share of a whole-batch run after which it should have reached its edge

Effects = Mapping[str, Effect]


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
        found[f"gain in largest trainable LR ({name})"] = trainable_gain(
            where(grid, arm="adam/none"), where(grid, arm=f"adam/{name}")
        )
        if f"adam/{name}" not in set(track["arm"]):
            continue
        change = at_peak(where(track, arm=f"adam/{name}"), "sharpness")
        change = change[(change > 0).all(axis=1)]
        if change.empty:
            return None
        found[f"change in sharpness ({name})"] = paired_effect(np.log(change["peak"] / change["start"]))
    return found


def at_peak(runs: pd.DataFrame, probe: str) -> pd.DataFrame:
    """A probe before the first update and once warmup has ended, per seed."""
    probed, length = np.asarray(runs["probed_at"].iloc[0]), int(runs["length"].iloc[0])
    values = np.stack(runs[probe].to_list()).astype(float)
    after = int(np.flatnonzero(probed > min(length, probed[-1] - 1))[0])
    return pd.DataFrame({"start": values[:, 0], "peak": values[:, after]}, index=runs["seed"].to_numpy())


def replays(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and fix: ln of the tuned loss under the replayed schedule over that of the fix itself."""
    return by_base_task(runs, ("disguise",), _replays)


def _replays(runs: pd.DataFrame) -> Effects:
    return {
        name: tuned_gain(where(runs, arm=replay_of(runs, name)), where(runs, arm=f"fix/{name}"))
        for name in theory.FIXES
    }


def replay_of(runs: pd.DataFrame, fix: str) -> str:
    """The arm that replays a fix: plain Adam without warmup where the fix implies none."""
    label = f"replay/{fix}"
    return label if (runs["arm"] == label).any() else "adam/none"


def excesses(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and β2: ln of the tuned loss under a ramp of 2/(1-β2) updates over that of the best length tried."""
    return by_base_task(runs, ("lengths",), _excesses)


def _excesses(runs: pd.DataFrame) -> Effects:
    found = {}
    for beta2 in sorted(runs["beta2"].unique()):
        arms = dict(list(runs[runs["beta2"] == beta2].groupby("length")))
        default = Schedule(warmup="untuned", beta2=float(beta2)).warmup_length
        found[f"excess loss (β2 = {beta2:g})"] = tuned_excess(arms[default], list(arms.values()))
    return found


def deaths(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: what warmup spares in dead units, and how much more it gains where units can die.

    The dead share is that at the end, mean over the rates of the grid at which neither run of a pair diverged; the gain
    is in usable learning rates over the same grid, with ReLUs less with leaky ones. None where all have diverged.
    """
    return by_base_task(runs, ("dead",), _deaths)


def _deaths(runs: pd.DataFrame) -> Effects | None:
    leaky = runs["task"].str.endswith("+leaky")
    gains = {name: _usable(rows) for name, rows in (("ReLU", runs[~leaky]), ("leaky ReLU", runs[leaky]))}
    spared = paired_shares(runs[~leaky]).dropna(how="all", axis=1).mean()
    if spared.empty:
        return None
    return {
        "share of dead units spared": paired_effect(spared),
        "added gain with ReLU": difference(gains["ReLU"], gains["leaky ReLU"]),
        "gain (ReLU)": gains["ReLU"],
        "gain (leaky ReLU)": gains["leaky ReLU"],
    }


def _usable(runs: pd.DataFrame) -> Effect:
    none, ramp = (LrCurves.of(where(runs, arm=f"adam/{warmup}")) for warmup in ("none", "ramp"))
    return usable_lr(none, ramp)


def paired_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """Dead share at the end without warmup less that with a ramp: rates by seeds, NaN where either run diverged."""
    none, ramp = (final_share(where(runs, arm=f"adam/{name}")) for name in ("none", "ramp"))
    return none - ramp


def final_share(runs: pd.DataFrame) -> pd.DataFrame:
    """Share of dead units at the end of one arm's runs: rates by seeds."""
    last = runs.assign(share=[float(shares[-1]) for shares in runs["dead_share"]])
    return last.pivot(index="lr", columns="seed", values="share")


CLAIMS = {
    "hidden-warmups": lambda runs: named(replays(runs), "excess loss of the replay ({})".format),
    "dead-units": deaths,
}
