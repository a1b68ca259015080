"""The tasks behind the verdicts: what is learnt, by what, for how long, and how well."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from warmup_study import tasks
from warmup_study.claims.verdict import ALL
from warmup_study.errors import StudyError
from warmup_study.presentation.style import REGIMES
from warmup_study.report.pictures import picture
from warmup_study.report.results import Results
from warmup_study.report.summary import AT_ONCE, drawn

COLUMNS = ["task", "arm", "grid_lr", "updates", "initial_loss", "test_loss", "start_task"]


def task_descriptions(results: Results) -> str:
    """HTML table of the tasks that have verdicts, in the order of their regimes; empty where none has."""
    names = {row.task for row in results.verdicts if row.task != ALL}
    runs = _runs(results)
    rows = [row for name in sorted(names) if (row := _described(name, runs[runs["task"] == name]))]
    order = list(REGIMES)
    rows.sort(key=lambda row: order.index(row["regime"]) if row["regime"] in order else len(order))
    return drawn("tasks.html.j2", rows=rows, folded=len(rows) > AT_ONCE) if rows else ""


def _described(name: str, runs: pd.DataFrame) -> dict[str, Any] | None:
    """What the table says of a task; None where it cannot be loaded here, as a user's module may be gone."""
    try:
        task = tasks.load(name)
    except StudyError:
        return None
    updates = sorted(int(count) for count in runs["updates"].unique())
    return {
        "name": name,
        "title": task.title,
        "regime": task.regime,
        "picture": picture(task.splits.test.inputs[0]),
        "examples": len(task.splits.train),
        "weights": sum(weights.numel() for weights in task.model().parameters()),
        "batch": task.batch,
        "updates": _spanned(updates),
        "best": _best_share(runs),
    }


def _spanned(values: list[int]) -> str:
    if not values:
        return "–"
    return f"{values[0]:,}" if values[0] == values[-1] else f"{values[0]:,} to {values[-1]:,}"


def _best_share(runs: pd.DataFrame) -> float | None:
    """The lowest mean test loss of any arm at any learning rate, as a share of the untrained network's loss.

    None where all runs go on from a trained network.
    """
    means = runs[runs["start_task"].isna()].groupby(["arm", "grid_lr"])[["test_loss", "initial_loss"]].mean()
    shares = (means["test_loss"] / means["initial_loss"]).dropna()
    return float(shares.min()) if len(shares) else None


def _runs(results: Results) -> pd.DataFrame:
    """The columns that the table needs, of all runs of the results' folder."""
    found: Iterable[pd.DataFrame] = (
        pd.read_parquet(path, columns=COLUMNS) for path in sorted(results.folders.results.glob("*.parquet"))
    )
    return pd.concat([pd.DataFrame(columns=COLUMNS), *found], ignore_index=True)
