"""Tasks drawn at random: they cover every range, they are the same everywhere, and they train."""

from collections import Counter

import pytest
from small_experiments import config, runs_of

from warmup_study import tasks
from warmup_study.tasks import generated, text
from warmup_study.training import ensemble
from warmup_study.training.code_hash import training_code


def test_settings_cover_their_ranges_and_stay_as_they_are() -> None:
    drawn = generated.drawn()
    assert len(set(drawn)) == generated.COUNT >= 40
    assert {one.depth for one in drawn} == set(range(1, 9)) and {one.width for one in drawn} == {16, 32, 48, 64}
    assert min(one.gain for one in drawn) < 0.6 and max(one.gain for one in drawn) > 3.4
    assert {one.batch for one in drawn} == {8, 16, 32, 64, 128, 256, 512}
    for field, least in (("data", 9), ("activation", 16), ("norm", 12)):
        assert min(Counter(getattr(one, field) for one in drawn).values()) >= least
    assert generated.drawn()[7] == generated.Settings(
        data="wine", depth=6, width=64, activation="tanh", norm="none", gain=0.88, batch=8
    )


@pytest.mark.parametrize("place", range(10))
def test_they_train(place: int) -> None:
    name = f"generated-{place}"
    if generated.drawn()[place].data == "text" and text.missing():
        pytest.skip(text.missing())
    traces = ensemble.train(config(3, tasks.load(name).batch, 3, name), runs_of("adam", 1e-4, (1, 2)))
    assert traces.test_loss.isfinite().all()


def test_they_are_the_study_s_own_and_are_not_listed() -> None:
    assert "generated-3" not in tasks.names()
    assert training_code("generated-3") == training_code("digits-mlp")
