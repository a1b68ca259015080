"""From executed notebooks and results to one self-contained page."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup

from warmup_study.files import write_atomically
from warmup_study.paths import Folders
from warmup_study.report.beside import published_page
from warmup_study.report.exporter import PageExporter
from warmup_study.report.font import font_face
from warmup_study.report.html_cleanup import tidy
from warmup_study.report.merging import executed_notebooks, merge
from warmup_study.report.page_checks import check_page, check_size
from warmup_study.report.results import Results, published, read_numbers
from warmup_study.report.speed import KEY, speed_figure
from warmup_study.report.typed_numbers import check_typed_numbers

TITLE = "Does learning-rate warmup help?"
SUBTITLE = "Common claims about learning-rate warmup, tested one by one"


def build(folders: Folders) -> Path:
    """Write the page of a preset from whatever has been run, and return its place.

    Raises StudyError, and leaves an older page as it is, where the results cannot be read or the page fails a gate.
    """
    results = Results.read(folders)
    notebooks = executed_notebooks(folders)
    check_typed_numbers(notebooks)
    html, _ = PageExporter().from_notebook_node(merge(results, notebooks), {"page": _page(results)})
    soup = tidy(html)
    embed_font(soup)
    check_page(soup)
    page = str(soup)
    check_size(page)
    write_atomically(folders.report, page)
    return folders.report


def page_style() -> str:
    """The style sheet of every page."""
    return files(__package__).joinpath("page", "style.css").read_text(encoding="utf-8")


def embed_font(soup: BeautifulSoup) -> None:
    """Give the page the font of its formulas, if it has any."""
    formulas = "".join(formula.get_text() for formula in soup("math"))
    if formulas and soup.head:
        style = soup.new_tag("style")
        style.string = font_face(formulas)
        soup.head.append(style)


def _page(results: Results) -> dict[str, Any]:
    """What the template needs beside the cells."""
    speed = speed_figure(results)
    return {
        "title": TITLE,
        "subtitle": SUBTITLE,
        "notice": _notice(results),
        "published": published_page(results),
        "tested": {claim.id for claim in results.tested},
        "style": page_style(),
        "figures": results.figures | ({KEY: speed} if speed else {}),
        "numbers": read_numbers(results.folders),
        "data": f"../data/results/{results.folders.preset}",
    }


def _notice(results: Results) -> str:
    """A warning where the page is not the published run, or nothing has been published yet."""
    preset = results.folders.preset
    if preset == "full":
        return ""
    small = f"This page shows a small run (preset {preset}). "
    if published().tested:
        return f"{small}The verdicts that count are the published ones, shown next to its own estimates."
    return f"{small}The verdicts that count come from the full run, which has not been trained yet."
