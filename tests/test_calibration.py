"""Do the error bars mean what they say? Coverage on skewed data, false verdicts between equal arms, effects found.

The bounds allow for the luck of a finite number of trials; the trials themselves are seeded, so nothing here flickers.
"""

import functools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize, stats

from warmup_study.claims.table import margin
from warmup_study.statistics import lr_curves
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled
from warmup_study.statistics.curves import LrCurves
from warmup_study.statistics.decisions import judge
from warmup_study.statistics.endpoints import variance_gain

RESAMPLES = 399
INITIAL = np.log(10)


def skewed_pair(rng: np.random.Generator, n: int) -> np.ndarray:
    """Differences of two lognormal losses that share a lognormal seed effect; the mean is SKEWED_MEAN."""
    shared = rng.lognormal(0, 0.5, n)
    return (rng.lognormal(0.3, 0.5, n) - rng.lognormal(0, 0.5, n)) * shared


SKEWED_MEAN = (np.exp(0.3) - 1) * np.exp(0.25)


def coverage(make: Callable[[], Effect], truth: float, trials: int = 1000) -> float:
    effects = [make() for _ in range(trials)]
    return float(np.mean([effect.low <= truth <= effect.high for effect in effects]))


@pytest.mark.parametrize(("n", "at_least"), [(5, 0.92), (10, 0.92), (20, 0.92)])
def test_paired_intervals_cover(n: int, at_least: float) -> None:
    """Measured with 1000 trials: 0.94, 0.93 and 0.94 at 5, 10 and 20 seeds (plain percentile: 0.79, 0.88, 0.90)."""
    rng = np.random.default_rng(n)
    found = coverage(lambda: paired_effect(skewed_pair(rng, n), RESAMPLES), SKEWED_MEAN)
    print(f"n={n}: coverage {found:.3f}")
    assert at_least <= found <= 0.98


LOST = 0.1  # share of runs that diverge, and so count with the loss that they had at initialisation


def skewed_pair_with_divergences(rng: np.random.Generator, n: int) -> np.ndarray:
    """Differences of two log losses with a shared, skewed seed effect, where some runs of either arm diverge."""
    shared = 0.3 * rng.standard_exponential(n)
    losses = [np.exp(shared + mean + 0.3 * rng.standard_exponential(n)) for mean in (-1.2, -1.5)]
    first, second = (np.where(rng.random(n) < LOST, INITIAL, np.minimum(loss, INITIAL)) for loss in losses)
    return np.asarray(np.log(first) - np.log(second))


@pytest.mark.parametrize("n", [20, 30])
def test_intervals_cover_skewed_losses_with_divergences(n: int) -> None:
    rng = np.random.default_rng(n)
    truth = float(skewed_pair_with_divergences(np.random.default_rng(0), 2_000_000).mean())
    found = coverage(lambda: paired_effect(skewed_pair_with_divergences(rng, n), RESAMPLES), truth, 2000)
    print(f"n={n}: coverage {found:.3f}")
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize(("n", "band"), [(5, (0.78, 0.88)), (20, (0.83, 0.92))])
def test_intervals_of_one_sided_heavy_tails_fall_short(n: int, band: tuple[float, float]) -> None:
    """A known limit, written down: the bare mean of a lognormal with sigma = 1, as no paired difference here is."""
    rng = np.random.default_rng(n)
    found = coverage(lambda: paired_effect(rng.lognormal(0, 1, n), RESAMPLES), float(np.exp(0.5)))
    print(f"n={n}: coverage {found:.3f}")
    assert band[0] <= found <= band[1]


def test_pooled_differences_and_variance_ratios_cover() -> None:
    rng = np.random.default_rng(6)

    def three_tasks() -> Effect:
        return pooled([paired_effect(skewed_pair(rng, 10), RESAMPLES) for _ in range(3)])

    def two_gains() -> Effect:
        return difference(
            paired_effect(skewed_pair(rng, 10), RESAMPLES), paired_effect(skewed_pair(rng, 10), RESAMPLES)
        )

    def two_variances() -> Effect:
        none, arm = rng.normal(size=(2, 30))
        return variance_gain(none, arm, resamples=RESAMPLES)

    assert 0.92 <= coverage(three_tasks, SKEWED_MEAN, 500) <= 0.98
    assert 0.92 <= coverage(two_gains, 0, 500) <= 0.98
    assert 0.91 <= coverage(two_variances, 0, 500) <= 0.98


DOUBLINGS = np.arange(11) * np.log2(10) / 4  # four learning rates to a decade
BEST, WALL = DOUBLINGS[4], DOUBLINGS[7] + 0.4


