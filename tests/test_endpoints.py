"""Endpoints on small tables whose answer is known by hand."""

import numpy as np
import pandas as pd
import pytest

from warmup_study.statistics.endpoints import (
    capped,
    loss_table,
    lr_sensitivity,
    max_trainable_lr,
    result_variance,
    sensitivity_gain,
    steps_to_target,
    trainable_gain,
    tuned,
    tuned_gain,
    variance_gain,
)

NAN = float("nan")
INITIAL = 2.0


def runs_of(
    test: list[list[float]], lrs: list[float], selection: int = 2, validation: list[list[float]] | None = None
) -> pd.DataFrame:
    """Runs from losses [seed][lr]; NaN is a diverged run; the first `selection` seeds select."""
    rows = [
        {
            **{"seed": seed, "lr": lr, "role": "selection" if seed < selection else "confirmation"},
            **{"status": "diverged" if np.isnan(loss) else "ok", "initial_loss": INITIAL, "test_loss": loss},
            "validation_loss": (validation or test)[seed][column],
        }
        for seed, losses in enumerate(test)
        for column, (lr, loss) in enumerate(zip(lrs, losses, strict=True))
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).astype({"seed": "Int64"})


def test_capped_puts_divergence_at_the_start() -> None:
    assert capped([0.5, 3.0, NAN, np.inf, -np.inf], 2.0) == pytest.approx([0.5, 2.0, 2.0, 2.0, 2.0])
    assert capped([[3.0], [3.0]], [1.0, 4.0]) == pytest.approx(np.array([[1.0, 3.0], [1.0, 3.0]]))


def test_loss_table_is_sorted_capped_and_of_one_role() -> None:
    runs = runs_of([[1.0, 5.0], [0.5, NAN], [0.25, 0.75]], [0.1, 0.2])
    table = loss_table(runs)
    assert table.index.tolist() == [0, 1, 2]
    assert table.columns.to_numpy(dtype=float) == pytest.approx([0.1, 0.2])
    assert table.to_numpy() == pytest.approx(np.array([[1.0, 2.0], [0.5, 2.0], [0.25, 0.75]]))
    assert loss_table(runs, role="confirmation").to_numpy().tolist() == [[0.25, 0.75]]
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
        loss_table(runs, role="other")


