"""Whatever ends a batch run, the next one goes on from there, and its results are those of an undisturbed run."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil  # type: ignore[import-untyped]
import pytest
from small_experiments import hear_interrupts, small

from warmup_study.paths import Folders, project_root
from warmup_study.running import store
from warmup_study.running.sweep import sweep
from warmup_study.training.table import from_frame

ROOT = project_root()
CHAPTER = "1_sgd_vs_adam"
KILLS, KILLS_EACH, QUICK_KILLS = 20, 3, 3  # in all; of one checkout before it may finish
PATIENCE = 20  # seconds for the processes of a killed run to end
INTERRUPTED = "Interrupted. What is finished is kept: the same command goes on from here.\n"
TINY = """
import sys
sys.path.insert(0, {tests!r})
from warmup_study.running import store
from warmup_study.paths import Folders, project_root
from warmup_study.running.sweep import sweep
from warmup_study.training.table import from_frame
from small_experiments import small
folders = Folders(project_root(), preset)
runs = sweep([small(updates=60, lrs=tuple(k / 1000 for k in range(1, 21)))], folders.cache, processes={processes})
store.write_runs(folders.results / "1_sgd_vs_adam.parquet", from_frame(runs))
"""
TWENTY = small(updates=60, lrs=tuple(k / 1000 for k in range(1, 21)))  # chunks, as in the notebook above


@dataclass(frozen=True)
class Checkout:
    """A copy of the study with one notebook: what others change in the sources meanwhile is not seen."""

    root: Path

    @classmethod
    def of(cls, root: Path, code: str = "") -> "Checkout":
        """The stored first chapter, or a notebook of a parameters cell and `code` under its name."""
        root.mkdir(parents=True)
        for name in ("dodo.py", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, root)
        shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "notebooks").mkdir()
        stored = root / "notebooks" / f"{CHAPTER}.ipynb"
        if code:
            nbformat.write(notebook_of(code), stored)
        else:
            shutil.copy(ROOT / "notebooks" / f"{CHAPTER}.ipynb", stored)
        return cls(root)

    def start(self, before: Callable[[], None] = hear_interrupts) -> subprocess.Popen[str]:
        """The batch run in a process group of its own."""
        unset = ("WARMUP_STUDY", "PYTHONDONTWRITEBYTECODE")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(unset)}
        environment |= {"PYTHONPATH": str(self.root / "src"), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "dodo.py", "smoke"],
            cwd=self.root,
            env=environment,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
            preexec_fn=before,
        )

    def finish(self) -> str:
        """Run to the end, undisturbed: what was printed."""
        process = self.start()
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, output + errors
        return output

    def chunks(self) -> dict[str, tuple[int, int]]:
        """The finished chunks, each with what would change if it were written again."""
        found = (self.root / "data" / "cache").glob("[!.]*.parquet")
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}

    def results(self) -> dict[str, bytes]:
        """Chunks, tables, verdicts and figures; not the record of when they were made."""
        folders = (self.root / "data" / "cache", self.root / "data" / "results", self.root / "figures")
        files = [path for folder in folders for path in folder.rglob("[!.]*") if path.is_file()]
        kept = [path for path in files if path.name != "provenance.json" and not path.name.startswith("doit.db")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in kept}


def notebook_of(code: str) -> Any:
    v4: Any = nbformat.v4
    first = v4.new_code_cell('preset: str = "quick"  # size', metadata={"tags": ["parameters"]})
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=[first, v4.new_code_cell(code)], metadata={"kernelspec": spec})


def processes_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        driver = psutil.Process(run.pid)
        return [driver, *driver.children(recursive=True)]
    return []


def kill(run: subprocess.Popen[str], everything: bool) -> None:
    """SIGKILL to the driver alone, or to all its processes; in either case none is left behind."""
    processes = processes_of(run)
    for process in processes if everything else processes[:1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    run.communicate()
    left = psutil.wait_procs(processes, timeout=PATIENCE)[1]
    assert not [" ".join(process.cmdline())[:200] for process in left]


def wait(run: subprocess.Popen[str], until: Callable[[], bool], seconds: float = 300) -> bool:
    """Whether it came true before the run ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and run.poll() is None:
        if until():
            return True
        time.sleep(0.02)
    return False


