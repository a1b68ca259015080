"""Whether a task can be trained right: looked at before any training, and refused in one line where it cannot.

What can be told of a task without training it is told by a forward and a backward pass on two examples: those with the
smallest and the largest target, which are the first to be out of range.

A check refuses or does nothing: what it lets through it leaves as it is. So no result depends on this folder, and it is
no part of the digest of the code that trains.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, get_args

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from warmup_study.errors import StudyError, first_problem
from warmup_study.tasks.checks.data import called, check_labels, check_splits, extremes
from warmup_study.tasks.task import CurveName, Measure, Regime, Split, Task, class_count, cross_entropy

_SEED = 0
_CLOSE = 1e-4  # of two means that differ by rounding alone
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
    regime: Regime = Field(description=f"one of {', '.join(filter(None, get_args(Regime)))}, or nothing")
    trained_share: float = Field(strict=True, gt=0, lt=1, description="a number above 0 and below 1")
    evaluation_batch: _Count | None = Field(description="a whole number from 1, or None")


def check(task: Task) -> None:
    """Refuse a task that cannot be trained right, or whose results would mean nothing.

    Takes milliseconds beside ``task.model()``, which is called twice. Raises ``StudyError``, whose line starts with the
    name of the field that is wrong.
    """
    with _undisturbed():
        _check_settings(task)
        check_splits(task)
        model = _check_model(task)
        outputs = _outputs(model, "train", task.splits.train)
        check_labels(task, outputs)
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


def _check_settings(task: Task) -> None:
    try:
        _Settings.model_validate(task)
    except ValidationError as error:
        raise StudyError(first_problem(error, _Settings, vars(task))) from None
    for name in task.measures:
        if name not in get_args(CurveName):
            raise StudyError(f"measures: got {name!r}; takes {' and '.join(get_args(CurveName))}")


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
    model = called("model:", task.model)
    if not isinstance(model, nn.Module):
        raise StudyError(f"model: returned {type(model).__name__}; takes a function that returns a torch.nn.Module")
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        raise StudyError("model: got lazy layers; takes layers whose sizes are given")
    return model.to(torch.float32)


def _check_gradient(model: nn.Module, loss: Tensor) -> None:
    if not loss.requires_grad:
        raise StudyError("loss: does not depend on the weights; takes a loss computed by torch from the outputs")
    called("loss: its gradient", loss.backward)
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    if not all(gradient.isfinite().all() for gradient in gradients):
        raise StudyError("loss: its gradient is not finite at the initial weights")
    if not any(gradient.any() for gradient in gradients):
        raise StudyError("loss: its gradient is zero in all weights, so that nothing would be learnt")


def _outputs(model: nn.Module, name: str, split: Split) -> Tensor:
    """What the network says of two examples of a split."""
    inputs = split.inputs[extremes(split)]
    inputs = inputs.to(torch.float32) if inputs.is_floating_point() else inputs
    outputs = called(f"model: on {name} inputs of shape {list(inputs.shape)} it", model, inputs)
    if not isinstance(outputs, Tensor):
        raise StudyError(f"model: its outputs are {type(outputs).__name__}; takes a network that returns one tensor")
    if outputs.ndim == 0 or len(outputs) != len(inputs):
        shape = list(outputs.shape)
        raise StudyError(f"model: got outputs of shape {shape} for {len(inputs)} examples; takes one row for each")
    return outputs


def _check_losses(task: Task, name: str, outputs: Tensor) -> Tensor:
    """Evaluate all that training will evaluate on these outputs of a split's two examples; returns the loss."""
    split: Split = getattr(task.splits, name)
    targets = split.targets[extremes(split)]
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
    if task.evaluation_batch is not None:
        for function in (task.loss, task.error, *task.measures.values()):
            _check_mean(function, outputs, targets)
    if task.auxiliary is not None:
        _scalar("auxiliary", task.auxiliary, outputs, targets)
    return loss


def _check_mean(function: Measure, outputs: Tensor, targets: Tensor) -> None:
    """Refuse what is not a mean over examples, where it is evaluated in pieces."""
    whole = function(outputs, targets)
    pieces = torch.stack([function(outputs[[row]], targets[[row]]) for row in range(len(targets))])
    if not torch.allclose(pieces.mean(), whole, rtol=_CLOSE, equal_nan=True):
        raise StudyError(
            f"evaluation_batch: takes None where the loss, error or measure of two examples is not the mean of both "
            f"(got {whole.item():g}, which would be {pieces.mean().item():g})"
        )


def _scalar(what: str, function: Callable[..., object], outputs: Tensor, targets: Tensor) -> Tensor:
    shapes = f"outputs {list(outputs.shape)} and targets {list(targets.shape)} of type {_type(targets)}"
    value = called(f"{what}: on {shapes} it", function, outputs, targets)
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


def _type(tensor: Tensor) -> str:
    return re.sub(r"^torch\.", "", str(tensor.dtype))
