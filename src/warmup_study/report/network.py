"""The notebook `your_network` run on one task, and its answer as a page of its own."""

import sys
from pathlib import Path
from typing import Any

import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from warmup_study.errors import StudyError
from warmup_study.files import file_name, write_atomically
from warmup_study.paths import Folders, published_root
from warmup_study.report.build import embed_font, page_style
from warmup_study.report.exporter import PageExporter
from warmup_study.report.html_cleanup import tidy
from warmup_study.report.merging import section
from warmup_study.report.page_checks import check_page
from warmup_study.report.results import read_numbers, read_sidecars

NOTEBOOK = "your_network"


def advise(folders: Folders, parameters: dict[str, Any]) -> Path:
    """Run the notebook with these parameters, from the current folder, and return the place of its page.

    What its cells print appears as they run. Raises ``StudyError`` in one line where the notebook fails.
    """
    executed = folders.executed / f"{NOTEBOOK}-{file_name(parameters['task'])}.ipynb"
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
    return build_page(folders, notebook, str(parameters["task"]))


def build_page(folders: Folders, notebook: NotebookNode, task: str) -> Path:
    """Write the page of one executed notebook. Raises ``StudyError`` where it fails a check."""
    shown = [cell for cell in notebook.cells if cell.source.strip()]
    shown[0].source = shown[0].source.splitlines()[0]  # the heading, without how to use the notebook
    html, _ = PageExporter().from_notebook_node(section("answer", shown), {"page": _page(folders, task)})
    soup = tidy(html)
    embed_font(soup)
    check_page(soup)
    place = folders.report.with_name(f"{NOTEBOOK}-{file_name(task)}.html")
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
