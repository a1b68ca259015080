"""The sixth chapter's verdicts on small tables of runs with planted truths, its figures and practical table."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study import theory
from warmup_study.chapters import judging
from warmup_study.chapters.mechanism import analysis, figures
from warmup_study.claims.evidence import no_evidence
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders
from warmup_study.presentation.formatting import evidence
from warmup_study.report import advice
from warmup_study.training.schedules import Schedule

CHAPTER = "6_mechanism"
LRS, START, LENGTH = (0.01, 0.1, 1.0), 2.3, 4
CONFIRMATION, SELECTION = range(8), range(100, 104)
PROBED = (1, 3, 5, 9)
SETTINGS = {
    "optimizer": "adam",
    "beta1": 0.9,
    "beta2": 0.999,
    "updates": 10,
    "initial_loss": START,
    "status": "ok",
    "momentum": None,
}
GOOD, BAD, WORSE = (0.5, 0.3, 0.4), (0.5, 0.3, 2.3), (0.5, 2.3, 2.3)  # trained at three, two and one of the rates


def rows(part: str, arm: str, losses: tuple[float, ...], noise: float = 0.01, **more: Any) -> Iterator[dict[str, Any]]:
    """One arm of one part: a loss for each learning rate, a little different for every seed."""
    roles = {seed: "confirmation" for seed in CONFIRMATION} | {seed: "selection" for seed in SELECTION}
    for seed, role in roles.items():
        jitter = np.random.default_rng([seed, sum(map(ord, arm))]).normal(0, noise, len(losses))
        for lr, loss in zip(LRS, losses + jitter, strict=False):
            ramp = arm.rpartition("/")[2]
            yield (
                SETTINGS
                | {
                    "part": part,
                    "task": "t",
                    "arm": arm,
                    "seed": seed,
                    "role": role,
                    "lr": lr,
                    "test_loss": loss,
                    "validation_loss": loss,
                    "warmup": ramp if ramp in ("zero", "constant", "ramp") else "none",
                    "length": 0 if ramp == "none" else LENGTH,
                    "dead_share": [0.1, 0.1],
                }
                | more
            )


def followed(peak: float, noise: float = 0.05) -> Iterator[dict[str, Any]]:
    """Tracked runs: under the ramp, the sharpness at its end is ``peak`` times that at the start."""
    for warmup in ("none", "zero", "constant", "ramp"):
        for seed in CONFIRMATION:
            chance = np.random.default_rng([seed, len(warmup)])
            ratio = peak if warmup == "ramp" else 1.0
            path = np.array([1, ratio, ratio, 1]) * np.exp(noise * chance.standard_normal(4))
            values = {name: list(10 * path) for name in figures.TRACKED} | {"dead_share": [0.0, 0.1, 0.2, 0.2]}
            yield (
                SETTINGS
                | values
                | {
                    "part": "track",
                    "task": "t",
                    "arm": f"adam/{warmup}",
                    "warmup": warmup,
                    "seed": seed,
                    "lr": 0.1,
                    "role": "confirmation",
                    "probed_at": list(PROBED),
                    "length": 0 if warmup == "none" else LENGTH,
                }
            )


def curvature(ramp: tuple[float, ...], peak: float, noise: float = 0.01) -> pd.DataFrame:
    """Runs in which the ramp ends with these losses, and no other warmup does anything."""
    found = [*followed(peak, 5 * noise)]
    for warmup in ("none", "zero", "constant", "ramp"):
        found += rows("grid", f"adam/{warmup}", ramp if warmup == "ramp" else WORSE, noise)
    return pd.DataFrame(found)


def disguised(ratios: dict[str, float], noise: float = 0.01) -> pd.DataFrame:
    """Runs in which each fix's replay ends at its loss times a factor."""
    found = [*rows("disguise", "adam/none", GOOD, noise), *rows("disguise", "adam/ramp", GOOD, noise)]
    for name, fix in theory.FIXES.items():
        implied = theory.implied_schedule(fix).warmup != "none"
        found += rows("disguise", f"fix/{name}", GOOD if implied else _times(GOOD, 1 / ratios.get(name, 1)), noise)
        if implied:
            found += rows("disguise", f"replay/{name}", _times(GOOD, ratios.get(name, 1)), noise)
    return pd.DataFrame(found)


