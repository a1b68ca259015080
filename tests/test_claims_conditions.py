"""Conditions: their p-values on effects known by hand, and the rule that they read as."""

from typing import Any

import numpy as np
import pytest

from warmup_study.claims.conditions import Answers, Condition, Rule, combined
from warmup_study.claims.evidence import verdict
from warmup_study.claims.prose import in_words
from warmup_study.claims.table import claim
from warmup_study.errors import StudyError
from warmup_study.statistics.bootstrap import Effect


def effect(below: int, above: int, estimate: float = 0.0) -> Effect:
    """Of 99 replicates, so many at -1 and at 1, and the others at 0: p-values are counts over 100."""
    replicates = np.repeat([-1.0, 0.0, 1.0], [below, 99 - below - above, above])
    return Effect(estimate, -1.0, 1.0, 20, replicates)


EFFECTS = {"up": effect(0, 95, 0.9), "down": effect(97, 0, -0.8), "flat": effect(3, 4), "flat too": effect(1, 2, 0.1)}


@pytest.mark.parametrize(
    ("condition", "p"),
    [
        ({"effect": "up", "above": 0.5}, 0.05),
        ({"effect": "up", "below": 0.5}, 0.96),
        ({"effect": "down", "below": -0.5}, 0.03),
        ({"effect": "flat", "inside": 0.5}, 0.05),  # the larger of 0.04 and 0.05
        ({"effect": "up", "inside": 0.5, "around": 1}, 0.05),
        ({"effect": "up", "outside": 0.5}, 0.1),  # twice the smaller
        ({"effect": "up", "equals": 0.9}, 0),
        ({"effect": "up", "equals": 0}, 1),
        ({"each": "flat*", "inside": 0.5}, 0.05),
        ({"each": ["up", "down"], "above": 0.5}, 1),
        ({"some": ["up", "down"], "above": 0.5}, 0.1),
        ({"all": [{"effect": "up", "above": 0.5}, {"effect": "down", "below": -0.5}]}, 0.05),
        ({"any": [{"effect": "up", "above": 0.5}, {"effect": "down", "below": -0.5}]}, 0.06),
    ],
)
def test_p_values_by_hand(condition: dict[str, Any], p: float) -> None:
    assert Condition.model_validate(condition).p(EFFECTS) == pytest.approx(p)


UP, DOWN = {"effect": "up", "above": 0.5}, {"effect": "down", "above": -0.5}


def test_parts_hold_fail_or_fall_apart() -> None:
    both = Rule.model_validate({"parts": [UP, DOWN]})
    assert both.answers(EFFECTS) == pytest.approx((0.98, 0.96, 0.1))  # one holds at 0.05, the other fails at 0.03
    either = Rule.model_validate({"parts": [UP, DOWN], "supported": "any", "contradicted": "any"})
    assert either.answers(EFFECTS) == pytest.approx((0.1, 0.06, 0.1))
    alone = Rule.model_validate({"parts": [UP]})
    assert alone.answers(EFFECTS) == pytest.approx((0.05, 0.96, 1))
    every = Rule.model_validate({"parts": [{"each": "flat*", "inside": 0.5}]})
    assert every.answers(EFFECTS) == pytest.approx((0.05, 1, 1))
    assert combined([(0.01, 1), (0.02, 1), (1, 0.03)]) == Answers(1, 1, 0.09)


def test_trees_answer_one_by_one_and_mixed_is_impossible_where_unsaid() -> None:
    rule = Rule.model_validate({"supported": UP, "contradicted": {"any": [DOWN, UP]}})
    assert rule.answers(EFFECTS) == pytest.approx((0.05, 0.1, 1))


def test_an_effect_that_was_not_measured_is_named() -> None:
    with pytest.raises(StudyError, match=r"^effect: got 'upp'; takes one of up, down, flat, flat too$"):
        Condition.model_validate({"effect": "upp", "above": 0}).p(EFFECTS)
    with pytest.raises(StudyError, match="got 'log sharpness, ramp less none'"):
        verdict(claim("curvature"), "t", EFFECTS)


