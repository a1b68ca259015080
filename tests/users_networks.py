"""Networks that were not written for the study, as users bring them: tasks by ``module:function``."""

from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional

from warmup_study import tasks
from warmup_study.tasks import Split, Splits, Task, stratified_splits

LRS: dict[str, Any] = {"sgd_lrs": (1e-2, 1e0), "adaptive_lrs": (1e-3, 1e-1)}


class Block(nn.Module):
    """The residual block of every ResNet, with group normalisation."""

    def __init__(self, planes: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, out, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.GroupNorm(2, out), nn.GroupNorm(2, out)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(planes, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + self.shortcut(x))


class LongShortTermMemory(nn.Module):
    """A layer of LSTM cells, step by step: torch's own layer has no rule for a stack of networks."""

    def __init__(self, inputs: int, units: int, classes: int) -> None:
        super().__init__()
        self.units, self.head = units, nn.Linear(units, classes)
        self.fed, self.fed_back = nn.Linear(inputs, 4 * units), nn.Linear(units, 4 * units, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(len(x), self.units)
        for step in x.unbind(1):
            kept, added, shown, new = (self.fed(step) + self.fed_back(hidden)).chunk(4, -1)
            cell = kept.sigmoid() * cell + added.sigmoid() * new.tanh()
            hidden = shown.sigmoid() * cell.tanh()
        out: Tensor = self.head(hidden)
        return out


@lru_cache(maxsize=1)
def _digits() -> Splits:
    return tasks.load("digits-mlp").splits


def _shaped(*shape: int) -> Splits:
    return Splits(*(Split(split.inputs.view(-1, *shape), split.targets) for split in _digits()))


def _residual() -> nn.Module:
    stem = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.GroupNorm(2, 8), nn.ReLU()
    return nn.Sequential(
        *stem, Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )


def resnet() -> Task:
    return Task("resnet", "digits, ResNet with 2 blocks", _residual, _shaped(1, 8, 8), **LRS, batch=32)


def lstm() -> Task:
    return Task(
        "lstm", "digits row by row, LSTM", lambda: LongShortTermMemory(8, 16, 10), _shaped(8, 8), **LRS, batch=32
    )


def cancer() -> Task:
    measured, kind = load_breast_cancer(return_X_y=True)
    raw = stratified_splits(measured.astype(np.float32), kind.astype(np.int64), held_out=0.2)
    mean, deviation = raw.train.inputs.mean(0), raw.train.inputs.std(0)
    return Task(
        "cancer",
        "breast cancer, MLP with 1 hidden layer",
        lambda: nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 2)),
        Splits(*(Split((split.inputs - mean) / deviation, split.targets) for split in raw)),
        **LRS,
    )
