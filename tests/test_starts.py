"""Runs that begin at a trained network: as a torch loop that goes on, resumed to the bit, stored once for all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from small_experiments import arm, config, small
from torch import Tensor, nn

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.running.starts import missing_blocks, stored_for
from warmup_study.running.store import Cache, Work
from warmup_study.running.sweep import sweep
from warmup_study.tasks import Split
from warmup_study.training import ensemble, pretraining
from warmup_study.training.batches import Stream, batch_order
from warmup_study.training.experiment import Arm, Experiment, RunSpec
from warmup_study.training.network_state import network
from warmup_study.training.pretraining import PretrainingBlock
from warmup_study.training.starting_points import head
from warmup_study.training.starts import Pretraining, Start

SEED, BEFORE, AFTER, BATCH, LR = 3, 30, 12, 16, 0.01
ADAM = torch.optim.Adam


def pretraining_of(task: str = "digits-mlp+old", **settings: Any) -> Pretraining:
    given = {"task": task, "updates": BEFORE, "optimizer": {"name": "adam"}, "lr": LR, "batch": BATCH}
    return Pretraining.model_validate(given | settings)


def started(before: Pretraining | None = None, optimizer: str = "adam", label: str = "", **settings: Any) -> Arm:
    start = Start.model_validate({"before": before or pretraining_of()} | settings)
    return arm(optimizer, start=start, label=label or "/".join(settings.values()) or "start")


def by_torch(model: nn.Module, rule: torch.optim.Optimizer, examples: Split, order: Any) -> None:
    """An ordinary loop."""
    for picked in torch.as_tensor(order):
        rule.zero_grad()
        inputs, targets = examples.inputs[picked].double(), examples.targets[picked]
        nn.functional.cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
        rule.step()


def loss_on(model: nn.Module, split: Split) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(split.inputs.double()), split.targets))


def fine_tuned(start: Start) -> Iterator[float]:
    """By torch alone: loss on the new test split and on the old before, and on both after fine-tuning."""
    old, new = (tasks.load(f"digits-mlp+{name}").splits for name in ("old", "new"))
    model = network(tasks.load("digits-mlp"), SEED, torch.float64)
    rule: torch.optim.Optimizer = ADAM(model.parameters(), LR)
    by_torch(model, rule, old.train, batch_order(SEED, len(old.train), BATCH, BEFORE))
    last = list(model.children())[-1]
    assert isinstance(last, nn.Linear)
    if start.head == "new":
        other = network(tasks.load("digits-mlp"), SEED + 2**31, torch.float64)
        last.load_state_dict(list(other.children())[-1].state_dict())
    if start.state == "fresh":
        rule = ADAM((last if start.backbone == "frozen" else model).parameters(), LR)
    elif start.backbone == "frozen":
        for param in list(model.parameters())[:-2]:
            param.requires_grad_(False)
            param.grad = None
    yield loss_on(model, new.validation)
    by_torch(model, rule, new.train, batch_order(SEED, len(new.train), BATCH, AFTER))
    yield from (loss_on(model, new.test), loss_on(model, old.test), loss_on(model, old.validation))


USES = [
    (state, kept_head, backbone, way)
    for state, kept_head in (("kept", "kept"), ("fresh", "kept"), ("fresh", "new"))
    for backbone in ("free", "frozen")
    for way in ("stack", "loop")
]


@pytest.mark.parametrize(
    ("state", "kept_head", "backbone", "way"),
    [*USES, ("kept", "kept", "free", "compiled"), ("fresh", "new", "frozen", "compiled")],
)
def test_fine_tuning_is_what_a_torch_loop_makes_of_it(state: str, kept_head: str, backbone: str, way: str) -> None:
    of_one = started(state=state, head=kept_head, backbone=backbone)
    other = started(label="other", state="fresh", head="kept", backbone=backbone)
    assert of_one.start
    points = ensemble.pretrain(of_one.start.before, [SEED, 4], dtype=torch.float64, stacked=way != "loop")
    shared = config(AFTER, BATCH, AFTER, "digits-mlp+new")
    runs = [RunSpec(of_one, LR, SEED), RunSpec(other, LR, 4)]
    how: dict[str, Any] = {"compiled": way == "compiled", "stacked": way != "loop"}
    seen = ensemble.train(shared, runs, dtype=torch.float64, points=points, **how)
    initial, new, *old = fine_tuned(of_one.start)
    found = [seen.validation_loss[0, 0], seen.test_loss[0], seen.old_test_loss[0], seen.old_loss_curve[-1, 0]]
    expected = [initial, new, *old] if kept_head == "kept" else [initial, new, np.nan, np.nan]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert new < 0.9 * initial and seen.old_loss_curve[0, 1] < 0.3


RULES = ("adam", "radam", "rmsprop", "adagrad", "momentum", "momentum_lr_inside", "lion", "signsgd", "muon")


@pytest.mark.parametrize("task", ["digits-mlp", "zoo:batch_norm", "zoo:dropout"])
@pytest.mark.parametrize("stacked", [True, False])
def test_a_run_that_is_resumed_ends_as_if_it_had_not_been_interrupted(task: str, stacked: bool) -> None:
    for rule in RULES:
        before = pretraining_of(task, updates=7, batch=8, optimizer={"name": rule})
        resumed = started(before, rule, state="kept")
        points = ensemble.pretrain(before, [SEED, 4], stacked=stacked)
        whole, rest = (config(updates, 8, updates, task, outputs_kept=3) for updates in (12, 5))
        through = ensemble.train(whole, [RunSpec(arm(rule), LR, seed) for seed in (SEED, 4)], stacked=stacked)
        later = ensemble.train(rest, [RunSpec(resumed, LR, s) for s in (SEED, 4)], stacked=stacked, points=points)
        torch.testing.assert_close(later.outputs, through.outputs, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(later.train_loss, through.train_loss[7:], rtol=1e-6, atol=1e-7)
        assert later.old_test_loss.tolist() == later.test_loss.tolist()
        anew = [RunSpec(started(before, rule, state="kept", batches="anew"), LR, SEED)]
        assert ensemble.train(rest, anew, stacked=stacked, points=points).train_loss[0] != later.train_loss[0, 0]


def experiment(**changes: Any) -> Experiment:
    arms = tuple(started(state=state) for state in ("kept", "fresh"))
    return small(task="digits-mlp+new", arms=arms, seeds=(8, 9, 10), **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """An experiment swept in this process: seeds of two blocks at two learning rates."""
    folder = tmp_path_factory.mktemp("cache")
    return sweep([experiment()], folder, processes=0), folder


def test_starting_points_are_trained_once_for_all_that_name_them(
    swept: tuple[pd.DataFrame, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, folder = swept
    blocks = [PretrainingBlock.of(pretraining_of(), seed, "cpu") for seed in (8, 10)]
    pieces: list[Work] = [*experiment().chunks(), *blocks]
    assert set(contents(folder)) == {f"{piece.id}.parquet" for piece in pieces}
    both = [experiment(), experiment(part="other", updates=4, lrs=(0.02,))]
    again = sweep(both, tmp_path, processes=2)
    assert "trained 18 runs and 20 starting points" in capsys.readouterr().out
    pd.testing.assert_frame_equal(again[again["part"] == "grid"].reset_index(drop=True), runs)
    assert contents(folder).items() <= contents(tmp_path).items()
    sweep([experiment(part="third")], tmp_path, processes=0)
    assert "starting points" not in capsys.readouterr().out


def test_rows_tell_where_they_began_and_what_is_left_of_it(swept: tuple[pd.DataFrame, Path]) -> None:
    runs, _ = swept
    settings = runs[["start_task", "start_optimizer", "start_updates", "start_lr", "start_batch", "start_head"]]
    assert settings.drop_duplicates().to_numpy().tolist() == [["digits-mlp+old", "adam", BEFORE, LR, BATCH, "kept"]]
    assert runs["start_state"].tolist() == ["kept", "fresh"] * 6 and (runs["lr_audit"] == 0).all()
    curves = np.stack(runs["old_loss_curve"].to_list())
    assert (curves[:, 0] < 0.5).all() and (runs["initial_loss"] > 3).all() and (runs["old_test_loss"] > 0.1).all()
    assert (runs.groupby("seed")["initial_loss"].nunique() == 1).all() and runs["initial_loss"].nunique() == 3
    kept, fresh = (runs[runs["start_state"] == state]["test_loss"].to_numpy() for state in ("kept", "fresh"))
    assert (kept != fresh).all()
    plain = sweep([small(seeds=(0,), lrs=(0.1,))], swept[1], processes=0)
    assert plain.filter(regex="^(start|old)_").isna().all().all()


def test_damaged_starting_points_are_trained_again_to_the_same_bits(
    swept: tuple[pd.DataFrame, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = contents(swept[1])
    cache, chunks = Cache(tmp_path), experiment().chunks()
    flipped, cut = (cache.path(PretrainingBlock.of(pretraining_of(), seed, "cpu")) for seed in (8, 10))
    content = bytearray(whole[flipped.name])
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    cut.write_bytes(whole[cut.name][:-100])
    assert len(missing_blocks(chunks, cache)) == 2 and not stored_for(chunks[0], cache)
    sweep([experiment()], tmp_path, processes=0)
    assert "trained 12 runs and 20 starting points" in capsys.readouterr().out
    assert contents(tmp_path).items() <= whole.items()


def test_an_interrupted_sweep_keeps_the_starting_points_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put, stored = Cache.put, list[Any]()

    def once(cache: Cache, work: Any, table: Any) -> None:
        if stored:
            raise KeyboardInterrupt
        put(cache, work, table)
        stored.append(work)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Cache, "put", once)
        sweep([experiment()], tmp_path, processes=0)
    before = contents(tmp_path)
    assert [type(work) for work in stored] == [PretrainingBlock] and len(before) == 1
    sweep([experiment()], tmp_path, processes=0)
    assert " and 10 starting points" in capsys.readouterr().out and before.items() <= contents(tmp_path).items()


def test_a_table_of_starting_points_gives_back_every_bit(swept: tuple[pd.DataFrame, Path]) -> None:
    block = PretrainingBlock.of(pretraining_of("zoo:batch_norm", batch=8), SEED, "cpu")
    points = ensemble.pretrain(block.before, block.seeds)
    for seed, point in pretraining.read_points(pretraining.pretrained(block)):
        expected = points[block.before, seed]
        assert point.state.keys() == {"first", "second"}
        for stacks, others in ((point.tensors, expected.tensors), (point.state["first"], expected.state["first"])):
            assert stacks.keys() == others.keys() and all(map(same, stacks.values(), others.values()))


def same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def test_the_id_of_a_chunk_covers_where_its_runs_begin() -> None:
    ids = {
        small(task="digits-mlp+new", arms=[each]).chunks()[0].id
        for each in (
            arm("adam", label="a"),
            started(label="a"),
            started(pretraining_of(lr=0.02), label="a"),
            started(label="a", state="kept"),
            started(label="a", batches="anew"),
        )
    }
    assert len(ids) == 5


def test_the_head_is_what_is_used_last() -> None:
    assert head("digits-mlp") == ("4.weight", "4.bias")
    assert head("digits-transformer-pre") == ("head.weight", "head.bias")


def test_a_cluster_of_taught_classes_is_held_against_the_old_ones() -> None:
    shared = config(1, 64, 1, "digits-mlp+new", probed=(1,), probes=("inside_loss", "outside_loss"))
    start = Start(before=pretraining_of(updates=100))
    points = ensemble.pretrain(start.before, [SEED])
    run = RunSpec(arm("sgd", stream=Stream(cluster="taught"), start=start), 1e-6, SEED)
    seen = ensemble.train(shared, [run], points=points)
    assert seen.probes["outside_loss"].item() < 0.3 and seen.probes["inside_loss"].item() > 5
    losses = [*seen.probes["outside_loss"][0].tolist(), *seen.probes["inside_loss"][0].tolist()]
    np.testing.assert_allclose(losses, [seen.old_test_loss.item(), seen.test_loss.item()], rtol=1e-4)


@pytest.mark.parametrize("stacked", [True, False])
def test_old_data_are_those_of_the_seeds_own_splits(stacked: bool) -> None:
    before, stream = pretraining_of("digits-mlp"), Stream(cluster="taught", order=1)
    runs = [RunSpec(arm("sgd", stream=stream, start=Start(before=before)), 1e-9, seed) for seed in (SEED, 4)]
    shared = config(1, 64, 1, "digits-mlp+noisy", probed=(1,), probes=("inside_loss",))
    points = ensemble.pretrain(before, [SEED, 4], dtype=torch.float64, stacked=stacked)
    seen = ensemble.train(shared, runs, dtype=torch.float64, stacked=stacked, points=points)
    for place, seed in enumerate((SEED, 4)):
        old, noisy = (tasks.load(name).of_seed(seed).splits for name in ("digits-mlp", "digits-mlp+noisy"))
        model = network(tasks.load("digits-mlp"), seed, torch.float64)
        by_torch(model, ADAM(model.parameters(), LR), old.train, batch_order(seed, len(old.train), BATCH, BEFORE))
        expected = loss_on(model, old.test), loss_on(model, noisy.test)
        found = seen.old_test_loss[place], seen.test_loss[place]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(seen.probes["inside_loss"][0, place], np.mean(expected), rtol=1e-5)
        noise = noisy.test.inputs - old.test.inputs
        assert torch.equal(noisy.test.targets, old.test.targets) and 0.49 < float(noise.std()) < 0.51


def test_new_data_is_cut_or_changed_as_said() -> None:
    digits, text = tasks.load("digits-mlp").splits.test, tasks.load("text-transformer").splits.train
    old, new = (tasks.load(f"digits-mlp+{name}").splits.test for name in ("old", "new"))
    assert set(old.targets.tolist()) == set(range(5)) and set(new.targets.tolist()) == set(range(5, 10))
    noise = tasks.load("digits-mlp+noisy").splits.test.inputs - digits.inputs
    assert 0.49 < float(noise.std()) < 0.51 and len(old) + len(new) == len(digits)
    backwards = tasks.load("text-transformer+reversed").splits.train
    assert torch.equal(backwards.inputs[:, 0], text.targets[:, -1])
    assert torch.equal(backwards.targets[:, -1], text.inputs[:, 0])
    assert torch.equal(backwards.inputs[:, 1:], backwards.targets[:, :-1])


@pytest.mark.parametrize("name", ["text-transformer+old", "text-transformer+noisy", "digits-mlp+reversed"])
def test_data_that_cannot_be_changed_so_is_one_line(name: str) -> None:
    with pytest.raises(StudyError, match=r"task: (text-transformer|digits-mlp) (has|does)"):
        tasks.load(name)


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        (lambda: [started(state="kept", head="new")], "a new head"),
        (lambda: [started(optimizer="adamw", state="kept")], "takes the same optimiser"),
        (lambda: [started(pretraining_of(optimizer={"name": "adam", "reset_at": 3}), state="kept")], "after a reset"),
        (lambda: [started(pretraining_of(schedule={"warmup": "ramp", "length": 99}))], "takes at most 30 updates"),
        (lambda: [started(backbone="frozen"), arm("adam")], "all be free or all be frozen"),
        (lambda: [started(pretraining_of("digits-mlp"))], "test examples would be known"),
    ],
)
def test_starts_that_make_no_sense_are_refused(arms: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        small(task="digits-mlp+new", arms=arms())


def test_a_network_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    other = small(arms=[started(pretraining_of("digits-he4", updates=1))], lrs=(0.1,))
    with pytest.raises(StudyError, match=r"'digits-he4' does not fit the task 'digits-mlp': its \d\.weight"):
        sweep([other], tmp_path, processes=0)
