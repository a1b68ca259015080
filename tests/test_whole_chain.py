"""From a sweep to corrected verdicts: equal arms seldom get one, and mutations are noticed.

Arms that are equal in everything would have equal bits on equal seeds; here each has seeds of its own, so they differ
by chance alone. Everything is seeded: nothing flickers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small_experiments import arm, small

from warmup_study.claims.correction import corrected
from warmup_study.claims.table import margin
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Verdict
from warmup_study.running.sweep import sweep
from warmup_study.statistics import lr_curves
from warmup_study.statistics.bootstrap import Effect, paired_effect
from warmup_study.statistics.curves import LrCurves
from warmup_study.statistics.decisions import judge

SEEDS = 10
FEW, REPLICATIONS = 20, 200
LRS = tuple(2.0**k for k in range(-5, 2))
GAINS: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    "tuned_loss": lr_curves.tuned_loss,
    "overshoot": lr_curves.overshoot,
    "usable_lr": lr_curves.usable_lr,
    "largest_trainable_lr": lr_curves.largest_trainable_lr,
}
CLAIMS = [row.id for row in claims_table() if not row.headline][: len(GAINS)]  # any, one for each endpoint


@dataclass(frozen=True)
class Pool:
    """Runs of two equal arms, from which replications take fresh seeds."""

    runs: dict[str, pd.DataFrame]

    def pair(self, number: int) -> tuple[LrCurves, LrCurves]:
        """Both arms of one replication, as if on paired seeds."""
        first, second = (LrCurves.of(self._of_replication(runs, number)) for runs in self.runs.values())
        return first, replace(second, initial=first.initial)  # paired arms start from the same weights

    @staticmethod
    def _of_replication(runs: pd.DataFrame, number: int) -> pd.DataFrame:
        place = runs["seed"].rank(method="dense").astype(int) - 1
        return runs[place // SEEDS == number]


def pool_of(replications: int, folder: Path) -> Pool:
    found = {}
    for place, name in enumerate(("first", "second")):
        start = 10**6 * (place + 1)
        design = small(
            task="tiny_tasks:curve",
            arms=(arm("sgd", label=name),),
            lrs=LRS,
            seeds=tuple(range(start, start + replications * SEEDS)),
            updates=40,
            batch=8,
            evaluate_every=40,
            probed=(),
            probes=(),
        )
        found[name] = sweep([design], folder, processes=0)
    return Pool(found)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return pool_of(FEW, tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return pool_of(REPLICATIONS, tmp_path_factory.mktemp("many"))


def verdicts(effects: dict[str, Effect], least: dict[str, float]) -> list[Verdict]:
    """A row for each endpoint, judged together: a gain above the margin supports, one below it contradicts."""
    rows = []
    for name, (endpoint, effect) in zip(CLAIMS, effects.items(), strict=True):
        answers = {"p_supported": effect.p_above(least[endpoint]), "p_contradicted": effect.p_below(-least[endpoint])}
        text = dict.fromkeys(("claim", "source", "rule", "unit", "notebook", "figure"), "-")
        numbers = {"estimate": effect.estimate, "ci_low": effect.low, "ci_high": effect.high, "n": effect.n}
        word = judge(**answers, seeds=effect.n)
        row = {"id": name, "endpoint": endpoint, "margin": least[endpoint], "task": "all", "verdict": word}
        rows.append(Verdict.model_validate({**text, **row, **numbers, **answers}))
    return corrected(rows)


def false_verdicts(pool: Pool, replications: int, margins: bool) -> int:
    """How many replications of equal arms have a verdict on any endpoint."""
    least = {endpoint: margin(endpoint).value if margins else 0.0 for endpoint in GAINS}
    wrong = 0
    for number in range(replications):
        pair = pool.pair(number)
        rows = verdicts({endpoint: gain(*pair) for endpoint, gain in GAINS.items()}, least)
        wrong += any(row.verdict != "inconclusive" for row in rows)
    return wrong


def test_equal_arms_through_the_whole_chain(few: Pool) -> None:
    wrong = false_verdicts(few, FEW, margins=False)
    print(f"{wrong} of {FEW} replications with a false verdict")
    assert wrong <= stats.binom.ppf(0.99, FEW, 0.05)
    lost = few.runs["first"].groupby("lr")["status"].apply(lambda status: (status != "ok").mean())
    assert lost.iloc[0] == 0 and lost.iloc[-1] == 1, "the grid must reach from training to divergence"


@pytest.mark.long
@pytest.mark.parametrize("margins", [False, True], ids=["against zero", "against the margins"])
def test_false_verdicts_of_200_replications(many: Pool, margins: bool) -> None:
    wrong = false_verdicts(many, REPLICATIONS, margins)
    print(f"{wrong} of {REPLICATIONS} replications with a false verdict on any of {len(GAINS)} endpoints")
    assert wrong <= stats.binom.ppf(0.99, REPLICATIONS, 0.05)


def test_a_planted_gain_has_its_size_and_swapped_arms_flip_its_sign(few: Pool) -> None:
    first, second = few.pair(0)
    better = replace(second, test=second.test * np.exp(-0.3))
    there, back = lr_curves.tuned_loss(first, better), lr_curves.tuned_loss(better, first)
    assert there.estimate == pytest.approx(lr_curves.tuned_loss(first, second).estimate + 0.3)
    assert (there.estimate, there.low) == pytest.approx((-back.estimate, -back.high))


def test_seeds_shuffled_across_arms_widen_the_interval() -> None:
    chance = np.random.default_rng(5)
    shared = chance.standard_normal((200, 20))
    none, other = (shared + 0.3 * chance.standard_normal(shared.shape) for _ in range(2))
    shuffled = chance.permuted(other, axis=1)
    paired, apart = ([paired_effect(row, 399) for row in none - arm] for arm in (other, shuffled))
    wider = [(b.high - b.low) / (a.high - a.low) for a, b in zip(paired, apart, strict=True)]
    assert min(wider) > 1 and np.median(wider) > 2
