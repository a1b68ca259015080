"""The eighth chapter's verdicts on tables of runs with planted truths, its figures, and the sizes of its design."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import open_chapter
from warmup_study.chapters.core_curves import ABOVE, BEST
from warmup_study.chapters.how_long import analysis, design, figures, sentences
from warmup_study.chapters.how_long.analysis import comparisons, lengths
from warmup_study.chapters.how_long.sizes import SIZES
from warmup_study.claims.evidence import verdicts
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.statistics.curves import LrCurves
from warmup_study.statistics.lengths import Lengths
from warmup_study.statistics.lr_curves import excess
from warmup_study.training.experiment import Experiment, lr_grid
from warmup_study.training.schedules import factor

LRS, BEST_LR, START = lr_grid(0.00316, 0.0562, 4), 0.01, 2.3
TASKS = ("digits-mlp", "digits-he8", "digits-transformer")
STAR = [
    *((updates, 64, 0.999) for updates in (300, 1000, 3000)),
    *((1000, batch, 0.999) for batch in (16, 256)),
    *((1000, 64, beta2) for beta2 in (0.9, 0.95, 0.98, 0.99)),
]
Needed = Callable[[int, float, float], float]  # updates of the run, updates to an epoch, β₂ -> updates that suffice


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    with fewer_resamples(199):
        yield


def runs_of(
    part: str, task: str, arm: str, scale: Mapping[float, float], seeds: int, noise: float, **more: Any
) -> Iterator[dict[str, Any]]:
    """One arm: a bowl of losses over the learning rates, each times so much, a little different for every seed."""
    bowl = {lr: 0.3 * (1 + 0.5 * np.log(lr / BEST_LR) ** 2) for lr in LRS}
    for seed in range(seeds):
        chance = np.random.default_rng([seed, crc32(f"{task} {arm} {more}".encode())])
        for lr in LRS:
            loss = min(bowl[lr] * scale[lr] * np.exp(noise * chance.normal()), START)
            yield {
                **{"part": part, "task": task, "arm": arm, "optimizer": "adam", "lr": lr, "grid_lr": lr, "seed": seed},
                **{"status": "ok", "initial_loss": START, "validation_loss": loss, "test_loss": loss},
                **{"warmup": "none", "length": 0, "updates": 1000, "batch": 64, "beta2": 0.999},
                **more,
            }


def of_lengths(
    needed: Mapping[str, Needed] | Needed,
    *,
    at_best: float = 0.3,
    above: float = 0.3,
    longer: float = 0.0,
    seeds: int = 12,
    noise: float = 0.01,
) -> Iterator[dict[str, Any]]:
    """The star on three tasks: a shorter ramp than is needed raises the log loss by so much for each e-fold.

    A longer one does by ``longer``.
    """
    for task in TASKS:
        need = needed if callable(needed) else needed[task]
        for updates, batch, beta2 in STAR:
            an_epoch = design.epoch(task, batch)
            for length in design.tried(updates, an_epoch, beta2):
                short = np.log(max(need(updates, an_epoch, beta2), 1) / max(length, 1))
                slope = {lr: (at_best if lr <= BEST_LR else above) if short > 0 else -longer for lr in LRS}
                scale = {lr: float(np.exp(short * slope[lr])) for lr in LRS}
                made = {"length": length, "updates": updates, "batch": batch, "beta2": beta2}
                yield from runs_of("lengths", task, f"β2 {beta2:g}/{length}", scale, seeds, noise, **made)


def over_all(name: str, rows: Iterator[dict[str, Any]], seeds: int = 12) -> Verdict:
    """The row over all tasks, as if no other claim had been tested."""
    return verdicts(name, analysis.CLAIMS[name](pd.DataFrame(list(rows))), seeds=seeds)[-1]


def nothing(updates: int, an_epoch: float, beta2: float) -> float:
    return 1.0


def one_epoch(updates: int, an_epoch: float, beta2: float) -> float:
    return an_epoch


def constant(updates: int, an_epoch: float, beta2: float) -> float:
    return 100.0


def memory(updates: int, an_epoch: float, beta2: float) -> float:
    return 2 / (1 - beta2)


ATTENTIVE = {"digits-mlp": nothing, "digits-he8": one_epoch, "digits-transformer": constant}


@pytest.mark.parametrize(
    ("needed", "options", "word"),
    [
        (nothing, {}, "supported"),
        (one_epoch, {}, "supported"),
        (constant, {}, "contradicted"),
        (constant, {"at_best": 0.0}, "mixed"),
        (ATTENTIVE, {}, "depends"),
        (nothing, {"noise": 1.0}, "inconclusive"),
        (nothing, {"seeds": 4}, "inconclusive"),
    ],
)
def test_how_long(needed: Any, options: dict[str, Any], word: str) -> None:
    verdict = over_all("how-long", of_lengths(needed, **options))
    assert verdict.verdict == word
    assert set(verdict.regimes) == {"easy", "deep", "attention"}


@pytest.mark.parametrize(
    ("needed", "quantity"),
    [
        (lambda updates, an_epoch, beta2: 0.05 * updates, "the length of the run"),
        (one_epoch, "the length of an epoch"),
        (lambda updates, an_epoch, beta2: 0.1 / (1 - beta2), "1/(1−β₂)"),
        (constant, ""),
    ],
)
def test_the_exponents_and_laws_find_what_the_length_was_made_of(needed: Needed, quantity: str) -> None:
    found = lengths.cells(pd.DataFrame(list(of_lengths(needed, longer=0.15))))
    law = next((name for name, told in lengths.GROWING.items() if told == quantity), "updates")
    for place in lengths.PLACES:
        known = lengths.exponents(found, place)
        assert set(known) == set(lengths.GROWING.values())
        for name, one in known.items():
            assert one.estimate == pytest.approx(float(name == quantity), abs=0.2), name
        fitted = lengths.laws(found, place)
        assert min(fitted, key=lambda name: float(fitted[name].lost.min())) == law
        assert fitted[law].lost.min() < 0.05


def test_where_no_ramp_is_needed_nothing_grows() -> None:
    found = lengths.cells(pd.DataFrame(list(of_lengths(nothing, noise=0.0))))
    assert not lengths.exponents(found, BEST)
    assert sentences.exponents_title(found).startswith("Too few") and not sentences.exponents_told(found)


def test_the_best_of_equal_lengths_is_no_better_than_any_of_them() -> None:
    """Against the best in hindsight a length looks worse than it is; cross-fitted it does not."""
    honest, naive = [], []
    for draw in range(40):
        chance = np.random.default_rng(draw)
        losses = {n: 0.3 * np.exp(0.2 * chance.normal(size=(12, 3))) for n in (0, 3, 10, 30, 100, 300)}
        curves = {n: LrCurves(np.array([0.01, 0.02, 0.04]), one, one, np.full(12, START)) for n, one in losses.items()}
        honest.append(Lengths.of(curves).excess(30, 2.0, resamples=19).estimate)
        naive.append(excess(curves[0], list(curves.values()), 3, 2.0, resamples=19).estimate)
    assert abs(np.mean(honest)) < 2.5 * np.std(honest) / np.sqrt(len(honest))
    assert np.mean(naive) > 0.04


def test_a_length_between_two_that_were_trained_lies_on_the_line_between_them() -> None:
    (cell, *_) = lengths.cells(pd.DataFrame(list(of_lengths(constant, noise=0.0))))
    profile = cell.lengths.profile(np.arange(cell.seeds)[None])
    assert cell.lengths.at(profile, 1) == cell.lengths.at(profile, 0) == pytest.approx(0.3 * np.log(100))
    assert cell.lengths.at(profile, np.sqrt(30)) == pytest.approx(0.3 * np.log(100 / np.sqrt(30)))
    assert cell.lengths.at(profile, 1e6) == profile[:, -1]
    assert cell.lengths.excess(10, resamples=19).estimate == pytest.approx(0.3 * np.log(10))


@pytest.mark.parametrize(
    ("needed", "options", "word"),
    [
        (memory, {}, "supported"),
        (nothing, {}, "supported"),
        (lambda updates, an_epoch, beta2: 300.0, {}, "contradicted"),
        (nothing, {"noise": 1.0}, "inconclusive"),
    ],
)
def test_untuned(needed: Needed, options: dict[str, Any], word: str) -> None:
    verdict = over_all("untuned", of_lengths(needed, **options))
    assert verdict.verdict == word
    told = [part.name for part in verdict.parts if part.name.startswith("excess loss (")]
    assert told == [f"excess loss (β2 = {beta2})" for beta2 in ("0.9", "0.95", "0.98", "0.99", "0.999")]


def of_batches(growth: float, *, jump: float = 0.0, seeds: int = 12, noise: float = 0.01) -> Iterator[dict[str, Any]]:
    """The ramp's gain, by optimiser and batch: 0.05 at a batch of 16, and so much more over a factor of 64."""
    for optimizer in ("momentum", "adam"):
        for batch in (16, 64, 256, 1024):
            name = "mnist1d-conv-1024" if batch == 1024 else "mnist1d-conv"
            gains = {"none": 0.0, "ramp": 0.05 + growth * np.log(batch / 16) / np.log(64), "constant": jump}
            for warmup, gain in gains.items():
                made = {"optimizer": optimizer, "batch": batch, "warmup": warmup}
                part = "core" if batch == 1024 else "batch"
                scale = dict.fromkeys(LRS, float(np.exp(-gain)))
                yield from runs_of(part, name, f"{optimizer}/{warmup}", scale, seeds, noise, **made)


