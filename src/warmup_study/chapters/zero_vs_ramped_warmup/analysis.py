"""What the second chapter's claims rest on, as functions of its table of runs alone, and the sentences that say it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.chapters.core_grid import PART
from warmup_study.claims.evidence import ByTask, Outcome, untrainable, where
from warmup_study.statistics import lr_curves
from warmup_study.statistics.bootstrap import RESAMPLES, Effect, difference, paired_effect, seed_effect
from warmup_study.statistics.endpoints import loss_table, steps_to_target, trained_share
from warmup_study.statistics.lr_curves import LrCurves

FAILS = 0.25  # of what the ramp learns: where more is lost without warmup, training fails
DOWN = 0.75  # of the way down that training without warmup makes: the target whose delay is measured
FIRST = 10  # updates after the end of warmup in which a jump shows
LOST_BY_RESET = {
    "share lost by a reset": "ramp-reset",
    "share lost by a reset before a short ramp": "ramp-reset-ramp",
}
RECOVERED = {
    "share recovered at lr = 0": "zero+n",
    "share recovered at lr = 0, first moment frozen": "zero+n, frozen",
    "share recovered at lr = 0, counters restarted": "zero+n, restarted",
    "share recovered at lr = 0, first moment frozen and counters restarted": "zero+n, frozen and restarted",
    "share recovered at lr = 0 and a ramp after it": "zero+n, then ramp",
}
"""Effects by their names, and the arms that they are measured on."""
SETUPS = {
    "sgd": "SGD",
    "momentum": "SGD + momentum",
    "rmsprop": "RMSProp",
    "adam0": "Adam without momentum",
    "adam": "Adam",
}
"""The core grid's optimisers by the first part of an arm's label, and what they are called."""

Effects = Mapping[str, Effect]
Losses = Mapping[str, NDArray[np.float64]]


def statistics(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: shares of the ramp's gain that gathered statistics recover, and that a reset of the state loses.

    Ratios of mean test losses over the seeds and those learning rates at which training fails without warmup. None
    where there is no such rate, or where the seeds leave it open whether the ramp gains: a share of nothing is noise.
    """
    return _by_task(runs, "statistics", _statistics)


def failing_lrs(runs: pd.DataFrame) -> list[float]:
    """Learning rates of one task's runs at which the ramp trains and training without warmup fails, on validation data.

    The ramp trains where its mean loss is below `trained_share` of the initial one, `none` fails where its mean loss is
    higher by at least FAILS of what the ramp learns. The same rates serve all arms, so their choice favours none.
    """
    none, ramp = (loss_table(where(runs, arm=f"adam/{name}"), "validation_loss").mean() for name in ("none", "ramp"))
    initial = runs["initial_loss"].mean()
    failing = (ramp <= trained_share(runs) * initial) & (none - ramp >= FAILS * (initial - ramp))
    return [float(lr) for lr in none.index[failing]]


def _statistics(runs: pd.DataFrame) -> Outcome[str]:
    rates = failing_lrs(runs)
    if not rates:
        return None
    losses = {
        str(arm): loss_table(rows, "test_loss")[rates].mean(axis=1).to_numpy() for arm, rows in runs.groupby("arm")
    }
    whole = losses["adam/none"] - losses["adam/ramp"]
    if not paired_effect(whole).low > 0:
        return None
    recovered = {name: losses["adam/none"] - losses[f"adam/{arm}"] for name, arm in RECOVERED.items()}
    lost = {name: losses[f"adam/{arm}"] - losses["adam/ramp"] for name, arm in LOST_BY_RESET.items()}
    return {name: _share(part, whole) for name, part in (recovered | lost).items()}


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> Effect:
    """Ratio of two means over the same seeds."""
    return seed_effect(lambda seeds: part[seeds].mean(-1) / whole[seeds].mean(-1), len(whole))


def lost_updates(runs: pd.DataFrame) -> ByTask[str]:
    """Per task, in warmup lengths: delay of `zero` behind `none` to the target, and lead of `constant` over `zero`.

    A run that never reaches the target counts with its length. None where fewer than half the runs without warmup
    reach it.
    """
    return _by_task(runs, "lost", _lost_updates)


def target_loss(runs: pd.DataFrame) -> float:
    """The validation loss at which training without warmup has come DOWN of its way, on average over the seeds."""
    none = where(runs, arm="adam/none")
    initial = float(none["initial_loss"].mean())
    last = np.nanmean([np.asarray(curve, dtype=float)[-1] for curve in none["validation_curve"]])
    return initial - DOWN * (initial - float(last))


def _lost_updates(runs: pd.DataFrame) -> Outcome[str]:
    target, length = target_loss(runs), float(runs["length"].max())
    steps = {name: _steps(where(runs, arm=f"adam/{name}"), target) for name in ("none", "zero", "constant")}
    if steps["none"].notna().mean() < 0.5:
        return None
    none, zero, constant = (steps[name].fillna(runs["updates"].max()) for name in ("none", "zero", "constant"))
    return {
        "delay of zero": paired_effect((zero - none) / length),
        "lead of constant over zero": paired_effect((zero - constant) / length),
    }


def _steps(runs: pd.DataFrame, target: float) -> pd.Series:
    """Updates to the target of each seed; NaN where it is not reached."""
    found = {
        int(seed): steps_to_target(at, curve, target)
        for seed, at, curve in zip(runs["seed"], runs["evaluated_at"], runs["validation_curve"], strict=True)
    }
    return pd.Series(found, dtype=float).sort_index()


