"""Designs of the chapters: what their parameters make of them, and what they refuse."""

from typing import Any

import pytest

from warmup_study.chapters.sgd_vs_adam.design import Parameters, experiments
from warmup_study.errors import StudyError
from warmup_study.paths import PRESETS
from warmup_study.training.experiment import Experiment


def design(**parameters: Any) -> list[Experiment]:
    return list(experiments(Parameters(**parameters)))


def test_every_arm_gets_the_same_bracketing_grid() -> None:
    for preset in PRESETS:
        for experiment in (e for e in design(preset=preset) if e.part == "grid"):
            warmups = {arm.schedule.warmup for arm in experiment.arms}
            assert warmups == {"none", "ramp"} and len(experiment.lrs) >= 4
            assert experiment.lrs[0] < 0.1 * experiment.lrs[-1]


def test_presets_change_sizes_only() -> None:
    quick, full = ([e for e in design(preset=preset, task="digits-mlp")] for preset in ("quick", "full"))
    labels = [[(e.part, [arm.label for arm in e.arms]) for e in chosen] for chosen in (quick, full)]
    assert labels[0] == labels[1]
    assert len(full[0].confirmation_seeds) >= 20 and len(quick[0].confirmation_seeds) >= 5
    assert len({e.task for e in design(preset="full")}) >= 3


def test_parameters_reach_the_experiments() -> None:
    grid = design(preset="smoke", updates=30, warmup=7, batch=16, lrs=(0.1, 0.2), seeds=6, task="digits-deep")[0]
    assert (grid.updates, grid.batch, grid.lrs, grid.task) == (30, 16, (0.1, 0.2), "digits-deep")
    assert {arm.schedule.warmup_length for arm in grid.arms} == {0, 7}
    assert len(grid.confirmation_seeds) == 6 and len(grid.selection_seeds) == 3


def test_a_ramp_longer_than_the_presets_run_is_refused() -> None:
    with pytest.raises(StudyError, match=r"^warmup: got 500; takes at most the number of updates, 300$"):
        design(preset="quick", warmup=500)


def test_a_run_shorter_than_the_presets_ramp_cuts_the_ramp() -> None:
    assert max(arm.schedule.warmup_length for arm in design(preset="quick", updates=20)[0].arms) == 20
