"""One look for all figures: colour is the optimiser, line style and marker are the warmup arm, everywhere the same."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

STYLE_FILE = Path(__file__).with_name("study.mplstyle")
INK = "#1b1b1f"
INK_ON_DARK = "#e6e4e0"
PAPER_ON_DARK = "#17181a"  # the page's own
GUIDE: dict[str, Any] = {"color": "0.5", "lw": 0.8}
"""Style of a reference line."""
LEFT_OUT = "_left out"
"""Label of artists that are not data of the figure; hidden from the legend."""
SHADE: dict[str, Any] = {"color": "0.5", "alpha": 0.15, "lw": 0, "label": LEFT_OUT}
"""Style of a shaded range of updates, or of a margin."""


@dataclass(frozen=True)
class Look:
    """Style and label of one optimiser or one warmup arm."""

    label: str
    colour: str = INK
    line: str | tuple[float, tuple[float, ...]] = "-"
    marker: str = "o"
    fill: str = "full"

    def keywords(self, colour: str) -> dict[str, Any]:
        """What ``Axes.plot`` takes to draw a curve with this line and marker, and to name it in a legend."""
        style = {"ls": self.line, "marker": self.marker, "fillstyle": self.fill}
        return style | {"color": colour, "label": self.label}


# Okabe & Ito's palette, ink for its black, without its yellow, which vanishes on white, and with its light tones
# darkened: every line stands at least 3:1 off the light page and off the dark one. It has no more colours; the last
# four are apart from Adam's.
OPTIMIZERS = {
    "sgd": Look("SGD", "#0072B2"),
    "momentum": Look("SGD + momentum", "#2E93CC"),
    "momentum_lr_inside": Look("SGD + momentum, Sutskever's form", INK),
    "nesterov": Look("SGD + Nesterov momentum", "#2E93CC"),
    "rmsprop": Look("RMSProp", "#BC8200"),
    "adam": Look("Adam", "#D55E00"),
    "adamw": Look("AdamW", "#C96FA0"),
    "radam": Look("RAdam", "#009E73"),
    "adagrad": Look("Adagrad", "#B5446E"),
    "lion": Look("Lion", "#8B7D00"),
    "signsgd": Look("signSGD + momentum", "#008B8B"),
    "muon": Look("Muon", "#7570B3"),
}
ADAM = OPTIMIZERS["adam"].colour
WARMUPS = {
    "none": Look("no warmup", line="-", marker="o", fill="none"),
    "ramp": Look("ramp", line=(0, (5, 2)), marker="^"),
    "zero": Look("lr = 0, then full", line=(0, (1, 1.5)), marker="s"),
    "constant": Look("low LR, then full", line=(0, (5, 1.5, 1, 1.5)), marker="D"),
    "momentum": Look("momentum ramp", line=(0, (2, 1)), marker="v"),
}
REGIMES = {
    "easy": Look("easy", "#7F7F7F", marker="o"),
    "deep": Look("deep", "#8B7D00", marker="s"),
    "conv": Look("convolutional", "#008B8B", marker="D"),
    "attention": Look("attention", "#B5446E", marker="^"),
    "large batch": Look("large batch", "#7570B3", marker="v"),
    "": Look("other", "#7F7F7F", line="--", marker="x"),
}
"""Regimes, for figures whose lines are tasks; the panel then names the optimiser."""


def study_style() -> AbstractContextManager[None]:
    """The study's style, for the time of one figure; whatever IPython or the user has set does not leak in."""
    return plt.style.context(["default", STYLE_FILE])
