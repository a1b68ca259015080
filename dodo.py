"""Run the study: every notebook whose inputs changed, then the page.

`python dodo.py quick` (or smoke, or full) runs what is out of date, keeps going past a notebook that fails, and ends
with a table. The first chapter trains what others share; those run side by side after it, and then the report and the
page. `python dodo.py quick my_task:wine` does so on that task alone, in a folder of its own. `doit list --all` and
doit's other commands work on the same tasks.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any, ClassVar

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.exceptions import TaskFailed
from doit.reporter import ZeroReporter

from warmup_study.console import INTERRUPTED, forgive_encodings
from warmup_study.errors import StudyError
from warmup_study.files import clear_leftovers, file_name, locked
from warmup_study.paths import BATCH, CHAPTERS, PRESETS, Folders
from warmup_study.running import progress, supervised
from warmup_study.running.processes import KEEPING_MEMORY, PROCESSES, available_cores

HERE = Path(__file__).resolve().parent
ROOT = Path(os.path.expanduser(os.environ.get("WARMUP_STUDY_ROOT", "") or HERE)).resolve()
PACKAGE = HERE / "src" / "warmup_study"
PAGE = "page"
ASKED = "WARMUP_STUDY_TASK"  # environment variable: the only task, where one was asked for
TASK = os.environ.get(ASKED, "")
BOXES = "7_anchor_warmup"  # takes detection tasks alone
NOTES = ROOT / "data" / "cache" / "progress"  # a file a notebook: how far it is
MOST_LANES = 4  # notebooks side by side; each takes some 700 MB, and the cores left to it
UNCAPTURED = {"capture": False}  # doit would put its own writers in place of stdout, for all threads at once
BROKEN = 3  # what doit returns after an error that is no task's: it cannot keep its records, say


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "done", "up to date" or "failed", and why; and the seconds it took."""

    status: str
    reason: str = ""
    seconds: float = 0.0


class Reporter(ZeroReporter):  # type: ignore[misc]  # doit has no types
    """Print each task as it ends, and keep how it ended."""

    outcomes: ClassVar[dict[str, Outcome]] = {}
    started: ClassVar[dict[str, float]] = {}
    total = 0

    @classmethod
    def ended(cls, task: Any, status: str, reason: str = "") -> None:
        """Enter the outcome and print it."""
        name = task.name.rpartition(":")[2]
        outcome = Outcome(status, reason, time.monotonic() - cls.started.pop(name, time.monotonic()))
        cls.outcomes[name] = outcome
        print(f"{progress.CLEAR}{cls.count():8}{name:26}{status:11}{outcome.seconds:7.1f} s", flush=True)

    @classmethod
    def count(cls) -> str:
        """How many of the tasks have ended."""
        return f"[{len(cls.outcomes)}/{cls.total}]"

    def execute_task(self, task: Any) -> None:
        """The task begins."""
        Reporter.started[task.name.rpartition(":")[2]] = time.monotonic()

    def skip_uptodate(self, task: Any) -> None:
        """Nothing had changed."""
        self.ended(task, "up to date")

    def add_success(self, task: Any) -> None:
        """The task ran."""
        self.ended(task, "done")

    def add_failure(self, task: Any, fail: Any) -> None:
        """The task failed, or could not start."""
        lines = [line.strip() for line in fail.get_msg().splitlines() if line.strip()]
        self.ended(task, "failed", lines[-1] if lines else fail.get_name())


DOIT_CONFIG = {
    "backend": "sqlite3",  # survives being killed while it writes
    "dep_file": str(ROOT / "data" / "cache" / "doit.db"),
    "reporter": Reporter,
    "verbosity": 0,
}


