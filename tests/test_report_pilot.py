"""The pilot's table on the page: best rates, losses as shares, the control, where it trains."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from synthetic_runs import INITIAL, run, table

from warmup_study import report
from warmup_study.chapters.pilot import FILE, table_path
from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.report.pilot import pilot_table
from warmup_study.running import store
from warmup_study.training.table import from_frame

LOSSES = {0.01: 0.46, 0.1: 0.23, 1.0: 2.0}


def runs_of(optimizer: str, longer: float) -> list[dict[str, object]]:
    """A pilot of one cell that is best at 0.1; twice the updates make the loss `longer` times as high."""
    rows: list[dict[str, object]] = []
    for part, warmups, factor in (("pilot, 1 x T", ("none", "ramp"), 1.0), ("pilot, 2 x T", ("none",), longer)):
        for warmup in warmups:
            for seed in (9_100, 9_101, 9_102):
                cells = [run("digits-mlp", optimizer, warmup, seed, lr, factor * loss) for lr, loss in LOSSES.items()]
                rows += [row | {"part": part} for row in cells]
    return rows


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(str(tmp_path), "quick")
    runs = table(runs_of("sgd", 0.95), [row | {"momentum": 0.9} for row in runs_of("momentum", 0.5)])
    store.write_runs(table_path(folders), from_frame(runs))
    return folders


def test_a_row_tells_best_rates_shares_control_and_span(folders: Folders) -> None:
    page = BeautifulSoup(pilot_table(report.Results.read(folders)), "html.parser")
    rows = [[cell.get_text().rpartition(": ")[2] for cell in row.select("th, td")] for row in page.select("tbody tr")]
    share = f"{0.23 / INITIAL:.2g}"
    assert rows[0] == ["digits-mlp", "SGD", "0.1", share, share, "× 0.95", "0.01 to 0.1", "0.01 to 0.1"]
    assert rows[1][:3] == ["digits-mlp", "SGD + momentum", "1"], "effective learning rates"
    assert rows[1][5:7] == ["× 0.5 †", "0.1 to 1"]
    assert page.caption and "† marks the 1 pair that fails it" in page.caption.get_text()


def test_the_table_stands_in_the_methods_where_there_was_a_pilot(folders: Folders, tmp_path: Path) -> None:
    methods = BeautifulSoup(report.build(folders).read_text(encoding="utf-8"), "html.parser").select_one("#methods")
    assert methods and "What can each optimiser train?" in methods.get_text()
    assert methods.select_one("details summary").get_text() == "The pilot: 2 pairs of task and optimiser"  # type: ignore[union-attr]
    assert pilot_table(report.Results.read(Folders.of(str(tmp_path / "other"), "quick"))) == ""


def test_a_damaged_pilot_is_named(folders: Folders) -> None:
    (table_path(folders)).write_bytes(b"PAR1")
    with pytest.raises(StudyError, match=FILE):
        pilot_table(report.Results.read(folders))
