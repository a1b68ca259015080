"""Files that other processes may read or write at the same time: locks on folders, and atomic writing."""

import contextlib
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from warmup_study.errors import StudyError

if sys.platform != "win32":
    import fcntl

_OURS = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
ABANDONED = 3600  # seconds: no write takes so long, so that whoever wrote such a file was stopped


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is missing, against other processes that lock it; its lock ends with its holder.

    Raises StudyError where the folder cannot be made. Where the system has no such locks, nobody is held up.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StudyError(f"cannot write {folder}: {error.strerror or error}") from error
    if place is None:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def file_name(text: str) -> str:
    """The text without what a file's name must not hold."""
    return re.sub(r"[^\w.+-]+", "-", text)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8): whatever happens, `path` holds all of the old or all of the new.

    Makes the parent folders. Raises StudyError where the system refuses.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_synced(part, data)
        os.replace(part, path)
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or never made
            part.unlink()


def clear_leftovers(*folders: Path) -> None:
    """Remove, in these folders and all below, what `write_atomically` left where it was killed an hour ago or more."""
    oldest = time.time() - ABANDONED
    for folder in folders:
        for path in folder.rglob(".*.tmp"):
            with contextlib.suppress(OSError):  # gone meanwhile, or another's
                if _OURS.fullmatch(path.name) and path.stat().st_mtime < oldest:
                    path.unlink()


def _write_synced(path: Path, data: bytes) -> None:
    """Write a new file and push it to the disk, lest a crash leave a full-length file of zeros."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
