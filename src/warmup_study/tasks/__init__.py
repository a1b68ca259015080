"""Tasks: what is learnt, by which model, under which loss. A built-in name or the user's own ``module:function``."""

import importlib
import inspect
from collections.abc import Callable
from functools import lru_cache

from warmup_study.errors import StudyError
from warmup_study.tasks import detection, digits, mnist1d, text
from warmup_study.tasks.task import Split, Splits, Task, stratified_splits
from warmup_study.tasks.variants import TWISTS

__all__ = ["Split", "Splits", "Task", "load", "names", "source", "stratified_splits"]

_BUILT_IN: dict[str, Callable[[], Task]] = {
    "digits-mlp": digits.shallow,
    "digits-deep": digits.deep,
    **{f"digits-he{depth}": digits.he_initialised(depth) for depth in (2, 4, 8)},
    "digits-transformer": digits.tokens("post"),
    "mnist1d-mlp": mnist1d.mlp,
    "digits-he8-norm": digits.normalised,
    "digits-transformer-pre": digits.tokens("pre"),
    "digits-mixer": digits.tokens("post", "fixed"),
    "digits-mixer-pre": digits.tokens("pre", "fixed"),
    "mnist1d-conv": mnist1d.conv,
    "mnist1d-he8": mnist1d.deep("none"),
    "mnist1d-he8-norm": mnist1d.deep("layer"),
    "mnist1d-transformer": mnist1d.tokens("post"),
    "mnist1d-transformer-pre": mnist1d.tokens("pre"),
    "mnist1d-mixer": mnist1d.tokens("post", "fixed"),
    "mnist1d-mixer-pre": mnist1d.tokens("pre", "fixed"),
    "text-transformer": text.language_model("post"),
    "text-transformer-pre": text.language_model("pre"),
    "text-mixer": text.language_model("post", "fixed"),
    "text-mixer-pre": text.language_model("pre", "fixed"),
    "detection": detection.plain,
    "detection-scraps": detection.strewn,
}


def names() -> tuple[str, ...]:
    """The built-in tasks."""
    return tuple(_BUILT_IN)


@lru_cache(maxsize=32)
def load(name: str) -> Task:
    """The task of that name, made once per process; ``name+twist`` is a task made from another (`tasks.twists`).

    Raises ``StudyError`` for a name that is neither built in nor an importable ``module:function`` that returns a
    :class:`Task`, whatever it may raise itself.
    """
    plain, _, twist = name.partition("+")
    if twist in TWISTS:
        return TWISTS[twist](load(plain))
    maker = _maker(name)
    try:
        task = maker()
    except StudyError:
        raise
    except Exception as problem:  # the user's own function may raise anything
        raise StudyError(f"task: {name!r} failed with {type(problem).__name__}: {problem}") from problem
    if not isinstance(task, Task):
        raise StudyError(f"task: {name!r} returned {type(task).__name__}; it must return a warmup_study.tasks.Task")
    return task


def source(name: str) -> str:
    """The source text of the module of a user's own task (empty for built-in ones), so that caches notice changes.

    Raises ``StudyError`` for a module without any.
    """
    name = name.partition("+")[0]
    if name in _BUILT_IN:
        return ""
    maker, named = _maker(name), importlib.import_module(name.partition(":")[0])
    modules = dict.fromkeys([named, inspect.getmodule(maker) or named])  # it may be defined in another module
    try:
        return "\n".join(inspect.getsource(module) for module in modules)
    except (OSError, TypeError) as problem:
        raise StudyError(f"task: {name!r} has no Python source to tell cached runs by ({problem})") from problem


def _maker(name: str) -> Callable[[], Task]:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module, _, function = name.partition(":")
    if not (module and function):
        raise StudyError(f"task: got {name!r}; takes one of {', '.join(_BUILT_IN)}, or module:function of your own")
    try:
        maker = getattr(importlib.import_module(module), function)
    except Exception as problem:  # a missing module, a missing name, or an error in the user's module
        raise StudyError(f"task: {name!r} cannot be imported ({problem})") from problem
    if not callable(maker):
        raise StudyError(f"task: {name!r} is no function; it must be callable without arguments and return a Task")
    return maker  # type: ignore[no-any-return]
