"""From a matplotlib figure to a file that carries its own title, alternative text and caption."""

import inspect
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from warmup_study.files import write_atomically
from warmup_study.paths import Folders
from warmup_study.presentation.numbers import numbers
from warmup_study.presentation.style import INK, INK_ON_DARK, PAPER_ON_DARK, study_style
from warmup_study.presentation.svg_minify import compact

NARROW = "-narrow"
"""What follows a figure's name in that of its drawing for narrow screens."""
_THEME = (
    f"<style>svg{{color:{INK}}}@media(prefers-color-scheme:dark)"
    f"{{svg{{color:{INK_ON_DARK};--paper:{PAPER_ON_DARK}}}}}</style>"
)
"""Ink, and the paper that shows inside hollow markers, in the reader's theme."""
_HOLLOW = "fill: #ffffff"
_PAPER = f"{_HOLLOW}; fill: var(--paper,#ffffff)"  # what knows no variables takes the first


@dataclass(frozen=True)
class Words:
    """Title, alternative text and caption of a figure."""

    title: str
    alt: str
    caption: str


@dataclass(frozen=True)
class StudyFigure:
    """A finished figure: its SVG text, its words, the name of the function that made it, and its numbers as CSV."""

    svg: str
    words: Words
    maker: str
    numbers: str = ""

    def save(self, folders: Folders, notebook: str, name: str, narrow: "StudyFigure | None" = None) -> "ShownFigure":
        """Write ``<notebook>-<name>.svg``, its words (``.json``) and its numbers (``.csv``).

        ``narrow``: a drawing of the same for narrow screens, written beside (``-narrow.svg``). The same data give the
        same bytes.
        """
        stem = f"{notebook}-{name}"
        self.write(folders.figures / stem, preset=folders.preset, notebook=notebook, name=name)
        if narrow:
            write_atomically(folders.figures / f"{stem}{NARROW}.svg", narrow.svg)
        return ShownFigure(self, stem)

    def write(self, place: Path, **origin: str) -> None:
        """Write the figure, its sidecar and its numbers beside each other, under the name of ``place``."""
        sidecar = asdict(self.words) | {"maker": self.maker} | origin
        write_atomically(place.with_name(f"{place.name}.svg"), self.svg)
        write_atomically(
            place.with_name(f"{place.name}.json"), json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n"
        )
        if self.numbers:
            write_atomically(place.with_name(f"{place.name}.csv"), self.numbers)


@dataclass(frozen=True)
class ShownFigure:
    """A saved figure as a notebook shows it; its metadata tells the report which file it is."""

    figure: StudyFigure
    stem: str

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        return {"image/svg+xml": self.figure.svg, "text/plain": self.figure.words.alt}, {"figure": self.stem}


def figure_maker(draw: Callable[..., tuple[Figure, Words]]) -> Callable[..., StudyFigure]:
    """Turn a function that draws (figure, words) into one that returns a :class:`StudyFigure` in the study's style."""

    @wraps(draw)
    def make(*args: Any, **kwargs: Any) -> StudyFigure:
        others = plt.get_fignums()
        try:
            with study_style():
                figure, words = draw(*args, **kwargs)
                svg, table = _themed_svg(figure), numbers(figure)
        finally:
            for number in set(plt.get_fignums()) - set(others):
                plt.close(number)  # also what a failed drawing leaves open, which a notebook would show
        maker = f"{inspect.getmodule(draw).__name__}.{draw.__name__}"  # type: ignore[union-attr]
        return StudyFigure(svg, words, maker, table)

    return make


def _themed_svg(figure: Figure) -> str:
    """SVG text without date or chance in it, whose ink follows the reader's light or dark theme."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    head, tag, body = compact(buffer.getvalue()).partition("<svg ")
    opening, closing, content = body.replace(INK, "currentColor").replace(_HOLLOW, _PAPER).partition(">")
    return f"{head}{tag}{opening}{closing}{_THEME}{content}"


def no_case(title: str) -> tuple[Figure, Words]:
    """A sentence in place of a figure that has nothing to draw."""
    figure, axes = plt.subplots(figsize=(4.5, 0.6))
    axes.set_axis_off()
    axes.text(0, 0.5, title)
    return figure, Words(title, f"{title}.", "There is nothing to test here.")
