"""The notebook `your_network` run on one task, and its answer as a page of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from warmup_study.chapters.your_network.design import NOTEBOOK, own_name
from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import PRESETS, Folders, published_root
from warmup_study.report.build import embed_font, page_style
from warmup_study.report.exporter import PageExporter
from warmup_study.report.html_cleanup import tidy
from warmup_study.report.merging import section
from warmup_study.report.page_checks import check_page
from warmup_study.report.results import read_numbers, read_sidecars

ANSWERS = "analysis.answers("  # in the cell that says whether, when and how long


class Advice(NamedTuple):
    """The answer in sentences, and the place of the page that holds it."""

    sentences: list[str]
    page: Path


def advise(folders: Folders, parameters: dict[str, Any]) -> Advice:
    """Run the notebook with these parameters, from the current folder, and build its page.

    What its cells print appears as they run. Raises ``StudyError`` in one line where the notebook fails.
    """
    name = own_name(parameters["task"], parameters["optimizer"])
    executed = folders.executed / f"{name}.ipynb"
    executed.parent.mkdir(parents=True, exist_ok=True)
    try:
        notebook = papermill.execute_notebook(
            published_root() / "notebooks" / f"{NOTEBOOK}.ipynb",
            executed,
            parameters | {"preset": folders.preset, "output_dir": str(folders.root)},
            kernel_name="python3",
            progress_bar=False,
            stdout_file=sys.stdout,
        )
    except PapermillExecutionError as error:
        told = error.evalue if error.ename == StudyError.__name__ else f"{error.ename}: {error.evalue}"
        raise StudyError(told) from None
    return Advice(list(_sentences(notebook)), build_page(folders, notebook, str(parameters["task"]), name))


def _sentences(notebook: NotebookNode) -> Iterator[str]:
    """What the notebook answers, as plain text."""
    for cell in notebook.cells:
        if ANSWERS in cell.source:
            said = (output.get("data", {}).get("text/markdown", "") for output in cell.outputs)
            yield from (text.replace("**", "") for text in said if text)


def build_page(folders: Folders, notebook: NotebookNode, task: str, name: str) -> Path:
    """Write the page of one executed notebook. Raises ``StudyError`` where it fails a check."""
    shown = [cell for cell in notebook.cells if cell.source.strip()]
    shown[0].source = shown[0].source.splitlines()[0]  # the heading, without how to use the notebook
    html, _ = PageExporter().from_notebook_node(section("answer", shown), {"page": _page(folders, task)})
    soup = tidy(html)
    embed_font(soup)
    check_page(soup)
    trial = f"-{folders.preset}" if folders.preset == PRESETS[0] else ""  # replaces no answer
    place = folders.report.with_name(f"{name}{trial}.html")
    write_atomically(place, str(soup))
    return place


def _page(folders: Folders, task: str) -> dict[str, Any]:
    return {
        "title": "Does this network need warmup?",
        "subtitle": f"Whether, when and how long to warm up {task}",
        "notice": "",
        "published": "",
        "style": page_style(),
        "figures": read_sidecars(folders),
        "numbers": read_numbers(folders),
        "data": f"../data/results/{folders.preset}",
    }
