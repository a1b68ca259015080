"""Splits that every seed makes for itself, and evaluation in pieces, against plain second implementations."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_experiments import arm, config, runs_of
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from warmup_study import tasks
from warmup_study.tasks import Split, identity, mnist1d, text
from warmup_study.training import batches, ensemble
from warmup_study.training.batches import Stream
from warmup_study.training.examples import Examples
from warmup_study.training.experiment import RunSpec
from warmup_study.training.probes import ProbeName
from warmup_study.training.traces import Traces

DIGITS = tasks.load("digits-mlp")
SEEDS = (0, 5000, 2**31 - 1)
SEEN = ("train_loss", "validation_loss", "validation_error", "test_loss", "test_error", "outputs")
MEGABYTE = 2**20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeds_splits_lie_apart_hold_all_and_have_every_class_in_proportion(seed: int) -> None:
    pool = DIGITS.pool
    assert pool is not None
    places = pool.places(seed)
    assert sorted(torch.cat(places).tolist()) == list(range(len(pool.examples)))
    whole = torch.bincount(pool.examples.targets) / len(pool.examples)
    for split, expected in zip(DIGITS.of_seed(seed).splits, (1257, 270, 270), strict=True):
        assert len(split) == expected
        assert (torch.bincount(split.targets) / len(split) - whole).abs().max() < 0.5 / 100
    assert all(torch.equal(*pair) for pair in zip(places, pool.places(seed), strict=True))


def test_seeds_draw_their_splits_apart_from_one_another() -> None:
    drawn = [set(DIGITS.pool.places(seed).test.tolist()) for seed in SEEDS] if DIGITS.pool else []
    shared = [len(one & other) / 270 for one, other in combinations(drawn, 2)]
    assert len(shared) == 3 and max(shared) < 0.25, "by chance 15 % of a test split are in another"
    first, again = tasks.load("digits-transformer").of_seed(7), DIGITS.of_seed(7)
    assert torch.equal(first.splits.test.targets, again.splits.test.targets), "every task on digits has the same"


def plainly(run: RunSpec, name: str, updates: int, batch: int) -> dict[str, float]:
    """Losses of one run by an ordinary loop on its seed's own split."""
    task = tasks.load(name).of_seed(run.split_seed)
    torch.manual_seed(run.init_seed)
    model, (train, validation, test) = task.model().double(), task.splits
    optimizer = torch.optim.SGD(model.parameters(), lr=run.lr)
    for picked in torch.as_tensor(batches.order_of(run.arm.stream, run.seed, task, batch, updates)):
        optimizer.zero_grad()
        last = functional.cross_entropy(model(train.inputs[picked].double()), train.targets[picked])
        last.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        ends = {
            "validation_loss": functional.cross_entropy(model(validation.inputs.double()), validation.targets),
            "test_loss": functional.cross_entropy(model(test.inputs.double()), test.targets),
            "test_error": (model(test.inputs.double()).argmax(-1) != test.targets).double().mean(),
        }
    return {"train_loss": last.item()} | {name: value.item() for name, value in ends.items()}


@pytest.mark.parametrize("name", ["digits-mlp", "digits-transformer", "digits-mlp+leaky"])
@pytest.mark.parametrize("stacked", [True, False])
def test_every_run_trains_and_is_judged_on_its_seeds_own_split(name: str, stacked: bool) -> None:
    streams = (Stream(), Stream(cluster="kmeans", skew=0.5, span=4), Stream(order=9))
    runs = [RunSpec(arm("sgd", label=str(k), stream=s), 0.1, seed) for seed in (3, 8) for k, s in enumerate(streams)]
    runs.append(RunSpec(arm("sgd", init=4), 0.1, 8))
    seen = ensemble.train(config(8, 16, 8, name), runs, dtype=torch.float64, stacked=stacked).by_run(len(runs))
    for run, found in zip(runs, seen, strict=True):
        for what, expected in plainly(run, name, 8, 16).items():
            last = np.atleast_1d(found[what])[-1]
            assert last == pytest.approx(expected, rel=1e-6), what
    assert len({float(found["test_loss"]) for found in seen}) == len(runs)


def test_what_an_arms_runs_share_they_share_with_the_same_examples() -> None:
    plain, fixed = arm("sgd"), arm("sgd", init=4)
    assert [RunSpec(plain, 0.1, seed).split_seed for seed in (1, 2)] == [1, 2]
    assert [RunSpec(fixed, 0.1, seed).split_seed for seed in (1, 2)] == [4, 4]
    assert [RunSpec(arm("sgd", stream=Stream(order=6)), 0.1, seed).split_seed for seed in (1, 2)] == [6, 6]


