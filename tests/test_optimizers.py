"""Update rules: each equals torch.optim's or a written-out loop, however the runs of a stack are mixed."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from warmup_study import tasks
from warmup_study.training import inductor
from warmup_study.training.network_state import initial_state as network_state
from warmup_study.training.optimizers import (
    KERNELS,
    SETTINGS,
    Optimizer,
    apply,
    coefficients,
    initial_state,
    linear_weights,
)
from warmup_study.training.stacked import StackedMembers

UPDATES = 200
SHAPES = {"weight": (3, 2), "wide": (2, 5), "bias": (4,)}
MATRICES = {"weight", "wide"}
Grads = Callable[[dict[str, Tensor], int], dict[str, Tensor]]


class Formula(torch.optim.Optimizer):
    """Lion and signSGD as their papers write them, with this update's momentum among the settings."""

    def __init__(self, params: list[Tensor], given: Optimizer) -> None:
        super().__init__(params, {"lr": 1.0, "momentum": momentum_of(given)})
        self.lion, self.kept, self.decay = given.name == "lion", given.beta2 or 0.0, given.weight_decay or 0.0
        self.averages = [torch.zeros_like(param) for param in params]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        (group,) = self.param_groups
        for param, average in zip(group["params"], self.averages, strict=True):
            self.move(param, param.grad, average, group["lr"], group["momentum"])

    def move(self, param: Tensor, grad: Tensor, average: Tensor, rate: float, momentum: float) -> None:
        if self.lion:
            towards = torch.sign(momentum * average + (1 - momentum) * grad)
            param.copy_(param - rate * (towards + self.decay * param))
            average.copy_(self.kept * average + (1 - self.kept) * grad)
        else:
            average.copy_(momentum * average + (1 - momentum) * (grad + self.decay * param))
            param.copy_(param - rate * torch.sign(average))


class MuonAndAdamW(torch.optim.Optimizer):
    """torch's Muon for matrices, without its rounding to bfloat16, and torch's AdamW for vectors."""

    def __init__(self, params: list[Tensor], given: Optimizer) -> None:
        super().__init__(params, stated(given, "momentum") | {"lr": 1.0})
        decay, adjust = stated(given, "weight_decay"), "match_rms_adamw" if given.match_rms else "original"
        self.muon = torch.optim.Muon([each for each in params if each.ndim == 2], adjust_lr_fn=adjust, **decay)
        vectors = [each for each in params if each.ndim < 2]
        self.adamw = torch.optim.AdamW(vectors, betas=betas(given), **stated(given, "weight_decay", "eps"))
        self.ratio = given.adam_lr_ratio

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        lr, momentum = (self.param_groups[0][name] for name in ("lr", "momentum"))
        self.muon.param_groups[0].update(lr=lr, momentum=momentum)
        self.adamw.param_groups[0].update(lr=lr * self.ratio)
        with mock.patch.object(Tensor, "bfloat16", Tensor.clone):
            self.muon.step()  # type: ignore[no-untyped-call]
        self.adamw.step()


TORCH: dict[str, Callable[[Any, Optimizer], torch.optim.Optimizer]] = {
    "sgd": lambda p, o: torch.optim.SGD(p, **stated(o, "weight_decay")),
    "momentum": lambda p, o: torch.optim.SGD(p, **stated(o, "weight_decay", "momentum")),
    "nesterov": lambda p, o: torch.optim.SGD(p, nesterov=True, **stated(o, "weight_decay", "momentum")),
    "rmsprop": lambda p, o: torch.optim.RMSprop(p, **stated(o, "weight_decay", "eps") | {"alpha": o.beta2}),
    "adam": lambda p, o: torch.optim.Adam(p, betas=betas(o), **stated(o, "weight_decay", "eps")),
    "adamw": lambda p, o: torch.optim.AdamW(p, betas=betas(o), **stated(o, "weight_decay", "eps")),
    "radam": lambda p, o: torch.optim.RAdam(p, betas=betas(o), **stated(o, "weight_decay", "eps")),
    "adagrad": lambda p, o: torch.optim.Adagrad(p, **stated(o, "weight_decay", "eps")),
    "lion": Formula,
    "signsgd": Formula,
    "muon": MuonAndAdamW,
}


