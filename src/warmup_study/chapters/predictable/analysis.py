"""What the eleventh chapter finds, as functions of its table of runs alone: does a cheap measurement tell the need?

A case is a learning rate of a cell at which one of the two arms trains. Warmup pays there if the ramp ends lower than
no warmup by more than `PAYS` of the initial loss. Every predictor is a number that grows with the learning rate; those
with a measurement divide by it. What counts is how well they rank cases of *different* tasks under one optimiser.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.chapters.core_curves import Arms, cells, counted
from warmup_study.claims.evidence import no_evidence
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.statistics.bootstrap import ALPHA, Effect

Floats = NDArray[np.float64]

CLAIM = "predictable"
PAYS = 0.05  # of the initial loss
BARE = "learning rate alone"
CRITICAL = "over the critical one, at the start"
FIRST, LAST = itemgetter(0), itemgetter(-1)
PREDICTORS: Mapping[str, tuple[str, Callable[[Floats], float], float]] = {
    BARE: ("", FIRST, 0.0),
    CRITICAL: ("critical_lr", FIRST, -1.0),
    "over the critical one, after 30 updates": ("critical_lr", LAST, -1.0),
    "over the lowest critical one in 30 updates": ("critical_lr", np.nanmin, -1.0),
    "times the angle of the first update": ("update_angle", FIRST, 1.0),
    "over the gradient's signal-to-noise ratio": ("gradient_snr", FIRST, -1.0),
}
"""By what a reader calls them: the probe, how its looks become one value, and the power that this enters with."""
ALWAYS, NEVER = "always a ramp", "never"
RESAMPLES = 1999
LEAST_TASKS = 4  # fewer cannot tell how a ranking carries over from task to task


class Auc(NamedTuple):
    """How well a predictor ranks cases, and by how much better than the learning rate alone: intervals over tasks."""

    value: Effect
    over_bare: Effect


class Policy(NamedTuple):
    """What deciding in one way costs: log of the loss over the better arm's, needs missed and ramps not needed.

    The regret is a mean over cases, and its interval is over tasks; `over_always` is what it exceeds that of always
    taking a ramp by.
    """

    regret: Effect
    over_always: Effect
    missed: int
    needless: int
    needs: int
    cases: int


def cases(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a case: task, optimiser, learning rate, whether the ramp pays, both mean losses, and the predictors."""
    found = counted(cells(runs, warmups=("none", "ramp")))
    probes = _probed(runs)
    rows = [row for cell, arms in found.items() if cell in probes for row in _cell(cell, arms, probes[cell])]
    return pd.DataFrame(rows, columns=["task", "optimizer", "lr", "pays", "none", "ramp", *PREDICTORS])


def _cell(cell: tuple[str, str], arms: Arms, probe: Mapping[str, float]) -> Iterator[dict[str, object]]:
    none, ramp = arms["none"], arms["ramp"]
    initial = none.initial.mean()
    for column, lr in enumerate(none.lrs):
        losses = none.test[:, column].mean(), ramp.test[:, column].mean()
        if min(losses) < none.trained_share * initial:
            scores = {name: float(np.log(lr) + probe[name]) for name in PREDICTORS}
            pays = (losses[0] - losses[1]) / initial > PAYS
            case = {"task": cell[0], "optimizer": cell[1], "lr": float(lr), "pays": pays}
            yield case | {"none": losses[0], "ramp": losses[1]} | scores


def _probed(runs: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """By cell: what every predictor adds to the log of the learning rate, mean over seeds."""
    probe = runs[runs["part"] == "probe"]
    return {
        (str(task), str(arm).partition("/")[0]): {name: _added(mine, name) for name in PREDICTORS}
        for (task, arm), mine in probe.groupby(["task", "arm"], sort=False)
    }


def _added(probe: pd.DataFrame, name: str) -> float:
    """Log of the measurement to its power; in effective learning rates, as the grid's are, under momentum.

    The angle is that of an update at the probe's learning rate, to which it is proportional.
    """
    column, take, power = PREDICTORS[name]
    if not column:
        return 0.0
    measured = np.array([take(looks) for looks in probe[column]], dtype=float)
    if column == "critical_lr":
        measured = measured * (probe["grid_lr"] / probe["lr"]).to_numpy(dtype=float)
    if column == "update_angle":
        measured = measured / probe["grid_lr"].to_numpy(dtype=float)
    return float(power * np.nanmean(np.log(np.maximum(measured, 1e-12))))


def tasks_of(found: pd.DataFrame) -> int:
    """Number of tasks that have cases."""
    return int(found["task"].nunique())


def aucs(found: pd.DataFrame) -> dict[str, Auc]:
    """By predictor; empty where there are too few tasks. Means over optimisers; tasks are resampled jointly."""
    if tasks_of(found) < LEAST_TASKS:
        return {}
    names, weights = sorted(found["task"].unique()), _weights(tasks_of(found))
    values = {name: _mean_auc(found, name, names, weights) for name in PREDICTORS}
    return {
        name: Auc(_effect(mine, len(names)), _effect(mine - values[BARE], len(names))) for name, mine in values.items()
    }


def _weights(tasks: int) -> Floats:
    """How often each task counts, once in the first row, then in resamples with replacement: [1 + RESAMPLES, tasks]."""
    counts = np.random.default_rng(0).multinomial(tasks, np.full(tasks, 1 / tasks), size=RESAMPLES)
    return np.vstack([np.ones((1, tasks)), counts])


def _mean_auc(found: pd.DataFrame, predictor: str, names: list[str], weights: Floats) -> Floats:
    """Mean over optimisers of the area under the curve, under each row of the tasks' weights: [B]."""
    each = []
    for _, mine in found.groupby("optimizer", sort=True):
        places = mine["task"].map(names.index).to_numpy()
        each.append(auc(mine[predictor].to_numpy(), mine["pays"].to_numpy(dtype=bool), weights[:, places]))
    return np.asarray(np.nanmean(each, axis=0))


def auc(scores: Floats, pays: NDArray[np.bool_], weights: Floats) -> Floats:
    """Chance that a case that pays has the higher score, ties half, cases weighted: [B] for weights [B, N].

    NaN where all cases pay, or none does.
    """
    higher = (scores[pays][:, None] > scores[~pays]) + 0.5 * (scores[pays][:, None] == scores[~pays])
    yes, no = weights[:, pays], weights[:, ~pays]
    pairs = yes.sum(axis=1) * no.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((yes @ higher) * no).sum(axis=1) / pairs)


