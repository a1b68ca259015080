"""Native code against the Python that it was made from."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from warmup_study import tasks
from warmup_study.tasks.task import cross_entropy
from warmup_study.training import inductor, stacked
from warmup_study.training.network_state import initial_state

RUNS, EXAMPLES = 3, 24


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize(("columns", "turned"), [(1, 1), (10, 1), (15, 1), (16, 0), (40, 0)])
def test_only_products_of_few_columns_are_turned_and_stay_equal(columns: int, turned: int) -> None:
    def flat(left: Tensor, right: Tensor) -> Tensor:
        return torch.bmm(left, right).view(RUNS, -1)  # a view that needs rows one after the other

    factors = random(RUNS, EXAMPLES, 20), random(RUNS, 20, columns)
    graph = inductor.turn_skinny_products(make_fx(flat)(*factors))
    permuted = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.permute.default)
    assert len(permuted) == 3 * turned
    torch.testing.assert_close(graph(*factors), flat(*factors), rtol=1e-14, atol=1e-14)


def test_a_product_of_few_rows_and_columns_is_left_alone() -> None:
    graph = make_fx(torch.bmm)(random(RUNS, 8, 20), random(RUNS, 20, 8))
    before = str(graph.graph)
    assert str(inductor.turn_skinny_products(graph).graph) == before


def test_what_a_product_spreads_is_stored_first() -> None:
    def spread(given: Tensor, other: Tensor) -> Tensor:
        return (given.exp().unsqueeze(0) * other).sum(1)

    factors = random(3, 5), random(16, 3, 5)
    graph = inductor.store_what_is_spread(make_fx(spread)(*factors))
    (stored,) = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.as_strided.default)
    assert stored.all_input_nodes[0].target == torch.ops.aten.exp.default
    assert torch.equal(graph(*factors), spread(*factors))


def test_functions_of_equal_shapes_do_not_share_their_code() -> None:
    def adding(amount: float) -> Callable[[Tensor], Tensor]:
        return lambda weights: weights + amount

    added, given = [adding(amount) for amount in range(12)], torch.zeros(4)
    assert [inductor.compiled(function, given)(given)[0].item() for function in added] == list(range(12))
    assert inductor.compiled(added[0], given) is inductor.compiled(added[0], torch.ones(4))
    assert inductor.compiled(added[0], given) is not inductor.compiled(added[0], torch.ones(5))


def test_compiling_leaves_the_examples_alone_and_works_in_place() -> None:
    def step(params: dict[str, Tensor], rate: Tensor) -> Tensor:
        before = params["weights"].sum()
        params["weights"].sub_(rate * params["weights"])
        return before

    params, rate = {"weights": torch.ones(3, 4)}, torch.tensor(0.5)
    made = inductor.compiled(step, params, rate)
    assert torch.equal(params["weights"], torch.ones(3, 4))
    assert made(params, rate).item() == 12
    assert torch.equal(params["weights"], torch.full((3, 4), 0.5))


def test_evaluation_as_native_code_equals_evaluation_in_python() -> None:
    measure, split = stacked._measure("digits-mlp"), tasks.load("digits-mlp").splits.validation
    state = initial_state(tasks.load("digits-mlp"), range(RUNS), torch.float64)
    arguments = *state, split.inputs.double(), split.targets
    for ours, expected in zip(inductor.compiled(measure, *arguments)(*arguments), measure(*arguments), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)


BROKEN = {
    "it fails": "exit 1",
    "what it makes cannot be loaded": 'while [ $# -gt 0 ]; do [ "$1" = -o ] && : > "$2"; shift; done',
}
COMPILE_TWO = """
import torch
from warmup_study.training import inductor
for function in (torch.sin, torch.cos):
    print(inductor.compiled(function, torch.zeros(3)) is function)
"""


def test_a_broken_compiler_is_one_line_and_python_does_the_work(tmp_path: Path) -> None:
    started = []
    for place, script in enumerate(BROKEN.values()):
        compiler = tmp_path / f"c++{place}"
        compiler.write_text(f'#!/bin/sh\ncase "$*" in *--version*|*-dump*) exec c++ "$@";; esac\n{script}\n')
        compiler.chmod(0o755)
        environment = os.environ | {"CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"cache{place}")}
        command = [sys.executable, "-c", COMPILE_TWO]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    for process in started:
        line, *uncompiled = process.communicate()[0].splitlines()
        assert line.startswith("compiled code is not to be had here (") and uncompiled == ["True", "True"]


def test_without_a_compiler_the_reason_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> str:
        raise RuntimeError("no C++ compiler\nin any of\n" + "many folders " * 50)

    monkeypatch.setattr(inductor, "get_cpp_compiler", refuse)
    monkeypatch.setattr(inductor, "_SAID", [])
    for double in (lambda weights: 2 * weights, lambda weights: weights + weights):
        assert inductor.compiled(double, torch.zeros(2)) is double
    (line,) = capsys.readouterr().out.splitlines()
    assert "(RuntimeError: no C++ compiler in any of many" in line and len(line) < 240


def test_an_error_of_the_function_itself_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(weights: Tensor) -> Tensor:
        return weights @ weights

    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        inductor.compiled(wrong, torch.zeros(2, 3))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shape", [(7, 10), (5, 6, 65), (1, 2)])
def test_cross_entropy_is_torchs_with_its_gradient(shape: tuple[int, ...]) -> None:
    logits = (3 * random(*shape)).requires_grad_()
    labels = torch.arange(logits[..., 0].numel()).reshape(shape[:-1]) % shape[-1]
    expected = functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
    ours = cross_entropy(logits, labels)
    torch.testing.assert_close(ours, expected, rtol=1e-14, atol=0)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-16)


def test_cross_entropy_looks_at_no_other_class_than_the_true_one() -> None:
    logits = torch.tensor([[0.0, -torch.inf]])
    assert cross_entropy(logits, torch.tensor([0])).item() == 0
    assert cross_entropy(logits, torch.tensor([1])).item() == torch.inf