def stated(optimizer: Optimizer, *fields: str) -> dict[str, Any]:
    return {field: getattr(optimizer, field) for field in fields}


def momentum_of(optimizer: Optimizer) -> float:
    """What ``momentum_ramp`` ramps."""
    return (optimizer.beta1 if optimizer.name == "lion" else optimizer.momentum) or 0.0


def betas(optimizer: Optimizer) -> tuple[float, float]:
    assert optimizer.beta1 is not None and optimizer.beta2 is not None
    return optimizer.beta1, optimizer.beta2


def start(runs: int, seed: int) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(seed)
    return {name: torch.randn(runs, *shape, generator=make, dtype=torch.float64) for name, shape in SHAPES.items()}


def quadratic(runs: int, seed: int) -> Grads:
    """Gradients of a random convex quadratic for each run and parameter, plus noise for each update."""
    make = torch.Generator().manual_seed(seed)
    curvature = {
        name: torch.rand(runs, *shape, generator=make, dtype=torch.float64) * 2 for name, shape in SHAPES.items()
    }
    noise = {
        name: torch.randn(UPDATES + 1, runs, *shape, generator=make, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }
    return lambda params, update: {
        name: curvature[name] * param + noise[name][update] for name, param in params.items()
    }


def random_rates(runs: int, seed: int, updates: int = UPDATES) -> NDArray[np.float64]:
    """Learning rates that change at every update, about 1e-2, with some at 0."""
    make = np.random.default_rng(seed)
    rates = 10 ** make.uniform(-4, -1.5, size=(updates, runs))
    rates[make.random(rates.shape) < 0.1] = 0.0
    return rates


def train(
    optimizers: Sequence[Optimizer],
    rates: NDArray[np.float64],
    params: dict[str, Tensor],
    grads: Grads,
    state: dict[str, dict[str, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """Train copies of `params` as one stack, from the state given, which changes with them, else from none."""
    kernel = optimizers[0].kernel
    table = {name: torch.as_tensor(column) for name, column in coefficients(optimizers, rates).items()}
    params = {name: param.clone() for name, param in params.items()}
    state = initial_state(kernel, params, MATRICES) if state is None else state
    for update in range(1, len(rates) + 1):
        row = {name: column[update - 1] for name, column in table.items()}
        apply(kernel, params, grads(params, update), state, row)
    return params


def train_with_torch(
    optimizer: Optimizer, rates: NDArray[np.float64], params: dict[str, Tensor], grads: Grads, run: int
) -> dict[str, Tensor]:
    """Train run number `run` of the stack with torch.optim under a LambdaLR."""
    params = {name: param.clone() for name, param in params.items()}
    alone = {name: torch.nn.Parameter(param[run].clone()) for name, param in params.items()}
    rule = TORCH[optimizer.name](list(alone.values()), optimizer)
    for group in rule.param_groups:
        group["lr"] = 1.0
    scheduler = torch.optim.lr_scheduler.LambdaLR(rule, lambda t: float(rates[min(t, len(rates) - 1)]))
    for update in range(1, len(rates) + 1):
        for name, param in alone.items():
            params[name][run] = param.detach()
        for name, grad in grads(params, update).items():
            alone[name].grad = grad[run].clone()
        if optimizer.momentum_ramp:
            rule.param_groups[0]["momentum"] = momentum_of(optimizer) * min(1, (update - 1) / optimizer.momentum_ramp)
        rule.step()
        scheduler.step()
    return {name: param.detach() for name, param in alone.items()}


def assert_same(ours: dict[str, Tensor], reference: dict[str, Tensor], rtol: float = 1e-10) -> None:
    for name, expected in reference.items():
        torch.testing.assert_close(ours[name], expected, rtol=rtol, atol=rtol)


def of_name(name: str) -> st.SearchStrategy[Optimizer]:
    """Optimisers of one name with the settings that torch.optim knows, too."""
    below_one = st.sampled_from([0.0, 0.5, 0.9, 0.97])
    known = {
        "momentum": below_one.filter(bool),  # torch refuses Nesterov's rule without momentum
        "beta1": below_one,
        "beta2": st.sampled_from([0.8, 0.9, 0.95, 0.99, 0.999]),
        "eps": st.sampled_from([1e-8, 1e-6, 1e-3]),
        "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
        "match_rms": st.booleans(),
        "adam_lr_ratio": st.sampled_from([0.1, 1.0]),
    }
    if KERNELS[name] in ("sign", "orthogonal"):
        known["momentum_ramp"] = st.sampled_from([0, 20])
    taken = {field: values for field, values in known.items() if field in SETTINGS[name]}
    return st.fixed_dictionaries(taken).map(lambda given: Optimizer.model_validate({"name": name, **given}))


@pytest.mark.parametrize("name", TORCH)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_equals_torch_optim_while_the_rate_changes(name: str, data: st.DataObject, seed: int) -> None:
    optimizers = data.draw(st.lists(of_name(name), min_size=2, max_size=2))
    rates, params, grads = random_rates(2, seed), start(2, seed), quadratic(2, seed)
    ours = train(optimizers, rates, params, grads)
    for run, optimizer in enumerate(optimizers):
        reference = train_with_torch(optimizer, rates[:, run], params, grads, run)
        assert_same({key: param[run] for key, param in ours.items()}, reference)


@pytest.mark.parametrize("name", ["rmsprop", "adam", "adamw", "radam", "adagrad"])
def test_defaults_are_torchs(name: str) -> None:
    torchs = {
        "rmsprop": torch.optim.RMSprop,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "radam": torch.optim.RAdam,
        "adagrad": torch.optim.Adagrad,
    }[name]
    params = [torch.zeros(1, requires_grad=True)]
    ours = TORCH[name](params, Optimizer.model_validate({"name": name}))
    assert ours.defaults == torchs(params).defaults


def scalar(rule: Callable[..., float], rates: NDArray[np.float64], seed: int, **given: Any) -> tuple[float, float]:
    """Train one number on noisy f = x^2/2 with a rule(grad, lr, update, state) -> step; ours must equal it."""
    noise = np.random.default_rng(seed).normal(size=len(rates) + 1)
    position, state = 1.5, {"m": 0.0, "v": 0.0}
    for update, rate in enumerate(rates[:, 0], start=1):
        position -= rule(position + noise[update], rate, update, state)
    ours = train(
        [Optimizer.model_validate(given)],
        rates,
        {"x": torch.tensor([1.5], dtype=torch.float64)},
        lambda params, update: {"x": params["x"] + noise[update]},
    )
    return float(ours["x"][0]), position


def sutskever(momentum: float) -> Callable[..., float]:
    def rule(grad: float, rate: float, update: int, state: dict[str, float]) -> float:
        state["v"] = momentum * state["v"] - rate * grad
        return -state["v"]

    return rule


def test_momentum_lr_inside_is_sutskevers_form() -> None:
    rates = random_rates(1, 1)
    ours, expected = scalar(sutskever(0.9), rates, 1, name="momentum_lr_inside", momentum=0.9)
    assert ours == pytest.approx(expected, rel=1e-10)


def test_both_momentum_forms_agree_at_a_constant_rate_alone() -> None:
    optimizers = [Optimizer(name="momentum"), Optimizer(name="momentum_lr_inside")]
    params, grads = start(1, 2), quadratic(1, 2)
    params = {name: param.expand(2, *param.shape[1:]).clone() for name, param in params.items()}
    gaps = []
    for rates in (np.full((UPDATES, 2), 0.01), np.linspace(0.001, 0.01, UPDATES)[:, None].repeat(2, axis=1)):
        trained = train(optimizers, rates, params, grads)["weight"]
        gaps.append(float((trained[0] - trained[1]).abs().max()))
    assert gaps[0] < 1e-12 and gaps[1] > 1e-3


def test_after_zero_warmup_only_the_torch_form_has_built_up_momentum() -> None:
    rates = np.where(np.arange(1, 102) <= 100, 0.0, 0.01)[:, None].repeat(2, axis=1)
    params = {"x": torch.zeros(2, 1, dtype=torch.float64)}
    steady = train(
        [Optimizer(name="momentum"), Optimizer(name="momentum_lr_inside")],
        rates,
        params,
        lambda params, update: {"x": torch.ones_like(params["x"])},
    )
    first_steps = -steady["x"][:, 0] / 0.01
    assert first_steps.tolist() == pytest.approx([10, 1], rel=1e-4)  # 1/(1 - 0.9), and a plain step


def test_corrected_rmsprop_is_adam_without_first_moment() -> None:
    shared: dict[str, Any] = {"beta2": 0.97, "weight_decay": 0.1}
    corrected = Optimizer(name="rmsprop", bias_correction=True, **shared)
    params, rates, grads = start(1, 3), random_rates(1, 3), quadratic(1, 3)
    adam = train([Optimizer(name="adam", beta1=0, **shared)], rates, params, grads)
    assert_same(train([corrected], rates, params, grads), adam, rtol=0)


def adam_with(
    reset_at: int = 0,
    starts: tuple[int, int] = (0, 0),
    frozen: int = 0,
    before: int = 0,
    initialised: bool = False,
    **fixed: bool,
) -> Callable[..., float]:
    """Write Adam out for one number, its switches as plain conditions."""

    def rule(grad: float, rate: float, update: int, state: dict[str, float]) -> float:
        if reset_at and update == reset_at + 1:
            state["m"] = state["v"] = 0.0
        if update > frozen:
            state["m"] = 0.9 * state["m"] + 0.1 * grad
        if initialised and update in (1, reset_at + 1):
            state["v"] = grad**2
        else:
            state["v"] = 0.98 * state["v"] + 0.02 * grad**2
        count1, count2 = (update - begun if 0 < begun < update else update + before for begun in starts)
        first = 1 if fixed.get("raw_first") else 1 - 0.9**count1
        second = 1 if fixed.get("raw_second") else 1 - 0.98**count2
        return float(rate * state["m"] / first / (math.sqrt(state["v"] / second) + 1e-8))

    return rule


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        ({}, {}),
        ({"bias_correction": False}, {"raw_second": True}),
        ({"first_moment_correction": False}, {"raw_first": True}),
        ({"freeze_first_until": 40}, {"frozen": 40}),
        ({"freeze_first_until": 40, "count1_from": 40}, {"frozen": 40, "starts": (40, 0)}),
        ({"count2_from": 40}, {"starts": (0, 40)}),
        ({"count1_from": 30, "count2_from": 60}, {"starts": (30, 60)}),
        ({"reset_at": 40}, {"reset_at": 40, "starts": (40, 40)}),
        ({"reset_at": 40, "keep_counter": True}, {"reset_at": 40}),
        (
            {"reset_at": 40, "keep_counter": True, "count1_from": 40},
            {"reset_at": 40, "starts": (40, 0)},
        ),
        ({"updates_before": 30}, {"before": 30}),
        ({"updates_before": 30, "reset_at": 40}, {"before": 30, "reset_at": 40, "starts": (40, 40)}),
        ({"updates_before": 30, "reset_at": 40, "keep_counter": True}, {"before": 30, "reset_at": 40}),
        ({"updates_before": 30, "count2_from": 40}, {"before": 30, "starts": (0, 40)}),
        ({"first_gradient_init": True}, {"initialised": True}),
        ({"first_gradient_init": True, "bias_correction": False}, {"initialised": True, "raw_second": True}),
        (
            {"first_gradient_init": True, "reset_at": 40},
            {"initialised": True, "reset_at": 40, "starts": (40, 40)},
        ),
    ],
)
def test_switches_equal_a_written_out_adam(given: dict[str, Any], reference: dict[str, Any]) -> None:
    ours, expected = scalar(adam_with(**reference), random_rates(1, 4), 4, name="adam", beta2=0.98, **given)
    assert ours == pytest.approx(expected, rel=1e-10)


def test_momentum_switches_equal_a_written_out_loop() -> None:
    def rule(grad: float, rate: float, update: int, state: dict[str, float]) -> float:
        kept = 0.0 if update == 51 else 0.9 * min(1, (update - 1) / 20)
        state["v"] = kept * state["v"] + grad
        return rate * state["v"]

    given = {"name": "momentum", "momentum_ramp": 20, "reset_at": 50}
    ours, expected = scalar(rule, random_rates(1, 5), 5, **given)
    assert ours == pytest.approx(expected, rel=1e-10)


def test_momentum_ramp_moves_nesterovs_look_ahead_as_well() -> None:
    def rule(grad: float, rate: float, update: int, state: dict[str, float]) -> float:
        momentum = 0.9 * min(1, (update - 1) / 20)
        state["v"] = momentum * state["v"] + grad
        return rate * (grad + momentum * state["v"])

    ours, expected = scalar(rule, random_rates(1, 6), 6, name="nesterov", momentum_ramp=20)
    assert ours == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "sgd"])
