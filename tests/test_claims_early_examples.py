"""The fourth chapter's verdicts on small tables of runs with planted truths."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import judging
from warmup_study.chapters.early_examples import analysis, figures
from warmup_study.chapters.early_examples.analysis import blocks as single_pass
from warmup_study.chapters.early_examples.analysis import first_batch, sentences, skew
from warmup_study.chapters.early_examples.analysis import orders as shuffled
from warmup_study.claims import evidence, ledger
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.training.table import table_of, to_frame

CHAPTER = "4_early_examples"
SEEDS = range(10)
BLOCKS, UPDATES, LOGITS = 4, 40, 12
EXAMPLES, BATCH = 640, 64  # an epoch has ten updates


@pytest.fixture(autouse=True)
def quickly() -> Iterator[None]:
    with fewer_resamples(399):
        yield


def run(part: str, warmup: str, seed: int, **more: Any) -> dict[str, Any]:
    """One row; all that a test does not plant is harmless."""
    base = {
        "part": part,
        "task": "t",
        "arm": f"adam/{warmup}",
        "optimizer": "adam",
        "warmup": warmup,
        "decay": "constant",
        "length": 0 if warmup == "none" else 10,
        "lr": 0.01,
        "seed": seed,
        "updates": UPDATES,
        "batch": BATCH,
        "examples": EXAMPLES,
        "status": "ok",
        "initial_loss": 2.3,
        "test_loss": 0.3,
        "validation_loss": 0.3,
    }
    return base | more


def table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return to_frame(table_of(list(rows)))


def blocks(first: float, last: float = 1.0, seeds: Iterable[int] = SEEDS) -> list[dict[str, Any]]:
    """Twins of which those that differ in the first or the last block lie so much further apart, in variance."""
    rows = []
    for seed in seeds:
        chance = np.random.default_rng([7, seed])
        for warmup, decay in (("none", "constant"), ("ramp", "constant"), ("none", "cosine")):
            base = chance.normal(size=LOGITS)
            rows.append(run("blocks", warmup, seed, decay=decay, outputs=base))
            for block, influence in enumerate((first, 1.0, 1.0, last)):
                size = np.sqrt(influence) * np.exp(0.05 * chance.normal())
                moved = base + size * np.where(chance.normal(size=LOGITS) > 0, 1, -1)
                stretch = {"redrawn_from": 10 * block + 1, "redrawn_to": 10 * block + 10}
                rows.append(run("blocks", warmup, seed, decay=decay, outputs=moved, **stretch))
    return rows


def orders(loss: float, logits: float, seeds: int = 40) -> list[dict[str, Any]]:
    """Results whose variance without warmup is so many times that under the ramp."""
    rows = []
    for seed in range(seeds):
        for kind in ({"init": 1}, {"init": 2}, {"order": 0}):
            for warmup in ("none", "ramp"):
                chance = np.random.default_rng([seed, *kind.values(), len(kind), warmup == "none"])
                shared = {"none": (loss, logits), "ramp": (1.0, 1.0)}[warmup]
                test_loss = 0.3 + 0.01 * np.sqrt(shared[0]) * chance.normal()
                outputs = np.sqrt(shared[1]) * chance.normal(size=LOGITS)
                rows.append(run("orders", warmup, seed, test_loss=test_loss, outputs=outputs, **kind))
    return rows


RATES = (0.005, 0.01, 0.02)
CLUSTERS = (("class", 1.0), ("kmeans", 1.0), ("class", 0.0), ("mark", 1.0), ("mark", 0.0))


def skewed_runs(
    gap: float = 0.0, epochs: float = 0.0, above: float = 1.0, seeds: Iterable[int] = SEEDS, reach: bool = True
) -> list[dict[str, Any]]:
    """Runs whose gap is so much smaller under the ramp, and which without warmup learn so many epochs later.

    The effects are ``above`` times as large at the rate above the best, which is the middle one. Equally small steps
    do to the gap at the ramp's end all that the ramp does.
    """
    rows = []
    at = np.arange(0, UPDATES + 1)
    for seed in seeds:
        chance = np.random.default_rng([3, seed])
        for cluster, share in CLUSTERS:
            for warmup in ("none", "ramp", "constant") if share else ("none", "ramp"):
                for lr, times in zip(RATES, (0.0, 1.0, above), strict=True):
                    late = 10 * epochs * times * (share > 0) * (warmup == "none")
                    curve = np.where(at >= 5 + late, 0.3, 2.0) if reach else np.full(at.size, 0.4)
                    end, ramp = (0.5 - gap * times * small + 0.02 * chance.normal() for small in _small(warmup))
                    more = {"evaluated_at": at, "validation_curve": curve, "probed_at": [5, 10, 40], "lr": lr}
                    more |= {"inside_loss": [1.0] * 3, "outside_loss": [2.0, 1.0 + ramp, 1.0 + end]}
                    more |= {"validation_loss": 0.3 if lr == RATES[1] else 0.4, "span": 5 if share else 0}
                    task = "t+marks" if cluster == "mark" else "t"
                    rows.append(run("skewed", warmup, seed, task=task, cluster=cluster, skew=share, **more))
    return rows


def _small(warmup: str) -> tuple[float, float]:
    """Whether a warmup narrows the gap at the end of the run, and of the ramp."""
    return {"none": (0.0, 0.0), "ramp": (1.0, 1.0), "constant": (0.0, 1.0)}[warmup]


LENGTHS = (1, 2, 4, 8)


def first(
    moved: float, gap: float, left: float | None = None, noise: float = 0.02, seeds: Iterable[int] = SEEDS
) -> list[dict[str, Any]]:
    """Twins whose distance and gap follow powers of the ramp's length, or at its end both that of ``left``."""
    rows = []
    for seed in seeds:
        chance = np.random.default_rng([5, seed])
        for n in LENGTHS:
            shared = {"length": n, "cluster": "class", "probed_at": LENGTHS, "inside_loss": [1.0] * 4}
            plain = {"displacement": [0.0] * 4, "outside_loss": [1.0] * 4, "skew": 0.0, "span": 0}
            rows.append(run("first", "ramp", seed, **shared, **plain))
            for span in {1, n}:
                far, wide = (
                    span * np.exp(noise * chance.normal()) * np.array([n**power, *[n ** (left or power)] * 3])
                    for power in (moved, gap)
                )
                changed = {"displacement": far, "outside_loss": 1 + wide, "skew": 1.0, "span": span}
                rows.append(run("first", "ramp", seed, **shared, **changed))
    return rows


