"""Tests of the first chapter's claims, as functions of its table of runs alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import GAINS, exact_verdict, pool_tasks, verdict
from warmup_study.claims.table import claim, margin
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.presentation.formatting import NO_BREAK, number
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, paired_effect
from warmup_study.statistics.decisions import both, either

NOTEBOOK = "1_sgd_vs_adam"
OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")
SETTLED_AFTER = 50  # updates; by then Adam's and RMSProp's step has its long-run size in theory

Gains = dict[tuple[str, str], Effect]  # by (optimiser, endpoint)


def judge(runs: pd.DataFrame) -> list[Verdict]:
    """All verdicts of the chapter, per task and over tasks."""
    return [*definition(runs), *adaptive_only(gains(runs)), *first_update(first_updates(runs))]


def definition(runs: pd.DataFrame) -> list[Verdict]:
    """Whether every run was trained at exactly the learning rates of the formula."""
    return [
        exact_verdict("definition", task, rows["lr_audit"], seeds=rows["seed"].nunique(), figure="realised_lr")
        for task, rows in [*runs.groupby("task"), ("all", runs)]
    ]


def gains(runs: pd.DataFrame) -> dict[str, Gains]:
    """Gain of the ramp per task, optimiser and endpoint; positive = the ramp does better than no warmup."""
    grid = runs[runs["part"] == "grid"]
    return {str(task): _gains_of(rows) for task, rows in grid.groupby("task", sort=False)}


def _gains_of(runs: pd.DataFrame) -> Gains:
    arms = dict(list(runs.groupby("arm")))
    return {
        (optimizer, endpoint): gain(arms[f"{optimizer}/none"], arms[f"{optimizer}/ramp"])
        for optimizer in OPTIMIZERS
        for endpoint, gain in GAINS.items()
    }


def best_points(runs: pd.DataFrame) -> pd.DataFrame:
    """For display, per task, optimiser and warmup: the tuned rate, its test loss, and the largest trainable rate.

    Flags are words beside a value, and only where they hold: a tuned rate at the grid's edge, a largest trainable rate
    that is the grid's last, or that no rate of the grid trains.
    """
    grid = runs[runs["part"] == "grid"]
    groups = grid.groupby(["task", "optimizer", "warmup"], sort=False)
    return pd.DataFrame([dict(zip(groups.keys, key, strict=True)) | _best_point(rows) for key, rows in groups])


def _best_point(runs: pd.DataFrame) -> dict[str, float | str]:
    best, largest = endpoints.tuned(runs), endpoints.max_trainable_lr(runs)
    at_least = f"≥{NO_BREAK}" if largest.above_grid else ""
    return {
        "tuned_lr": number(best.lr) + (" (edge)" if best.on_edge else ""),
        "test_loss": best.losses.mean(),
        "diverged": str(best.diverged or ""),
        "max_trainable_lr": "none" if largest.below_grid else at_least + number(2**largest.log2_lr),
    }


def adaptive_only(gains_by_task: Mapping[str, Gains]) -> list[Verdict]:
    """SGD's gain lies within the margin and Adam's above it, on at least one endpoint and with none against."""
    return [_adaptive_only(task, effects) for task, effects in pool_tasks(gains_by_task).items()]


def _adaptive_only(task: str, effects: Gains) -> Verdict:
    margins = {endpoint: margin(endpoint) for endpoint in GAINS}
    supports, contradicts = [], []
    for endpoint, least in margins.items():
        sgd, adam = effects["sgd", endpoint], effects["adam", endpoint]
        supports.append(both(sgd.p_inside(least.value), adam.p_above(least.value)))
        contradicts.append(either(sgd.p_above(least.value), adam.p_below(least.value)))
    parts = [
        Part.of(f"{optimizer}, {endpoint}", effect, margins[endpoint].value, margins[endpoint].unit)
        for (optimizer, endpoint), effect in effects.items()
    ]
    p_supported, p_contradicted = either(*supports), either(*contradicts)
    return verdict(
        "adaptive-only",
        task,
        effects["adam", "lr_sensitivity"],
        parts=parts,
        figure="gains",
        p_supported=p_supported,
        p_contradicted=p_contradicted,
        p_mixed=both(p_supported, p_contradicted),
    )


def first_updates(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per task: RMSProp's log ratio of first to settled update size, and its alignment, first minus settled."""
    return {task: _first_effects(seen) for task, seen in probed(runs, "rmsprop/none").items()}


def probed(runs: pd.DataFrame, arm: str) -> dict[str, pd.DataFrame]:
    """Per task, of one arm's probed runs, by seed: size and alignment of the first and of the settled updates."""
    rows = runs[(runs["part"] == "probe") & (runs["arm"] == arm)]
    return {str(task): _first_and_settled(group) for task, group in rows.groupby("task", sort=False)}


def _first_and_settled(runs: pd.DataFrame) -> pd.DataFrame:
    updates = np.asarray(runs["probed_at"].iloc[0])
    settled = updates > min(SETTLED_AFTER, updates[-1] // 2)
    columns: dict[str, NDArray[np.float64]] = {}
    for name in ("update_size", "alignment"):
        values = np.stack(runs[name].to_list()).astype(float)
        columns |= {f"{name}_first": values[:, 0], f"{name}_settled": values[:, settled].mean(1)}
    return pd.DataFrame(columns, index=runs["seed"])


def _first_effects(seen: pd.DataFrame) -> dict[str, Effect]:
    return {
        "log_ratio": paired_effect(np.log(seen["update_size_first"] / seen["update_size_settled"])),
        "alignment": paired_effect(seen["alignment_first"] - seen["alignment_settled"]),
    }


def first_update(effects_by_task: Mapping[str, dict[str, Effect]]) -> list[Verdict]:
    """RMSProp's first update is at least three times the settled one and less aligned with the descent direction."""
    return [_first_update(task, effects) for task, effects in pool_tasks(effects_by_task).items()]


def _first_update(task: str, effects: Mapping[str, Effect]) -> Verdict:
    log_ratio, alignment = effects["log_ratio"], effects["alignment"]
    least = np.log(claim("first-update").margin or 1.0)
    larger, smaller = log_ratio.p_above(least), log_ratio.p_below(least)
    worse, better = alignment.p_below(0), alignment.p_above(0)
    parts = [
        Part.of("size, first over settled", log_ratio, least, "log ratio"),
        Part.of("alignment, first minus settled", alignment, 0.0, "cosine"),
    ]
    return verdict(
        "first-update",
        task,
        log_ratio,
        transform=np.exp,
        parts=parts,
        figure="first_updates",
        p_supported=both(larger, worse),
        p_contradicted=both(smaller, better),
        p_mixed=either(both(larger, better), both(smaller, worse)),
    )