def test_a_reset_forgets_all_that_came_before(name: str) -> None:
    params, grads = start(1, 7), quadratic(1, 7)
    rates = np.where(np.arange(1, 101) <= 50, 0.0, 0.01)[:, None]

    def late_grads(params: dict[str, Tensor], update: int) -> dict[str, Tensor]:
        return grads(params, update + 50)

    late = train([Optimizer.model_validate({"name": name})], rates[50:], params, late_grads)
    reset = Optimizer.model_validate({"name": name, "reset_at": 50})
    assert_same(train([reset], rates, params, grads), late, rtol=0)


@pytest.mark.parametrize(
    "given", [*({"name": name} for name in SETTINGS), {"name": "adam", "first_gradient_init": True}]
)
def test_training_goes_on_from_a_kept_state_as_if_it_had_not_stopped(given: dict[str, Any]) -> None:
    before = {"updates_before": 40} if "updates_before" in SETTINGS[given["name"]] else {}
    optimizers = [Optimizer.model_validate(given | more) for more in ({}, before)]
    params, grads, rates = start(1, 12), quadratic(1, 12), random_rates(1, 12, 100)
    whole = train(optimizers[:1], rates, params, grads)
    state = initial_state(optimizers[0].kernel, params, MATRICES)
    halfway = train(optimizers[:1], rates[:40], params, grads, state)
    ended = train(optimizers[1:], rates[40:], halfway, lambda params, update: grads(params, update + 40), state)
    assert_same(ended, whole, rtol=0)