def _effect(values: Floats, tasks: int) -> Effect:
    """Estimate first, then resamples; percentile interval."""
    low, high = np.nanquantile(values[1:], [ALPHA / 2, 1 - ALPHA / 2])
    return Effect(float(values[0]), float(low), float(high), tasks, values[1:])


def policies(found: pd.DataFrame) -> dict[str, Policy]:
    """What each way to decide costs on tasks that it has not seen: thresholds are set on all the other tasks.

    Always and never need none. A threshold is an optimiser's own, the one with the least mean log loss. Empty where
    there is no case.
    """
    if not len(found):
        return {}
    ways = {ALWAYS: np.ones(len(found), dtype=bool), NEVER: np.zeros(len(found), dtype=bool)}
    if tasks_of(found) >= LEAST_TASKS:
        ways |= {name: _left_out(found, name) for name in PREDICTORS}
    regrets = {name: _regret(found, ramps) for name, ramps in ways.items()}
    return {name: _policy(found, ramps, regrets[name], regrets[ALWAYS]) for name, ramps in ways.items()}


def _left_out(found: pd.DataFrame, predictor: str) -> NDArray[np.bool_]:
    """Whether to ramp in each case, by the threshold that does best on the optimiser's other tasks."""
    ramps = np.zeros(len(found), dtype=bool)
    for (task, optimizer), mine in found.groupby(["task", "optimizer"]):
        others = found[(found["optimizer"] == optimizer) & (found["task"] != task)]
        ramps[found.index.get_indexer(mine.index)] = mine[predictor].to_numpy() >= _threshold(others, predictor)
    return ramps


def _threshold(found: pd.DataFrame, predictor: str) -> float:
    """The score from which on a ramp is taken, that has the least mean log loss; -inf (always) where there is none."""
    scores = found[predictor].to_numpy()
    choices = np.concatenate([[-np.inf], np.sort(scores), [np.inf]])
    logs = np.log(found[["none", "ramp"]].to_numpy(dtype=float))
    means = [np.where(scores >= choice, logs[:, 1], logs[:, 0]).mean() if len(found) else 0.0 for choice in choices]
    return float(choices[int(np.argmin(means))])


def _regret(found: pd.DataFrame, ramps: NDArray[np.bool_]) -> Floats:
    """Mean over cases of the log of the loss over the better arm's, under each row of the tasks' weights: [B]."""
    logs = np.log(found[["none", "ramp"]].to_numpy(dtype=float))
    each = pd.Series(np.where(ramps, logs[:, 1], logs[:, 0]) - logs.min(axis=1))
    by_task = each.groupby(found["task"].to_numpy()).agg(["sum", "count"]).to_numpy()
    total, number = (_weights(tasks_of(found)) @ by_task).T
    return np.asarray(total / number)


def _policy(found: pd.DataFrame, ramps: NDArray[np.bool_], regret: Floats, always: Floats) -> Policy:
    pays = found["pays"].to_numpy(dtype=bool)
    missed, needless = int((pays & ~ramps).sum()), int((~pays & ramps).sum())
    mine, over_always = (_effect(values, tasks_of(found)) for values in (regret, regret - always))
    return Policy(mine, over_always, missed, needless, int(pays.sum()), len(found))


def not_judged(runs: pd.DataFrame) -> list[Verdict]:
    """The claim's row, open: the pilot is no test of it, as no formula was frozen and tried on tasks of its own."""
    row = no_evidence(claim(CLAIM), ALL, int(runs["seed"].nunique()))
    return [row.model_copy(update={"why_open": "a pilot alone: no formula was frozen and judged on other tasks"})]


CLAIMS: dict[str, object] = {}
BY_HAND = {CLAIM: not_judged}
