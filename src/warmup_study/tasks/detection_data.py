"""Canvases with a few real digits on each, their boxes exact, and the anchors that suit these boxes.

The digits are scikit-learn's; what is drawn where comes from a fixed seed. No digit of one split appears in another.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from warmup_study.tasks.task import stratified_splits

SIDE, GRID = 24, 4  # pixels and cells along a side
CELL = SIDE // GRID
MOST = 4  # digits on one canvas
LABELS = 3  # of the ten digits, only 0, 1 and 2: a net this small learns them in a few hundred updates
ATTEMPTS = 40  # at placing one more digit before the canvas is left as it is
LARGEST_OVERLAP = 0.1  # intersection over union of two boxes
SHAPES = ((6, 8), (8, 13), (13, 10))  # width and height of a small, a tall and a wide digit, give or take a pixel
SIZES = {"train": 2048, "validation": 96, "test": 128}  # canvases

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """A kind of canvas. With ``scraps`` bits of other digits are strewn about, and digits have any size and aspect."""

    seed: int
    scraps: int = 0


class Canvas(NamedTuple):
    """One image [SIDE, SIDE] with values from 0 to 1, and what stands on it.

    ``boxes`` [k, 4] hold centre x, centre y, width and height as shares of the side, ``labels`` [k] the digits.
    """

    image: Floats
    boxes: Floats
    labels: NDArray[np.int64]


def canvases(family: Family) -> dict[str, list[Canvas]]:
    """The canvases of each split; the same in every process."""
    images, labels = load_digits(n_class=LABELS, return_X_y=True)
    splits = stratified_splits((images / 16).astype(np.float32), labels.astype(np.int64), held_out=0.15)
    made = {}
    for index, (name, split) in enumerate(zip(SIZES, splits, strict=True)):
        generator = np.random.default_rng([family.seed, index])
        glyphs = [_cropped(image.reshape(8, 8)) for image in split.inputs.numpy().astype(np.float64)]
        digits = split.targets.numpy()
        made[name] = [_canvas(generator, family, glyphs, digits) for _ in range(SIZES[name])]
    return made


def _canvas(generator: np.random.Generator, family: Family, glyphs: list[Floats], digits: NDArray[np.int64]) -> Canvas:
    """One canvas of 1 to ``MOST`` digits, at most one centre in a cell."""
    image, boxes, labels = _background(generator, family.scraps, glyphs), np.empty((0, 4)), []
    for _ in range(generator.integers(1, MOST + 1)):
        which = int(generator.integers(len(glyphs)))
        glyph = _resized(glyphs[which], *_shape(generator, family))
        height, width = glyph.shape
        corner = _place(generator, width, height, boxes)
        if corner is None:
            break
        x, y = corner
        image[y : y + height, x : x + width] = np.maximum(image[y : y + height, x : x + width], glyph)
        boxes = np.vstack([boxes, np.array([x + width / 2, y + height / 2, width, height]) / SIDE])
        labels.append(int(digits[which]))
    return Canvas(image, boxes, np.array(labels))


def _background(generator: np.random.Generator, scraps: int, glyphs: list[Floats]) -> Floats:
    """An empty canvas, or one strewn with bits of digits, 4 pixels wide and half as bright."""
    image = np.zeros((SIDE, SIDE))
    for _ in range(scraps):
        bit = glyphs[int(generator.integers(len(glyphs)))][-4:, -4:] / 2
        x, y = generator.integers(0, SIDE - 4, 2)
        area = image[y : y + bit.shape[0], x : x + bit.shape[1]]
        np.maximum(area, bit, out=area)
    return image


def _shape(generator: np.random.Generator, family: Family) -> tuple[int, int]:
    """Width and height of the next digit in pixels."""
    if family.scraps:
        return int(generator.integers(5, 14)), int(generator.integers(7, 15))
    width, height = SHAPES[int(generator.integers(len(SHAPES)))] + generator.integers(-1, 2, 2)
    return int(width), int(height)


def _place(generator: np.random.Generator, width: int, height: int, boxes: Floats) -> tuple[int, int] | None:
    """Left and top where the digit hardly overlaps others and no other centre shares its cell."""
    for _ in range(ATTEMPTS):
        x, y = int(generator.integers(0, SIDE - width + 1)), int(generator.integers(0, SIDE - height + 1))
        box = np.array([[x + width / 2, y + height / 2, width, height]]) / SIDE
        alone = not (cells(box) == cells(boxes)).any()
        if alone and (overlap(box, boxes) <= LARGEST_OVERLAP).all():
            return x, y
    return None


def _resized(glyph: Floats, width: int, height: int) -> Floats:
    """A digit of about that size: its box is where there is ink, to the pixel."""
    return _cropped(zoom(glyph, np.divide((height, width), glyph.shape), order=1))


def _cropped(image: Floats) -> Floats:
    """The part of an image that holds ink."""
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def cells(boxes: Floats) -> NDArray[np.int64]:
    """Number of the cell, row by row, in which each box [k, 4] has its centre: [k]."""
    column, row = np.minimum(boxes[:, :2] * GRID, GRID - 1).astype(np.int64).T
    return np.asarray(row * GRID + column)


def overlap(left: Floats, right: Floats) -> Floats:
    """Intersection over union of boxes [..., 4] given by centre and size; leading axes broadcast."""
    near = np.maximum(left[..., :2] - left[..., 2:] / 2, right[..., :2] - right[..., 2:] / 2)
    far = np.minimum(left[..., :2] + left[..., 2:] / 2, right[..., :2] + right[..., 2:] / 2)
    shared = np.maximum(far - near, 0).prod(-1)
    return np.asarray(shared / (left[..., 2:].prod(-1) + right[..., 2:].prod(-1) - shared))


def shape_overlap(left: Floats, right: Floats) -> Floats:
    """Intersection over union of sizes [..., 2] whose centres are laid on each other; leading axes broadcast."""
    shared = np.minimum(left, right).prod(-1)
    return np.asarray(shared / (left.prod(-1) + right.prod(-1) - shared))


def anchors(sizes: Floats, count: int = 3, rounds: int = 100) -> Floats:
    """Typical sizes [count, 2], by area: k-means on sizes [N, 2] under the distance 1 - IoU (YOLO9000, 1612.08242).

    Centres are the means of their members, as in Darknet's tools, and start at quantiles of the area.
    """
    by_area = sizes[np.argsort(sizes.prod(1), kind="stable")]
    centres = by_area[(np.arange(count) * 2 + 1) * len(sizes) // (2 * count)]
    for _ in range(rounds):
        nearest = shape_overlap(sizes[:, None], centres).argmax(1)
        moved = np.array([sizes[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(count)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres[np.argsort(centres.prod(1), kind="stable")]
