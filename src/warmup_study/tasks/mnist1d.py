"""MNIST-1D: ten kinds of noisy one-dimensional signals, generated from a seed (Greydanus & Kobak, arXiv 2011.14439)."""

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from mnist1d.data import get_dataset_args, make_dataset

from warmup_study.tasks.networks import Mixing, Norm, Placement, Transformer, convolutional
from warmup_study.tasks.networks import mlp as network
from warmup_study.tasks.task import Split, Splits, Task, stratified_splits, token_names


def splits() -> Splits:
    """Train (3,500), validation (750) and test (750) signals: inputs [N, 40], already of unit scale."""
    made = _made()
    return stratified_splits(np.asarray(made["x"], np.float32), np.asarray(made["y"], np.int64), held_out=0.15)


@lru_cache(maxsize=1)
def _splits() -> Splits:
    """The same, made once for all tasks of a process: it takes seconds."""
    return splits()


def _made() -> dict[str, Any]:
    """The package's data set. It seeds the generators that everybody shares, which are put back."""
    arguments = get_dataset_args()
    arguments.num_samples, arguments.train_split, arguments.seed = 5000, 1.0, 42
    shared, plain = np.random.get_state(), random.getstate()
    try:
        return dict(make_dataset(arguments))
    finally:
        np.random.set_state(shared)
        random.setstate(plain)


def mlp() -> Task:
    """Two hidden layers of 64 units on the flat signal."""
    return Task(
        "mnist1d-mlp",
        "MNIST-1D, MLP with 2 hidden layers",
        lambda: network(40, 10, width=64),
        _splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
    )


def conv() -> Task:
    """Two convolutions, 8 and 16 channels wide, each over five neighbours and every other place."""
    return Task(
        "mnist1d-conv",
        "MNIST-1D, convolutional net with 2 layers",
        lambda: convolutional(40, 10),
        _splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
        stack=32,
    )


def deep(norm: Norm) -> Callable[[], Task]:
    """Makers of MLPs with eight hidden layers of 32 units in He's initialisation, normalised or not."""
    return lambda: Task(
        "mnist1d-he8" if norm == "none" else "mnist1d-he8-norm",
        f"MNIST-1D, MLP with 8 hidden layers in He's initialisation{'' if norm == 'none' else ', normalised'}",
        lambda: network(40, 10, depth=8, norm=norm, init="he"),
        _splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-3, 1e0),
    )


def tokens(norm: Placement, mixing: Mixing = "attention") -> Callable[[], Task]:
    """Makers of two Transformer blocks of width 16 on the signal as 10 pieces of 4 values, each a token.

    With fixed mixing, the same network without attention: 4,170 weights for 4,858.
    """
    name, title = token_names("mnist1d", norm, mixing)
    return lambda: Task(
        name,
        f"MNIST-1D in pieces, {title}",
        lambda: Transformer(10, 4, 10, norm=norm, mixing=mixing),
        Splits(*(Split(split.inputs.view(-1, 10, 4), split.targets) for split in _splits())),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
        batch=32,
        stack=32,
        compile_from_updates=40_000,
    )
