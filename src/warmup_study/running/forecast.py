"""Forecasts of training time, from a timing of a second or two that is stored for the next time.

What is timed is not compiled, as compiling takes half a minute. Compiled updates are forecast by their operations: the
engine reaches a quarter (six Transformer blocks) to four fifths (wide MLPs) of the rate of the machine's products.
"""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from warmup_study import tasks
from warmup_study.files import write_atomically
from warmup_study.running.local import train_safely
from warmup_study.running.processes import available_cores
from warmup_study.training.batches import ORDINARY
from warmup_study.training.code_hash import training_code
from warmup_study.training.experiment import Chunk
from warmup_study.training.schedules import Schedule

FEW, SOME = 4, 16  # runs timed side by side: from both follows what any number of them takes
DEAR = 0.4  # seconds that FEW may take where SOME are timed, too
UPDATES = (4, 16, 64)  # timed, beyond the first: more where they are cheap
ENOUGH = 0.1  # seconds that can be told from chance
BUDGET = 1.0  # seconds after which no further kind of network is timed
SHARE = 0.4  # of the rate of products that compiled updates reach: the geometric mean of the benchmark's workloads
FASTER = 20.0  # than uncompiled: no more is believed, as torch may count few of a network's operations
COMPILING = 20.0  # seconds, for each kind of network


@dataclass(frozen=True)
class Cost:
    """Seconds on one core that one run takes: for an update, for a look of all its probes, and besides.

    ``compiled``: for an update that is compiled. ``cores``: how many there were when it was timed.
    """

    update: float
    compiled: float
    probed: float
    besides: float
    cores: int

    def of(self, chunks: Sequence[Chunk]) -> float:
        """Seconds that chunks of this kind take, and compiling what they run."""
        return sum(map(self._of_one, chunks)) + COMPILING * any(chunk.compiled for chunk in chunks)

    def _of_one(self, chunk: Chunk) -> float:
        update = self.compiled if chunk.compiled else self.update
        return len(chunk.runs) * (update * chunk.updates + self.probed * len(chunk.probed) + self.besides)


def seconds(chunks: Sequence[Chunk], folder: Path) -> float:
    """Seconds that one core needs for the chunks, about: costs are stored in ``folder``, or timed now.

    Where there are many kinds of network to time, those of the fewest operations are taken to cost, for an operation,
    what the others do.
    """
    kinds: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        kinds.setdefault(_kind(chunk), []).append(chunk)
    load = {kind: sum(chunk.cost * chunk.batch * _operations(chunk.task) for chunk in kinds[kind]) for kind in kinds}
    begun, costs = time.perf_counter(), dict[str, Cost]()
    for kind in sorted(kinds, key=lambda kind: -load[kind]):
        if not costs or time.perf_counter() - begun < BUDGET or (folder / f"{kind}.json").exists():
            costs[kind] = cost(kinds[kind][0], folder)
    known = sum(costs[kind].of(kinds[kind]) for kind in costs)
    return known * sum(load.values()) / sum(load[kind] for kind in costs)


@lru_cache
def _operations(name: str) -> int:
    """Floating-point operations of a forward pass on one example, those that torch can count, and parameters."""
    task = tasks.load(name)
    network = task.model().train(mode=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(task.splits.train.inputs[:1])
    return int(counter.get_total_flops()) + sum(weight.numel() for weight in network.parameters())


def cost(chunk: Chunk, folder: Path) -> Cost:
    """What a run of such a chunk costs here, as stored in ``folder``, else timed now and stored."""
    path = folder / f"{_kind(chunk)}.json"
    try:
        return Cost(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not timed yet, or not here, or damaged
        timed = _timed(chunk)
        write_atomically(path, json.dumps(asdict(timed)) + "\n")
        return timed


def _kind(chunk: Chunk) -> str:
    """The same for chunks whose updates cost the same."""
    told = (chunk.task, chunk.batch, chunk.device, chunk.probes, training_code(chunk.task))
    return f"cost-{hashlib.sha256(repr(told).encode()).hexdigest()[:20]}"


def _timed(chunk: Chunk) -> Cost:
    _seconds(chunk, 1, 1)  # loads what is loaded once
    first = _per_run(chunk, 1)
    probed = max(0.0, _per_run(chunk, 1, probed=True) - first) if chunk.probes else 0.0
    for updates in UPDATES:
        update = max(0.0, _per_run(chunk, 1 + updates) - first) / updates
        if update * updates * min(SOME, len(chunk.runs)) > ENOUGH:
            break
    return Cost(update, _compiled(chunk, update), probed, max(0.0, first - update), available_cores())


def _compiled(chunk: Chunk, update: float) -> float:
    """Seconds that a compiled update of one run takes, where one that is not takes so many."""
    if chunk.device != "cpu":
        return update
    operations = 3 * _operations(chunk.task) * chunk.batch  # a backward pass takes twice a forward one
    return float(np.clip(operations / (SHARE * _products_per_second()), update / FASTER, update))


@lru_cache
def _products_per_second() -> float:
    """Floating-point operations per second of one core in batched products of the size of small networks' layers."""
    inputs, weights = torch.ones(32, 64, 64), torch.ones(32, 64, 64)
    torch.bmm(inputs, weights)
    began, count = time.process_time(), 0
    while time.process_time() - began < ENOUGH:
        torch.bmm(inputs, weights)
        count += 1
    return 2 * inputs.numel() * weights.shape[-1] * count / (time.process_time() - began)


def _per_run(chunk: Chunk, updates: int, probed: bool = False) -> float:
    """Seconds that a run of so many updates takes in a stack as large as the chunk's."""
    stack = len(chunk.runs)
    few = _seconds(chunk, min(FEW, stack), updates, probed)
    if few > DEAR or stack <= SOME:
        return few / min(FEW, stack)
    some = _seconds(chunk, SOME, updates, probed)
    return (some + max(0.0, some - few) * (stack - SOME) / (SOME - FEW)) / stack


def _seconds(chunk: Chunk, runs: int, updates: int, probed: bool = False) -> float:
    """Seconds that so short a training of so many runs side by side takes: of the processor, whatever else it does."""
    plain = {"schedule": Schedule(), "stream": ORDINARY, "start": None}
    arms = [arm.model_copy(update=plain) for arm in chunk.arms]
    brief = chunk.model_copy(
        update={
            "arms": tuple(arms[: math.ceil(runs / len(chunk.seeds))]),
            "seeds": chunk.seeds[:runs],
            "updates": updates,
            "evaluate_every": updates,
            "probed": (1,) if probed else (),
            "probes": chunk.probes if probed else (),
            "compiled": False,
        }
    )
    clock = time.process_time if chunk.device == "cpu" else time.perf_counter
    began = clock()
    train_safely(brief, {})
    return clock() - began
