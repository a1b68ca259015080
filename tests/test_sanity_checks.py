"""The controls pass on the study as it is, and each fails on a study that is broken in its way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from warmup_study import theory
from warmup_study.errors import StudyError
from warmup_study.running import sanity_checks
from warmup_study.training import batches, ensemble, network_state


def test_controls_pass_and_leave_their_training_in_the_cache(tmp_path: Path) -> None:
    sanity_checks.check(tmp_path, "cpu")
    trained = sorted(tmp_path.glob("*.parquet"))
    assert trained
    stamps = [path.stat().st_mtime_ns for path in trained]
    sanity_checks.check(tmp_path, "cpu")
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.parquet"))] == stamps


def test_seeds_without_effect_stop_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same, orders = network_state.initial_state, batches.batch_order
    monkeypatch.setattr(ensemble, "initial_state", lambda task, seeds, dtype: same(task, [0] * len(seeds), dtype))
    monkeypatch.setattr(batches, "batch_order", lambda _, *sizes: orders(0, *sizes))
    with pytest.raises(StudyError, match="different seeds gave equal"):
        sanity_checks.check(tmp_path, "cpu")


def test_chance_that_no_seed_fixes_stops_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = batches.batch_order
    chance = np.random.default_rng()
    monkeypatch.setattr(batches, "batch_order", lambda seed, *sizes: order(int(chance.integers(2**31)), *sizes))
    with pytest.raises(StudyError, match="same seeds trained twice"):
        sanity_checks.check(tmp_path, "cpu")


def test_a_wrong_first_update_stops_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory, "first_update_size", lambda _: 1.0)
    with pytest.raises(StudyError, match="RMSProp's first update is 10 x lr; theory says 1"):
        sanity_checks.check(tmp_path, "cpu")


def test_arms_that_differ_at_a_small_rate_stop_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ramp_is_worse(*_: object, **__: object) -> pd.DataFrame:
        arms = {"sgd/none": 0.1, "sgd/ramp": 0.2}
        return pd.DataFrame([{"seed": s, "arm": a, "test_loss": loss} for s in range(8) for a, loss in arms.items()])

    monkeypatch.setattr(sanity_checks, "sweep", ramp_is_worse)
    with pytest.raises(StudyError, match="sgd/ramp differs"):
        sanity_checks.check(tmp_path, "cpu")
