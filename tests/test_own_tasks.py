"""Networks that nobody wrote for the study: the engine trains them as torch would, and every chapter takes them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_experiments import config, runs_of, small

from warmup_study import tasks
from warmup_study.chapters import checked_parameters, open_chapter
from warmup_study.errors import StudyError
from warmup_study.paths import CHAPTERS
from warmup_study.running.sweep import sweep
from warmup_study.tasks import Task
from warmup_study.training import batches, ensemble
from warmup_study.training.experiment import TrainingConfig

OWN = ("users_networks:resnet", "users_networks:lstm", "users_networks:cancer")
CHANCE = {"users_networks:cancer": 0.5}  # all others tell ten classes apart


def trained_alone(task: Task, seed: int, shared: TrainingConfig, lr: float) -> float:
    """Test loss of one network after an ordinary loop."""
    torch.manual_seed(seed)
    model = task.model()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for picked in torch.as_tensor(batches.batch_order(seed, len(task.splits.train), shared.batch, shared.updates)):
        optimizer.zero_grad()
        task.loss(model(task.splits.train.inputs[picked]), task.splits.train.targets[picked]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return task.loss(model(task.splits.test.inputs), task.splits.test.targets).item()


@pytest.mark.parametrize("name", OWN)
def test_a_stack_trains_as_each_network_would_alone(name: str) -> None:
    shared = config(5, 16, 5, name)
    together = ensemble.train(shared, runs_of("sgd", 0.1, range(3))).test_loss
    alone = [trained_alone(tasks.load(name), seed, shared, 0.1) for seed in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert len(set(alone)) == 3, "the seeds make no difference"


@pytest.mark.parametrize("name", OWN)
def test_it_learns(name: str) -> None:
    traces = ensemble.train(config(100, 32, 100, name), runs_of("adam", 0.01, range(2)))
    first, last = traces.validation_loss
    assert (last < 0.6 * first).all() and (traces.diverged_at == 0).all()
    assert (traces.test_error < 0.6 * CHANCE.get(name, 0.9)).all()


def test_compiled_it_does_the_same() -> None:
    shared, runs = config(6, 16, 6, OWN[-1]), runs_of("adam", 0.01, range(3))
    plain, native = (ensemble.train(shared, runs, compiled=way) for way in (False, True))
    np.testing.assert_allclose(native.test_loss[:3], plain.test_loss, rtol=1e-4)
    np.testing.assert_allclose(native.train_loss[:, :3], plain.train_loss, rtol=1e-4)


@pytest.mark.parametrize("name", OWN)
def test_a_sweep_stores_its_runs_under_its_name(name: str, tmp_path: Path) -> None:
    planned = small(task=name, lrs=(0.01,), updates=4, probed=(1,))
    table = sweep([planned], tmp_path, processes=0)
    assert set(table["task"]) == {name} and set(table["status"]) == {"ok"} and len(table) == 10
    assert table["test_loss"].notna().all() and (table["lr_audit"] == 0).all()
    again = sweep([planned], tmp_path, processes=0)
    assert again["test_loss"].equals(table["test_loss"]) and len(list(tmp_path.glob("*.parquet"))) == 1


@pytest.mark.parametrize("chapter", [name for name in CHAPTERS if name != "7_anchor_warmup"])
def test_every_chapter_of_classes_takes_them(chapter: str) -> None:
    given = {"preset": "smoke", "task": ", ".join(OWN)}
    assert checked_parameters(chapter, given).task_names == OWN
    planned = {experiment.task.partition("+")[0] for experiment in open_chapter(chapter, given).experiments}
    assert planned >= set(OWN)


def test_a_task_without_learning_rates_gets_those_of_a_pilot(tmp_path: Path) -> None:
    given = {"preset": "smoke", "task": "tiny_tasks:curve", "output_dir": str(tmp_path)}
    grids = [e.lrs for e in open_chapter("1_sgd_vs_adam", given).experiments if e.part == "core"]
    assert len(set(grids)) == 2 and all(len(lrs) >= 2 for lrs in grids)
    asked = open_chapter("1_sgd_vs_adam", given | {"lrs": "0.2, 2"}).experiments
    assert {e.lrs for e in asked if e.part == "core"} == {(0.2, 2.0)}


def test_the_chapter_of_detectors_says_that_it_takes_none() -> None:
    with pytest.raises(StudyError, match="this chapter takes detection tasks, such as detection"):
        open_chapter("7_anchor_warmup", {"preset": "smoke", "task": OWN[0]})
