"""The pooled effect over all tasks and optimisers: random-effects summary, verdict and figure."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_runs import OPTIMIZERS, Planted, grid, table

from warmup_study.chapters import judging
from warmup_study.chapters.report import analysis
from warmup_study.chapters.report.analysis import Cell
from warmup_study.chapters.report.figures import pooled
from warmup_study.claims import ledger
from warmup_study.paths import Folders
from warmup_study.running import store
from warmup_study.statistics.bootstrap import Effect, student_effect
from warmup_study.training.table import from_frame

TASKS = ("digits-mlp", "digits-deep", "mnist1d-mlp")


def effect(estimate: float, error: float, n: int = 20) -> Effect:
    return student_effect(estimate, error, 200, n)


def runs(log_loss: float, task: str, seeds: int = 24, noise: float = 0.02) -> pd.DataFrame:
    return table(grid({name: Planted(log_loss=log_loss) for name in OPTIMIZERS}, task, seeds, noise))


def tables(gains: Mapping[str, float], **more: float) -> dict[str, pd.DataFrame]:
    """A chapter for each task, in which the ramp gains so much under every optimiser."""
    return {f"{k}_chapter": runs(gain, task, **more) for k, (task, gain) in enumerate(gains.items())}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gains", "seeds", "word"),
    [
        (dict.fromkeys(TASKS, 0.2), 24, "supported"),
        (dict.fromkeys(TASKS, -0.2), 24, "contradicted"),
        (dict(zip(TASKS, (0.3, 0.0, -0.3), strict=True)), 24, "contradicted"),  # on average nothing worth having
        (dict.fromkeys(TASKS, 0.2), 4, "inconclusive"),
    ],
)
def test_verdict(gains: dict[str, float], seeds: int, word: str) -> None:
    *tasks, row = analysis.judge(tables(gains, seeds=seeds))
    assert [found.task for found in tasks] == list(sorted(TASKS))
    assert (row.verdict, row.task, row.notebook, row.figure) == (word, "all", "report", "report-pooled")
    assert {part.name for part in row.parts} >= {"gain at the best learning rate", "gain above it"}
    assert row.estimate == pytest.approx(np.mean(list(gains.values())), abs=0.03)


def test_the_first_chapter_with_a_cell_counts() -> None:
    two = {"1": runs(0.2, TASKS[0]), "2": pd.concat([runs(-0.2, TASKS[0]), runs(0.1, TASKS[1])])}
    gains = analysis.cells(two)
    assert set(gains) == {(task, name) for task in TASKS[:2] for name in OPTIMIZERS}
    assert gains[TASKS[0], "adam"].estimate == pytest.approx(0.2, abs=0.03)


def test_arms_that_cannot_be_tuned_or_stand_for_no_optimiser_are_left_out() -> None:
    plain = runs(0.2, TASKS[0])
    assert analysis.cells({"1": plain[plain["lr"].isin(plain["lr"].unique()[:2])]}) == {}
    assert analysis.cells({"1": plain[plain["role"] == "confirmation"]}) == {}
    renamed = plain.assign(arm=plain["arm"].str.replace("momentum/", "momentum_lr_inside/"))
    assert {name for _, name in analysis.cells({"1": renamed})} == {"sgd", "rmsprop", "adam"}


def test_a_task_that_no_optimiser_trains_does_not_count() -> None:
    lost = runs(0.2, TASKS[1])
    found = analysis.judge({"1": runs(0.2, TASKS[0]), "2": lost.assign(test_loss=2.2, validation_loss=2.2)})
    assert found[-1].left_out == {TASKS[1]: "untrainable"} and found[-1].verdict == "supported"
    assert analysis.judge({}) == []


def cells(estimates: list[float], errors: list[float]) -> dict[Cell, Effect]:
    return {("t", str(k)): effect(e, s) for k, (e, s) in enumerate(zip(estimates, errors, strict=True))}


def test_equal_cells_without_spread_give_their_mean_and_the_textbook_interval() -> None:
    estimates, error = [0.1, 0.3, 0.2, 0.4, 0.0], 0.2
    gains = cells(estimates, [error] * 5)
    summary = analysis.summary(gains)
    reach = stats.t.ppf(0.975, 4) * np.std(estimates, ddof=1) / np.sqrt(5)  # what HKSJ is for equal weights
    assert summary.estimate == pytest.approx(0.2)
    assert (summary.low, summary.high) == pytest.approx((0.2 - reach, 0.2 + reach), rel=1e-3)
    low, high = analysis.prediction(gains)
    assert low < summary.low < summary.high < high


def test_heterogeneous_cells_make_the_prediction_wide() -> None:
    gains = cells([1.0, -1.0, 1.0, -1.0, 0.5, -0.5], [0.05] * 6)
    summary, (low, high) = analysis.summary(gains), analysis.prediction(gains)
    assert high - low > 2 * (summary.high - summary.low) and low < -1.5 and high > 1.5


def test_counts_by_margin() -> None:
    gains = cells([0.5, 0.0, -0.5, 0.1], [0.05, 0.01, 0.05, 0.05])
    assert analysis.counts(gains) == {"above": 1, "inside": 1, "below": 1, "undecided": 1}


@pytest.mark.long
def test_false_verdicts_are_rare() -> None:
    chance = np.random.default_rng(5)
    words = []
    for _ in range(400):
        true = chance.normal(0, 0.1, 8)  # the mean gain is zero, the gains differ
        errors = chance.uniform(0.02, 0.15, 8)
        summary = analysis.summary(cells(list(chance.normal(true, errors)), list(errors)))
        words.append(summary.low > 0 or summary.high < 0)
    assert np.mean(words) < 0.08


def test_student_effect_reads_its_own_quantiles() -> None:
    found = student_effect(1.0, 0.5, 6, 9)
    reach = 0.5 * stats.t.ppf(0.975, 6)
    assert (found.low, found.high) == pytest.approx((1 - reach, 1 + reach), rel=1e-3) and found.n == 9
    assert found.p_above(0) == pytest.approx(stats.t.sf(2, 6), rel=0.02)


@pytest.mark.parametrize("count", [0, 2, 9])
def test_figure(count: int) -> None:
    figure = pooled({("digits-mlp", f"adam{k}"): effect(0.1 * k, 0.1) for k in range(count)})
    assert figure.svg.startswith("<?xml") and figure.maker == "warmup_study.chapters.report.figures.pooled"
    assert ("all together" in figure.svg) == (count >= analysis.FEWEST)


def test_the_report_enters_its_row_and_recomputing_gives_the_same(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "quick")
    assert judging.enter_report(folders) == [] and not (folders.results / "verdicts.json").exists()
    store.write_runs(folders.results / "1_sgd_vs_adam.parquet", from_frame(runs(0.2, TASKS[0])))
    rows = judging.enter_report(folders)
    assert {row.id for row in rows} == {"better-results"} and ledger.read(folders) == rows
    assert judging.enter_report(folders) == rows