@pytest.mark.parametrize(
    ("growth", "noise", "word"),
    [(0.2, 0.01, "supported"), (0.0, 0.01, "contradicted"), (0.05, 0.1, "inconclusive")],
)
def test_large_batch(growth: float, noise: float, word: str) -> None:
    verdict = over_all("large-batch", of_batches(growth, jump=-0.3, noise=noise))
    assert verdict.verdict == word
    found = {part.name: part.estimate for part in verdict.parts}
    assert found["change of the gain over a factor of 64 in batch (Adam)"] == pytest.approx(growth, abs=0.1)
    assert found["gain of a jump (momentum, batch 1024)"] == pytest.approx(-0.3, abs=0.1)


def of_streams(skewed: float, mixed: float, seeds: int = 12, noise: float = 0.01) -> Iterator[dict[str, Any]]:
    """A ramp of 4 epochs changes the log loss by so much on either stream."""
    for share, change in ((design.MIXED, mixed), (design.SKEWED, skewed)):
        for epochs, part in zip(design.SKEW_EPOCHS, (0.0, 1.0), strict=True):
            arm = design.skew_arm(epochs, share)
            scale = dict.fromkeys(LRS, float(np.exp(part * change)))
            yield from runs_of("skew", "digits-mlp", arm, scale, seeds, noise, skew=share)


