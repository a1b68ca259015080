"""Executed notebooks as one notebook: front, verdicts page, chapters, back matter."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from warmup_study.errors import StudyError
from warmup_study.paths import CHAPTERS, Folders
from warmup_study.report import by_network, texts
from warmup_study.report.answer import answer, reading
from warmup_study.report.beside import verdict_table
from warmup_study.report.contest import contest_table
from warmup_study.report.digest import CLOSES, OPENS, digest, folded
from warmup_study.report.literature import literature
from warmup_study.report.pilot import pilot_table
from warmup_study.report.provenance import provenance_tables
from warmup_study.report.results import Results
from warmup_study.report.rounds import rounds
from warmup_study.report.speed import KEY, speed_drawing, speed_figure, speed_table
from warmup_study.report.summary import main_figure, practice_table, untested, untested_table
from warmup_study.report.task_table import task_descriptions

ORDER = ("report", *CHAPTERS)  # `lab` is an instrument, not a chapter to read
LEFT_OUT = {"front", "notebook"}
"""Tags of cells that the first screen shows already, or that are about notebooks."""


def executed_notebooks(folders: Folders) -> dict[str, NotebookNode]:
    """The executed notebooks that exist, by name, in reading order. StudyError for one that cannot be read."""
    paths = {name: folders.executed / f"{name}.ipynb" for name in ORDER}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def _read(path: Path) -> NotebookNode:
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise StudyError(f"report: {path.name} is not a notebook: {error}") from error
    return notebook


def merge(results: Results, notebooks: dict[str, NotebookNode]) -> NotebookNode:
    """One notebook with fresh cell ids; each cell's metadata tell its chapter and where a chapter begins and ends."""
    front = {"answer": _answer(results), "practice": _practice(results), "verdicts": _verdicts(results)}
    cells = [cell for name, section in front.items() for cell in _chapter(name, section)]
    root, first = str(results.folders.root), main_figure(results)
    for name, notebook in notebooks.items():
        told = digest(name, _readable(notebook, root), shown=first.key if first else "")
        cells += _chapter(name, _failure(notebook) or told)
    for name, section in _back_matter(results).items():
        cells += _chapter(name, section)
    return _merged(cells)


