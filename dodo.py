"""Run the study: every notebook whose inputs changed, then the page.

`python dodo.py quick` (or smoke, or full) runs what is out of date, keeps going past a notebook that fails, and ends
with a table. `doit list --all` and doit's other commands work on the same tasks.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.exceptions import TaskFailed
from doit.reporter import ZeroReporter

from warmup_study.console import forgive_encodings
from warmup_study.errors import StudyError
from warmup_study.files import clear_leftovers, locked
from warmup_study.paths import BATCH, PRESETS, Folders

HERE = Path(__file__).resolve().parent
ROOT = Path(os.path.expanduser(os.environ.get("WARMUP_STUDY_ROOT", "") or HERE)).resolve()
PACKAGE = HERE / "src" / "warmup_study"
PAGE = "page"
BROKEN = 3  # what doit returns after an error that is no task's: it cannot keep its records, say


@dataclass(frozen=True)
class Outcome:
    """How one task ended: "done", "up to date" or "failed", and why."""

    status: str
    reason: str = ""


class Reporter(ZeroReporter):  # type: ignore[misc]  # doit has no types
    """Keep the outcome of the task that ran last; main() prints it."""

    last = Outcome("up to date")

    def skip_uptodate(self, task: Any) -> None:
        """Nothing had changed."""
        Reporter.last = Outcome("up to date")

    def add_success(self, task: Any) -> None:
        """The task ran and its state is saved."""
        Reporter.last = Outcome("done")

    def add_failure(self, task: Any, fail: Any) -> None:
        """The task failed, or could not start."""
        lines = [line.strip() for line in fail.get_msg().splitlines() if line.strip()]
        Reporter.last = Outcome("failed", lines[-1] if lines else fail.get_name())

    def runtime_error(self, msg: str) -> None:
        """The tasks themselves are at odds."""
        Reporter.last = Outcome("failed", msg.splitlines()[0])


DOIT_CONFIG = {
    "backend": "sqlite3",  # survives being killed while it writes
    "dep_file": str(ROOT / "data" / "cache" / "doit.db"),
    "reporter": Reporter,
    "verbosity": 0,
}


def present() -> list[str]:
    """Notebooks of the batch run that exist, in reading order."""
    return [name for name in BATCH if (HERE / "notebooks" / f"{name}.ipynb").exists()]


def sources(*, page: bool) -> list[str]:
    """Files that chapters depend on, or with `page` what shows them all: a change of its looks trains nothing anew."""
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    kept = [path for path in files if page or PACKAGE / "report" not in path.parents]
    return sorted(map(str, [*kept, HERE / "requirements.lock"]))


def results_unchanged(folders: Folders) -> Callable[[Any, Mapping[str, Any]], bool]:
    """A check for doit that the results are those the task saw when it last ran."""

    def check(task: Any, values: Mapping[str, Any]) -> bool:
        task.value_savers.append(lambda: {"results": digest(folders)})
        return bool(values.get("results") == digest(folders))

    return check


def digest(folders: Folders) -> str:
    """A hash of all chapters' results and figures, and of the benchmark; not of provenance.json, which notes times."""
    made = (folders.results.glob("*"), folders.figures.glob("*.*"), folders.executed.glob("[0-9]*.ipynb"))
    found = [folders.results.parent / "bench.json", *chain.from_iterable(made)]
    hashes = hashlib.sha256()
    for path in sorted(path for path in found if path.is_file() and path.name != "provenance.json"):
        hashes.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return hashes.hexdigest()


def study(preset: str) -> Iterator[dict[str, Any]]:
    """The tasks of one preset: a notebook each, and the page."""
    folders = Folders(ROOT, preset)
    for name in present():
        notebook = HERE / "notebooks" / f"{name}.ipynb"
        yield {
            "name": name,
            "actions": [(execute, [notebook, folders])],
            "file_dep": [str(notebook), *sources(page=name == "report")],
            "targets": [str(folders.executed / notebook.name)],
            "uptodate": [results_unchanged(folders)] if name == "report" else [],
        }
    yield {
        "name": PAGE,
        "actions": [(build_page, [folders])],
        "file_dep": sources(page=True),
        "targets": [str(folders.report)],
        "uptodate": [results_unchanged(folders)],
    }


def task_smoke() -> Iterator[dict[str, Any]]:
    """Run the whole study at toy size: seconds a notebook, for tests."""
    yield from study("smoke")


