"""MNIST-1D: ten kinds of noisy one-dimensional signals, generated from a seed (Greydanus & Kobak, arXiv 2011.14439)."""

import hashlib
import io
import json
import random
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mnist1d.data import get_dataset_args, make_dataset
from torch import nn

from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import project_root
from warmup_study.tasks.networks import Mixing, Norm, Placement, Transformer, convolutional
from warmup_study.tasks.networks import mlp as network
from warmup_study.tasks.task import Split, Splits, Task, token_names, token_regime

SIZES = (4000, 500, 20_000)  # signals to learn from, to pick on and to report on
CLASSES = 10
_SETTINGS = {"num_samples": sum(SIZES), "train_split": 1.0, "seed": 42}
_MAKERS = ("mnist1d", "numpy", "scipy")  # libraries whose versions may change a bit of the signals
_DIGEST_SIZE = 32  # bytes before the content of a kept file


def splits() -> Splits:
    """Train (4,000), validation (500) and test (20,000) signals, of each class a tenth.

    Inputs [N, 40] are of mean 0 and deviation 1 over all signals together. They are generated in seconds once, then
    read from the project's cached data.
    """
    inputs, labels = _kept(path()) or _generated_and_kept()
    by_class = np.stack([np.flatnonzero(labels == label) for label in range(CLASSES)], axis=1)
    ends = np.cumsum(SIZES)[:-1] // CLASSES
    parts = (torch.as_tensor(part.ravel()) for part in np.split(by_class, ends))
    made = Split(torch.as_tensor(inputs), torch.as_tensor(labels))
    return Splits(*map(made.at, parts))


@lru_cache(maxsize=1)
def _splits() -> Splits:
    """The same, read once for all tasks of a process."""
    return splits()


def path() -> Path:
    """Where the generated signals are kept: the name tells the settings and the versions that decide them."""
    decides = [_SETTINGS, *map(version, _MAKERS)]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    return project_root() / "data" / "cache" / f"mnist1d-{digest}.data"


def _kept(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Inputs and labels as they were kept; None where there is no file, or one that is damaged."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, arrays = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    if hashlib.sha256(arrays).digest() != digest:
        return None
    with np.load(io.BytesIO(arrays)) as found:
        return found["inputs"], found["labels"]


def _generated_and_kept() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels made anew; a file behind its digest spares the next process that."""
    made = _made()
    inputs, labels = np.asarray(made["x"], np.float32), np.asarray(made["y"], np.int64)
    packed = io.BytesIO()
    np.savez(packed, inputs=inputs, labels=labels)
    try:
        write_atomically(path(), hashlib.sha256(packed.getvalue()).digest() + packed.getvalue())
    except StudyError as problem:
        print(f"MNIST-1D is made anew in each process, which takes seconds: {problem}")
    return inputs, labels


def _made() -> dict[str, Any]:
    """The package's data set. It seeds the generators that everybody shares, which are put back."""
    arguments = get_dataset_args()
    vars(arguments).update(_SETTINGS)
    shared, plain = np.random.get_state(), random.getstate()
    try:
        return dict(make_dataset(arguments))
    finally:
        np.random.set_state(shared)
        random.setstate(plain)


def _task(name: str, title: str, model: Callable[[], nn.Module], **settings: Any) -> Task:
    usual: dict[str, Any] = {
        "splits": _splits(),
        "sgd_lrs": (1e-2, 1e1),
        "adaptive_lrs": (1e-4, 1e0),
        "evaluation_batch": 250,
    }
    return Task(name, f"MNIST-1D{title}", model, **{**usual, **settings})


def mlp() -> Task:
    """Two hidden layers of 64 units on the flat signal."""
    return _task("mnist1d-mlp", ", MLP with 2 hidden layers", lambda: network(40, 10, width=64), regime="easy")


def conv() -> Task:
    """Two convolutions, 8 and 16 channels wide, each over five neighbours and every other place."""
    title = ", convolutional net with 2 layers"
    return _task("mnist1d-conv", title, lambda: convolutional(40, 10), stack=32, regime="conv")


def large_batch() -> Task:
    """The convolutional net in batches of 1,024: four updates are an epoch."""
    title = ", convolutional net with 2 layers in batches of 1,024"
    return _task(
        "mnist1d-conv-1024",
        title,
        lambda: convolutional(40, 10),
        batch=1024,
        stack=32,
        compile_from_updates=20_000,
        regime="large batch",
    )


def deep(norm: Norm) -> Callable[[], Task]:
    """Makers of MLPs with eight hidden layers of 32 units in He's initialisation, normalised or not."""
    return lambda: _task(
        "mnist1d-he8" if norm == "none" else "mnist1d-he8-norm",
        f", MLP with 8 hidden layers in He's initialisation{'' if norm == 'none' else ', normalised'}",
        lambda: network(40, 10, depth=8, norm=norm, init="he"),
        adaptive_lrs=(1e-3, 1e0),
        regime="deep" if norm == "none" else "",
    )


def tokens(norm: Placement, mixing: Mixing = "attention") -> Callable[[], Task]:
    """Makers of two Transformer blocks of width 16 on the signal as 10 pieces of 4 values, each a token.

    With fixed mixing, the same network without attention: 4,170 weights for 4,858.
    """
    name, title = token_names("mnist1d", norm, mixing)
    return lambda: _task(
        name,
        f" in pieces, {title}",
        lambda: Transformer(10, 4, 10, norm=norm, mixing=mixing),
        splits=Splits(*(Split(split.inputs.view(-1, 10, 4), split.targets) for split in _splits())),
        batch=32,
        stack=32,
        compile_from_updates=40_000,
        regime=token_regime(mixing),
    )
