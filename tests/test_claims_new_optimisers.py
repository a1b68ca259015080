"""The tenth chapter's verdict on small tables of runs with planted truths, its design and its figures."""

from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from warmup_study import theory
from warmup_study.chapters import core_curves, core_grid, open_chapter
from warmup_study.chapters.core_curves import ABOVE, BEST, LARGEST, USABLE
from warmup_study.chapters.new_optimisers import analysis, design, figures, sentences
from warmup_study.claims.evidence import verdicts
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import PRESETS
from warmup_study.presentation.canvas import StudyFigure
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.training.experiment import Experiment, lr_grid
from warmup_study.training.optimizers import SETTINGS, Optimizer

CHAPTER, TASKS = "10_new_optimisers", ("digits-mlp", "digits-transformer")
LRS, START = np.array(lr_grid(1e-2, 1e0, 4)), 2.3
EDGE = -1.0  # log10 of the learning rate above which nothing trains without warmup
ALL = dict.fromkeys(design.NEWER, 0.5)
Shifts = Mapping[str, float]  # decades by which a ramp moves the edge, by optimiser, or by "optimiser/warmup"


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    with fewer_resamples(999):
        yield


def losses(chance: np.random.Generator, shift: float, best: float, noise: float) -> Any:
    """A seed's loss at each learning rate: lowest somewhat below the usual edge, the initial loss beyond the moved one.

    Its edge and all its losses lie higher or lower by chance.
    """
    below = best * (1 + 3 * np.minimum(np.log10(LRS) - EDGE + 0.4, 0) ** 2)
    failing = 1 / (1 + np.exp(-12 * (np.log10(LRS) - EDGE - shift - noise * chance.normal())))
    return (below * (1 - failing) + START * failing) * np.exp(noise * chance.normal(size=len(LRS)))


def arm(
    task: str, name: str, warmup: str, shift: float, *, seeds: int, noise: float, best: float
) -> Iterator[dict[str, Any]]:
    """One arm of one optimiser on one task; Adam's runs are the core grid's."""
    settings = Optimizer.model_validate({"name": name}).model_dump(exclude={"name"})
    for seed in range(seeds):
        chance = np.random.default_rng([seed, crc32(f"{task} {name} {warmup}".encode())])
        for lr, loss in zip(LRS, losses(chance, shift, best, noise), strict=True):
            yield settings | {
                **{"part": "core" if name == design.ADAM else "grid", "task": task, "arm": f"{name}/{warmup}"},
                **{"optimizer": name, "warmup": warmup.replace("momentum", "none"), "lr": lr, "grid_lr": lr},
                **{"seed": seed, "status": "ok", "initial_loss": START, "validation_loss": loss, "test_loss": loss},
            }


def planted(
    shifts: Shifts, seeds: int = 8, noise: float = 0.02, untrained: str = "", tasks: tuple[str, ...] = TASKS
) -> pd.DataFrame:
    """Every optimiser on every task; ``untrained`` names one that ends above half its initial loss."""
    rows: list[dict[str, Any]] = []
    for task in tasks:
        for name in (*design.OPTIMIZERS, design.ADAM):
            best = 1.8 if name == untrained else 0.3
            for warmup in design.WARMUPS[: 3 if name in design.NEWER else 2]:
                usual = shifts.get(name, 0.0) if warmup == "ramp" else 0.0
                shift = shifts.get(f"{name}/{warmup}", usual)
                rows += arm(task, name, warmup, shift, seeds=seeds, noise=noise, best=best)
    return pd.DataFrame(rows)


def judged(runs: pd.DataFrame) -> Verdict:
    """The row over all tasks, as if no other claim had been tested."""
    return verdicts("new-optimisers", analysis.CLAIMS["new-optimisers"](runs), seeds=8)[-1]


@pytest.mark.parametrize(
    ("shifts", "options", "word"),
    [
        (ALL, {}, "supported"),
        ({}, {}, "contradicted"),
        (dict.fromkeys(design.NEWER, -0.5), {}, "contradicted"),
        ({design.CONTROL: 0.5, design.ADAM: 0.5}, {}, "contradicted"),  # they have no say
        ({f"{name}/momentum": 0.5 for name in design.NEWER}, {}, "contradicted"),  # nor has the other ramp
        (ALL | {"muon": 0.0}, {}, "mixed"),
        ({"lion": 0.5}, {}, "mixed"),
        ({}, {"noise": 0.4}, "inconclusive"),
        (ALL, {"seeds": 4}, "inconclusive"),
    ],
)
def test_new_optimisers(shifts: Shifts, options: dict[str, Any], word: str) -> None:
    assert judged(planted(shifts, **options)).verdict == word


