"""Endpoints on curves of loss against learning rate: against plain second implementations and simulated truth."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from warmup_study.statistics import lr_curves
from warmup_study.statistics.bootstrap import Effect, Floats, difference, pooled
from warmup_study.statistics.curves import LrCurves, measured_as

LRS: Floats = np.asarray(0.01 * 2.0 ** np.arange(8), dtype=float)
GAINS: dict[str, Callable[..., Effect]] = {
    name: getattr(lr_curves, name) for name in ("tuned_loss", "cost", "usable_lr", "largest_trainable_lr")
} | {"overshoot": partial(lr_curves.at_multiple, multiple=2.0)}


def simulated(seeds: int, edge: float, *, lower: float = 1.0, chance: int = 0, noise: float = 0.05) -> LrCurves:
    """A bowl whose right wall stands at ``edge`` doublings, with noise that the seeds of two arms share in part."""
    shared, own = np.random.default_rng(7), np.random.default_rng([chance, 1])
    doublings = np.arange(8.0)
    mean = 0.1 * lower * np.exp(0.3 * np.abs(doublings - 3)) + 2.3 / (1 + np.exp(-3 * (doublings - edge)))
    factors = np.exp(shared.normal(0, noise, (seeds, 1)) + own.normal(0, noise, (seeds, 8)))
    losses = np.minimum(mean * factors, 2.3)
    return LrCurves(LRS, losses * np.exp(own.normal(0, noise / 2, losses.shape)), losses, np.full(seeds, 2.3))


def plain(name: str, none: LrCurves, arm: LrCurves) -> float:
    """The estimate again, seed by seed and point by point."""

    def mean_at(curves: LrCurves, lr: float) -> float:
        for left in range(len(curves.lrs) - 1):
            low, high = curves.lrs[left], curves.lrs[left + 1]
            if low <= lr * (1 + 1e-12) and lr <= high * (1 + 1e-12):
                share = np.log(lr / low) / np.log(high / low)
                ends = [sum(row[left + k] for row in curves.test) / len(curves.test) for k in (0, 1)]
                return float((1 - share) * np.log(ends[0]) + share * np.log(ends[1]))
        raise AssertionError

    def best(curves: LrCurves) -> float:
        return min(map(float, curves.lrs), key=lambda lr: curves.validation[:, list(curves.lrs).index(lr)].sum())

    def edge(curves: LrCurves) -> float:
        shares = [float(np.median(column / curves.initial)) for column in curves.test.T]
        last = max(k for k, share in enumerate(shares) if share < 0.5)
        step = (0.5 - shares[last]) / (shares[last + 1] - shares[last])
        return float(np.log2(curves.lrs[last]) + step * np.log2(curves.lrs[last + 1] / curves.lrs[last]))

    def area(curves: LrCurves) -> float:
        shares = [float(np.mean(column / curves.initial)) for column in curves.test.T]
        widths = np.diff(np.log10(curves.lrs))
        return float(sum(w * (a + b) / 2 for w, a, b in zip(widths, shares, shares[1:], strict=False)))

    multiple = {"overshoot": 2.0, "cost": 1 / 3}.get(name)
    if multiple:
        return mean_at(none, best(none) * multiple) - mean_at(arm, best(none) * multiple)
    if name == "tuned_loss":
        return mean_at(none, best(none)) - mean_at(arm, best(arm))
    return area(none) - area(arm) if name == "usable_lr" else edge(arm) - edge(none)


@pytest.mark.parametrize("name", GAINS)
def test_the_estimate_is_that_of_a_plain_second_implementation(name: str) -> None:
    none, arm = simulated(20, 4.6), simulated(20, 5.4, lower=0.9, chance=1)
    assert GAINS[name](none, arm, resamples=39).estimate == pytest.approx(plain(name, none, arm), abs=1e-12)


@pytest.mark.parametrize("name", GAINS)
def test_intervals_cover_the_truth_and_zero_where_arms_are_equal(name: str) -> None:
    truth = GAINS[name](simulated(1, 4.6, noise=0), simulated(1, 5.4, lower=0.9, noise=0)).estimate
    planted = [(simulated(30, 4.6, chance=3000 + k), simulated(30, 5.4, lower=0.9, chance=4000 + k)) for k in range(40)]
    found = [GAINS[name](none, arm, resamples=399) for none, arm in planted]
    assert sum(effect.low < truth < effect.high for effect in found) >= 34
    equal = [
        GAINS[name](none, simulated(30, 4.6, chance=5000 + k), resamples=399) for k, (none, _) in enumerate(planted)
    ]
    assert sum(effect.low < 0 < effect.high for effect in equal) >= 34


@pytest.mark.parametrize("name", GAINS)
def test_exchanged_arms_and_the_same_arm(name: str) -> None:
    none, arm = simulated(12, 4.6), simulated(12, 5.4, chance=1)
    if name not in ("overshoot", "cost"):  # their learning rate is that of the first arm
        assert GAINS[name](none, arm, resamples=39).estimate == -GAINS[name](arm, none, resamples=39).estimate
    same = GAINS[name](none, none, resamples=39)
    assert same.estimate == same.low == same.high == 0


def test_resampled_averages_are_those_of_what_was_drawn() -> None:
    chance = np.random.default_rng(3)
    for seeds in (8, 9):
        curves = simulated(seeds, 4.6, noise=0.5)
        drawn = chance.integers(0, seeds, (50, seeds))
        assert curves.averaged(curves.test, drawn) == pytest.approx(curves.test[drawn].mean(axis=1))
        own = replace(curves, average="median").averaged(curves.test, drawn)
        assert own == pytest.approx(np.median(curves.test[drawn], axis=1))


def test_the_soft_minimum_agrees_with_the_pick_and_shares_count_the_seeds_that_train() -> None:
    none, arm = simulated(30, 4.6), simulated(30, 6.4, lower=0.9, chance=1)
    picked, soft = (measure(none, arm, 399) for measure in (lr_curves.tuned_loss, lr_curves.soft_tuned_loss))
    assert soft.estimate == pytest.approx(picked.estimate, abs=0.03)
    without, with_warmup, gain = lr_curves.share_trained(none, arm, 4.0, 399)
    at = none.best + 2
    assert without.estimate == np.mean([loss < 1.15 for loss in none.test[:, at]])
    assert with_warmup.estimate == np.mean([loss < 1.15 for loss in arm.test[:, at]])
    assert gain.estimate == with_warmup.estimate - without.estimate and 0.5 < gain.low <= gain.estimate
    assert none.shares_trained[at] == without.estimate


def test_a_cell_counts_where_its_better_arm_trains() -> None:
    lost = LrCurves(LRS, np.full((4, 8), 2.0), np.full((4, 8), 2.0), np.full(4, 2.3))
    assert lr_curves.trains(lost, simulated(4, 4.6)) and not lr_curves.trains(lost, lost)


def runs(losses: dict[tuple[int, float], float]) -> pd.DataFrame:
    """One arm, from losses by seed and learning rate; NaN for a run that diverged."""
    rows = [
        {"seed": seed, "lr": lr, "test_loss": loss, "validation_loss": loss, "initial_loss": 2.0}
        for (seed, lr), loss in losses.items()
    ]
    table = pd.DataFrame(rows)
    return table.assign(status=np.where(table["test_loss"].notna(), "ok", "diverged"))


def test_without_a_cap_losses_stay_as_they_are_and_diverged_runs_hold_their_initial_loss() -> None:
    table = runs({(0, 0.1): 1.0, (0, 0.2): 9.0, (1, 0.1): 1.0, (1, 0.2): np.nan})
    assert LrCurves.of(table).test.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    with measured_as("median", capped=False) as measure:
        curves = LrCurves.of(table)
    assert curves.test.tolist() == [[1.0, 9.0], [1.0, 2.0]] and curves.average == "median" and measure.used
    assert LrCurves.of(table).average == "mean"


def test_differences_and_means_keep_what_the_same_seeds_share() -> None:
    """One task's curves twice: their difference is known without doubt, and their mean no better than one of them."""
    none, arm, fewer = simulated(20, 4.6), simulated(20, 5.4, chance=1), simulated(19, 4.6, chance=2)
    first, again = (lr_curves.usable_lr(none, arm, 399) for _ in range(2))
    shared = difference(first, again)
    assert shared.low == shared.high == 0 and pooled([first, again]).high == pytest.approx(first.high)
    other = difference(first, lr_curves.usable_lr(fewer, simulated(19, 5.4, chance=3), 399))
    assert other.high - other.low > 1.2 * (first.high - first.low), "other seeds are resampled on their own"


