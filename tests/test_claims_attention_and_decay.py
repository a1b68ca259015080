"""The fifth chapter's verdicts on small tables of runs with planted truths, and its figures."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import open_chapter
from warmup_study.chapters.attention_and_decay import analysis, design, figures, sentences
from warmup_study.claims.evidence import verdicts
from warmup_study.claims.verdict import Verdict
from warmup_study.paths import PRESETS
from warmup_study.statistics.bootstrap import fewer_resamples
from warmup_study.training.experiment import lr_grid

LRS, START = np.array(lr_grid(1e-2, 1e0, 4)), 2.3
EDGE = -1.0  # log10 of the learning rate above which nothing trains without warmup
NETS = {
    (*kind, blocks): design.token_net(*kind, blocks)
    for kind in product(design.PLACEMENTS, design.MIXINGS)
    for blocks in (2, 6)
}
CORE = ("digits-transformer", "digits-transformer-6", "digits-transformer-pre-6")


def losses(chance: np.random.Generator, noise: float, shift: float = 0.0, best: float = 0.3, gain: float = 0.0) -> Any:
    """A seed's loss at each rate: lowest where it lies somewhat below the usual edge, the initial loss beyond the edge.

    The latter lies ``shift`` decades further right than without warmup; the loss is lower by the log ratio ``gain``.
    """
    away = np.log10(LRS) - (EDGE + shift + noise * chance.normal())
    below = best * (1 + 3 * np.minimum(np.log10(LRS) - EDGE + 0.4, 0) ** 2)
    failing = 1 / (1 + np.exp(-12 * away))
    return (below * (1 - failing) + START * failing) * np.exp(0.02 * chance.normal(size=len(LRS)) - gain)


def rows(
    part: str, task: str, arm: str, curve: Mapping[str, float], seeds: int, noise: float
) -> Iterator[dict[str, Any]]:
    """One arm: a loss for each learning rate and seed, with ``curve`` as `losses` takes it."""
    _, warmup, decay = (*arm.split("/"), "cosine")[:3]
    for seed in range(seeds):
        chance = np.random.default_rng([seed, crc32(f"{task} {arm}".encode())])
        for lr, loss in zip(LRS, losses(chance, noise, **curve), strict=True):
            yield {
                **{"part": part, "task": task, "arm": arm, "optimizer": "adam", "decay": decay, "warmup": warmup},
                **{"lr": lr, "grid_lr": lr, "seed": seed, "momentum": np.nan, "length": 4 * (warmup == "ramp")},
                **{"updates": 20, "status": "ok", "initial_loss": START, "validation_loss": loss, "test_loss": loss},
            }


def compared(
    shifts: Mapping[str, float], seeds: int = 8, noise: float = 0.02, best: float = 0.3
) -> Iterator[dict[str, Any]]:
    """Every net without warmup and with a ramp that moves its edge by so many decades; some are in the core grid."""
    for task in (*NETS.values(), *design.MLPS):
        for warmup, shift in (("none", 0.0), ("ramp", shifts.get(task, 0.0))):
            part = "core" if task in CORE else "grid"
            yield from rows(part, task, f"adam/{warmup}", {"shift": shift, "best": best}, seeds, noise)


def shifts(
    attention: float = 0.0, fixed: float = 0.0, pre: float | None = None, norm: float = 0.0, no_norm: float = 0.0
) -> dict[str, float]:
    """By task: how far the ramp moves the edge, by what the net has; ``pre`` stands for Transformers with pre-LN."""
    found = {net: attention if mixing == "attention" else fixed for (_, mixing, _), net in NETS.items()}
    if pre is not None:
        found |= {
            net: pre for (placement, mixing, _), net in NETS.items() if (placement, mixing) == ("pre", "attention")
        }
    return found | dict(zip(design.MLPS, (norm, no_norm), strict=True))


def decayed(gains: Mapping[str, float], seeds: int = 8, noise: float = 0.0) -> Iterator[dict[str, Any]]:
    """Under each decay the ramp's loss is lower by the planted log ratio at every rate."""
    for decay in design.DECAYS:
        for warmup, gain in (("none", 0.0), ("ramp", gains.get(decay, 0.0))):
            yield from rows("decay", "digits-he8", f"adam/{warmup}/{decay}", {"gain": gain}, seeds, noise)


def watched() -> Iterator[dict[str, Any]]:
    """Two watched nets, whose attention loses its evenness without warmup alone."""
    for placement, (warmup, last) in product(design.PLACEMENTS, (("none", 0.2), ("ramp", 0.9))):
        for row in rows("watch", design.token_net(placement, "attention", 2), f"adam/{warmup}", {}, 8, 0.0):
            if row["lr"] == LRS[0]:
                seen = {"attention_entropy": [1.0, 0.95, last + row["seed"] / 1000], "attention_logit": [1.0, 2.0, 3.0]}
                yield row | seen | {"probed_at": [1, 2, 3]}


def over_all(name: str, *parts: Iterator[dict[str, Any]]) -> Verdict:
    """The row over all tasks, as if no other claim had been tested."""
    runs = pd.DataFrame([row for part in parts for row in part])
    with fewer_resamples(999):
        return verdicts(name, analysis.CLAIMS[name](runs), seeds=8)[-1]


