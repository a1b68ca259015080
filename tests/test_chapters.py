"""Designs of the chapters: what their parameters make of them, what they refuse, and the table that shows them."""

import re
from typing import Any

import pandas as pd
import pytest
from small_experiments import RAMP, arm, small

from warmup_study.chapters import Chapter, open_chapter
from warmup_study.chapters.design_table import design_table
from warmup_study.chapters.momentum import analysis as momentum_analysis
from warmup_study.chapters.packages import design_of
from warmup_study.errors import StudyError
from warmup_study.paths import CHAPTERS, PRESETS
from warmup_study.statistics.decisions import MIN_SEEDS
from warmup_study.tasks import text
from warmup_study.training.experiment import Experiment

FIRST, MOMENTUM, EARLY, ANCHORS = "1_sgd_vs_adam", "3_momentum", "4_early_examples", "7_anchor_warmup"
IN_UPDATES = [name for name in CHAPTERS if "updates" in design_of(name).Parameters.model_fields]
REFUSED = r"^warmup: got 50000; takes at most the number of updates, \d+$"


def opened(name: str, **parameters: Any) -> Chapter:
    return open_chapter(name, {"device": "cpu"} | parameters)


def parts(name: str, **parameters: Any) -> dict[str, list[Experiment]]:
    """A chapter's experiments, by part."""
    found: dict[str, list[Experiment]] = {}
    for experiment in opened(name, **parameters).experiments:
        found.setdefault(experiment.part, []).append(experiment)
    return found


def shown(chapter: Chapter) -> pd.DataFrame:
    """The table of a chapter's design."""
    table: Any = chapter.design()
    assert isinstance(table.data, pd.DataFrame)
    return table.data


# ---------------------------------------- one rule for all chapters


@pytest.mark.parametrize("name", IN_UPDATES)
def test_a_warmup_longer_than_the_run_is_refused(name: str) -> None:
    for preset in PRESETS:
        with pytest.raises(StudyError, match=REFUSED):
            opened(name, preset=preset, warmup=50_000)


@pytest.mark.parametrize("name", CHAPTERS)
def test_given_learning_rates_replace_every_grid_and_nothing_else(name: str) -> None:
    given = (0.011, 0.013)
    usual, asked = (opened(name, preset="quick", **more).experiments for more in ({}, {"lrs": given}))
    for before, after in zip(usual, asked, strict=True):
        assert after == before.model_copy(update={"lrs": after.lrs}), before.part
        assert after.lrs == given or (len(before.lrs) == 1 and after.lrs == before.lrs), before.part
    assert 2 in {len(experiment.lrs) for experiment in asked}


@pytest.mark.parametrize("name", IN_UPDATES)
def test_asked_lengths_are_those_of_the_grid(name: str) -> None:
    found = parts(name, preset="quick", updates=50, warmup=12)
    for grid in (*found.get("core", ()), *found.get("grid", ())):
        assert grid.updates in (50, 62) and max(arm.schedule.warmup_length for arm in grid.arms) == 12
    found = parts(name, preset="quick", updates=4)  # shorter than the preset's warmup, which is cut
    for grid in (*found.get("core", ()), *found.get("grid", ())):
        assert max(arm.schedule.warmup_length for arm in grid.arms) == 4


@pytest.mark.parametrize("name", CHAPTERS)
def test_presets_change_sizes_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "missing", lambda: "no text here")
    designs = {preset: parts(name, preset=preset) for preset in PRESETS}
    assert {part for found in designs.values() for part in found} == set(design_of(name).PARTS)
    seeds = {
        preset: [set(e.seeds) for mine in found.values() for e in mine if e.arms[0].stream.order is None]
        for preset, found in designs.items()
    }
    everything = [set().union(*found) for found in seeds.values()]
    assert sum(map(len, everything)) == len(set().union(*everything)), "two presets share a seed"
    smoke, quick, full = (max(map(len, found)) for found in seeds.values())
    assert smoke < MIN_SEEDS <= quick <= full >= 20


