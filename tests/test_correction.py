"""From effects to words: rows by task, regime and over all, the corrections, and why a row is open."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from warmup_study.claims.correction import corrected
from warmup_study.claims.evidence import rows_of, untrainable, verdicts
from warmup_study.claims.openness import seeds_needed
from warmup_study.claims.robustness import robustness
from warmup_study.claims.table import Claim, claim, whole_table
from warmup_study.claims.verdict import Verdict
from warmup_study.statistics.bootstrap import Effect, paired_effect
from warmup_study.statistics.curves import LrCurves
from warmup_study.statistics.lr_curves import tuned_loss

REGIMES = {"digits-mlp": "easy", "digits-he8": "deep", "digits-transformer": "attention", "text": "attention"}
SEEDS = 40


def effect(mean: float, seeds: int = SEEDS, spread: float = 0.1) -> Effect:
    """An effect with exactly this estimate, and half an interval of about 2 spread / √seeds."""
    noise = np.random.default_rng([seeds, 5]).standard_normal(seeds)
    return paired_effect(mean + spread * (noise - noise.mean()) / noise.std(), 999)


def effects(at_best: float, above: float, **given: Any) -> dict[str, Effect]:
    values = {"gain at the best learning rate": at_best, "gain above it": above}
    return {name: effect(mean, **given) for name, mean in values.items()}


def told(by_task: Mapping[str, Any], name: str = "better-results") -> list[Verdict]:
    return corrected(verdicts(name, by_task, SEEDS, lambda task: REGIMES.get(task, "")))


def test_rows_of_tasks_give_places_those_of_regimes_words_and_disagreeing_regimes_make_it_depend() -> None:
    rows = told({"digits-mlp": effects(0, 0), "digits-transformer": effects(0.4, 1), "text": effects(0.2, 1)})
    words = [(row.task, row.regime, row.verdict, row.place) for row in rows]
    assert words == [
        ("digits-mlp", "easy", "", "inside"),
        ("digits-transformer", "attention", "", "above"),
        ("text", "attention", "", "above"),
        ("all", "easy", "contradicted", "inside"),
        ("all", "attention", "supported", "above"),
        ("all", "", "depends", "above"),
    ]
    assert rows[4].estimate == pytest.approx(0.3) and rows[5].estimate == pytest.approx(0.2)
    assert rows[5].regimes == {"easy": "contradicted", "attention": "supported"} and rows[5].why_open == ""
    assert rows[3].too_small_to_matter and not rows[5].too_small_to_matter


def test_parts_are_told_apart_and_a_part_that_is_undecided_keeps_the_row_open() -> None:
    (*_, mixed) = told({"digits-mlp": effects(0, 1)})
    assert mixed.verdict == "mixed"
    assert {part.name: part.word for part in mixed.statements} == {
        "at the best learning rate": "contradicted",
        "above it": "supported",
    }
    (*_, open_) = told({"digits-mlp": effects(0.05, 1)})
    assert (open_.verdict, open_.why_open) == ("inconclusive", "at the best learning rate undecided")


def test_tasks_that_do_not_count_are_named() -> None:
    rows = told({"digits-mlp": effects(0.2, 1), "digits-he8": untrainable("SGD"), "text": None})
    assert rows[-1].left_out == {"digits-he8": "untrainable with SGD", "text": "no case to test"}
    assert rows[-1].estimate == pytest.approx(0.2) and rows[1].why_open == "untrainable with SGD on digits-he8"
    (*_, none) = told({"digits-he8": untrainable("SGD"), "text": untrainable("SGD")})
    assert (none.verdict, none.why_open) == ("inconclusive", "untrainable with SGD on digits-he8 and text")


def test_a_claim_of_every_regime_needs_each_of_them() -> None:
    names = [part.holds.subjects[0] for part in planned("how-long").conditions.parts]
    by_task = {
        task: {name: effect(mean, spread=0.01) for name in names}
        for task, mean in (("digits-mlp", 0.0), ("digits-he8", 0.048))
    }
    rows = rows_of(planned("how-long"), by_task, SEEDS, REGIMES.__getitem__)
    assert [row.verdict for row in rows[-3:]] == ["supported", "inconclusive", "inconclusive"]


def planned(name: str) -> Claim:
    return next(row for row in whole_table() if row.id == name)


def row(name: str, p_supported: float | None, headline: int = 0, **given: Any) -> Verdict:
    content: dict[str, Any] = {
        **dict.fromkeys(("claim", "source", "rule", "endpoint", "unit", "notebook", "figure"), "-"),
        **{"id": name, "estimate": 1.0, "ci_low": 0.5, "ci_high": 1.5, "n": 20, "margin": 0.1, "task": "all"},
        **{"verdict": "supported", "p_supported": p_supported, "p_contradicted": 1.0, "headline": headline},
    }
    return Verdict.model_validate(content | given)


def test_headline_questions_are_asked_one_after_the_other() -> None:
    rows = corrected([row("c", 0.001, 3), row("a", 0.01, 1), row("b", 0.2, 2)])
    assert [(found.id, found.verdict) for found in rows] == [
        ("c", "inconclusive"),
        ("a", "supported"),
        ("b", "inconclusive"),
    ]
    assert rows[0].why_open == "not reached in the fixed sequence" and rows[1].p_adjusted == pytest.approx(0.02)
    decided = corrected([row("a", 0.02, 1), row("b", 0.001, 2)])
    assert [(found.verdict, found.p_adjusted) for found in decided] == [("supported", 0.04)] * 2


def test_all_other_claims_share_a_rate_of_false_discoveries() -> None:
    rows = corrected([row("strong", 0.0001), row("weak", 0.02), row("none", 0.4), row("exact", None)])
    assert [found.verdict for found in rows] == ["supported", "inconclusive", "inconclusive", "supported"]
    assert [found.p_adjusted for found in rows] == pytest.approx([0.0006, 0.06, 0.8, None])
    assert rows[0].p_yekutieli == pytest.approx(0.0006 * (1 + 1 / 2 + 1 / 3))
    assert rows[1].why_open == "p 0.04 before, 0.06 after correction"
    assert corrected([row("few", 0.0001, n=4)])[0].why_open == "n too small: 5 seeds are the fewest that decide"


def test_the_seeds_that_would_do_are_those_that_do() -> None:
    rule, name = claim("extra-epochs").conditions, "epochs saved (skewed)"
    needed = seeds_needed(rule, {name: effect(0.6, 20, spread=0.5)})
    assert (
        needed is not None and 180 < needed < 240
    )  # (1.96 + 0.84)² (0.5 / 0.1)² = 196, by Student's quantile a few more
    found = [paired_effect(np.random.default_rng(k).normal(0.6, 0.5, needed), 399).low > 0.5 for k in range(200)]
    assert 0.72 < np.mean(found) < 0.9
    (*_, open_) = told({"digits-mlp": {name: effect(0.6, 20, spread=0.5)}}, "extra-epochs")
    assert open_.why_open.startswith("n too small: about 2") and open_.why_open.endswith("0 seeds would do")
    assert seeds_needed(rule, {name: effect(0.5, 20)}) is None


def runs(gain: float, spoiled: int) -> pd.DataFrame:
    """Both arms at three learning rates; so many runs of the ramp end far above their initial loss at every rate."""
    chance, rows = np.random.default_rng(3), []
    for warmup in ("none", "ramp"):
        for seed in range(20):
            for lr, loss in ((0.1, 0.5), (0.2, 0.4), (0.4, 0.5)):
                noise = np.exp(0.02 * chance.standard_normal() - gain * (warmup == "ramp"))
                value = 50.0 if warmup == "ramp" and seed < spoiled else loss * noise
                losses = {"test_loss": value, "validation_loss": value}
                rows.append({"warmup": warmup, "seed": seed, "lr": lr, "initial_loss": 2.3, "status": "ok", **losses})
    return pd.DataFrame(rows)


def measured(table: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    none, ramp = (LrCurves.of(table[table["warmup"] == name]) for name in ("none", "ramp"))
    gain = tuned_loss(none, ramp, 999)
    return {"digits-mlp": {"added gain (cosine)": gain, "added gain (inverse_sqrt)": gain}}


def test_robustness_counts_the_variants_that_say_the_same() -> None:
    assert robustness("decay-after", measured, runs(0.5, 0), 20) == (12, 12)
    agree, variants = robustness("decay-after", measured, runs(0.5, 1), 20)
    assert variants == 12 and 3 <= agree < 12, "a run at twenty times its initial loss counts without a cap, in means"
    fixed = {"digits-mlp": {"epochs saved (skewed)": effect(0.8)}}
    assert str(robustness("extra-epochs", lambda table: fixed, pd.DataFrame(), 20)) == "2 of 3"


def test_no_rule_can_be_met_and_broken_at_once() -> None:
    """Under effects known without doubt, just above or below the bounds, in every mix."""
    chance = np.random.default_rng(0)
    for found in whole_table():
        rule = found.conditions
        leaves = {leaf.subjects: leaf for leaf in rule.leaves()}
        words = set()
        for _ in range(300 * bool(leaves)):
            sides = chance.choice([-2, -0.5, 0, 0.5, 2], 2)  # few at a time, so that conditions are met together
            known = {
                name.replace("*", "x"): sure(leaf.around + chance.choice(sides) * (abs(leaf.bound) or 1))
                for leaf in leaves.values()
                for name in leaf.subjects
            }
            supported, contradicted, _ = rule.answers(known)
            assert max(supported, contradicted) > 0.1, found.id
            words |= {"supported"} if supported <= 0.1 else {"contradicted"} if contradicted <= 0.1 else set()
        assert words == ({"supported", "contradicted"} if leaves else set()), found.id


def sure(value: float) -> Effect:
    return Effect(value, value, value, 20, np.full(39, value))