def test_between_the_grids_learning_rates_log_loss_is_linear() -> None:
    losses = np.array([[1.0, 0.25], [2.0, 0.5]])
    curves = LrCurves(np.array([0.1, 0.4]), losses, losses, np.full(2, 4.0))
    assert curves.at(0.2) == pytest.approx([0.5, 1.0])
    assert curves.at(0.1) == pytest.approx([1.0, 2.0])
    for outside in (0.09, 0.41):
        with pytest.raises(ValueError, match=r"^learning rate: got .*; takes 0.1 to 0.4$"):
            curves.at(outside)


def test_the_edge_of_training_at_the_ends_of_the_grid() -> None:
    def edge(*losses: float) -> Floats:
        table = np.array([losses])
        return lr_curves.edge_of_training(LrCurves(LRS[:3], table, table, np.full(1, 1.0)), np.array([[0]]))

    assert edge(1, 1, 1) == pytest.approx(np.log2(LRS[0]))
    assert edge(0.1, 0.1, 0.1) == pytest.approx(np.log2(LRS[2]))
    assert edge(0.1, 0.4, 0.6) == pytest.approx(np.log2(LRS[1]) + 0.5)
    assert edge(0.1, 0.9, 0.4) == pytest.approx(np.log2(LRS[2]))


def test_arms_on_other_seeds_or_learning_rates_are_refused() -> None:
    none = simulated(6, 4.6)
    moved = LrCurves(2 * none.lrs, none.validation, none.test, none.initial)
    for other in (simulated(7, 4.6), moved):
        with pytest.raises(ValueError, match="not paired"):
            lr_curves.tuned_loss(none, other)
