"""Whether a task can be trained right: looked at before any training, and refused in one line where it cannot.

What can be told of a task without training it is told by a forward and a backward pass on two examples: those with the
smallest and the largest target, which are the first to be out of range.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, get_args

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from warmup_study.errors import StudyError, first_problem
from warmup_study.tasks.task import (
    CurveName,
    Split,
    Splits,
    Task,
    are_labels,
    class_count,
    cross_entropy,
    misclassified,
)

_SEED = 0
_TRAIN_AT_LEAST = 2  # examples: a layer that normalises over a batch needs two
_Count = Annotated[int, Field(strict=True, ge=1)]


def _plain(text: str) -> str:
    if not text.strip() or not text.isprintable() or "$" in text:
        raise ValueError("figures and pages show it as it is")
    return text


def _ascending(bracket: tuple[float, float]) -> tuple[float, float]:
    if not bracket[0] < bracket[1]:
        raise ValueError("the lower one comes first")
    return bracket


_Text = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
_Positive = Annotated[FiniteFloat, Field(gt=0)]
_Bracket = Annotated[tuple[_Positive, _Positive], AfterValidator(_ascending)]


class _Settings(BaseModel):
    """The plain fields of a task. The description of a field says what it takes."""

    model_config = ConfigDict(from_attributes=True)

    name: _Text = Field(description="one line of at most 200 characters, none a $")
    title: _Text = Field(description="one line of at most 200 characters, none a $")
    sgd_lrs: _Bracket | None = Field(description="two positive learning rates, the lower one first, or None")
    adaptive_lrs: _Bracket | None = Field(description="two positive learning rates, the lower one first, or None")
    batch: _Count = Field(le=4096, description="a whole number from 1 to 4096")
    stack: _Count = Field(description="a whole number from 1")
    compile_from_updates: int = Field(strict=True, ge=0, description="a whole number from 0")
    ignore_index: int | None = Field(strict=True, description="the label that the loss leaves out, or None")


def check(task: Task) -> None:
    """Refuse a task that cannot be trained right, or whose results would mean nothing.

    Takes milliseconds beside ``task.model()``, which is called twice. Raises ``StudyError``, whose line starts with the
    name of the field that is wrong.
    """
    with _undisturbed():
        _check_settings(task)
        _check_splits(task)
        model = _check_model(task)
        outputs = _outputs(model, "train", task.splits.train)
        _check_labels(task, outputs)
        _check_gradient(model, _check_losses(task, "train", outputs))
        model.train(False)
        for name in ("validation", "test"):
            _check_losses(task, name, _outputs(model, name, getattr(task.splits, name)))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Gradients on, one thread (fastest for so little), torch's generator put back, warnings left to training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def _called(what: str, function: Callable[..., Any], *given: Any) -> Any:
    """What a function of the user's returns; whatever it raises is one line."""
    try:
        return function(*given)
    except (Exception, SystemExit) as problem:
        raise StudyError(f"{what} failed with {type(problem).__name__}: {problem}") from problem


def _check_settings(task: Task) -> None:
    try:
        _Settings.model_validate(task)
    except ValidationError as error:
        raise StudyError(first_problem(error, _Settings, vars(task))) from None
    for name in task.measures:
        if name not in get_args(CurveName):
            raise StudyError(f"measures: got {name!r}; takes {' and '.join(get_args(CurveName))}")


def _check_splits(task: Task) -> None:
    if not (isinstance(task.splits, Splits) and all(isinstance(split, Split) for split in task.splits)):
        raise StudyError("splits: got no Splits; takes Splits(Split(inputs, targets), ...): train, validation and test")
    for name, split in task.splits._asdict().items():
        for part in ("inputs", "targets"):
            _check_tensor(f"{name} {part}", getattr(split, part))
        examples, targets = len(split.inputs), len(split.targets)
        if examples != targets:
            raise StudyError(f"{name}: got {examples} inputs and {targets} targets; takes one target for each input")
    if len(task.splits.train) < _TRAIN_AT_LEAST:
        raise StudyError(f"train: got one example; takes {_TRAIN_AT_LEAST} and more")


