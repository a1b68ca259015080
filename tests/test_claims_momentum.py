"""The third chapter's verdicts on small tables of runs with planted truths."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import judging
from warmup_study.chapters.momentum import analysis, figures
from warmup_study.claims.evidence import GAINS
from warmup_study.claims.verdict import Verdict

LRS, START, LENGTH, AFTER = (0.1, 1.0, 10.0), 2.3, 4, 3
CONFIRMATION, SELECTION = range(8), range(100, 104)


def rows(
    part: str, arm: str, losses: tuple[float, ...], batch: int = 64, seeds: int = 8, noise: float = 0.01
) -> Iterator[dict[str, Any]]:
    """One arm of one part: a loss for each learning rate, a little different for every seed."""
    roles = {seed: "confirmation" for seed in CONFIRMATION[:seeds]}
    roles |= {} if part == "batch" else {seed: "selection" for seed in SELECTION}
    family, _, warmup = arm.partition("/")
    for seed, role in roles.items():
        jitter = np.random.default_rng([seed, batch, sum(map(ord, arm))]).normal(0, noise, len(LRS))
        for lr, loss in zip(LRS, losses + jitter, strict=True):
            yield {
                "part": part,
                "task": "t",
                "arm": arm,
                "optimizer": family,
                "warmup": warmup,
                "batch": batch,
                "lr": lr,
                "seed": seed,
                "role": role,
                "status": "ok",
                "initial_loss": START,
                "validation_loss": loss,
                "test_loss": loss,
                "length": 0,
                "momentum": 0.9,
                "momentum_ramp": 0,
            }


def probes(form: str, *, at_rest: bool, seeds: int) -> Iterator[dict[str, Any]]:
    """The probed runs of one form of momentum: under ``zero`` the velocity stays 0, or grows to ten gradients."""
    updates = LENGTH + AFTER
    for warmup in ("none", "zero", "constant", "ramp"):
        for seed in CONFIRMATION[:seeds]:
            scale = 0.1 * (1 + 0.01 * seed)  # learning rate times first gradient
            idle = (np.arange(1, updates + 1) <= LENGTH) & (warmup == "zero")
            length = np.where(idle, 0.0 if at_rest else 10.0, 1.0) * scale / (0.1 if form == "momentum" else 1)
            step = np.where(idle, 0.0, scale) * np.where(np.arange(updates) == LENGTH, 1 if at_rest else 10, 1)
            yield {
                "part": "probe",
                "task": "t",
                "arm": f"{form}/{warmup}",
                "optimizer": form,
                "warmup": warmup,
                "lr": 0.1,
                "seed": seed,
                "role": "confirmation",
                "status": "ok",
                "momentum": 0.9,
                "batch": 64,
                "length": 0 if warmup == "none" else LENGTH,
                "initial_loss": START,
                "velocity_norm": list(length),
                "update_norm": list(step),
                "velocity_alignment": [0.5] * updates,
                "probed_at": list(range(1, updates + 1)),
            }


GOOD, BAD = (0.5, 0.3, 0.4), (0.5, 0.3, 2.3)  # with and without training at the highest rate


def table(
    *,
    sgd: tuple[float, ...] = BAD,
    momentum: tuple[float, ...] = GOOD,
    rest: Mapping[str, bool] | None = None,
    zero: tuple[float, ...] = BAD,
    seeds: int = 8,
    noise: float = 0.01,
) -> pd.DataFrame:
    """A table of runs: losses of SGD and momentum under the ramp, of both forms after ``zero``; without warmup BAD."""
    rest = rest or {"momentum": False, "momentum_lr_inside": True}
    found: list[dict[str, Any]] = []
    for part, batch in (("grid", 64), ("batch", 16)):
        for optimizer, losses in (("sgd", sgd), ("momentum", momentum)):
            found += rows(part, f"{optimizer}/none", BAD, batch, seeds, noise)
            found += rows(part, f"{optimizer}/ramp", losses, batch, seeds, noise)
    found += rows("grid", "momentum_lr_inside/none", BAD, seeds=seeds, noise=noise)
    for form in analysis.FORMS:
        found += rows("zero", f"{form}/zero", zero, seeds=seeds, noise=noise)
        found += probes(form, at_rest=rest[form], seeds=seeds)
    return pd.DataFrame(found)


def verdict_on(name: str, runs: pd.DataFrame) -> Verdict:
    verdicts = judging.judge("3_momentum", runs, name)
    assert [row.task for row in verdicts] == ["t", "all"]
    assert verdicts[0].parts == verdicts[1].parts and verdicts[0].verdict == ""
    return verdicts[1]


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({}, "depends"),  # what is expected: one form gathers, the other does not
        ({"rest": {"momentum": True, "momentum_lr_inside": True}}, "supported"),
        ({"rest": {"momentum": False, "momentum_lr_inside": False}}, "contradicted"),
        ({"seeds": 4}, "inconclusive"),
    ],
)
def test_momentum_zero(planted: dict[str, Any], word: str) -> None:
    assert verdict_on("momentum-zero", table(**planted)).verdict == word


def test_a_velocity_that_is_almost_zero_is_not_zero() -> None:
    runs = table(rest={"momentum": True, "momentum_lr_inside": True})
    moved = (runs["arm"] == "momentum_lr_inside/zero") & (runs["part"] == "probe") & (runs["seed"] == 3)
    runs.loc[moved, "velocity_norm"] = runs.loc[moved, "velocity_norm"].map(lambda norms: [1e-12, *norms[1:]])
    assert verdict_on("momentum-zero", runs).verdict == "inconclusive"


def test_velocity_and_step_are_measured_in_first_gradients_and_first_steps() -> None:
    effects = analysis.form_effects(table())["t"]
    assert effects["momentum", "velocity"].estimate == pytest.approx(10)
    assert effects["momentum", "first step"].estimate == pytest.approx(10)
    assert effects["momentum_lr_inside", "velocity"].estimate == 0
    assert effects["momentum_lr_inside", "first step"].estimate == pytest.approx(1)
    assert effects["momentum", "direction after ramp"].estimate == pytest.approx(0.5)


def test_no_direction_and_a_diverged_ramp_count_as_no_cosine() -> None:
    runs = table()
    probed = (runs["part"] == "probe") & (runs["arm"] == "momentum/ramp")
    runs.loc[probed, "velocity_alignment"] = runs.loc[probed, "velocity_alignment"].map(
        lambda values: [np.nan] * len(values)
    )
    assert analysis.form_effects(runs)["t"]["momentum", "direction after ramp"].estimate == 0


def test_gains_compare_what_was_run() -> None:
    gains = analysis.gains(table())["t"]
    assert {name for name, _ in gains} == {
        "SGD: ramp",
        "momentum: ramp",
        "momentum: lr = 0, then full",
        "Sutskever's form: lr = 0, then full",
    }
    assert gains["momentum: ramp", "lr_sensitivity"].estimate > 0.2
    assert list(analysis.gain_table({"t": gains}).columns) == ["comparison", "task", *GAINS]


def test_figures_are_drawn_from_the_same_tables() -> None:
    runs = table()
    runs["task"] = "digits-he2"
    made = [
        figures.velocity(runs, "digits-he2"),
        figures.outcomes(runs),
        figures.batches(analysis.batch_gains(runs)),
        figures.kin(analysis.gains(runs), seeds=12),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    assert made[0].maker == "warmup_study.chapters.momentum.figures.velocity"
