"""The sixth chapter's verdicts on tables of runs whose truth is known, and its figures and words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from warmup_study import theory
from warmup_study.chapters import judging
from warmup_study.chapters.mechanism import analysis, design, figures, sentences
from warmup_study.claims.evidence import no_evidence
from warmup_study.claims.table import claim
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import Folders
from warmup_study.presentation.quantities import evidence
from warmup_study.report import advice
from warmup_study.statistics.bootstrap import Effect, fewer_resamples
from warmup_study.statistics.curves import LrCurves

CHAPTER, START, LENGTH, SEEDS = "6_mechanism", 2.3, 4, range(12)
LRS = (0.01, 0.1, 1.0)
SETTINGS = {
    **{"optimizer": "adam", "beta1": 0.9, "beta2": 0.999, "momentum": None, "task": "t", "updates": 10},
    **{"initial_loss": START, "status": "ok"},
}
GOOD, BAD, WORSE = (0.3, 0.5, 0.6), (0.3, 0.5, 2.3), (0.3, 2.3, 2.3)  # trained at three, two and one of the rates
NAMES = list(theory.FIXES)
LOSSES = np.array([2.0, 1.0, 0.5, 0.2])


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    with fewer_resamples(999):
        yield


def rows(part: str, arm: str, losses: ArrayLike, noise: float = 0.01, **more: Any) -> Iterator[dict[str, Any]]:
    """One arm of one part: a loss for each learning rate, a little different for every seed."""
    warmup = arm.rpartition("/")[2]
    defined = {"part": part, "arm": arm, "warmup": warmup, "length": 0 if warmup == "none" else LENGTH}
    for seed in SEEDS:
        jitter = np.random.default_rng([seed, *arm.encode()]).normal(0, noise, len(LRS))
        for lr, loss in zip(LRS, np.asarray(losses) * np.exp(jitter), strict=True):
            found = {"seed": seed, "lr": lr, "grid_lr": lr, "test_loss": loss, "validation_loss": loss}
            yield SETTINGS | defined | found | more


def followed(change: float, slope: float, noise: float) -> Iterator[dict[str, Any]]:
    """Runs whose sharpness at the ramp's end is so many times that without, and along the run 8 + slope x loss."""
    for seed in SEEDS:
        for warmup, ratio in (("none", 1.0), ("ramp", change)):
            chance = np.random.default_rng([seed, warmup == "ramp"])
            known = {"warmup": warmup, "length": LENGTH * (warmup == "ramp"), "seed": seed, "grid_lr": 0.1}
            path = {"training_loss": LOSSES, "sharpness": 8 + slope * LOSSES, "probed_at": [1, 3, 5, 9]}
            yield SETTINGS | known | path | {"part": "track", "arm": f"adam/{warmup} at 1", "lr": 0.1}
            for times in design.MULTIPLES:
                seen = {"sharpness": [10 * ratio * np.exp(noise * chance.standard_normal())], "probed_at": [LENGTH + 1]}
                arm = {"part": "ramp_end", "arm": f"adam/{warmup} at {times:g}", "lr": 0.1 * times}
                yield SETTINGS | known | seen | arm | {"training_loss": [1.0]}


def core(none: Sequence[float], ramp: Sequence[float], noise: float = 0.01) -> Iterator[dict[str, Any]]:
    """Adam's cell: the ramp ends with these losses, and the other warmups do nothing."""
    for warmup in ("none", "zero", "constant", "ramp"):
        yield from rows("core", f"adam/{warmup}", ramp if warmup == "ramp" else none, noise)


def curvature(change: float, ramp: Sequence[float], slope: float = 3.0, noise: float = 0.05) -> pd.DataFrame:
    return pd.DataFrame([*followed(change, slope, noise), *core(WORSE, ramp, noise)])