def curves(
    rng: np.random.Generator, seeds: np.ndarray, spread: float, gain: float = 0.0, further: float = 0.0
) -> LrCurves:
    """An arm: a bowl in log learning rate that ends at a wall, which stands elsewhere for every seed.

    ``seeds`` [n] is what both arms of a seed share; ``spread`` the standard deviation of the log ratio of two arms at
    equal learning rates. ``gain`` lowers the log loss, ``further`` moves the wall by so many doublings.
    """
    noise = spread / np.sqrt(2) * rng.standard_normal((seeds.size, DOUBLINGS.size))
    bowl = 0.3 * np.exp(0.05 * (DOUBLINGS - BEST) ** 2 + seeds[:, None] + noise - gain)
    wall = WALL + further + (seeds + spread * rng.standard_normal(seeds.size))[:, None]
    test = np.minimum(bowl, INITIAL) + (INITIAL - np.minimum(bowl, INITIAL)) / (1 + np.exp(-6 * (DOUBLINGS - wall)))
    seen = test * np.exp(0.3 * spread * rng.standard_normal(test.shape))  # on the validation split
    return LrCurves(0.001 * 2**DOUBLINGS, np.minimum(seen, INITIAL), test, np.full(seeds.size, INITIAL))


Measure = Callable[..., Effect]
ENDPOINTS: dict[str, tuple[Measure, str, str]] = {
    "tuned loss": (lr_curves.tuned_loss, "tuned_loss", "gain"),
    "soft minimum": (lr_curves.soft_tuned_loss, "tuned_loss", "gain"),
    "overshoot": (lr_curves.overshoot, "overshoot", "gain"),
    "cost": (lr_curves.cost, "overshoot", "gain"),
    "usable learning rates": (lr_curves.usable_lr, "usable_lr", "further"),
    "largest trainable": (lr_curves.largest_trainable_lr, "largest_trainable_lr", "further"),
}
"""By endpoint: how it is measured, the name of its margin, and what is planted to move it."""
PUBLISHED = 60  # seeds


def pair(rng: np.random.Generator, n: int, spread: float, **planted: float) -> tuple[LrCurves, LrCurves]:
    """Training without warmup and with, on the same seeds."""
    seeds = 0.1 * rng.standard_exponential(n)
    return curves(rng, seeds, spread), curves(rng, seeds, spread, **planted)


@functools.cache
def strength(endpoint: str, effect: float) -> float:
    """What must be planted to move an endpoint by so much, without noise."""
    measure, _, planted = ENDPOINTS[endpoint]
    none = curves(np.random.default_rng(0), np.zeros(1), 0.0)

    def off(size: float) -> float:
        arm = curves(np.random.default_rng(0), np.zeros(1), 0.0, **{planted: size})
        return measure(none, arm, resamples=39).estimate - effect

    return float(optimize.brentq(off, -1, 3))


def found(endpoint: str, n: int, spread: float, margins: float, trials: int) -> list[Effect]:
    """An endpoint in many studies in which the truth is so many times its margin."""
    measure, least, planted = ENDPOINTS[endpoint]
    size = strength(endpoint, margins * margin(least).value) if margins else 0.0
    rng = np.random.default_rng([n, int(1000 * spread), trials])
    return [measure(*pair(rng, n, spread, **{planted: size}), resamples=RESAMPLES) for _ in range(trials)]


def false_verdicts(endpoint: str, n: int, spread: float, trials: int) -> float:
    """How often equal arms get a directional verdict without any margin."""
    words = [judge(effect.p_above(0), effect.p_below(0), n) for effect in found(endpoint, n, spread, 0, trials)]
    return float(np.mean([word != "inconclusive" for word in words]))


def power(endpoint: str, n: int, spread: float, trials: int) -> tuple[float, float]:
    """How often a rule "above d" is supported where the truth is d beyond it, and contradicted where it is d below."""
    least = margin(ENDPOINTS[endpoint][1]).value
    above, below = (found(endpoint, n, spread, truth, trials) for truth in (2, 0))
    supported = [judge(effect.p_above(least), effect.p_below(least), n) == "supported" for effect in above]
    contradicted = [judge(effect.p_above(least), effect.p_below(least), n) == "contradicted" for effect in below]
    return float(np.mean(supported)), float(np.mean(contradicted))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_equal_arms_seldom_get_a_directional_verdict(endpoint: str) -> None:
    share = false_verdicts(endpoint, PUBLISHED, 0.1, 150)
    assert share <= stats.binom.ppf(0.99, 150, 0.05) / 150


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_effect_of_interest_is_found_at_the_published_number_of_seeds(endpoint: str) -> None:
    assert min(power(endpoint, PUBLISHED, 0.1, 60)) >= 0.9


SPREADS = (0.05, 0.1, 0.2, 0.3)
NEEDED = {
    "tuned loss": (16, 56, 200, 400),
    "soft minimum": (12, 40, 150, 330),
    "overshoot": (8, 16, 50, 110),
    "cost": (8, 20, 65, 140),
    "usable learning rates": (8, 8, 12, 20),
    "largest trainable": (8, 8, 12, 20),
}
"""Seeds with which an effect of the margin's size is found in nine studies of ten, by the spread of a pair."""


@pytest.mark.long
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_seeds_that_each_endpoint_needs(endpoint: str, spread: float) -> None:
    n = NEEDED[endpoint][SPREADS.index(spread)]
    found_, false = power(endpoint, n, spread, 400), false_verdicts(endpoint, n, spread, 1000)
    print(f"{endpoint}, spread {spread}, n = {n}: found {found_[0]:.2f} and {found_[1]:.2f}, false {false:.3f}")
    assert min(found_) >= 0.9 and false <= stats.binom.ppf(0.99, 1000, 0.05) / 1000