UNITS = {"SGD's gain": "log ratio of test losses", "width": "doublings", "share": "share of units"}
SGD = {"effect": "SGD's gain", "inside": 0.02}
RULES = [
    (
        {"parts": [{"effect": "slope", "below": 0}]},
        "Supported if the 95 % CI of the slope lies below 0; contradicted if it lies above 0; else inconclusive.",
    ),
    (
        {"parts": [SGD, {"effect": "width", "above": 1}]},
        "Supported if the 95 % CI of SGD's gain lies inside ±0.02 (−1.98 % to 2.02 %) and that of the width lies above "
        "1 (a factor of 2); contradicted if that of SGD's gain lies outside ±0.02 (−1.98 % to 2.02 %) and that of the "
        "width lies below 1 (a factor of 2); mixed if one part holds and another fails; else inconclusive.",
    ),
    (
        {
            "parts": [
                {
                    "holds": {
                        "all": [
                            {"effect": "delay", "inside": 0.25, "around": -1},
                            {"effect": "speed", "equals": 0},
                        ]
                    },
                    "fails": {"effect": "speed", "above": 0},
                }
            ]
        },
        "Supported if the 95 % CI of the delay lies inside −1.25 to −0.75 and the speed is exactly 0; "
        "contradicted if that of the speed lies above 0; else inconclusive.",
    ),
    (
        {"parts": [{"each": "excess (β = *)", "below": 0.1}]},
        "Supported if the 95 % CI of every excess (β = …) lies below 0.1; contradicted if it lies above 0.1; mixed if "
        "one part holds and another fails; else inconclusive.",
    ),
    (
        {
            "supported": {"each": ["share", "b", "c"], "above": 0},
            "contradicted": {"any": [{"some": ["b", "c"], "below": 0}, {"effect": "share", "below": 0.5}]},
            "mixed": {"any": [{"all": [{"effect": "b", "above": 0}, {"effect": "c", "below": 0}]}, SGD]},
        },
        "Supported if the 95 % CIs of the share, the b and the c lie above 0; contradicted if that of at least "
        "one of the b and the c lies below 0, or that of the share lies below 0.5 (50 %); mixed if "
        "that of the b lies above 0 and that of the c lies below 0, or that of SGD's gain lies inside ±0.02 (−1.98 % "
        "to 2.02 %); else inconclusive.",
    ),
    ({"by_hand": "Supported if so; contradicted if not."}, "Supported if so; contradicted if not."),
]


@pytest.mark.parametrize(("rule", "words"), RULES)
def test_a_rule_reads_as_it_decides(rule: dict[str, Any], words: str) -> None:
    assert in_words(Rule.model_validate(rule), lambda name: UNITS.get(name, "nats")) == words


def test_the_row_of_a_claim_says_what_decided_it() -> None:
    row = verdict(claim("extra-epochs"), "all", {"epochs saved (skewed)": EFFECTS["up"]})
    assert row.conditions == {
        "parts": [
            {
                "holds": {"effect": "epochs saved (skewed)", "above": 0.5},
                "fails": {"effect": "epochs saved (skewed)", "below": 0.5},
            }
        ]
    }
    assert (row.title, row.rule) == (claim("extra-epochs").title, claim("extra-epochs").rule)
    assert (row.estimate, *row.answers, row.place) == pytest.approx((0.9, 0.05, 0.96, 1, "undecided"))
    assert [(part.name, part.margin, part.unit) for part in row.parts] == [("epochs saved (skewed)", 0.5, "epochs")]


def test_of_several_effects_the_worst_is_shown() -> None:
    shown = {
        side: Condition.model_validate({"each": "*", side: 0.5}).worst(EFFECTS) for side in ("above", "below", "inside")
    }
    assert {side: found.estimate for side, found in shown.items()} == {"above": -0.8, "below": 0.9, "inside": 0.9}