def disguised(ratios: Mapping[str, float], noise: float = 0.01) -> pd.DataFrame:
    """Runs in which each fix's replay ends at its loss times a factor; plain Adam replays one of them."""
    found = [*core(GOOD, GOOD, noise)]
    for name, fix in theory.FIXES.items():
        ratio, implied = ratios.get(name, 1.0), theory.implied_schedule(fix).warmup != "none"
        found += rows("disguise", f"fix/{name}", np.asarray(GOOD) / (1 if implied else ratio), noise)
        if implied:
            found += rows("disguise", f"replay/{name}", np.asarray(GOOD) * ratio, noise)
    return pd.DataFrame(found)


def dying(spared: float, ramp: Sequence[float], leaky: Sequence[float], noise: float = 0.01) -> pd.DataFrame:
    """Runs in which the ramp spares a share of units, and ends with these losses with ReLUs and with leaky ones."""
    found: list[dict[str, Any]] = []
    for task, losses in (("t", ramp), ("t+leaky", leaky)):
        for warmup in ("none", "ramp"):
            for row in rows("dead", f"adam/{warmup}", losses if warmup == "ramp" else BAD, noise, task=task):
                share = 0.4 - spared * (warmup == "ramp") * (row["lr"] > LRS[0]) + noise * (row["seed"] % 3)
                found.append(row | {"dead_share": [share]})
    return pd.DataFrame(found)


def first_steps() -> Iterator[dict[str, Any]]:
    for arm in ("adam/none", *(f"fix/{name}" for name in NAMES)):
        for row in rows("first_steps", arm, GOOD):
            yield row | {"update_size": [1.0, 0.5], "probed_at": [1, 2]}


def edge() -> pd.DataFrame:
    """Whole-batch runs whose sharpness is these shares of its limit."""
    shares, found = np.array([0.2, 0.5, 1.1, 0.9, 1.1]), []
    for label, (rule, lr) in design.EDGES.items():
        name = "preconditioned_sharpness" if rule.kernel == "adaptive" else "sharpness"
        known = {"part": "edge", "arm": label, "lr": lr, "task": "t", "updates": 10} | rule.model_dump(exclude={"name"})
        seen = {
            name: theory.stability_limit(rule) / lr * shares,
            "training_loss": shares[::-1],
            "probed_at": [2, 4, 6, 8, 10],
        }
        found += [known | seen | {"seed": seed, "optimizer": rule.name} for seed in range(3)]
    return pd.DataFrame(found)


def verdict_on(name: str, runs: pd.DataFrame) -> Verdict:
    found = judging.judge(CHAPTER, runs, name)
    assert [row.task for row in found] == ["t", "all"] and found[0].verdict == ""
    return found[1]


@pytest.mark.parametrize(
    ("change", "ramp", "noise", "word"),
    [
        (0.5, GOOD, 0.05, "supported"),
        (1.5, WORSE, 0.05, "contradicted"),
        (0.5, WORSE, 0.05, "mixed"),
        (0.97, WORSE, 0.01, "contradicted"),  # flatter by less than a tenth
        (0.9, WORSE, 0.3, "inconclusive"),
    ],
)
def test_curvature(change: float, ramp: Sequence[float], noise: float, word: str) -> None:
    assert verdict_on("curvature", curvature(change, ramp, noise=noise)).verdict == word


def effects(found: Any) -> Mapping[str, Effect]:
    assert isinstance(found, Mapping)
    return found


def test_sharpness_is_compared_at_the_same_update_and_rate() -> None:
    runs = curvature(0.5, GOOD, slope=-3.0, noise=0.0)
    found = effects(analysis.curvatures(runs)["t"])
    assert found[analysis.FLATTER].estimate == pytest.approx(np.log(0.5))
    assert found["log sharpness at twice the best rate"].estimate == pytest.approx(np.log(0.5))
    assert found["rank correlation of sharpness and loss (none)"].estimate == pytest.approx(-1)
    assert found["rise of the sharpness per nat of loss (ramp)"].estimate == pytest.approx(-3)
    assert found["gain in largest trainable LR (zero)"].estimate == 0
    broken = (runs["part"] == "ramp_end") & (runs["lr"] > 0.1) & (runs["warmup"] == "none")
    runs.loc[broken, "sharpness"] = pd.Series([[np.nan]] * len(runs), index=runs.index)
    found = effects(analysis.curvatures(runs)["t"])
    assert found[analysis.FLATTER].n == len(SEEDS) and "log sharpness at twice the best rate" not in found


