"""Intervals, p-values and verdicts against scipy and statsmodels, and against each other."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from warmup_study.claims.verdict import Part, Verdict
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled, seed_effect
from warmup_study.statistics.decisions import (
    MIN_SEEDS,
    Word,
    benjamini_hochberg,
    benjamini_yekutieli,
    both,
    decide,
    either,
    fixed_sequence,
    holm,
    judge,
    p_of_disagreement,
    two_sided,
)


def normal(n: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, n)


def effect(low: float, high: float, n: int = 20) -> Effect:
    return Effect((low + high) / 2, low, high, n, np.linspace(low, high, 99))


def verdict(word: Word = "inconclusive", **given: object) -> Verdict:
    row: dict[str, object] = {
        **dict.fromkeys(("claim", "source", "rule", "endpoint", "unit", "notebook", "figure"), "-"),
        **{"id": "a", "estimate": 1.0, "ci_low": 0.5, "ci_high": 1.5, "n": 20, "margin": 0.1, "task": "all"},
        "verdict": word,
    }
    return Verdict.model_validate(row | given)


@pytest.mark.parametrize("n", [5, 10, 20, 50])
def test_interval_is_students_on_normal_data(n: int) -> None:
    values = normal(n, 1.0, seed=n)
    found = paired_effect(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))
    assert found.high - found.low == pytest.approx(high - low, rel=0.07)


def test_interval_is_bca_on_many_skewed_values() -> None:
    values = np.random.default_rng(1).lognormal(0, 0.5, 200)
    bca = stats.bootstrap((values,), np.mean, n_resamples=4999, rng=np.random.default_rng(2)).confidence_interval
    found = paired_effect(values)
    assert (found.low, found.high) == pytest.approx((bca.low, bca.high), abs=0.1 * (bca.high - bca.low))


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("margin", [0.3, 0.6, 1.0])
def test_equivalence_is_tost(n: int, margin: float) -> None:
    first, second = normal(n, 0.1, seed=3), normal(n, 0.0, seed=4)
    expected = ttost_paired(first, second, -margin, margin)[0]
    assert paired_effect(first - second).p_inside(margin) == pytest.approx(expected, abs=0.03)


def test_one_sided_p_is_students_far_out_in_the_tail() -> None:
    values = normal(6, 3.0, seed=5)
    expected = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert 0.2 * expected < paired_effect(values).p_above(0) < 5 * expected


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=2, max_size=12),
    threshold=st.floats(-3, 3),
)
def test_p_values_interval_and_decision_agree(values: list[float], threshold: float) -> None:
    found, margin = paired_effect(values, resamples=399), abs(threshold)
    assert (found.p_above(threshold) <= 0.025) == (found.low > threshold)
    assert (found.p_below(threshold) <= 0.025) == (found.high < threshold)
    assert (found.p_inside(margin) <= 0.025) == (-margin < found.low and found.high < margin)
    assert (decide(found, margin) == "above") == (found.p_above(margin) <= 0.025)
    assert (decide(found, margin) == "below") == (found.p_below(-margin) <= 0.025)


def test_widening_keeps_the_order_and_shares_ties() -> None:
    found = seed_effect(lambda seeds: (seeds < 2).sum(axis=-1).astype(float), 5)
    assert 5 < np.unique(found.replicates).size + 1 <= 7, "six possible counts stay at most six values"
    assert found.low <= found.estimate <= found.high


def test_same_data_same_bits_and_seeds_of_the_same_number_are_drawn_alike() -> None:
    values = normal(8)
    first, again = paired_effect(values), paired_effect(values)
    assert np.array_equal(first.replicates, again.replicates)
    shifted = paired_effect(values + 3)
    found = difference(shifted, first)
    assert (found.estimate, found.low, found.high) == pytest.approx((3, 3, 3), abs=0.001)


def test_groups_are_resampled_apart() -> None:
    found = seed_effect(lambda a, b: a.mean(axis=-1) - b.mean(axis=-1), 6, also=(4,))
    assert found.n == 6
    assert found.estimate == pytest.approx(2.5 - 1.5)
    assert found.low < 0 < found.high


def test_one_seed_decides_nothing() -> None:
    found = paired_effect([2.0])
    assert found.estimate == 2.0
    assert np.isnan([found.low, found.high]).all()
    assert found.p_above(0) == found.p_below(0) == found.p_inside(9) == 1.0
    assert decide(found, 0.1) == decide(pooled([found, found]), 0.1) == "undecided"


@pytest.mark.parametrize("wrong", [[], [1.0, np.nan], [1.0, np.inf], [[1.0, 2.0]]])
def test_differences_must_be_a_finite_row(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        paired_effect(np.asarray(wrong, dtype=float))


def test_pooled_is_the_mean_over_tasks_and_shorter_for_unlike_noise() -> None:
    tasks = [paired_effect(normal(n, 1, seed=n)) for n in (20, 21, 22)]
    found = pooled(tasks)
    assert found.estimate == pytest.approx(np.mean([task.estimate for task in tasks]))
    assert found.n == 20
    widths = [task.high - task.low for task in tasks]
    assert found.high - found.low == pytest.approx(np.mean(widths) / np.sqrt(3), rel=0.15)


def test_pooled_does_not_shrink_when_tasks_repeat_each_other() -> None:
    task = paired_effect(normal(20, 1))
    assert (pooled([task] * 3).low, pooled([task] * 3).high) == pytest.approx((task.low, task.high))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        *[(0.11, 0.3, "above"), (0.1, 0.3, "undecided"), (-0.05, 0.05, "inside"), (-0.05, 0.1, "undecided")],
        *[(-0.3, -0.11, "below"), (-0.3, -0.1, "undecided"), (-0.3, 0.3, "undecided")],
    ],
)
def test_decide(low: float, high: float, expected: str) -> None:
    assert decide(effect(low, high), 0.1) == expected


def test_corrections_by_hand() -> None:
    p_values = [0.04, 0.01, 0.03]
    assert holm(p_values) == pytest.approx([0.06, 0.03, 0.06])
    many = np.random.default_rng(0).uniform(0, 0.2, 12)
    for method, own in (("holm", holm), ("fdr_bh", benjamini_hochberg), ("fdr_by", benjamini_yekutieli)):
        assert own(many) == pytest.approx(multipletests(many, method=method)[1])
    assert fixed_sequence(p_values) == pytest.approx([0.04, 0.04, 0.04])
    assert holm([]).size == benjamini_hochberg([]).size == fixed_sequence([]).size == 0


def test_disagreement_is_as_sure_as_the_less_sure_of_two_words() -> None:
    assert p_of_disagreement([0.01, 0.03, 0.2], ["supported", "contradicted", "contradicted"]) == 0.03
    assert p_of_disagreement([0.01, 0.001], ["supported", "supported"]) == 1.0


def test_both_either_and_two_sided() -> None:
    assert both(0.01, 0.2) == 0.2
    assert either(0.01, 0.2) == 0.02
    assert either(0.7, 0.9) == 1.0
    assert two_sided(0.01, 0.99) == 0.02
    assert two_sided(0.8, 0.9) == 1.0


@pytest.mark.parametrize(
    ("p_supported", "p_contradicted", "seeds", "word"),
    [
        *[(0.025, 0.9, 20, "supported"), (0.0251, 0.9, 20, "inconclusive"), (0.9, 0.001, 20, "contradicted")],
        *[(0.001, 0.9, MIN_SEEDS, "supported"), (0.001, 0.9, MIN_SEEDS - 1, "inconclusive")],
    ],
)
def test_judge(p_supported: float, p_contradicted: float, seeds: int, word: Word) -> None:
    assert judge(p_supported, p_contradicted, seeds) == word


def test_opposite_parts_are_mixed() -> None:
    assert judge(0.4, 0.3, 8, p_mixed=0.001) == "mixed"
    assert judge(0.001, 0.001, 8) == "mixed"
    assert judge(0.001, 0.2, 8, p_mixed=0.2) == "supported"
    assert judge(0.4, 0.3, 4, p_mixed=0.001) == "inconclusive"


def test_verdicts_are_strict_json() -> None:
    part = Part.of("gain", paired_effect([1.0]), 0.1, "nats")
    row = verdict(estimate=np.inf, ci_low=-np.inf, ci_high=np.nan, p_supported=np.float64(0.5), parts=(part,))
    text = json.dumps(row.model_dump(mode="json"), allow_nan=False)
    assert json.loads(text) == json.loads(row.model_dump_json())
    assert (row.estimate, row.ci_low, row.ci_high, row.parts[0].ci_low) == (None, None, None, None)
    assert Verdict.model_validate_json(text) == row


def test_part_carries_its_decision() -> None:
    part = Part.of("gain", effect(0.2, 0.4, n=7), 0.1, "nats")
    assert (part.decision, part.n, part.ci_low, part.margin) == ("above", 7, 0.2, 0.1)


def test_verdict_refuses_unknown_words_and_passes_over_what_an_earlier_round_had() -> None:
    with pytest.raises(ValueError, match="verdict"):
        verdict(verdict="perhaps")
    assert verdict(p_holm=0.01) == verdict()
