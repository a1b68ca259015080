"""Probes of curvature, angle and hidden units against exact values; the limits of stability; rebuilt tasks."""

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from small_experiments import config, runs_of
from torch import Tensor, nn
from torch.func import functional_call, hessian

from warmup_study import tasks, theory
from warmup_study.tasks import Split
from warmup_study.tasks.activation_variants import squared_error
from warmup_study.training import ensemble, optimizers
from warmup_study.training.examples import Examples
from warmup_study.training.full_batch import FullBatch
from warmup_study.training.group_losses import GroupLosses
from warmup_study.training.network_state import NetworkState, initial_state
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.probes import PROBES, UpdateContext, flat
from warmup_study.training.probes.curvature import lanczos
from warmup_study.training.schedules import Schedule
from warmup_study.training.stacked import StackedMembers

Stacks = dict[str, Tensor]
SEEDS = (3, 4, 5)
UNGROUPED = cast(GroupLosses, None)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


NETWORK = network()


def curved() -> tasks.Task:
    """A task for ``test_curvature:curved``."""
    return tasks.Task(
        "curved", "a curved loss", network, tasks.Splits(*[examples()] * 3), loss=nn.functional.cross_entropy
    )


def hidden(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(1, 4), activation, nn.Linear(4, 2))


def rectified() -> tasks.Task:
    return tasks.Task("rectified", "rectified units", lambda: hidden(nn.ReLU()), tasks.Splits(*[line()] * 3))


def bland() -> tasks.Task:
    return tasks.Task("bland", "no units", lambda: hidden(nn.Tanh()), tasks.Splits(*[line()] * 3))


def line() -> Split:
    return Split(torch.linspace(-1, 1, 9)[:, None], torch.zeros(9, dtype=torch.long))


def full_batch(task: str, params: Stacks, split: Split) -> FullBatch:
    members = StackedMembers(f"test_curvature:{task}", NetworkState(params, {}, {}), "momentum", ("lr",))
    return FullBatch(members, Examples(split), 8)


def examples() -> Split:
    torch.manual_seed(0)
    return Split(torch.randn(40, 5, dtype=torch.float64), torch.randint(3, (40,)))


def objective(params: Stacks, inputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(functional_call(NETWORK, params, (inputs,)), targets)


def stacked() -> Stacks:
    return initial_state(curved(), SEEDS, torch.float64).params


def exact_hessian(params: Stacks, run: int) -> Tensor:
    """The whole Hessian of one run, by torch.func."""
    split, one = examples(), {name: stack[run] for name, stack in params.items()}
    blocks = hessian(lambda weights: objective(weights, split.inputs, split.targets))(one)
    rows = [torch.cat([blocks[a][b].reshape(one[a].numel(), -1) for b in one], dim=1) for a in one]
    return torch.cat(rows)


def context(optimizer: Optimizer, rate: float = 0.1) -> UpdateContext:
    """What a probe sees of three updates' state at freshly initialised weights."""
    params = stacked()
    before = {name: stack.clone() for name, stack in params.items()}
    whole = full_batch("curved", params, examples())
    state = optimizers.initial_state(optimizer.kernel, params)
    table = optimizers.coefficients([optimizer] * len(SEEDS), np.full((3, len(SEEDS)), rate))
    gradient = whole.gradient(before)
    for update in range(3):
        row = {name: torch.as_tensor(column[update]) for name, column in table.items()}
        optimizers.apply(optimizer.kernel, params, gradient, state, row)
    row["lr"] = torch.full((len(SEEDS),), rate, dtype=torch.float64)
    return UpdateContext(before, params, state, row, torch.ones(len(SEEDS), dtype=torch.float64), whole, UNGROUPED)


def test_sharpness_is_the_top_eigenvalue_of_the_exact_hessian() -> None:
    seen = context(Optimizer(name="sgd"))
    exact = [torch.linalg.eigvalsh(exact_hessian(seen.before, run))[-1].item() for run in range(len(SEEDS))]
    assert PROBES["sharpness"](seen).tolist() == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "radam"])
def test_preconditioned_sharpness_is_that_of_the_exact_hessian(name: str) -> None:
    seen = context(Optimizer(name=name, eps=1e-3))
    rule = Optimizer(name=name, eps=1e-3)
    exact = []
    for run in range(len(SEEDS)):
        second = flat(seen.state["second"])[run]
        if name == "adam":  # Cohen et al. 2022: P = (1 - β₁ᵗ)(√(v / (1 - β₂ᵗ)) + ε)
            divisor = (1 - 0.9**3) * ((second / (1 - 0.999**3)).sqrt() + 1e-3)
        elif name == "rmsprop":
            divisor = second.sqrt() + 1e-3
        else:  # within the first five updates RAdam takes none
            divisor = torch.full_like(second, 1 - 0.9**3)
        scale = divisor.rsqrt()
        matrix = scale[:, None] * exact_hessian(seen.before, run) * scale
        exact.append(torch.linalg.eigvalsh(matrix)[-1].item())
    assert rule.kernel == "adaptive"
    assert PROBES["preconditioned_sharpness"](seen).tolist() == pytest.approx(exact, rel=0.01)


def test_at_rate_zero_and_at_weights_that_are_not_finite_there_is_no_sharpness() -> None:
    assert PROBES["preconditioned_sharpness"](context(Optimizer(name="adam"), rate=0.0)).isnan().all()
    seen = context(Optimizer(name="sgd"))
    seen.before["0.weight"][1] = torch.inf
    assert PROBES["sharpness"](seen).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("products", [1, 4, 30])
