"""The detector: its canvases, targets and losses against small cases by hand, its score, and the auxiliary loss."""

import numpy as np
import pytest
import torch
from small_experiments import arm, config, runs_of, small
from torch.func import functional_call

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.tasks import detection, detection_data
from warmup_study.tasks.detection import ANCHORS, NONE, OUTPUTS, PREDICTORS, Losses
from warmup_study.tasks.detection_data import GRID, SIDE, Canvas, Family
from warmup_study.tasks.detection_map import mean_average_precision
from warmup_study.training import auxiliary, batches, ensemble
from warmup_study.training.auxiliary import Auxiliary
from warmup_study.training.experiment import RunSpec
from warmup_study.training.network_state import initial_state
from warmup_study.training.trainer import train_chunk

ANCHOR = torch.tensor([[0.25, 0.25], [0.25, 0.5], [0.5, 0.25]])
LOSSES = Losses(ANCHOR)
WHERE = 5 * ANCHORS + 1  # the tall anchor of the cell in row 1, column 1


def target(*digits: tuple[float, ...]) -> torch.Tensor:
    """Targets [1, MOST, 6] with these rows, the others empty."""
    empty = [NONE, 0.5, 0.5, 0.5, 0.5, 0.0]
    return torch.tensor([[*map(list, digits), *[empty] * (detection_data.MOST - len(digits))]])


DIGIT = target((WHERE, 0.25 + 0.125, 0.25 + 0.125, 0.25, 0.5, 2.0))  # in the middle of its cell, as its anchor


@pytest.fixture(scope="module")
def made() -> dict[str, list[Canvas]]:
    return detection_data.canvases(Family(seed=3, scraps=2))


def test_boxes_are_exact_and_apart(made: dict[str, list[Canvas]]) -> None:
    assert {name: len(part) for name, part in made.items()} == detection_data.SIZES
    plain = detection_data.canvases(Family(seed=3))["validation"]
    for canvas in plain:
        outside = canvas.image > 0
        for x, y, width, height in canvas.boxes * SIDE:
            left, top = round(x - width / 2), round(y - height / 2)
            box = np.s_[top : top + round(height), left : left + round(width)]
            inked = np.asarray(canvas.image[box] > 0)
            assert inked[0].any() and inked[-1].any() and inked[:, 0].any() and inked[:, -1].any()
            outside[box] = False
        assert not outside.any(), "ink outside all boxes"
    for canvas in [*plain, *made["validation"]]:
        assert len(set(detection_data.cells(canvas.boxes))) == len(canvas.boxes) == len(canvas.labels) >= 1
        overlaps = detection_data.overlap(canvas.boxes[:, None], canvas.boxes)
        assert overlaps[~np.eye(len(overlaps), dtype=bool)].max(initial=0) <= detection_data.LARGEST_OVERLAP


def test_overlap_by_hand() -> None:
    left, right = np.array([0.5, 0.5, 0.4, 0.4]), np.array([0.7, 0.5, 0.4, 0.4])
    assert detection_data.overlap(left, right) == pytest.approx(1 / 3)
    assert detection.overlap(torch.tensor(left), torch.tensor(right)).item() == pytest.approx(1 / 3)
    assert detection_data.overlap(left, np.array([0.1, 0.1, 0.2, 0.2])) == 0
    assert detection_data.shape_overlap(np.array([0.4, 0.2]), np.array([0.2, 0.4])) == pytest.approx(1 / 3)


def test_anchors_find_planted_sizes() -> None:
    sizes = np.array([[0.2, 0.3], [0.3, 0.6], [0.6, 0.4]])
    scattered = np.repeat(sizes, 50, axis=0) + np.random.default_rng(1).normal(0, 0.01, (150, 2))
    np.testing.assert_allclose(detection_data.anchors(scattered), sizes, atol=0.01)
    assert detection.anchors_of(tasks.load("detection")) * SIDE == pytest.approx(
        np.array(detection_data.SHAPES), abs=0.3
    )