def searched(excess: dict[float, float], noise: float = 0.01) -> pd.DataFrame:
    """Runs in which the default length ends, for each β2, at the best length's loss times a factor."""
    found: list[dict[str, Any]] = []
    for beta2, factor in excess.items():
        default = Schedule(warmup="untuned", beta2=beta2).warmup_length
        for length, times in {0: 1.3, 7: 1.0, default: factor}.items():
            more = {"beta2": beta2, "length": length}
            found += rows("lengths", f"{beta2}/{length}", _times(GOOD, times), noise, **more)
    return pd.DataFrame(found)


def dying(spared: float, leaky: tuple[float, ...], ramp: tuple[float, ...] = GOOD, noise: float = 0.01) -> pd.DataFrame:
    """Runs in which the ramp spares a share of units, and ends with these losses with ReLUs and with leaky ones."""
    found: list[dict[str, Any]] = []
    for task, losses in (("t", ramp), ("t+leaky", leaky)):
        for warmup in ("none", "ramp"):
            for row in rows("dead", f"adam/{warmup}", losses if warmup == "ramp" else BAD, noise, task=task):
                share = 0.4 - spared * (warmup == "ramp") + noise * (row["seed"] % 3)
                found.append(row | {"dead_share": [0.0, share]})
    return pd.DataFrame(found)