@pytest.mark.parametrize(
    ("ratios", "noise", "word"),
    [
        ({}, 0.003, "supported"),
        (dict.fromkeys(NAMES, 0.6), 0.01, "contradicted"),
        ({NAMES[0]: 1.5}, 0.01, "contradicted"),
        ({NAMES[2]: 1.5}, 0.01, "contradicted"),  # replayed by plain Adam without warmup
        ({}, 0.2, "inconclusive"),
    ],
)
def test_hidden_warmups(ratios: dict[str, float], noise: float, word: str) -> None:
    row = verdict_on("hidden-warmups", disguised(ratios, noise))
    assert row.verdict == word
    assert [part.name for part in row.parts] == [f"excess loss of the replay ({name})" for name in NAMES]
    if ratios:
        assert row.estimate == pytest.approx(np.log(max(ratios.values(), key=lambda r: abs(np.log(r)))), abs=0.05)


@pytest.mark.parametrize(
    ("spared", "ramp", "leaky", "word"),
    [(0.2, GOOD, BAD, "supported"), (-0.2, BAD, GOOD, "contradicted"), (0.2, BAD, GOOD, "mixed")],
)
def test_dead_units(spared: float, ramp: Sequence[float], leaky: Sequence[float], word: str) -> None:
    row = verdict_on("dead-units", dying(spared, ramp, leaky))
    assert row.verdict == word
    twice = np.log10(2)  # on the way from the best rate, where none is spared, to the next, ten times as high
    assert row.estimate == pytest.approx(spared * twice)


def test_pairs_with_a_diverged_run_say_nothing_of_dead_units() -> None:
    runs = dying(0.2, GOOD, BAD)
    lost = (runs["lr"] == LRS[1]) & (runs["arm"] == "adam/none") & (runs["seed"] > 3)
    runs.loc[lost, "dead_share"] = pd.Series([[np.nan]] * len(runs), index=runs.index)
    assert effects(analysis.deaths(runs)["t"])["share of dead units spared"].estimate == pytest.approx(
        0.2 * np.log10(2)
    )
    runs["dead_share"] = pd.Series([[np.nan]] * len(runs), index=runs.index)
    assert verdict_on("dead-units", runs).estimate is None


def test_shares_spared_agree_with_a_plain_loop() -> None:
    """Every resample picks the best rate anew: a second implementation, seed by seed."""
    chance = np.random.default_rng(0)
    losses = np.exp(chance.normal(0, 0.3, (6, 4)))
    none = LrCurves(np.array([0.01, 0.0316, 0.1, 0.316]), losses, losses, np.full(6, 3.0))
    spared = chance.normal(0, 0.1, (6, 4))
    effect = analysis.shares_spared(none, spared)
    best = losses.mean(0).argmin()
    expected = np.interp(np.log(2 * none.lrs[best]), np.log(none.lrs), spared.mean(0))
    assert effect.estimate == pytest.approx(expected) and effect.low < expected < effect.high


@pytest.mark.parametrize("name", ["curvature", "hidden-warmups"])
def test_a_task_that_does_not_train_does_not_count(name: str) -> None:
    runs = pd.concat([curvature(0.5, GOOD), disguised({})[lambda table: table["part"] == "disguise"]])
    lost = runs["part"] == "core"
    runs.loc[lost, ["test_loss", "validation_loss"]] = START
    row = verdict_on(name, runs)
    assert row.estimate is None and row.why_open == "untrainable with Adam on t"