def test_the_effects_have_the_planted_sizes_and_their_units() -> None:
    verdict = judged(planted(ALL | {"adam": 0.25, "signsgd/momentum": -0.25, "muon": 0.0}))
    parts = {part.name: part for part in verdict.parts}
    measured = {name: part.estimate for name, part in parts.items()}
    assert measured[f"Lion's gain {USABLE}"] == pytest.approx(0.43, abs=0.05)
    assert measured[f"Lion's gain {LARGEST}"] == pytest.approx(0.5 * np.log2(10), abs=0.3)
    assert measured[f"Muon's gain {USABLE}"] == pytest.approx(0.0, abs=0.05)
    assert measured[f"Lion's gain less Adam's {USABLE}"] == pytest.approx(0.21, abs=0.05)
    assert measured[f"signSGD's gain from a ramp of the momentum {USABLE}"] == pytest.approx(-0.22, abs=0.05)
    assert measured[f"Adagrad's gain {USABLE}"] == pytest.approx(0.0, abs=0.05)
    assert not any(name.startswith("Adagrad's gain from a ramp of the momentum") for name in parts)
    units = {name: parts[f"Lion's gain {name}"].unit for name in analysis.PLACES}
    assert list(units.values()) == [
        "decades", "log ratio of test losses", "log ratio of test losses", "doublings", "share of seeds"
    ]  # fmt: skip
    words = {statement.name: statement.word for statement in verdict.statements}
    assert words["Lion, usable learning rates"] == "supported"
    assert words["Muon, above the best rate"] == "contradicted"


def test_a_task_that_one_of_them_does_not_train_is_left_out() -> None:
    none = judged(planted(ALL, untrained="muon"))
    assert none.left_out == dict.fromkeys(TASKS, "untrainable with Muon") and none.verdict == "inconclusive"
    control = judged(planted(ALL, untrained=design.CONTROL))
    assert control.left_out == {} and control.verdict == "supported"
    runs = planted(ALL)
    alone = judged(runs[runs["optimizer"] != "lion"])
    assert set(alone.left_out.values()) == {"no case to test"}


def drawn(runs: pd.DataFrame) -> tuple[list[StudyFigure], list[str]]:
    """The chapter's figures and paragraphs."""
    found = analysis.compared(runs)
    gains = core_curves.gains(found, analysis.PLACES, analysis.WARMED)
    made = [figures.curves(runs, found, gains), figures.gains(found, gains), figures.momentum(found, gains)]
    return made, [*sentences.paragraphs(found, gains), sentences.momentum(gains), sentences.field(gains)]


def test_figures_and_sentences_say_what_the_runs_show() -> None:
    made, told = drawn(planted({"lion": 0.5, "muon": -0.5, "adam": 0.5, "signsgd/momentum": 0.5}))
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    curves, gains, momentum = (figure.words.title for figure in made)
    assert curves == (
        "At twice the best learning rate, a ramp helps Lion and Adam; hurts Muon; "
        "hardly matters for signSGD and Adagrad"
    )
    assert gains.startswith(
        "With a ramp, the range of usable learning rates is 170\N{NO-BREAK SPACE}% wider for Lion; "
    )
    assert "about as wide for signSGD and Adagrad; 63\N{NO-BREAK SPACE}% narrower for Muon" in gains
    assert momentum == (
        "In usable learning rates, a momentum ramp gains more than a learning-rate ramp for signSGD and "
        "Muon; less than a learning-rate ramp for Lion"
    )
    assert [text.split()[0] for text in told[:5]] == ["**Lion**", "**signSGD**", "**Muon**", "**Adagrad**", "**Adam**"]
    assert "than with Adam" in told[0] and "than with Adam" not in told[4]
    assert "Muon's learning rate hurts" in told[-1] and "Lion's learning rate helps" in told[-1]
    assert "its learning rate makes no difference" in told[-1]


