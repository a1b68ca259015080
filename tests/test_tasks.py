"""Tasks: their data are fixed and fair, names that cannot be loaded are one line, and all of them can be trained."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_experiments import config, runs_of

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.tasks import Split, Task, mnist1d, text
from warmup_study.training import ensemble
from warmup_study.training.schedules import Schedule

SIZES = {"digits": (1257, 270, 270), "mnist1d": (4000, 500, 20_000), "text": (16_384, 512, 4096)}
LYING = "WARMUP_STUDY_DATA" in os.environ and (Path(os.environ["WARMUP_STUDY_DATA"]) / text.FILE).exists()
HAD = [name for name in tasks.names() if LYING or not name.startswith("text")]  # no test fetches anything


@pytest.fixture(params=HAD)
def task(request: pytest.FixtureRequest) -> Task:
    return tasks.load(request.param)


def rows(split: Split) -> set[bytes]:
    return {row.tobytes() for row in split.inputs.flatten(1).numpy()}


def test_a_task_goes_by_its_name_and_is_made_once(task: Task) -> None:
    assert tasks.load(task.name) is task and task.title
    for bracket in (task.sgd_lrs, task.adaptive_lrs):
        assert bracket and 0 < bracket[0] < bracket[1]


def test_splits_are_disjoint(task: Task) -> None:
    train, validation, test = (rows(split) for split in task.splits)
    if not task.name.startswith("text"):  # whose windows lie apart, and may repeat a phrase
        assert not (train & validation or train & test or validation & test)
    assert tuple(map(len, task.splits)) == SIZES.get(task.name.split("-")[0], tuple(map(len, task.splits)))


def test_splits_are_stratified(task: Task) -> None:
    if task.splits.train.targets.ndim != 1 or task.splits.train.targets.is_floating_point():
        pytest.skip("no classes to stratify")
    shares = [torch.bincount(split.targets) / len(split) for split in task.splits]
    assert all(len(share) == len(shares[0]) and share.min() > 0.05 for share in shares)
    assert max((share - shares[0]).abs().max().item() for share in shares) < 0.01


def test_inputs_are_standardised(task: Task) -> None:
    train = task.splits.train.inputs
    if not train.is_floating_point():
        pytest.skip("nothing to standardise")
    assert train.dtype == torch.float32 and all(split.inputs.isfinite().all() for split in task.splits)
    assert train.mean().item() == pytest.approx(0, abs=0.02)
    assert train.std().item() == pytest.approx(1, abs=0.02)


def test_splits_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib, numpy; from warmup_study import tasks\n"
        "numpy.random.seed(2)\n"
        f"for name in {HAD}:\n"
        "    parts = [t.numpy().tobytes() for s in tasks.load(name).splits for t in (s.inputs, s.targets)]\n"
        "    print(hashlib.sha256(b''.join(parts)).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert there == [digest(tasks.load(name)) for name in HAD]


def digest(task: Task) -> str:
    """Of all examples of a task."""
    parts = [tensor.numpy().tobytes() for split in task.splits for tensor in (split.inputs, split.targets)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_every_tasks_loss_falls_in_a_few_updates(task: Task) -> None:
    runs = runs_of("adam", 3e-3, (0, 1), Schedule(warmup="ramp", length=10))
    traces = ensemble.train(config(60, 32, 60, task.name), runs)
    first, last = traces.validation_loss
    chance = np.log(len(np.unique(task.splits.train.targets)))
    assert (last < 0.97 * first).all() and (last < chance).all()
    assert (traces.diverged_at == 0).all() and ((traces.test_error >= 0) & (traces.test_error < 0.9)).all()


def test_making_mnist1d_leaves_the_shared_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mnist1d._SETTINGS, "num_samples", 50)
    np.random.seed(5)
    random.seed(5)
    expected = np.random.random(), random.random()
    np.random.seed(5)
    random.seed(5)
    made = mnist1d._made()
    assert (np.random.random(), random.random()) == expected
    np.random.seed(6)
    assert np.array_equal(made["x"], mnist1d._made()["x"]) and len(made["x"]) == 50


def test_patches_hold_the_pixels_of_their_corner() -> None:
    flat, patched = (tasks.load(f"digits-{kind}").splits.train.inputs[0] for kind in ("mlp", "transformer"))
    image = flat.view(8, 8)
    assert patched.shape == (16, 4)
    assert torch.equal(patched[0], image[:2, :2].flatten()) and torch.equal(patched[1], image[:2, 2:4].flatten())
    assert torch.equal(patched[4], image[2:4, :2].flatten()) and torch.equal(patched[15], image[6:, 6:].flatten())


OWN = """
from warmup_study import tasks
NUMBER = 3
def text(): return "x"
def fails(): raise ZeroDivisionError("first line\\nsecond line")
def leaves(): raise SystemExit(3)
def study(): return tasks.load("no-such-task")
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "digit-mlp",
            "task: got 'digit-mlp'; no such task, did you mean digits-mlp? (.venv/bin/warmup-study tasks lists them",
        ),
        ("", "task: got ''; no such task (.venv/bin/warmup-study tasks lists them, module:function is your own)"),
        (":", "task: got ':'; no such task (.venv"),
        ("own_tasks:", "task: got 'own_tasks:'; no such task (.venv"),
        ("no_such_module:f", "task: 'no_such_module:f' cannot be imported (ModuleNotFoundError: No module named"),
        (".:f", "task: '.:f' cannot be imported ("),
        ("own_tasks:missing", "task: 'own_tasks:missing' is not there"),
        ("own_tasks:fail", "task: 'own_tasks:fail' is not there, did you mean fails?"),
        ("own_tasks:leaves", "task: 'own_tasks:leaves' failed with SystemExit: 3"),
        ("own_tasks:NUMBER", "task: 'own_tasks:NUMBER' is no function"),
        ("own_tasks:text", "task: 'own_tasks:text' returned str; it must return a warmup_study.tasks.Task"),
        ("own_tasks:fails", "task: 'own_tasks:fails' failed with ZeroDivisionError: first line second line"),
        ("own_tasks:study", "task: got 'no-such-task'; no such task"),
        ("broken_tasks:f", "task: 'broken_tasks:f' cannot be imported ("),
    ],
)
def test_a_name_that_cannot_be_loaded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    (tmp_path / "own_tasks.py").write_text(OWN)
    (tmp_path / "broken_tasks.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_tasks", raising=False)
    with pytest.raises(StudyError) as caught:
        tasks.load(name)
    assert str(caught.value).startswith(line) and len(str(caught.value).splitlines()) == 1


def test_a_task_in_the_current_folder_reaches_the_workers(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text(
        "from dataclasses import replace\nfrom torch import nn\nfrom warmup_study import tasks\n"
        "def linear():\n"
        "    return replace(tasks.load('digits-mlp'), name='linear', model=lambda: nn.Linear(64, 10))\n"
    )
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from pathlib import Path\nfrom small_experiments import small\nfrom warmup_study.running.sweep import sweep\n"
        "runs = sweep([small(task='here:linear', lrs=(0.01,))], Path('cache'), 1)\n"
        "print(len(runs), set(runs['task']), (runs['validation_loss'] < runs['initial_loss']).all())"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "10 {'here:linear'} True" and ran.stderr == ""
