"""What the sixth chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from warmup_study import theory
from warmup_study.chapters import core_grid
from warmup_study.claims.evidence import Outcome, base_task, named, untrainable, where
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, seed_effect
from warmup_study.statistics.curves import LrCurves, Seeds, drawn
from warmup_study.statistics.lr_curves import OVERSHOOT, largest_trainable_lr, trains, tuned_loss, usable_lr
from warmup_study.training.optimizers import Optimizer

WARMED = ("ramp", "constant", "zero")
SETTLED = 0.75  # share of a whole-batch run after which it should have reached its edge
FLATTER, HIGHER = "log sharpness, ramp less none", "gain in largest trainable LR ({})"
PLACES = {1.0: "at the best rate", 2.0: "at twice the best rate"}
CORRELATION, SLOPE = "rank correlation of sharpness and loss ({})", "rise of the sharpness per nat of loss ({})"
CLIMB = "log sharpness, highest less first ({})"

Floats = NDArray[np.float64]
Outcomes = dict[str, Outcome[str]]


def edges(runs: pd.DataFrame) -> pd.DataFrame:
    """Per rule, over the seeds of the whole-batch runs: sharpness over theory's limit, and the loss that is left.

    ``settled over limit`` is the mean over the last quarter of the run, ``largest over limit`` that at its highest
    place, ``loss`` the training loss at the end.
    """
    rows = []
    for label, group in runs[runs["part"] == "edge"].groupby("arm", sort=False):
        shares = edge_shares(group)
        settled = np.asarray(group["probed_at"].iloc[0]) > SETTLED * group["updates"].iloc[0]
        rows.append(
            {
                "rule": label,
                "limit": float(np.mean([edge_limit(run) for _, run in group.iterrows()])),
                "settled over limit": float(shares[:, settled].mean()),
                "largest over limit": float(shares.max(1).mean()),
                "loss": float(probed(group, "training_loss")[:, -1].mean()),
                "seeds": len(group),
            }
        )
    return pd.DataFrame(rows)


def probed(runs: pd.DataFrame, probe: str) -> Floats:
    """What a probe saw: runs by probed updates."""
    return np.stack(runs[probe].to_list()).astype(float)


def edge_shares(runs: pd.DataFrame) -> Floats:
    """Sharpness, or preconditioned sharpness where a rule has it, over theory's limit: seeds by probed updates."""
    name = "preconditioned_sharpness" if runs["beta2"].notna().all() else "sharpness"
    limits = np.array([edge_limit(run) for _, run in runs.iterrows()])
    return np.asarray(probed(runs, name) / limits[:, None])


def edge_limit(run: pd.Series) -> float:
    """Largest sharpness at which the run's rule is stable at its learning rate."""
    given = {name: run[name] for name in ("momentum", "beta1", "beta2") if pd.notna(run[name])}
    return theory.stability_limit(Optimizer(name=run["optimizer"], **given)) / float(run["lr"])


