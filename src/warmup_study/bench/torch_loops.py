"""The engine and its peers: the same model, data, batch and optimiser, on all cores.

Contenders: an ordinary ``torch.optim`` loop over torch's own layers in one process per core; JAX ``vmap`` + ``scan`` as
one process with all threads and as one process per core; the ensemble as the study runs it. Each draws its initial
weights and its batches itself, as it would have to in use. Rounds are interleaved, so that a slow minute of the machine
hits all alike.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import torch
from torch import Tensor

from warmup_study import tasks
from warmup_study.bench import jax_loop
from warmup_study.bench.workloads import LR, Workload
from warmup_study.running.processes import available_cores
from warmup_study.training import batches, ensemble
from warmup_study.training.experiment import Arm, RunSpec, TrainingConfig
from warmup_study.training.network_state import network
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule
from warmup_study.training.traces import Traces

OURS, LOOPS, JAX = "ensemble", "torch.optim loops", "JAX"
Work = Callable[[Workload], int]


def loop_updates(workload: Workload) -> int:
    """Ordinary training of one model; returns the updates made."""
    loop_weights(workload)
    return workload.loop_updates


def loop_weights(workload: Workload, seed: int = 0) -> dict[str, Tensor]:
    """One model, one torch.optim.Adam, a Python loop; returns the weights after it."""
    task = tasks.load(workload.task)
    train = task.of_seed(seed).splits.train
    model = workload.ordinary()
    model.load_state_dict(network(task, seed).state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    for picked in torch.as_tensor(batches.batch_order(seed, len(train), workload.batch, workload.loop_updates)):
        optimizer.zero_grad()
        task.loss(model(train.inputs[picked]), train.targets[picked]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: weights.detach() for name, weights in model.named_parameters()}


def ensemble_updates(workload: Workload) -> int:
    """The study's way, with all that belongs to it; returns the updates made."""
    ensemble_traces(workload)
    return workload.runs * workload.updates


def ensemble_traces(workload: Workload, compiled: bool = True, evaluations: int = 1) -> Traces:
    """Initial weights, batch orders, training, and so many evaluations evenly spread beside those at the ends."""
    adam = Arm(label="adam", optimizer=Optimizer(name="adam"), schedule=Schedule())
    runs = [RunSpec(adam, LR, seed) for seed in range(workload.runs)]
    every = workload.updates // evaluations
    config = TrainingConfig(task=workload.task, updates=workload.updates, batch=workload.batch, evaluate_every=every)
    return ensemble.train(config, runs, compiled=compiled)


def compile_seconds(workload: Workload) -> float:
    """From a fresh process to compiled code that has run: the first call's time less that of the second."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        ensemble_updates(workload)
        times.append(time.perf_counter() - started)
    return times[0] - times[1]


def jax_updates(workload: Workload) -> int:
    """JAX's way; returns the updates made."""
    jax_loop.weights(workload)
    return workload.runs * workload.jax_updates


class Team:
    """Worker processes that do the same work side by side, each pinned to its share of the cores."""

    def __init__(self, work: Work, shares: list[set[int]]) -> None:
        self.work = work
        self.members = [pinned(share) for share in shares]

    def rate(self, workload: Workload) -> float:
        """What the whole team does in a second of one workload."""
        started = time.perf_counter()
        futures = [member.submit(self.work, workload) for member in self.members]
        done = sum(future.result() for future in futures)
        return done / (time.perf_counter() - started)

    def dismiss(self) -> None:
        """End the processes."""
        for member in self.members:
            member.shutdown()


def pinned(cores: set[int]) -> ProcessPoolExecutor:
    """A fresh process that keeps to these cores."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_settle, initargs=(cores,))


def _settle(cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))


def one_per_core(work: Work) -> Team:
    """A team of one process per core."""
    return Team(work, [{core} for core in range(available_cores())])


def contenders() -> dict[str, Team]:
    """The teams that can run here; JAX's only where it is installed (the extra ``bench``)."""
    teams = {LOOPS: one_per_core(loop_updates), OURS: one_per_core(ensemble_updates)}
    if find_spec("jax"):
        teams[f"{JAX}, one process"] = Team(jax_updates, [set(range(available_cores()))])
        teams[f"{JAX}, a process per core"] = one_per_core(jax_updates)
    return teams
