"""Designs of the chapters: what their parameters make of them, what they refuse, and the table that shows them."""

import re
from typing import Any

import pandas as pd
import pytest

from warmup_study.chapters import Chapter, open_chapter
from warmup_study.chapters.anchor_warmup import analysis as anchor_analysis
from warmup_study.chapters.anchor_warmup import figures as anchor_figures
from warmup_study.chapters.attention_and_decay import design as attention_design
from warmup_study.chapters.momentum import analysis as momentum_analysis
from warmup_study.chapters.packages import design_of
from warmup_study.errors import StudyError
from warmup_study.paths import CHAPTERS, PRESETS
from warmup_study.statistics.decisions import MIN_SEEDS
from warmup_study.tasks import text
from warmup_study.training.auxiliary import NO_AUXILIARY
from warmup_study.training.experiment import Experiment

FIRST, ZERO, MOMENTUM, EARLY, ATTENTION, ANCHORS = CHAPTERS[:5] + CHAPTERS[6:7]
IN_UPDATES = [name for name in CHAPTERS if "updates" in design_of(name).Parameters.model_fields]
REFUSED = r"^warmup: got 500; takes at most the number of updates, \d+$"


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
            opened(name, preset=preset, warmup=500)


@pytest.mark.parametrize("name", CHAPTERS)
def test_given_learning_rates_replace_every_grid_and_nothing_else(name: str) -> None:
    given = (0.011, 0.013)
    usual, asked = (opened(name, preset="quick", **more).experiments for more in ({}, {"lrs": given}))
    for before, after in zip(usual, asked, strict=True):
        expected = given if len(before.lrs) > 1 else before.lrs
        assert after == before.model_copy(update={"lrs": expected}), before.part
    assert {len(experiment.lrs) for experiment in asked} == {1, 2}


@pytest.mark.parametrize("name", IN_UPDATES)
def test_asked_lengths_are_those_of_the_grid(name: str) -> None:
    for grid in parts(name, preset="quick", updates=50, warmup=12)["grid"]:
        assert grid.updates == 50 and max(arm.schedule.warmup_length for arm in grid.arms) == 12
    for grid in parts(name, preset="quick", updates=7)["grid"]:  # shorter than the preset's warmup, which is cut
        assert max(arm.schedule.warmup_length for arm in grid.arms) == 7


@pytest.mark.parametrize("name", CHAPTERS)
def test_presets_change_sizes_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "missing", lambda: "no text here")
    designs = {preset: parts(name, preset=preset) for preset in PRESETS}
    assert all(set(found) == set(design_of(name).PARTS) for found in designs.values())
    seeds = {
        preset: [{*e.selection_seeds, *e.confirmation_seeds} for mine in found.values() for e in mine]
        for preset, found in designs.items()
    }
    everything = [set().union(*found) for found in seeds.values()]
    assert sum(map(len, everything)) == len(set().union(*everything)), "two presets share a seed"
    of_the_grid = {
        preset: {len(e.confirmation_seeds) for e in found.get("grid", found.get("lengths", []))}
        for preset, found in designs.items()
    }
    assert max(of_the_grid["smoke"]) < MIN_SEEDS <= min(of_the_grid["quick"]) and min(of_the_grid["full"]) >= 20


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


def test_the_table_says_what_reaches_which_part() -> None:
    table = shown(opened(MOMENTUM, preset="quick", lrs="0.1,0.3", warmup=9, seeds=4, batches="8,32"))
    grid, probe = (table[table["part"] == design_of(MOMENTUM).PARTS[part]].iloc[0] for part in ("grid", "probe"))
    assert grid["learning rate"] == "0.1 to 0.3 (2), effective ones under momentum"
    assert probe["learning rate"] == "0.1, effective ones under momentum"
    sizes = ("seeds", "updates", "batch", "warmup")
    assert [grid[name] for name in sizes] == ["2 to pick, 4 to report", "128", "32", "9"]
    assert [probe[name] for name in sizes] == ["4", "29", "32", "9"]
    adam = table[table["part"] == design_of(MOMENTUM).PARTS["adam"]].iloc[0]
    assert adam["learning rate"] == "0.1 to 0.3 (2)" and adam["arms"].startswith(
        "4: Adam in 2 settings; no warmup / ramp"
    )


