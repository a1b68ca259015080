"""scikit-learn's digits: 1,797 real 8x8 images of handwritten digits, in the package, no download."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn

from warmup_study.tasks.networks import Mixing, Placement, Transformer, mlp
from warmup_study.tasks.task import Pool, Split, Splits, Task, stratified_pool, token_names, token_regime

_MEAN, _DEVIATION = 4.88, 6.02  # of all pixels, which run from 0 to 16: the same whatever the split
_DEEP = 8  # hidden layers


@lru_cache(maxsize=1)
def pool() -> Pool:
    """All 1,797 images as inputs [N, 64], of which every seed makes its own splits of 1,257, 270 and 270."""
    images, labels = load_digits(return_X_y=True)
    inputs = ((images - _MEAN) / _DEVIATION).astype(np.float32)
    return stratified_pool(inputs, labels.astype(np.int64), held_out=0.15)


def splits() -> Splits:
    """Train (1,257), validation (270) and test (270) images of seed 0."""
    return pool().splits(0)


def _task(name: str, title: str, model: Callable[[], nn.Module], examples: Pool, **settings: Any) -> Task:
    brackets: dict[str, Any] = {"sgd_lrs": (1e-2, 1e1), "adaptive_lrs": (1e-4, 1e0)}
    return Task(name, title, model, examples.splits(0), pool=examples, **(brackets | settings))


def shallow() -> Task:
    """Two hidden layers of 32 units: trains at almost any sensible learning rate."""
    return _task("digits-mlp", "digits, MLP with 2 hidden layers", lambda: mlp(64, 10), pool(), regime="easy")


def deep() -> Task:
    """Eight hidden layers of 32 units without normalisation: the first updates can break it."""
    title = "digits, MLP with 8 hidden layers"
    return _task("digits-deep", title, lambda: mlp(64, 10, depth=8), pool(), regime="deep")


def he_initialised(depth: int) -> Callable[[], Task]:
    """Makers of MLPs of 32 units per layer in He's initialisation, which plain SGD can train at any of these depths."""
    return lambda: _task(
        f"digits-he{depth}",
        f"digits, MLP with {depth} hidden layers in He's initialisation",
        lambda: mlp(64, 10, depth=depth, init="he"),
        pool(),
        adaptive_lrs=(1e-3, 1e0),
        regime="deep" if depth >= _DEEP else "easy",
    )


def normalised() -> Task:
    """The MLP of eight layers with layer normalisation before each activation."""
    return replace(
        he_initialised(8)(),
        name="digits-he8-norm",
        title="digits, MLP with 8 hidden layers in He's initialisation, normalised",
        model=lambda: mlp(64, 10, depth=8, norm="layer", init="he"),
        regime="",
    )


def tokens(norm: Placement, mixing: Mixing = "attention", blocks: int = 2) -> Callable[[], Task]:
    """Makers of Transformer blocks of width 16 on the image as 16 patches of 2x2 pixels, each a token.

    With fixed mixing, the same network without attention: of two blocks, 4,890 weights for 4,954.
    """
    name, title = token_names("digits", norm, mixing, blocks)
    return lambda: _task(
        name,
        f"digits as patches, {title}",
        lambda: Transformer(16, 4, 10, norm=norm, mixing=mixing, layers=blocks),
        _patched(),
        batch=32,
        stack=32,
        compile_from_updates=40_000,
        evaluation_batch=90,
        regime=token_regime(mixing),
    )


@lru_cache(maxsize=1)
def _patched() -> Pool:
    """The same images cut into patches."""
    flat = pool()
    return Pool(Split(_patches(flat.examples.inputs), flat.examples.targets), flat.places)


def _patches(images: Tensor) -> Tensor:
    """Images [N, 64] cut into 16 patches of 2x2 pixels: [N, 16, 4]."""
    rows = images.view(-1, 4, 2, 4, 2)
    return rows.permute(0, 1, 3, 2, 4).reshape(-1, 16, 4)