# ---------------------------------------- the design's table


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_table_adds_up_and_speaks_in_words(name: str) -> None:
    chapter = opened(name, preset="quick")
    table = shown(chapter)
    chunks = [chunk for experiment in chapter.experiments for chunk in experiment.chunks()]
    last = table.iloc[-1]
    assert last["runs"] == f"{sum(len(chunk.runs) for chunk in chunks):,}"
    assert last["updates"] == f"{sum(len(chunk.runs) * chunk.updates for chunk in chunks):,}"
    assert len(table) == len({(e.part, e.task) for e in chapter.experiments}) + 1
    words = " ".join([*table.columns, *table.drop(columns="task").to_numpy().ravel()])
    assert not re.search(r"\w_\w", words)


def test_the_table_says_what_is_run_in_which_part() -> None:
    scaled = (arm("momentum", label="none", lr_scale=0.1), arm("momentum", RAMP, label="ramp", lr_scale=0.1))
    grid = small(arms=scaled, lrs=(1, 3), updates=128, batch=32, seeds=(5, 6, 7, 8))
    more = grid.model_copy(update={"updates": 131})
    table: Any = design_table([grid, more, small(part="probe")], {"grid": "all rates", "probe": "a closer look"})
    first, second, last = (row for _, row in table.data.iterrows())
    assert first["arms"] == "2: SGD + momentum; no warmup / ramp"
    assert first["learning rate"] == "1 to 3 (2), effective with momentum"
    columns = ["part", "seeds", "updates", "batch", "warmup", "runs"]
    assert first[columns].tolist() == ["all rates", "4", "128 / 131", "32", "3", "32"]
    assert second[columns].tolist() == ["a closer look", "5", "8", "16", "3", "20"]
    assert (last["runs"], last["updates"]) == ("52", f"{16 * 128 + 16 * 131 + 20 * 8:,}")


# ---------------------------------------- chapter by chapter


def test_sgd_vs_adam_takes_a_batch_for_all_its_parts() -> None:
    found = parts(FIRST, preset="smoke", batch=16, seeds=6, task="digits-deep")
    assert {e.batch for mine in found.values() for e in mine} == {16}
    assert all(len(grid.seeds) == 6 and grid.task == "digits-deep" for grid in found["core"])


@pytest.mark.parametrize("preset", PRESETS)
def test_momentum_pairs_every_comparison(preset: str) -> None:
    found = parts(MOMENTUM, preset=preset)
    for task in {e.task for e in found["core"]}:
        core, forms, batches = ([e for e in found[part] if e.task == task] for part in ("core", "forms", "batch"))
        arms = {arm.label: (arm, e) for e in (*core, *forms) for arm in e.arms}
        for form in momentum_analysis.FORMS:
            (none, plain), (zero, longer) = (arms[f"{form}/{warmup}"] for warmup in ("none", "zero+n"))
            assert longer.updates - plain.updates == zero.schedule.length and longer.lrs == plain.lrs
            assert none.lr_scale == zero.lr_scale == pytest.approx(0.1) and longer.seeds == plain.seeds
        assert {e.batch for e in core}.isdisjoint(e.batch for e in batches)
        assert all({a.label for a in e.arms} <= set(arms) for e in batches)


def test_momentum_takes_batches_and_a_momentum_that_the_core_grid_lacks() -> None:
    found = parts(MOMENTUM, preset="smoke", momentum="0.5", batches="64, 8")
    assert {e.batch for e in found["core"]} == {64} and {e.batch for e in found["batch"]} == {8}
    assert {arm.optimizer.name for e in found["core"] for arm in e.arms} == {"sgd"}
    assert {arm.optimizer.momentum for e in found["forms"] for arm in e.arms} == {0.5}
    assert {arm.optimizer.name for e in found["forms"] for arm in e.arms} == set(momentum_analysis.FORMS)


# ---------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        (MOMENTUM, {"momentum": 1}, "momentum: got 1"),
        (EARLY, {"skew": 1.1}, "skew: got 1.1"),
        (EARLY, {"epochs": -1}, "epochs: got -1"),
        (EARLY, {"beta2": 0.9}, "beta2: no such parameter"),
        (ANCHORS, {"weight": 0}, "weight: got 0"),
        (ANCHORS, {"task": "digits-mlp"}, "task: got 'digits-mlp'; this chapter takes detection tasks"),
    ],
)
def test_what_a_chapter_does_not_take_is_one_line(name: str, given: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(line)}"):
        open_chapter(name, given)
