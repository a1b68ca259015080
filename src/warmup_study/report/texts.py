"""The page's own texts, from the files beside this module: sections in Markdown, and sentences in TOML."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any


def section(name: str) -> str:
    """A section of the page, as Markdown."""
    return _text(f"sections/{name}.md")


@lru_cache
def sentences(name: str) -> dict[str, Any]:
    """The parsed content of a file of sentences; shared, so not to be changed."""
    return tomllib.loads(_text(f"{name}.toml"))


def _text(path: str) -> str:
    return files(__package__).joinpath(path).read_text(encoding="utf-8")