# ---------------------------------------- chapter by chapter


def test_sgd_vs_adam_gives_every_arm_the_same_bracketing_grid() -> None:
    for preset in PRESETS:
        for grid in parts(FIRST, preset=preset)["grid"]:
            assert {arm.schedule.warmup for arm in grid.arms} == {"none", "ramp"} and len(grid.lrs) >= 4
            assert grid.lrs[0] < 0.1 * grid.lrs[-1]
    quick, full = (opened(FIRST, preset=preset, task="digits-mlp").experiments for preset in ("quick", "full"))
    assert [[arm.label for arm in e.arms] for e in quick] == [[arm.label for arm in e.arms] for e in full]


def test_sgd_vs_adam_takes_a_batch_for_all_its_parts() -> None:
    found = parts(FIRST, preset="smoke", batch=16, seeds=6, task="digits-deep")
    assert {e.batch for mine in found.values() for e in mine} == {16}
    grid = found["grid"][0]
    assert (grid.task, len(grid.confirmation_seeds), len(grid.selection_seeds)) == ("digits-deep", 6, 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_zero_vs_ramped_warmup_has_every_arm_once(preset: str) -> None:
    found = parts(ZERO, preset=preset)
    for task in {e.task for e in found["grid"]}:
        setups = {arm.label for e in found["grid"] if e.task == task for arm in e.arms}
        assert setups >= {f"{s}/{w}" for s in ("sgd", "momentum", "adam0", "adam") for w in ("none", "zero", "ramp")}
    for jump in found["jump"]:
        assert jump.probed == tuple(range(jump.probed[0], jump.probed[-1] + 1))


def test_the_switches_of_the_factorial_act_at_the_end_of_warmup() -> None:
    (experiment,) = parts(ZERO, preset="smoke", warmup=7)["factorial"]
    arms = {arm.label.removeprefix("adam/"): arm for arm in experiment.arms}
    assert arms["zero-frozen"].optimizer.freeze_first_until == 7
    restarted = arms["zero-frozen-restarted"].optimizer
    assert (restarted.count1_from, restarted.count2_from, restarted.freeze_first_until) == (7, 7, 7)
    assert arms["ramp-reset"].optimizer.reset_at == 7
    then = arms["zero-then-ramp"].schedule
    assert (then.hold, then.length, then.warmup_length) == (7, 7, 14)


def test_zero_vs_ramped_warmup_cuts_what_would_outlast_the_run() -> None:
    experiments = opened(ZERO, updates=40, warmup=30, beta2="0.99").experiments
    assert {arm.optimizer.beta2 for e in experiments for arm in e.arms if arm.optimizer.name == "adam"} == {0.99}
    assert max(arm.schedule.warmup_length for e in experiments for arm in e.arms) == 40


@pytest.mark.parametrize("preset", PRESETS)
def test_momentum_pairs_every_comparison(preset: str) -> None:
    found = parts(MOMENTUM, preset=preset)
    arms = {arm.label: arm for part in ("grid", "zero", "adam") for arm in found[part][0].arms}
    pairs = momentum_analysis.COMPARISONS.values()
    assert {label for pair in pairs for label in (pair.none, pair.arm)} == set(arms)
    assert found["zero"][0].updates - found["grid"][0].updates == arms["momentum/zero"].schedule.length
    for name, arm in arms.items():
        assert arm.lr_scale == pytest.approx(0.1 if arm.optimizer.momentum else 1.0), name


def test_momentum_takes_batches_and_the_middle_one_is_usual() -> None:
    found = parts(MOMENTUM, preset="smoke", momentum="0.5", batches="64, 8")
    assert {e.batch for e in found["grid"]} == {64} and {e.batch for e in found["batch"]} == {8}
    assert {arm.optimizer.momentum for arm in found["zero"][0].arms} == {0.5}


@pytest.mark.parametrize("preset", PRESETS)
def test_early_examples_have_a_twin_for_every_change(preset: str) -> None:
    for part, experiments in parts(EARLY, preset=preset).items():
        for experiment in experiments:
            looks = [(arm.optimizer, arm.schedule, arm.stream) for arm in experiment.arms]
            if part in ("blocks", "first"):
                assert {(o, s, stream.plain) for o, s, stream in looks} <= set(looks)
            if preset == "full":
                assert len(experiment.confirmation_seeds) >= (40 if part == "orders" else 30)


def test_early_examples_take_epochs_and_skew() -> None:
    found = parts(EARLY, preset="smoke", skew="0.5", epochs="3e0")
    assert {arm.stream.skew for e in found["skewed"] for arm in e.arms} == {0.0, 0.5}
    assert {e.updates for part in ("skewed", "lengths") for e in found[part]} == {round(3 * 1257 / 64)}


@pytest.mark.parametrize("preset", PRESETS)
def test_attention_gives_every_net_of_a_comparison_the_same(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "missing", lambda: "no text here")
    found = parts(ATTENTION, preset=preset)
    assert not [e for mine in found.values() for e in mine if e.task.startswith("text")]
    adam = {e.task: e for e in found["grid"] if e.arms[0].optimizer.name == "adam"}
    for nets in (attention_design.TOKEN_NETS, attention_design.MLPS):
        same = [adam[f"digits-{net}"].model_dump(exclude={"task"}) for net in nets]
        assert all(one == same[0] for one in same)
    for part, experiments in found.items():
        assert all((len(e.selection_seeds) > 0) == (part == "decay") for e in experiments)
    decayed = found["decay"][0]
    assert len({arm.schedule.decay_from or arm.schedule.length for arm in decayed.arms}) == 1
    said = attention_design.not_run(attention_design.Parameters.model_validate({"preset": preset}))
    assert said == ("no text here" if preset == "full" else "")


def test_attention_decays_a_task_asked_for_under_both_optimisers() -> None:
    found = [(e.task, e.arms[0].optimizer.name) for e in parts(ATTENTION, preset="smoke", task="digits-mlp")["decay"]]
    assert found == [("digits-mlp", "adam"), ("digits-mlp", "sgd")]


@pytest.mark.parametrize("preset", PRESETS)
def test_anchor_warmup_pairs_every_comparison(preset: str) -> None:
    for experiment in opened(ANCHORS, preset=preset).experiments:
        arms = {arm.label.partition("/")[2]: arm for arm in experiment.arms}
        assert {*arms} == {"none", *anchor_analysis.COMPARISONS} == {*anchor_figures.ARMS}
        pulls = {arm.auxiliary for arm in arms.values()} - {NO_AUXILIARY}
        assert {pull.updates for pull in pulls} == {arms["ramp"].schedule.length}
        assert arms["both"].auxiliary == arms["anchor"].auxiliary and arms["both"].schedule == arms["ramp"].schedule
        assert all(arm.lr_scale == pytest.approx(1 - (arm.optimizer.momentum or 0)) for arm in arms.values())


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        (MOMENTUM, {"momentum": 1}, "momentum: got 1"),
        (MOMENTUM, {"batches": "8, no"}, "batches: got"),
        (MOMENTUM, {"batch": 8}, "batch: no such parameter"),
        (EARLY, {"skew": 1.1}, "skew: got 1.1"),
        (EARLY, {"epochs": -1}, "epochs: got -1"),
        (EARLY, {"warmup": 8}, "warmup: no such parameter"),
        (ATTENTION, {"beta2": 0.9}, "beta2: no such parameter"),
        (ATTENTION, {"preset": "smoke", "warmup": 8}, "warmup: got 8; takes at most the number of updates, 6"),
        (ANCHORS, {"weight": 0}, "weight: got 0"),
        (ANCHORS, {"task": "digits-mlp"}, "task: got 'digits-mlp'; this chapter takes detection tasks"),
    ],
)
def test_what_a_chapter_does_not_take_is_one_line(name: str, given: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(line)}"):
        open_chapter(name, given)
