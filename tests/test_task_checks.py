"""What a task may get wrong is one line before any training; what is right passes, however unlike the study's own."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_experiments import small
from torch import Tensor, nn
from torch.nn import functional

from warmup_study import tasks
from warmup_study.chapters import checked_parameters
from warmup_study.errors import StudyError
from warmup_study.lab.parameters import Lab
from warmup_study.parameters import validate
from warmup_study.running.sweep import sweep
from warmup_study.tasks import Places, Pool, Split, Splits, Task
from warmup_study.tasks.checks import check

COUNT, WIDTH, CLASSES = 12, 4, 3


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def splits(given: Tensor, targets: Tensor) -> Splits:
    return Splits(*(Split(given + place * (given.dtype == torch.float32), targets) for place in range(3)))


LABELS = torch.arange(COUNT) % CLASSES
WORDS = torch.arange(COUNT * 5).reshape(COUNT, 5) % CLASSES
VALUES = torch.linspace(-1, 1, COUNT)[:, None]
GOOD = Task("good", "three classes", lambda: nn.Linear(WIDTH, CLASSES), splits(inputs(COUNT, WIDTH), LABELS))
CURVE = replace(
    GOOD, model=lambda: nn.Linear(WIDTH, 1), splits=splits(inputs(COUNT, WIDTH), VALUES), loss=functional.mse_loss
)


def changed(task: Task = GOOD, **fields: Any) -> Task:
    """The task with some fields changed, to values of wrong types, too."""
    return replace(task, **fields)


def targets(wrong: Tensor, task: Task = GOOD, **others: Any) -> Task:
    return replace(task, splits=splits(task.splits.train.inputs, wrong), **others)


def part(name: str, task: Task = GOOD, **fields: Any) -> Task:
    """The task with other inputs or targets in one split."""
    return replace(task, splits=task.splits._replace(**{name: replace(getattr(task.splits, name), **fields)}))


PLACES = Places(*torch.arange(COUNT).view(3, -1))


def pooled(places: Callable[[int], Any], **others: Any) -> Task:
    """The good task, whose seeds make splits of four examples each."""
    examples = Split(inputs(COUNT, WIDTH), LABELS)
    own: dict[str, Any] = {"splits": Splits(*(examples.at(part) for part in PLACES)), "pool": Pool(examples, places)}
    return replace(GOOD, **(own | others))


def model(make: Callable[[], Any], task: Task = GOOD) -> Task:
    return replace(task, model=make)


def spoilt(tensor: Tensor, value: float) -> Tensor:
    copy = tensor.clone()
    copy.view(-1)[3] = value
    return copy


def leave() -> nn.Module:
    raise SystemExit(3)


def drawn_elsewhere() -> nn.Module:
    layer = nn.Linear(WIDTH, CLASSES)
    layer.bias.data = torch.as_tensor(np.random.default_rng().normal(size=CLASSES))
    return layer


def frozen() -> nn.Module:
    return nn.Linear(WIDTH, CLASSES).requires_grad_(False)


class Then(nn.Module):
    """A linear layer, and then whatever is done to its outputs."""

    def __init__(self, last: Callable[[Tensor], Any], outputs: int = CLASSES) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(WIDTH, outputs), last

    def forward(self, given: Tensor) -> Any:
        return self.last(self.layer(given))


SHARED = nn.Linear(WIDTH, CLASSES)
NOT_A_NUMBER, INFINITE = float("nan"), float("inf")
TEXT = "takes one line of at most 200 characters"
WRONG: dict[str, tuple[Task, str]] = {
    "labels from 1": (targets(LABELS + 1), "targets: got 3 in train; takes class labels from 0 to 2, one for each "),
    "labels of -1": (targets(LABELS - 1), "targets: got -1 in train; takes class labels from 0 to 2"),
    "labels of -100": (targets(spoilt(LABELS, -100)), "targets: got -100 in train; takes class labels from 0 to 2"),
    "few logits": (model(lambda: nn.Linear(WIDTH, 2)), "targets: got 2 in train; takes class labels from 0 to 1"),
    "a new label in test": (part("test", targets=spoilt(LABELS, 7)), "targets: got 7 in test; takes class labels"),
    "out of torch's range": (targets(LABELS + 1, loss=functional.cross_entropy), "targets: got 3 in train; takes"),
    "ignored, undeclared": (targets(LABELS - 1, loss=nn.CrossEntropyLoss(ignore_index=-1)), "targets: got -1 in"),
    "ignored by nobody": (targets(LABELS - 1, ignore_index=-1), "ignore_index: got -1; takes a loss that leaves it"),
    "ignored by another": (targets(LABELS - 1, ignore_index=-1, loss=nn.CrossEntropyLoss()), "loss: on outputs [2, 3]"),
    "ignored, and an error": (
        changed(ignore_index=0, loss=nn.CrossEntropyLoss(ignore_index=0)),
        "ignore_index: got 0; takes an error of your own",
    ),
    "labels in a column": (targets(LABELS[:, None]), "targets: got int64 of shape [2, 1] beside outputs [2, 3]; the"),
    "labels as floats": (targets(LABELS.float()), "targets: got float32 of shape [2] beside outputs [2, 3]; the"),
    "labels as truths": (targets(LABELS > 0), "targets: got bool of shape [2] beside outputs [2, 3]; the default"),
    "one logit": (model(lambda: nn.Linear(WIDTH, 1)), "targets: got int64 of shape [2] beside outputs [2, 1]; the"),
    "a column beside a row": (targets(VALUES[:, 0], CURVE), "targets: got shape [2] beside outputs [2, 1], which the"),
    "NaN among inputs": (part("train", inputs=spoilt(inputs(COUNT, WIDTH), NOT_A_NUMBER)), "train inputs: got 1 of 48"),
    "infinite inputs": (part("test", inputs=spoilt(inputs(COUNT, WIDTH), INFINITE)), "test inputs: got 1 of 48 values"),
    "NaN among targets": (targets(spoilt(VALUES, NOT_A_NUMBER), CURVE), "train targets: got 1 of 12 values that are "),
    "nothing to validate": (part("validation", inputs=inputs(0, WIDTH), targets=LABELS[:0]), "validation inputs: got "),
    "fewer targets": (part("test", targets=LABELS[1:]), "test: got 12 inputs and 11 targets; takes one target for"),
    "one example": (part("train", inputs=inputs(1, WIDTH), targets=LABELS[:1]), "train: got one example; takes 2"),
    "another width": (part("test", inputs=inputs(COUNT, 5)), "model: on test inputs of shape [2, 5] it failed with"),
    "arrays": (part("train", inputs=np.zeros((COUNT, WIDTH))), "train inputs: got ndarray; takes a tensor"),
    "a sparse tensor": (part("train", inputs=inputs(COUNT, WIDTH).to_sparse()), "train inputs: got a tensor that is "),
    "complex numbers": (part("train", inputs=inputs(COUNT, WIDTH) + 0j), "train inputs: got a tensor that is sparse"),
    "a number": (part("train", targets=torch.tensor(1)), "train targets: got shape [], which is empty; takes one row"),
    "splits as a tuple": (changed(splits=tuple(GOOD.splits)), "splits: got no Splits; takes Splits(Split("),
    "a network": (model(nn.Linear(WIDTH, CLASSES)), "model: got a network; takes a function that makes one"),
    "always the same": (model(lambda: SHARED), "model: got the same weights twice; takes a function that makes a "),
    "a shared layer": (model(lambda: nn.Sequential(SHARED, nn.Linear(3, 3))), "model: got the same weights twice"),
    "drawn by NumPy": (model(drawn_elsewhere), "model: got another bias from the same seed; takes torch's generator"),
    "nothing": (model(lambda: None), "model: returned NoneType; takes a function that returns a torch.nn.Module"),
    "a model that fails": (model(lambda: nn.Linear("four", 3)), "model: failed with TypeError: "),  # type: ignore[arg-type]
    "a model that leaves": (model(leave), "model: failed with SystemExit: 3"),
    "lazy layers": (model(lambda: nn.LazyLinear(CLASSES)), "model: got lazy layers; takes layers whose sizes are"),
    "no weights": (model(lambda: nn.Flatten()), "model: got a network without weights to train"),
    "frozen weights": (model(frozen), "model: got a network without weights to train"),
    "outputs in a tuple": (
        model(lambda: Then(lambda out: (out, out))),
        "model: its outputs are tuple; takes a network",
    ),
    "one row in all": (model(lambda: Then(lambda out: out.mean(0))), "model: got outputs of shape [3] for 2 examples"),
    "other inputs": (model(lambda: nn.Linear(5, 3)), "model: on train inputs of shape [2, 4] it failed with Runtime"),
    "cut off": (model(lambda: Then(Tensor.detach)), "loss: does not depend on the weights; takes a loss computed by"),
    "no influence": (model(lambda: Then(lambda out: 0 * out)), "loss: its gradient is zero in all weights, so that"),
    "infinitely steep": (model(lambda: Then(lambda out: (0 * out).sqrt(), 1), CURVE), "loss: its gradient is not fin"),
    "a loss for each": (changed(CURVE, loss=nn.MSELoss(reduction="none")), "loss: returned float32 of shape [2, 1]"),
    "a loss not made": (changed(loss=nn.CrossEntropyLoss), "loss: on outputs [2, 3] and targets [2] of type int"),
    "a loss as a float": (changed(CURVE, loss=lambda out, to: float((out - to).sum())), "loss: returned float;"),
    "a negative loss": (changed(CURVE, loss=lambda out, to: out.mean() - 9), "loss: got -"),
    "an infinite loss": (changed(CURVE, loss=lambda out, to: out.sum() * INFINITE), "loss: got "),
    "all with all": (
        targets(VALUES[:, 0], CURVE, loss=lambda out, to: (out - to).square().mean()),
        "targets: got shap",
    ),
    "errors as truths": (
        changed(error=lambda out, to: out.argmax(-1) != to),
        "error: returned bool of shape [2]",
    ),
    "no error": (changed(error=None), "error: on outputs [2, 3] and targets [2] of type int64 it failed with"),
    "a second loss for each": (changed(auxiliary=lambda out, to: out), "auxiliary: returned float32 of shape"),
    "an unknown measure": (
        changed(measures={"accuracy": functional.mse_loss}),
        "measures: got 'accuracy'; takes",
    ),
    "a title of two lines": (changed(title="one\ntwo"), rf"title: got 'one\ntwo'; {TEXT}"),
    "a title with a formula": (changed(title="$5 and $6"), f"title: got '$5 and $6'; {TEXT}"),
    "no title": (changed(title=" "), f"title: got ' '; {TEXT}"),
    "a long name": (changed(name="x" * 201), "name: got 'xxx"),
    "a number for a name": (changed(name=3), f"name: got 3; {TEXT}"),
    "rates reversed": (changed(sgd_lrs=(1, 0.1)), "sgd_lrs: got (1, 0.1); takes two positive learning rates"),
    "a rate of 0": (changed(adaptive_lrs=(0, 0.1)), "adaptive_lrs: got (0, 0.1); takes two positive learning"),
    "three rates": (changed(sgd_lrs=(0.1, 1, 2)), "sgd_lrs: got (0.1, 1, 2); takes two positive learning"),
    "batches of 0": (changed(batch=0), "batch: got 0; takes a whole number from 1 to 4096"),
    "batches of text": (changed(batch="64"), "batch: got '64'; takes a whole number from 1 to 4096"),
    "an unknown regime": (
        changed(regime="hard"),
        "regime: got 'hard'; takes one of easy, deep, conv, attention, large",
    ),
    "pieces of 0": (changed(evaluation_batch=0), "evaluation_batch: got 0; takes a whole number from 1, or None"),
    "a sum in pieces": (
        changed(loss=nn.CrossEntropyLoss(reduction="sum"), evaluation_batch=9),
        "evaluation_batch: takes None where the loss, error or measure of two examples is not the mean of both (got ",
    ),
    "no pool": (changed(pool=GOOD.splits), "pool: got Splits; takes None or a Pool, stratified_pool(...)"),
    "splits beside a pool": (pooled(lambda seed: PLACES, splits=splits(inputs(4, 4), LABELS[:4])), "splits: got other"),
    "splits that grow": (
        pooled(lambda seed: PLACES._replace(test=torch.arange(8, 12 - seed))),
        "pool: got other sizes ",
    ),
    "splits that overlap": (pooled(lambda seed: PLACES._replace(test=PLACES.train)), "pool: got an example twice from"),
    "places beyond": (pooled(lambda seed: PLACES._replace(test=torch.arange(9, 13))), "pool: got an example twice fr"),
    "a pool that fails": (pooled(lambda seed: PLACES[seed + 9]), "pool: failed with IndexError: "),
    "stacks of truth": (changed(stack=True), "stack: got True; takes a whole number from 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_task_that_cannot_be_trained_right_is_refused_in_one_line(case: str) -> None:
    wrong, line = WRONG[case]
    with pytest.raises(StudyError) as caught:
        check(wrong)
    assert str(caught.value).startswith(line) and len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


BEYOND = WORDS.clone()
BEYOND[:, -2:] = -100
RIGHT: dict[str, tuple[Task, bool]] = {
    "classes": (GOOD, True),
    "splits of every seed, in pieces": (pooled(lambda seed: PLACES, evaluation_batch=3), True),
    "small whole numbers": (targets(LABELS.to(torch.uint8)), True),
    "torch's cross-entropy": (replace(GOOD, loss=nn.CrossEntropyLoss(label_smoothing=0.1)), True),
    "a partial loss": (replace(GOOD, loss=partial(functional.cross_entropy, label_smoothing=0.1)), True),
    "one example to test on": (part("test", inputs=inputs(1, WIDTH), targets=LABELS[:1]), True),
    "double inputs": (replace(GOOD, splits=splits(inputs(COUNT, WIDTH).double(), LABELS)), True),
    "batch normalisation": (model(lambda: nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, CLASSES))), True),
    "dropout": (model(lambda: nn.Sequential(nn.Linear(WIDTH, 9), nn.Dropout(0.5), nn.Linear(9, CLASSES))), True),
    "a frozen part": (model(lambda: nn.Sequential(nn.Linear(WIDTH, 3).requires_grad_(False), nn.Linear(3, 3))), True),
    "words": (targets(WORDS, model=lambda: Then(lambda out: out.view(-1, 5, CLASSES), 15)), True),
    "words, some ignored": (
        targets(
            BEYOND,
            model=lambda: Then(lambda out: out.view(-1, 5, CLASSES), 15),
            loss=lambda out, to: functional.cross_entropy(out.mT, to),
            ignore_index=-100,
        ),
        True,
    ),
    "classes second": (
        targets(WORDS, model=lambda: Then(lambda out: out.view(-1, CLASSES, 5), 15), loss=nn.CrossEntropyLoss()),
        False,
    ),
    "a curve": (CURVE, False),
    "a curve in doubles": (targets(VALUES.double(), CURVE), False),
    "one logit": (targets((VALUES > 0).float(), CURVE, loss=functional.binary_cross_entropy_with_logits), False),
    "a row that the loss makes a column": (
        targets(VALUES[:, 0], CURVE, loss=lambda out, to: functional.mse_loss(out.squeeze(1), to)),
        False,
    ),
    "counts": (targets(LABELS[:, None], CURVE, loss=lambda out, to: functional.poisson_nll_loss(out, to).abs()), False),
    "several labels": (targets(torch.eye(CLASSES)[LABELS], loss=nn.BCEWithLogitsLoss()), False),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_torch_trains_right_passes_and_has_an_error_where_there_are_classes(case: str) -> None:
    task, classes = RIGHT[case]
    check(task)
    given, labels = task.splits.train.inputs[:4].float(), task.splits.train.targets[:4]
    error = task.error(task.model()(given), labels)
    assert error.isnan() if not classes else 0 <= error <= 1


def test_ignored_labels_do_not_count_as_errors() -> None:
    logits = torch.eye(CLASSES)[torch.tensor([0, 1, 2, 0])]
    assert tasks.task.misclassified(logits, torch.tensor([0, -100, 2, 1])).item() == pytest.approx(1 / 3)


def test_a_check_leaves_torchs_state_as_it_was() -> None:
    before = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        check(GOOD)
        assert not torch.is_grad_enabled()
    assert torch.equal(before[0], torch.get_rng_state()) and torch.get_num_threads() == before[1]


MODULE = """
from dataclasses import replace
from functools import partial
from warmup_study import tasks
from test_task_checks import CURVE, GOOD, LABELS, targets
labels_from_one = partial(targets, LABELS + 1)
def curve(): return CURVE
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "checked_tasks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "checked_tasks"


def test_notebooks_the_lab_and_a_sweep_refuse_it_before_training(module: str, tmp_path: Path) -> None:
    name = f"{module}:labels_from_one"
    for enter in (
        lambda: checked_parameters("1_sgd_vs_adam", {"task": f"digits-mlp, {name}"}),
        lambda: validate(Lab, {"task": name}),
        lambda: sweep([small(task=name)], tmp_path, processes=0),
    ):
        with pytest.raises(StudyError, match=rf"^task: '{name}': targets: got 3 in train; .* did you mean targets - 1"):
            enter()


def test_a_curve_trains_without_an_error_to_report(module: str, tmp_path: Path) -> None:
    runs = sweep([small(task=f"{module}:curve", lrs=(0.01,), updates=4, probed=(1,))], tmp_path, processes=0)
    assert runs["test_loss"].notna().all() and set(runs["status"]) == {"ok"}
    assert runs["test_error"].isna().all() and runs["validation_error"].isna().all()
