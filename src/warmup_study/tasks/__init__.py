"""Tasks: what is learnt, by which model, under which loss. A built-in name or the user's own ``module:function``."""

import importlib
from collections.abc import Callable
from functools import lru_cache

from warmup_study.errors import StudyError, nearest
from warmup_study.tasks import detection, digits, generated, mnist1d, text
from warmup_study.tasks.checks import check
from warmup_study.tasks.task import Places, Pool, Split, Splits, Task, stratified_pool, stratified_splits
from warmup_study.tasks.variants import TWISTS

__all__ = [
    "Places",
    "Pool",
    "Split",
    "Splits",
    "Task",
    "built_in",
    "load",
    "names",
    "stratified_pool",
    "stratified_splits",
]

_BUILT_IN: dict[str, Callable[[], Task]] = {
    "digits-mlp": digits.shallow,
    "digits-deep": digits.deep,
    **{f"digits-he{depth}": digits.he_initialised(depth) for depth in (2, 4, 8, 16)},
    "digits-transformer": digits.tokens("post"),
    "mnist1d-mlp": mnist1d.mlp,
    "digits-he8-norm": digits.normalised,
    "digits-transformer-pre": digits.tokens("pre"),
    "digits-mixer": digits.tokens("post", "fixed"),
    "digits-mixer-pre": digits.tokens("pre", "fixed"),
    "digits-transformer-6": digits.tokens("post", blocks=6),
    "digits-transformer-pre-6": digits.tokens("pre", blocks=6),
    "digits-mixer-6": digits.tokens("post", "fixed", blocks=6),
    "digits-mixer-pre-6": digits.tokens("pre", "fixed", blocks=6),
    "mnist1d-conv-1024": mnist1d.large_batch,
    "mnist1d-conv": mnist1d.conv,
    "mnist1d-he8": mnist1d.deep("none"),
    "mnist1d-he8-norm": mnist1d.deep("layer"),
    "mnist1d-transformer": mnist1d.tokens("post"),
    "mnist1d-transformer-pre": mnist1d.tokens("pre"),
    "mnist1d-mixer": mnist1d.tokens("post", "fixed"),
    "mnist1d-mixer-pre": mnist1d.tokens("pre", "fixed"),
    "text-transformer": text.language_model("post"),
    "text-transformer-pre": text.language_model("pre"),
    "text-transformer-4": text.language_model("post", blocks=4),
    "text-transformer-pre-4": text.language_model("pre", blocks=4),
    "text-mixer": text.language_model("post", "fixed"),
    "text-mixer-pre": text.language_model("pre", "fixed"),
    "detection": detection.plain,
    "detection-scraps": detection.strewn,
}

_GENERATED = {f"generated-{place}": generated.made(place) for place in range(generated.COUNT)}
LISTING = ".venv/bin/warmup-study tasks"
"""The command that lists the built-in tasks."""


def names() -> tuple[str, ...]:
    """The built-in tasks; `generated` ones can be loaded, too, and are not listed."""
    return tuple(_BUILT_IN)


def built_in(name: str) -> bool:
    """Whether a task, or the one that ``name+twist`` is made from, is the study's own, listed or generated."""
    return name.partition("+")[0] in _BUILT_IN | _GENERATED


@lru_cache(maxsize=32)
def load(name: str) -> Task:
    """The task of that name, made and checked once per process; ``name+twist`` is made from another (`tasks.variants`).

    Raises ``StudyError`` for a name that is neither built in nor an importable ``module:function`` that returns a
    :class:`Task` which can be trained right, whatever it may raise itself.
    """
    plain, _, twist = name.partition("+")
    if twist in TWISTS:
        return TWISTS[twist](load(plain))
    task = _made(name, _maker(name))
    if not isinstance(task, Task):
        raise StudyError(f"task: {name!r} returned {type(task).__name__}; it must return a warmup_study.tasks.Task")
    try:
        check(task)
    except StudyError as problem:
        raise StudyError(f"task: {name!r}: {problem}") from problem
    return task


def _made(name: str, maker: Callable[[], object]) -> object:
    try:
        return maker()
    except StudyError:
        raise
    except (Exception, SystemExit) as problem:  # the user's own function may raise anything
        raise StudyError(f"task: {name!r} failed with {type(problem).__name__}: {problem}") from problem


def _maker(name: str) -> Callable[[], object]:
    if built_in := _BUILT_IN.get(name) or _GENERATED.get(name):
        return built_in
    module_name, _, function = name.partition(":")
    if not (module_name and function):
        hint = nearest(name, _BUILT_IN)
        raise StudyError(f"task: got {name!r}; no such task{hint} ({LISTING} lists them, module:function is your own)")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as problem:  # a missing module, or an error in the user's
        raise StudyError(f"task: {name!r} cannot be imported ({type(problem).__name__}: {problem})") from problem
    maker = getattr(module, function, None)
    if maker is None:
        raise StudyError(
            f"task: {name!r} is not there{nearest(function, vars(module))} "
            f"({module_name} is {getattr(module, '__file__', 'part of Python')})"
        )
    if not callable(maker):
        raise StudyError(f"task: {name!r} is no function; it must be callable without arguments and return a Task")
    return maker  # type: ignore[no-any-return]
