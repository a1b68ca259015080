"""Speed of the ensemble beside its peers: the same model, data, batch and optimiser, in one run, on all cores.

Contenders: an ordinary ``torch.optim`` loop in one process per core; JAX ``vmap`` + ``scan`` as one process with all
threads and as one process per core; the ensemble as the study runs it. Rounds are interleaved, so that a slow minute of
the machine hits all alike; figures are medians over rounds, and what counts is their ratios.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warmup_study import ensemble, provenance, streams, tasks
from warmup_study.history import History, Plan, Run
from warmup_study.models import mlp
from warmup_study.optimizers import Optimizer
from warmup_study.paths import project_root, write_atomically
from warmup_study.schedules import Schedule
from warmup_study.sweep import available_cores
from warmup_study.tasks import Task, digits

ROUNDS = 7
BATCH, LR, RUNS, UPDATES, LOOP_UPDATES = 64, 1e-3, 128, 200, 1500


def wide() -> Task:
    """The second workload: four hidden layers of 64 units on digits."""
    return Task("digits-wide", "digits, MLP 64-64x4-10", lambda: mlp(64, 10, width=64, depth=4), digits.splits())


WORKLOADS = {"MLP 64-32-32-10": "digits-mlp", "MLP 64-64x4-10": "warmup_study.bench:wide"}


def loop_updates(task_name: str) -> int:
    """Ordinary training of one model; returns the updates made."""
    loop_weights(task_name)
    return LOOP_UPDATES


def loop_weights(task_name: str, seed: int = 0) -> dict[str, Tensor]:
    """One model, one torch.optim.Adam, a Python loop; returns the weights after it."""
    task = tasks.load(task_name)
    torch.manual_seed(seed)
    model = task.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    for picked in torch.as_tensor(streams.batch_order(seed, len(task.splits.train), BATCH, LOOP_UPDATES)):
        optimizer.zero_grad()
        task.loss(model(task.splits.train.inputs[picked]), task.splits.train.targets[picked]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: weights.detach() for name, weights in model.named_parameters()}


def ensemble_updates(task_name: str) -> int:
    """The study's way, with all that belongs to it; returns the updates made."""
    ensemble_history(task_name)
    return RUNS * UPDATES


def ensemble_history(task_name: str, compiled: bool = True) -> History:
    """Initial weights, batch orders, training, and evaluation at the ends."""
    runs = [Run(Optimizer(name="adam"), Schedule(), LR, seed) for seed in range(RUNS)]
    return ensemble.train(task_name, runs, Plan(UPDATES, BATCH, UPDATES, compiled=compiled))


def jax_updates(task_name: str) -> int:
    """JAX: a jitted scan over updates of a vmap over runs; returns the updates made."""
    jax_weights(task_name)
    return RUNS * UPDATES


def jax_weights(task_name: str) -> dict[str, Any]:
    """Adam by hand, from the same initial weights on the same batches; returns the stacked weights after it."""
    train, params, orders, arrays = _jax_program(task_name)
    weights: dict[str, Any] = train(params, orders, *arrays)
    for leaf in weights.values():
        leaf.block_until_ready()
    return weights


@lru_cache
def _jax_program(task_name: str) -> tuple[Callable[..., Any], Any, Any, tuple[Any, Any]]:
    import jax.numpy as jnp

    task = tasks.load(task_name)
    stacks = ensemble.initial_weights(task, range(RUNS))
    params = {name: jnp.asarray(stack.numpy()) for name, stack in stacks.items()}
    orders = [streams.batch_order(seed, len(task.splits.train), BATCH, UPDATES) for seed in range(RUNS)]
    arrays = (jnp.asarray(task.splits.train.inputs.numpy()), jnp.asarray(task.splits.train.targets.numpy()))
    return _jax_train(), params, jnp.asarray(np.stack(orders, axis=1)), arrays


def _jax_train() -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    tree = jax.tree_util.tree_map

    def loss(params: Any, inputs: Any, targets: Any) -> Any:
        layers = sorted({name.split(".")[0] for name in params}, key=int)
        for layer in layers:
            inputs = inputs @ params[f"{layer}.weight"].T + params[f"{layer}.bias"]
            inputs = jax.nn.relu(inputs) if layer != layers[-1] else inputs
        return -jnp.take_along_axis(jax.nn.log_softmax(inputs), targets[:, None], 1).mean()

    def train(params: Any, orders: Any, inputs: Any, targets: Any) -> Any:
        def update(carry: Any, picked: Any) -> Any:
            params, first, second, count = carry
            grads = jax.vmap(jax.grad(loss))(params, inputs[picked], targets[picked])
            first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
            second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
            c1, c2 = 1 - 0.9**count, 1 - 0.999**count
            params = tree(lambda p, m, v: p - LR / c1 * m / (jnp.sqrt(v / c2) + 1e-8), params, first, second)
            return (params, first, second, count + 1), None

        zeros = tree(jnp.zeros_like, params)
        return jax.lax.scan(update, (params, zeros, zeros, 1.0), orders)[0][0]

    compiled: Callable[..., Any] = jax.jit(train)
    return compiled


class Team:
    """Worker processes that do the same work side by side, each pinned to its share of the cores."""

    def __init__(self, work: Callable[[str], int], shares: list[set[int]]) -> None:
        self.work = work
        context = get_context("spawn")
        self.members = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_settle, initargs=(share,)) for share in shares
        ]

    def rate(self, task_name: str) -> float:
        """Updates per second of the whole team on one task."""
        started = time.perf_counter()
        futures = [member.submit(self.work, task_name) for member in self.members]
        updates = sum(future.result() for future in futures)
        return updates / (time.perf_counter() - started)


def _settle(cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))


def contenders() -> dict[str, Team]:
    """The teams that can run here; JAX's only where it is installed (the extra ``bench``)."""
    cores = set(range(available_cores()))
    one_per_core = [{core} for core in cores]
    teams = {"torch.optim loops": Team(loop_updates, one_per_core), "ensemble": Team(ensemble_updates, one_per_core)}
    if find_spec("jax"):
        teams["JAX, one process"] = Team(jax_updates, [cores])
        teams["JAX, a process per core"] = Team(jax_updates, one_per_core)
    return teams


def measure(teams: dict[str, Team], task_name: str) -> dict[str, float]:
    """Median updates per second of each team over interleaved rounds, after one that warms up and compiles."""
    for team in teams.values():
        team.rate(task_name)
    rounds = [{name: team.rate(task_name) for name, team in teams.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(row[name] for row in rounds) for name in teams}


def main() -> None:
    """Measure, print the table, and keep it in data/results/bench.json."""
    teams = contenders()
    table = []
    for title, task_name in WORKLOADS.items():
        rates = measure(teams, task_name)
        jax = max((rate for name, rate in rates.items() if name.startswith("JAX")), default=None)
        ours, loops = rates["ensemble"], rates["torch.optim loops"]
        table.append(
            {"workload": title, "updates_per_second": rates, "over_loops": ours / loops, "over_jax": jax and ours / jax}
        )
        beside_jax = f"{ours / jax:.2f} x JAX" if jax else "no JAX here"
        print(f"{title}: ensemble {ours / loops:.1f} x loops, {beside_jax}")
    content = {"batch": BATCH, "runs": RUNS, "rounds": ROUNDS, "machine": provenance.machine(), "workloads": table}
    write_atomically(project_root() / "data" / "results" / "bench.json", json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
