"""Sweeps: the same rows however they are made, nothing trained twice, and every mishap in one line."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil  # type: ignore[import-untyped]
import pytest
from small_experiments import ARMS, arm, hear_interrupts, small

from warmup_study.errors import StudyError
from warmup_study.running import progress
from warmup_study.running.local import train_and_store
from warmup_study.running.processes import available_cores
from warmup_study.running.store import Cache
from warmup_study.running.sweep import sweep
from warmup_study.training.experiment import Chunk, Experiment
from warmup_study.training.table import RUNS

EXPERIMENTS = (small(lrs=(0.001, 0.01, 0.1)), small(part="other", arms=(arm("sgd"), arm("nesterov"))))
CHUNKS = tuple(chunk for experiment in EXPERIMENTS for chunk in experiment.chunks())
OWN_TASKS = """
import os, signal, time
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from torch import nn
from warmup_study import tasks

DIGITS = tasks.load("digits-mlp")
FOLDER = Path(__file__).parents[1]

class Model(nn.Module):
    def __init__(self, mishap):
        super().__init__()
        self.layer, self.mishap = nn.Linear(64, 10), mishap

    def forward(self, inputs):
        if len(inputs) > 2 and parent_process():  # in training by a worker, not when the network is tried
            self.mishap()
        return self.layer(inputs)

class Strange(Exception):
    def __init__(self, one, two):
        super().__init__(one)

def strange(): raise Strange("first line\\nsecond line", 2)
def dies(): os.kill(os.getpid(), signal.SIGKILL)
def leaves(): raise SystemExit(3)
def sleeps():
    (FOLDER / f"training-{os.getpid()}").touch()
    time.sleep(0.05)

def task_of(mishap): return replace(DIGITS, name=mishap.__name__, model=lambda: Model(mishap))
def raising(): return task_of(strange)
def dying(): return task_of(dies)
def leaving(): return task_of(leaves)
def slow(): return task_of(sleeps)  # and is not compiled: the tests below wait for its first update
"""


@pytest.fixture
def own_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module of tasks that go wrong, which workers can import."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mishaps.py").write_text(OWN_TASKS)
    monkeypatch.syspath_prepend(tmp_path / "own")
    yield "mishaps"
    sys.modules.pop("mishaps", None)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """The rows of a sweep by two workers, and its cache."""
    folder = tmp_path_factory.mktemp("cache")
    return sweep(EXPERIMENTS, folder, processes=2), folder


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_every_run_has_one_row_in_the_order_of_the_experiments(swept: tuple[pd.DataFrame, Path]) -> None:
    runs, folder = swept
    defined = [(c.part, c.task, run.arm.label, run.seed, run.lr, c.id) for c in CHUNKS for run in c.runs]
    assert list(runs[["part", "task", "arm", "seed", "lr", "chunk"]].itertuples(index=False, name=None)) == defined
    assert list(runs) == RUNS.names
    assert (runs["lr_audit"] == 0).all() and len(runs) == 2 * 5 * len(CHUNKS)
    assert set(stamps(folder)) == {f"{chunk.id}.parquet" for chunk in CHUNKS}


def test_rows_do_not_depend_on_the_number_of_workers(swept: tuple[pd.DataFrame, Path], tmp_path: Path) -> None:
    runs, folder = swept
    alone = sweep(EXPERIMENTS[::-1], tmp_path, processes=1)
    last = len(alone) - (alone["part"] == "grid").sum()
    pd.testing.assert_frame_equal(pd.concat([alone[last:], alone[:last]], ignore_index=True), runs)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_what_is_stored_is_not_trained_again(
    swept: tuple[pd.DataFrame, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    runs, folder = swept
    before = stamps(folder)
    started = time.perf_counter()
    pd.testing.assert_frame_equal(sweep(EXPERIMENTS, folder), runs)
    assert stamps(folder) == before and time.perf_counter() - started < 2
    assert "trained" not in capsys.readouterr().out


def test_a_long_batch_run_tells_how_far_it_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SELDOM", 0.0)
    sweep([small(lrs=(0.1, 0.2, 0.3))], tmp_path, processes=0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" chunks")[0] for line in lines[:2]] == ["1 of 3", "2 of 3"] and len(lines) == 3


def test_only_what_is_missing_damaged_or_foreign_is_trained_again(
    swept: tuple[pd.DataFrame, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, folder = swept
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    cache = Cache(tmp_path)
    missing, truncated, flipped, renamed, kept = (cache.path(chunk) for chunk in CHUNKS)
    missing.unlink()
    truncated.write_bytes(truncated.read_bytes()[:-100])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 4] ^= 1
    flipped.write_bytes(content)
    shutil.copy(kept, renamed)
    before = stamps(tmp_path)
    pd.testing.assert_frame_equal(sweep(EXPERIMENTS, tmp_path, processes=1), runs)
    after = stamps(tmp_path)
    assert set(after) == set(stamps(folder))
    assert [name for name in before if before[name] == after[name]] == [kept.name]
    assert f"trained {4 * len(CHUNKS[0].runs)} runs" in capsys.readouterr().out
    assert all(path.read_bytes() == (folder / path.name).read_bytes() for path in tmp_path.iterdir())


def failure(experiments: list[Experiment], folder: Path, workers: int = 1) -> str:
    with pytest.raises(StudyError) as caught:
        sweep(experiments, folder, workers)
    assert "Traceback" not in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert caught.value._render_traceback_() == [f"StudyError: {caught.value}"]
    return str(caught.value)


def test_an_error_in_a_users_model_names_the_task_and_keeps_what_is_finished(own_tasks: str, tmp_path: Path) -> None:
    good, bad = small(updates=9, lrs=(0.1,)), small(task=f"{own_tasks}:raising", lrs=(0.1,))  # longest first
    line = failure([bad, good], tmp_path / "cache")
    assert line == f"task '{own_tasks}:raising' cannot be trained: Strange: first line second line"
    assert set(stamps(tmp_path / "cache")) == {f"{chunk.id}.parquet" for chunk in good.chunks()}


def test_a_network_that_torch_cannot_train_is_refused_before_any_training(tmp_path: Path) -> None:
    line = failure([small(lrs=(0.1,)), small(task="zoo:broken", lrs=(0.1,))], tmp_path / "cache")
    assert line.startswith(
        "task: 'zoo:broken': model: on train inputs of shape [2, 5, 6] it failed with RuntimeError: mat1"
    )
    assert not (tmp_path / "cache").exists()


def test_runs_that_cannot_be_stacked_are_a_chunk_each_and_the_layer_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = small(task="zoo:lstm", lrs=(0.01, 0.1), seeds=(0, 1))
    assert [len(chunk.runs) for chunk in planned.chunks()] == [1] * 8
    pairs = small(task="zoo:lstm", probes=("displacement",)).chunks()
    assert {len(chunk.runs) for chunk in pairs} == {2}, "the distance of a pair is measured within a chunk"
    runs = sweep([planned], tmp_path, processes=0)
    line, rest = capsys.readouterr().out.split("\n", 1)
    assert re.fullmatch(r"zoo:lstm: nn.LSTM cannot be stacked \(.*\); its runs .* about \d+ times slower \(.*\)", line)
    assert "LSTM" not in rest and (runs["status"] == "ok").all()
    seeds = [seed for _ in (1, 2) for seed in (0, 0, 1, 1)]
    assert runs["seed"].tolist() == seeds and runs["arm"].tolist() == ["adam/none", "adam/ramp"] * 4


def test_the_line_of_an_error_hides_no_other_traceback(own_tasks: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        sweep([small(task=f"{own_tasks}:leaving", lrs=(0.1,))], tmp_path, 1)
    assert "SystemExit: 3" in str(caught.value)
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None


def test_a_worker_that_is_killed_ends_in_one_line_and_what_is_finished_is_kept(own_tasks: str, tmp_path: Path) -> None:
    good, bad = small(updates=9, lrs=(0.1,)), small(task=f"{own_tasks}:dying", lrs=(0.1,))
    line = failure([bad, good], tmp_path / "cache")
    assert line.startswith("a training process died") and line.endswith("run again: finished work is kept")
    assert set(stamps(tmp_path / "cache")) == {f"{chunk.id}.parquet" for chunk in good.chunks()}


def test_an_unknown_task_and_a_folder_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert failure([small(task="digit-mlp", lrs=(0.1,))], tmp_path).startswith("task: got 'digit-mlp'; no such task")
    assert failure([small(lrs=(0.1,))], tmp_path / "file" / "cache").startswith("cannot write ")


def test_cores_are_those_this_process_may_use() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


SLOW = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from small_experiments import small
from warmup_study.running.sweep import sweep
short = small(updates=9, lrs=(0.1,))
long = [small(updates=30_000, task="mishaps:slow", lrs=(0.1,), part=f"part {{k}}") for k in range(3)]
sweep([short, *long], Path({cache!r}), 2)
"""