def section(name: str, cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of one section of that name."""
    return _merged(_chapter(name, cells))


def _merged(cells: list[NotebookNode]) -> NotebookNode:
    merged: NotebookNode = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    return merged


def _chapter(name: str, cells: list[NotebookNode]) -> list[NotebookNode]:
    """Copies of the cells, marked as one section of the page."""
    last = len(cells) - 1
    return [_marked(cell, name, opens=place == 0, closes=place == last) for place, cell in enumerate(cells)]


def _marked(cell: NotebookNode, chapter: str, opens: bool, closes: bool) -> NotebookNode:
    """A fresh cell with the content of `cell`: ids that two notebooks share would clash on one page."""
    marks = {"chapter": chapter, "opens": opens, "closes": closes, "tags": cell.metadata.get("tags", [])}
    marks |= {name: cell.metadata.get(name, False) for name in (OPENS, CLOSES)}
    if cell.cell_type == "code":
        return _code(cell.source, cell.outputs, marks)
    text: NotebookNode = new_markdown_cell(cell.source, metadata=marks)
    return text


def _code(source: str, outputs: list[NotebookNode], marks: dict[str, Any]) -> NotebookNode:
    cell: NotebookNode = new_code_cell(source, outputs=outputs, metadata=marks)
    return cell


def _readable(notebook: NotebookNode, root: str) -> list[NotebookNode]:
    """The cells that the page shows, without the folder that a run was told to write to."""
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    shown = [cell for cell in cells if not LEFT_OUT.intersection(cell.metadata.get("tags", []))]
    for cell in shown:
        cell.source = cell.source.replace(root, "...")
    return shown


def _failure(notebook: NotebookNode) -> list[NotebookNode]:
    """A visible notice in place of a notebook whose run failed; empty for one that ran through."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output.output_type == "error"]
    if not errors:
        return []
    title = next((cell.source.splitlines()[0] for cell in notebook.cells if cell.source.startswith("# ")), "# Chapter")
    notice = f"**This chapter's run failed**, so it shows no results: `{errors[0].ename}: {errors[0].evalue}`"
    return [new_markdown_cell(f"{title}\n\n{notice}")]


def _answer(results: Results) -> list[NotebookNode]:
    """The first screen as cells: the answer, in sentences and by network, and the main figure under its own words."""
    cells = [new_markdown_cell(f"# The answer\n\n{answer(results)}")]
    cells += [_shown("text/html", table)] if (table := by_network.gain_table(results)) else []
    if figure := main_figure(results):
        title = new_markdown_cell(f"## {figure.title.partition(':')[0]}")
        about = {"figure": figure.key, "narrow": results.narrow_svg(figure)}
        cells += [title, _shown("image/svg+xml", results.svg(figure), about)]
    return cells


def _verdicts(results: Results) -> list[NotebookNode]:
    """The verdicts as cells, and what has not been run."""
    cells = [new_markdown_cell(f"# The verdicts\n\n{reading(results)}"), _shown("text/html", verdict_table(results))]
    if open_claims := untested(results):
        title = new_markdown_cell(f"## Not run ({len(open_claims)} of {len(results.claims)} claims)")
        cells += [title, _shown("text/html", untested_table(results))]
    return cells


def _practice(results: Results) -> list[NotebookNode]:
    """What to do, as cells; none where nothing has been tested."""
    return _table("# What should I do?", "practice", practice_table(results))


def _shown(mime: str, content: str, metadata: dict[str, str] | None = None) -> NotebookNode:
    """A cell that shows one output."""
    output = new_output("display_data", data={mime: content}, metadata=metadata or {})
    return _code("", [output], {})


def _back_matter(results: Results) -> dict[str, list[NotebookNode]]:
    """Section name to cells: methods, limits, round 1, literature, tasks, contesting, provenance, glossary, citing."""
    sections = {name: [new_markdown_cell(texts.section(name))] for name in ("methods", "limits")}
    sections["methods"] += _pilot(results) + _speed(results)
    beside = literature(results)
    changed = rounds(results)
    sections["rounds"] = [new_markdown_cell(changed)] if changed else []
    sections["literature"] = [new_markdown_cell(beside)] if beside else []
    sections["tasks"] = _table("# The tasks", "tasks", task_descriptions(results))
    sections["contest"] = _table("# Contest a verdict", "contest", contest_table(results))
    run = provenance_tables(results)
    sections["provenance"] = _under(texts.section("provenance"), run, "Versions, machine, seeds, files")
    title, _, terms = texts.section("glossary").partition("\n\n")
    sections["glossary"] = _under(title, terms, "All terms")
    return sections | {"cite": [new_markdown_cell(texts.section("cite"))]}


def _under(title: str, content: str, summary: str) -> list[NotebookNode]:
    """A title and, folded under its summary, what it holds, as cells."""
    return [new_markdown_cell(title), *folded([new_markdown_cell(content)], summary)]


def _pilot(results: Results) -> list[NotebookNode]:
    """What the study was laid out by, as cells; none where the pilot's runs are not there."""
    return _table("## What can each optimiser train?", "pilot", pilot_table(results))


def _table(title: str, text: str, table: str) -> list[NotebookNode]:
    """A table under its title and the page's own text of that name, as cells; none where there is no table."""
    return [new_markdown_cell(f"{title}\n\n{texts.section(text)}"), _shown("text/html", table)] if table else []


def _speed(results: Results) -> list[NotebookNode]:
    """How fast the engine is, as folded cells; none where that was not measured."""
    table, figure = speed_table(results), speed_figure(results)
    if not table:
        return []
    drawing = [_shown("image/svg+xml", speed_drawing(results), {"figure": KEY})] if figure else []
    return folded([_shown("text/html", table), *drawing], "How fast is the engine?")