MIXED = {
    "momentum": [
        Optimizer(name="sgd"),
        Optimizer(name="sgd", weight_decay=0.1),
        Optimizer(name="momentum", momentum=0.5, reset_at=9),
        Optimizer(name="momentum_lr_inside", momentum_ramp=7),
        Optimizer(name="nesterov", momentum=0.97),
    ],
    "adaptive": [
        Optimizer(name="rmsprop"),
        Optimizer(name="rmsprop", beta2=0.9, bias_correction=True, first_gradient_init=True),
        Optimizer(name="adam", beta1=0.5, weight_decay=0.1, reset_at=9),
        Optimizer(name="adamw", beta2=0.95, freeze_first_until=12),
        Optimizer(name="radam", eps=1e-3, count1_from=5),
        Optimizer(name="radam", beta2=0.5),
        Optimizer(name="adagrad", weight_decay=0.1),
        Optimizer(name="adagrad", eps=1e-3, reset_at=9),
        Optimizer(name="adam", updates_before=7),
    ],
    "sign": [
        Optimizer(name="lion", weight_decay=0.1),
        Optimizer(name="lion", beta1=0.95, beta2=0.98, momentum_ramp=7),
        Optimizer(name="signsgd", weight_decay=0.1, reset_at=9),
        Optimizer(name="signsgd", momentum=0.5, momentum_ramp=7),
    ],
    "orthogonal": [
        Optimizer(name="muon", weight_decay=0.1, adam_lr_ratio=0.1),
        Optimizer(name="muon", momentum=0.9, match_rms=False, momentum_ramp=7),
        Optimizer(name="muon", beta1=0.5, eps=1e-3, reset_at=9),
    ],
}


