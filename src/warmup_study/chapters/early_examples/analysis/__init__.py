"""Tests of the fourth chapter's claims: what early examples and their order decide, and the way to the other tests."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.chapters.early_examples.analysis import first_batch, new_classes, ramp_lengths, skew
from warmup_study.claims.evidence import by_base_task, over_tasks, verdict
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics.bootstrap import Effect, difference, pooled, seed_effect
from warmup_study.statistics.decisions import both, either
from warmup_study.statistics.endpoints import CONFIRMATION, TRAINED, log

NOTEBOOK = "4_early_examples"
DECIDING = "none, constant"  # the condition that the claim is about: no warmup, constant rate
RESULTS = ("test loss", "test logits")
LEVELLED = "ramp minus none, constant"

Effects = Mapping[str, Effect]
Floats = NDArray[np.float64]


def judge(runs: pd.DataFrame) -> list[Verdict]:
    """All verdicts of the chapter, per task and over tasks."""
    claims = [
        "early-examples",
        "early-variance",
        "primacy",
        "one-over-n",
        "extra-epochs",
        "epoch-length",
        "constant-then-jump",
    ]
    return [row for name in claims for row in judge_claim(name, runs)]


def judge_claim(name: str, runs: pd.DataFrame) -> list[Verdict]:
    """The verdicts on one claim, from the parts of the table that bear on it.

    Of *constant-then-jump*, which chapter 2 begins, part (b) alone.
    """
    effects, decide, figure = _TESTS[name]
    seeds = int(runs.loc[runs["role"] == CONFIRMATION, "seed"].nunique())
    rows = over_tasks(name, effects(runs), decide, seeds=seeds, figure=figure)
    return [row.model_copy(update={"notebook": NOTEBOOK, "figure": f"{NOTEBOOK}-{figure}"}) for row in rows]


def influence_slopes(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task and "warmup, decay": slope of the log influence of a block against its place in the stream, 0 to 1."""
    return by_base_task(runs, ("blocks",), _influence_slopes)


def _influence_slopes(runs: pd.DataFrame) -> Effects | None:
    tables = influences(runs)
    if tables[DECIDING].empty:
        return None
    slopes = {name: _slope(table) for name, table in tables.items() if not table.empty}
    if "ramp, constant" in slopes:
        slopes[LEVELLED] = difference(slopes["ramp, constant"], slopes[DECIDING])
    return slopes


def _slope(table: pd.DataFrame) -> Effect:
    values, places = table.to_numpy(), table.columns.to_numpy(dtype=float)
    weights = (places - places.mean()) / np.square(places - places.mean()).sum()
    return seed_effect(lambda seeds: log(values[seeds].mean(axis=1)) @ weights, len(values))


