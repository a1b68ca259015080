"""The seventh chapter's verdict on small tables of runs with planted truths."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters.anchor_warmup import analysis, figures
from warmup_study.claims.evidence import verdicts
from warmup_study.claims.verdict import Verdict
from warmup_study.tasks import detection

LRS, START, LENGTH = (0.01, 0.1, 1.0), 0.2, 4
VALIDATION = dict(zip(LRS, (1.0, 0.6, 1.4), strict=True))
PULLED = ("anchor", "both", "keras")


def rows(factors: dict[str, float], seeds: int, noise: float) -> Iterator[dict[str, Any]]:
    """Every arm at every rate: an arm's early box loss is its factor times that of none."""
    for optimizer, seed in product(("momentum", "adam"), range(seeds)):
        own = float(np.random.default_rng(seed).normal()) * 0.1
        for name in ("none", *analysis.COMPARISONS):
            jitter = float(np.random.default_rng([seed, len(name), ord(name[0])]).normal()) * noise
            early = START * factors.get(name, 1.0) * np.exp(own + jitter)
            for lr in LRS:
                yield {
                    **{"part": "grid", "task": "detection", "arm": f"{optimizer}/{name}", "optimizer": optimizer},
                    **{"momentum": 0.9 if optimizer == "momentum" else np.nan, "lr": lr, "seed": seed, "status": "ok"},
                    **{"initial_loss": 3.0, "validation_loss": VALIDATION[lr] + jitter / 100},
                    **{"test_loss": VALIDATION[lr], "evaluated_at": [0, 2, 4, 8]},
                    **{"box_curve": [START, early, early, 0.05], "mean_ap": 0.5 + 0.1 * (name == "ramp") + jitter},
                    "auxiliary_updates": LENGTH if name in PULLED else None,
                }


def table(
    weak: float = 1.0, strong: float = 1.0, both: float = 1.0, seeds: int = 12, noise: float = 0.005
) -> pd.DataFrame:
    return pd.DataFrame(rows({"anchor": weak, "keras": strong, "both": both}, seeds, noise))


def verdict_on(runs: pd.DataFrame) -> Verdict:
    found = verdicts("anchor-warmup", analysis.CLAIMS["anchor-warmup"](runs), int(runs["seed"].nunique()))
    assert (found[0].task, found[0].verdict, found[-1].task) == ("detection", "", "all")
    return found[-1]


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"weak": 0.8, "strong": 0.9}, "supported"),
        ({"weak": 1.0, "strong": 1.3}, "contradicted"),
        ({"weak": 0.99, "strong": 0.99}, "contradicted"),  # 1 % is less than the smallest effect of interest
        ({"weak": 0.8, "strong": 1.2}, "mixed"),
        ({"weak": 0.97, "strong": 0.97, "noise": 0.1}, "inconclusive"),
        ({"weak": 0.8, "strong": 0.8, "seeds": 4}, "inconclusive"),
    ],
)
def test_anchor_warmup(planted: dict[str, Any], word: str) -> None:
    assert verdict_on(table(**planted)).verdict == word


def test_early_is_the_mean_within_warmup_and_a_diverged_run_counts_as_at_initialisation() -> None:
    runs = table(noise=0)
    runs["box_curve"] = [[0.2, 0.4, np.nan, np.nan], *runs["box_curve"][1:]]
    runs.loc[0, "mean_ap"] = np.nan
    seen = analysis.with_endpoints(runs).loc[0]
    assert (seen["early"], seen["mean_ap"]) == (pytest.approx(0.3), 0)


def test_the_rate_is_that_of_training_without_warmup() -> None:
    runs = table(weak=0.5)
    others = runs["arm"] != "adam/none"
    runs.loc[others, "validation_loss"] = runs.loc[others, "lr"]  # all other arms would pick the lowest rate
    runs.loc[(runs["lr"] != 0.1) & others, "box_curve"] = pd.Series([[START] * 4] * len(runs))
    assert analysis.without_warmup(runs, "adam").best_lr == 0.1
    found = analysis.effects(runs)["detection"]["adam", "anchor", analysis.EARLY_LOSS]
    assert found.estimate == pytest.approx(np.log(0.5), abs=0.02)


def test_comparisons_hold_an_arm_against_its_own_control() -> None:
    runs = table(weak=0.5, strong=0.7, both=0.9)
    found = analysis.effects(runs)["detection"]
    for arm, factor in (("anchor", 0.5), ("keras", 0.7), ("both", 0.9), ("ramp", 1.0)):
        assert found["adam", arm, analysis.EARLY_LOSS].estimate == pytest.approx(np.log(factor), abs=0.05)
    assert found[analysis.POOLED, "ramp", analysis.PRECISION].estimate == pytest.approx(0.1, abs=0.02)
    shown = analysis.table(runs)
    assert len(shown) == 10 and shown["mean_ap"].between(0.4, 0.7).all()


def test_figures_and_sentences_come_from_the_same_tables() -> None:
    runs = table(weak=0.8)
    raw = np.zeros((figures.SHOWN, detection.PREDICTORS, detection.OUTPUTS)).ravel()
    arms = [f"adam/{name}" for name in figures.ARMS]
    same = {"part": "picture", "task": "detection", "updates": 4, "lr": 0.01, "outputs": raw, "pull_curve": [2.0, 1.0]}
    pictures = pd.DataFrame([same | {"arm": arm} for arm in arms])
    made = [
        figures.anchors(("detection",)),
        figures.early_boxes(pictures, "detection"),
        figures.effects(analysis.effects(runs)),
        figures.rates(runs),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    assert made[2].words.title.startswith("Early box loss is 20\N{NO-BREAK SPACE}% lower with a weak pull")
    assert "with the weak pull it is 20" in analysis.say_early(runs)
    assert "may be larger than 2 %" in analysis.say_end(runs)
    assert "smaller than the 2 %" in analysis.say_end(table())