def task_quick() -> Iterator[dict[str, Any]]:
    """Run the whole study in minutes."""
    yield from study("quick")


def task_full() -> Iterator[dict[str, Any]]:
    """Run the whole study as published: in minutes where the published tables hold its runs, else for hours."""
    yield from study("full")


def execute(notebook: Path, folders: Folders) -> TaskFailed | None:
    """Run one notebook by papermill in a process of its own, so that its crash is its own."""
    unfinished = folders.executed / "unfinished"
    part = unfinished / f"{notebook.stem}-{os.getpid()}.ipynb"  # of its own: a run just killed may still write
    unfinished.mkdir(parents=True, exist_ok=True)
    for left in unfinished.glob(f"{notebook.stem}*.ipynb"):
        left.unlink()
    options = ["--kernel", "python3", "--no-progress-bar", "-r", "preset", folders.preset]
    status, output = run("papermill", str(notebook), str(part), *options)
    if status:
        return TaskFailed(raised(part) or last_line(output))
    os.replace(part, folders.executed / notebook.name)
    return None


def build_page(folders: Folders) -> TaskFailed | None:
    """Build the page in a process of its own."""
    status, output = run("warmup_study.cli", "report", "--preset", folders.preset, "--output-dir", str(folders.root))
    return TaskFailed(last_line(output)) if status else None


def run(module: str, *arguments: str) -> tuple[int, str]:
    """Run `python -m module` to its end: exit status and what it printed. It ends where this process is killed.

    An interrupt reaches it through here alone, once: papermill then ends its kernel, which it would leave behind when
    terminated, or when interrupted again while it cleans up.
    """
    settings = {"WARMUP_STUDY_ROOT": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [sys.executable, "-m", "warmup_study.running.supervised", module, *arguments]
    pipe, (lifeline, held) = subprocess.PIPE, os.pipe()
    with (
        open(held, "wb"),
        subprocess.Popen(
            command,
            cwd=HERE,
            env=os.environ | settings,
            stdin=lifeline,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        os.close(lifeline)
        try:
            output, errors = process.communicate()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    return process.returncode, output + errors


def raised(executed: Path) -> str:
    """The error that stopped a notebook, as one line; empty where it left none."""
    if not executed.exists():
        return ""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "error"]
    return last_line(f"{outputs[-1]['ename']}: {outputs[-1]['evalue']}") if outputs else ""


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "ended without a word"


def attempt(preset: str, name: str) -> Outcome:
    """Run one task if it is out of date. One doit run each, so that finished work is on record before the next."""
    start = time.monotonic()
    print(f"{name:26}", end="", flush=True)
    Reporter.last = Outcome("failed", "doit could not start it")
    said = io.StringIO()
    # A second batch run waits here, and then finds the task up to date.
    with locked(Folders(ROOT, preset).executed), contextlib.redirect_stderr(said):
        code = DoitMain(ModuleTaskLoader(globals())).run(["run", f"{preset}:{name}"])
    if code == BROKEN:
        Reporter.last = Outcome("failed", last_line(said.getvalue()))
    print(f"{Reporter.last.status:11}{time.monotonic() - start:7.1f} s", flush=True)
    return Reporter.last


def conclude(preset: str, outcomes: Mapping[str, Outcome]) -> int:
    """Print the status table and where the page is; 1 where a task failed."""
    failed = {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"}
    counts = {status: sum(o.status == status for o in outcomes.values()) for status in ("done", "up to date", "failed")}
    print(f"{preset}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if PAGE not in failed:
        print(f"The page: {Folders(ROOT, preset).report}")
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    """Run the preset named; exit status 0, 1 after a failure, 2 for a wrong call, 130 after Ctrl-C."""
    forgive_encodings()
    if len(arguments) != 1 or arguments[0] not in PRESETS:
        print(f"usage: python dodo.py {{{','.join(PRESETS)}}}", file=sys.stderr)
        return 2
    try:
        Folders.of(str(ROOT), arguments[0])
        (ROOT / "data" / "cache").mkdir(parents=True, exist_ok=True)
        clear_leftovers(*(ROOT / folder for folder in ("data", "figures", "report")))
        return conclude(arguments[0], {name: attempt(arguments[0], name) for name in (*present(), PAGE)})
    except (StudyError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished is kept: the same command goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
