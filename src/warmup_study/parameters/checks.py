"""From a notebook's namespace to its checked parameters; whatever is wrong is one line."""

import ast
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

from pydantic import BaseModel, ValidationError

from warmup_study.parameters.models import (
    AnchorWarmup,
    AttentionAndDecay,
    EarlyExamples,
    Lab,
    Mechanism,
    Momentum,
    Parameters,
    SgdVsAdam,
    ZeroVsRamped,
    nearest,
)
from warmup_study.paths import NOTEBOOKS, StudyError

Model = TypeVar("Model", bound=BaseModel)

_SCHEDULER = "WARMUP_STUDY_SCHEDULER"  # the environment variable that stands in for an empty `scheduler`
_INJECTED = "# Parameters\n"  # first line of the cell that papermill adds after the notebook's own

MODELS: dict[str, type[Parameters]] = {
    "1_sgd_vs_adam": SgdVsAdam,
    "2_zero_vs_ramped_warmup": ZeroVsRamped,
    "3_momentum": Momentum,
    "6_mechanism": Mechanism,
    "4_early_examples": EarlyExamples,
    "5_attention_and_decay": AttentionAndDecay,
    "7_anchor_warmup": AnchorWarmup,
}


@overload
def validate(notebook: Literal["lab"], namespace: Mapping[str, Any]) -> Lab: ...  # type: ignore[overload-overlap]
@overload
def validate(notebook: str, namespace: Mapping[str, Any]) -> Parameters: ...
def validate(notebook: str, namespace: Mapping[str, Any]) -> Parameters | Lab:
    """Check the parameters of `notebook`, found in its `namespace` (``globals()``), before anything runs.

    In a notebook, the names given are those that papermill's own cell assigns; in a plain mapping every key is.
    Raises StudyError for an unknown name, and for a value of the wrong type or out of range.
    """
    if notebook not in NOTEBOOKS:
        raise StudyError(f"notebook: got {notebook!r}; takes one of {', '.join(NOTEBOOKS)}")
    model: type[Parameters | Lab] = Lab if notebook == "lab" else MODELS.get(notebook, Parameters)
    _refuse_unknown(_given_names(namespace), list(model.model_fields))
    values = {name: namespace[name] for name in model.model_fields if name in namespace}
    takes_scheduler = "scheduler" in model.model_fields
    borrowed = os.environ.get(_SCHEDULER, "") if takes_scheduler and values.get("scheduler", "") == "" else ""
    values |= {"scheduler": borrowed} if borrowed else {}
    try:
        return checked(model, values)
    except StudyError as error:
        line = str(error)
        named = borrowed and line.startswith("scheduler: ")
        raise StudyError(_SCHEDULER + line.removeprefix("scheduler") if named else line) from None


def checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """The model of these values. Raises StudyError for the first that is of the wrong type or out of range."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise StudyError(_one_line(error, model, values)) from None


def _given_names(namespace: Mapping[str, Any]) -> Iterable[str]:
    """Names that somebody gave: in a kernel's namespace those of papermill's cells, in a plain mapping all."""
    history = namespace.get("_ih", namespace.get("In"))
    in_kernel = isinstance(history, list) and all(isinstance(cell, str) for cell in history)
    return _injected_names(history or ()) if in_kernel else namespace


def _injected_names(history: Iterable[str]) -> list[str]:
    """Names that papermill's cells assign, from the kernel's input history (whatever ran, in whatever order)."""
    nodes = (node for cell in history if cell.startswith(_INJECTED) for node in ast.walk(_parsed(cell)))
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _parsed(cell: str) -> ast.AST:
    """Parse a cell; one that is no Python (a magic, a typo) assigns nothing here."""
    try:
        return ast.parse(cell)
    except SyntaxError:
        return ast.Module([], [])


def _refuse_unknown(given: Iterable[str], known: list[str]) -> None:
    """Raise StudyError for the first name that is no parameter."""
    for name in given:
        if name not in known:
            shown = name if name.isidentifier() else repr(name)
            raise StudyError(f"{shown}: no such parameter{nearest(name, known)}; takes {', '.join(known)}")


def _one_line(error: ValidationError, model: type[BaseModel], values: Mapping[str, Any]) -> str:
    """The first problem as "name: got ...; takes ...", with the reason where a check of ours gave one."""
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0])
    got = repr(values[name])
    shown = got if len(got) <= 80 else f"{got[:77]}..."
    reason = str(problem.get("ctx", {}).get("error", ""))
    line = f"{name}: got {shown}; takes {model.model_fields[name].description}"
    return f"{line} ({reason})" if reason else line
