"""The contenders of the benchmark do the same work: same init, same batches, same weights after it. No times here."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from warmup_study import bench, ensemble, tasks
from warmup_study.sweep import available_cores

RUNS, UPDATES = 3, 6


@pytest.fixture(autouse=True)
def few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RUNS": RUNS, "UPDATES": UPDATES, "LOOP_UPDATES": UPDATES}.items():
        monkeypatch.setattr(bench, name, value)
    bench._jax_program.cache_clear()


@pytest.fixture(params=bench.WORKLOADS.values())
def task_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def final_losses(task_name: str, stacks: dict[str, Tensor]) -> Tensor:
    """Test loss [R] of a stack of weights."""
    task = tasks.load(task_name)
    model, test = task.model(), task.splits.test
    runs = [{name: stack[run] for name, stack in stacks.items()} for run in range(RUNS)]
    return torch.stack([task.loss(functional_call(model, run, (test.inputs,)), test.targets) for run in runs])


def loops(task_name: str) -> dict[str, Tensor]:
    alone = [bench.loop_weights(task_name, seed) for seed in range(RUNS)]
    return {name: torch.stack([weights[name] for weights in alone]) for name in alone[0]}


def test_the_ensemble_does_what_the_loops_do(task_name: str) -> None:
    history = bench.ensemble_history(task_name, compiled=False)
    expected = final_losses(task_name, loops(task_name))
    torch.testing.assert_close(history.test_loss, expected, rtol=1e-4, atol=0)
    start = final_losses(task_name, ensemble.initial_weights(tasks.load(task_name), range(RUNS)))
    assert ((start - expected).abs() > 1e-2).all(), "the tolerance must be small beside what training changes"


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed (the extra bench)")
def test_jax_does_what_the_loops_do(task_name: str) -> None:
    stacks, expected = bench.jax_weights(task_name), loops(task_name)
    assert set(stacks) == set(expected)
    for name, stack in stacks.items():
        np.testing.assert_allclose(np.asarray(stack), expected[name], rtol=0, atol=0.05 * bench.LR * UPDATES)
    ours = {name: torch.as_tensor(np.array(stack)) for name, stack in stacks.items()}
    torch.testing.assert_close(final_losses(task_name, ours), final_losses(task_name, expected), rtol=1e-4, atol=0)


def test_updates_are_counted(task_name: str) -> None:
    assert bench.loop_updates(task_name) == UPDATES
    assert find_spec("jax") is None or bench.jax_updates(task_name) == RUNS * UPDATES


def test_contenders_share_the_cores_and_jax_is_optional() -> None:
    teams = bench.contenders()
    assert list(teams)[:2] == ["torch.optim loops", "ensemble"]
    assert ("JAX, one process" in teams) == (find_spec("jax") is not None)
    assert all(
        len(team.members) == (1 if name == "JAX, one process" else available_cores()) for name, team in teams.items()
    )


def test_workloads_are_what_they_are_called() -> None:
    sizes = {
        title: [
            tuple(weights.shape) for name, weights in tasks.load(name_).model().named_parameters() if "weight" in name
        ]
        for title, name_ in bench.WORKLOADS.items()
    }
    assert sizes["MLP 64-32-32-10"] == [(32, 64), (32, 32), (10, 32)]
    assert sizes["MLP 64-64x4-10"] == [(64, 64)] * 4 + [(10, 64)]
