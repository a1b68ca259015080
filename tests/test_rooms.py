"""The order of the rooms: data flows one way, and imports follow it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from warmup_study.paths import project_root

PACKAGE = project_root() / "src" / "warmup_study"
FLOORS = (
    ("console", "errors"),
    ("files", "parameter_names", "paths"),
    ("tasks",),
    ("training",),
    ("parameters", "statistics", "theory"),
    ("running",),
    ("claims",),
    ("presentation",),
    ("chapters",),
    ("report",),
    ("lab", "reproduce"),
    ("bench",),
    ("cli",),
)
"""From the ground up: a room imports from floors below its own, and from itself."""
SLICE = ("design", "analysis", "figures")
"""The modules of a chapter: each may import those before it."""


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Names within the package that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (tuple(name.split(".")[1:]) for name in names if name.split(".")[0] == "warmup_study")


MODULES = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in sorted(PACKAGE.rglob("*.py"))}


def floor(room: str) -> int:
    """How high a room lies."""
    return next(height for height, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_its_floor_and_every_floor_its_rooms() -> None:
    assert {name[0] for name in MODULES.values()} - {"__init__"} == {room for rooms in FLOORS for room in rooms}


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms])
def test_no_room_imports_from_its_own_floor_or_above(room: str) -> None:
    wrong = [
        f"{'/'.join(name)} imports {'.'.join(target)}"
        for path, name in MODULES.items()
        if name[0] == room
        for target in imported(path)
        if target and target[0] != room and floor(target[0]) >= floor(room)
    ]
    assert not wrong


def test_within_a_chapter_design_comes_before_analysis_and_analysis_before_figures() -> None:
    for path, name in MODULES.items():
        if name[0] != "chapters" or len(name) < 3 or name[2] not in SLICE:
            continue
        for target in imported(path):
            inside = target[:2] == name[:2] and len(target) > 2 and target[2] in SLICE
            assert not inside or SLICE.index(target[2]) <= SLICE.index(name[2]), f"{path} imports {target}"


def test_chapters_do_not_import_one_another() -> None:
    chapters = {path.name for path in (PACKAGE / "chapters").iterdir() if path.is_dir()} - {"report"}
    for path, name in MODULES.items():
        if name[0] == "chapters" and len(name) > 2:
            others = {target[1] for target in imported(path) if target[:1] == ("chapters",) and len(target) > 1}
            assert not (others & chapters) - {name[1]}, f"{path} imports {others}"
