"""The table of claims: complete, one with the plan, and its faults told in one line."""

from typing import Any

import pytest

from warmup_study.claims.table import Claim, checked, claim, margin, whole_table
from warmup_study.claims.table import table as claims_table
from warmup_study.errors import StudyError
from warmup_study.paths import NOTEBOOKS

# Which notebook tests which claim: the study's plan.
PLAN = {
    "1_sgd_vs_adam": "definition adaptive-only first-update",
    "2_zero_vs_ramped_warmup": "statistics lost-epoch jump",
    "3_momentum": "momentum-adaptive momentum-zero like-none",
    "4_early_examples": "early-examples early-variance primacy one-over-n extra-epochs",
    "5_attention_and_decay": "attention decay-after normalisation",
    "6_mechanism": "curvature hidden-warmups dead-units",
    "7_anchor_warmup": "anchor-warmup",
    "8_how_long": "how-long skew-length untuned large-batch",
    "9_fine_tuning": "new-data resume",
    "10_new_optimisers": "new-optimisers",
    "11_predictable": "predictable",
    "report": "better-results",
}


def test_every_claim_has_its_notebook_and_its_own_id() -> None:
    planned = sorted((name, notebook) for notebook, names in PLAN.items() for name in names.split())
    assert sorted((row.id, row.notebook) for row in whole_table()) == planned
    assert {row.notebook for row in claims_table()} == set(PLAN) & set(NOTEBOOKS)
    headline = {row.headline: row.id for row in whole_table() if row.headline}
    assert headline == {1: "better-results", 2: "adaptive-only", 3: "how-long"}


@pytest.mark.parametrize("row", whole_table(), ids=lambda row: row.id)
def test_row_is_complete(row: Claim) -> None:
    assert len(row.title.split()) <= 8
    assert row.source.startswith(("answer", "a comment on answer", "literature:", "practice:"))
    assert row.text.rstrip(")").endswith(".") and row.prediction.endswith(".") and row.test.endswith(".")
    assert "\n" not in row.text + row.prediction + row.test + row.rule
    assert row.rule.startswith("Supported if ") and "; contradicted if " in row.rule and row.rule.endswith(".")


def test_unknown_names_are_one_line() -> None:
    assert claim("jump").id == "jump"
    with pytest.raises(StudyError, match="claim: got 'jmp'; takes one of better-results"):
        claim("jmp")
    with pytest.raises(StudyError, match="margin: got 'x'; takes one of tuned_loss"):
        margin("x")


GAIN: dict[str, Any] = {"effect": "gain", "above": "margin"}
ROW: dict[str, Any] = {
    **dict.fromkeys(("title", "source", "text", "prediction", "test", "endpoint", "unit", "figure"), "-"),
    **{"id": "new", "margin": "tuned_loss", "notebook": "3_momentum", "conditions": {"parts": [GAIN]}},
}


def parts(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"conditions": {"parts": list(rows)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": " "}, "claim new: title: String should have at least 1 character"),
        ({"notebook": "8_none"}, "no notebook is called"),
        ({"margin": -1.0}, "claim new: margin: .* greater than or equal to 0"),
        ({"margin": "tuned_los"}, "margin: got 'tuned_los'; takes one of tuned_loss"),
        ({"extra": 1}, "claim new: extra: Extra inputs"),
        (parts(GAIN | {"above": "gain"}), "margin: got 'gain'; takes one of .*margin"),
        (parts(GAIN | {"each": ["a", "b"]}), "claim new: .*takes one of effect, each, some, all and any"),
        (parts({"effect": "gain"}), "claim new: .*the condition on gain takes one of above, below"),
        (parts(GAIN | {"below": 0}), "claim new: .*the condition on gain takes one of above, below"),
        (parts(GAIN | {"abvoe": 0}), "claim new: .*abvoe: Extra inputs"),
        (parts({"effect": "gain", "inside": 0}), "claim new: .*inside: .*greater than 0"),
        (parts({"effect": "gain", "equals": 0}), "claim new: .*a part with equals must say when it fails"),
        ({"conditions": {"supported": GAIN}}, "takes parts, or conditions for supported and contradicted, or by_hand"),
        ({"conditions": {"parts": [GAIN], "by_hand": "-"}}, "takes parts, or conditions"),
    ],
)
def test_a_wrong_row_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    assert checked(ROW).conditions.parts[0].holds.bound == margin("tuned_loss").value
    with pytest.raises(StudyError, match=message) as refused:
        checked(ROW | change)
    assert "\n" not in str(refused.value)
