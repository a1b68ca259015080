"""``make bench``: measure, print the table, and keep it in data/cache/bench, beside what is published.

``python -m warmup_study.bench --publish`` measures nothing: it publishes what was measured last.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from warmup_study.bench import matmul_bound
from warmup_study.bench.breakdown import breakdown
from warmup_study.bench.figures import speed
from warmup_study.bench.scaling import devices, scaling
from warmup_study.bench.torch_loops import JAX, LOOPS, OURS, Team, compile_seconds, contenders, one_per_core, pinned
from warmup_study.bench.workloads import WORKLOADS, Workload
from warmup_study.console import forgive_encodings
from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import project_root
from warmup_study.running import provenance
from warmup_study.running.processes import KEEPING_MEMORY

Result = TypeVar("Result")

ROUNDS = 5
KEPT = Path("data", "cache", "bench")
"""Where a measurement is kept, from the project's root: beside the published one, and not in git."""
FILE = "bench.json"
PRODUCTS = "batched products"


def main(arguments: list[str] | None = None) -> int:
    """Measure, or publish what was measured last; exit status 1 where there is nothing to publish."""
    forgive_encodings()
    parser = argparse.ArgumentParser(prog="python -m warmup_study.bench", description="How fast is the engine?")
    parser.add_argument("--publish", action="store_true", help="publish what was measured last; measures nothing")
    try:
        if parser.parse_args(arguments).publish:
            publish(project_root())
        else:
            keep(project_root(), measured())
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def keep(root: Path, content: dict[str, Any]) -> None:
    """Write what was measured, and its figure, where git passes it over; say how it is published."""
    folder = root / KEPT
    write_atomically(folder / FILE, json.dumps(content, indent=1) + "\n")
    speed(content).write(folder / "speed")
    print(f"Kept in {folder}; python -m warmup_study.bench --publish puts it in place of what is published")


def publish(root: Path) -> None:
    """Put what was measured last in place of what is published. Raises StudyError where there is nothing."""
    path = root / KEPT / FILE
    try:
        text = path.read_text(encoding="utf-8")
        figure = speed(json.loads(text))
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"nothing to publish: {path} cannot be read; measure with make bench") from error
    write_atomically(root / "data" / "results" / FILE, text)
    figure.write(root / "figures" / "bench")
    print("Published; warmup-study readme writes README's table anew")


def measured() -> dict[str, Any]:
    """Measure all, printed as it comes; engine and peers alike keep their memory, as processes that train do."""
    os.environ.update(KEEPING_MEMORY)  # inherited by them
    teams = contenders() | {PRODUCTS: one_per_core(matmul_bound.product_operations)}
    table = [_row(workload, measure(teams, workload)) for workload in WORKLOADS]
    for team in teams.values():
        team.dismiss()
    return {
        "machine": provenance.machine(),
        "rounds": ROUNDS,
        "table": table,
        "breakdown": [where_time_goes(workload) for workload in WORKLOADS],
        "compile_seconds": [compile_times(workload) for workload in WORKLOADS],
        "scaling": {device: _told(device, scaling(device)) for device in devices()},
    }


def measure(teams: dict[str, Team], workload: Workload) -> dict[str, float]:
    """Median rate of each team over interleaved rounds, after one that warms up and compiles."""
    for team in teams.values():
        team.rate(workload)
    rounds = [{name: team.rate(workload) for name, team in teams.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(row[name] for row in rounds) for name in teams}


def _row(workload: Workload, rates: dict[str, float]) -> dict[str, Any]:
    """Ratios of the ensemble to its peers and to the floor, printed as they come."""
    operations, products = matmul_bound.operations(workload), rates.pop(PRODUCTS)
    rivals = [rate for name, rate in rates.items() if name.startswith(JAX)]
    row = {
        "workload": workload.title,
        "batch": workload.batch,
        "over_loops": rates[OURS] / rates[LOOPS],
        "over_jax": rates[OURS] / max(rivals) if rivals else None,
        "of_floor": rates[OURS] * operations / products,
        "operations": operations,
        "bytes_moved": matmul_bound.bytes_moved(workload),
        "products_per_second": products,
        "updates_per_second": rates,
    }
    beside_jax = f"{row['over_jax']:.2f} × JAX" if rivals else "no JAX here"
    print(f"{workload.title}: {row['over_loops']:.1f} × loops, {beside_jax}, {row['of_floor']:.0%} of the floor's rate")
    return row


def compile_times(workload: Workload) -> dict[str, Any]:
    """What compiling adds to a process's first call, without and with what an earlier process left in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # inherited by the processes
        try:
            cold, warm = (_alone(compile_seconds, workload) for _ in range(2))
        finally:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
            os.environ.update({"TORCHINDUCTOR_CACHE_DIR": kept} if kept else {})
    print(f"{workload.title}: compiling takes {cold:.1f} s, {warm:.1f} s with a warm cache")
    return {"workload": workload.title, "cold": cold, "warm": warm}


def where_time_goes(workload: Workload) -> dict[str, Any]:
    """Where an update's time goes, printed as it comes."""
    row = _alone(breakdown, workload)
    shares = ", ".join(f"{part} {share:.0%}" for part, share in row["shares"].items())
    print(f"{workload.title}: {shares}; an evaluation takes as long as {row['evaluation_in_updates']:.1f} updates")
    return row


def _alone(work: Callable[[Workload], Result], workload: Workload) -> Result:
    """What the work returns in a fresh process on one core."""
    with pinned({0}) as process:
        return process.submit(work, workload).result()


def _told(device: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        print(
            f"{row['runs']:>6,} runs on {device}: {row['runs_per_minute']:,.0f} a minute, largest process "
            f"{row['largest_process_mb']:,.0f} MB"
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