def jumps(runs: pd.DataFrame) -> ByTask[str]:
    """Per task, for Adam: `advantages` of the ramp at equal active updates, and what the jump does just after it.

    The drift added is the mean drift of the second moment after the jump of `zero` less that in the second half of the
    ramp, in absolute log ratios.
    """
    advantages_by_task, after = advantages(runs), _by_task(runs, "jump", _after_the_jump)
    return {task: _joined(found, after.get(task)) for task, found in advantages_by_task.items()}


def _joined(advantage: Outcome[str], after: Outcome[str]) -> Outcome[str]:
    if not isinstance(advantage, Mapping):
        return advantage
    return {**advantage, **after} if isinstance(after, Mapping) else "diverged right after the jump"


def advantages(runs: pd.DataFrame, optimizer: str = "adam", resamples: int = RESAMPLES) -> ByTask[str]:
    """Per task: log losses of `zero` and `constant` over the ramp's at equal active updates, for one optimiser.

    Each at its own best learning rate, and both at twice the rate that is best without warmup.
    """
    rows = runs[runs["arm"].str.partition("/")[0] == optimizer]
    return _by_task(rows, PART, partial(_advantages, resamples=resamples))


def _advantages(runs: pd.DataFrame, resamples: int) -> Outcome[str]:
    curves = {str(arm).partition("/")[2]: LrCurves.of(rows) for arm, rows in runs.groupby("arm")}
    none, ramp = curves["none"], curves["ramp"]
    if not lr_curves.trains(none, ramp):
        return untrainable(SETUPS[str(runs["arm"].iloc[0]).partition("/")[0]])
    above = lr_curves.overshoot(none, ramp, resamples=resamples)
    found: dict[str, Effect] = {}
    for name in ("zero", "constant"):
        jump = curves[f"{name}+n"]
        gain = lr_curves.overshoot(none, jump, resamples=resamples)
        found[f"ramp's advantage over {name} at the best learning rate"] = lr_curves.tuned_loss(jump, ramp, resamples)
        found[f"ramp's advantage over {name} above it"] = difference(above, gain)
    return found


def _after_the_jump(runs: pd.DataFrame) -> Outcome[str]:
    zero, ramp = (where(runs, arm=f"adam/{name}") for name in ("zero", "ramp"))
    drift = _seen(zero, "second_moment_drift", _after) - _seen(ramp, "second_moment_drift", _during)
    spike = _log_rise(zero) - _log_rise(ramp)
    if drift.isna().all() or spike.isna().all():
        return None  # every run had diverged by then
    return {
        "drift added by the jump": paired_effect(drift.dropna()),
        "loss after the jump over loss before it": paired_effect(spike.dropna()),
    }


def _after(at: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    return np.asarray(at > length)


def _during(at: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    return np.asarray(at <= length)


def _right_after(at: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    return np.asarray((at > length) & (at <= length + FIRST))


def _seen(runs: pd.DataFrame, probe: str, when: Callable[[NDArray[np.int64], int], NDArray[np.bool_]]) -> pd.Series:
    """Mean of a probe per seed over the updates that count."""
    chosen = when(np.asarray(runs["probed_at"].iloc[0]), int(runs["length"].iloc[0]))
    values = np.stack(runs[probe].to_list()).astype(float)[:, chosen]
    return pd.Series(values.mean(axis=1), index=runs["seed"]).sort_index()


def _log_rise(runs: pd.DataFrame) -> pd.Series:
    """Log ratio per seed of the batch loss in the first updates after warmup to that in its second half."""
    before, after = (_seen(runs, "batch_loss", when) for when in (_during, _right_after))
    return pd.Series(np.log(after / before), index=before.index)


def _by_task(runs: pd.DataFrame, part: str, measure: Callable[[pd.DataFrame], Outcome[str]]) -> dict[str, Outcome[str]]:
    chosen = where(runs, part=part)
    return {str(task): measure(rows) for task, rows in chosen.groupby("task", sort=False)}


def adam_by_hand(gradients: Sequence[float], lost_at: int, beta1: float = 0.9, beta2: float = 0.999) -> pd.DataFrame:
    """Adam's updates of one weight over the learning rate, from its gradients; its state is lost after one of them.

    Two cases side by side: state kept, and state lost with its counters. Without epsilon.
    """
    rows = []
    kept = lost = (0.0, 0.0, 0)
    for update, gradient in enumerate(gradients, 1):
        kept, lost = (_moments(state, gradient, beta1, beta2) for state in (kept, lost))
        rows.append(
            {
                "update": update,
                "gradient": gradient,
                "mean": kept[0] / (1 - beta1 ** kept[2]),
                "root mean square": math.sqrt(kept[1] / (1 - beta2 ** kept[2])),
                "step, state kept": _step(kept, beta1, beta2),
                "step, state lost": _step(lost, beta1, beta2),
            }
        )
        lost = (0.0, 0.0, 0) if update == lost_at else lost
    return pd.DataFrame(rows)


def _moments(state: tuple[float, float, int], gradient: float, beta1: float, beta2: float) -> tuple[float, float, int]:
    first, second, count = state
    return beta1 * first + (1 - beta1) * gradient, beta2 * second + (1 - beta2) * gradient**2, count + 1


def _step(state: tuple[float, float, int], beta1: float, beta2: float) -> float:
    first, second, count = state
    return -first / (1 - beta1**count) / math.sqrt(second / (1 - beta2**count))


CLAIMS = {"statistics": statistics, "lost-epoch": lost_updates, "jump": jumps}
