"""A Dask cluster gives the same rows as this machine, whatever dies, and says in one line what is wrong with it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from small_experiments import arm, small

import warmup_study
from warmup_study.chapters import checked_parameters, open_chapter
from warmup_study.errors import StudyError
from warmup_study.running import dask_cluster
from warmup_study.running.store import Cache
from warmup_study.running.sweep import sweep
from warmup_study.training.experiment import Chunk, Experiment

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
cloudpickle = pytest.importorskip("cloudpickle", reason="the extra `cluster` is not installed")

SECONDS = 60  # patience with processes on a busy machine
OWN_TASKS = """
import os, signal, sys
from dataclasses import replace
from torch import nn
from warmup_study import tasks

class Dying(nn.Linear):
    def forward(self, inputs):
        if len(inputs) > 2 and "pytest" not in sys.modules:  # in training by a worker, not when the network is tried
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(inputs)

def dying(): return replace(tasks.load("digits-mlp"), name="dying", model=lambda: Dying(64, 10))
"""
DRIVER = """
import json, sys
from pathlib import Path
from warmup_study.chapters import open_chapter
from warmup_study.errors import StudyError
from warmup_study.running.sweep import sweep
address, cache, chapter = sys.argv[1:]
try:
    sweep(open_chapter("3_momentum", json.loads(chapter)).experiments, Path(cache), scheduler=address)
except StudyError as problem:
    print(problem, file=sys.stderr)
"""
CHAPTER = {"preset": "smoke", "updates": 100, "lrs": "0.01,0.03,0.1"}  # long enough to die in the middle of


@dataclass
class Cluster:
    """A scheduler and workers, each a process of its own, started by Dask's own commands."""

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str, **settings: str) -> subprocess.Popen[str]:
        """Run a `dask` command; what it prints goes into a file."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings
        call = [sys.executable, "-m", "dask", *command, "--scheduler-file", "address", "--no-dashboard"]
        with (self.folder / f"log-{len(self.processes)}").open("w") as log:
            process = subprocess.Popen(call, stdout=log, stderr=log, text=True, env=environment, cwd=self.folder)
        self.processes.append(process)
        return process

    def worker(self, **settings: str) -> subprocess.Popen[str]:
        """One worker; without a nanny, which would put another in its place when it dies."""
        return self.start("worker", "--nthreads", "1", "--no-nanny", **settings)

    @property
    def scheduler(self) -> subprocess.Popen[str]:
        return self.processes[0]

    @property
    def address(self) -> str:
        """Where the scheduler listens, as soon as it does."""
        wait_for((self.folder / "address").exists)
        return str(json.loads((self.folder / "address").read_text())["address"])


@contextmanager
def running(folder: Path, workers: int, **settings: str) -> Iterator[Cluster]:
    """A cluster on loopback, with further environment variables for its workers and scheduler."""
    folder.mkdir()
    this = Cluster(folder)
    try:
        this.start("scheduler", "--host", "127.0.0.1", "--port", "0", **settings)
        for _ in range(workers):
            this.worker(**settings)
        yield this
    finally:
        for process in this.processes:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(SECONDS * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("nothing came of it")


def first(folder: Path) -> str:
    """A search path for modules that begins with the folder."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def contents(folder: Path) -> dict[str, bytes]:
    """Every finished chunk's file."""
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def chapter() -> tuple[Experiment, ...]:
    return open_chapter("3_momentum", CHAPTER).experiments


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster with two workers that no test harms."""
    with running(tmp_path_factory.mktemp("cluster") / "shared", workers=2) as this:
        yield this.address


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the chapter's sweep, trained in this process."""
    folder = tmp_path_factory.mktemp("here")
    sweep(chapter(), folder, processes=0)
    return folder


@pytest.fixture
def own_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a module with tasks of the user's own, which this process finds."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "users_tasks.py").write_text(OWN_TASKS)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_cluster_gives_the_same_rows_and_stores_them_here(
    shared: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"task": "digits-he2+old", "updates": 5, "optimizer": {"name": "adam"}, "lr": 0.01}
    began = [arm("adam", start={"before": before, "state": "kept"})]
    experiments = [small(lrs=(0.1, 0.2)), small(lrs=(0.01,), task="digits-he2+new", arms=began)]
    here = sweep(experiments, tmp_path / "here", processes=0)
    there = sweep(experiments, tmp_path / "there", scheduler=shared)
    pd.testing.assert_frame_equal(here, there)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    pd.testing.assert_frame_equal(sweep(experiments, tmp_path / "there", scheduler=shared), there)
    assert f"everything is stored already; {shared} had nothing to train" in capsys.readouterr().out


def test_a_worker_killed_in_the_middle_changes_nothing(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "cluster", workers=2) as mortal:
        put, stored = Cache.put, []

        def then_kill(cache: Cache, chunk: Chunk, table: object) -> None:
            put(cache, chunk, table)
            stored.append(chunk.id)
            if len(stored) == 3:
                mortal.processes[1].kill()

        monkeypatch.setattr(Cache, "put", then_kill)
        sweep(chapter(), tmp_path / "cache", scheduler=mortal.address)
        assert mortal.processes[1].wait() == -signal.SIGKILL and len(stored) > 6
    assert contents(tmp_path / "cache") == contents(here)


