"""The first chapter's verdicts on tables of runs whose truth is known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import ArrayLike
from synthetic_runs import OPTIMIZERS, Planted, audit, grid, probe, table

from warmup_study.chapters import core_curves, judging
from warmup_study.chapters.core_curves import ABOVE, BEST, USABLE
from warmup_study.chapters.sgd_vs_adam import analysis, design, relative_lr
from warmup_study.chapters.sgd_vs_adam.design import Parameters as SgdVsAdam
from warmup_study.claims.correction import corrected
from warmup_study.claims.evidence import verdicts
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.training import schedules
from warmup_study.training.schedules import Floats, Schedule
from warmup_study.training.table import to_frame
from warmup_study.training.trainer import train_chunk

CHAPTER, TASK = "1_sgd_vs_adam", "digits-mlp"
FURTHER, BETTER, BOTH = Planted(more_rates=2), Planted(log_loss=0.5), Planted(more_rates=2, log_loss=0.5)


@pytest.fixture(autouse=True)
def _quickly() -> object:
    with fewer_resamples(999):
        yield


def words(rows: Sequence[Verdict]) -> dict[str, str]:
    """Of the rows over all tasks, by claim."""
    return {verdict.id: verdict.verdict for verdict in rows if verdict.over_all}


def judged(claim: str, runs: pd.DataFrame) -> list[Verdict]:
    return judging.judge(CHAPTER, runs, claim)


def adaptive_only(**planted: Planted) -> dict[str, str]:
    return words(verdicts("adaptive-only", analysis.comparisons(table(grid(planted))), 12))


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"adam": BOTH}, "supported"),
        ({"adam": BOTH, "sgd": BOTH}, "contradicted"),
        ({"sgd": BETTER}, "contradicted"),
        ({"adam": Planted(more_rates=-2)}, "contradicted"),
        ({}, "contradicted"),  # Adam's gain lies within the margin
        ({"rmsprop": BOTH, "momentum": BOTH}, "contradicted"),  # they have no say
        ({"adam": FURTHER}, "mixed"),  # more rates to train at, and the best of them no better
        ({"adam": BOTH, "sgd": FURTHER}, "mixed"),
    ],
)
def test_adaptive_only_finds_what_was_planted(planted: dict[str, Planted], word: str) -> None:
    assert adaptive_only(**planted) == {"adaptive-only": word}


def test_adaptive_only_decides_nothing_on_few_seeds_or_in_noise() -> None:
    few = grid({"adam": BOTH}, seeds=4)
    noisy = grid({"adam": Planted(log_loss=0.1)}, noise=0.6, seeds=6)
    for rows in (few, noisy):
        found = verdicts("adaptive-only", analysis.comparisons(table(rows)), 6)
        assert set(words(found).values()) == {"inconclusive"}


def test_gains_have_the_planted_size() -> None:
    planted = {"adam": FURTHER, "sgd": BETTER, "rmsprop": Planted(more_rates=-1, log_loss=-0.2)}
    gains = core_curves.gains(core_curves.cells(table(grid(planted))), analysis.PLACES, ("ramp", "zero"))
    best = {name: gains[TASK, name]["ramp", BEST].estimate for name in OPTIMIZERS}
    assert best == pytest.approx({"sgd": 0.5, "momentum": 0, "rmsprop": -0.2, "adam": 0}, abs=0.03)
    usable = {name: gains[TASK, name]["ramp", USABLE] for name in OPTIMIZERS}
    assert usable["adam"].low > 0.5 and usable["rmsprop"].high < -0.3  # two and one half decade, less what is left
    assert all(abs(gains[TASK, name]["zero", BEST].estimate) < 0.03 for name in OPTIMIZERS)


def test_a_task_counts_only_if_sgd_and_adam_train_it() -> None:
    runs = table(grid({"adam": BOTH}), grid({"adam": BOTH}, "digits-deep"))
    lost = (runs["task"] == "digits-deep") & (runs["optimizer"] == "sgd")
    runs.loc[lost, ["validation_loss", "test_loss"]] = 2.2
    over_all = verdicts("adaptive-only", analysis.comparisons(runs), 12)[-1]
    assert over_all.left_out == {"digits-deep": "untrainable with SGD"} and over_all.verdict == "supported"
    cells = core_curves.cells(runs)
    assert ("digits-deep", "sgd") not in core_curves.counted(cells)
    assert core_curves.told_untrainable(cells) == "Excluded because neither arm trains: SGD on digits-deep."
    alone = runs[(runs["grid_lr"] == runs["grid_lr"].min())]
    assert core_curves.cells(alone) == {}


def test_swapping_the_arms_turns_the_sign_of_every_gain() -> None:
    runs = table(grid({"adam": FURTHER, "momentum": Planted(more_rates=-1)}, noise=0.1))
    other = {"none": "ramp", "ramp": "none"}
    warmup = runs["warmup"].replace(other)
    turned = runs.assign(warmup=warmup, arm=runs["optimizer"] + "/" + warmup)
    before, after = (core_curves.gains(core_curves.cells(rows), (USABLE, BEST)) for rows in (runs, turned))
    for cell, effects in before.items():
        for key, effect in effects.items():
            assert after[cell][key].estimate == pytest.approx(-effect.estimate, abs=1e-12)


def test_the_four_setups_stand_over_the_relative_learning_rate() -> None:
    cells = core_curves.cells(table(grid({"adam": FURTHER})))
    rows = relative_lr.points(cells)
    none = rows[rows["warmup"] == "none"]
    assert (none.loc[np.isclose(none["multiple"], 1), "loss"] - 1).abs().max() < 1e-9
    assert set(none["share"].round(3)) <= {0.0, 0.5, 1.0}  # half way between two learning rates of the grid, a half
    adam = relative_lr.means(rows).query("optimizer == 'adam' and warmup == 'ramp'")
    by_multiple = {
        round(multiple, 2): gain.estimate for multiple, gain in zip(adam["multiple"], adam["gain"], strict=True)
    }
    assert by_multiple[1.0] == pytest.approx(0, abs=0.03) and by_multiple[10.0] > 1
    gains = core_curves.gains(cells, analysis.PLACES, ("ramp", "zero"))
    assert relative_lr.headline(cells, gains) == (
        "At twice the best learning rate, Adam's and SGD's losses with a ramp are about the same; "
        "Adam's and SGD's losses with lr = 0 first are about the same"
    )
    assert len(relative_lr.paragraphs(cells, gains)) == 6  # SGD, momentum and Adam, under lr = 0 and the ramp
    lost = core_curves.cells(table(grid({}, trainable=0)))
    assert relative_lr.headline(lost, core_curves.gains(lost, (ABOVE,))).startswith("Nothing trains")


@pytest.mark.parametrize(
    ("ratio", "better", "word"),
    [
        (10, -0.3, "supported"),
        (1, 0.3, "contradicted"),
        (10, 0.3, "mixed"),
        (1, -0.3, "mixed"),
        (3, -0.3, "inconclusive"),
        (10, 0, "inconclusive"),
    ],
)
def test_first_update_finds_what_was_planted(ratio: float, better: float, word: str) -> None:
    found = judged("first-update", table(probe(ratio, better)))
    assert words(found) == {"first-update": word}
    assert found[0].estimate == pytest.approx(ratio, rel=0.05) and found[0].n == 12
    assert found[0].parts[1].estimate == pytest.approx(better, abs=0.04)


def test_first_update_looks_at_rmsprop_without_warmup_alone() -> None:
    runs = table(probe(10, -0.3))
    others = runs[runs["arm"] != "rmsprop/none"].assign(update_size=pd.Series([np.ones(100)] * 96))
    mixed = pd.concat([others, runs[runs["arm"] == "rmsprop/none"]])
    assert judged("first-update", mixed) == judged("first-update", runs)


@pytest.mark.parametrize(
    ("deviation", "seeds", "word"),
    [(0.0, 5, "supported"), (1e-12, 5, "contradicted"), (np.nan, 5, "contradicted"), (0.0, 4, "inconclusive")],
)
def test_definition_allows_no_deviation(deviation: float, seeds: int, word: str) -> None:
    assert words(analysis.definition(table(audit(deviation, seeds=seeds)))) == {"definition": word}


def test_all_verdicts_carry_what_the_table_of_claims_says() -> None:
    runs = table(grid({"adam": BOTH}), probe(10, -0.3), audit())
    found = corrected(judging.judge(CHAPTER, runs))
    assert {verdict.id for verdict in found} == {"definition", "adaptive-only", "first-update"}
    assert set(words(found).values()) == {"supported"}
    assert {verdict.task for verdict in found} == {"digits-mlp", "all"}
    for verdict in found:
        assert verdict.notebook == CHAPTER and verdict.figure.startswith(f"{CHAPTER}-")
        assert verdict.rule and verdict.claim and verdict.source and verdict.n >= 5
        assert verdict.ci_low is None or verdict.estimate is None or verdict.ci_low <= verdict.estimate


def test_verdicts_do_not_depend_on_the_order_of_rows() -> None:
    runs = table(grid({"adam": FURTHER}, noise=0.2), probe(10, -0.3), audit())
    shuffled = runs.sample(frac=1, random_state=0)
    first, again = ({(v.id, v.task): v.model_dump() for v in judging.judge(CHAPTER, rows)} for rows in (runs, shuffled))
    for key, verdict in first.items():
        numbers = {name: value for name, value in verdict.items() if name in ("estimate", "n", "verdict")}
        assert {name: again[key][name] for name in numbers} == pytest.approx(numbers)


def audited() -> pd.DataFrame:
    """The audit part of the smallest design, trained here."""
    parameters = SgdVsAdam(preset="smoke", seeds=5, device="cpu")
    chunks = [chunk for e in design.experiments(parameters) if e.part == "audit" for chunk in e.chunks()]
    return to_frame(pa.concat_tables([train_chunk(chunk) for chunk in chunks]))


def test_the_engine_passes_the_audit() -> None:
    runs = audited()
    assert runs.groupby(["warmup", "decay"]).ngroups == 21 and (runs["lr_audit"] == 0).all()
    assert set(words(analysis.definition(runs)).values()) == {"supported"}


def test_a_ramp_that_is_one_update_late_fails_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    right = schedules.learning_rates

    def late(plans: Sequence[Schedule], peaks: ArrayLike, total: int) -> Floats:
        rates = right(plans, peaks, total)
        ramps = [plan.warmup == "ramp" for plan in plans]
        rates[1:, ramps] = rates[:-1, ramps].copy()
        return rates

    monkeypatch.setattr(schedules, "learning_rates", late)
    runs = audited()
    deviant = runs["lr_audit"] > 0
    assert set(runs.loc[deviant, "warmup"]) == {"ramp"} and deviant.sum() == 3 * 5
    assert set(words(analysis.definition(runs)).values()) == {"contradicted"}
