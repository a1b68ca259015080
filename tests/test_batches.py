"""Streams of examples against their definition, on real tasks and on cases small enough to check by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_experiments import arm, config

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.training import batches, ensemble
from warmup_study.training.batches import ORDINARY, Stream
from warmup_study.training.examples import Examples
from warmup_study.training.experiment import RunSpec, paired_runs
from warmup_study.training.group_losses import GroupLosses
from warmup_study.training.network_state import initial_state
from warmup_study.training.stacked import StackedMembers

DIGITS = tasks.load("digits-mlp")
EXAMPLES = len(DIGITS.splits.train)


def order(seed: int = 3, batch: int = 8, updates: int = 30, task: str = "digits-mlp", **settings: Any) -> Any:
    return batches.order_of(Stream(**settings), seed, tasks.load(task), batch, updates)


def test_the_ordinary_stream_is_one_shuffled_epoch_after_another() -> None:
    rows = batches.batch_order(5, 12, 4, 6)
    assert sorted(rows[:3].ravel()) == sorted(rows[3:].ravel()) == list(range(12))
    assert not np.array_equal(rows[:3], rows[3:])
    assert np.array_equal(order(), batches.batch_order(3, EXAMPLES, 8, 30))
    assert np.array_equal(order(cluster="class"), order()), "to watch a cluster changes nothing"


def test_only_the_redrawn_stretch_changes_and_takes_what_the_pass_leaves_over() -> None:
    plain, redrawn = order(), order(redrawn=(11, 20))
    assert np.array_equal(np.flatnonzero((plain != redrawn).any(1)), np.arange(10, 20))
    new = redrawn[10:20].ravel()
    assert not set(new) & set(plain.ravel()) and len(set(new)) == new.size
    moved = order(redrawn=(1, 10))
    assert np.array_equal(moved[:10], redrawn[10:20]), "the same new examples, at another place"
    with pytest.raises(StudyError, match="80 examples cannot be redrawn, a pass over 1240 leaves 17"):
        order(updates=155, redrawn=(1, 10))


def test_an_order_of_its_own_is_the_same_for_all_seeds() -> None:
    assert np.array_equal(order(1, order=7), order(2, order=7))
    assert np.array_equal(order(1, order=7), order(7)) and not np.array_equal(order(1), order(7))


@pytest.mark.parametrize(("skew", "count"), [(0.5, 4), (0.9, 7), (1.0, 8)])
def test_skew_is_the_share_of_early_batches_from_the_cluster(skew: float, count: int) -> None:
    rows, plain = order(cluster="class", skew=skew, span=6), order()
    labels = DIGITS.splits.train.targets.numpy()[rows]
    assert (labels[:6, :count] == 3).all(), "seed 3 watches class 3"
    assert np.array_equal(rows[:6, count:], plain[:6, count:]) and np.array_equal(rows[6:], plain[6:])


def test_a_small_cluster_is_used_up_before_it_is_used_again() -> None:
    inside = batches.inside(DIGITS, Stream(cluster="kmeans"), 3, DIGITS.splits.train)
    drawn = order(cluster="kmeans", skew=1, span=30)
    times = np.bincount(drawn.ravel(), minlength=EXAMPLES)[inside]
    assert times.sum() == drawn.size and times.max() - times.min() <= 1


def test_clusters_of_a_class_lie_within_it() -> None:
    for split in DIGITS.splits:
        of_class = batches.inside(DIGITS, Stream(cluster="class"), 14, split)
        part = batches.inside(DIGITS, Stream(cluster="kmeans"), 14, split)
        assert np.array_equal(of_class, split.targets.numpy() == 4)
        assert 0 < part.sum() < of_class.sum() and not (part & ~of_class).any()
    assert not batches.inside(DIGITS, ORDINARY, 1, DIGITS.splits.test).any()


def test_marks_are_true_early_and_drawn_by_lot_later() -> None:
    task = tasks.load("digits-mlp+marks")
    train = task.splits.train
    assert train.marks is not None and len(train) == 2 * EXAMPLES
    assert torch.equal(train.marks[:EXAMPLES], train.targets[:EXAMPLES])
    assert (train.marks[EXAMPLES:] == train.targets[EXAMPLES:]).float().mean() == pytest.approx(0.1, abs=0.03)
    first, second = _patterns(train)
    torch.testing.assert_close(train.inputs[:EXAMPLES] - train.inputs[EXAMPLES:], first - second, rtol=0, atol=1e-5)
    rows = order(batch=8, task="digits-mlp+marks", cluster="mark", skew=1, span=5)
    assert (train.marks[rows[:5]] == train.targets[rows[:5]]).all() and (rows[5:] >= EXAMPLES).all()
    with pytest.raises(StudyError, match="digits-mlp has no marks"):
        order(cluster="mark", skew=1, span=5)


def _patterns(train: tasks.Split) -> tuple[torch.Tensor, torch.Tensor]:
    """The marks that were added to the two halves."""
    assert train.marks is not None
    inputs = DIGITS.splits.train.inputs
    first = torch.stack([(train.inputs[:EXAMPLES] - inputs)[train.marks[:EXAMPLES] == mark][0] for mark in range(10)])
    assert (first.abs() - 0.5 * inputs.std()).abs().max() < 1e-5
    return first[train.marks[:EXAMPLES]], first[train.marks[EXAMPLES:]]


@pytest.mark.parametrize("name", ["digits-mlp+no", "+new", "nowhere+marks"])
def test_a_twist_or_task_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(StudyError, match="task: got"):
        tasks.load(name)


@pytest.mark.parametrize(
    "settings",
    [
        {"skew": 0.5},
        {"skew": 0.5, "span": 3},
        {"cluster": "class", "span": 3},
        {"redrawn": (5, 4)},
        {"redrawn": (0, 4)},
        {"cluster": "class", "skew": 1.1, "span": 3},
        {"order": -1},
        {"cluster": "other"},
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Stream(**settings)


def pairs() -> list[RunSpec]:
    skewed = Stream(cluster="class", skew=1, span=1)
    arms = [arm("sgd", label="skewed", stream=skewed), arm("sgd", label="plain", stream=skewed.plain)]
    return [RunSpec(each, 0.1, seed) for seed in (1, 2) for each in arms]


def test_paired_runs_differ_in_their_stream_alone() -> None:
    assert paired_runs(pairs()) == [1, 1, 3, 3]
    assert paired_runs(pairs()[:1]) == [0], "without another a run is its own pair"
    others = [RunSpec(run.arm, 2 * run.grid_lr, run.seed) for run in pairs()]
    assert paired_runs([pairs()[0], others[1]]) == [0, 1], "these differ in their learning rate, too"


def test_the_first_batch_displaces_sgd_by_the_rate_times_the_difference_of_gradients() -> None:
    shared = config(2, 16, 2, probed=(1, 2), probes=("displacement", "inside_loss"))
    runs = pairs()
    seen = ensemble.train(shared, runs, dtype=torch.float64).probes["displacement"]
    assert seen[:, 1].tolist() == [0, 0]
    assert seen[0, 0].item() == pytest.approx(_by_autograd(runs[0], runs[1]).item(), rel=1e-5)
    assert seen[1, 0] > 0


def _by_autograd(run: RunSpec, other: RunSpec) -> torch.Tensor:
    torch.manual_seed(run.seed)
    model, train = DIGITS.model().double(), DIGITS.of_seed(run.seed).splits.train
    gradients = []
    for stream in (run.arm.stream, other.arm.stream):
        picked = torch.as_tensor(batches.order_of(stream, run.seed, DIGITS.of_seed(run.seed), 16, 2)[0])
        loss = DIGITS.loss(model(train.inputs[picked].double()), train.targets[picked])
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))]))
    length: torch.Tensor = run.lr * (gradients[0] - gradients[1]).norm()
    return length


def test_group_losses_add_up_to_the_test_loss() -> None:
    stream = Stream(cluster="class")
    runs = [RunSpec(arm("sgd", stream=stream), 0.1, seed) for seed in (1, 2)]
    shared = config(3, 16, 3, probed=(3,), probes=("inside_loss", "outside_loss"))
    traces = ensemble.train(shared, runs)
    share = [batches.inside(DIGITS, stream, seed, DIGITS.splits.test).mean() for seed in (1, 2)]
    inside, outside = (traces.probes[name][0].numpy() for name in ("inside_loss", "outside_loss"))
    np.testing.assert_allclose(share * inside + (1 - np.asarray(share)) * outside, traces.test_loss, rtol=1e-5)


def test_groups_that_are_empty_have_no_loss() -> None:
    members = StackedMembers("digits-mlp", initial_state(DIGITS, [1]), "momentum", ("lr",))
    test = DIGITS.splits.test
    groups = GroupLosses(DIGITS, [(ORDINARY, 1, 1)], [0], [test], Examples(test), members)
    inside, outside = groups.means(members.params)
    assert inside.isnan().all() and outside.isfinite().all()


def test_kept_outputs_are_those_of_the_first_test_examples() -> None:
    runs = [RunSpec(arm("sgd", init=4), 1e-9, seed) for seed in (1, 2)]
    outputs = ensemble.train(config(1, 16, 1, outputs_kept=3), runs).outputs
    torch.manual_seed(4)
    with torch.no_grad():
        expected = DIGITS.model()(DIGITS.of_seed(4).splits.test.inputs[:3]).flatten()
    torch.testing.assert_close(outputs, torch.stack([expected, expected], dim=1), rtol=1e-4, atol=1e-5)
    assert ensemble.train(config(1, 16, 1), runs).outputs.numel() == 0