def test_probes_look_at_each_runs_own_examples_in_a_stack_as_one_by_one() -> None:
    probes: tuple[ProbeName, ...] = (
        "alignment",
        "sharpness",
        "dead_share",
        "inside_loss",
        "outside_loss",
        "gradient_snr",
    )
    shared = config(3, 16, 3, "digits-he2", probed=(2, 3), probes=probes)
    runs = [RunSpec(arm("sgd", stream=Stream(cluster="class")), 0.05, seed) for seed in (13, 23)]
    stack, apart = (ensemble.train(shared, runs, dtype=torch.float64, stacked=how).probes for how in (True, False))
    for name in probes:
        torch.testing.assert_close(stack[name], apart[name], rtol=1e-4, atol=1e-6)
    lone = ensemble.train(shared, runs[1:], dtype=torch.float64).probes
    for name in probes:
        torch.testing.assert_close(lone[name][:, 0], stack[name][:, 1], rtol=1e-4, atol=1e-6)


def in_pieces() -> tasks.Task:
    """A task for ``test_splits:in_pieces``: 270 examples in pieces of 100, 100 and 70."""
    return replace(DIGITS, evaluation_batch=100)


def test_evaluation_in_pieces_equals_evaluation_at_once() -> None:
    runs, probed = (
        runs_of("adam", 3e-3, (1, 2)),
        {"outputs_kept": 3, "probed": (2,), "probes": ("sharpness", "alignment")},
    )
    for stacked in (True, False):
        whole, pieces = (
            ensemble.train(config(4, 16, 2, name, **probed), runs, dtype=torch.float64, stacked=stacked)
            for name in ("digits-mlp", "test_splits:in_pieces")
        )
        assert_same(whole, pieces)


def assert_same(left: Traces, right: Traces) -> None:
    for name in SEEN:
        torch.testing.assert_close(getattr(left, name), getattr(right, name), rtol=1e-6, atol=1e-6)
    for probe, values in left.probes.items():
        torch.testing.assert_close(values, right.probes[probe], rtol=1e-5, atol=1e-6)


def test_of_many_training_examples_probes_look_at_some_evenly_spread() -> None:
    own = Examples(
        Split(torch.arange(20.0)[:, None], torch.arange(20)), torch.stack([torch.arange(10), 19 - torch.arange(10)])
    )
    assert own.thinned(4).targets.tolist() == [[0, 3, 6, 9], [19, 16, 13, 10]]
    assert own.thinned(10) is own and len(own.thinned(4)) == 4


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the largest tensor that any operation within makes."""

    seen = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        sizes = [each.nbytes for each in tree_leaves(made) if isinstance(each, Tensor)]
        self.seen = max([self.seen, *sizes])
        return made


def some_text() -> tasks.Task:
    """A task for ``test_splits:some_text``: a quarter of the windows to report on, for a quarter of the time."""
    task = tasks.load("text-transformer")
    return replace(task, splits=task.splits._replace(test=task.splits.test.at(torch.arange(1024))))


@pytest.mark.skipif(bool(text.missing()), reason="the text is not at hand")
def test_a_stack_on_text_is_evaluated_in_little_memory() -> None:
    with Largest() as largest:  # type: ignore[no-untyped-call]
        traces = ensemble.train(config(1, 2, 1, "test_splits:some_text"), runs_of("sgd", 0.1, range(32)))
    assert traces.test_loss.isfinite().all()
    logits = 32 * 1024 * text.WINDOW * text.CHARACTERS * 4
    assert largest.seen < 20 * MEGABYTE < logits / 6


def test_kept_signals_are_read_back_and_made_anew_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def made() -> dict[str, Any]:
        calls.append(1)
        return {"x": np.arange(800.0).reshape(20, 40), "y": np.arange(20) % 10}

    monkeypatch.setattr(mnist1d, "_made", made)
    monkeypatch.setattr(mnist1d, "SIZES", (10, 0, 10))
    monkeypatch.setattr(mnist1d, "path", lambda: tmp_path / "cache" / "signals.data")
    first, second = mnist1d.splits(), mnist1d.splits()
    assert len(calls) == 1 and all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, second, strict=True))
    kept = bytearray(mnist1d.path().read_bytes())
    kept[len(kept) // 2] ^= 1
    for damaged in (bytes(kept), kept[:50], b""):
        mnist1d.path().write_bytes(damaged)
        assert torch.equal(mnist1d.splits().train.inputs, first.train.inputs)
    assert len(calls) == 4
    monkeypatch.undo()
    before = mnist1d.path()
    monkeypatch.setattr(mnist1d, "version", lambda name: "0.0")
    assert mnist1d.path() != before


def test_a_pool_and_the_splits_that_seeds_make_of_it_count_for_a_users_task() -> None:
    pool = DIGITS.pool
    assert pool is not None
    turned = replace(pool, places=lambda seed: pool.places(seed + 1))
    moved = replace(pool, examples=replace(pool.examples, inputs=pool.examples.inputs + 1e-3))
    told = [identity.content(replace(DIGITS, pool=each)) for each in (pool, turned, moved, None)]
    assert len(set(told)) == 4 and told[0] == identity.content(DIGITS)
