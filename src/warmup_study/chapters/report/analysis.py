"""Test of the one claim that rests on all chapters at once: does warmup give better results?"""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from warmup_study.claims.evidence import no_evidence, verdict
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.statistics.bootstrap import Effect, student_effect
from warmup_study.statistics.decisions import decide
from warmup_study.statistics.endpoints import CONFIRMATION, SELECTION, tuned_gain

CLAIM, NOTEBOOK = "better-results", "report"
LEAST_RATES = 3  # learning rates, or nothing is tuned
FEWEST = 3  # cells, or their spread cannot be told
TWINS = ("momentum_lr_inside", "ramped")  # momentum in another form, and a momentum that is itself warmed up
_CONTROL = re.compile(r"(\w+)/none")
Cell = tuple[str, str]  # task, optimiser


def judge(tables: Mapping[str, pd.DataFrame]) -> list[Verdict]:
    """The verdict over all tasks and optimisers, from the table of runs of each chapter that has run, by its name."""
    if not tables:
        return []
    gains = cells(tables)
    if len(gains) < FEWEST:
        seeds = min((effect.n for effect in gains.values()), default=0)
        return [no_evidence(claim(CLAIM), ALL, seeds)]
    named = {f"{task}, {optimizer}": gain for (task, optimizer), gain in gains.items()}
    return [verdict(claim(CLAIM), ALL, named | {"pooled gain": summary(gains)})]


def cells(tables: Mapping[str, pd.DataFrame]) -> dict[Cell, Effect]:
    """The ramp's gain at the tuned rate for each task and optimiser; the first chapter that trained both arms counts.

    Chapters share their seeds, so that a second one's runs would say the same again. Arms are known by their labels,
    ``optimizer/none`` and ``optimizer/ramp`` in one part of a table, on a grid of rates with seeds of both roles; those
    of TWINS stand for no optimiser of their own.
    """
    found: dict[Cell, Effect] = {}
    for table in tables.values():
        for (_, task), rows in table.groupby(["part", "task"], sort=False):
            for optimizer in _paired(rows):
                cell = (str(task), optimizer)
                if cell not in found:
                    none, ramp = (rows[rows["arm"] == f"{optimizer}/{warmup}"] for warmup in ("none", "ramp"))
                    found[cell] = tuned_gain(none, ramp)
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
