"""A small drawing of one example of a task: a grey image, a signal, or letters."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SIDE = 34  # pixels
PATCHES = (16, 4)  # of an image of 8 by 8, as the Transformers see it: 4 by 4 patches of 2 by 2


def picture(example: Tensor) -> str:
    """The example as an inline SVG, hidden from screen readers, as the table says what it is."""
    if not example.is_floating_point():
        return _svg(f'<text x="4" y="{SIDE - 10}" font-size="20" fill="currentColor">Aa</text>')
    values = example.numpy().astype(float)
    if values.shape == PATCHES:
        return _image(values.reshape(4, 4, 2, 2).transpose(0, 2, 1, 3).reshape(8, 8))
    side = round(values.size**0.5)
    return _image(values.reshape(side, side)) if side * side == values.size else _signal(values.reshape(-1))


def _image(values: NDArray[np.float64]) -> str:
    """Dark where the values are high; one rectangle for each pixel that is not at the bottom of the scale."""
    ink = (values - values.min()) / (np.ptp(values) or 1.0)
    step = SIDE / len(ink)
    pixels = [
        f'<rect x="{column * step:.2f}" y="{row * step:.2f}" width="{step:.2f}" height="{step:.2f}" '
        f'fill-opacity="{ink[row, column]:.2f}"/>'
        for row, column in np.argwhere(ink > 0.05)
    ]
    return _svg(f'<g fill="currentColor">{"".join(pixels)}</g>')


def _signal(values: NDArray[np.float64]) -> str:
    height = (values - values.min()) / (np.ptp(values) or 1.0)
    places = np.linspace(1, SIDE - 1, len(values))
    line = " ".join(f"{x:.1f},{SIDE - 2 - (SIDE - 4) * y:.1f}" for x, y in zip(places, height, strict=True))
    return _svg(f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.2"/>')


def _svg(content: str) -> str:
    return (
        f'<svg class="picture-of-task" width="{SIDE}" height="{SIDE}" viewBox="0 0 {SIDE} {SIDE}" aria-hidden="true" '
        f'focusable="false">{content}</svg>'
    )
