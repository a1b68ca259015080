"""The second chapter's verdicts on tables of runs whose truth is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import judging
from warmup_study.chapters.zero_vs_ramped_warmup import analysis
from warmup_study.claims.verdict import Verdict

CHAPTER = "2_zero_vs_ramped_warmup"
INITIAL, LENGTH, UPDATES = 2.3, 30, 150
CONFIRMED, SELECTED = range(20), range(100_000, 100_004)
GRID, EDGE = (0.001, 0.01, 0.1), (0.05, 0.07)
FACTORIAL = {
    "none": 2.2,
    "ramp": 0.6,
    "zero": 0.7,
    "zero-frozen": 1.4,
    "zero-restarted": 1.4,
    "zero-frozen-restarted": 1.4,
    "zero-then-ramp": 0.6,
    "ramp-reset": 2.0,
}
ARMS = ("adam/none", "adam/zero", "adam/constant", "adam/short", "adam/ramp", "sgd/none", "sgd/short")


def rows(
    part: str, arms: Mapping[str, float], lrs: tuple[float, ...], task: str = "one", seeds: int = 20
) -> pd.DataFrame:
    """Runs whose losses scatter by 2 % around what is planted for each arm."""
    noise = np.random.default_rng(len(arms))
    table = [
        {"part": part, "task": task, "arm": arm, "lr": lr, "seed": seed, "role": role, "status": "ok"}
        | {"loss": loss * noise.normal(1, 0.02), "length": LENGTH, "updates": UPDATES, "initial_loss": INITIAL}
        for arm, loss in arms.items()
        for lr in lrs
        for role, chosen in (("selection", SELECTED), ("confirmation", CONFIRMED[:seeds]))
        for seed in chosen
    ]
    return pd.DataFrame(table).assign(validation_loss=lambda t: t["loss"], test_loss=lambda t: t["loss"])


def factorial(changes: Mapping[str, float] | None = None, **settings: Any) -> pd.DataFrame:
    losses = FACTORIAL | dict(changes or {})
    return rows("factorial", {f"adam/{name}": loss for name, loss in losses.items()}, EDGE, **settings)


def grid(**losses: float) -> pd.DataFrame:
    planted = {arm: losses.get(arm.replace("/", "_"), 0.5) for arm in ARMS}
    active = rows("active", {"adam/zero": losses.get("adam_zero", 0.5)}, GRID)
    return pd.concat([rows("grid", planted, GRID), active])


def drift(after_jump: float, during_ramp: float = 1.0) -> pd.DataFrame:
    """Drift probed at the last two updates of warmup and the two after it."""
    table = rows("drift", {"adam/zero": 1.0, "adam/ramp": 1.0}, (0.03,))
    levels = {"adam/zero": (0.1, after_jump), "adam/ramp": (during_ramp, 5.0)}
    seen = [np.repeat(levels[arm], 2) * loss for arm, loss in zip(table["arm"], table["loss"], strict=True)]
    probed_at = pd.Series([np.arange(LENGTH - 1, LENGTH + 3) for _ in seen], dtype=object)
    return table.assign(probed_at=probed_at, second_moment_drift=seen)


def lost(none: float, zero: float, constant: float, reached: float = 1.0) -> pd.DataFrame:
    """Runs whose mean steps to the target are given; of those without warmup a share reaches it."""
    steps = {"adam/none": none, "adam/zero": zero, "adam/constant": constant}
    table = rows("lost", {"adam/none": 1.0, "adam/zero": 1.0, "adam/constant": 1.0}, (0.01,))
    table = table[table["role"] == "confirmation"]
    taken = [round(steps[arm] * loss) for arm, loss in zip(table["arm"], table["loss"], strict=True)]
    censored = (table["arm"] == "adam/none") & (table["seed"] >= reached * len(CONFIRMED))
    return table.assign(steps_to_target=pd.Series(taken, index=table.index, dtype="Int64").mask(censored))


def verdict(name: str, runs: pd.DataFrame, task: str = "all") -> Verdict:
    (row,) = [row for row in judging.judge(CHAPTER, runs, name) if row.task == task]
    return row


def word(name: str, *parts: pd.DataFrame) -> str:
    return verdict(name, pd.concat(parts, ignore_index=True)).verdict


def test_shares_have_the_planted_size() -> None:
    (shares,) = analysis.shares(factorial()).values()
    assert shares is not None
    sizes = {name: effect.estimate for name, effect in shares.items()}
    expected = {name: (2.2 - FACTORIAL[name]) / 1.6 for name in analysis.RECOVERING}
    assert sizes == pytest.approx(expected, abs=0.03)


def test_only_the_rates_that_fail_count() -> None:
    fine = rows("factorial", {f"adam/{name}": 0.5 for name in FACTORIAL}, (0.02,))
    both = pd.concat([factorial(), fine], ignore_index=True)
    assert analysis.failing_lrs(both) == list(EDGE)
    (shares,), (alone,) = analysis.shares(both).values(), analysis.shares(factorial()).values()
    assert shares is not None and alone is not None
    assert shares["zero"].estimate == pytest.approx(alone["zero"].estimate)


def test_a_diverged_run_counts_as_untrained() -> None:
    runs = factorial()
    gone = runs["arm"] == "adam/zero"
    (shares,) = analysis.shares(runs.assign(status=runs["status"].mask(gone, "diverged"))).values()
    assert shares is not None and shares["zero"].estimate == pytest.approx((2.2 - INITIAL) / 1.6, abs=0.03)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((40, 70, 60), "supported"),
        ((40, 41, 50), "contradicted"),  # no delay, and the low rate lags
        ((40, 100, 120), "contradicted"),
        ((40, 70, 80), "contradicted"),  # the delay is as said, the low rate no help
        ((40, 100, 60), "contradicted"),
        ((40, 71, 71), "inconclusive"),
    ],
)
def test_lost_epoch_finds_what_was_planted(steps: tuple[float, float, float], expected: str) -> None:
    assert word("lost-epoch", lost(*steps)) == expected


def test_lost_epoch_needs_a_rate_at_which_training_works() -> None:
    assert analysis.lost_updates(lost(40, 70, 60, reached=0.4)) == {"one": None}
    (effects,) = analysis.lost_updates(lost(40, 70, 60, reached=0.9)).values()
    assert effects is not None  # the censored count with the whole run
    assert effects["delay of zero"].estimate == pytest.approx((70 - 0.9 * 40 - 0.1 * UPDATES) / LENGTH, abs=0.1)


def test_drift_added_is_that_after_the_jump_less_that_during_the_ramp() -> None:
    (effects,) = analysis.advantages(pd.concat([grid(), drift(3.0, during_ramp=1.0)])).values()
    assert effects is not None and effects["drift added by the jump"].estimate == pytest.approx(2.0, abs=0.1)


def test_swapping_zero_and_ramp_turns_the_advantage() -> None:
    runs = pd.concat([grid(adam_ramp=0.3), drift(2.0)])
    other = {"adam/zero": "adam/ramp", "adam/ramp": "adam/zero"}
    turned = runs.assign(arm=runs["arm"].where(runs["part"] != "grid", runs["arm"].replace(other)))
    (before,), (after,) = analysis.advantages(runs).values(), analysis.advantages(turned).values()
    assert before is not None and after is not None
    assert before["ramp's advantage over zero"].estimate == pytest.approx(-after["ramp's advantage over zero"].estimate)
