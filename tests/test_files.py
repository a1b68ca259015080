"""Files and what is printed: leftovers of killed writes, and terminals that lack a character."""

import os
import subprocess
import sys
import time
from pathlib import Path

from warmup_study.files import ABANDONED, clear_leftovers
from warmup_study.paths import project_root


def test_leftovers_of_killed_writes_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    names = (f".a.parquet.{'0f' * 16}.tmp", f"cache/.b.{'1a' * 16}.tmp", f".new.{'2b' * 16}.tmp", ".mine.tmp", "c.tmp")
    (tmp_path / "cache").mkdir()
    for name in names:
        (tmp_path / name).write_text("half")
    long_ago = time.time() - ABANDONED - 1
    for name in set(names) - {names[2]}:
        os.utime(tmp_path / name, (long_ago, long_ago))
    clear_leftovers(tmp_path, tmp_path / "missing")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {names[2], ".mine.tmp", "c.tmp"}


def said(*command: str) -> tuple[int, str]:
    """Exit status and output of a command on a terminal that knows ASCII alone."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=project_root(), env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_terminal_without_a_character_breaks_no_command(tmp_path: Path) -> None:
    folder = str(tmp_path / "Größe")
    status, told = said(sys.executable, "-m", "warmup_study.cli", "report", "--output-dir", folder)
    assert status == 0 and r"Gr\xf6\xdfe" in told and "Traceback" not in told


def test_what_is_started_for_the_study_prints_on_any_terminal(tmp_path: Path) -> None:
    (tmp_path / "speaks.py").write_text('print("2 × 3")')
    code = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv[1], run_name='__main__')"
    supervised = "warmup_study.running.supervised"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), supervised, "speaks"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.read() == "2 \\xd7 3\n"
    assert process.returncode == 0
