"""A digest of the code that trains, so that a cached run is used only while it would come out the same."""

import ast
import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from warmup_study import tasks

_PACKAGE = Path(__file__).parents[1]
_TRAINING_ROOMS = ("tasks", "training")
_LIBRARIES = ("torch", "numpy", "scikit-learn", "mnist1d")  # they compute, draw by chance, and hold or make the data

_FILES = sorted(path for room in _TRAINING_ROOMS for path in (_PACKAGE / room).rglob("*.py"))
_TEXTS = tuple(path.read_text(encoding="utf-8") for path in _FILES)
"""Sources as they were when this process imported the study: later edits of the files do not change what it runs."""


@lru_cache
def training_code(task: str) -> str:
    """Digest of the rooms that decide a run's result, of a user's own task and of the libraries' versions.

    Comments, docstrings and layout do not count; a change in plots, statistics or prose leaves it as it is.
    """
    bare = [_without_prose(text) for text in (*_TEXTS, tasks.source(task))]
    return hashlib.sha256("\n".join([*map(version, _LIBRARIES), *bare]).encode()).hexdigest()


def _without_prose(source: str) -> str:
    """The code alone: parsed and written out again, without strings that stand as statements (docstrings)."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