@dataclass(frozen=True)
class Driver:
    """A process that sweeps, and its two workers."""

    process: subprocess.Popen[str]
    workers: list[psutil.Process]

    def left(self, seconds: float) -> list[psutil.Process]:
        """Workers that still run after so many seconds."""
        return list(psutil.wait_procs(self.workers, timeout=seconds)[1])


@pytest.fixture
def driver(own_tasks: str, tmp_path: Path) -> Iterator[Driver]:
    """A process that has finished one chunk, and whose two workers are in the middle of two that take an hour."""
    train_and_store(small(updates=9, lrs=(0.1,)).chunks()[0], Cache(tmp_path / "cache"))
    paths = [str(tmp_path / "own"), str(Path(__file__).parent)]
    code = SLOW.format(paths=paths, cache=str(tmp_path / "cache"))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    ) as process:
        try:
            yield Driver(process, wait_for_workers(process, tmp_path))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_workers(process: subprocess.Popen[str], folder: Path) -> list[psutil.Process]:
    """The two workers, as soon as both train."""
    for _ in range(900):
        assert process.poll() is None, process.communicate()[1][-2000:]
        if len(list(folder.glob("training-*"))) == 2:
            break
        time.sleep(0.1)
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def finished(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.parquet")]


def test_an_interrupt_of_all_in_a_terminal_ends_quickly_and_leaves_no_worker(driver: Driver, tmp_path: Path) -> None:
    assert len(driver.workers) == 2
    os.killpg(driver.process.pid, signal.SIGINT)
    _, errors = driver.process.communicate(timeout=15)
    assert errors.splitlines()[-1] == "KeyboardInterrupt" and errors.count("Traceback") == 1
    assert not driver.left(2)
    assert finished(tmp_path / "cache") == [f"{small(updates=9, lrs=(0.1,)).chunks()[0].id}.parquet"]


def test_workers_of_a_killed_driver_end(driver: Driver) -> None:
    assert len(driver.workers) == 2
    driver.process.kill()
    assert not driver.left(10)


def test_the_cache_names_chunks_by_their_id(tmp_path: Path) -> None:
    chunk: Chunk = CHUNKS[0]
    assert Cache(tmp_path).path(chunk) == tmp_path / f"{chunk.id}.parquet"
    assert Cache(tmp_path).get(chunk) is None
    assert len({chunk.id for chunk in CHUNKS}) == len(CHUNKS) and CHUNKS[0].arms == ARMS