def test_lanczos_on_matrices_known_by_heart(products: int) -> None:
    matrices = torch.stack([torch.diag(torch.tensor([5.0, 1.0, -9.0])), torch.zeros(3, 3), 2 * torch.eye(3)])
    start = torch.tensor([[1.0, 1.0, 1.0]] * 3)
    found = lanczos(lambda rows: torch.einsum("rpq,rq->rp", matrices, rows), start, products)
    assert found.tolist() == pytest.approx([-1 if products == 1 else 5, 0, 2], abs=1e-5)


def test_a_right_angle_is_a_right_angle() -> None:
    before = {"weight": torch.tensor([[[3.0, 0.0]], [[1.0, 1.0]]]), "bias": torch.ones(2, 2)}
    after = {"weight": torch.tensor([[[0.0, 7.0]], [[2.0, 2.0]]]), "bias": torch.zeros(2, 2)}
    seen = UpdateContext(before, after, {}, {}, torch.ones(2), cast(FullBatch, None), UNGROUPED)
    assert PROBES["update_angle"](seen).tolist() == pytest.approx([math.pi / 2, 0], abs=1e-6)


def test_dead_units_are_counted_one_by_one() -> None:
    params = initial_state(rectified(), (1, 1)).params
    params["0.weight"] = torch.tensor([[1.0, 1, -1, 0]] * 2)[..., None]
    params["0.bias"] = torch.tensor([[0.0, -2, -2, 1], [torch.nan, 0, 0, 0]])
    whole = full_batch("rectified", params, line())
    seen = UpdateContext(params, params, {}, {}, torch.ones(2), whole, UNGROUPED)
    shares = PROBES["dead_share"](seen)
    assert shares[0] == 0.5 and shares[1].isnan()
    bare = UpdateContext(params, params, {}, {}, torch.ones(2), full_batch("bland", params, line()), UNGROUPED)
    assert PROBES["dead_share"](bare).isnan().all()


def diverges(optimizer: Optimizer, sharpness: float) -> bool:
    """Whether descent on a quadratic of that curvature grows at η = 1 (P = 1 for adaptive rules: v is kept out)."""
    table = optimizers.coefficients([optimizer], np.ones((3000, 1)))
    params, path = {"theta": torch.tensor([[1.0]], dtype=torch.float64)}, []
    state = optimizers.initial_state(optimizer.kernel, params)
    for update in range(len(table["l2"])):
        row = {name: torch.as_tensor(column[update]) for name, column in table.items()}
        if optimizer.kernel == "adaptive":
            row |= {"scaled": torch.zeros(1), "plain": torch.ones(1)}
        optimizers.apply(optimizer.kernel, params, {"theta": sharpness * params["theta"]}, state, row)
        path.append(abs(float(params["theta"])))
    return max(path[-50:]) > max(path[:50])


@pytest.mark.parametrize(
    ("optimizer", "limit"),
    [
        (Optimizer(name="sgd"), 2.0),
        (Optimizer(name="momentum"), 3.8),
        (Optimizer(name="momentum_lr_inside", momentum=0.5), 3.0),
        (Optimizer(name="nesterov"), 3.8 / 2.8),
        (Optimizer(name="adam"), 38.0),
        (Optimizer(name="rmsprop"), 2.0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_limit_of_stability_is_where_a_quadratic_starts_to_diverge(optimizer: Optimizer, limit: float) -> None:
    assert theory.stability_limit(optimizer) == pytest.approx(limit)
    assert not diverges(optimizer, 0.99 * limit) and diverges(optimizer, 1.01 * limit)


@pytest.mark.parametrize("name", ["lion", "signsgd", "muon"])
def test_rules_without_a_limit_of_stability_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: its steps are not linear"):
        theory.stability_limit(Optimizer.model_validate({"name": name}))


def trained(optimizer: Optimizer, schedule: Schedule) -> list[float]:
    runs = runs_of(optimizer, 0.01, (1,), schedule)
    traces = ensemble.train(config(15, 64, 15), runs, dtype=torch.float64)
    return [float(loss) for loss in traces.train_loss[:, 0]]


def test_an_uncorrected_first_moment_is_exactly_its_schedule() -> None:
    fix = theory.FIXES["m uncorrected"]
    assert trained(fix, Schedule()) == pytest.approx(trained(Optimizer(name="adam"), theory.implied_schedule(fix)))


def test_implied_schedules() -> None:
    implied = {name: theory.implied_schedule(fix).warmup for name, fix in theory.FIXES.items()}
    assert list(implied.values()) == ["rectified", "second_moment", "none", "first_moment"]
    assert theory.implied_schedule(Optimizer(name="adam")) == Schedule()


def test_rebuilt_tasks() -> None:
    plain, leaky, smooth = (tasks.load(f"digits-mlp{twist}") for twist in ("", "+leaky", "+smooth"))
    weights: Callable[[tasks.Task], Tensor] = lambda task: flat(initial_state(task, [1]).params)  # noqa: E731
    assert torch.equal(weights(plain), weights(leaky)) and torch.equal(weights(plain), weights(smooth))
    kinds = [{type(module) for module in task.model().modules()} for task in (plain, leaky, smooth)]
    assert [nn.ReLU in kind for kind in kinds] == [True, False, False]
    assert nn.LeakyReLU in kinds[1] and nn.GELU in kinds[2] and len(smooth.splits.train) == 256
    outputs, labels = torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0])
    assert squared_error(outputs, labels).item() == pytest.approx((0 + 0.5 * (1 + 9)) / 2)
