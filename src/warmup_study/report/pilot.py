"""The pilot's table, for the methods part: what each optimiser can train, at which learning rates, and for how long."""

from typing import Any

from warmup_study.chapters import pilot
from warmup_study.errors import StudyError
from warmup_study.presentation.curves import effective_lr
from warmup_study.presentation.style import OPTIMIZERS
from warmup_study.report.results import Results
from warmup_study.report.summary import drawn
from warmup_study.running import store

LONGER_HELPS = 0.9  # of the loss: a cell that ends lower still in twice the updates has had too few


def pilot_table(results: Results) -> str:
    """HTML table of the pilot; empty where there is none. Raises StudyError where its file is damaged."""
    path = pilot.table_path(results.folders)
    if not path.exists():
        return ""
    try:
        runs = store.read_runs(path)
    except StudyError as error:
        raise StudyError(
            f"report: {pilot.FILE} cannot be read; python -m warmup_study.chapters.pilot makes it"
        ) from error
    rows = [_row(cell) for cell in pilot.summary(runs.assign(lr=effective_lr(runs))).to_dict("records")]
    return drawn("pilot.html.j2", rows=rows, seeds=runs["seed"].nunique(), failed=sum(row["failed"] for row in rows))


def _row(cell: dict[Any, Any]) -> dict[str, Any]:
    """What a row shows: the summary of a task under an optimiser, and whether it fails the control."""
    return cell | {"optimizer": _name(str(cell["optimizer"])), "failed": cell["twice_T"] <= LONGER_HELPS}


def _name(optimizer: str) -> str:
    return OPTIMIZERS[optimizer].label if optimizer in OPTIMIZERS else optimizer