def judged(name: str, runs: pd.DataFrame) -> list[Verdict]:
    """The rows of a claim; how robust they are is not asked."""
    return evidence.verdicts(name, analysis.CLAIMS[name](runs), int(runs["seed"].nunique()))


def verdict_on(name: str, rows: Iterable[dict[str, Any]]) -> Verdict:
    found = judged(name, table(rows))
    assert [row.task for row in found] == ["t", "all"]
    assert found[0].parts == found[1].parts and found[0].verdict == ""
    assert found[0].notebook == CHAPTER and found[0].figure.startswith(f"{CHAPTER}-")
    return found[1]


def estimates(verdict: Verdict) -> dict[str, float | None]:
    return {part.name: part.estimate for part in verdict.parts}


def test_influence_is_half_the_mean_squared_difference_of_twins() -> None:
    rows = [run("blocks", "none", seed, outputs=[1.0, 2.0]) for seed in (1, 2)]
    for seed in (1, 2):
        rows += [run("blocks", "none", seed, outputs=[1.0, 4.0], redrawn_from=1, redrawn_to=10)]
        rows += [run("blocks", "none", seed, outputs=[4.0, 6.0], redrawn_from=31, redrawn_to=40)]
    found = single_pass.influences(table(rows))["none, constant"]
    assert found.to_dict("list") == {0.125: [1.0, 1.0], 0.875: [6.25, 6.25]}


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"first": 2.0}, "supported"),
        ({"first": 0.8}, "contradicted"),
        ({"first": 1.0}, "contradicted"),  # surely less than a fifth more
        ({"first": 1.2}, "inconclusive"),
        ({"first": 2.0, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_early_examples(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("early-examples", blocks(**planted, last=3.0))
    assert verdict.verdict == word and verdict.estimate == pytest.approx(planted["first"], rel=0.15)
    last = estimates(verdict)["influence of the last block over that of the middle ones"]
    assert last == pytest.approx(np.log(3), abs=0.15)


def test_one_pass_that_trains_nothing_does_not_count() -> None:
    untrained = [row | {"test_loss": 2.0} for row in blocks(2.0)]
    found = judged("early-examples", table(untrained))
    assert found[-1].estimate is None and found[-1].left_out == {"t": "untrainable with Adam"}


@pytest.mark.parametrize(
    ("loss", "logits", "word"),
    [(1, 16, "supported"), (16, 1 / 16, "contradicted"), (16, 1.1, "inconclusive")],
)
def test_early_variance(loss: float, logits: float, word: str) -> None:
    verdict = verdict_on("early-variance", [*orders(loss, logits), *blocks(2.0)])
    assert verdict.verdict == word and verdict.n == 40
    assert np.log(verdict.estimate or 0) == pytest.approx(np.log(logits), abs=0.7)
    assert "influence of the first block, without warmup over with a ramp" in estimates(verdict)


def test_variance_of_drawn_seeds_is_numpys() -> None:
    chance = np.random.default_rng(0)
    results, seeds = chance.normal(5, 1, (2, 8, 3)), chance.integers(8, size=(4, 8))
    expected = [np.mean([np.var(network[row], axis=0, ddof=1).mean() for network in results]) for row in seeds]
    np.testing.assert_allclose(shuffled.variance(results, seeds), expected)


def test_a_rate_at_which_a_run_fails_to_train_is_left_out() -> None:
    failed = [row | {"lr": 0.1, "test_loss": 2.0} for row in orders(16, 16)]
    assert verdict_on("early-variance", orders(16, 16) + failed).verdict == "supported"
    only_failed = judged("early-variance", table(failed))
    assert [(row.verdict, row.estimate) for row in only_failed] == [("", None), ("inconclusive", None)]


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"gap": 0.3}, "supported"),
        ({"gap": -0.3}, "contradicted"),
        ({"gap": 0.0}, "contradicted"),  # surely smaller than any of interest
        ({"gap": 0.025}, "inconclusive"),
        ({"gap": 0.3, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_primacy(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("primacy", skewed_runs(**planted, above=3.0))
    assert verdict.verdict == word
    assert verdict.estimate == pytest.approx(-2 * planted["gap"], abs=0.05)
    expected = {
        "end of run, at the best learning rate": -planted["gap"],
        "end of run, above it": -3 * planted["gap"],
        "end of run, true marks": -2 * planted["gap"],
        "end of ramp": -2 * planted["gap"],
        "end of ramp, beside equally small steps": 0.0,
    }
    for name, size in expected.items():
        assert estimates(verdict)[f"difference in the gap ({name})"] == pytest.approx(size, abs=0.05), name


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"epochs": 1.0}, "supported"),
        ({"epochs": -0.2}, "contradicted"),
        ({"epochs": 0.0}, "contradicted"),
        ({"epochs": 1.0, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_extra_epochs(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("extra-epochs", skewed_runs(**planted, above=2.0))
    assert verdict.verdict == word and verdict.estimate == pytest.approx(1.5 * planted["epochs"])
    found = estimates(verdict)
    assert found["epochs saved (skewed, at the best learning rate)"] == pytest.approx(planted["epochs"])
    assert found["epochs saved (skewed, above it)"] == pytest.approx(2 * planted["epochs"])
    assert found["epochs saved (ordinary)"] == 0


def test_a_run_that_never_reaches_its_target_counts_with_its_length() -> None:
    timed = skew.with_epochs(table(skewed_runs(epochs=9)))
    late = timed[(timed["warmup"] == "none") & (timed["skew"] > 0) & (timed["lr"] > RATES[0])]
    assert not late["reached"].any() and set(late["epochs"]) == {UPDATES * BATCH / EXAMPLES}


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"moved": -1.0, "gap": -1.0}, "supported"),
        ({"moved": 0.0, "gap": -0.3}, "contradicted"),
        ({"moved": -1.0, "gap": -1.0, "left": 0.2}, "mixed"),
        ({"moved": -0.8, "gap": -0.8, "noise": 0.3}, "inconclusive"),
        ({"moved": -1.0, "gap": -1.0, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_one_over_n(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("one-over-n", first(**planted))
    assert verdict.verdict == word
    whole = estimates(verdict)["slope of the displacement (Adam, whole ramp)"]
    assert whole == pytest.approx(planted.get("left", planted["moved"]) + 1, abs=0.3)


def test_head_starts_are_read_at_update_one_and_at_the_ramps_end() -> None:
    rows = [
        row | {"displacement": [1.0, 2.0, 3.0, 4.0], "outside_loss": [2.0, 3.0, 4.0, 5.0]} if row["span"] else row
        for row in first(0, 0, noise=0)
    ]
    found = first_batch.head_starts(table(rows)).query("length == 4 and lasting == 'first' and seed == 0")
    assert found[["moved_first", "moved", "gap_first", "gap"]].to_numpy().tolist() == [[1.0, 3.0, 1.0, 3.0]]


def everything() -> pd.DataFrame:
    return table([*blocks(2.0), *orders(4, 4), *skewed_runs(0.3, 1.0), *first(-1, -1)])


def test_a_chapter_enters_its_rows(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "quick")
    folders.results.mkdir(parents=True)
    found = judging.judge(CHAPTER, everything())
    alone = judging.enter(folders, CHAPTER, found)
    assert {row.notebook for row in alone} == {CHAPTER} and len(alone) == 10
    assert judging.enter(folders, CHAPTER, found) == alone
    assert len(ledger.read(folders)) == 10


def test_figures_and_sentences_come_from_the_same_tables() -> None:
    runs = everything()
    verdicts = [row for name in analysis.CLAIMS for row in judged(name, runs)]
    makers = (figures.blocks, figures.orders, figures.primacy, figures.first_batch)
    made = [maker(runs, verdicts) for maker in makers]
    made.append(figures.unlearning(runs, verdicts, skew.share_reached(runs)))
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    assert "saves 1 epochs after a skewed start, 0 on ordinary streams" in made[-1].words.title
    assert "saves at least 1 epochs" in figures.unlearning(runs, verdicts, 0.5).words.title
    assert "by – nats" in figures.primacy(runs, []).words.title
    assert {row.figure.removeprefix(f"{CHAPTER}-") for row in verdicts} == {
        figure.maker.rpartition(".")[2] for figure in made
    }
    said = [sentences.early, sentences.steadier, sentences.head_start, sentences.left_over]
    assert all("95\N{NO-BREAK SPACE}%" in tell(verdicts) for tell in said)
    assert "at least 1 (" in sentences.unlearnt(verdicts, 0.5) and sentences.early([]) == sentences.NO_CASE
