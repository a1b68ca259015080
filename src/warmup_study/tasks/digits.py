"""scikit-learn's digits: 1,797 real 8x8 images of handwritten digits, in the package, no download."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor

from warmup_study.tasks.networks import Mixing, Placement, Transformer, mlp
from warmup_study.tasks.task import Split, Splits, Task, stratified_splits, token_names


def splits() -> Splits:
    """Train (1,257), validation (270) and test (270) images: inputs [N, 64] standardised by one mean and deviation."""
    images, labels = load_digits(return_X_y=True)
    raw = stratified_splits(images.astype(np.float32), labels.astype(np.int64), held_out=0.15)
    mean, deviation = raw.train.inputs.mean(), raw.train.inputs.std()
    return Splits(*(Split((split.inputs - mean) / deviation, split.targets) for split in raw))


def shallow() -> Task:
    """Two hidden layers of 32 units: trains at almost any sensible learning rate."""
    return Task(
        "digits-mlp",
        "digits, MLP with 2 hidden layers",
        lambda: mlp(64, 10),
        splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
    )


def deep() -> Task:
    """Eight hidden layers of 32 units without normalisation: the first updates can break it."""
    return Task(
        "digits-deep",
        "digits, MLP with 8 hidden layers",
        lambda: mlp(64, 10, depth=8),
        splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
    )


def he_initialised(depth: int) -> Callable[[], Task]:
    """Makers of MLPs of 32 units per layer in He's initialisation, which plain SGD can train at any of these depths."""
    return lambda: Task(
        f"digits-he{depth}",
        f"digits, MLP with {depth} hidden layers in He's initialisation",
        lambda: mlp(64, 10, depth=depth, init="he"),
        splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-3, 1e0),
    )


def normalised() -> Task:
    """The deepest of these MLPs with layer normalisation before each activation."""
    return replace(
        he_initialised(8)(),
        name="digits-he8-norm",
        title="digits, MLP with 8 hidden layers in He's initialisation, normalised",
        model=lambda: mlp(64, 10, depth=8, norm="layer", init="he"),
    )


def tokens(norm: Placement, mixing: Mixing = "attention") -> Callable[[], Task]:
    """Makers of two Transformer blocks of width 16 on the image as 16 patches of 2x2 pixels, each a token.

    With fixed mixing, the same network without attention: 4,890 weights for 4,954.
    """
    name, title = token_names("digits", norm, mixing)
    return lambda: Task(
        name,
        f"digits as patches, {title}",
        lambda: Transformer(16, 4, 10, norm=norm, mixing=mixing),
        Splits(*(Split(_patches(split.inputs), split.targets) for split in splits())),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
        batch=32,
        stack=32,
        compile_from_updates=40_000,
    )


def _patches(images: Tensor) -> Tensor:
    """Images [N, 64] cut into 16 patches of 2x2 pixels: [N, 16, 4]."""
    rows = images.view(-1, 4, 2, 4, 2)
    return rows.permute(0, 1, 3, 2, 4).reshape(-1, 16, 4)
