"""Tasks made from others by rebuilding the network: ``task+leaky`` cannot lose units, ``task+smooth`` has no kinks."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from warmup_study.tasks.task import Places, Pool, Split, Splits, Task

_FEW = 256  # examples of a smooth task: whole-batch descent through all of them costs little and settles soon


def leaky(task: Task) -> Task:
    """The task with a leaky ReLU wherever its network has a ReLU, from the same initial weights."""
    return replace(
        task,
        name=f"{task.name}+leaky",
        title=f"{task.title}, leaky ReLUs",
        model=_with_activation(task.model, nn.LeakyReLU),
    )


def smooth(task: Task) -> Task:
    """The task with GELUs for ReLUs, the squared loss of its classes, and its first 256 examples alone.

    On these, descent with the whole batch finds ever sharper ground until stability ends, and stays there: under the
    cross-entropy it would leave again as the network grows sure of itself (Cohen et al. 2021, arXiv 2103.00065).
    """
    pool = None if task.pool is None else replace(task.pool, places=partial(_few_to_train, task.pool))
    train, validation, test = task.splits
    return replace(
        task,
        name=f"{task.name}+smooth",
        title=f"{task.title}, {_FEW} examples, smooth and under the squared loss",
        model=_with_activation(task.model, nn.GELU),
        splits=Splits(Split(train.inputs[:_FEW], train.targets[:_FEW]), validation, test),
        pool=pool,
        loss=squared_error,
    )


def _few_to_train(pool: Pool, seed: int) -> Places:
    places = pool.places(seed)
    return places._replace(train=places.train[:_FEW])


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared distance to the one-hot labels, mean over examples: outputs [N, C], labels [N] -> scalar."""
    hot = targets[:, None] == torch.arange(outputs.shape[-1], device=targets.device)
    return 0.5 * (outputs - hot.to(outputs.dtype)).square().sum(-1).mean()


def _with_activation(model: Callable[[], nn.Module], activation: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def rebuilt() -> nn.Module:
        network = model()
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.ReLU):
                    setattr(module, name, activation())
        return network

    return rebuilt
