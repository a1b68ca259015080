"""The seventh chapter's verdict on small tables of runs with planted truths."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import judging
from warmup_study.chapters.anchor_warmup import analysis, figures
from warmup_study.tasks import detection

LRS, START, LENGTH = (0.01, 0.1, 1.0), 0.2, 4
VALIDATION = dict(zip(LRS, (1.0, 0.6, 1.4), strict=True))
CONFIRMATION, SELECTION = range(8), range(100, 103)


def rows(loss: float, spread: float, seeds: int, noise: float) -> Iterator[dict[str, Any]]:
    """Every arm at every rate: the anchor arm's early box loss is `loss` times that of none, its deviation `spread`."""
    roles = dict.fromkeys(CONFIRMATION[:seeds], "confirmation") | dict.fromkeys(SELECTION, "selection")
    for optimizer in ("momentum", "adam"):
        for seed, role in roles.items():
            own = float(np.random.default_rng(seed).normal()) * 0.1
            for name in ("none", *analysis.COMPARISONS):
                pulled = name in ("anchor", "both", "keras")
                jitter = float(np.random.default_rng([seed, len(name), ord(name[0])]).normal()) * noise
                early = START * (loss if pulled else 1) * np.exp(own * (spread if pulled else 1) + jitter)
                for lr in LRS:
                    yield {
                        "part": "grid",
                        "task": "detection",
                        "arm": f"{optimizer}/{name}",
                        "optimizer": optimizer,
                        "momentum": 0.9 if optimizer == "momentum" else np.nan,
                        "lr": lr,
                        "seed": seed,
                        "role": role,
                        "status": "ok",
                        "initial_loss": 3.0,
                        "length": 0,
                        "validation_loss": VALIDATION[lr] + jitter / 100,
                        "test_loss": VALIDATION[lr],
                        "evaluated_at": [0, 2, 4, 8],
                        "box_curve": [START, early, early, 0.05],
                        "pull_curve": [1.0, 2.0, 3.0, 4.0],
                        "mean_ap": 0.5 + 0.1 * (name == "ramp") + jitter,
                        "test_error": 0.3,
                        "auxiliary_updates": LENGTH if pulled else None,
                    }


def table(loss: float = 1.0, spread: float = 1.0, seeds: int = 8, noise: float = 0.005) -> pd.DataFrame:
    return pd.DataFrame(rows(loss, spread, seeds, noise))


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"loss": 0.8}, "supported"),
        ({"loss": 1.3, "spread": 3.0}, "contradicted"),
        ({"loss": 1.0}, "contradicted"),  # no more than 2 % to be had
        ({"noise": 0.1}, "inconclusive"),
        ({"loss": 0.8, "seeds": 4}, "inconclusive"),
    ],
)
def test_anchor_warmup(planted: dict[str, Any], word: str) -> None:
    task, over_all = judging.judge("7_anchor_warmup", table(**planted))
    assert (task.task, over_all.task) == ("detection", "all")
    assert (task.verdict, over_all.verdict) == ("", word)
    assert over_all.estimate == pytest.approx(np.log(planted.get("loss", 1.0)), abs=0.1)


def test_early_is_the_mean_within_warmup_and_a_diverged_run_counts_as_at_initialisation() -> None:
    runs = table(noise=0)
    runs["box_curve"] = [[0.2, 0.4, np.nan, np.nan], *runs["box_curve"][1:]]
    runs.loc[0, ["mean_ap", "test_error"]] = np.nan
    seen = analysis.with_endpoints(runs).loc[0]
    assert (seen["early"], seen["iou"], seen["mean_ap"]) == (pytest.approx(0.3), 0, 0)


def test_the_rate_is_that_of_training_without_warmup() -> None:
    runs = table()
    others = runs["arm"] != "adam/none"
    runs.loc[others, "validation_loss"] = runs.loc[others, "lr"]  # all other arms would pick the lowest rate
    assert analysis.best_rate(runs, "adam") == 0.1
    assert {rows["lr"].iloc[0] for rows in analysis.at_best_rate(runs, "adam").values()} == {0.1}


def test_comparisons_hold_an_arm_against_its_own_control() -> None:
    found = analysis.effects(table(loss=0.5))["detection"]
    for arm in ("anchor", "both", "keras"):
        assert found["adam", arm, analysis.EARLY_LOSS].estimate == pytest.approx(np.log(0.5), abs=0.05)
    assert found["adam", "ramp", analysis.EARLY_LOSS].estimate == pytest.approx(0, abs=0.05)
    assert found[analysis.POOLED, "ramp", analysis.PRECISION].estimate == pytest.approx(0.1, abs=0.02)
    shown = analysis.table(table())
    assert len(shown) == 10 and shown["mean_ap"].between(0.4, 0.7).all()


def test_figures_are_drawn_from_the_same_tables() -> None:
    runs = table()
    raw = np.zeros((figures.SHOWN, detection.PREDICTORS, detection.OUTPUTS)).ravel()
    arms = [f"adam/{name}" for name in figures.ARMS]
    pictures = pd.DataFrame(
        {"part": "picture", "task": "detection", "arm": arms, "updates": 4, "lr": 0.01, "outputs": [raw] * len(arms)}
    )
    made = [
        figures.anchors(("detection",)),
        figures.early_boxes(pictures, "detection"),
        figures.box_loss(runs),
        figures.effects(analysis.effects(runs)),
        figures.rates(runs),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
