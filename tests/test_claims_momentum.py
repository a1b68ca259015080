"""The third chapter's verdicts on small tables of runs with planted truths, and the forms of momentum by library."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters.core_curves import ABOVE, USABLE
from warmup_study.chapters.momentum import analysis, figures, libraries
from warmup_study.claims.evidence import verdicts
from warmup_study.claims.verdict import Verdict

LRS = (0.1, 0.2, 0.4, 0.8, 1.6)
START, LENGTH, AFTER, SEEDS = 2.3, 4, 3, 12
TASK = "digits-mlp"
BAD, GOOD = (0.5, 0.3, 1.0, 2.3, 2.3), (0.5, 0.3, 0.4, 0.9, 2.3)  # what a ramp rescues above the best rate


def rows(
    part: str, arm: str, losses: tuple[float, ...], *, batch: int = 64, seeds: int = SEEDS, noise: float = 0.01
) -> Iterator[dict[str, Any]]:
    """One arm of one part: a loss for each learning rate, a little different for every seed."""
    family, _, warmup = arm.partition("/")
    jitter = np.random.default_rng([batch, *map(ord, arm)]).normal(0, noise, (seeds, len(LRS)))
    for seed, (place, lr) in product(range(seeds), enumerate(LRS)):
        loss = losses[place] * np.exp(jitter[seed, place])
        yield common(part, arm, seed) | {
            "warmup": warmup.removesuffix("+n"),
            "batch": batch,
            "lr": lr * (1.0 if family == "sgd" else 0.1),
            "momentum": np.nan if family == "sgd" else 0.9,
            "validation_loss": loss,
            "test_loss": loss,
            "length": 0,
        }


def common(part: str, arm: str, seed: int) -> dict[str, Any]:
    return {
        **{"part": part, "task": TASK, "arm": arm, "optimizer": arm.partition("/")[0]},
        **{"seed": seed, "status": "ok", "initial_loss": START},
    }


def probes(form: str, *, at_rest: bool, after_ramp: float, seeds: int) -> Iterator[dict[str, Any]]:
    """The probed runs of one form of momentum: under ``zero`` the velocity stays 0, or grows to ten gradients."""
    updates = np.arange(1, LENGTH + AFTER + 1)
    for warmup, seed in product(("none", "zero", "constant", "ramp"), range(seeds)):
        scale = 0.1 * (1 + 0.01 * seed)  # learning rate times first gradient
        idle = (updates <= LENGTH) & (warmup == "zero")
        velocity = np.where(idle, 0.0 if at_rest else 10.0, 1.0) * scale / (0.1 if form == "momentum" else 1)
        step = np.where(idle, 0.0, scale) * np.where(updates == LENGTH + 1, 1 if at_rest else 10, 1)
        cosine = 0.5 + 0.01 * np.sin(seed) + (after_ramp if warmup == "ramp" else 0.0)
        yield common("probe", f"{form}/{warmup}", seed) | {
            **{"warmup": warmup, "lr": 0.1, "momentum": 0.9, "batch": 64, "length": LENGTH * (warmup != "none")},
            **{"velocity_norm": list(velocity), "update_norm": list(step)},
            **{"velocity_alignment": [cosine] * len(updates), "probed_at": list(updates)},
        }


def table(
    *,
    sgd: tuple[float, ...] = BAD,
    momentum: tuple[float, ...] = GOOD,
    zero: tuple[float, ...] = BAD,
    at_rest: tuple[bool, bool] = (False, True),
    after_ramp: float = 0.2,
    seeds: int = SEEDS,
    noise: float = 0.01,
    none: tuple[float, ...] = BAD,
) -> pd.DataFrame:
    """A table of runs: losses under the ramp of SGD and momentum, of both forms after ``zero``, and without warmup."""
    sizes: dict[str, Any] = {"seeds": seeds, "noise": noise}
    found: list[dict[str, Any]] = []
    for (part, batch), (name, losses) in product((("core", 64), ("batch", 16)), (("sgd", sgd), ("momentum", momentum))):
        found += rows(part, f"{name}/none", none, batch=batch, **sizes)
        found += rows(part, f"{name}/ramp", losses, batch=batch, **sizes)
    found += rows("core", "momentum/zero+n", zero, **sizes)
    for arm, losses in (("none", none), ("zero+n", zero), ("ramp", momentum)):
        found += rows("forms", f"momentum_lr_inside/{arm}", losses, **sizes)
    for form, rest in zip(analysis.FORMS, at_rest, strict=True):
        found += probes(form, at_rest=rest, after_ramp=after_ramp, seeds=seeds)
    return pd.DataFrame(found)


def verdict_on(name: str, runs: pd.DataFrame) -> Verdict:
    return verdicts(name, analysis.CLAIMS[name](runs), int(runs["seed"].nunique()))[-1]


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({}, "supported"),
        ({"sgd": GOOD}, "contradicted"),  # the ramp gains both alike
        ({"sgd": GOOD, "momentum": BAD}, "contradicted"),
        ({"noise": 0.8}, "inconclusive"),
    ],
)
def test_momentum_counts_as_adaptive(planted: dict[str, Any], word: str) -> None:
    assert verdict_on("momentum-adaptive", table(**planted)).verdict == word


def test_what_sgd_does_not_train_says_nothing() -> None:
    runs = table(sgd=(2.3,) * 5, none=(2.3,) * 5)
    row = verdict_on("momentum-adaptive", runs)
    assert row.left_out == {TASK: "untrainable with SGD"} and row.estimate is None
    assert "nothing to compare" in analysis.say_adaptive(runs)


def test_gains_are_means_over_batch_sizes() -> None:
    effects = analysis.adaptive_effects(table(noise=0.0))[TASK]
    assert isinstance(effects, dict)
    for place, gain in ((USABLE, 0.2), (ABOVE, np.log(1.0 / 0.4))):
        mean = effects[f"Momentum's gain less SGD's {place}"].estimate
        assert mean == pytest.approx(effects[f"batch 16: Momentum's gain less SGD's {place}"].estimate)
        assert mean == pytest.approx(effects[f"Momentum's gain {place}"].estimate) and mean >= gain - 1e-9


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({}, "depends"),  # what is expected: one form gathers, the other does not
        ({"at_rest": (True, True)}, "supported"),
        ({"at_rest": (False, False)}, "contradicted"),
        ({"seeds": 4}, "inconclusive"),
    ],
)
def test_momentum_zero(planted: dict[str, Any], word: str) -> None:
    assert verdict_on("momentum-zero", table(**planted)).verdict == word


def test_a_velocity_that_is_almost_zero_is_not_zero() -> None:
    runs = table(at_rest=(True, True))
    moved = (runs["arm"] == "momentum_lr_inside/zero") & (runs["seed"] == 3)
    runs.loc[moved, "velocity_norm"] = runs.loc[moved, "velocity_norm"].map(lambda norms: [1e-12, *norms[1:]])
    assert verdict_on("momentum-zero", runs).verdict == "inconclusive"


def test_velocity_and_step_are_measured_in_first_gradients_and_first_steps() -> None:
    effects = analysis.velocity_effects(table())[TASK]
    assert isinstance(effects, dict)
    measured = [effects[f"{what} ({form})"].estimate for form in analysis.FORM_NAMES.values() for what in WHAT]
    assert measured == pytest.approx([10, 10, 0, 1])


WHAT = ("velocity", "first step")


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        ({}, ("holds", "holds", "holds")),
        ({"zero": (0.6, 0.4, 1.4, 2.3, 2.3), "after_ramp": -0.2}, ("fails", "fails", "fails")),
        ({"zero": (0.5, 0.3, 1.4, 2.3, 2.3)}, ("holds", "fails", "holds")),
        ({"noise": 0.5}, ("undecided", "undecided", "holds")),
    ],
)
def test_like_none(planted: dict[str, Any], words: tuple[str, ...]) -> None:
    row = verdict_on("like-none", table(**planted))
    told = {"supported": "holds", "contradicted": "fails"}
    assert tuple(told.get(part.word, "undecided") for part in row.statements) == words


def test_no_direction_counts_as_no_cosine() -> None:
    runs = table()
    probed = runs["arm"] == "momentum/ramp"
    nothing = [np.nan] * (LENGTH + AFTER)
    runs.loc[probed & (runs["part"] == "probe"), "velocity_alignment"] = pd.Series([nothing] * len(runs))
    assert analysis.directions(runs)[TASK]["ramp (torch's form)"].estimate == 0


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_libraries_gather_what_their_formula_says(momentum: float) -> None:
    gradients = (1.0, -0.5, 2.0)
    for name, run in libraries.RUN_HERE.items():
        expected = libraries.velocity_at_rest(libraries.FORM_OF[name], momentum, gradients)
        assert run(momentum, gradients) == pytest.approx(expected, abs=0), name
    assert {row.how for row in libraries.table(momentum, gradients).itertuples()} >= {"run here"}


def test_figures_and_sentences_come_from_the_same_tables() -> None:
    runs = table()
    made = [figures.velocity(runs, TASK), figures.outcomes(runs), figures.batches(analysis.batch_gains(runs))]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    assert made[0].words.title.startswith("After learning rate 0, the first step is 10 times its usual length in torch")
    assert "10 (10 to 10) first gradients" in analysis.say_velocity(runs)
    assert "In Sutskever's form, the loss after learning rate 0 is" in analysis.say_outcomes(runs)
    assert "decades for SGD with momentum" in analysis.say_adaptive(runs)