@pytest.mark.parametrize("optimizers", MIXED.values(), ids=list(MIXED))
def test_a_mixed_stack_equals_separate_runs_bit_for_bit(optimizers: list[Optimizer]) -> None:
    runs = len(optimizers)
    rates, params, grads = random_rates(runs, 8), start(runs, 8), quadratic(runs, 8)
    together = train(optimizers, rates, params, grads)
    for run, optimizer in enumerate(optimizers):

        def alone(single: dict[str, Tensor], update: int, run: int = run) -> dict[str, Tensor]:
            whole = {name: param.expand(runs, *param.shape[1:]) for name, param in single.items()}
            return {name: grad[run : run + 1] for name, grad in grads(whole, update).items()}

        first = {name: param[run : run + 1] for name, param in params.items()}
        separate = train([optimizer], rates[:, run : run + 1], first, alone)
        assert_same({name: param[run : run + 1] for name, param in together.items()}, separate, rtol=0)


@pytest.mark.parametrize("optimizers", MIXED.values(), ids=list(MIXED))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rate_of_zero_leaves_every_bit(optimizers: list[Optimizer], dtype: torch.dtype) -> None:
    runs = len(optimizers)
    grads = quadratic(runs, 9)
    params = {name: param.to(dtype) for name, param in start(runs, 9).items()}
    table = coefficients(optimizers, np.zeros((30, runs)))
    after = {name: param.clone() for name, param in params.items()}
    state = initial_state(optimizers[0].kernel, params, MATRICES)
    for update in range(30):
        row = {name: torch.as_tensor(column[update], dtype=dtype) for name, column in table.items()}
        apply(optimizers[0].kernel, after, {k: g.to(dtype) for k, g in grads(after, update).items()}, state, row)
    assert all(torch.equal(after[name], param) for name, param in params.items())
    assert any(moment.abs().max() > 0 for stacks in state.values() for moment in stacks.values())


