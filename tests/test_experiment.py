"""Definitions of experiments: what is refused, which chunks they make, and that ids say all that counts."""

import json
import math
import pickle
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_experiments import ARMS, BASE, RAMP, arm, small

from warmup_study import tasks
from warmup_study.training.batches import Stream
from warmup_study.training.experiment import Arm, Chunk, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

STACK = tasks.load("digits-mlp").stack
MANY_SEEDS = tuple(range(200))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"learning_rates": (0.1,)}, "learning_rates"),
        ({"part": 3}, "part"),
        ({"task": None}, "task"),
        ({"arms": ()}, "arms"),
        ({"arms": "adam"}, "arms"),
        ({"arms": (ARMS[0], ARMS[0])}, "every label must be given once"),
        ({"arms": (arm("adam"), arm("sgd"))}, "share a kernel"),
        ({"lrs": ()}, "lrs"),
        ({"lrs": (0.1, 0.1)}, "every value once"),
        ({"lrs": (0.1, math.nan)}, "lrs"),
        ({"lrs": (0.1, math.inf)}, "lrs"),
        ({"lrs": (0.1, -0.1)}, "lrs"),
        ({"lrs": (0.0,)}, "lrs"),
        ({"lrs": 0.1}, "lrs"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "every value once"),
        ({"seeds": (2.5,)}, "seeds"),
        ({"seeds": (-1,)}, "seeds"),
        ({"seeds": (2**31,)}, "seeds"),
        ({"updates": 0}, "updates"),
        ({"updates": 100_001}, "updates"),
        ({"updates": math.nan}, "updates"),
        ({"updates": "many"}, "updates"),
        ({"updates": 2}, "warmup length: got 3; takes at most the number of updates, 2"),
        ({"batch": 0}, "batch"),
        ({"batch": 4097}, "batch"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"probed": (0,)}, "probed"),
        ({"probed": (1, 1)}, "every value once"),
        ({"probed": (1, 9)}, "probed: got 9; takes at most the number of updates, 8"),
        ({"probes": ("loss",)}, "probes"),
        ({"arms": (arm("lion"),), "probes": ("velocity_norm",)}, "velocity_norm got lion; takes one of sgd, momentum"),
        ({"arms": (arm("muon"),), "probes": ("second_moment_drift",)}, "got muon; takes one of rmsprop, adam"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_what_is_wrong_is_refused_and_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        small(**changes)


@pytest.mark.parametrize("missing", ["part", "task", "arms", "lrs", "seeds", "updates"])
def test_what_is_missing_is_refused_and_named(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Experiment.model_validate({name: value for name, value in BASE.items() if name != missing})


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, "wide"])
def test_an_arm_takes_a_positive_scale(scale: object) -> None:
    with pytest.raises(ValidationError, match="lr_scale"):
        arm("adam", lr_scale=scale)