def test_a_digit_falls_to_the_anchor_most_like_it_in_its_cell() -> None:
    task = tasks.load("detection-scraps")
    anchors = detection.anchors_of(task)
    for row in task.splits.test.targets[:50].reshape(-1, 6).numpy():
        if row[0] != NONE:
            column, line = int(row[1] * GRID), int(row[2] * GRID)
            assert row[0] // ANCHORS == line * GRID + column
            assert row[0] % ANCHORS == detection_data.shape_overlap(row[3:5], anchors).argmax()


def test_outputs_of_zero_are_the_anchors_in_the_middle_of_the_cells() -> None:
    zero = torch.zeros(1, PREDICTORS, OUTPUTS)
    boxes = LOSSES.decoded(zero)[0]
    assert boxes[WHERE].tolist() == pytest.approx([0.375, 0.375, 0.25, 0.5])
    assert LOSSES.pull(zero, DIGIT).item() == 0 and LOSSES.box(zero, DIGIT).item() == pytest.approx(0)
    assert LOSSES.misplaced(zero, DIGIT).item() == pytest.approx(0, abs=1e-6)


def test_losses_by_hand() -> None:
    share = 1 / detection.USUAL_DIGITS
    outputs = torch.zeros(1, PREDICTORS, OUTPUTS)
    told, named = 5 * (0.5 - 1) ** 2 / 2, np.log(3)
    near = LOSSES.decoded(outputs)[0]
    ignored = (detection.overlap(near, DIGIT[0, 0, 1:5]) > detection.GOOD_FIT).sum().item()
    quiet = (PREDICTORS - ignored) * 0.5**2 / 2
    assert ignored == 1 and LOSSES.total(outputs, DIGIT).item() == pytest.approx(share * (told + named + quiet))
    outputs[0, WHERE, 2] = 1.0  # e times too wide
    assert LOSSES.box(outputs, DIGIT).item() == pytest.approx(share * (2 - 0.25 * 0.5) / 2)
    assert LOSSES.misplaced(outputs, DIGIT).item() == pytest.approx(1 - np.exp(-1))
    assert LOSSES.pull(outputs, DIGIT).item() == 0, "the pull leaves the digit's predictor alone"
    outputs[0, 0, 3] = 2.0
    assert LOSSES.pull(outputs, DIGIT).item() == pytest.approx(share * 2**2 / 2)


def test_what_the_objectness_is_told_is_taken_as_given() -> None:
    outputs = torch.zeros(1, PREDICTORS, OUTPUTS, requires_grad=True)
    (gradient,) = torch.autograd.grad(LOSSES.total(outputs, DIGIT), outputs)
    assert gradient[0, WHERE, :4].abs().max() == 0 and gradient[0, WHERE, 4] < 0
    assert gradient[0, :, :4].abs().max() == 0


def test_the_detector_is_a_convolution() -> None:
    task = tasks.load("detection")
    torch.manual_seed(1)
    model, images = task.model(), task.splits.test.inputs[:3]
    first, second, third = (layer for layer in model.network if isinstance(layer, torch.nn.Linear))  # type: ignore[union-attr]
    with torch.no_grad():
        kernel = first.weight.view(-1, 1, 3 * detection_data.CELL, 3 * detection_data.CELL)
        seen = torch.conv2d(images.view(-1, 1, SIDE, SIDE), kernel, first.bias, stride=6, padding=6).relu()
        seen = torch.conv2d(seen, second.weight[..., None, None], second.bias).relu()
        seen = torch.conv2d(seen, third.weight[..., None, None], third.bias)
        expected = seen.flatten(2).transpose(1, 2).reshape(3, PREDICTORS, OUTPUTS)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_mean_average_precision_by_hand() -> None:
    box, other = [0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]
    truths = [(np.array([box, other]), np.array([0, 1])), (np.array([box]), np.array([0]))]
    boxes = np.array([[box, other, box], [box, other, other]])
    perfect = np.array([[[0.9, 0], [0, 0.8], [0.5, 0]], [[0.9, 0], [0, 0], [0, 0]]])
    assert mean_average_precision(boxes, perfect, truths) == pytest.approx(1), "a double of one box is dropped"
    half = perfect.copy()
    half[1] = 0  # one of two digits 0 is missed: recall up to a half
    assert mean_average_precision(boxes, half, truths) == pytest.approx((51 / 101 + 1) / 2, abs=1e-3)
    assert mean_average_precision(boxes, np.zeros_like(perfect), truths) == 0
    assert mean_average_precision(np.full_like(boxes, np.nan), perfect, truths) == 0


