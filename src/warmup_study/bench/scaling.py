"""Whether a run costs the same among many, and how much memory the sweep takes."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from warmup_study.running.sweep import sweep
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

RUNS = (10, 100, 1_000, 10_000)
UPDATES = 200
_MEGABYTE = 2**20 if sys.platform == "darwin" else 2**10  # getrusage counts bytes on macOS and kilobytes elsewhere


def scaling(device: str = "cpu") -> list[dict[str, Any]]:
    """For each number of runs: runs a minute, and the largest memory of any process, each in a process of its own."""
    program = f"from warmup_study.bench.scaling import measured; print(*measured({{}}, {device!r}))"
    rows = []
    for runs in RUNS:
        done = subprocess.run([sys.executable, "-c", program.format(runs)], capture_output=True, text=True, check=True)
        rate, memory = done.stdout.split()[-2:]
        rows.append({"runs": runs, "runs_per_minute": float(rate), "largest_process_mb": float(memory)})
    return rows


def measured(runs: int, device: str) -> tuple[float, float]:
    """Runs a minute of one sweep, from chunks to the table of runs, and the memory of its largest process in MB."""
    rule = Arm(label="adam", optimizer=Optimizer(name="adam"), schedule=Schedule(warmup="ramp", length=UPDATES // 5))
    settings: dict[str, Any] = {"updates": UPDATES, "evaluate_every": UPDATES, "device": device}
    many = Experiment(part="bench", task="digits-mlp", arms=(rule,), lrs=(1e-3,), seeds=tuple(range(runs)), **settings)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = sweep([many], Path(folder))
        seconds = time.perf_counter() - started
    assert len(rows) == runs
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return 60 * runs / seconds, largest / _MEGABYTE


def devices() -> list[str]:
    """Where this machine can train."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