def _check_tensor(name: str, tensor: object) -> None:
    """Refuse what is no ordinary tensor of numbers, one row an example."""
    if not isinstance(tensor, Tensor):
        raise StudyError(f"{name}: got {type(tensor).__name__}; takes a tensor, torch.as_tensor(...)")
    if tensor.layout != torch.strided or tensor.is_complex():
        raise StudyError(f"{name}: got a tensor that is sparse or complex; takes a dense one of real numbers")
    if tensor.ndim == 0 or tensor.numel() == 0:
        raise StudyError(f"{name}: got shape {list(tensor.shape)}, which is empty; takes one row for each example")
    wrong = int((~tensor.to(torch.float32).isfinite()).sum()) if tensor.is_floating_point() else 0
    if wrong:
        raise StudyError(f"{name}: got {wrong} of {tensor.numel()} values that are NaN or infinite; takes finite ones")


def _check_model(task: Task) -> nn.Module:
    """A network as training makes it. Refuse one that is not made afresh, or not by torch's generator alone."""
    if isinstance(task.model, nn.Module):
        raise StudyError("model: got a network; takes a function that makes one: lambda: Network(...)")
    first, second = _made(task), _made(task)
    mine, others = (dict([*model.named_parameters(), *model.named_buffers()]) for model in (first, second))
    if any(value is others.get(name) for name, value in mine.items()):
        raise StudyError("model: got the same weights twice; takes a function that makes a fresh network each time")
    for name, value in mine.items():
        if name not in others or not torch.equal(value, others[name]):
            raise StudyError(f"model: got another {name} from the same seed; takes torch's generator alone")
    if not any(weights.requires_grad for weights in first.parameters()):
        raise StudyError("model: got a network without weights to train")
    return first


def _made(task: Task) -> nn.Module:
    torch.manual_seed(_SEED)
    model = _called("model:", task.model)
    if not isinstance(model, nn.Module):
        raise StudyError(f"model: returned {type(model).__name__}; takes a function that returns a torch.nn.Module")
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        raise StudyError("model: got lazy layers; takes layers whose sizes are given")
    return model.to(torch.float32)


def _check_gradient(model: nn.Module, loss: Tensor) -> None:
    if not loss.requires_grad:
        raise StudyError("loss: does not depend on the weights; takes a loss computed by torch from the outputs")
    _called("loss: its gradient", loss.backward)
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    if not all(gradient.isfinite().all() for gradient in gradients):
        raise StudyError("loss: its gradient is not finite at the initial weights")
    if not any(gradient.any() for gradient in gradients):
        raise StudyError("loss: its gradient is zero in all weights, so that nothing would be learnt")


def _outputs(model: nn.Module, name: str, split: Split) -> Tensor:
    """What the network says of two examples of a split."""
    inputs = split.inputs[_extremes(split)]
    inputs = inputs.to(torch.float32) if inputs.is_floating_point() else inputs
    outputs = _called(f"model: on {name} inputs of shape {list(inputs.shape)} it", model, inputs)
    if not isinstance(outputs, Tensor):
        raise StudyError(f"model: its outputs are {type(outputs).__name__}; takes a network that returns one tensor")
    if outputs.ndim == 0 or len(outputs) != len(inputs):
        shape = list(outputs.shape)
        raise StudyError(f"model: got outputs of shape {shape} for {len(inputs)} examples; takes one row for each")
    return outputs


def _extremes(split: Split) -> list[int]:
    """Places of two examples, those with the smallest and the largest target; of the one where there is one alone."""
    rows = split.targets.to(torch.float32).flatten(1) if split.targets.ndim > 1 else split.targets.float()[:, None]
    low, high = int(rows.amin(1).argmin()), int(rows.amax(1).argmax())
    return sorted({low, high if high != low else (low + 1) % len(split)})


