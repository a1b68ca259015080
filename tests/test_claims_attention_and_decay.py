"""The fifth chapter's verdicts on small tables of runs with planted truths, and its figures."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.chapters import judging
from warmup_study.chapters.attention_and_decay import analysis, design, figures
from warmup_study.claims.verdict import Verdict

CHAPTER = "5_attention_and_decay"
LRS, START = (0.01, 0.1, 1.0), 2.3
CONFIRMATION, SELECTION = range(8), range(100, 104)
GOOD, FAIR, BAD = (0.5, 0.3, 0.4), (0.5, 0.3, 1.4), (0.5, 0.3, 2.3)  # the more trains at the highest rate, the better
NETS = (*design.TOKEN_NETS, *design.MLPS)


def rows(
    part: str, task: str, arm: str, losses: tuple[float, ...], seeds: int, noise: float = 0.01, selected: bool = False
) -> Iterator[dict[str, Any]]:
    """One arm: a loss for each learning rate, a little different for every seed."""
    roles = {seed: "confirmation" for seed in CONFIRMATION[:seeds]}
    roles |= {seed: "selection" for seed in SELECTION} if selected else {}
    optimizer, warmup, decay = (*arm.split("/"), "constant")[:3]
    for seed, role in roles.items():
        jitter = np.random.default_rng([seed, sum(map(ord, task + arm))]).normal(0, noise, len(losses))
        for lr, loss in zip(LRS, losses + jitter, strict=False):
            yield {
                "part": part,
                "task": task,
                "arm": arm,
                "optimizer": optimizer,
                "decay": decay,
                "momentum": np.nan,
                "lr": lr,
                "seed": seed,
                "role": role,
                "warmup": "none" if warmup == "none" else "ramp",
                "length": 0 if warmup == "none" else 4,
                "updates": 20,
                "status": "ok",
                "initial_loss": START,
                "validation_loss": loss,
                "test_loss": loss,
                "beta2": 0.98,
            }


def grid(ramped: Mapping[str, tuple[float, ...]], seeds: int = 8, data: str = "digits", noise: float = 0.01) -> Any:
    """Every net without warmup BAD, and with either ramp as planted (BAD where nothing is planted)."""
    for net in NETS:
        for arm in ("none", "ramp", "short"):
            losses = BAD if arm == "none" else ramped.get(net, BAD)
            yield from rows("grid", f"{data}-{net}", f"adam/{arm}", losses, seeds, noise)


def sgd_grid() -> Iterator[dict[str, Any]]:
    """Plain SGD on the nets on tokens, without a short ramp."""
    for net in design.TOKEN_NETS:
        for arm, losses in (("none", BAD), ("ramp", GOOD)):
            yield from rows("grid", f"digits-{net}", f"sgd/{arm}", losses, 8)


def decay(gains: Mapping[str, float], seeds: int = 8, noise: float = 0.01, optimizer: str = "adam") -> Any:
    """Under each decay the ramp's loss is lower by the planted log ratio at every rate."""
    for name in design.DECAYS:
        for warmup, gain in (("none", 0.0), ("ramp", gains.get(name, 0.0))):
            a, b, c = (float(loss) for loss in np.array(BAD) * np.exp(-gain))
            yield from rows("decay", "digits-he8", f"{optimizer}/{warmup}/{name}", (a, b, c), seeds, noise, True)


def watch() -> Iterator[dict[str, Any]]:
    """Two watched nets, whose attention loses its evenness without warmup alone."""
    for task in ("digits-transformer", "digits-transformer-pre"):
        for arm, last in (("adam/none", 0.2), ("adam/ramp", 0.9)):
            for row in rows("watch", task, arm, (1.0,), 8):
                yield row | {
                    "probed_at": [1, 2, 3],
                    "attention_entropy": [1.0, 0.95, last + row["seed"] / 1000],
                    **{name: [1.0, 2.0, 3.0] for name in ("attention_logit", *figures.LAYERS)},
                }


def paper() -> Iterator[dict[str, Any]]:
    """The paper's schedule at two lengths; the ramp halves the loss at the shorter."""
    for n, ramped in ((5, 0.5), (20, 1.0)):
        for warmup, loss in (("none", 1.0), ("ramp", ramped)):
            for row in rows("paper", "digits-transformer", f"adam/{warmup}/{n}", (loss,), 8, 0.001):
                yield row | {"length": n * (warmup == "ramp")}


def verdict_on(name: str, *parts: Iterator[dict[str, Any]]) -> Verdict:
    runs = pd.DataFrame([row for part in parts for row in part])
    verdicts = {row.task: row for row in judging.judge(CHAPTER, runs, name) if not row.regime}
    task = "digits-he8" if name == "decay-after" else "digits"
    assert set(verdicts) == {task, "all"}
    assert verdicts[task].parts == verdicts["all"].parts
    return verdicts["all"]


ATTENDED = {"transformer": GOOD, "transformer-pre": GOOD}


@pytest.mark.parametrize(
    ("gains", "options", "word"),
    [
        ({"constant": 0.2, "cosine": 0.2, "inverse_sqrt": 0.3}, {}, "supported"),
        ({"constant": 0.2, "cosine": -0.2, "inverse_sqrt": 0.3}, {}, "contradicted"),
        ({"constant": 0.2, "cosine": 0.15, "inverse_sqrt": 0.3}, {"noise": 0.03}, "inconclusive"),
        ({"constant": 0.2, "cosine": 0.1, "inverse_sqrt": 0.3}, {"seeds": 4}, "inconclusive"),
    ],
)
def test_decay_after(gains: dict[str, float], options: dict[str, Any], word: str) -> None:
    verdict = verdict_on("decay-after", decay(gains, **options))
    assert verdict.verdict == word
    assert verdict.parts[0].estimate == pytest.approx(gains["cosine"] - gains["constant"], abs=0.05)


def test_the_papers_schedule_and_early_attention_are_measured() -> None:
    runs = pd.DataFrame([*paper(), *watch()])
    gains = analysis.paper_gains(runs)
    assert list(gains) == [5, 20] and gains[5].estimate == pytest.approx(np.log(2), abs=0.01)
    seen = analysis.early_attention(runs)["digits-transformer"]
    assert (seen["none"].estimate, seen["ramp"].estimate) == pytest.approx((0.2035, 0.9035))


def test_figures_are_drawn_from_the_same_tables() -> None:
    runs = pd.DataFrame([*grid(ATTENDED), *sgd_grid(), *decay({"cosine": 0.1}), *watch(), *paper()])
    gains = {optimizer: analysis.gains(runs, optimizer) for optimizer in ("adam", "sgd")}
    decayed = {optimizer: analysis.decay_gains(runs, optimizer) for optimizer in ("adam", "sgd")}
    made = [
        figures.lr_curves(runs),
        figures.attention_gains(gains),
        figures.early_attention(runs),
        figures.norms(gains["adam"]),
        figures.decays(decayed, 4),
        figures.paper(runs, analysis.paper_gains(runs)),
    ]
    assert all(figure.svg.startswith("<?xml") and figure.words.alt for figure in made)
