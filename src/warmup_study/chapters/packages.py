"""From a notebook's name to its package, which has the name without its number."""

import importlib
from typing import Any


def package_of(notebook: str) -> Any:
    """The package of a notebook, which says what it asks and which of its figures is the main one."""
    return importlib.import_module(f"warmup_study.chapters.{notebook.lstrip('0123456789_')}")


def design_of(notebook: str) -> Any:
    """The module that holds a notebook's parameters and says what they make it train."""
    return importlib.import_module(f"{package_of(notebook).__name__}.design")


def analysis_of(notebook: str) -> Any:
    """The module that measures the effects on which a chapter's claims are judged."""
    return importlib.import_module(f"{package_of(notebook).__name__}.analysis")
