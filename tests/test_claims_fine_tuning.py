"""The ninth chapter's verdicts on tables of runs whose truth is known, its figures, and what its designs hold."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import torch

from warmup_study.chapters import open_chapter
from warmup_study.chapters.fine_tuning import analysis, by_hand, design, figures, resuming, sentences, trajectories
from warmup_study.claims.evidence import ByTask, verdicts
from warmup_study.claims.verdict import Verdict
from warmup_study.presentation.canvas import StudyFigure
from warmup_study.statistics.bootstrap import Effect, fewer_resamples
from warmup_study.training.experiment import Experiment
from warmup_study.training.table import table_of, to_frame

UNTRAINED, MET, KNOWN = 2.3, 20.0, 0.1  # losses: of an untrained network; on meeting the new data; on the old by then
LRS, TOO_HIGH = (0.01, 0.02, 0.04), (1.2, 1.0, 1.5)
AT = np.arange(0, 401, 10)
SEEDS = range(5_000, 5_012)
TASKS = ("digits-mlp+new", "mnist1d-conv+noisy")
ARMS = ("none", "ramp", "constant", "zero", "ramp, long", "constant, long", "zero, long", "zero+n")


@pytest.fixture(autouse=True)
def quickly() -> Iterator[None]:
    with fewer_resamples(399):
        yield


def row(part: str, task: str, arm: str, seed: int, lr: float, **more: Any) -> dict[str, Any]:
    """What all rows have; the rest is planted."""
    base: dict[str, Any] = {"part": part, "task": task, "arm": arm, "seed": seed, "lr": lr, "grid_lr": lr}
    base |= {"optimizer": "adam", "warmup": arm.partition("/")[2].partition(",")[0], "status": "ok", "updates": 400}
    return base | {"evaluated_at": AT, "length": 20} | more


def noise_of(*what: object) -> np.random.Generator:
    return np.random.default_rng(crc32(str(what).encode()))


def met(
    saved: float = 0.0,
    gained: Mapping[str, float] | None = None,
    noise: float = 0.02,
    lag: int = 0,
    best: float = 0.1,
    tasks: Iterable[str] = TASKS,
) -> list[dict[str, Any]]:
    """Networks whose old loss grows as a power of what the new has fallen by, in log losses.

    All but ``none`` lose less of the old by ``saved`` at equal loss on the new and take ``lag`` evaluations more to get
    anywhere; ``gained`` lowers an arm's loss on the new at the end.
    """
    rows = []
    for task in tasks:
        for state in ("fresh", "kept"):
            for name in ARMS:
                rows += list(_met_by(task, state, name, saved * (name != "none"), gained or {}, noise, lag, best))
        for name in ("none", "constant"):
            rows += [
                row("new data", task, f"scratch/{name}", seed, lr, initial_loss=UNTRAINED)
                | {"validation_loss": 0.2 * times, "test_loss": 0.2 * times, "validation_curve": AT * 0.0}
                for seed in SEEDS
                for lr, times in zip(LRS, TOO_HIGH, strict=True)
            ]
    return rows


def _met_by(
    task: str, state: str, name: str, saved: float, gained: Mapping[str, float], noise: float, lag: int, best: float
) -> Iterator[dict[str, Any]]:
    for seed in SEEDS:
        chance = noise_of(task, state, name, seed)
        for lr, times in zip(LRS, TOO_HIGH, strict=True):
            end = np.log(best * times) - gained.get(name, 0.0) + noise * chance.normal()
            late = lag * (name != "none")
            share = np.clip((np.arange(AT.size) - late) / (AT.size - 1 - lag), 0, 1)
            new = np.log(MET) + share * (end - np.log(MET))
            old = np.log(KNOWN) + 0.8 * (np.log(MET) - new) - saved * (share > 0) + noise * chance.normal()
            yield row(
                "new data",
                task,
                f"{state}/{name}",
                seed,
                lr,
                start_task=task.replace("new", "old"),
                initial_loss=MET,
                validation_curve=np.exp(new),
                old_loss_curve=np.exp(old),
                old_test_loss=float(np.exp(old[-1])),
                validation_loss=float(np.exp(new[-1])),
                test_loss=float(np.exp(new[-1])),
            )


WAYS = ("kept", "fresh", "fresh, ramp 10", "fresh, ramp 30", "fresh, ramp 100", "fresh, zero 30")


def interrupted(
    at_end: float = 0.0, soon: float = 0.0, noise: float = 0.02, tasks: Iterable[str] = ("digits-mlp", "mnist1d-conv")
) -> list[dict[str, Any]]:
    """Runs resumed without their state lose so much more, in log losses, soon and at the end; a ramp halves it."""
    rows = []
    for task in tasks:
        for rule in design.RULES:
            for way in WAYS:
                part = {"kept": 0.0, "fresh": 1.0}.get(way, 0.5)
                for seed in SEEDS:
                    for lr in (0.01, 0.02):
                        chance = noise_of(task, rule, way, seed, lr)
                        more = np.where((AT > 0) & (AT <= 60), soon * part, 0.0)
                        curve = 0.3 * np.exp(more + noise * chance.normal())
                        loss = 0.2 * np.exp(at_end * part + noise * chance.normal())
                        rows.append(
                            row("resuming", task, f"{rule}/{way}", seed, lr, optimizer=rule, initial_loss=0.3)
                            | {"validation_curve": curve, "test_loss": loss, "validation_loss": loss}
                        )
    return rows


def headed(gains: Mapping[str, float], noise: float = 0.02, best: float = 0.1) -> list[dict[str, Any]]:
    """Losses under a new head that each warmup lowers by so much, in logs, with a free backbone alone."""
    rows = []
    for backbone in ("free", "frozen"):
        for name in ("none", "ramp", "constant", "zero"):
            for seed in SEEDS:
                chance = noise_of(backbone, name, seed)
                for lr, times in zip(LRS, TOO_HIGH, strict=True):
                    gain = gains.get(name, 0.0) * (backbone == "free")
                    loss = best * times * np.exp(noise * chance.normal() - gain)
                    rows.append(
                        row("new head", TASKS[0], f"{backbone}/{name}", seed, lr, initial_loss=UNTRAINED)
                        | {"validation_loss": loss, "test_loss": loss}
                    )
    return rows


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return to_frame(table_of(rows))


def judged(name: str, rows: list[dict[str, Any]]) -> Verdict:
    return verdicts(name, analysis.CLAIMS[name](table(rows)), len(SEEDS))[-1]


def effects(found: ByTask[str], task: str = TASKS[0]) -> Mapping[str, Effect]:
    measured = found[task]
    assert isinstance(measured, Mapping), measured
    return measured


# ---------------------------------------- new data


@pytest.mark.parametrize(
    ("saved", "noise", "expected"),
    [
        (0.3, 0.02, "supported"),
        (0.0, 0.02, "contradicted"),  # too small to matter
        (-0.3, 0.02, "contradicted"),  # it harms
        (0.0488, 0.1, "inconclusive"),
    ],
)
def test_new_data_finds_what_was_planted(saved: float, noise: float, expected: str) -> None:
    assert judged("new-data", met(saved, noise=noise)).verdict == expected


def test_the_old_loss_is_compared_at_equal_loss_on_the_new_and_a_slower_start_saves_nothing() -> None:
    found = effects(analysis.new_data(table(met(lag=8))))
    assert found[analysis.CLAIM].estimate == pytest.approx(0.0, abs=0.03)
    saved = effects(analysis.new_data(table(met(0.2, lag=8, noise=0.0))))
    cells = [name for name in saved if name.startswith(f"{analysis.CLAIM} (")]
    assert len(cells) == 4 and {round(saved[name].estimate, 2) for name in cells} == {0.2}
    assert {round(saved[analysis.old_saved_by(way)].estimate, 2) for way in ("a ramp", "lr = 0")} == {0.2}


def test_what_stands_beside_has_the_planted_size() -> None:
    gained = {"constant": -0.1, "ramp": 0.2, "zero": -0.3, "zero+n": -0.4}
    found = effects(analysis.new_data(table(met(gained=gained))))
    for place in analysis.PLACES:
        for way, warmup in analysis.WAYS.items():
            assert found[analysis.new_saved_by(way, place)].estimate == pytest.approx(gained[warmup], abs=0.03)
        for state in design.STATES:
            assert found[analysis.gathered(place, state)].estimate == pytest.approx(-0.4, abs=0.03)
    assert found["new loss saved by keeping the state"].estimate == pytest.approx(0.0, abs=0.03)
    assert found["loss saved by a low LR first, from scratch"].estimate == 0.0
    lost = found["old loss saved by a low LR first, at equal updates"].estimate
    assert lost == pytest.approx(0.8 * 0.1, abs=0.03)  # it has learnt less, and so forgotten less


def test_runs_that_diverge_count_and_data_that_are_not_learnt_do_not() -> None:
    rows = met()
    for each in rows:
        if each["lr"] == LRS[-1] and each["arm"] == "fresh/constant":
            gone = {name: np.where(AT > 100, np.nan, each[name]) for name in ("validation_curve", "old_loss_curve")}
            each |= gone | {"status": "diverged", "test_loss": np.nan, "old_test_loss": np.nan}
    found = effects(analysis.new_data(table(rows)))
    assert all(np.isfinite([effect.estimate, effect.low, effect.high]).all() for effect in found.values())
    assert analysis.new_data(table(met(best=2.0))) == dict.fromkeys(TASKS, "the new data are not learnt")


def test_a_path_is_read_where_it_first_comes_down_to_the_level() -> None:
    new, old = np.array([[3.0, 1.0, 2.0, 0.0]] * 4), np.array([[0.0, 1.0, 5.0, 7.0]] * 4)
    level = np.array([2.0, 0.5, 4.0, -1.0])
    assert trajectories.old_at(new, old, level).tolist() == [0.5, 6.5, 0.0, 0.0]


# ---------------------------------------- a new head


def test_what_a_new_head_gains_has_the_planted_size() -> None:
    found = effects(analysis.heads(table(headed({"ramp": 0.3, "zero": -0.2}))))
    for place in analysis.PLACES:
        assert found[analysis.head_gain("a ramp", place, "free")].estimate == pytest.approx(0.3, abs=0.03)
        assert found[analysis.head_gain("lr = 0", place, "free")].estimate == pytest.approx(-0.2, abs=0.03)
        assert found[analysis.head_gain("a ramp", place, "frozen")].estimate == pytest.approx(0.0, abs=0.03)
    assert analysis.heads(table(headed({}, best=2.0))) == {TASKS[0]: "the new classes are not learnt"}


# ---------------------------------------- resuming


@pytest.mark.parametrize(
    ("at_end", "noise", "expected"),
    [
        (0.2, 0.02, "supported"),
        (0.0, 0.02, "contradicted"),
        (-0.2, 0.02, "contradicted"),
        (0.0488, 0.1, "inconclusive"),
    ],
)
def test_resume_finds_what_was_planted(at_end: float, noise: float, expected: str) -> None:
    assert judged("resume", interrupted(at_end, soon=0.5, noise=noise)).verdict == expected


def test_the_excess_is_told_by_way_and_moment() -> None:
    found = effects(resuming.resumed(table(interrupted(0.2, soon=0.6))), "digits-mlp")
    for more in ("", resuming.TWICE):
        for way, part in ((resuming.FRESH, 1.0), ("a fresh state and a ramp of 30", 0.5)):
            for moment, size in (("10 updates later", 0.6), ("50 updates later", 0.6), ("at the end", 0.2)):
                estimate = found[resuming.excess(way, moment, more)].estimate
                assert estimate == pytest.approx(part * size, abs=0.03)
    assert found["excess loss of a fresh state at the end (AdamW)"].estimate == pytest.approx(0.2, abs=0.03)
    assert resuming.excess("a fresh state and 30 updates at lr = 0", "at the end") in found


# ---------------------------------------- figures and sentences


def test_figures_and_sentences_tell_what_was_planted() -> None:
    gained = {"zero+n": -0.3, "ramp": 0.2}
    planted = [*met(0.3, gained, noise=0.001), *headed({"ramp": 0.3}, 0.001), *interrupted(0.2, np.log(2), 0.001)]
    runs = table(planted)
    new, heads, resumed = analysis.new_data(runs), analysis.heads(runs), resuming.resumed(runs)
    titles = {
        "the new data, starting at a low learning rate leaves the loss on the old data 26\N{NO-BREAK SPACE}% lower": [
            figures.new_data(new)
        ],
        "the loss on the old data is 26\N{NO-BREAK SPACE}% lower after a low LR, ": [figures.paths(runs, new)],
        "leaves the loss on the new data 35\N{NO-BREAK SPACE}% higher if the state is fresh": [figures.gathering(new)],
        "a ramp leaves the loss 26\N{NO-BREAK SPACE}% lower if the backbone trains and about the same": [
            figures.new_head(heads)
        ],
        "22\N{NO-BREAK SPACE}% higher at the end": [figures.resuming(runs, resumed)],
        "updates later: its loss is 100\N{NO-BREAK SPACE}% higher than": [figures.after_resuming(runs)],
    }
    for words, (figure,) in titles.items():
        assert isinstance(figure, StudyFigure) and words in figure.words.title
    assert "no, it hurts" in sentences.of_gathering(new) and "On 2 tasks" in sentences.of_old(new)
    assert "a ramp" in sentences.of_new(new) and "starting with a fresh one" in sentences.of_states(new)
    assert "**backbone trained**" in sentences.of_heads(heads) and "at the end" in sentences.of_resuming(resumed)
    told = sentences.of_new_ramps(resumed)
    assert told.index("of 10 upd") < told.index("of 30 upd") < told.index("of 100 upd") < told.index("lr = 0")


def test_where_nothing_is_learnt_figures_and_sentences_say_so() -> None:
    nothing: ByTask[str] = {TASKS[0]: "the new data are not learnt"}
    assert figures.new_data(nothing).words.title == figures.gathering(nothing).words.title == figures.NOT_LEARNT
    assert figures.new_head(nothing).words.title == figures.NOT_LEARNT
    assert sentences.of_old(nothing) == sentences.of_gathering(nothing) == sentences.of_heads(nothing)
    assert figures.paths(table(met(best=2.0)), nothing).words.title == "Paths from the old data to the new"


def test_the_toys_steps_are_torchs() -> None:
    found = by_hand.steps()
    weight = torch.zeros(1, requires_grad=True, dtype=torch.float64)
    optimizer = torch.optim.Adam([weight], lr=1.0, eps=0.0)
    steps = []
    for gradient in [by_hand.LOUD, *[by_hand.LATER] * (by_hand.SHOWN[-1] - 1)]:
        before, weight.grad = weight.item(), torch.full_like(weight, gradient)
        optimizer.step()
        steps.append(before - weight.item())
    expected = [steps[update - 1] for update in by_hand.SHOWN]
    assert found["step, state fresh"].to_list() == pytest.approx(expected, rel=1e-9)
    last = found.iloc[-1]
    assert last["step, state gathered at lr = 0"] < last["step, state fresh"] < 1 < last["step, state kept"]


# ---------------------------------------- designs


def planned(**parameters: Any) -> list[Experiment]:
    return list(open_chapter("9_fine_tuning", {"device": "cpu"} | parameters).experiments)


@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_every_comparison_is_paired_and_begins_at_the_same_networks(preset: str) -> None:
    found = planned(preset=preset)
    of_new, longer, *heads, resumed, higher = found
    assert [e.part for e in found] == ["new data"] * 2 + ["new head"] * 2 + ["resuming"] * 2
    before = {arm.start.before for e in (of_new, longer, *heads) for arm in e.arms if arm.start}
    assert len(before) == 1 and next(iter(before)).task == "digits-mlp+old"
    assert {e.lrs for e in (longer, heads[0])} == {of_new.lrs} and {e.seeds for e in found} == {of_new.seeds}
    assert longer.updates - of_new.updates == longer.arms[0].schedule.length > 0
    assert {arm.label for arm in longer.arms} == {"fresh/zero+n", "kept/zero+n"}
    assert higher.lrs[0] == pytest.approx(2 * resumed.lrs[0])


def test_resumed_runs_decay_alike_and_go_on_at_the_full_rate_they_had() -> None:
    for experiment in planned(preset="quick")[-2:]:
        (lr,) = experiment.lrs
        assert {arm.schedule.decay_from for arm in experiment.arms} == {design.FULL_FOR}
        for arm in experiment.arms:
            assert arm.start and arm.start.before.lr == lr and arm.start.before.updates == experiment.updates
            assert arm.start.before.optimizer == arm.optimizer and arm.start.before.schedule.decay == "constant"
        assert {50, 10} <= set(experiment.evaluated)
        assert {arm.schedule.length for arm in experiment.arms} == {0, 10, 30, 100}


def test_full_holds_every_case_within_its_budget() -> None:
    per_update = {"digits-mlp": 1.0, "mnist1d-conv": 2.0, "digits-transformer": 12.0}  # ms for 32 runs, on one core
    found = planned(preset="full", task="digits-mlp, mnist1d-conv, digits-transformer")
    assert {e.task for e in found if e.part == "new data"} == {
        "digits-mlp+new",
        "mnist1d-conv+new",
        "mnist1d-conv+noisy",
        "digits-transformer+new",
    }
    seconds = sum(
        len(e.arms) * len(e.lrs) * len(e.seeds) / 32 * e.updates * per_update[e.task.partition("+")[0]] / 1000
        for e in found
    )
    assert seconds < 2 * 20 * 60
    assert {len(arms.arms) for arms in found if arms.part == "new data"} == {16, 2}


@pytest.mark.parametrize(
    ("task", "twist"),
    [("users_networks:resnet", "new"), ("users_networks:cancer", "noisy"), ("tiny_tasks:curve", "noisy")],
)
def test_other_tasks_meet_what_suits_them(task: str, twist: str) -> None:
    found = planned(preset="smoke", task=task, lrs="0.01, 0.1")
    assert {e.task for e in found if e.part == "new data"} == {f"{task}+{twist}"}
    assert bool([e for e in found if e.part == "new head"]) == (twist == "new")


def test_a_run_shorter_than_the_ramps_is_resumed_without_them() -> None:
    found = planned(preset="quick", updates=20)
    assert {arm.schedule.length for e in found if e.part == "resuming" for arm in e.arms} == {0, 10}
