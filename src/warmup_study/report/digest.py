"""A chapter as the page shows it: what it asks, its main figure and its verdicts; how it got there is folded away."""

from collections.abc import Callable, Sequence

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from warmup_study.chapters.packages import package_of

OPENS, CLOSES = "fold_opens", "fold_closes"
"""Marks on cells: a folded stretch begins before the one, which holds its summary, and ends after the other."""
DEPTH = "How this was tested: equations, design, every figure, code"


def digest(name: str, cells: Sequence[NotebookNode], shown: str = "") -> list[NotebookNode]:
    """The cells of a chapter in that order; all as they are where there is no figure or verdict to show first.

    ``shown``: the key of a figure that the page shows already, and a chapter that has another does not.
    """
    main = f"{name}-{package_of(name).MAIN_FIGURE}"
    drawn = _outputs(cells, lambda output: "figure" in output.get("metadata", {}))
    again = [output for output in drawn if output.metadata.figure == shown]
    figures = sorted(drawn, key=lambda output: (output.metadata.figure == shown, output.metadata.figure != main))[:1]
    verdicts = _outputs(cells, lambda output: "claim" in output.get("metadata", {}))
    if not (figures or verdicts):
        return list(cells)
    title, rest = list(cells[:1]), _without(cells[1:], [*figures, *again, *verdicts])
    notebook = new_markdown_cell(f"Notebook: [{name}](../notebooks/{name}.ipynb)")
    return [*title, *map(_showing, figures), *map(_showing, verdicts), *folded([notebook, *rest], DEPTH)]


def _outputs(cells: Sequence[NotebookNode], wanted: Callable[[NotebookNode], bool]) -> list[NotebookNode]:
    return [output for cell in cells for output in cell.get("outputs", []) if wanted(output)]


def _without(cells: Sequence[NotebookNode], outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Copies of the cells that lack these outputs."""
    gone = {id(output) for output in outputs}
    kept = []
    for cell in cells:
        copy = NotebookNode(cell, metadata=NotebookNode(cell.metadata))
        if "outputs" in cell:
            copy["outputs"] = [output for output in cell.outputs if id(output) not in gone]
        kept.append(copy)
    return kept


def _showing(output: NotebookNode) -> NotebookNode:
    cell: NotebookNode = new_code_cell("", outputs=[output])
    return cell


def folded(cells: list[NotebookNode], summary: str) -> list[NotebookNode]:
    """The cells as one stretch that opens at a click on its summary."""
    if cells:
        cells[0].metadata[OPENS] = summary
        cells[-1].metadata[CLOSES] = True
    return cells