def disturbed(checkout: Checkout, kills: int, chance: random.Random, longest: float, chunks: int) -> Iterator[None]:
    """Start and kill, so many times; yields after each that what had been finished is kept.

    The first moment lies just after some chunk that is not the last, for the chunks of a small study take but a second
    of a run, most of it before the first; the others are drawn evenly over a run's length.
    """
    for number in range(kills):
        before = checkout.chunks()
        if number == 0:
            aim = chance.randint(0, chunks - 2)
            moment: Callable[[], bool] = lambda aim=aim: len(checkout.chunks()) > aim  # type: ignore[misc] # noqa: E731
            delay = chance.uniform(0, 0.1)
        else:
            moment, delay = (lambda: True), chance.uniform(0, longest)
        run = checkout.start()
        wait(run, moment)
        time.sleep(delay)
        kill(run, everything=chance.random() < 0.5)
        after = checkout.chunks()
        assert {name: after.get(name) for name in before} == before, "a finished chunk was trained again"
        yield


def tiny_code(processes: int) -> str:
    return TINY.format(tests=str(Path(__file__).parent), processes=processes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A study of twenty chunks and one table, run to its end undisturbed."""
    checkout = Checkout.of(tmp_path_factory.mktemp("tiny") / "undisturbed", tiny_code(2))
    checkout.finish()
    return checkout


def copy_of(checkout: Checkout, root: Path) -> Checkout:
    """The same sources and notebook, and nothing run."""
    root.mkdir()
    for path in checkout.root.iterdir():
        if path.is_file():
            shutil.copy(path, root)
        elif path.name in ("src", "notebooks"):
            shutil.copytree(path, root / path.name)
    return Checkout(root)


@pytest.mark.long
def test_after_kills_the_results_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    checkout, undisturbed = Checkout.of(tmp_path / "killed", tiny_code(0)), Folders(tmp_path / "undisturbed", "smoke")
    runs = sweep([TWENTY], undisturbed.cache, processes=0)
    store.write_runs(undisturbed.results / f"{CHAPTER}.parquet", from_frame(runs))
    for _ in disturbed(checkout, QUICK_KILLS, random.Random(7), longest=4, chunks=20):
        pass
    before = checkout.chunks()
    checkout.finish()
    assert {name: stamp for name, stamp in checkout.chunks().items() if name in before} == before
    assert checkout.results() == Checkout(undisturbed.root).results() and before


@pytest.mark.long
def test_a_chapter_killed_at_twenty_random_moments_ends_as_if_undisturbed(tmp_path: Path) -> None:
    whole, chance, killed, partial = Checkout.of(tmp_path / "whole"), random.Random(2017), 0, 0
    start = time.monotonic()
    whole.finish()
    length, expected, number = time.monotonic() - start, whole.results(), len(whole.chunks())
    while killed < KILLS:
        checkout = copy_of(whole, tmp_path / f"killed {killed}")
        for _ in disturbed(checkout, KILLS_EACH, chance, length, number):
            killed, partial = killed + 1, partial + (0 < len(checkout.chunks()) < number)
        before = checkout.chunks()
        checkout.finish()
        assert {name: stamp for name, stamp in checkout.chunks().items() if name in before} == before
        assert checkout.results() == expected
        assert (checkout.root / "report" / "smoke.html").exists()
    print(f"{killed} kills, {partial} of them amid the chunks; an undisturbed run took {length:.0f} s")
    assert partial >= KILLS // 4


@pytest.mark.long
def test_two_batch_runs_at_once_share_the_work(tiny: Checkout, tmp_path: Path) -> None:
    checkout = copy_of(tiny, tmp_path / "shared")
    runs = [checkout.start() for _ in range(2)]
    ends = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ends
    words = [line.split()[1] for output, _ in ends for line in output.splitlines() if line.startswith(CHAPTER)]
    assert sorted(words) == ["done", "up"]
    assert checkout.results() == tiny.results()


@pytest.mark.long
def test_eight_papermill_runs_at_once_end_well_and_alike(tmp_path: Path) -> None:
    checkout = Checkout.of(tmp_path / "crowded")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WARMUP_STUDY")}
    environment |= {"PYTHONPATH": str(checkout.root / "src"), "OMP_NUM_THREADS": "1"}
    notebook, pipe = checkout.root / "notebooks" / f"{CHAPTER}.ipynb", subprocess.PIPE

    def start(name: str, root: Path) -> subprocess.Popen[str]:
        options = ["--no-progress-bar", "-p", "preset", "smoke", "-p", "output_dir", str(root)]
        command = [sys.executable, "-m", "papermill", str(notebook), str(tmp_path / f"{name}.ipynb"), *options]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)

    runs = [start(str(number), checkout.root) for number in range(8)]
    ends = [run.communicate(timeout=900) for run in runs]
    assert [run.returncode for run in runs] == [0] * 8, ends
    alone = start("alone", tmp_path / "alone")
    assert alone.communicate(timeout=300) and alone.returncode == 0
    expected = Checkout(tmp_path / "alone").results()
    assert checkout.results() == expected and expected


@pytest.mark.long
def test_a_killed_kernel_is_a_failed_notebook(tiny: Checkout, tmp_path: Path) -> None:
    checkout = copy_of(tiny, tmp_path / "shot")
    run = checkout.start()
    assert wait(run, lambda: len(checkout.chunks()) > 0)
    for process in processes_of(run):
        with suppress(psutil.NoSuchProcess):
            if "ipykernel_launcher" in " ".join(process.cmdline()):
                process.kill()
    output, errors = run.communicate(timeout=120)
    assert run.returncode == 1 and "Traceback" not in output + errors
    (line,) = [line for line in errors.splitlines() if line.startswith(f"failed: {CHAPTER}: ")]
    assert "died" in line.lower(), line
    before = checkout.chunks()
    checkout.finish()
    assert {name: stamp for name, stamp in checkout.chunks().items() if name in before} == before
    assert checkout.results() == tiny.results()


@pytest.mark.long
def test_ctrl_c_amid_training_is_one_line_and_leaves_no_process(tiny: Checkout, tmp_path: Path) -> None:
    checkout = copy_of(tiny, tmp_path / "interrupted")
    run = checkout.start()
    assert wait(run, lambda: len(checkout.chunks()) > 0)
    processes = processes_of(run)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and errors.strip() == INTERRUPTED.strip()
    assert not psutil.wait_procs(processes, timeout=PATIENCE)[1]
    before = checkout.chunks()
    checkout.finish()
    assert {name: stamp for name, stamp in checkout.chunks().items() if name in before} == before
    assert checkout.results() == tiny.results()


def small_files_alone() -> None:
    """In a child: no file may grow past 20,000 bytes, and a write beyond is refused as on a full disk."""
    hear_interrupts()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def failure(checkout: Checkout, before: Callable[[], None] = hear_interrupts) -> str:
    """What a run that fails says on standard error, which holds no traceback."""
    run = checkout.start(before)
    output, errors = run.communicate(timeout=300)
    assert run.returncode == 1 and "Traceback" not in output + errors, output + errors
    return errors


@pytest.mark.long
def test_files_that_cannot_grow_are_one_line_and_the_next_run_is_whole(tiny: Checkout, tmp_path: Path) -> None:
    checkout = copy_of(tiny, tmp_path / "refused")
    errors = failure(checkout, small_files_alone)
    (line,) = [line for line in errors.splitlines() if line.startswith(f"failed: {CHAPTER}: ")]
    assert "cannot write" in line or "File too large" in line
    assert not checkout.chunks()
    checkout.finish()
    assert checkout.results() == tiny.results()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk in memory, with options, where this user may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = []

    def mount(options: str) -> Path:
        call = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(call, capture_output=True).returncode:
            pytest.skip("this user may not mount a disk")
        made.append(folder)
        return folder

    yield mount
    for place in made:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.long
@pytest.mark.parametrize("size", ["200k", "24k"], ids=["full amid the chunks", "full at once"])
def test_a_full_disk_is_one_line_each(tiny: Checkout, mounted: Callable[[str], Path], size: str) -> None:
    disk = mounted(f"size={size}")
    checkout = copy_of(tiny, disk.parent / "run")
    (checkout.root / "data").symlink_to(disk)
    errors = failure(checkout)
    assert (errors.count("\n") <= 2 and "No space left" in errors) or "full" in errors, errors


def test_a_read_only_folder_is_one_line(tiny: Checkout, mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=1m,ro")
    checkout = copy_of(tiny, disk.parent / "run")
    (checkout.root / "data").symlink_to(disk)
    assert failure(checkout).count("\n") == 1