@pytest.mark.long
def test_a_killed_scheduler_is_one_line_and_what_is_finished_is_kept(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    with running(tmp_path / "cluster", workers=1) as mortal:
        call = [sys.executable, "-c", DRIVER, mortal.address, str(cache), json.dumps(CHAPTER)]
        with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
            wait_for(lambda: len(contents(cache)) >= 3 or driver.poll() is not None)
            mortal.scheduler.kill()
            killed = time.monotonic()
            _, errors = driver.communicate(timeout=SECONDS)
    assert time.monotonic() - killed < 15
    assert errors == f"scheduler: lost the connection to {mortal.address}; run again: finished work is kept\n"
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("*.parquet")}
    missing = [chunk for e in chapter() for chunk in e.chunks() if Cache(cache).path(chunk) not in kept]
    assert len(kept) >= 3 and missing
    sweep(chapter(), cache, processes=0)
    assert f"trained {sum(len(chunk.runs) for chunk in missing)} runs" in capsys.readouterr().out
    assert contents(cache) == contents(here)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())


def test_few_chunks_are_under_way_and_an_interrupt_takes_them_back(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_cluster, "LEAST", 4)
    monkeypatch.setattr(dask_cluster, "AHEAD", 1)
    chunks = [chunk for experiment in chapter() for chunk in experiment.chunks()]
    with distributed.Client(shared, set_as_default=False) as watcher:

        def known() -> int:
            return int(watcher.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        work = dask_cluster.finished(chunks, Cache(tmp_path), shared)
        for _ in range(5):
            next(work)
            assert 0 < known() <= 4
        work.close()  # as an interrupt does
        wait_for(lambda: known() == 0)
    assert 5 <= len(contents(tmp_path)) < len(chunks)


def refusal(experiment: Experiment, folder: Path, address: str) -> str:
    with pytest.raises(StudyError) as caught:
        sweep([experiment], folder, scheduler=address)
    assert "Traceback" not in str(caught.value) and caught.value.__suppress_context__
    return str(caught.value)


def test_a_cluster_without_workers_waits_for_some_and_one_with_other_code_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(warmup_study.__file__).parent, tmp_path / "other" / "warmup_study")
    with (tmp_path / "other" / "warmup_study" / "training" / "optimizers" / "settings.py").open("a") as file:
        file.write("\nANOTHER_VERSION = True\n")
    said = []
    with running(tmp_path / "cluster", workers=0) as empty:

        def note(line: str) -> None:
            said.append(line)
            empty.worker(PYTHONPATH=first(tmp_path / "other"))

        monkeypatch.setattr(dask_cluster, "GLANCE", 0.2)
        monkeypatch.setattr("builtins.print", note)
        line = refusal(small(lrs=(0.1,)), tmp_path / "cache", empty.address)
    assert said == [f"scheduler: the cluster at {empty.address} has no workers; waiting for some to join"]
    assert line == "scheduler: a worker has another version of warmup_study or torch than this process"
    assert not contents(tmp_path / "cache")


def test_a_chunk_of_other_fields_is_of_another_version() -> None:
    with pytest.raises(StudyError, match="another version"):
        dask_cluster.train('{"a field of tomorrow": 1}', "0" * 20, {})


def test_a_machine_without_the_study_can_carry_the_work_and_says_what_it_lacks() -> None:
    code = "import sys, pickle; sys.modules['warmup_study'] = None; pickle.load(sys.stdin.buffer)('', '', None)"
    work = cloudpickle.dumps(dask_cluster._errand())
    done = subprocess.run([sys.executable, "-c", code], input=work, capture_output=True)
    assert b"ModuleNotFoundError" in done.stderr and b"in errand" in done.stderr


def test_a_task_that_only_this_machine_has_is_one_line(shared: str, own_tasks: Path, tmp_path: Path) -> None:
    line = refusal(small(task="users_tasks:dying", lrs=(0.1,)), tmp_path / "cache", shared)
    assert line.startswith("on a worker: task: ") and "users_tasks" in line


@pytest.mark.long
def test_a_task_that_kills_its_workers_is_one_line(own_tasks: Path, tmp_path: Path) -> None:
    settings = {"PYTHONPATH": first(own_tasks), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with running(tmp_path / "cluster", workers=1, **settings) as doomed:
        line = refusal(small(task="users_tasks:dying", lrs=(0.1,)), tmp_path / "cache", doomed.address)
    assert line.startswith("task 'users_tasks:dying' cannot be trained: 1 workers died trying")


def test_no_scheduler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "PATIENCE", "1s")
    with pytest.raises(StudyError, match="no Dask scheduler answers there"):
        sweep([small(lrs=(0.1,))], tmp_path, scheduler="tcp://127.0.0.1:1")
    sweep([small(lrs=(0.1,))], tmp_path, processes=0)
    with pytest.raises(StudyError, match="no Dask scheduler answers there"):  # also where nothing is left to train
        sweep([small(lrs=(0.1,))], tmp_path, scheduler="tcp://127.0.0.1:1")


def test_a_variable_stands_in_for_an_empty_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMUP_STUDY_SCHEDULER", "tcp://10.0.0.1:8786")
    assert checked_parameters("3_momentum", {}).scheduler == "tcp://10.0.0.1:8786"
    assert checked_parameters("3_momentum", {"scheduler": ""}).scheduler == "tcp://10.0.0.1:8786"
    assert checked_parameters("3_momentum", {"scheduler": "tcp://10.0.0.2:1"}).scheduler == "tcp://10.0.0.2:1"
    with pytest.raises(StudyError, match=r"^scheduler: got None; takes tcp://host:port"):
        checked_parameters("3_momentum", {"scheduler": None})
    monkeypatch.setenv("WARMUP_STUDY_SCHEDULER", "10.0.0.1")
    with pytest.raises(StudyError, match=r"^WARMUP_STUDY_SCHEDULER: got '10.0.0.1'; takes tcp://host:port"):
        checked_parameters("3_momentum", {})
    with pytest.raises(StudyError, match=r"^seeds: got -1"):
        checked_parameters("3_momentum", {"seeds": -1})
