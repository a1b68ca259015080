"""Where results come from: commit, versions, machine, threads, seeds and wall time, kept beside the results."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from warmup_study.errors import StudyError
from warmup_study.files import locked, write_atomically
from warmup_study.paths import BATCH, Folders, checkout, published_root
from warmup_study.running.registration import digests

_FILE = "provenance.json"
_PACKAGES = ("warmup-study", "torch", "numpy", "scipy", "statsmodels", "pandas", "scikit-learn", "matplotlib")
_SOURCES = ("src", "notebooks", "pyproject.toml", "requirements.lock")  # results are written, so always "dirty"
_GIT_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # send git to another repository


def register(folders: Folders, notebook: str, seeds: Iterable[int]) -> None:
    """Write the digests of a chapter's rules and analysis into provenance.json, before it trains on these seeds.

    A registration for these seeds, or for these and others, stays as it is: what trains later, or again, is held
    against the first. Raises StudyError where the file can't be written, or is there and can't be read.
    """
    path, drawn = folders.results / _FILE, sorted(set(seeds))
    with locked(folders.results):
        content = _read(path)
        notebooks = content.get("notebooks", {})
        if set(drawn) <= set(notebooks.get(notebook, {}).get("registered", {}).get("seeds", ())):
            return
        entry = {"registered": _version() | {"seeds": drawn, **digests(notebook)}}
        content |= {"notebooks": {**notebooks, notebook: notebooks.get(notebook, {}) | entry}}
        _write(path, content)


def changed_since(folders: Folders) -> dict[str, tuple[str, ...]]:
    """By registered notebook: which of its rules and its analysis are no longer those that it was trained under."""
    notebooks = _read(folders.results / _FILE).get("notebooks", {})
    registered = {name: entry["registered"] for name, entry in notebooks.items() if "registered" in entry}
    return {
        name: tuple(what for what, digest in digests(name).items() if digest != known.get(what))
        for name, known in registered.items()
    }


def record(
    folders: Folders, notebook: str, seeds: Iterable[int], *, wall_seconds: float, training_seconds: float
) -> None:
    """Merge this run of `notebook` into provenance.json.

    Commit, versions and machine at the top are the last run's that trained; each notebook's entry names its own commit.
    The seconds are those until the results were stored, and of training among them. A run that found everything trained
    leaves what is known of its origin as it is, in this folder, else in the published one. Raises StudyError where the
    file can't be written, or is there and can't be read.
    """
    path = folders.results / _FILE
    mine = sorted(set(seeds))
    with locked(folders.results):
        known = _read(path)
        if not training_seconds and (kept := _kept(known, notebook, mine)):
            _write(path, kept)
            return
        origin = _origin()
        entry: dict[str, Any] = {
            "seeds": mine,
            "commit": origin["commit"],
            "dirty": origin["dirty"],
            "wall_seconds": round(wall_seconds, 1),
            "training_seconds": round(training_seconds, 1),
        }
        before = known.get("notebooks", {}).get(notebook, {})
        entry |= {"registered": before["registered"]} if "registered" in before else {}
        notebooks = {**known.get("notebooks", {}), notebook: entry}
        _write(path, {**origin, "preset": folders.preset, "notebooks": notebooks})


def judged(folders: Folders, notebook: str) -> str:
    """What was recorded to stand for the chapter's rows in verdicts.json and for their origin; "" where nothing was."""
    return str(_read(folders.results / _FILE).get("notebooks", {}).get(notebook, {}).get("judged", ""))


def record_judged(folders: Folders, notebook: str, digest: str) -> None:
    """Write down what stands for the chapter's rows in verdicts.json and for what they follow from.

    Nothing where the chapter's runs have no record. Raises StudyError where the file can't be written, or is there and
    can't be read.
    """
    path = folders.results / _FILE
    with locked(folders.results):
        content = _read(path)
        if notebook in content.get("notebooks", {}):
            content["notebooks"][notebook]["judged"] = digest
            _write(path, content)


def _kept(known: dict[str, Any], notebook: str, seeds: list[int]) -> dict[str, Any]:
    """The record as it is, if it tells where the runs on these seeds come from, else with what was published of them.

    Empty where neither knows.
    """
    if known.get("notebooks", {}).get(notebook, {}).get("seeds") == seeds:
        return known
    published = _read(Folders(published_root(), "full").results / _FILE)
    entry = published.get("notebooks", {}).get(notebook, {})
    if entry.get("seeds") != seeds:
        return {}
    judged = published["notebooks"].get(BATCH[-1], {})  # the report, registered with the chapters whose runs it judges
    report = {BATCH[-1]: {"registered": judged["registered"]}} if "registered" in judged else {}
    return {**published, **known, "notebooks": {**report, **known.get("notebooks", {}), notebook: entry}}


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """What the file holds so far; nothing where there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"cannot read {path}: {error}; remove it to start afresh") from error


def _origin() -> dict[str, Any]:
    """Code, versions and machine. No host name, user or path: the file is published."""
    return {
        **_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": machine(),
        "threads": torch.get_num_threads(),
    }


def machine() -> dict[str, Any]:
    """Processor, number of cores and system; nothing that names the machine itself."""
    return {"cpu": _cpu_model(), "cores": os.cpu_count(), "system": platform.system()}


def _version() -> dict[str, Any]:
    """The commit of the code, and whether its sources have changes on top; None where git can't tell."""
    root = checkout()
    commit = _git(root, "rev-parse", "HEAD") if root and _has_repository(root) else None
    if not root or not commit:
        return {"commit": None, "dirty": None}
    changes = _git(root, "status", "--porcelain", "--", *_SOURCES)
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _has_repository(root: Path) -> bool:
    """Whether what git says in this folder is about the study.

    It is not in an unpacked archive inside of another repository, nor where the environment sends git elsewhere.
    """
    if any(os.environ.get(name) for name in _GIT_ELSEWHERE):
        return False
    top = _git(root, "rev-parse", "--show-toplevel")
    return bool(top) and Path(str(top)).resolve() == root


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints about a folder; None where it refuses (the folder is another user's, say), or is not there."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    """The processor's name, from /proc where there is one: platform.processor() is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