@pytest.mark.parametrize(
    ("changes", "noise", "word"),
    [
        ((-0.2, 0.0), 0.01, "supported"),
        ((0.1, 0.1), 0.01, "contradicted"),
        ((-0.1, -0.05), 0.1, "inconclusive"),
    ],
)
def test_skew_length(changes: tuple[float, float], noise: float, word: str) -> None:
    assert over_all("skew-length", of_streams(*changes, noise=noise)).verdict == word


def of_shapes(gains: Mapping[str, float], seeds: int = 12) -> Iterator[dict[str, Any]]:
    for shape in design.shapes(50):
        scale = dict.fromkeys(LRS, float(np.exp(-gains.get(shape, 0.0))))
        yield from runs_of("shapes", "digits-he8", shape, scale, seeds, 0.01, length=50)


def test_what_trains_in_no_arm_is_left_out() -> None:
    rows = [row | {"test_loss": 2.0, "validation_loss": 2.0} for row in of_lengths(nothing)]
    for name in ("how-long", "untuned"):
        verdict = over_all(name, iter(rows))
        assert set(verdict.left_out.values()) == {lengths.UNTRAINABLE} and verdict.verdict == "inconclusive"
    runs = pd.DataFrame([row | {"test_loss": 2.0} for row in (*of_shapes({}), *of_streams(0, 0), *of_batches(0))])
    assert not comparisons.shapes(runs)
    assert set(comparisons.skew(runs).values()) == {"untrainable with Adam"}
    assert set(comparisons.large_batch(runs).values()) == {"untrainable with momentum"}


