"""Where an update's time goes: the engine under torch's profiler, in a process of its own."""

import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch.autograd.profiler import profile
from torch.autograd.profiler_util import FunctionEvent

from warmup_study.bench.torch_loops import ensemble_traces
from warmup_study.bench.workloads import Workload

UPDATES, EVALUATIONS = 60, 10  # so many evaluations are compiled wherever they are made piece by piece
PRODUCTS = "matrix products"
BATCHES = "batches, loss, copies"
REST = "everything else"
PARTS = (PRODUCTS, "attention", "normalisation", "other kernels", BATCHES, REST)
_PRODUCTS = ("bmm", "mm", "addmm", "baddbmm", "convolution", "convolution_backward")
_COPIES = ("index", "index_select", "copy_", "clone")
CALL, _KERNEL = "## Call CompiledFxGraph", "_cpp_fused_"  # what Inductor calls a compiled graph and a kernel of it


def breakdown(workload: Workload) -> dict[str, Any]:
    """Share of each of PARTS in the time of an update, and an evaluation's time in updates.

    To be called in a fresh process: it has Inductor's kernels report to the profiler. Kernels are told apart by the
    operations in their names, and stand where the dearest belongs; Adam's are fused with those before them. What the
    profiler itself takes is in the rest.
    """
    os.environ["KINETO_LOG_LEVEL"] = "99"  # else the profiler says on stderr when it starts and stops
    torch._inductor.config.cpp.enable_kernel_profile = True
    long = replace(workload, updates=UPDATES)
    ensemble_traces(long, evaluations=EVALUATIONS)  # compiles
    with profile(use_kineto=False) as profiler:
        ensemble_traces(long, evaluations=EVALUATIONS)
    return {"workload": workload.title, **divided(profiler.function_events or [])}


def part_of(name: str) -> str:
    """Which of PARTS an event of the profiler belongs to, by its name."""
    operation, words = name.removeprefix("aten::"), name.replace("log_softmax", "loss")
    if operation in _PRODUCTS:
        return PRODUCTS
    if operation in _COPIES or (_KERNEL in name and "_index_" in name):
        return BATCHES
    if _KERNEL not in name:
        return REST
    if "_softmax" in words:
        return "attention"
    return "normalisation" if "_pow_" in words and "_mean_" in words else "other kernels"


def divided(events: Sequence[FunctionEvent]) -> dict[str, Any]:
    """Shares and the cost of an evaluation, from the spans between the ends of one update and of the next."""
    ends = _ends_of_updates(events)
    spans = list(pairwise(ends))
    every = UPDATES // EVALUATIONS
    evaluated, plain = spans[every - 1 :: every], [span for n, span in enumerate(spans, 1) if n % every]
    update, longer = (statistics.median(end - start for start, end in each) for each in (plain, evaluated))
    undisturbed = [span for span in plain if span[1] - span[0] <= update]
    return {"shares": _shares(events, undisturbed), "evaluation_in_updates": (longer - update) / update}


def _ends_of_updates(events: Iterable[FunctionEvent]) -> list[float]:
    """When each update ended: its graph is the one that was called so many times."""
    calls = [event for event in events if event.name.startswith(CALL)]
    (update,) = (name for name, count in Counter(call.name for call in calls).items() if count == UPDATES)
    return sorted(call.time_range.end for call in calls if call.name == update)


def _shares(events: Iterable[FunctionEvent], spans: Sequence[tuple[float, float]]) -> dict[str, float]:
    total = sum(end - start for start, end in spans)
    spent = dict.fromkeys(PARTS, 0.0)
    for event in events:
        if any(start <= event.time_range.start < end for start, end in spans):
            spent[part_of(event.name)] += event.self_cpu_time_total
    spent[REST] = total - sum(time for part, time in spent.items() if part != REST)
    return {part: time / total for part, time in spent.items()}
