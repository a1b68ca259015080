import pytest

from warmup_study.claims.table import Claim, claim, margin
from warmup_study.claims.table import table as claims_table
from warmup_study.errors import StudyError
from warmup_study.paths import NOTEBOOKS

# Which notebook tests which claim: the study's plan.
PLAN = {
    "1_sgd_vs_adam": "definition adaptive-only first-update",
    "2_zero_vs_ramped_warmup": "statistics lost-epoch jump constant-then-jump",
    "3_momentum": "momentum-adaptive momentum-zero",
    "4_early_examples": "early-examples early-variance primacy one-over-n extra-epochs epoch-length",
    "5_attention_and_decay": "attention decay-after normalisation",
    "6_mechanism": "curvature hidden-warmups untuned dead-units",
    "7_anchor_warmup": "anchor-warmup",
    "report": "better-results",
}


def test_every_claim_has_its_notebook() -> None:
    found: dict[str, set[str]] = {}
    for row in claims_table():
        found.setdefault(row.notebook, set()).add(row.id)
    assert found == {notebook: set(names.split()) for notebook, names in PLAN.items()}


def test_ids_are_unique() -> None:
    names = [row.id for row in claims_table()]
    assert len(names) == len(set(names)) == 24


@pytest.mark.parametrize("row", claims_table(), ids=lambda row: row.id)
def test_row_is_complete(row: Claim) -> None:
    assert len(row.title.split()) <= 8
    assert row.source.startswith(("answer", "a comment on answer", "literature:"))
    assert "supported" in row.rule.lower() and "contradicted" in row.rule
    assert row.text.endswith(".") and row.prediction.endswith(".") and row.test.endswith(".")
    assert "\n" not in row.text + row.prediction + row.test + row.rule
    assert row.margin is not None or row.endpoint == "update_size"
    assert set(row.also) < set(NOTEBOOKS)


def test_margins_agree_with_the_claims_that_use_them() -> None:
    for endpoint in ("tuned_loss", "lr_sensitivity", "max_trainable_lr"):
        used = {row.margin for row in claims_table() if row.endpoint == endpoint}
        assert used <= {0.0, margin(endpoint).value}
        assert {row.unit for row in claims_table() if row.endpoint == endpoint} <= {margin(endpoint).unit}


def test_unknown_names_are_one_line() -> None:
    assert claim("jump").id == "jump"
    with pytest.raises(StudyError, match="claim: got 'jmp'; takes one of definition"):
        claim("jmp")
    with pytest.raises(StudyError, match="margin: got 'x'; takes one of tuned_loss"):
        margin("x")


def test_a_row_with_a_gap_is_refused() -> None:
    row = claim("jump").model_dump()
    for change in ({"rule": " "}, {"notebook": "8_none"}, {"margin": -1.0}, {"extra": 1}):
        with pytest.raises(ValueError):
            Claim.model_validate(row | change)
