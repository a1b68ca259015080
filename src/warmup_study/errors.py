"""The study's own error, and what helps to word one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError


class StudyError(Exception):
    """An error whose message is one clear line for the reader, shown in notebooks without a traceback."""

    def __str__(self) -> str:
        """The message on one line, whatever was put into it."""
        return " ".join(super().__str__().split())

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython prints in place of a traceback."""
        return [f"StudyError: {self}"]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was probably meant, or nothing."""
    match = get_close_matches(name, list(known), n=1)
    return f", did you mean {match[0]}?" if match else ""


def first_problem(error: ValidationError, model: type[BaseModel], values: Mapping[str, Any]) -> str:
    """The first problem as "name: got ...; takes ...", with the reason where a check of ours gave one.

    The description of a field of ``model`` says what it takes.
    """
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0])
    got = repr(values[name])
    shown = got if len(got) <= 80 else f"{got[:77]}..."
    reason = str(problem.get("ctx", {}).get("error", ""))
    line = f"{name}: got {shown}; takes {model.model_fields[name].description}"
    return f"{line} ({reason})" if reason else line
