"""A digest of all that decides how a task is trained, so that a cached run is used only while it would come out so."""

import ast
import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from warmup_study import tasks
from warmup_study.tasks import identity

_PACKAGE = Path(__file__).parents[1]
_TRAINING_ROOMS = ("tasks", "training")
_ONLY_REFUSE = _PACKAGE / "tasks" / "checks"  # or let a task through as it is: no result depends on what is said there
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "mnist1d")  # compute, draw by chance, hold or make the data

_FILES = sorted(
    path
    for room in _TRAINING_ROOMS
    for path in (_PACKAGE / room).rglob("*.py")
    if not path.is_relative_to(_ONLY_REFUSE)
)
_TEXTS = tuple(path.read_text(encoding="utf-8") for path in _FILES)
"""Sources as they were when this process imported the study: later edits of the files do not change what it runs."""


@lru_cache
def training_code(task: str) -> str:
    """Digest of the rooms that decide a run's result, of the libraries' versions and of all that is a user's own.

    That is the text of the modules of a user's task, its examples, its initial weights and its model's structure.
    Comments, docstrings, layout and what errors say do not count; a change in plots, statistics or prose leaves it as
    it is. Raises ``StudyError`` for a task that cannot be loaded or has no source.
    """
    plain = task.partition("+")[0]  # what comes behind it is the study's code
    own = [] if tasks.built_in(task) else _own(plain)
    return hashlib.sha256("\n".join([*map(version, _LIBRARIES), *_bare_texts(), *own]).encode()).hexdigest()


def _own(task: str) -> list[str]:
    texts = [f"{name}\n{without_prose(text)}" for name, text in identity.texts(task).items()]
    return [*texts, identity.content(tasks.load(task))]


@lru_cache(maxsize=1)
def _bare_texts() -> tuple[str, ...]:
    return tuple(map(without_prose, _TEXTS))


def without_prose(source: str) -> str:
    """The code alone: parsed and written out again, without docstrings and without the arguments of what is raised.

    A run that raises has no result, so its message is in none.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
