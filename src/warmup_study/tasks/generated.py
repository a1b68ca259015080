"""Tasks drawn at random over data sets, depths, widths, norms, initial scales and batches: to test what is predicted.

They are points of a Sobol sequence, so that few of them cover the whole range of every setting: ``generated-0`` to
``generated-47``. Rounded, the same on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc
from sklearn.datasets import load_breast_cancer, load_wine
from torch import Tensor, nn

from warmup_study.tasks import digits, mnist1d, text
from warmup_study.tasks.task import Pool, Regime, Split, Splits, Task, stratified_pool

COUNT = 48
_SEED = 11
_DATA = ("digits", "mnist1d", "wine", "cancer", "text")
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
_NORMS = ("none", "pre", "post")  # layer normalisation before the activation, after it, or nowhere
_DEEP = 5  # hidden layers
_CONTEXT = 8  # characters


@dataclass(frozen=True)
class Settings:
    """What makes a generated task."""

    data: str
    depth: int
    width: int
    activation: str
    norm: str
    gain: float
    batch: int


@lru_cache(maxsize=1)
def drawn() -> tuple[Settings, ...]:
    """The settings of all generated tasks; the data sets and activations take turns, so that none is rare."""
    points = qmc.Sobol(5, seed=np.random.Generator(np.random.PCG64(_SEED)), scramble=True).random(64)[:COUNT]
    return tuple(_settings(place, *map(float, point)) for place, point in enumerate(points))


def _settings(place: int, depth: float, width: float, norm: float, gain: float, batch: float) -> Settings:
    data = _DATA[place % len(_DATA)]
    largest = 64 if data in ("wine", "cancer") else 512  # so that an epoch has batches
    return Settings(
        data=data,
        depth=1 + int(8 * depth),
        width=16 * (1 + int(4 * width)),
        activation=list(_ACTIVATIONS)[place % len(_ACTIVATIONS)],
        norm=_NORMS[int(3 * norm)],
        gain=round(0.5 * 8**gain, 2),
        batch=2 ** round(3 + batch * (np.log2(largest) - 3)),
    )


def made(place: int) -> Callable[[], Task]:
    """Maker of one generated task."""

    def make() -> Task:
        settings = drawn()[place]
        examples = _EXAMPLES[settings.data]()
        splits, pool = (examples.splits(0), examples) if isinstance(examples, Pool) else (examples, None)
        inputs, outputs = _sizes(settings.data, splits)
        regime: Regime = "deep" if settings.depth >= _DEEP else "easy"
        limits: dict[str, Any] = {"evaluation_batch": 250} if settings.data in ("mnist1d", "text") else {}
        return Task(
            f"generated-{place}",
            f"{settings.data}, MLP with {settings.depth} hidden layers of {settings.width}, drawn at random",
            lambda: _network(settings, inputs, outputs),
            splits,
            pool=pool,
            batch=settings.batch,
            sgd_lrs=(1e-3, 1e2),
            adaptive_lrs=(1e-5, 1e0),
            stack=32,
            regime=regime,
            **limits,
        )

    return make


class _Characters(nn.Module):
    """The last characters of a window, [batch, T] -> [batch, T * C], each as one of C."""

    def forward(self, windows: Tensor) -> Tensor:
        known = torch.arange(text.CHARACTERS, device=windows.device)
        return (windows.unsqueeze(-1) == known).flatten(-2).to(torch.get_default_dtype())


def _network(settings: Settings, inputs: int, outputs: int) -> nn.Sequential:
    """An MLP whose weights are torch's times the gain, with layer norm where the settings have it."""
    layers: list[nn.Module] = [_Characters()] if settings.data == "text" else []
    for fan_in in (inputs, *[settings.width] * (settings.depth - 1)):
        layers.append(nn.Linear(fan_in, settings.width))
        act = _ACTIVATIONS[settings.activation]()
        norm = nn.LayerNorm(settings.width)
        layers += {"none": [act], "pre": [norm, act], "post": [act, norm]}[settings.norm]
    network = nn.Sequential(*layers, nn.Linear(settings.width, outputs))
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(settings.gain)
    return network


def _sizes(data: str, splits: Splits) -> tuple[int, int]:
    """Numbers of inputs and of outputs."""
    if data == "text":
        return _CONTEXT * text.CHARACTERS, text.CHARACTERS
    return splits.train.inputs[0].numel(), int(splits.train.targets.max()) + 1


def _table(load: Callable[..., Any]) -> Pool:
    """A data set of scikit-learn's, every column standardised over all of it."""
    columns, labels = load(return_X_y=True)
    inputs = (columns - columns.mean(0)) / columns.std(0)
    return stratified_pool(inputs.astype(np.float32), labels.astype(np.int64), held_out=0.15)


def _next_characters() -> Splits:
    """The last characters of each window, and the one that follows."""
    windows = text.splits()
    return Splits(*(Split(part.inputs[:, -_CONTEXT:].contiguous(), part.targets[:, -1]) for part in windows))


_EXAMPLES: dict[str, Callable[[], Pool | Splits]] = {
    "digits": digits.pool,
    "mnist1d": mnist1d.splits,
    "wine": lambda: _table(load_wine),
    "cancer": lambda: _table(load_breast_cancer),
    "text": _next_characters,
}
