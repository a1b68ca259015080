"""Probes against exact values on cases small enough to work out by hand or by autograd."""

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from small_experiments import config, runs_of

from warmup_study import tasks, theory
from warmup_study.training import batches, ensemble
from warmup_study.training.full_batch import FullBatch
from warmup_study.training.group_losses import GroupLosses
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.probes import PROBES, ProbeName, UpdateContext, flat
from warmup_study.training.schedules import Schedule


def context(step: list[float], rate: float, descent: list[float]) -> UpdateContext:
    """One run whose parameters go from 0 to ``step``."""
    before = {"theta": torch.zeros(1, len(step))}
    return UpdateContext(
        before=before,
        after={"theta": torch.tensor([step])},
        state={"velocity": {"theta": torch.tensor([[3.0, -4.0, 0.0]])}},
        row={"lr": torch.tensor([rate])},
        loss=torch.tensor([1.5]),
        full_batch=full_batch(-torch.tensor([descent]), torch.tensor([[2.0, 1.0, 0.5]])),
        group_losses=cast(GroupLosses, None),
    )


def full_batch(gradient: torch.Tensor, squared: torch.Tensor) -> FullBatch:
    """One whose slope is the same everywhere."""
    fake = SimpleNamespace(gradient=lambda _: {"theta": gradient}, squared_gradient=lambda _: {"theta": squared})
    return cast(FullBatch, fake)


def test_a_step_by_hand() -> None:
    seen = context([0.3, -0.4, 0.0], 0.1, [1.0, 0.0, 0.0])
    expected: dict[ProbeName, float] = {
        "update_size": math.sqrt((9 + 16) / 2),
        "update_mean": 3.5,
        "update_norm": 0.5,
        "alignment": 0.6,
        "batch_loss": 1.5,
        "velocity_norm": 5.0,
        "velocity_alignment": -0.6,
        "gradient_snr": 1 / (3.5 - 1),
    }
    assert {name: PROBES[name](seen).item() for name in expected} == pytest.approx(expected)


def test_critical_rate_of_quadratic_losses() -> None:
    """Runs of losses ½ θ·Hθ: gradient descent, twice as curved, a direction that only rises, and no step at all."""
    hessians = torch.tensor([[1.0, 4.0], [2.0, 8.0], [1.0, 4.0], [1.0, 4.0]])
    start = torch.tensor([[1.0, 1.0]]).expand(4, 2)
    gradient = hessians * start
    direction = gradient * torch.tensor([-1.0, -1.0, 1.0, 0.0])[:, None]
    fake = SimpleNamespace(losses=lambda params: 0.5 * (hessians * params["theta"].square()).sum(1))
    lr = torch.full((4,), 0.01)
    seen = UpdateContext(
        before={"theta": start},
        after={"theta": start + lr[:, None] * direction},
        state={},
        row={"lr": lr},
        loss=torch.ones(4),
        full_batch=cast(FullBatch, fake),
        group_losses=cast(GroupLosses, None),
    )
    expected = 2 * gradient.square().sum(1) / (hessians * gradient.square()).sum(1)
    found = PROBES["critical_lr"](seen)
    torch.testing.assert_close(found[:2], expected[:2], rtol=0.03, atol=0)
    assert found[2] < 1e-4 and found[3].isnan()


def test_no_step_has_no_size_and_no_direction() -> None:
    seen = context([0.0, 0.0, 0.0], 0.0, [1.0, 0.0, 0.0])
    names: tuple[ProbeName, ...] = ("update_size", "update_mean", "alignment")
    assert all(math.isnan(PROBES[name](seen).item()) for name in names)


def test_drift_of_the_second_moment_is_a_log_ratio() -> None:
    stale, fresh = torch.tensor([[4.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 5.0]])
    state, row = {"second": {"theta": stale}}, {"root": torch.ones(1)}
    seen = UpdateContext({}, {}, state, row, torch.ones(1), full_batch(fresh, fresh), cast(GroupLosses, None))
    assert PROBES["second_moment_drift"](seen).item() == pytest.approx(math.log(2) / 2)


def test_a_settled_second_moment_has_not_drifted_far() -> None:
    runs = runs_of(Optimizer(name="adam", beta2=0.95), 1e-3, (1,), Schedule(warmup="zero", length=100))
    shared = config(100, 64, 100, probed=(1, 100), probes=("second_moment_drift",))
    first, settled = ensemble.train(shared, runs).probes["second_moment_drift"][:, 0].tolist()
    assert settled < 0.35 < first


def test_flat_puts_each_run_in_one_row() -> None:
    stacks = {"weight": torch.arange(8.0).reshape(2, 2, 2), "bias": torch.tensor([[8.0], [9.0]])}
    assert flat(stacks).tolist() == [[0, 1, 2, 3, 8], [4, 5, 6, 7, 9]]


def test_alignment_is_the_cosine_with_autograds_full_gradient() -> None:
    task, batch = tasks.load("digits-mlp").of_seed(2), 16
    shared = config(1, batch, 1, probed=(1,), probes=("alignment",))
    traces = ensemble.train(shared, runs_of("sgd", 0.05, (2,)), dtype=torch.float64)
    torch.manual_seed(2)
    model = task.model().double()
    picked = batches.batch_order(2, len(task.splits.train), batch, 1)[0]

    def gradient(rows: slice | np.ndarray) -> torch.Tensor:
        loss = task.loss(model(task.splits.train.inputs[rows].double()), task.splits.train.targets[rows])
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])

    cosine = torch.cosine_similarity(gradient(picked), gradient(slice(None)), dim=0)
    assert traces.probes["alignment"][0, 0].item() == pytest.approx(cosine.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "size"),
    [("rmsprop", 10.0), ("adam", 1.0), ("radam", None), ("adagrad", 1.0), ("lion", 1.0), ("signsgd", 1.0)],
)
def test_size_of_the_first_update_is_the_theorys(name: str, size: float | None) -> None:
    rule = Optimizer(name=name)
    shared = config(1, 64, 1, probed=(1,), probes=("update_size",))
    traces = ensemble.train(shared, runs_of(rule, 1e-3, range(3)))
    if size is not None:
        assert theory.first_update_size(rule) == pytest.approx(size)
        np.testing.assert_allclose(traces.probes["update_size"][0].numpy(), size, rtol=0.02)


def test_noise_theory_gives_the_published_sizes() -> None:
    adam = theory.noise_update_size(Optimizer(name="adam"), 100)
    assert adam[0] == pytest.approx(1, abs=1e-6) and 0.19 < adam[99] < 0.27
    rmsprop = theory.noise_update_size(Optimizer(name="rmsprop"), 100)
    assert rmsprop[0] == pytest.approx(10, abs=1e-3)
    assert list(rmsprop) == sorted(rmsprop, reverse=True) or np.all(np.diff(rmsprop[:20]) < 0)