def _times(losses: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(loss * factor for loss in losses)


def verdict_on(name: str, runs: pd.DataFrame) -> Verdict:
    found = judging.judge(CHAPTER, runs, name)
    assert [row.task for row in found] == ["t", "all"]
    assert found[0].parts == found[1].parts and found[0].verdict == ""
    return found[1]


def test_sharpness_at_the_peak_is_that_after_the_last_update_of_warmup() -> None:
    effects = analysis.curvatures(curvature(GOOD, 0.3, noise=0.0))["t"]
    assert effects is not None
    assert effects["change in sharpness (ramp)"].estimate == pytest.approx(np.log(0.3))
    assert effects["change in sharpness (zero)"].estimate == pytest.approx(0)


NAMES = list(theory.FIXES)


@pytest.mark.parametrize(
    ("ratios", "noise", "word"),
    [
        ({}, 0.003, "supported"),
        (dict.fromkeys(NAMES, 1.5), 0.01, "contradicted"),
        (dict.fromkeys(NAMES, 0.6), 0.01, "contradicted"),
        ({NAMES[0]: 1.5}, 0.01, "contradicted"),
        ({NAMES[2]: 1.5}, 0.01, "contradicted"),  # replayed by plain Adam without warmup
        ({}, 0.2, "inconclusive"),
    ],
)
def test_hidden_warmups(ratios: dict[str, float], noise: float, word: str) -> None:
    row = verdict_on("hidden-warmups", disguised(ratios, noise))
    assert row.verdict == word and [part.name for part in row.parts] == [
        f"excess loss of the replay ({name})" for name in NAMES
    ]
    if ratios and noise < 0.1:
        assert row.estimate == pytest.approx(np.log(max(ratios.values(), key=lambda r: abs(np.log(r)))), abs=0.05)


def test_a_default_length_that_is_the_best_costs_nothing() -> None:
    effects = analysis.excesses(searched({0.9: 0.8}))["t"]
    assert effects is not None and effects["excess loss (β2 = 0.9)"].estimate == 0


@pytest.mark.parametrize(
    ("spared", "leaky", "ramp", "noise", "word"),
    [
        (0.2, BAD, GOOD, 0.01, "supported"),
        (-0.2, GOOD, BAD, 0.01, "contradicted"),
        (0.2, GOOD, BAD, 0.01, "mixed"),
    ],
)
def test_dead_units(spared: float, leaky: tuple[float, ...], ramp: tuple[float, ...], noise: float, word: str) -> None:
    row = verdict_on("dead-units", dying(spared, leaky, ramp, noise))
    assert row.verdict == word and row.estimate == pytest.approx(spared)


def test_pairs_with_a_diverged_run_say_nothing_of_dead_units() -> None:
    runs = dying(0.2, BAD)
    lost = (runs["lr"] == LRS[-1]) & (runs["arm"] == "adam/none")
    runs.loc[lost, "dead_share"] = runs.loc[lost, "dead_share"].map(lambda shares: [shares[0], np.nan])
    assert verdict_on("dead-units", runs).estimate == pytest.approx(0.2)
    everything = runs.assign(dead_share=pd.Series([[np.nan, np.nan]] * len(runs), index=runs.index))
    assert verdict_on("dead-units", everything).estimate is None


def edge(shares: tuple[float, ...]) -> pd.DataFrame:
    """Whole-batch runs of Adam whose preconditioned sharpness is these shares of its limit, 38/η."""
    values = [38 / 0.01 * share for share in shares]
    row = SETTINGS | {"part": "edge", "arm": "adam", "lr": 0.01, "role": "confirmation", "task": "t"}
    more = {"preconditioned_sharpness": values, "probed_at": [2, 4, 6, 8, 10], "momentum": None}
    return pd.DataFrame([row | more | {"seed": seed} for seed in range(3)])


def test_edges_are_shares_of_the_limit() -> None:
    assert analysis.edges(edge((0.2, 0.5, 0.9, 1.1, 0.9)))["settled over limit"].item() == pytest.approx(1.0)


def test_figures_are_drawn_from_the_same_tables(tmp_path: Any) -> None:
    tracked, dead = curvature(GOOD, 0.3), dying(0.2, BAD)
    steps = pd.DataFrame(
        [
            row | {"part": "first_steps", "update_size": [1.0, 0.5], "probed_at": [1, 2]}
            for arm in ("adam/none", *(f"fix/{name}" for name in NAMES))
            for row in rows("disguise", arm, GOOD)
        ]
    )
    made = [
        figures.edges(edge((0.2, 0.5, 0.9, 1.1, 0.9))),
        figures.curvature(tracked),
        figures.signs(tracked),
        figures.trainable(tracked),
        figures.dead(dead),
        figures.disguises(pd.concat([disguised({}), steps])),
        figures.lengths(searched({0.9: 1.0, 0.98: 1.5})),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
    captions = [figure.words.caption for figure in made]
    assert [f"n = {n}" in text for n, text in zip((3, 8, 8, 12, 12, 8, 8), captions, strict=True)] == [True] * 7


def test_practical_table_says_what_the_verdicts_say(tmp_path: Any) -> None:
    folders = Folders(tmp_path, "quick")
    empty = advice.table(folders)
    assert (empty["then"] == "–").all() and empty["evidence"].str.endswith(": not run").all()
    judging.enter(folders, CHAPTER, judging.judge(CHAPTER, dying(0.2, BAD), "dead-units"))
    table = advice.table(folders).set_index("evidence")
    row = table.loc["dead-units: supported"]
    assert row["then"] != "–" and " to " in row["95\N{NO-BREAK SPACE}% interval"]
    assert len(table) == len(empty) >= 10


def test_a_verdict_without_a_case_says_so_in_words() -> None:
    row = no_evidence(claim("curvature"), "digits-mlp", seeds=9)
    assert evidence(row) == "no case to test" and evidence(row, no_case="no such rate") == "no such rate"


def test_every_piece_of_advice_has_its_claim_and_all_words() -> None:
    words = {"supported", "contradicted", "mixed", "inconclusive"}
    for entry in advice._entries():
        assert claim(entry["claim"]) and words < set(entry)
