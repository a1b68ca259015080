"""What tells a user's task from what it was before: the text of its modules, its examples, its initial weights.

A built-in task needs none of it: the study's own code, the versions of the libraries and, for its text, a file with a
known hash decide it wholly. The bits of its weights would tell kinds of processors apart instead, which draw normal
numbers that differ in the last digit, and no published run could be used on another kind.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec, resolve_name
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn

from warmup_study.errors import StudyError
from warmup_study.tasks.task import Task

_NOT_OWN = {"warmup_study", *sys.stdlib_module_names}
_INSTALLED = {"site-packages", "dist-packages"}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SEED = 0
_SPLIT_SEEDS = (0, 1, 5000)


def texts(name: str) -> dict[str, str]:
    """Module name to source text: the module of the task ``module:function`` and all of the user's that it imports.

    What is installed does not count; a module that is installed itself counts with those beside it. Raises
    ``StudyError`` for a module that has no Python source.
    """
    module = name.partition(":")[0]
    try:
        files = _imported(module) or _beside(module)
        return {found: path.read_text(encoding="utf-8") for found, path in sorted(files.items())}
    except (OSError, ImportError, ValueError, SyntaxError) as problem:
        raise StudyError(f"task: {name!r} has no Python source to tell cached runs by ({problem})") from problem


def _imported(module: str) -> dict[str, Path]:
    """The files of a module and of all that it imports, anywhere in it, and is the user's own."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = None if name in found else _own_file(name)
        if file:
            found[name] = file
            waiting += _names_in(file, name if file.stem == "__init__" else name.rpartition(".")[0])
    return found


def _own_file(module: str) -> Path | None:
    """The source of a module; None for one that is installed, part of the study or of Python, or not there."""
    top = module.partition(".")[0]
    if top in _NOT_OWN or (top != module and not _places(top)):  # looking for a part imports what is around it
        return None
    files = [place for place in _places(module) if place.suffix == ".py"]
    return files[0] if files else None


def _places(module: str) -> list[Path]:
    """The file of a module, or the folders of a package without one; none where it is installed or not there."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):  # also for a name within a module
        return []
    named = ([spec.origin] if spec.has_location else spec.submodule_search_locations) if spec else None
    places = [Path(place) for place in named or () if place]
    return [place for place in places if not _INSTALLED & set(place.parts)]


def _names_in(file: Path, package: str) -> Iterator[str]:
    """Names of modules, and of what may be one, in a file's import statements, packages around them first."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from accumulate(name.split("."), "{}.{}".format)


def _beside(module: str) -> dict[str, Path]:
    file = Path(getattr(import_module(module), "__file__", None) or "")
    if file.suffix != ".py":
        raise ValueError(f"{module} is compiled")
    files = [file] if file.parent.name in _INSTALLED else file.parent.glob("*.py")
    return {path.stem: path for path in files}


def content(task: Task) -> str:
    """Digest of the examples by their bytes, of the initial weights of one seed and of the model's own words."""
    digest = hashlib.sha256()
    for tensor in (*_examples(task), *_weights(task)):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digest.update(_ADDRESS.sub("", repr(_model(task))).encode())
    return digest.hexdigest()


def _examples(task: Task) -> Iterator[Tensor]:
    """All examples and, where every seed makes its own splits of them, those of a few seeds."""
    for split in task.splits if task.pool is None else (task.pool.examples,):
        yield from (part for part in (split.inputs, split.targets, split.marks) if part is not None)
    if task.pool is not None:
        for seed in _SPLIT_SEEDS:
            yield from task.pool.places(seed)


def _weights(task: Task) -> Iterator[Tensor]:
    """Parameters and buffers of one network, and those of a loss or an error that is a module."""
    for module in (_model(task), task.loss, task.error, task.auxiliary):
        if isinstance(module, nn.Module):
            yield from (*module.parameters(), *module.buffers())


def _model(task: Task) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return task.model()
