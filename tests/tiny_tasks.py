"""A task so small that thousands of its runs train in seconds, for the statistics of the whole chain."""

import torch
from torch import nn
from torch.nn import functional

from warmup_study.tasks import Split, Splits, Task

SIZES = [64, 64, 64]


def curve() -> Task:
    """A noisy curve and nine weights under squared error: losses are skewed over seeds, and high rates diverge."""
    chance = torch.Generator().manual_seed(0)
    inputs = 2 * torch.rand(sum(SIZES), 1, generator=chance) - 1
    noise = 0.1 * torch.randn(inputs.shape, generator=chance)
    pairs = zip(torch.split(inputs, SIZES), torch.split(torch.sin(3 * inputs) + noise, SIZES), strict=True)
    return Task(
        "curve",
        "a noisy curve, nine weights",
        model,
        Splits(*(Split(x, y) for x, y in pairs)),
        loss=functional.mse_loss,
        error=functional.mse_loss,
        batch=8,
        stack=1000,
        compile_from_updates=10**9,
    )


def model() -> nn.Module:
    """One hidden layer of three units."""
    return nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))


def chance() -> Task:
    """Targets that nothing can tell: the loss of an untrained network is the best there is."""
    drawn = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, 64, 1, generator=drawn) for _ in range(3)]
    splits = Splits(*(Split(inputs, targets) for inputs, targets in pairs))
    return Task("chance", "noise, a line through 0", Line, splits, loss=functional.mse_loss, error=functional.mse_loss)


class Line(nn.Linear):
    """A line that starts at the best answer, 0."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