def _check_losses(task: Task, name: str, outputs: Tensor) -> Tensor:
    """Evaluate all that training will evaluate on these outputs of a split's two examples; returns the loss."""
    split: Split = getattr(task.splits, name)
    targets = split.targets[_extremes(split)]
    if task.loss is cross_entropy:
        _check_cross_entropy(outputs, targets, task.ignore_index)
    loss = _scalar("loss", task.loss, outputs, targets)
    _check_broadcast(task, outputs, targets, loss)
    if not loss.isfinite() or loss < 0:
        raise StudyError(
            f"loss: got {loss.item():g} on {name}; takes a finite loss of at least 0, whose logarithm is compared"
        )
    _scalar("error", task.error, outputs, targets)
    for measure, function in task.measures.items():
        _scalar(measure, function, outputs, targets)
    if task.auxiliary is not None:
        _scalar("auxiliary", task.auxiliary, outputs, targets)
    return loss


def _scalar(what: str, function: Callable[..., object], outputs: Tensor, targets: Tensor) -> Tensor:
    shapes = f"outputs {list(outputs.shape)} and targets {list(targets.shape)} of type {_type(targets)}"
    value = _called(f"{what}: on {shapes} it", function, outputs, targets)
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        got = f"{_type(value)} of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise StudyError(f"{what}: returned {got}; takes a function that returns a scalar tensor, a batch's mean")
    return value


def _check_cross_entropy(outputs: Tensor, targets: Tensor, ignore_index: int | None) -> None:
    """The study's own cross-entropy takes whatever broadcasts: refuse all but labels beside their logits."""
    if class_count(outputs, targets):
        if ignore_index is not None:
            raise StudyError(f"ignore_index: got {ignore_index}; takes a loss that leaves it out, not the default one")
        return
    beside = f"targets: got {_type(targets)} of shape {list(targets.shape)} beside outputs {list(outputs.shape)}"
    raise StudyError(
        f"{beside}; the default loss, cross-entropy, takes class labels: whole numbers of shape "
        f"{list(outputs.shape[:-1])} beside two or more logits each (for anything else, give the task a loss)"
    )


def _check_broadcast(task: Task, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
    """Refuse a loss that compares every output with every target, as [N, 1] and [N] do unnoticed."""
    if outputs.shape == targets.shape or outputs.numel() != targets.numel():
        return
    try:
        meant = task.loss(outputs.reshape(targets.shape), targets)
    except Exception:  # then it knows the shapes it gets
        return
    if not torch.allclose(meant, loss):
        shapes = f"shape {list(targets.shape)} beside outputs {list(outputs.shape)}"
        raise StudyError(f"targets: got {shapes}, which the loss compares all with all; takes equal shapes")


def _check_labels(task: Task, outputs: Tensor) -> None:
    """Whole numbers are class labels: refuse those that no output stands for."""
    classes = class_count(outputs, task.splits.train.targets[_extremes(task.splits.train)])
    if task.ignore_index in range(classes) and task.error is misclassified:
        raise StudyError(f"ignore_index: got {task.ignore_index}; takes an error of your own: the default counts it")
    for name, split in task.splits._asdict().items():
        if not are_labels(split.targets):
            continue
        labels = [label for label in split.targets.unique().tolist() if label != task.ignore_index]
        wrong = [label for label in labels if label < 0 or 0 < classes <= label]
        if wrong:
            raise StudyError(f"targets: got {_listed(wrong)} in {name}; {_instead(labels, classes)}")


def _listed(labels: list[int]) -> str:
    return ", ".join(map(str, labels[:3])) + (", ..." if len(labels) > 3 else "")


def _instead(labels: list[int], classes: int) -> str:
    """What whole numbers may be, and what was probably meant."""
    takes = f"class labels from 0 to {classes - 1}, one for each output" if classes else "class labels from 0"
    if labels == list(range(1, classes + 1)):
        return f"takes {takes}, did you mean targets - 1?"
    return f"takes {takes}, or an ignore_index that the loss leaves out; targets.float() are no labels"


def _type(tensor: Tensor) -> str:
    return re.sub(r"^torch\.", "", str(tensor.dtype))