def influences(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By "warmup, decay": variance of a final logit that redrawing a block causes, seeds x place of the block (0 to 1).

    Half the mean squared difference of two runs that differ in that block alone is an unbiased estimate of it (Jansen
    1999). A seed of which any run diverged is left out.
    """
    groups = runs[runs["part"] == "blocks"].groupby(["warmup", "decay"], sort=False)
    return {", ".join(map(str, key)): _influence(rows) for key, rows in groups}


def _influence(runs: pd.DataFrame) -> pd.DataFrame:
    original = runs[runs["redrawn_from"].isna()].set_index("seed")["outputs"]
    found = {}
    for _, rows in runs[runs["redrawn_to"].notna()].groupby("redrawn_to"):
        middle = (float(rows["redrawn_from"].iloc[0]) - 1 + float(rows["redrawn_to"].iloc[0])) / 2
        place = middle / float(rows["updates"].iloc[0])
        redrawn = rows.set_index("seed")["outputs"]
        found[place] = {
            seed: float(np.square(np.subtract(redrawn[seed], original[seed], dtype=float)).mean() / 2)
            for seed in original.index
        }
    return pd.DataFrame(found).sort_index(axis=1).dropna()


def _early_examples(task: str, effects: Effects) -> Verdict:
    slope, unit = effects[DECIDING], claim("early-examples").unit
    parts = [Part.of(name, effect, 0.0, unit) for name, effect in effects.items()]
    return verdict(
        "early-examples",
        task,
        slope,
        parts=parts,
        figure="blocks",
        p_supported=slope.p_below(0),
        p_contradicted=slope.p_above(0),
    )


def variance_ratios(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: log ratio of variances, `none` over `ramp`, of test loss and logits over orders, and over weights.

    Mean over the rates at which every run of both has trained; None where there is no such rate. Where orders vary,
    variances are taken around each network's own mean.
    """
    return by_base_task(runs, ("orders",), _variance_ratios)


def _variance_ratios(runs: pd.DataFrame) -> Effects | None:
    ratios = {
        f"{result}, {varied}": [_log_ratio(groups, result) for groups in _trained_groups(runs, column)]
        for varied, column in (("orders vary", "init"), ("weights vary", "order"))
        for result in RESULTS
    }
    known = all(ratios.values()) and runs["seed"].nunique() > 1
    return {name: pooled(found) for name, found in ratios.items()} if known else None


def _trained_groups(runs: pd.DataFrame, column: str) -> list[dict[str, list[pd.DataFrame]]]:
    """At each rate at which all runs have trained: the runs that share a value of ``column``, by warmup."""
    rows = runs[runs[column].notna()]
    trained = (rows["test_loss"] < TRAINED * rows["initial_loss"]).groupby(rows["lr"]).all()
    return [
        {str(w): [same for _, same in arm.groupby(column)] for w, arm in rows[rows["lr"] == lr].groupby("warmup")}
        for lr in trained.index[trained]
    ]


def _log_ratio(groups: Mapping[str, list[pd.DataFrame]], result: str) -> Effect:
    none, ramp = (np.stack([_results(rows, result) for rows in groups[name]]) for name in ("none", "ramp"))
    return seed_effect(lambda seeds: log(_variance(none, seeds)) - log(_variance(ramp, seeds)), none.shape[1])


def _results(runs: pd.DataFrame, result: str) -> Floats:
    """One network's results, [seeds, numbers]."""
    ordered = runs.sort_values("seed")
    if result == "test loss":
        return ordered[["test_loss"]].to_numpy(dtype=float)
    return np.stack(ordered["outputs"].to_list()).astype(float)


def _variance(results: Floats, seeds: NDArray[np.intp]) -> Floats:
    """Variance over the seeds drawn, averaged over networks and numbers: [networks, S, numbers] at [B, n] -> [B].

    From sums and sums of squares, weighted by how often each seed was drawn: what was drawn itself would fill memory.
    """
    centred = results - results.mean(axis=1, keepdims=True)
    drawn = np.stack([np.bincount(row, minlength=results.shape[1]) for row in seeds])
    sums, squares = (drawn @ powers for powers in (centred, np.square(centred)))
    count = seeds.shape[1]
    sizes = (squares - np.square(sums) / count) / (count - 1)
    return np.asarray(sizes.mean(axis=(0, 2)))


def _early_variance(task: str, effects: Effects) -> Verdict:
    loss, logits = (effects[f"{result}, orders vary"] for result in RESULTS)
    parts = [Part.of(name, effect, 0.0, claim("early-variance").unit) for name, effect in effects.items()]
    return verdict(
        "early-variance",
        task,
        loss,
        parts=parts,
        figure="orders",
        p_supported=both(loss.p_above(0), logits.p_above(0)),
        p_contradicted=both(loss.p_below(0), logits.p_below(0)),
        p_mixed=either(both(loss.p_above(0), logits.p_below(0)), both(loss.p_below(0), logits.p_above(0))),
    )


_TESTS: dict[str, tuple[Callable[[pd.DataFrame], dict[str, Any]], Callable[[str, Any], Verdict], str]] = {
    "early-examples": (influence_slopes, _early_examples, "blocks"),
    "early-variance": (variance_ratios, _early_variance, "orders"),
    "primacy": (skew.gap_differences, skew.primacy, "primacy"),
    "one-over-n": (first_batch.slopes, first_batch.one_over_n, "first_batch"),
    "extra-epochs": (skew.extra_epochs, skew.unlearning, "unlearning"),
    "epoch-length": (ramp_lengths.effects, ramp_lengths.epoch_length, "lengths"),
    "constant-then-jump": (new_classes.deviations, new_classes.protection, "new_classes"),
}
"""By claim: what is measured, how it decides, and the figure that shows it."""
