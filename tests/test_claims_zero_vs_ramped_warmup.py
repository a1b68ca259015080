"""The second chapter's verdicts on tables of runs whose truth is known."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch

from warmup_study.chapters import judging
from warmup_study.chapters.zero_vs_ramped_warmup import analysis, figures, sentences
from warmup_study.claims.evidence import ByTask
from warmup_study.statistics.bootstrap import Effect, fewer_resamples

CHAPTER = "2_zero_vs_ramped_warmup"
INITIAL, LENGTH, UPDATES = 2.3, 30, 150
SEEDS = range(5_000, 5_020)
GRID, FAILING = (0.001, 0.002, 0.004, 0.008), (0.005, 0.007)
SWITCHED = {
    "none": 2.2,
    "ramp": 0.6,
    "ramp-reset": 2.0,
    "ramp-reset-ramp": 0.7,
    "zero+n": 0.7,
    "zero+n, frozen": 1.4,
    "zero+n, restarted": 1.4,
    "zero+n, frozen and restarted": 1.4,
    "zero+n, then ramp": 0.6,
}


def rows(part: str, losses: Mapping[str, float], lrs: tuple[float, ...], task: str = "digits-mlp") -> pd.DataFrame:
    """Runs whose losses scatter by 2 % around what is planted for each arm; Adam's."""
    noise = np.random.default_rng(len(losses))
    table = [
        {"part": part, "task": task, "arm": f"adam/{arm}", "optimizer": "adam", "lr": lr, "seed": seed}
        | {"grid_lr": lr, "status": "ok", "loss": loss * noise.normal(1, 0.02)}
        for arm, loss in losses.items()
        for lr in lrs
        for seed in SEEDS
    ]
    runs = pd.DataFrame(table).assign(length=LENGTH, updates=UPDATES, initial_loss=INITIAL)
    return runs.assign(validation_loss=runs["loss"], test_loss=runs["loss"])


def switched(task: str = "digits-mlp", changes: Mapping[str, float] | None = None) -> pd.DataFrame:
    return rows("statistics", SWITCHED | dict(changes or {}), FAILING, task)


def core(best: Mapping[str, float], above: Mapping[str, float]) -> pd.DataFrame:
    """The grid of Adam: the best rate is the second; ``best`` there and below, ``above`` from twice that rate on."""
    low, high = rows("core", best, GRID[:2]), rows("core", above, GRID[2:])
    worse = low["lr"] == GRID[0]
    columns = ["loss", "validation_loss", "test_loss"]
    return pd.concat([low.assign(**{name: low[name] * np.where(worse, 1.2, 1.0) for name in columns}), high])


def ends(after_jump: float, during_ramp: float = 1.0) -> pd.DataFrame:
    """Probes at the last two updates of warmup and the two after it; the batch loss doubles at the jump of zero."""
    table = rows("jump", {"zero": 1.0, "ramp": 1.0}, (0.03,))
    drifts = {"adam/zero": (0.1, after_jump), "adam/ramp": (during_ramp, 5.0)}
    losses = {"adam/zero": (1.0, 2.0), "adam/ramp": (1.0, 1.0)}
    seen = {
        name: [np.repeat(levels[arm], 2) * loss for arm, loss in zip(table["arm"], table["loss"], strict=True)]
        for name, levels in (("second_moment_drift", drifts), ("batch_loss", losses))
    }
    probed_at = pd.Series([np.arange(LENGTH - 1, LENGTH + 3) for _ in range(len(table))], dtype=object)
    return table.assign(probed_at=probed_at, warmup=table["arm"].str.partition("/")[2], **seen)


def lost(none: float, zero: float, constant: float) -> pd.DataFrame:
    """Curves that fall at once from the initial loss to a tenth of it, after so many updates give or take a little."""
    steps = {"none": none, "zero": zero, "constant": constant}
    table = rows("lost", steps, (0.01,))
    at = np.arange(0, UPDATES + 1, 3)
    curves = [np.where(at >= reached, INITIAL / 10, INITIAL) for reached in table["loss"]]
    warmup = table["arm"].str.partition("/")[2]
    seen = {"validation_curve": curves, "evaluated_at": [at] * len(table)}
    columns = {name: pd.Series(values, dtype=object) for name, values in seen.items()}
    return table.assign(warmup=warmup, **columns)


def word(name: str, *parts: pd.DataFrame) -> str:
    with fewer_resamples(999):
        found = judging.judge(CHAPTER, pd.concat(parts, ignore_index=True), name)
    return next(row.verdict for row in found if row.over_all)


def effects(found: ByTask[str]) -> Mapping[str, Effect]:
    (only,) = found.values()
    assert isinstance(only, Mapping), only
    return only


def test_shares_have_the_planted_size_at_the_rates_that_fail_alone() -> None:
    fine = rows("statistics", dict.fromkeys(SWITCHED, 0.5), (0.002,))
    runs = pd.concat([switched(), fine], ignore_index=True)
    assert analysis.failing_lrs(runs) == list(FAILING)
    shares = effects(analysis.statistics(runs))
    recovered = {name: (2.2 - SWITCHED[arm]) / 1.6 for name, arm in analysis.RECOVERED.items()}
    lost_shares = {name: (SWITCHED[arm] - 0.6) / 1.6 for name, arm in analysis.LOST_BY_RESET.items()}
    assert {name: share.estimate for name, share in shares.items()} == pytest.approx(recovered | lost_shares, abs=0.03)