@pytest.mark.parametrize("optimizers", MIXED.values(), ids=list(MIXED))
def test_kernels_compiled_by_inductor_stay_equal(optimizers: list[Optimizer]) -> None:
    kernel, runs = optimizers[0].kernel, len(optimizers)
    rates, grads, outcomes = random_rates(runs, 10, 20), quadratic(runs, 10), []
    table = coefficients(optimizers, rates)
    for native in (False, True):
        step: Callable[..., None] = partial(apply, kernel)
        params = start(runs, 10)
        state = initial_state(kernel, params, MATRICES)
        for update in range(20):
            row = {name: torch.as_tensor(column[update]) for name, column in table.items()}
            arguments = params, grads(params, update), state, row
            if native and update == 0:
                compiled = inductor.compiled(step, *arguments)
                assert compiled is not step
                step = compiled
            step(*arguments)
        outcomes.append(params)
    assert_same(outcomes[1], outcomes[0], rtol=1e-12)


def test_muons_matrices_are_the_weights_of_linear_layers() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.attention = torch.nn.Embedding(9, 4), torch.nn.MultiheadAttention(4, 2)
            self.position, self.head = torch.nn.Parameter(torch.zeros(5, 4)), torch.nn.Linear(4, 9)
            self.head.weight = self.words.weight

    assert linear_weights(Tied()) == {"attention.out_proj.weight"}
    task = tasks.load("digits-transformer")
    stack = StackedMembers("digits-transformer", network_state(task, (0, 1)), "orthogonal", ())
    velocities = stack.state["velocity"].keys()
    assert {"embed.weight", "head.weight"} < velocities and not {"position", "head.bias"} & velocities
    assert stack.params.keys() - velocities == stack.state["first"].keys() == stack.state["second"].keys()


def noise_steps(optimizer: Optimizer, at: Sequence[int]) -> list[float]:
    """Mean |update|/rate at the given updates for 20,000 parameters whose gradients are pure noise."""
    make = torch.Generator().manual_seed(11)
    table = coefficients([optimizer], np.ones((max(at), 1)))
    params = {"x": torch.zeros(1, 20_000, dtype=torch.float64)}
    state, sizes = initial_state(optimizer.kernel, params), {}
    for update in range(1, max(at) + 1):
        before = params["x"].clone()
        grads = {"x": torch.randn(1, 20_000, generator=make, dtype=torch.float64)}
        row = {name: torch.as_tensor(column[update - 1]) for name, column in table.items()}
        apply(optimizer.kernel, params, grads, state, row)
        sizes[update] = float((params["x"] - before).abs().mean())
    return [sizes[update] for update in at]


def test_update_sizes_under_pure_noise_are_the_known_ones() -> None:
    updates = (1, 2, 3, 5, 10, 20, 40, 100)
    adam = noise_steps(Optimizer(name="adam"), updates)
    assert adam == pytest.approx([1.00, 0.64, 0.50, 0.38, 0.27, 0.21, 0.19, 0.18], abs=0.012)
    rmsprop = noise_steps(Optimizer(name="rmsprop"), updates)
    assert rmsprop == pytest.approx([10.0, 6.4, 5.0, 3.8, 2.7, 1.9, 1.4, 1.0], rel=0.05)