@pytest.mark.parametrize(
    ("moved", "options", "word"),
    [
        ({"attention": 0.5}, {}, "supported"),
        ({"attention": 0.1, "fixed": 0.4}, {}, "contradicted"),
        ({"attention": 0.5, "pre": 0.0}, {}, "mixed"),
        ({"attention": 0.3}, {"noise": 0.4}, "inconclusive"),
        ({"attention": 0.5}, {"seeds": 4}, "inconclusive"),
    ],
)
def test_attention(moved: dict[str, float], options: dict[str, Any], word: str) -> None:
    verdict = over_all("attention", compared(shifts(**moved), **options))
    assert verdict.verdict == word and verdict.regimes == {"attention": word}
    if word == "supported":
        measured = {part.name: part.estimate for part in verdict.parts}
        assert measured["added gain with attention in usable learning rates (pre-LN)"] == pytest.approx(0.43, abs=0.05)


@pytest.mark.parametrize(
    ("moved", "word"),
    [
        ({"attention": 0.3, "pre": 0.0, "norm": 0.03, "no_norm": 0.3}, "supported"),
        ({"attention": 0.1, "pre": 0.4, "norm": 0.4, "no_norm": 0.1}, "contradicted"),
        ({"attention": 0.3, "pre": 0.0, "norm": 0.4, "no_norm": 0.1}, "mixed"),
        ({"attention": 0.4, "pre": 0.2, "norm": 0.2, "no_norm": 0.4}, "inconclusive"),
    ],
)
def test_normalisation(moved: dict[str, float], word: str) -> None:
    assert over_all("normalisation", compared(shifts(**moved))).verdict == word


@pytest.mark.parametrize(
    ("gains", "options", "word"),
    [
        ({"constant": 0.4, "cosine": 0.4, "inverse_sqrt": 0.5}, {}, "supported"),
        ({"constant": 0.4, "cosine": 0.2, "inverse_sqrt": 0.5}, {}, "contradicted"),
        ({"constant": 0.4, "cosine": 0.4, "inverse_sqrt": 0.5}, {"noise": 0.1}, "inconclusive"),
        ({"constant": 0.4, "cosine": 0.2, "inverse_sqrt": 0.5}, {"seeds": 4}, "inconclusive"),
    ],
)
def test_decay_after(gains: dict[str, float], options: dict[str, Any], word: str) -> None:
    verdict = over_all("decay-after", decayed(gains, **options))
    assert verdict.verdict == word
    if not options:
        assert verdict.parts[0].estimate == pytest.approx(gains["cosine"] - gains["constant"], abs=0.05)


def test_what_offers_no_case_or_does_not_train_is_left_out() -> None:
    assert over_all("decay-after", decayed({})).left_out == {"digits-he8": "no case to test"}
    untrained = over_all("attention", compared(shifts(attention=0.5), best=1.8))
    assert set(untrained.left_out.values()) == {analysis.UNTRAINABLE} and untrained.verdict == "inconclusive"


def test_figures_and_sentences_say_what_the_runs_show() -> None:
    moved = shifts(attention=0.5, norm=0.3)
    runs = pd.DataFrame([*compared(moved), *decayed({"constant": 0.4, "cosine": 0.4}), *watched()])
    with fewer_resamples(999):
        gains, decays = analysis.net_gains(runs), analysis.decay_gains(runs)
    made = {
        figure.words.title: figure
        for figure in (
            figures.lr_curves(runs, gains),
            figures.attention_gains(gains),
            figures.early_attention(runs),
            figures.norms(gains),
            figures.decays(decays, 4),
        )
    }
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made.values())
    _, attention, early, norms, decay = made
    assert attention == (
        "A ramp gains more with attention: above the best learning rate, yes; in usable learning rates, yes"
    )
    assert early == "At update 20, the entropy of attention is 0.2 without warmup and 0.9 with a ramp (post-LN)"
    assert norms.startswith("A ramp adds 0.4")
    assert decay.endswith("a ramp gains as much with cosine decay and less with inverse-square-root decay")
    assert "pre-LN, 6 blocks" in sentences.attention(gains) and "deep MLP, no norm" in sentences.norms(gains)
    assert "33" in sentences.decays(decays)


@pytest.mark.parametrize("preset", PRESETS)
def test_twins_are_trained_alike_and_both_arms_decay_alike(preset: str) -> None:
    designed = open_chapter("5_attention_and_decay", {"preset": preset, "device": "cpu"}).experiments
    nets = {e.task: e for e in designed if e.part in ("core", "grid")}
    for blocks in (2, 6) if preset == "full" else (2,):
        mine = [nets[net] for (_, _, depth), net in NETS.items() if depth == blocks]
        arms = [{arm.label: arm.schedule for arm in e.arms} for e in mine]
        assert len({(e.updates, a["adam/none"], a["adam/ramp"]) for e, a in zip(mine, arms, strict=True)}) == 1
        assert len({e.seeds[0] for e in mine}) == 1
    for experiment in (e for e in designed if e.part == "decay"):
        assert len({arm.schedule.decay_from or arm.schedule.length for arm in experiment.arms}) == 1


def test_the_task_that_was_asked_for_is_decayed() -> None:
    asked = open_chapter("5_attention_and_decay", {"preset": "smoke", "task": "digits-mlp", "device": "cpu"})
    assert [e.task for e in asked.experiments if e.part == "decay"] == ["digits-mlp"]