def test_definitions_cannot_be_changed() -> None:
    for definition, field in ((small(), "updates"), (ARMS[0], "label"), (small().chunks()[0], "lr")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(definition, field, 1)


def ids(experiment: Experiment) -> list[str]:
    return [chunk.id for chunk in experiment.chunks()]


def test_the_same_definition_has_the_same_ids_in_a_fresh_process() -> None:
    text = small().model_dump_json()
    code = (
        "import sys; from warmup_study.training.experiment import Experiment\n"
        "print(*[chunk.id for chunk in Experiment.model_validate_json(sys.stdin.read()).chunks()])"
    )
    fresh = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    assert fresh.stdout.split() == ids(small()) == ids(Experiment.model_validate_json(text))


def test_a_chunk_keeps_its_id_on_the_way_to_a_worker() -> None:
    chunk = small().chunks()[0]
    name = chunk.id
    assert pickle.loads(pickle.dumps(chunk)).id == name and len(name) == 20 and int(name, 16) >= 0


CHANGED: dict[str, Any] = {
    "part": "probe",
    "task": "digits-deep",
    "arms": ARMS[:1],
    "lr": 0.002,
    "seeds": (0, 1),
    "updates": 9,
    "batch": 17,
    "evaluate_every": 5,
    "probed": (1,),
    "probes": ("update_mean",),
    "outputs_kept": 1,
    "compiled": True,
    "device": "cuda",
}


@pytest.mark.parametrize("field", Chunk.model_fields)
def test_any_field_changes_the_id(field: str) -> None:
    chunk = small().chunks()[0]
    assert Chunk.model_validate(chunk.model_dump() | {field: CHANGED[field]}).id != chunk.id


@pytest.mark.parametrize(
    "other",
    [
        arm("adam", RAMP, label="adam/none"),
        arm("adam", label="adam/none", lr_scale=0.5),
        arm("adam", label="other"),
        arm("rmsprop", label="adam/none"),
        Arm(label="adam/none", optimizer=Optimizer(name="adam", beta2=0.99), schedule=Schedule()),
        Arm(label="adam/none", optimizer=Optimizer(name="adam"), schedule=Schedule(decay="cosine")),
        arm("adam", label="adam/none", stream=Stream(redrawn=(1, 2))),
        arm("adam", label="adam/none", init=7),
    ],
)
def test_any_setting_of_an_arm_changes_the_id(other: Arm) -> None:
    assert not set(ids(small(arms=(other, ARMS[1])))) & set(ids(small()))


def test_spelling_does_not_change_the_id() -> None:
    loose = small(lrs=[1e-3, "1e-1"], updates=8.0, arms=[one.model_dump() for one in ARMS])
    assert ids(loose) == ids(small())
    backwards = dict(reversed(json.loads(small().model_dump_json()).items()))
    assert ids(Experiment.model_validate_json(json.dumps(backwards))) == ids(small())


def test_seeds_of_a_pair_stay_in_one_chunk() -> None:
    chunks = small(seeds=MANY_SEEDS).chunks()
    assert len(chunks) > 2 * len(small().chunks())
    cells = [(run.lr, run.arm.label, run.seed) for chunk in chunks for run in chunk.runs]
    assert len(cells) == len(set(cells)) == 2 * 2 * 200
    for chunk in chunks:
        labels = [run.arm.label for run in chunk.runs]
        assert labels == [arm.label for arm in ARMS] * (len(labels) // 2) and len(labels) <= STACK


def test_more_arms_than_a_chunk_holds_stay_together() -> None:
    arms = tuple(arm("adam", label=f"arm {k}") for k in range(150))
    assert {len(chunk.runs) for chunk in small(arms=arms).chunks()} == {150}


def test_a_refined_grid_keeps_its_old_chunks() -> None:
    coarse, fine = (small(lrs=lr_grid(0.001, 1, points_per_decade)) for points_per_decade in (1, 2))
    assert set(ids(coarse)) < set(ids(fine))
    assert set(ids(small(lrs=(0.1,)))) < set(ids(small()))


def test_more_seeds_keep_full_chunks() -> None:
    before, after = (small(seeds=MANY_SEEDS[:count]) for count in (150, 200))
    full = {chunk.id for chunk in before.chunks() if len(chunk.runs) == STACK}
    assert len(full) == 2 * (150 // (STACK // len(ARMS))) and full < set(ids(after))


def test_only_large_experiments_compile_all_their_chunks() -> None:
    runs = len(small().chunks()) * len(small().chunks()[0].runs)
    enough = tasks.load("digits-mlp").compile_from_updates
    for updates in (enough // runs - 1, enough // runs):
        compiled = {chunk.compiled for chunk in small(updates=updates).chunks()}
        assert compiled == {runs * updates >= enough}


def test_a_run_trains_at_the_grids_learning_rate_times_the_arms_scale() -> None:
    scaled = arm("momentum", label="matched", lr_scale=0.1)
    chunk = small(arms=(scaled,), lrs=(0.5,)).chunks()[0]
    assert [(run.seed, run.grid_lr, run.lr) for run in chunk.runs] == [
        (seed, 0.5, 0.05) for seed in (100, 101, 0, 1, 2)
    ]


DECADES = st.integers(-8, 3)


@settings(deadline=None)
@given(DECADES, st.integers(0, 5), st.integers(1, 12), st.integers(1, 4))
def test_a_finer_grid_contains_the_coarser(low: int, decades: int, points_per_decade: int, finer: int) -> None:
    ends = 10.0**low, 10.0 ** (low + decades)
    coarse, fine = lr_grid(*ends, points_per_decade), lr_grid(*ends, points_per_decade * finer)
    assert set(coarse) <= set(fine) and len(coarse) == decades * points_per_decade + 1
    assert [coarse[0], coarse[-1]] == pytest.approx(ends, rel=1e-12)


@settings(deadline=None)
@given(st.floats(1e-8, 1e3), st.floats(1, 1e4), st.integers(1, 12))
def test_a_grid_brackets_its_ends_to_half_a_step_and_rises_evenly(
    low: float, width: float, points_per_decade: int
) -> None:
    grid = lr_grid(low, low * width, points_per_decade)
    half = 0.5 / points_per_decade + 1e-5
    assert abs(math.log10(grid[0] / low)) <= half and abs(math.log10(grid[-1] / (low * width))) <= half
    assert list(grid) == sorted(set(grid))
    steps = [math.log10(b / a) for a, b in pairwise(grid)]
    assert steps == pytest.approx([1 / points_per_decade] * len(steps), abs=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "points_per_decade"),
    [(0, 1, 1), (-1, 1, 1), (1, 0.1, 1), (math.nan, 1, 1), (1, math.nan, 1), (1, math.inf, 1), (0.1, 1, 0)],
)
def test_a_grid_takes_sensible_ends(low: float, high: float, points_per_decade: int) -> None:
    with pytest.raises(ValueError, match="learning rates: got"):
        lr_grid(low, high, points_per_decade)