def test_figures_and_sentences_say_what_the_runs_show() -> None:
    rows = [*of_lengths(constant), *of_shapes({"quadratic": -0.3}), *of_batches(0.2), *of_streams(-0.2, 0.1)]
    runs = pd.DataFrame(rows)
    cells, found = lengths.cells(runs), {name: measure(runs) for name, measure in analysis.CLAIMS.items()}
    shapes = comparisons.shapes(runs)
    made = [
        figures.lengths(cells, found["how-long"]),
        figures.lines(cells),
        figures.powers(cells),
        figures.untuned(found["untuned"]),
        figures.shapes(shapes),
        figures.large_batch(found["large-batch"]),
        figures.skew(found["skew-length"]),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    told = [figure.words.title for figure in made]
    assert "a one-epoch ramp leaves the loss 63" in told[0] and "% higher at twice" in told[0]
    assert told[1].startswith("Above the best learning rate, one ramp length for all settings makes the loss ")
    assert " if fixed in updates, " in told[1] and told[1].endswith("relative to each setting's best length")
    assert "does worst (β₂ = 0.9): " in told[3] and told[3].endswith("% higher")
    assert told[4].startswith("The shape that differs most from the linear ramp is quadratic: its loss is 3")
    assert told[5] == "At 64 times the batch size, a ramp gains more with momentum and with Adam"
    assert "18 % lower on skewed streams and 11 % higher on ordinary ones" in told[6].replace("\N{NO-BREAK SPACE}", " ")
    words = sentences.how_long(found["how-long"]) + sentences.laws_told(cells) + sentences.exponents_told(cells)
    assert "digits-transformer" in words and "updates (" in words and " in the length of the run" in words
    assert "quadratic" in sentences.shapes_told(shapes) and "ordinary stream" in sentences.skew(found["skew-length"])
    assert "gain of a jump" in sentences.large_batch(found["large-batch"])


def test_the_table_of_rules_counts_cells_and_names_the_worst() -> None:
    table = sentences.rules_table(lengths.cells(pd.DataFrame(list(of_lengths(constant)))))
    near = next(str(column) for column in table if str(column).startswith("within"))
    rows: Any = table.set_index(["where", "ramp"]).to_dict("index")
    assert rows[ABOVE, "100 updates"][near] == "24 of 27 cells"  # at a batch of 16 it is interpolated
    assert rows[ABOVE, "without warmup"][near].startswith("0 of")
    assert rows[ABOVE, "2/(1−β₂) updates"][near].endswith(f"of {5 * len(TASKS)} cells")
    assert "batch 256" in rows[ABOVE, "one epoch"]["worst case"]


# ---------------------------------------- the design


def designed(preset: str, **parameters: Any) -> list[Experiment]:
    return list(open_chapter("8_how_long", {"preset": preset, "device": "cpu"} | parameters).experiments)


@pytest.mark.parametrize(("updates", "an_epoch", "beta2"), STAR)
def test_each_cell_tries_the_rules_of_thumb(updates: int, an_epoch: float, beta2: float) -> None:
    found = design.tried(updates, 1257 / an_epoch, beta2)
    assert found[0] == 0 and list(found) == sorted(set(found)) and found[-1] <= updates
    assert round(1257 / an_epoch) in found
    assert (design.untuned_length(beta2) in found) == (updates >= 3 / (1 - beta2) - 1e-6)


def test_lengths_at_the_edges() -> None:
    assert design.tried(300, 1257 / 1024, 0.999) == (0, 3, 10, 30, 100)  # an epoch of one update is no warmup
    assert design.tried(1000, 39.3, 0.999) == (0, 3, 10, 39, 100, 300)  # 30 is nearly an epoch
    assert design.tried(20, 500.0, 0.999) == (0, 3, 10)


def test_full_is_the_star_that_its_docstring_draws() -> None:
    found = [e for e in designed("full") if e.part == "lengths"]
    assert {e.task for e in found} == set(TASKS) and min(len(e.seeds) for e in found) == 12
    for task in TASKS:
        mine = {(e.updates, e.batch, arm.optimizer.beta2): arm for e in found if e.task == task for arm in e.arms}
        own = 32 if task == "digits-transformer" else 64
        star = {(300, own, 0.999), (3000, own, 0.999), *((1000, own, b) for b in (0.9, 0.95, 0.98, 0.99, 0.999))}
        assert star | {(1000, 16, 0.999)} < set(mine)
        batches = {batch for _, batch, _ in mine}
        assert batches == {16, own, 256} | ({1024} if task == "digits-mlp" else set())
        fixed = {batch: float(b or 0) for _, batch, b in mine if b not in (0.9, 0.95, 0.98, 0.99, 0.999)}
        assert all(
            np.log(beta2) / batch == pytest.approx(np.log(0.999) / own, rel=0.01) for batch, beta2 in fixed.items()
        )


def test_every_beta2_has_its_ramp_in_the_published_design() -> None:
    for task in TASKS:
        found = {
            arm.optimizer.beta2
            for e in designed("full")
            if e.part == "lengths" and e.task == task
            for arm in e.arms
            if arm.schedule.length == design.untuned_length(arm.optimizer.beta2 or 0.0)
        }
        assert found >= {0.9, 0.95, 0.98, 0.99, 0.999}


def test_all_batches_take_as_many_updates_and_a_ramp_as_long() -> None:
    found = [e for e in designed("full") if e.part in ("batch", "core")]
    for task in ("digits-he8", "mnist1d-conv"):
        mine = [e for e in found if e.task.startswith(task)]
        assert {e.batch for e in mine} == {16, 64, 256, 1024}
        assert len({(e.updates, len(e.seeds)) for e in mine}) == 1
        assert {arm.schedule.length for e in mine for arm in e.arms} == {0, mine[0].updates // 20}
        assert all("constant" in " ".join(arm.label for arm in e.arms) for e in mine if e.batch == 1024)


def test_shapes_forgo_as_many_updates_as_the_ramp() -> None:
    lost = {}
    for name, schedule in design.shapes(200).items():
        flat = schedule.model_copy(update={"decay": "constant"})
        lost[name] = float((1 - factor(flat, np.arange(1, 4001), 4000)).sum())
    assert lost.pop(design.NO_WARMUP) == 0 and lost[design.LINEAR] == pytest.approx(99.5)
    assert all(value == pytest.approx(100, rel=0.11) for value in lost.values())


def test_own_lengths_and_tasks_reach_the_parts() -> None:
    asked = designed("smoke", updates=60, warmup=7, task="digits-he2")
    assert {e.task for e in asked} == {"digits-he2"}
    assert {e.updates for e in asked if e.part == "lengths"} == {60, 120}
    (shapes,) = (e for e in asked if e.part == "shapes")
    assert shapes.updates == 60 and shapes.arms[1].schedule.length == 7
    assert SIZES["quick"].seeds >= 5
