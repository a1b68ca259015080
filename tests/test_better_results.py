"""The claim that rests on the whole core grid: verdict, regimes, what counts, and the figure."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import OPTIMIZERS, Planted, grid, table

from warmup_study.chapters import judging
from warmup_study.chapters.core_curves import ABOVE, BEST, SHARE, THIRD
from warmup_study.chapters.report import analysis
from warmup_study.chapters.report.figures import pooled
from warmup_study.claims import ledger
from warmup_study.claims.evidence import verdicts
from warmup_study.paths import Folders
from warmup_study.running import store
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.training.table import from_frame

EASY, DEEP, CONV = "digits-mlp", "digits-deep", "mnist1d-conv"
TASKS = (EASY, DEEP, CONV)


@pytest.fixture(autouse=True)
def _quickly() -> object:
    with fewer_resamples(999):
        yield


def runs(log_loss: float, task: str, seeds: int = 12, more_rates: int = 0) -> pd.DataFrame:
    planted = Planted(more_rates, log_loss)
    return table(grid(dict.fromkeys(OPTIMIZERS, planted), task, seeds))


def tables(gains: Mapping[str, float], seeds: int = 12) -> dict[str, pd.DataFrame]:
    """A chapter for each task, in which the ramp gains so much under every optimiser."""
    return {f"{k}_chapter": runs(gain, task, seeds) for k, (task, gain) in enumerate(gains.items())}


@pytest.mark.parametrize(
    ("gains", "seeds", "word"),
    [
        (dict.fromkeys(TASKS, 0.3), 12, "supported"),
        (dict.fromkeys(TASKS, -0.2), 12, "contradicted"),
        (dict.fromkeys(TASKS, 0.0), 12, "contradicted"),  # nothing worth having
        (dict(zip(TASKS, (0.4, 0.4, -0.3), strict=True)), 12, "depends"),
        (dict.fromkeys(TASKS, 0.3), 4, "inconclusive"),
    ],
)
def test_verdict(gains: dict[str, float], seeds: int, word: str) -> None:
    *others, row = verdicts(analysis.CLAIM, analysis.gains(tables(gains, seeds)), seeds)
    assert [found.task for found in others if not found.regime or found.task != "all"] == sorted(TASKS)
    assert {found.regime for found in others if found.task == "all"} == {"easy", "deep", "conv"}
    assert (row.verdict, row.task, row.notebook, row.figure) == (word, "all", "report", "report-pooled")
    assert {part.name for part in row.parts} >= set(analysis.PLACES.values())
    assert row.estimate == pytest.approx(np.mean(list(gains.values())), abs=0.03)
    units = {part.name: part.unit for part in row.parts}
    assert units[analysis.PLACES[SHARE]] == "share of seeds" and units[analysis.PLACES[ABOVE]].startswith("log ratio")


def test_each_cell_is_taken_from_the_first_chapter_that_trained_it_on_a_grid() -> None:
    two = {"1": runs(0.2, EASY), "2": pd.concat([runs(-0.2, EASY), runs(0.1, DEEP)])}
    cells = analysis.core_cells(two)
    assert set(cells) == {(task, name) for task in (EASY, DEEP) for name in OPTIMIZERS}
    means = analysis.all_tasks(analysis.by_regime(cells))
    assert means[EASY][BEST].estimate == pytest.approx(0.2, abs=0.03)
    plain = runs(0.2, EASY)
    assert analysis.core_cells({"1": plain[plain["lr"] == plain["lr"].min()]}) == {}
    assert analysis.core_cells({"1": plain.assign(part="batches")}) == {}


def test_a_task_that_no_optimiser_trains_does_not_count() -> None:
    lost = runs(0.3, DEEP).assign(test_loss=2.2, validation_loss=2.2)
    found = verdicts(analysis.CLAIM, analysis.gains({"1": runs(0.3, EASY), "2": lost}), 12)
    assert found[-1].left_out == {DEEP: "untrainable"} and found[-1].verdict == "supported"
    assert analysis.judge({}) == []
    cells = analysis.core_cells({"1": runs(0.3, EASY), "2": lost})
    assert DEEP in pooled(cells, analysis.by_regime(cells)).words.caption


def test_figure_and_words_tell_what_was_planted() -> None:
    cells = analysis.core_cells({"1": pd.concat([runs(0.3, EASY, more_rates=2), runs(0.3, DEEP)])})
    regimes = analysis.by_regime(cells)
    figure = pooled(cells, regimes)
    assert figure.words.title.startswith("With a ramp, the loss is 2") and "% lower at the best" in figure.words.title
    assert "all tasks" in figure.svg and figure.maker == "warmup_study.chapters.report.figures.pooled"
    best, above, beside = analysis.paragraphs(cells, regimes)
    assert "better" in best and "8 pairs" in above and THIRD in beside
    assert analysis.counts_by_place(cells)[BEST] == {"above": 8, "inside": 0, "below": 0, "undecided": 0}
    nothing = pooled({}, {})
    assert "Nothing trains" in nothing.words.title and analysis.paragraphs({}, {})[0].startswith("No task trains")


def test_the_report_enters_its_row_and_recomputing_gives_the_same(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "quick")
    assert judging.enter_report(folders) == [] and not (folders.results / "verdicts.json").exists()
    store.write_runs(folders.results / "1_sgd_vs_adam.parquet", from_frame(runs(0.2, EASY)))
    rows = judging.enter_report(folders)
    assert {row.id for row in rows} == {"better-results"} and ledger.read(folders) == rows
    assert judging.enter_report(folders) == rows