def present() -> list[str]:
    """Notebooks of the batch run that exist, in reading order; on a task, those that take tasks with classes."""
    return [name for name in BATCH if (HERE / "notebooks" / f"{name}.ipynb").exists() and not (TASK and name == BOXES)]


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
            "io": UNCAPTURED,
            "file_dep": [str(notebook), *sources(page=name == "report")],
            "targets": [str(folders.executed / notebook.name)],
            "uptodate": [results_unchanged(folders)] if name == "report" else [],
        }
    yield {
        "name": PAGE,
        "actions": [(build_page, [folders])],
        "io": UNCAPTURED,
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
    options += ["-r", "task", TASK] if TASK and notebook.stem in CHAPTERS else []
    status, output = run("papermill", str(notebook), str(part), *options, noted=str(NOTES / notebook.stem))
    if status:
        return TaskFailed(raised(part) or last_line(output))
    os.replace(part, folders.executed / notebook.name)
    return None


def build_page(folders: Folders) -> TaskFailed | None:
    """Build the page in a process of its own."""
    status, output = run("warmup_study.cli", "report", "--preset", folders.preset, "--output-dir", str(folders.root))
    return TaskFailed(last_line(output)) if status else None


def run(module: str, *arguments: str, noted: str = "") -> tuple[int, str]:
    """Run `python -m module` to its end: exit status and what it printed. ``noted``: a file that takes its progress."""
    own = {"WARMUP_STUDY_ROOT": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1", progress.FILE: noted}
    return supervised.run(module, *arguments, settings={**KEEPING_MEMORY, **os.environ, **own})


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


def phases(names: Sequence[str]) -> list[list[str]]:
    """The tasks in order, those together that can run side by side."""
    alone = {CHAPTERS[0], BATCH[-1], PAGE}
    return [list(together) for _, together in groupby(names, key=lambda name: name if name in alone else "")]


def attempt(preset: str, names: Sequence[str]) -> None:
    """Run what is out of date of these tasks, as many side by side as there are cores for."""
    cores = available_cores()
    lanes = min(len(names), cores, MOST_LANES)
    os.environ[PROCESSES] = str(max(1, cores // lanes))
    selected = [f"{preset}:{name}" for name in names]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = DoitMain(ModuleTaskLoader(globals())).run(["run", "-n", str(lanes), "-P", "thread", *selected])
    for name in set(names) - set(Reporter.outcomes):
        reason = last_line(said.getvalue()) if code == BROKEN else "doit could not start it"
        Reporter.outcomes[name] = Outcome("failed", reason)


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


def study_of(preset: str) -> int:
    """Run the preset's tasks that are out of date; 1 where one failed."""
    Folders.of(str(ROOT), preset)
    os.chdir(HERE)
    (ROOT / "data" / "cache").mkdir(parents=True, exist_ok=True)
    clear_leftovers(*(ROOT / folder for folder in ("data", "figures", "report")))
    names = (*present(), PAGE)
    Reporter.total = len(names)
    # A second batch run waits here, and then finds all up to date.
    with locked(Folders(ROOT, preset).executed), progress.told(Reporter.started, NOTES, Reporter.count):
        shutil.rmtree(NOTES, ignore_errors=True)
        for together in phases(names):
            attempt(preset, together)
    return conclude(preset, {name: Reporter.outcomes[name] for name in names})


def start_on(task: str, preset: str) -> None:
    """Start again on that task alone, in a folder of its own. Raises StudyError where it is no task that can train."""
    from warmup_study import tasks  # torch, which takes seconds

    tasks.load(task)
    root = ROOT / "report" / "tasks" / file_name(task)
    root.mkdir(parents=True, exist_ok=True)
    os.environ |= {ASKED: task, "WARMUP_STUDY_ROOT": str(root)}
    os.execv(sys.executable, [sys.executable, str(HERE / "dodo.py"), preset])


def main(arguments: list[str]) -> int:
    """Run the preset named; exit status 0, 1 after a failure, 2 for a wrong call, 130 after Ctrl-C."""
    forgive_encodings()
    if len(arguments) not in (1, 2) or arguments[0] not in PRESETS:
        print(f"usage: python dodo.py {{{','.join(PRESETS)}}} [task]", file=sys.stderr)
        return 2
    try:
        if arguments[1:]:
            start_on(arguments[1], arguments[0])
        return study_of(arguments[0])
    except (StudyError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        supervised.interrupt()
        print("\nInterrupted. What is finished is kept: the same command goes on from here.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