def test_tuned_picks_on_validation_and_reports_the_test_loss_of_other_seeds() -> None:
    test = [[9.0, 0.1, 9.0], [9.0, 0.1, 9.0], [0.9, 0.8, 0.7], [0.9, NAN, 0.5]]
    validation = [[1.0, 0.5, 0.6], [1.0, 0.7, 0.8], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    found = tuned(runs_of(test, [0.1, 0.2, 0.4], validation=validation))
    assert (found.lr, found.on_edge, found.diverged) == (0.2, False, 1)
    assert found.losses.to_dict() == {2: 0.8, 3: INITIAL}


def test_tuned_passes_over_rates_at_which_a_selection_run_diverged() -> None:
    runs = runs_of([[1.9, 0.1, 1.5], [1.9, NAN, 1.5], [1.0, 1.0, 1.0]], [0.1, 0.2, 0.4])
    assert (tuned(runs).lr, tuned(runs).on_edge) == (0.4, True)
    nowhere_free = runs_of([[1.9, 0.1, NAN], [NAN, NAN, 1.5], [1.0, 1.0, 1.0]], [0.1, 0.2, 0.4])
    assert tuned(nowhere_free).lr == 0.2


def test_tuned_takes_the_smaller_rate_on_a_tie_and_flags_both_edges() -> None:
    assert tuned(runs_of([[0.5, 0.5, 1.0]] * 3, [0.1, 0.2, 0.4])).lr == 0.1
    assert tuned(runs_of([[0.5, 0.6, 1.0]] * 3, [0.1, 0.2, 0.4])).on_edge
    assert tuned(runs_of([[0.5]] * 3, [0.1])).on_edge


def test_lr_sensitivity_by_hand_and_over_leading_axes() -> None:
    table = np.array([[1.0, 0.5, 9.0], [1.0, 0.7, NAN]])
    expected = (1.0 + 0.6 + 2.0) / 3 - 0.6
    assert lr_sensitivity(table, INITIAL) == pytest.approx(expected)
    assert lr_sensitivity(np.stack([table, table[::-1], np.ones_like(table)]), INITIAL) == pytest.approx(
        [expected, expected, 0.0]
    )


@pytest.mark.parametrize(
    ("table", "log2_lr", "below", "above"),
    [
        ([[0.1, 0.1, 0.1, NAN], [0.1, 0.1, NAN, NAN]], -1.0, False, False),  # half of the seeds is enough
        ([[0.1, 0.1, 1.0, NAN], [0.1, 0.1, 1.0, NAN]], -2.0, False, False),  # half the initial loss is not below half
        ([[0.1, 1.5, 0.1, NAN], [0.1, 1.5, 0.1, NAN]], -1.0, False, False),  # a hole in the grid does not end it
        ([[0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]], 0.0, False, True),
        ([[1.9, NAN, NAN, NAN], [1.9, 1.9, 1.9, np.inf]], -4.0, True, False),
    ],
)
def test_max_trainable_lr(table: list[list[float]], log2_lr: float, below: bool, above: bool) -> None:
    found = max_trainable_lr(runs_of(table, [0.125, 0.25, 0.5, 1.0]))
    assert (found.log2_lr, found.below_grid, found.above_grid) == (log2_lr, below, above)


def test_max_trainable_lr_of_a_single_rate() -> None:
    assert max_trainable_lr(runs_of([[1.9], [1.9]], [0.5])).log2_lr == -2.0


def test_steps_to_target_is_smoothed_and_censored() -> None:
    at = [0, 10, 20, 30, 40]
    assert steps_to_target(at, [2.0, 0.4, 1.5, 1.4, 1.3], 0.5) is None, "one lucky evaluation"
    assert steps_to_target(at, [2.0, 1.0, 0.4, 0.4, 0.4], 0.5) == 30
    assert steps_to_target(at, [2.0, 1.0, 0.4, 0.4, 0.4], 0.5, smooth=1) == 20
    assert steps_to_target(at, [2.0, 1.0, 0.5, 0.5, 0.5], 0.5) == 30, "reaching is enough"
    assert steps_to_target(at, [0.4, 1.0, 1.0, 1.0, 1.0], 0.5) == 0
    assert steps_to_target(at, [2.0, 0.9, 0.4, NAN, NAN], 0.5) is None, "a run that diverges has not reached it"
    assert steps_to_target([], [], 0.5) is None


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


def test_tuned_gain_is_the_mean_log_ratio_at_the_two_picks() -> None:
    none = runs_of([[0.8, 0.4, NAN]] * 3 + [[0.8, 0.4, NAN], [0.8, 0.2, NAN]] * 3, [0.1, 0.2, 0.4], selection=3)
    arm = runs_of([[0.8, 0.4, 0.2]] * 3 + [[0.8, 0.4, 0.2], [0.8, 0.2, 0.1]] * 3, [0.1, 0.2, 0.4], selection=3)
    found = tuned_gain(none, arm)
    assert found.estimate == pytest.approx(np.log(2))
    assert (found.low, found.high, found.n) == pytest.approx((np.log(2), np.log(2), 6))
    assert tuned_gain(arm, none).estimate == pytest.approx(-np.log(2))
    assert tuned_gain(none, none).replicates == pytest.approx(0)


def test_tuned_gain_doubts_a_pick_that_the_selection_seeds_leave_open() -> None:
    confirmation = [[0.5, 0.4]] * 6
    agreed = [[0.5, 0.4], [0.5, 0.4], [0.5, 0.4], [0.5, 0.4]]
    torn = [[0.3, 0.4], [0.5, 0.4], [0.5, 0.4], [0.3, 0.45]]
    none, arm = (runs_of(picks + confirmation, [0.1, 0.2], selection=4) for picks in (torn, agreed))
    found = tuned_gain(none, arm)
    assert found.estimate == pytest.approx(np.log(0.5 / 0.4))
    assert found.low <= 0 < found.high


def test_tuned_gain_counts_a_diverged_confirmation_run_with_its_initial_loss() -> None:
    none = runs_of([[0.5]] * 4 + [[NAN]], [0.1])
    arm = runs_of([[0.5]] * 5, [0.1])
    assert tuned_gain(none, arm).estimate == pytest.approx(np.log(INITIAL / 0.5) / 3)


def test_sensitivity_gain_is_a_share_of_the_initial_loss() -> None:
    none = runs_of([[0.4, 1.0, NAN]] * 5, [0.1, 0.2, 0.4])
    arm = runs_of([[0.4, 0.4, 0.4]] * 5, [0.1, 0.2, 0.4])
    found = sensitivity_gain(none, arm)
    assert found.estimate == pytest.approx(((0.4 + 1.0 + 2.0) / 3 - 0.4) / INITIAL)
    assert found.n == 5
    assert sensitivity_gain(arm, none).estimate == pytest.approx(-found.estimate)


def test_trainable_gain_is_in_doublings_from_below_the_grid_on() -> None:
    grid = [0.125, 0.25, 0.5]
    nothing, first, all_of_it = ([[loss for loss in row] for _ in range(5)] for row in ROWS)
    assert trainable_gain(runs_of(nothing, grid), runs_of(all_of_it, grid)).estimate == 3.0
    assert trainable_gain(runs_of(first, grid), runs_of(all_of_it, grid)).estimate == 2.0
    lost = trainable_gain(runs_of(all_of_it, grid), runs_of(nothing, grid))
    assert lost.estimate == -3.0
    assert -4.0 < lost.low < -3.7 and -2.3 < lost.high < -2.0  # each limit is known to one step, here a doubling


ROWS = ([NAN, NAN, NAN], [0.1, NAN, 1.9], [0.1, 0.1, 0.1])


def test_gains_refuse_arms_that_are_not_paired() -> None:
    none = runs_of([[0.5, 0.4]] * 6, [0.1, 0.2])
    for arm in (
        none[none["seed"] != 3],
        runs_of([[0.5, 0.4]] * 6, [0.1, 0.3]),
        runs_of([[0.5, 0.4]] * 6, [0.1, 0.2], 3),
    ):
        for gain in (tuned_gain, sensitivity_gain, trainable_gain):
            with pytest.raises(ValueError, match="not paired"):
                gain(none, arm)


def test_one_selection_seed_decides_nothing() -> None:
    runs = runs_of([[0.5, 0.4]] * 6, [0.1, 0.2], selection=1)
    assert tuned_gain(runs, runs).p_above(-1) == 1.0