@pytest.mark.parametrize("alpha", [0.9, 0.99])
def test_rmsprops_first_update_is_too_large_by_the_known_factor(alpha: float) -> None:
    [first] = noise_steps(Optimizer(name="rmsprop", beta2=alpha, eps=1e-12), [1])
    assert first == pytest.approx(1 / math.sqrt(1 - alpha), rel=1e-6)
    [corrected] = noise_steps(Optimizer(name="rmsprop", beta2=alpha, bias_correction=True, eps=1e-12), [1])
    assert corrected == pytest.approx(1, rel=1e-6)


def test_first_gradient_initialisation_with_correction_hides_a_warmup() -> None:
    optimizer = Optimizer(name="adam", beta1=0, beta2=0.99, first_gradient_init=True, eps=1e-12)
    [first] = noise_steps(optimizer, [1])
    assert first == pytest.approx(math.sqrt(1 - 0.99), rel=1e-6)


def test_radam_takes_plain_momentum_steps_at_first() -> None:
    table = coefficients([Optimizer(name="radam"), Optimizer(name="radam", beta2=0.5)], np.ones((10, 2)))
    assert (table["plain"][:, 0] > 0).tolist() == [True] * 5 + [False] * 5
    assert (table["scaled"][:, 0] > 0).tolist() == [False] * 5 + [True] * 5
    assert (table["scaled"][:, 1] == 0).all()  # beta2 = 0.5 remembers too little, ever


def test_settings_survive_a_round_trip_and_numbers_may_be_text() -> None:
    for optimizers in MIXED.values():
        for optimizer in optimizers:
            assert Optimizer.model_validate(optimizer.model_dump()) == optimizer
            assert Optimizer.model_validate_json(optimizer.model_dump_json()) == optimizer
    assert Optimizer.model_validate({"name": "adam", "eps": "1e-3"}) == Optimizer(name="adam", eps=0.001)
    assert len({Optimizer(name="adam"), Optimizer(name="adam", beta1=0.9)}) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"name": "sgd", "momentum": 0.9},
        {"name": "sgd", "reset_at": 5},
        {"name": "momentum", "beta2": 0.9},
        {"name": "momentum_lr_inside", "bias_correction": False},
        {"name": "rmsprop", "beta1": 0.9},
        {"name": "rmsprop", "freeze_first_until": 3},
        {"name": "radam", "bias_correction": False},
        {"name": "radam", "first_gradient_init": True},
        {"name": "adam", "momentum_ramp": 3},
        {"name": "adam", "match_rms": False},
        {"name": "momentum", "updates_before": 3},
        {"name": "adagrad", "beta2": 0.9},
        {"name": "lion", "momentum": 0.9},
        {"name": "signsgd", "beta1": 0.9},
        {"name": "muon", "freeze_first_until": 3},
    ],
)
def test_settings_without_use_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=rf"{given['name']} has no {list(given)[1]}, got .*; it takes"):
        Optimizer.model_validate(given)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "adafactor"),
        ("name", ["adam"]),
        ("beta1", 1),
        ("beta2", -0.1),
        ("beta2", float("nan")),
        ("eps", 0),
        ("weight_decay", -1),
        ("weight_decay", float("inf")),
        ("reset_at", -1),
        ("reset_at", 1.5),
        ("bias_correction", "perhaps"),
        ("beta3", 0.9),
    ],
)
def test_bad_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Optimizer.model_validate({"name": "adam", field: value})


def test_something_else_than_settings_is_refused() -> None:
    with pytest.raises(ValidationError):
        Optimizer.model_validate("adam")


def test_stacks_of_two_kernels_and_rates_of_another_shape_are_refused() -> None:
    adam, sgd = Optimizer(name="adam"), Optimizer(name="sgd")
    with pytest.raises(ValueError, match="one kernel"):
        coefficients([adam, sgd], np.ones((5, 2)))
    with pytest.raises(ValueError, match="one kernel"):
        coefficients([], np.ones((5, 0)))
    for shape in ((5, 1), (2,)):
        with pytest.raises(ValueError, match=r"rates must be \[T, 2\]"):
            coefficients([adam, adam], np.ones(shape))
