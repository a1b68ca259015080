"""The tensors of freshly initialised networks, each built under its own seed."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from warmup_study.tasks import Task

Stacks = dict[str, Tensor]


class NetworkState(NamedTuple):
    """All tensors of R networks, name -> [R, ...]: parameters that are trained, frozen ones, and buffers."""

    params: Stacks
    frozen: Stacks
    buffers: Stacks


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, the generators that everybody shares (torch's, NumPy's, Python's) start from the seed."""
    shared, plain = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(shared)
            random.setstate(plain)


def network(task: Task, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A fresh network, with all its chance drawn from the seed."""
    with seeded(seed):
        return task.model().to(dtype)


def initial_state(task: Task, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> NetworkState:
    """The tensors of one fresh network per seed; tied parameters once, under their first name."""
    distinct = sorted(set(seeds))
    networks = [network(task, seed, dtype) for seed in distinct]
    which = torch.tensor([distinct.index(seed) for seed in seeds])
    params: dict[bool, list[Stacks]] = {
        trained: [
            {name: param.detach() for name, param in each.named_parameters() if param.requires_grad == trained}
            for each in networks
        ]
        for trained in (True, False)
    }
    buffers = [dict(each.named_buffers()) for each in networks]
    return NetworkState(*(_stacked(tensors, which) for tensors in (params[True], params[False], buffers)))


def _stacked(tensors: list[Stacks], which: Tensor) -> Stacks:
    return {name: torch.stack([each[name] for each in tensors])[which].contiguous() for name in tensors[0]}


def plain_attributes(module: nn.Module) -> dict[tuple[nn.Module, str], object]:
    """Numbers and words that the layers of a network keep in attributes of their own, by layer and name."""
    return {
        (layer, name): value
        for layer in module.modules()
        for name, value in vars(layer).items()
        if name != "training" and isinstance(value, bool | int | float | str)
    }


def on_device(stacks: Stacks, device: str) -> Stacks:
    """The same tensors there."""
    return {name: stack.to(device) for name, stack in stacks.items()}