def test_where_nothing_trains_figures_and_sentences_say_nothing_more() -> None:
    runs = planted({})
    runs[["validation_loss", "test_loss"]] = 2.2
    made, told = drawn(runs)
    assert all("trains on none of these tasks" in paragraph for paragraph in told[:5])
    assert len(made) == 3
    found = analysis.compared(runs[runs["lr"] == LRS[0]])
    assert found == {} and sentences.paragraphs(found, {}) == [] and sentences.momentum({}) == f"{sentences.NOTHING}."


def test_the_toy_steps_as_the_formulas_say() -> None:
    toy = {name: list(steps) for name, *steps in analysis.by_hand((4.0, 1.0, -2.0)).itertuples()}
    assert toy["SGD"] == [-4, -1, 2] and toy["Lion"] == [-1, -1, 1] and toy["signSGD"] == [-1, -1, -1]
    assert toy["Adagrad"] == pytest.approx([-1, -1 / 17**0.5, 2 / 21**0.5])
    assert theory.steps(Optimizer(name="adam"), [3.0, 3.0]) == pytest.approx([-1, -1], rel=1e-6)


# ---------------------------------------- the design


def grids(preset: str, **given: Any) -> list[Experiment]:
    return list(open_chapter(CHAPTER, {"preset": preset, "device": "cpu"} | given).experiments)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_optimiser_has_its_arms_and_adam_stands_beside(preset: str) -> None:
    for task in {experiment.task for experiment in grids(preset)}:
        mine = [experiment for experiment in grids(preset) if experiment.task == task]
        arms = {arm.label: arm for experiment in mine for arm in experiment.arms}
        for name in (*design.OPTIMIZERS, design.ADAM):
            warmed = {label.partition("/")[2] for label in arms if label.startswith(f"{name}/")}
            assert warmed >= ({"none", "ramp", "momentum"} if "momentum_ramp" in SETTINGS[name] else {"none", "ramp"})
            ramp = arms[f"{name}/ramp"]
            assert ramp.lr_scale == 1.0 and ramp.optimizer == arms[f"{name}/none"].optimizer
            if "momentum" in warmed:
                momentum = arms[f"{name}/momentum"]
                assert momentum.optimizer.momentum_ramp == ramp.schedule.length and momentum.schedule.warmup == "none"
        assert len({(e.updates, e.seeds) for e in mine}) == 1, "gains are compared with Adam's, seed by seed"


def test_adam_is_the_core_grids_under_full_and_is_not_trained_again() -> None:
    own = [e for e in grids("full") if any(arm.label.startswith("adam/") for arm in e.arms)]
    core = open_chapter("1_sgd_vs_adam", {"preset": "full", "device": "cpu"}).experiments
    assert len(own) == 3 and all(experiment in core for experiment in own)
    shorter = grids("full", task="digits-deep")
    assert {e.part for e in shorter} == {"grid"}


def test_sizes() -> None:
    for preset, most in (("smoke", 200), ("quick", 300), ("full", 15_000)):
        mine = [e for e in grids(preset) if e.part != core_grid.PART]
        runs = sum(len(e.arms) * len(e.lrs) * len(e.seeds) for e in mine)
        assert 0 < runs <= most
    brackets = [bracket for by_optimizer in design.BRACKETS.values() for bracket in by_optimizer.values()]
    assert all(7 <= len(lr_grid(*bracket, 4)) <= 10 for bracket in brackets)


def test_a_task_without_brackets_has_those_of_adam_moved() -> None:
    by_optimizer = {str(e.arms[0].optimizer.name): e.lrs for e in grids("full", task="digits-deep", seeds=2)}
    for name, lrs in by_optimizer.items():
        ratio = lrs[0] / by_optimizer[design.ADAM][0]
        assert ratio == pytest.approx(design.FACTORS[name], rel=0.35) and len(lrs) >= 2
    assert {e.lrs for e in grids("quick", lrs="0.01, 0.1")} == {(0.01, 0.1)}


def test_places_are_those_of_the_core_curves() -> None:
    assert set(analysis.PLACES) <= set(core_curves.GAINS) and {USABLE, ABOVE, BEST} <= set(analysis.PLACES)
