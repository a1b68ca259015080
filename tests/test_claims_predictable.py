"""The eleventh chapter on small tables of runs with planted truths: its rankings, its policies, its figures."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_runs import INITIAL, run

from warmup_study.chapters import judging
from warmup_study.chapters.predictable import analysis, figures, sentences
from warmup_study.chapters.predictable.design import PROBED
from warmup_study.training.experiment import lr_grid
from warmup_study.training.table import table_of, to_frame

CHAPTER = "11_predictable"
TASKS = ("digits-mlp", "digits-deep", "digits-he2", "digits-he4", "digits-he8", "mnist1d-mlp")
LRS = lr_grid(1e-3, 1, 4)


def planted(told: bool, tasks: tuple[str, ...] = TASKS) -> pd.DataFrame:
    """Tasks whose critical learning rates lie far apart. Above its own, a ramp trains where no warmup does.

    Where the critical learning rate is not ``told`` by the probe, the probe finds the same for all tasks.
    """
    rows = []
    for (place, task), name, seed in itertools.product(enumerate(tasks), ("sgd", "adam"), range(5)):
        edge = 10 ** (-2.4 + 0.4 * place)
        for lr in LRS:
            rows.append(run(task, name, "ramp", seed, lr, 0.3 + 0.001 * seed))
            rows.append(run(task, name, "none", seed, lr, 0.3 + 0.001 * seed if lr < edge else 1.9))
        seen = {
            "probed_at": PROBED,
            "critical_lr": [edge if told else 0.01] * len(PROBED),
            "gradient_snr": [1.0] * len(PROBED),
            "update_angle": [0.1] * len(PROBED),
        }
        rows.append(run(task, name, "none", seed, LRS[0], 0.5) | {"part": "probe"} | seen)
    return to_frame(table_of(rows))


def test_a_measurement_that_tells_the_need_beats_the_learning_rate_alone() -> None:
    cases = analysis.cases(planted(told=True))
    assert len(cases) == len(TASKS) * 2 * len(LRS) and cases["pays"].any() and not cases["pays"].all()
    found = analysis.aucs(cases)
    assert found[analysis.CRITICAL].value.estimate == 1.0 and found[analysis.CRITICAL].over_bare.low > 0
    critical = [name for name, (column, _, _) in analysis.PREDICTORS.items() if column == "critical_lr"]
    assert sentences.better(found) == critical and len(critical) == 3
    policies = analysis.policies(cases)
    assert policies[analysis.CRITICAL].regret.high < 1e-9 and policies[analysis.CRITICAL].missed == 0
    assert policies["never"].regret.low > 0.1 and policies["never"].missed == policies["never"].needs
    assert policies["always a ramp"].needless == policies["never"].cases - policies["never"].needs


def test_measurements_that_say_nothing_are_no_better() -> None:
    cases = analysis.cases(planted(told=False))
    found = analysis.aucs(cases)
    assert sentences.better(found) == []
    assert all(mine.over_bare.estimate == pytest.approx(0.0) for mine in found.values())
    assert "the search stops here" in sentences.predicted(found)
    bare = analysis.policies(cases)[analysis.BARE]
    assert bare.regret.low >= 0 and "No threshold, on any" in sentences.decided(cases, analysis.policies(cases))


def test_the_regret_is_a_mean_over_cases_and_its_interval_over_tasks() -> None:
    cases = analysis.cases(planted(told=True))
    better = np.log(cases[["none", "ramp"]]).min(axis=1)
    never, always = (np.log(cases[arm]) - better for arm in ("none", "ramp"))
    found = analysis.policies(cases)
    regret, over = found[analysis.NEVER].regret, found[analysis.NEVER].over_always
    assert regret.estimate == pytest.approx(never.mean()) and over.estimate == pytest.approx((never - always).mean())
    means = never.groupby(cases["task"]).mean().to_numpy()  # as many cases on each task
    drawn = np.random.default_rng(1).choice(means, size=(20_000, len(means))).mean(axis=1)
    assert (regret.low, regret.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    assert regret.n == len(TASKS)


def test_the_area_under_the_curve_is_that_of_mann_and_whitney() -> None:
    chance = np.random.default_rng(3)
    pays = chance.random(60) < 0.4
    scores = np.round(chance.normal(size=60) + pays, 1)  # with ties
    expected = stats.mannwhitneyu(scores[pays], scores[~pays]).statistic / (pays.sum() * (~pays).sum())
    counts = chance.integers(0, 3, size=60)
    got = analysis.auc(scores, pays, np.vstack([np.ones(60), counts]))
    again = np.repeat(np.arange(60), counts)
    resampled = stats.mannwhitneyu(scores[again][pays[again]], scores[again][~pays[again]])
    assert got == pytest.approx([expected, resampled.statistic / (pays[again].sum() * (~pays[again]).sum())])
    assert np.isnan(analysis.auc(scores, np.zeros(60, dtype=bool), np.ones((1, 60)))).all()


def test_one_task_says_that_it_is_too_few_and_nothing_is_judged() -> None:
    runs = planted(told=True, tasks=TASKS[:1])
    cases = analysis.cases(runs)
    assert analysis.aucs(cases) == {} and sentences.predicted({}) == sentences.TOO_FEW
    assert set(analysis.policies(cases)) == {analysis.ALWAYS, analysis.NEVER}
    assert sentences.TOO_FEW in sentences.decided(cases, analysis.policies(cases))
    [row] = judging.judge(CHAPTER, runs)
    assert row.verdict == "inconclusive" and "pilot" in row.why_open and row.estimate is None


def test_figures_have_titles_that_say_what_was_found() -> None:
    cases = analysis.cases(planted(told=True))
    title = figures.auc(analysis.aucs(cases)).words.title
    assert title.startswith("Clearly better than the learning rate alone") and "÷ critical learning rate at" in title
    drawn = figures.critical(cases)
    assert drawn.words.title.startswith("A ramp pays in 0 of ") and "svg" in drawn.svg
    empty = analysis.cases(planted(told=True).assign(test_loss=INITIAL, validation_loss=INITIAL))
    assert not len(empty) and figures.critical(empty).words.alt and sentences.decided(empty, {})
    assert len(sentences.policies_table(analysis.policies(cases))) == 2 + len(analysis.PREDICTORS)
