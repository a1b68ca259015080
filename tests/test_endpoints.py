"""Endpoints on small tables whose answer is known by hand."""

import numpy as np
import pandas as pd
import pytest

from warmup_study.statistics.endpoints import (
    capped,
    loss_table,
    result_variance,
    steps_to_share,
    steps_to_target,
    variance_gain,
)

NAN = float("nan")
INITIAL = 2.0


def runs_of(test: list[list[float]], lrs: list[float]) -> pd.DataFrame:
    """Runs from losses [seed][lr]; NaN is a diverged run."""
    rows = [
        {
            **{"seed": seed, "lr": lr},
            **{"status": "diverged" if np.isnan(loss) else "ok", "initial_loss": INITIAL, "test_loss": loss},
        }
        for seed, losses in enumerate(test)
        for lr, loss in zip(lrs, losses, strict=True)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).astype({"seed": "Int64"})


def test_capped_puts_divergence_at_the_start() -> None:
    assert capped([0.5, 3.0, NAN, np.inf, -np.inf], 2.0) == pytest.approx([0.5, 2.0, 2.0, 2.0, 2.0])
    assert capped([[3.0], [3.0]], [1.0, 4.0]) == pytest.approx(np.array([[1.0, 3.0], [1.0, 3.0]]))


def test_loss_table_is_sorted_and_capped() -> None:
    runs = runs_of([[1.0, 5.0], [0.5, NAN], [0.25, 0.75]], [0.1, 0.2])
    table = loss_table(runs)
    assert table.index.tolist() == [0, 1, 2]
    assert table.columns.to_numpy(dtype=float) == pytest.approx([0.1, 0.2])
    assert table.to_numpy() == pytest.approx(np.array([[1.0, 2.0], [0.5, 2.0], [0.25, 0.75]]))
    raw = loss_table(runs, cap=False).to_numpy()
    assert raw == pytest.approx(np.array([[1.0, 5.0], [0.5, NAN], [0.25, 0.75]]), nan_ok=True)


def test_a_diverged_run_counts_as_diverged_whatever_its_loss() -> None:
    runs = runs_of([[1.0], [0.5]], [0.1]).assign(status="diverged")
    assert loss_table(runs).to_numpy().tolist() == [[INITIAL], [INITIAL]]


def test_loss_table_refuses_gaps_doubles_and_nothing() -> None:
    runs = runs_of([[1.0, 5.0], [0.5, 1.0]], [0.1, 0.2])
    with pytest.raises(ValueError, match="0 double, 1 missing"):
        loss_table(runs.iloc[1:])
    with pytest.raises(ValueError, match="1 double, 0 missing"):
        loss_table(pd.concat([runs, runs.iloc[:1]]))
    with pytest.raises(ValueError, match="1 double, 1 missing"):
        loss_table(pd.concat([runs.iloc[1:], runs.iloc[1:2]]))
    with pytest.raises(ValueError, match="0 runs"):
        loss_table(runs.iloc[:0])


def test_steps_to_target_is_smoothed_and_censored() -> None:
    at = [0, 10, 20, 30, 40]
    assert steps_to_target(at, [2.0, 0.4, 1.5, 1.4, 1.3], 0.5) is None, "one lucky evaluation"
    assert steps_to_target(at, [2.0, 1.0, 0.4, 0.4, 0.4], 0.5) == 30
    assert steps_to_target(at, [2.0, 1.0, 0.4, 0.4, 0.4], 0.5, smooth=1) == 20
    assert steps_to_target(at, [2.0, 1.0, 0.5, 0.5, 0.5], 0.5) == 30, "reaching is enough"
    assert steps_to_target(at, [0.4, 1.0, 1.0, 1.0, 1.0], 0.5) == 0
    assert steps_to_target(at, [2.0, 0.9, 0.4, NAN, NAN], 0.5) is None, "a run that diverges has not reached it"
    assert steps_to_target([], [], 0.5) is None


def test_steps_to_share_are_those_of_each_runs_own_initial_loss() -> None:
    curve = [2.0, 0.9, 0.9, 0.4, 0.4]
    runs = pd.DataFrame({"evaluated_at": [[0, 10, 20, 30, 40]] * 2, "validation_curve": [curve] * 2})
    assert steps_to_share(runs.assign(initial_loss=[2.0, 0.5]), 0.5).tolist() == [20, pd.NA]
    assert steps_to_share(runs.assign(initial_loss=[2.0, 4.0]), 0.25).tolist() == [40, 20]


def test_result_variance_and_its_gain() -> None:
    assert result_variance([[1.0, 2.0, 3.0], [0.0, 0.0, 3.0]]) == pytest.approx([1.0, 3.0])
    noise = np.random.default_rng(0).normal(size=40)
    found = variance_gain(2 + noise, 5 - noise / 2)
    assert found.estimate == pytest.approx(np.log(4))
    assert found.low == pytest.approx(np.log(4)), "the same noise, halved, leaves no doubt about the ratio"
    assert np.isfinite(variance_gain(np.ones(6), np.ones(6)).replicates).all()


@pytest.mark.parametrize("wrong", [([1.0, 2.0], [1.0]), ([1.0, NAN], [1.0, 2.0]), ([[1.0, 2.0]], [[1.0, 2.0]])])
def test_variance_gain_refuses(wrong: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="finite losses"):
        variance_gain(*wrong)
