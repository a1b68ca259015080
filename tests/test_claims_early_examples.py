"""The fourth chapter's verdicts on small tables of runs with planted truths."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import judging
from warmup_study.chapters.early_examples import analysis, design, figures
from warmup_study.chapters.early_examples.analysis import first_batch, ramp_lengths, skew
from warmup_study.claims import ledger
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders
from warmup_study.training.table import table_of, to_frame

CHAPTER = "4_early_examples"
SEEDS = range(10)
BLOCKS, UPDATES, LOGITS = 4, 40, 12
EXAMPLES, BATCH = 640, 64  # an epoch has ten updates


def run(part: str, warmup: str, seed: int, **more: Any) -> dict[str, Any]:
    """One row; all that a test does not plant is harmless."""
    base = {
        "part": part,
        "task": "t",
        "arm": f"adam/{warmup}",
        "role": "confirmation",
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


def blocks(slope: float, noise: float = 0.05, seeds: Iterable[int] = SEEDS) -> list[dict[str, Any]]:
    """Twins whose squared distance follows exp(slope × place) under every schedule."""
    rows = []
    for seed in seeds:
        chance = np.random.default_rng([7, seed])
        for warmup in design.WARMUPS:
            for decay in ("constant", "cosine"):
                base = chance.normal(size=LOGITS)
                rows.append(run("blocks", warmup, seed, decay=decay, outputs=base))
                for block in range(BLOCKS):
                    size = np.exp(0.5 * slope * (block + 0.5) / BLOCKS + noise * chance.normal())
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


def skewed_runs(
    gap: float, epochs: float, noise: float = 0.02, seeds: Iterable[int] = SEEDS, reach: bool = True
) -> list[dict[str, Any]]:
    """Runs whose final gap under the ramp is so much smaller, and which without warmup learn so many epochs later."""
    rows = []
    at = np.arange(0, UPDATES + 1)
    for seed in seeds:
        chance = np.random.default_rng([3, seed])
        for cluster, share in (("class", 1.0), ("kmeans", 1.0), ("class", 0.0), ("mark", 1.0), ("mark", 0.0)):
            for warmup in ("none", "ramp", "constant") if share else ("none", "ramp"):
                late = 10 * epochs * (share > 0) * (warmup == "none")
                curve = np.where(at >= 15 + late, 0.3, 2.0) if reach else np.full(at.size, 2.0) + at * 1e-3
                final = 0.5 - gap * (warmup == "ramp") + noise * chance.normal()
                rows.append(
                    run(
                        "skewed",
                        warmup,
                        seed,
                        task="t+marks" if cluster == "mark" else "t",
                        cluster=cluster,
                        skew=share,
                        span=5 if share else 0,
                        evaluated_at=at,
                        validation_curve=curve,
                        probed_at=[5, 10, 40],
                        inside_loss=[1.0] * 3,
                        outside_loss=[2.0, 1.5, 1.0 + final],
                    )
                )
    return rows


LENGTHS = (1, 2, 4, 8)


def first(moved: float, gap: float, noise: float = 0.02, seeds: Iterable[int] = SEEDS) -> list[dict[str, Any]]:
    """Twins whose distance and gap at the end of the ramp follow powers of its length."""
    rows = []
    for seed in seeds:
        chance = np.random.default_rng([5, seed])
        for n in LENGTHS:
            shared = {"optimizer": "adam", "length": n, "cluster": "class", "probed_at": LENGTHS}
            flat = {"inside_loss": [1.0] * 4, "displacement": [0.0] * 4, "outside_loss": [1.0] * 4, "skew": 0.0}
            rows.append(run("first", "ramp", seed, **shared, **flat | {"span": 0}))
            for span in {1, n}:
                far = [span * n**moved * np.exp(noise * chance.normal())] * 4
                wide = [1.0 + span * n**gap * np.exp(noise * chance.normal())] * 4
                changed = flat | {"displacement": far, "outside_loss": wide, "skew": 1.0, "span": span}
                rows.append(run("first", "ramp", seed, **shared, **changed))
    return rows


def lengths(grows: float, one_epoch: float, seeds: int = 10) -> list[dict[str, Any]]:
    """Losses lowest at 1 epoch on the mixed stream, or at 4 where one epoch is so much worse; more by skew."""
    grid = (0, 5, 10, 20, 40)
    rows = []
    for seed in range(seeds + 4):
        chance = np.random.default_rng([11, seed])
        for share in (0.0, 1.0):
            best = (2 if one_epoch < 0.05 else 4) + grows * share
            for place, length in enumerate(grid):
                for lr in (0.001, 0.01):
                    loss = 0.2 * np.exp(0.2 * abs(place - best) + 0.3 * (lr == 0.001) + 0.005 * chance.normal())
                    role = "selection" if seed >= seeds else "confirmation"
                    rows.append(
                        run(
                            "lengths",
                            "ramp" if length else "none",
                            seed,
                            length=length,
                            cluster="class",
                            skew=share,
                            lr=lr,
                            role=role,
                            test_loss=loss,
                            validation_loss=loss,
                        )
                    )
    return rows


def new(protects: float, seeds: Iterable[int] = SEEDS, floor: float = 0.1) -> list[dict[str, Any]]:
    """Paths along which the loss on the old classes is so much lower at equal loss on the new, after a low rate."""
    rows = []
    for seed in seeds:
        chance = np.random.default_rng([13, seed])
        for lr in (0.001, 0.01):
            for warmup in ("none", "ramp", "constant"):
                learnt = np.linspace(5, floor, 9)
                old = 5 - learnt - protects * (warmup == "constant") + 0.02 * chance.normal()
                rows.append(
                    run(
                        "new",
                        warmup,
                        seed,
                        task="t+new",
                        cluster="taught",
                        skew=0.0,
                        lr=lr,
                        probed_at=range(1, 10),
                        inside_loss=learnt,
                        outside_loss=old,
                    )
                )
    return rows


def verdict_on(name: str, rows: Iterable[dict[str, Any]]) -> Verdict:
    found = judging.judge(CHAPTER, table(rows), name)
    assert [row.task for row in found] == ["t", "all"]
    assert found[0].parts == found[1].parts and found[0].verdict == ""
    assert found[0].notebook == CHAPTER and found[0].figure.startswith(f"{CHAPTER}-")
    return found[1]


def test_influence_is_half_the_mean_squared_difference_of_twins() -> None:
    rows = [run("blocks", "none", 1, outputs=[1.0, 2.0])]
    rows += [run("blocks", "none", 1, outputs=[1.0, 4.0], redrawn_from=1, redrawn_to=10)]
    rows += [run("blocks", "none", 1, outputs=[4.0, 6.0], redrawn_from=31, redrawn_to=40)]
    found = analysis.influences(table(rows))["none, constant"]
    assert found.to_dict("list") == {0.125: [1.0], 0.875: [6.25]}


@pytest.mark.parametrize(
    ("loss", "logits", "word"),
    [(1, 16, "supported"), (16, 1 / 16, "contradicted"), (16, 1.1, "inconclusive")],
)
def test_early_variance(loss: float, logits: float, word: str) -> None:
    verdict = verdict_on("early-variance", orders(loss, logits))
    assert verdict.verdict == word and verdict.n == 40
    assert np.log(verdict.estimate or 0) == pytest.approx(np.log(logits), abs=0.7)


def test_variance_of_drawn_seeds_is_numpys() -> None:
    chance = np.random.default_rng(0)
    results, seeds = chance.normal(5, 1, (2, 8, 3)), chance.integers(8, size=(4, 8))
    expected = [np.mean([np.var(network[row], axis=0, ddof=1).mean() for network in results]) for row in seeds]
    np.testing.assert_allclose(analysis._variance(results, seeds), expected)


def test_a_rate_at_which_a_run_fails_to_train_is_left_out() -> None:
    failed = [row | {"lr": 0.1, "test_loss": 2.0} for row in orders(16, 16)]
    assert verdict_on("early-variance", orders(16, 16) + failed).verdict == "supported"
    only_failed = judging.judge(CHAPTER, table(failed), "early-variance")
    assert [(row.verdict, row.estimate) for row in only_failed] == [("", None), ("inconclusive", None)]


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"gap": 0.3}, "supported"),
        ({"gap": -0.3}, "contradicted"),
        ({"gap": 0.0}, "contradicted"),  # surely smaller than any of interest
        ({"gap": 0.05}, "inconclusive"),
        ({"gap": 0.3, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_primacy(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("primacy", skewed_runs(epochs=0, **planted))
    assert verdict.verdict == word
    assert verdict.estimate == pytest.approx(-planted["gap"], abs=0.05)
    assert {part.name for part in verdict.parts} >= {
        f"difference in the gap ({name})" for name in ("end of run", "end of ramp", "end of run, mark")
    }


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"epochs": 1.0}, "supported"),
        ({"epochs": -1.0}, "contradicted"),
        ({"epochs": 0.0}, "contradicted"),
        ({"epochs": 1.0, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_extra_epochs(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("extra-epochs", skewed_runs(gap=0, **planted))
    assert verdict.verdict == word and verdict.estimate == pytest.approx(planted["epochs"])


def test_a_run_that_never_reaches_its_target_counts_with_its_length() -> None:
    timed = skew.with_epochs_to_target(table(skewed_runs(gap=0, epochs=9)))
    late = timed[(timed["warmup"] == "none") & (timed["skew"] > 0)]
    assert not late["reached"].any() and set(late["epochs"]) == {UPDATES * BATCH / EXAMPLES}


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"moved": -1.0, "gap": -1.0}, "supported"),
        ({"moved": 0.0, "gap": -0.3}, "contradicted"),
        ({"moved": -1.0, "gap": 0.0}, "mixed"),
        ({"moved": -0.8, "gap": -0.8, "noise": 0.3}, "inconclusive"),
        ({"moved": -1.0, "gap": -1.0, "seeds": range(4)}, "inconclusive"),
    ],
)
def test_one_over_n(planted: dict[str, Any], word: str) -> None:
    verdict = verdict_on("one-over-n", first(**planted))
    assert verdict.verdict == word
    whole = {part.name: part.estimate for part in verdict.parts}["slope of the displacement (Adam, whole ramp)"]
    assert whole == pytest.approx(planted["moved"] + 1, abs=0.3)


def test_head_starts_are_read_at_update_one_and_at_the_ramps_end() -> None:
    rows = first(0, 0, noise=0)
    rows = [
        row | {"displacement": [1.0, 2.0, 3.0, 4.0], "outside_loss": [2.0, 3.0, 4.0, 5.0]} if row["span"] else row
        for row in rows
    ]
    found = first_batch.head_starts(table(rows)).query("length == 4 and lasting == 'first' and seed == 0")
    assert found[["moved_first", "moved", "gap_first", "gap"]].to_numpy().tolist() == [[1.0, 3.0, 1.0, 3.0]]


def test_no_warmup_counts_as_half_the_shortest_ramp() -> None:
    grid = ramp_lengths.LengthGrid(table(lengths(0, 0.0)))
    assert grid.epochs.tolist() == [0, 0.5, 1, 2, 4] and grid.doublings.tolist() == [-2, -1, 0, 1, 2]


def everything() -> pd.DataFrame:
    rows = [*blocks(-2.0), *orders(4, 4), *skewed_runs(0.3, 1.0), *first(-1, -1), *lengths(2, 0.0), *new(0.5)]
    return table(rows)


def test_a_chapter_enters_its_rows(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "quick")
    folders.results.mkdir(parents=True)
    runs = everything()
    alone = judging.enter(folders, CHAPTER, judging.judge(CHAPTER, runs))
    assert {row.notebook for row in alone} == {CHAPTER} and len(alone) == 8
    assert judging.enter(folders, CHAPTER, judging.judge(CHAPTER, runs)) == alone
    assert len(ledger.read(folders)) == 8


def test_figures_are_drawn_from_the_same_tables() -> None:
    runs = everything()
    made = [
        figures.blocks(runs),
        figures.orders(runs, analysis.variance_ratios(runs)),
        figures.new_classes(runs),
        figures.primacy(runs),
        figures.unlearning(runs),
        figures.first_batch(runs),
        figures.lengths(runs),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    pointed_at = {row.figure.removeprefix(f"{CHAPTER}-") for row in judging.judge(CHAPTER, runs)}
    assert pointed_at <= {figure.maker.rpartition(".")[2] for figure in made}
