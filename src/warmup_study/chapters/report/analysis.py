"""Test of the one claim that rests on all chapters at once: does warmup give better results?"""

import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from warmup_study.claims.evidence import no_evidence, untrainable
from warmup_study.claims.robustness import judged
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.statistics.bootstrap import Effect, pooled, student_effect
from warmup_study.statistics.decisions import decide
from warmup_study.statistics.endpoints import CONFIRMATION, SELECTION, tuned_gain
from warmup_study.statistics.lr_curves import LrCurves, overshoot, trains, tuned_loss

CLAIM, NOTEBOOK = "better-results", "report"
LEAST_RATES = 3  # learning rates, or nothing is tuned
TWINS = ("momentum_lr_inside", "ramped")  # momentum in another form, and a momentum that is itself warmed up
_CONTROL = re.compile(r"(\w+)/none")
FEWEST = 3  # cells, or their spread cannot be told
PLACES: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    "gain at the best learning rate": tuned_loss,
    "gain above it": overshoot,
}
Cell = tuple[str, str]  # task, optimiser
Runs = tuple[pd.DataFrame, pd.DataFrame]  # without warmup and with a ramp


def judge(tables: Mapping[str, pd.DataFrame]) -> list[Verdict]:
    """The rows per task, per regime and over all, from the table of runs of each chapter that has run, by its name."""
    if not pairs(tables):
        return [no_evidence(claim(CLAIM), ALL, 0)] if tables else []
    return judged(CLAIM, gains, tables, 0)


def gains(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Effect] | str]:
    """By task: what the ramp gains at the best learning rate and above it, or why the task does not count."""
    by_task: dict[str, dict[str, Runs]] = {}
    for (task, optimizer), runs in pairs(tables).items():
        by_task.setdefault(task, {})[optimizer] = runs
    return {task: _gains_on(runs) for task, runs in by_task.items()}


def _gains_on(runs: Mapping[str, Runs]) -> dict[str, Effect] | str:
    """One task's gains, each the mean over the optimisers that train it, and those of every one of them."""
    curves = {name: (LrCurves.of(none), LrCurves.of(ramp)) for name, (none, ramp) in runs.items()}
    counted = {name: pair for name, pair in curves.items() if trains(*pair)}
    if not counted:
        return untrainable()
    gains = {(place, name): gain(*pair) for place, gain in PLACES.items() for name, pair in counted.items()}
    means = {place: pooled([gains[place, name] for name in counted]) for place in PLACES}
    return means | {f"{name}: {place}": gain for (place, name), gain in gains.items()}


def cells(tables: Mapping[str, pd.DataFrame]) -> dict[Cell, Effect]:
    """The ramp's gain at the tuned rate for each task and optimiser."""
    return {cell: tuned_gain(none, ramp) for cell, (none, ramp) in pairs(tables).items()}


def pairs(tables: Mapping[str, pd.DataFrame]) -> dict[Cell, Runs]:
    """The runs without warmup and with a ramp of each task and optimiser, of the first chapter that trained both.

    Chapters share their seeds, so that a second one's runs would say the same again. Arms are known by their labels,
    ``optimizer/none`` and ``optimizer/ramp`` in one part of a table, on a grid of rates with seeds of both roles; those
    of TWINS stand for no optimiser of their own.
    """
    found: dict[Cell, Runs] = {}
    for table in tables.values():
        for (_, task), rows in table.groupby(["part", "task"], sort=False):
            for optimizer in _paired(rows):
                cell = (str(task), optimizer)
                if cell not in found:
                    none, ramp = (rows[rows["arm"] == f"{optimizer}/{warmup}"] for warmup in ("none", "ramp"))
                    found[cell] = (none, ramp)
    return dict(sorted(found.items()))


def _paired(rows: pd.DataFrame) -> list[str]:
    """Optimisers that one part tunes without warmup and with a ramp."""
    arms = {str(arm): group for arm, group in rows.groupby("arm", sort=False)}
    names = [
        match[1]
        for match in map(_CONTROL.fullmatch, arms)
        if match and f"{match[1]}/ramp" in arms and match[1] not in TWINS
    ]
    return [name for name in names if _tunable(arms[f"{name}/none"]) and _tunable(arms[f"{name}/ramp"])]


def _tunable(runs: pd.DataFrame) -> bool:
    return runs["lr"].nunique() >= LEAST_RATES and {SELECTION, CONFIRMATION} <= set(runs["role"])


def summary(gains: Mapping[Cell, Effect]) -> Effect:
    """Random-effects mean of the gains, with the interval of Hartung, Knapp, Sidik and Jonkman.

    The variance between cells is Paule and Mandel's. The usual interval takes it for known, and is too short for the
    few cells of a study (IntHout et al. 2014, BMC Medical Research Methodology 14:25). ``n`` is that of the cell with
    the fewest seeds.
    """
    combined = _combined(gains)
    seeds = min(gain.n for gain in gains.values())
    return student_effect(combined.mean_effect_re, combined.sd_eff_w_re_hksj, len(gains) - 1, seeds)


def prediction(gains: Mapping[Cell, Effect]) -> tuple[float, float]:
    """95 % interval for the gain in a further task and optimiser of the same kind (Higgins et al. 2009)."""
    combined = _combined(gains)
    spread = np.sqrt(combined.tau2 + combined.sd_eff_w_re_hksj**2)
    reach = float(stats.t.ppf(0.975, len(gains) - 2) * spread)
    return combined.mean_effect_re - reach, combined.mean_effect_re + reach


def _combined(gains: Mapping[Cell, Effect]):  # type: ignore[no-untyped-def]  # statsmodels has no types
    effects = np.array([gain.estimate for gain in gains.values()])
    variances = np.array([np.var(gain.replicates) for gain in gains.values()])
    return combine_effects(effects, variances, method_re="iterated", use_t=True)


def counts(gains: Mapping[Cell, Effect]) -> dict[str, int]:
    """How many cells gain more than the margin, lose more, stay within it, or leave it open."""
    least = margin("tuned_loss").value
    found = [decide(gain, least) for gain in gains.values()]
    return {word: found.count(word) for word in ("above", "inside", "below", "undecided")}
