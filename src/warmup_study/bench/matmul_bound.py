"""The least time that an update could take: its multiplications at the machine's best rate for batched products."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from warmup_study import tasks
from warmup_study.bench.workloads import Workload

SIDE, STACK, PRODUCTS = 64, 32, 400  # a product that MKL does well, in a stack that fits the cache
MOVED = 7 * 4  # bytes for each weight that Adam must move: weight, gradient, both moments in; weight and moments out


def operations(workload: Workload) -> int:
    """Floating-point operations in the products and convolutions of one update of one run, forwards and backwards.

    Counted on the ordinary network, where all of attention's products show as such.
    """
    task = tasks.load(workload.task)
    model, train = workload.ordinary(), task.splits.train
    with FlopCounterMode(display=False) as counter:
        task.loss(model(train.inputs[: workload.batch]), train.targets[: workload.batch]).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def bytes_moved(workload: Workload) -> int:
    """Bytes that Adam must read and write for one update of one run."""
    return MOVED * sum(weights.numel() for weights in workload.ordinary().parameters())


def product_operations(workload: Workload) -> int:
    """Do batched products and nothing else, whatever the workload; returns their floating-point operations."""
    left, right, out = (torch.ones(STACK, SIDE, SIDE) for _ in range(3))
    for _ in range(PRODUCTS):
        torch.bmm(left, right, out=out)
    return PRODUCTS * STACK * 2 * SIDE**3
