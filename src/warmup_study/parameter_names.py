"""The names of a notebook's parameters, checked without torch: a typo ends in a second, before anything is imported."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from warmup_study.errors import StudyError, nearest

_INJECTED = "# Parameters\n"  # first line of the cell that papermill adds after the notebook's own


def check_names(namespace: Mapping[str, Any]) -> None:
    """Refuse a name that papermill gave and that the notebook's own cell does not assign.

    ``namespace``: the notebook's ``globals()``. Raises StudyError for the first such name.
    """
    cells = list(history(namespace) or ())
    own = [cell for cell in cells if not cell.startswith(_INJECTED) and check_names.__name__ not in cell]
    known = [name for cell in own for name in _assigned(cell)]
    refuse_unknown(injected(cells), list(dict.fromkeys(known)))


def history(namespace: Mapping[str, Any]) -> list[str] | None:
    """The cells that a kernel has run, in whatever order; None where the namespace is no kernel's."""
    cells = namespace.get("_ih", namespace.get("In"))
    return cells if isinstance(cells, list) and all(isinstance(cell, str) for cell in cells) else None


def injected(cells: Iterable[str]) -> list[str]:
    """Names that papermill's cells assign."""
    return [name for cell in cells if cell.startswith(_INJECTED) for name in _assigned(cell)]


def refuse_unknown(given: Iterable[str], known: list[str]) -> None:
    """Raise StudyError for the first name that is no parameter."""
    for name in given:
        if name not in known:
            shown = name if name.isidentifier() else repr(name)
            raise StudyError(f"{shown}: no such parameter{nearest(name, known)}; takes {', '.join(known)}")


def _assigned(cell: str) -> Iterator[str]:
    """Names that a cell assigns; one that is no Python (a magic, a typo) assigns nothing here."""
    try:
        nodes = ast.walk(ast.parse(cell))
    except SyntaxError:
        return
    yield from (node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