def test_weights_of_the_auxiliary_loss() -> None:
    pulls = [Auxiliary(weight=0.5, updates=2), auxiliary.NO_AUXILIARY]
    assert auxiliary.weights(pulls, 4).tolist() == [[0.5, 0], [0.5, 0], [0, 0], [0, 0]]
    assert not Auxiliary(weight=1.0).acts and not Auxiliary(updates=3).acts and pulls[0].acts


def test_the_auxiliary_loss_acts_on_its_own_run_as_long_as_it_should() -> None:
    pulled = arm("sgd", auxiliary=Auxiliary(weight=2.0, updates=1))
    runs, shared = [*runs_of("sgd", 0.05, (4,)), RunSpec(pulled, 0.05, 4)], config(2, 32, 1, "detection")
    traces = ensemble.train(shared, runs, dtype=torch.float64)
    alone = ensemble.train(shared, runs[:1], dtype=torch.float64)
    torch.testing.assert_close(traces.train_loss[:, 0], alone.train_loss[:, 0], rtol=1e-6, atol=0)
    task, order = tasks.load("detection"), torch.as_tensor(batches.batch_order(4, 2048, 32, 2))
    weights = {name: stack[0] for name, stack in initial_state(task, [4], torch.float64).params.items()}
    model, train = task.model().double(), task.splits.train
    second = task.auxiliary
    assert second is not None
    for update in range(2):
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        outputs = functional_call(model, leaves, (train.inputs[order[update]].double(),))
        targets = train.targets[order[update]]
        loss = task.loss(outputs, targets) + (2.0 * second(outputs, targets) if update == 0 else 0)
        assert traces.train_loss[update, 1].item() == pytest.approx(loss.item(), rel=1e-6)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        weights = {name: weights[name] - 0.05 * grad for name, grad in zip(leaves, gradients, strict=True)}


def test_curves_scores_and_settings_reach_the_table() -> None:
    pulled = arm("adam", label="pulled", auxiliary=Auxiliary(weight=0.01, updates=2))
    experiment = small(task="detection", arms=(arm("adam"), pulled), lrs=(0.01,), updates=4, evaluate_every=2)
    (chunk,) = experiment.chunks()
    rows = train_chunk(chunk).to_pylist()
    assert [row["auxiliary_weight"] for row in rows[:2]] == [None, 0.01] and rows[1]["auxiliary_updates"] == 2
    for row in rows:
        assert len(row["box_curve"]) == len(row["pull_curve"]) == len(row["evaluated_at"]) == 3
        assert 0 <= row["mean_ap"] <= 1
    (old,) = small(lrs=(0.1,)).chunks()
    assert {row[name] for row in train_chunk(old).to_pylist() for name in ("box_curve", "mean_ap")} == {None}


def test_a_task_without_a_second_loss_is_one_line() -> None:
    run = RunSpec(arm("adam", auxiliary=Auxiliary(weight=1.0, updates=1)), 0.01, 1)
    with pytest.raises(StudyError, match="'digits-mlp' has no auxiliary loss"):
        ensemble.train(config(1, 16, 1), [run])