def test_edges_are_shares_of_the_limit() -> None:
    found = analysis.edges(edge())
    assert found["settled over limit"].to_list() == pytest.approx([1.0] * 4)
    assert found["largest over limit"].to_list() == pytest.approx([1.1] * 4)
    assert found["loss"].to_list() == pytest.approx([0.2] * 4)
    assert "it peaks at 1.1 times." in sentences.edges_sentence(edge())


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_design_probes_the_end_of_the_ramp_and_shares_its_grid(preset: str) -> None:
    found: dict[str, list[Any]] = {}
    for experiment in design.experiments(design.Parameters.model_validate({"preset": preset})):
        found.setdefault(experiment.part, []).append(experiment)
    for track, end in zip(found["track"], found["ramp_end"], strict=True):
        length = track.arms[-1].schedule.length
        assert {1, 1 + length} <= set(track.probed) and end.probed == (1 + length,)
        assert preset == "smoke" or len(track.probed) >= 15
        assert set(track.seeds) <= set(end.seeds)
    grids = {cell.task: cell for cell in found["core"]}
    for tried in found["disguise"]:
        grid = grids[tried.task]
        assert set(tried.lrs) <= set(grid.lrs) and tried.seeds == grid.seeds and tried.updates == grid.updates
        assert {arm.schedule.decay for arm in (*tried.arms, *grid.arms)} == {"cosine"}


def test_figures_and_words_say_what_was_planted() -> None:
    flat, sharp = curvature(0.5, GOOD), curvature(2.0, WORSE, slope=-3)
    hidden, dead = pd.DataFrame([*first_steps(), *disguised({}).to_dict("records")]), dying(0.2, GOOD, BAD)
    titles = {
        figures.edges(edge()): "1.1 to 1.1 times its stability limit",
        figures.curvature(flat): "50\N{NO-BREAK SPACE}% lower",
        figures.curvature(sharp): "99\N{NO-BREAK SPACE}% higher",
        figures.gap(flat): ", then falls with the loss",
        figures.gap(sharp): "the sharpness rises",
        figures.trainable(flat): "times as high",
        figures.trainable(sharp): "hardly changes",
        figures.disguises(hidden): "always ends within 5\N{NO-BREAK SPACE}%",
        figures.dead(dead): "keeps 6 percentage points more of the units alive, and it gains more with ReLUs",
    }
    for figure, title in titles.items():
        assert title in figure.words.title and figure.svg.startswith("<?xml") and figure.words.alt
        assert "n = " in figure.words.caption
    said = [sentences.curvature_sentence(analysis.curvatures(flat)), sentences.gap_sentence(analysis.curvatures(flat))]
    said += [sentences.disguises_sentence(analysis.replays(hidden)), sentences.dead_sentence(analysis.deaths(dead))]
    assert all(" to " in text and "nan" not in text for text in said)


ALWAYS = ("by definition", "common practice")  # what rows rest on that rest on no claim


def test_practical_table_says_what_the_verdicts_say(tmp_path: Any) -> None:
    folders = Folders(tmp_path, "quick")
    empty = advice.table(folders)
    assert (empty["measured"] == "–").all() and empty["evidence"].str.endswith(("not run", *ALWAYS)).all()
    judging.enter(folders, CHAPTER, judging.judge(CHAPTER, dying(0.2, GOOD, BAD), "dead-units"))
    table = advice.table(folders).set_index("evidence")
    row = table.loc["dead-units: supported"]
    assert row["advice"] == "Warm up, or switch to leaky ReLUs." and " to " in row["measured"]
    assert row["odds"] == "1 task: 1 clearly more"
    assert len(table) == len(empty) >= 10


def test_a_verdict_without_a_case_says_so_in_words() -> None:
    row = no_evidence(claim("curvature"), "digits-mlp", seeds=9)
    assert evidence(row) == "no case to test" and evidence(row, no_case="no such rate") == "no such rate"


def test_every_piece_of_advice_has_its_claim_and_all_words() -> None:
    answers = {"supported", "contradicted", "inconclusive"}
    for entry in advice._entries():
        needed = answers if "asks" in entry else {*answers, "mixed"}
        assert "always" in entry or (claim(entry["claim"]) and needed < set(entry))
        assert "part" in entry or "asks" not in entry, "what a row asks is asked of a part"