def cells(runs: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """Per task, Adam's runs in the core grid by warmup."""
    core = where(runs, part=core_grid.PART)
    core = core[core["arm"].str.startswith("adam/")]
    return {
        str(task): {str(arm).partition("/")[2]: mine for arm, mine in rows.groupby("arm", sort=False)}
        for task, rows in core.groupby("task", sort=False)
    }


def fails_to_train(arms: Mapping[str, pd.DataFrame]) -> bool:
    """Whether neither plain Adam nor Adam with a ramp trains at its best learning rate."""
    return not trains(LrCurves.of(arms["none"]), LrCurves.of(arms["ramp"]))


def curvatures(runs: pd.DataFrame) -> Outcomes:
    """Per task: the sharpness when the ramp has ended, and the largest trainable rate, each against no warmup.

    The sharpness is that after the ramp's last update, of runs that have taken as many updates at the same peak rate;
    ln, ramp less none, mean over the best rate without warmup and twice it. None where it is never finite. Beside
    them, how the sharpness goes with the training loss along a run.
    """
    followed = tracked(runs)
    return {
        task: untrainable("Adam") if fails_to_train(arms) else _curvatures(arms, followed[followed["task"] == task])
        for task, arms in cells(runs).items()
        if (followed["task"] == task).any()
    }


def _curvatures(arms: Mapping[str, pd.DataFrame], followed: pd.DataFrame) -> dict[str, Effect] | None:
    changes = sharpness_changes(where(followed, part="ramp_end")).dropna(how="all")
    if changes.empty:
        return None
    none = LrCurves.of(arms["none"])
    found = {FLATTER: paired_effect(changes.mean(axis=1))}
    for warmup in WARMED:
        found[HIGHER.format(warmup)] = largest_trainable_lr(none, LrCurves.of(arms[warmup]))
    for times in changes.columns:
        at_one_rate = changes[times].dropna()
        if len(at_one_rate):
            found[f"log sharpness {PLACES[float(times)]}"] = paired_effect(at_one_rate)
    return found | gaps(where(followed, part="track"))


def tracked(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose sharpness is probed, with ``times``: the multiple of the best rate without warmup."""
    chosen = runs[runs["part"].isin(("track", "ramp_end"))]
    return chosen.assign(times=(chosen["lr"] / chosen["grid_lr"]).astype(float).round(6))


def sharpness_changes(ends: pd.DataFrame) -> pd.DataFrame:
    """ln sharpness with a ramp less without, after the ramp's last update: seeds by multiples of the best rate.

    NaN where either is not a positive number, as in a network that has broken down.
    """
    seen = ends.assign(sharpness=probed(ends, "sharpness")[:, -1])
    ramp, none = (
        where(seen, warmup=warmup).pivot(index="seed", columns="times", values="sharpness")
        for warmup in ("ramp", "none")
    )
    return (ramp.where(ramp > 0) / none.where(none > 0)).map(np.log)


def gaps(track: pd.DataFrame) -> dict[str, Effect]:
    """How the sharpness H of a run goes with its training loss f, as means over seeds, for either warmup.

    Spearman's rank correlation of the two over the places probed, and H₁ of the least-squares line H₀ + H₁ f (arXiv
    2510.03164; its f* only shifts H₀); and how far the sharpness climbs before it falls. Runs in which fewer than three
    places are finite are left out.
    """
    found = {}
    for warmup, rows in track.groupby("warmup", sort=False):
        seen = zip(probed(rows, "training_loss"), probed(rows, "sharpness"), strict=True)
        lines = np.array([_line(loss, sharpness) for loss, sharpness in seen])
        lines = lines[np.isfinite(lines).all(1)]
        if len(lines):
            for name, column in zip((CORRELATION, SLOPE, CLIMB), lines.T, strict=True):
                found[name.format(warmup)] = paired_effect(column)
    return found


def _line(loss: Floats, sharpness: Floats) -> tuple[float, float, float]:
    seen = np.isfinite(loss) & (sharpness > 0)
    if seen.sum() < 3 or np.ptp(loss[seen]) == 0 or np.ptp(sharpness[seen]) == 0:
        return np.nan, np.nan, np.nan
    correlation = stats.spearmanr(loss[seen], sharpness[seen]).statistic
    slope = stats.linregress(loss[seen], sharpness[seen]).slope
    return float(correlation), float(slope), float(np.log(sharpness[seen].max() / sharpness[seen][0]))


def replays(runs: pd.DataFrame) -> Outcomes:
    """Per task and fix: ln of the tuned loss under the replayed schedule over that of the fix itself."""
    arms, tried = cells(runs), where(runs, part="disguise")
    return {
        str(task): untrainable("Adam") if fails_to_train(arms[str(task)]) else _replays(arms[str(task)]["none"], rows)
        for task, rows in tried.groupby("task", sort=False)
    }


def _replays(plain: pd.DataFrame, tried: pd.DataFrame) -> dict[str, Effect]:
    """Plain Adam without warmup, from the core grid, replays a fix that implies none."""
    plain = plain[plain["grid_lr"].isin(tried["grid_lr"])]
    found = {}
    for name in theory.FIXES:
        replay = where(tried, arm=f"replay/{name}")
        fix = LrCurves.of(where(tried, arm=f"fix/{name}"))
        found[name] = tuned_loss(LrCurves.of(replay if len(replay) else plain), fix)
    return found


def deaths(runs: pd.DataFrame) -> Outcomes:
    """Per task: what the ramp spares in dead units above the best rate, and how much more it gains where they can die.

    The dead share is that at the end, at twice the learning rate that is best without warmup; the gain is in usable
    learning rates, with ReLUs less with leaky ones. None where all have diverged.
    """
    dead = where(runs, part="dead")
    return {str(task): _deaths(rows) for task, rows in dead.groupby(base_task(dead), sort=False)}


def _deaths(runs: pd.DataFrame) -> Outcome[str]:
    leaky = runs["task"].str.endswith("+leaky")
    curves = {name: _curves(rows) for name, rows in (("ReLU", runs[~leaky]), ("leaky ReLU", runs[leaky]))}
    if not trains(*curves["ReLU"]):
        return untrainable("Adam")
    spared = paired_shares(runs[~leaky]).to_numpy()
    if not np.isfinite(spared).any():
        return None
    gains = {name: usable_lr(*pair) for name, pair in curves.items()}
    return {
        "share of dead units spared": shares_spared(curves["ReLU"][0], spared),
        "added gain with ReLU": difference(gains["ReLU"], gains["leaky ReLU"]),
    } | {f"gain ({name})": gain for name, gain in gains.items()}


def _curves(runs: pd.DataFrame) -> tuple[LrCurves, LrCurves]:
    none, ramp = (LrCurves.of(where(runs, arm=f"adam/{warmup}")) for warmup in ("none", "ramp"))
    return none, ramp


def shares_spared(none: LrCurves, spared: Floats) -> Effect:
    """Mean of ``spared`` [S, L] over seeds, at twice the learning rate best without warmup, which resamples pick anew.

    Between the grid's rates it is interpolated in log learning rate; NaN, where either run of a pair diverged, does not
    count, and a rate where all are NaN is passed over.
    """
    known = np.isfinite(spared)
    values = np.where(known, spared, 0.0)

    def statistic(seeds: Seeds) -> Floats:
        counts = drawn(seeds, len(spared))
        with np.errstate(invalid="ignore"):
            means = (counts @ values) / (counts @ known)
        targets = np.log(none.lrs[none.picked(seeds)] * OVERSHOOT)
        usable = np.isfinite(means)
        rows = zip(targets, means, usable, strict=True)
        return np.array([np.interp(at, np.log(none.lrs)[ok], row[ok]) if ok.any() else 0.0 for at, row, ok in rows])

    return seed_effect(statistic, len(spared))


def paired_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """Dead share at the end without warmup less that with a ramp: seeds by rates, NaN where either run diverged."""
    none, ramp = (final_share(where(runs, arm=f"adam/{name}")) for name in ("none", "ramp"))
    return none - ramp


def final_share(runs: pd.DataFrame) -> pd.DataFrame:
    """Share of dead units at the end of one arm's runs: seeds by rates."""
    last = runs.assign(share=[float(shares[-1]) for shares in runs["dead_share"]])
    return last.pivot(index="seed", columns="grid_lr", values="share")


CLAIMS = {
    "curvature": curvatures,
    "hidden-warmups": lambda runs: named(replays(runs), "excess loss of the replay ({})".format),
    "dead-units": deaths,
}