def test_a_diverged_run_counts_as_untrained_and_a_ramp_without_gain_is_no_case() -> None:
    runs = switched()
    gone = runs.assign(status=runs["status"].mask(runs["arm"] == "adam/zero+n", "diverged"))
    share = effects(analysis.statistics(gone))["share recovered at lr = 0"]
    assert share.estimate == pytest.approx((2.2 - INITIAL) / 1.6, abs=0.03)
    assert analysis.statistics(switched(changes={"ramp": 2.1})) == {"digits-mlp": None}


@pytest.mark.parametrize(
    ("zero", "reset", "control", "expected"),
    [
        (0.7, 2.0, 2.0, "supported"),  # recovered, and lost with the state
        (1.6, 2.0, 0.8, "contradicted"),  # neither: the reset costs its full steps alone
        (0.7, 0.8, 0.8, "mixed"),
        (1.6, 2.0, 2.0, "mixed"),
        (0.92, 2.0, 1.4, "inconclusive"),
    ],
)
def test_statistics_finds_what_was_planted(zero: float, reset: float, control: float, expected: str) -> None:
    changes = {"zero+n": zero, "ramp-reset": reset, "ramp-reset-ramp": control}
    assert word("statistics", switched("digits-mlp", changes), switched("digits-he16", changes)) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((40, 70, 60), "supported"),
        ((40, 100, 60), "contradicted"),
        ((40, 41, 50), "contradicted"),  # no delay, and the low rate lags
        ((40, 70, 80), "contradicted"),  # the delay is as said, the low rate no help
        ((40, 70, 70), "inconclusive"),
    ],
)
def test_lost_epoch_finds_what_was_planted(steps: tuple[float, float, float], expected: str) -> None:
    assert word("lost-epoch", lost(*steps)) == expected


def test_delays_are_counted_in_warmups_and_censored_at_the_end() -> None:
    found = effects(analysis.lost_updates(lost(40, 70, 400)))
    assert found["delay of zero"].estimate == pytest.approx(1.0, abs=0.05)
    assert found["lead of constant over zero"].estimate == pytest.approx((70 - UPDATES) / LENGTH, abs=0.2)  # smoothed
    assert analysis.lost_updates(lost(400, 70, 60)) == {"digits-mlp": None}


EVEN = {"none": 0.5, "zero": 0.6, "constant": 0.6, "ramp": 0.5, "zero+n": 0.5, "constant+n": 0.5}
STEEP = {"none": 1.5, "zero": 1.8, "constant": 1.8, "ramp": 0.9, "zero+n": 1.8, "constant+n": 1.8}


def test_the_advantage_is_that_over_the_jump_at_equal_active_updates() -> None:
    found = effects(analysis.jumps(pd.concat([core(EVEN, STEEP), ends(3.0)], ignore_index=True)))
    expected = {
        **{f"ramp's advantage over {arm} at the best learning rate": 0.0 for arm in ("zero", "constant")},
        **{f"ramp's advantage over {arm} above it": np.log(2) for arm in ("zero", "constant")},
        "drift added by the jump": 2.0,
        "loss after the jump over loss before it": np.log(2),
    }
    assert {name: effect.estimate for name, effect in found.items()} == pytest.approx(expected, abs=0.03)


def test_jump_finds_what_was_planted() -> None:
    better = EVEN | {"ramp": 0.4}
    assert word("jump", core(better, STEEP), ends(3.0)) == "supported"
    assert word("jump", core(EVEN, STEEP), ends(3.0)) == "mixed"
    assert word("jump", core(EVEN, STEEP | {"ramp": 1.8}), ends(0.5)) == "contradicted"
    untrained = dict.fromkeys(EVEN, 2.2)
    assert analysis.jumps(core(untrained, untrained)) == {"digits-mlp": "untrainable with Adam"}


def test_figures_and_sentences_tell_what_was_planted() -> None:
    runs = pd.concat([core(EVEN, STEEP), ends(3.0), switched(), switched("digits-he16"), lost(40, 70, 60)])
    with fewer_resamples(199):
        shares, jumps, late = analysis.statistics(runs), analysis.jumps(runs), analysis.lost_updates(runs)
    title = figures.shares(shares).words.title.replace("\N{NO-BREAK SPACE}", " ")
    assert "recover 94 % (93 % to 94 %) of the ramp's gain" in title
    assert "50\N{NO-BREAK SPACE}% lower at twice that" in figures.jump(jumps).words.title
    assert "lags further behind" in figures.end_of_warmup(runs, jumps).words.title
    assert "delay training by" in figures.lost_updates(runs, late).words.title
    assert "on 2 tasks of 2" in sentences.of_statistics(shares) and "jumps on 1 task:" in sentences.of_advantages(jumps)
    assert "sooner" in sentences.of_lost_updates(late) and sentences.of_crossing(shares)
    assert figures.shares({"digits-mlp": None}).words.title.startswith("Nowhere")


def test_adam_by_hand_is_torchs() -> None:
    gradients = [3.0, -1.0, 1.0, -2.0, 1.0, -1.0]
    table = analysis.adam_by_hand(gradients, lost_at=4)
    for column, restarts in (("step, state kept", ()), ("step, state lost", (4,))):
        weight = torch.zeros(1, requires_grad=True, dtype=torch.float64)
        steps = []
        for update, gradient in enumerate(gradients):
            if update == 0 or update in restarts:
                optimizer = torch.optim.Adam([weight], lr=1.0, eps=0.0)
            before, weight.grad = weight.item(), torch.full_like(weight, gradient)
            optimizer.step()
            steps.append(weight.item() - before)
        assert table[column].to_list() == pytest.approx(steps, rel=1e-12)
