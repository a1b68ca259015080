"""The contenders of the benchmark do the same work: same init, same batches, same weights after it. No times here."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.func import functional_call

from warmup_study import tasks
from warmup_study.bench import __main__ as bench
from warmup_study.bench import breakdown, jax_loop, matmul_bound, scaling, torch_loops
from warmup_study.bench.figures import speed
from warmup_study.bench.workloads import LR, WORKLOADS, Workload
from warmup_study.running.processes import available_cores
from warmup_study.training.network_state import initial_state

RUNS, UPDATES = 3, 6
MLP = replace(WORKLOADS[0], runs=RUNS, updates=UPDATES, jax_updates=UPDATES, loop_updates=UPDATES)


@pytest.fixture(params=WORKLOADS, ids=lambda workload: workload.title)
def workload(request: pytest.FixtureRequest) -> Workload:
    made: Workload = request.param
    return replace(made, runs=RUNS, updates=UPDATES, jax_updates=UPDATES, loop_updates=UPDATES)


def final_losses(task_name: str, stacks: dict[str, Tensor]) -> Tensor:
    """Test loss [R] of a stack of weights."""
    task = tasks.load(task_name)
    model, tests = task.model(), [task.of_seed(seed).splits.test for seed in range(RUNS)]
    runs = [{name: stack[run] for name, stack in stacks.items()} for run in range(RUNS)]
    pairs = zip(runs, tests, strict=True)
    return torch.stack([task.loss(functional_call(model, run, (test.inputs,)), test.targets) for run, test in pairs])


def loops(workload: Workload) -> dict[str, Tensor]:
    alone = [torch_loops.loop_weights(workload, seed) for seed in range(RUNS)]
    return {name: torch.stack([weights[name] for weights in alone]) for name in alone[0]}


def test_the_ensemble_does_what_the_loops_do(workload: Workload) -> None:
    traces = torch_loops.ensemble_traces(workload, compiled=False)
    expected = final_losses(workload.task, loops(workload))
    torch.testing.assert_close(traces.test_loss, expected, rtol=1e-4, atol=0)
    start = final_losses(workload.task, initial_state(tasks.load(workload.task), range(RUNS)).params)
    assert ((start - expected).abs() > 2e-3).all(), "the tolerance must be small beside what training changes"


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed (the extra bench)")
def test_jax_does_what_the_loops_do(workload: Workload) -> None:
    stacks, expected = jax_loop.weights(workload), loops(workload)
    assert set(stacks) == set(expected)
    for name, stack in stacks.items():
        np.testing.assert_allclose(np.asarray(stack), expected[name], rtol=0, atol=0.05 * LR * UPDATES)
    ours = {name: torch.as_tensor(np.array(stack)) for name, stack in stacks.items()}
    torch.testing.assert_close(
        final_losses(workload.task, ours), final_losses(workload.task, expected), rtol=1e-4, atol=0
    )


def test_updates_are_counted(workload: Workload) -> None:
    assert torch_loops.loop_updates(workload) == UPDATES
    assert find_spec("jax") is None or torch_loops.jax_updates(workload) == RUNS * UPDATES


def test_contenders_share_the_cores_and_jax_is_optional() -> None:
    teams = torch_loops.contenders()
    assert list(teams)[:2] == [torch_loops.LOOPS, torch_loops.OURS]
    assert ("JAX, one process" in teams) == (find_spec("jax") is not None)
    assert all(
        len(team.members) == (1 if name == "JAX, one process" else available_cores()) for name, team in teams.items()
    )


def test_workloads_are_what_they_are_called() -> None:
    sizes = [
        [tuple(weights.shape) for name, weights in made.ordinary().named_parameters() if "weight" in name]
        for made in WORKLOADS[:2]
    ]
    assert sizes == [[(32, 64), (32, 32), (10, 32)], [(64, 64)] * 4 + [(10, 64)]]
    assert all(made.runs == tasks.load(made.task).stack for made in WORKLOADS), "stacked as the study stacks them"


def test_the_floor_counts_the_products_of_both_passes() -> None:
    forwards, first = MLP.batch * 2 * (64 * 32 + 32 * 32 + 32 * 10), MLP.batch * 2 * 64 * 32
    assert matmul_bound.operations(MLP) == 3 * forwards - first, "the first layer passes no gradient on"
    assert matmul_bound.bytes_moved(MLP) == 28 * (65 * 32 + 33 * 32 + 33 * 10)
    assert matmul_bound.product_operations(MLP) == matmul_bound.PRODUCTS * matmul_bound.STACK * 2 * matmul_bound.SIDE**3


def test_the_floor_counts_the_products_of_attention() -> None:
    blocks = [matmul_bound.operations(made) for made in WORKLOADS[2:4]]
    dense, attention = 16 * (3 * 16 + 16 + 2 * 32) * 16, 2 * 2 * 16 * 16 * 8  # of one image of 16 tokens, in one block
    assert blocks[1] - blocks[0] == 4 * 3 * 32 * 2 * (dense + attention)


def test_the_parts_of_an_update_are_told_by_names() -> None:
    known = {
        "aten::bmm": breakdown.PRODUCTS,
        "aten::index": breakdown.BATCHES,
        "graph_0_cpp_fused__softmax_add_mul_2": "attention",
        "graph_0_cpp_fused_add_mean_mul_pow_rsqrt_sub_3": "normalisation",
        "graph_0_cpp_fused__log_softmax_backward_data_eq_index_0": breakdown.BATCHES,
        "graph_0_cpp_fused_add_relu_view_4": "other kernels",
        "aten::select": breakdown.REST,
    }
    assert {name: breakdown.part_of(name) for name in known} == known


def event(number: int, name: str, start: float, end: float) -> FunctionEvent:
    return FunctionEvent(number, name, 0, start, end)  # type: ignore[no-untyped-call]


def test_an_update_is_divided_by_what_runs_before_it_ends() -> None:
    """Updates of 10 µs: 6 of products, 3 of attention, 1 of Python; every sixth is followed by 25 of evaluation."""
    events, now = [], 0.0
    for update in range(1, breakdown.UPDATES + 1):
        parts = ("aten::bmm", 0, 6), ("graph_0_cpp_fused__softmax_mul_2", 6, 9), (f"{breakdown.CALL} abc ##", 0, 10)
        events += [event(update, name, now + start, now + end) for name, start, end in parts]
        now += 10
        if update % (breakdown.UPDATES // breakdown.EVALUATIONS) == 0:
            events.append(event(update, "aten::bmm", now, now + 25))
            now += 25
    found = breakdown.divided(events)
    shares = {breakdown.PRODUCTS: 0.6, "attention": 0.3, breakdown.REST: 0.1}
    assert found["shares"] == pytest.approx(dict.fromkeys(breakdown.PARTS, 0.0) | shares)
    assert found["evaluation_in_updates"] == pytest.approx(2.5)


def test_a_row_holds_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    rates = {torch_loops.LOOPS: 100.0, torch_loops.OURS: 1500.0, "JAX, one process": 500.0, "JAX, twice": 1000.0}
    row = bench._row(MLP, rates | {bench.PRODUCTS: 1500.0 * matmul_bound.operations(MLP) * 2})
    assert (row["over_loops"], row["over_jax"], row["of_floor"]) == (15.0, 1.5, 0.5)
    assert "15.0 × loops, 1.50 × JAX, 50% of the floor's rate" in capsys.readouterr().out
    assert bench._row(MLP, {torch_loops.LOOPS: 1.0, torch_loops.OURS: 2.0, bench.PRODUCTS: 1.0})["over_jax"] is None


def test_many_runs_are_measured_by_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "UPDATES", 2)
    rate, memory = scaling.measured(3, "cpu")
    assert rate > 0 and 50 < memory < 100_000


def measurement() -> dict[str, Any]:
    """What a benchmark of one network measures."""
    rates = {torch_loops.LOOPS: 100.0, torch_loops.OURS: 1500.0, "JAX, one process": 500.0}
    row = {"workload": "a net", "batch": 32, "over_loops": 15.0, "of_floor": 0.5, "updates_per_second": rates}
    rows = [{"runs": runs, "runs_per_minute": 1e3, "largest_process_mb": 600.0} for runs in scaling.RUNS]
    machine = {"cpu": "some", "cores": 2}
    return {"machine": machine, "rounds": 7, "table": [row], "scaling": {"cpu": rows}}


def test_a_measurement_is_kept_beside_what_is_published_until_it_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARMUP_STUDY_ROOT", str(tmp_path))
    monkeypatch.setattr(bench, "measured", measurement)
    assert bench.main(["--publish"]) == 1 and "make bench" in capsys.readouterr().err
    assert bench.main([]) == 0
    kept = tmp_path / bench.KEPT
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(kept.iterdir())
    assert bench.main(["--publish"]) == 0
    published = {"data/results/bench.json": "bench.json", "figures/bench.svg": "speed.svg"}
    for name, source in published.items():
        assert (tmp_path / name).read_bytes() == (kept / source).read_bytes()


def test_the_figure_shows_every_workload(tmp_path: Path) -> None:
    speed(measurement()).write(tmp_path / "bench")
    assert "a net" in (tmp_path / "bench.svg").read_text(encoding="utf-8")
    assert "2 cores (some), Adam, batches as in the study: 32 (a net)" in (tmp_path / "bench.json").read_text(
        encoding="utf-8"
    )
