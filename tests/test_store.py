"""Files of runs: what is written comes back, and what is damaged or of another chunk is never used."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_experiments import ARMS, small

from warmup_study.errors import StudyError
from warmup_study.running import store
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.table import RUNS, from_frame, table_of, to_frame
from warmup_study.training.trainer import train_chunk

NAME = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """The runs of one small chunk, one of them diverged."""
    hopeless = ARMS[1].model_copy(update={"lr_scale": 1e30})
    return train_chunk(small(arms=(ARMS[0], hopeless), lrs=(0.001,)).chunks()[0])


@pytest.fixture
def stored(tmp_path: Path, table: pa.Table) -> Path:
    path = tmp_path / f"{NAME}.parquet"
    store.write_runs(path, table, NAME)
    return path


def test_runs_come_back_as_they_were(stored: Path, table: pa.Table) -> None:
    back = store.read_chunk(stored, NAME)
    assert back is not None and back.schema.equals(RUNS)
    pd.testing.assert_frame_equal(to_frame(back), to_frame(table))
    again = from_frame(to_frame(back))
    pd.testing.assert_frame_equal(to_frame(again), to_frame(table))
    assert again.schema.remove_metadata().equals(RUNS)


def test_a_key_that_is_no_column_is_refused() -> None:
    with pytest.raises(StudyError, match="table of runs: got decay_power, momentum_decay; takes part, task") as caught:
        table_of([{"task": "digits-mlp"}, {"momentum_decay": 0.1, "decay_power": 2}])
    assert len(str(caught.value).splitlines()) == 1


def test_every_setting_of_the_optimiser_is_a_column() -> None:
    settings = set(Optimizer.model_fields) - {"name"}
    assert settings <= set(RUNS.names) and "grid_lr" in RUNS.names
    assert [str(RUNS.field(name).type) for name in ("momentum", "bias_correction", "reset_at")] == [
        "double",
        "bool",
        "int64",
    ]


def test_the_grids_learning_rate_stands_beside_the_one_that_was_trained_at() -> None:
    halved = ARMS[1].model_copy(update={"lr_scale": 0.5})
    chunk = small(arms=(ARMS[0], halved), lrs=(0.1,), updates=4).chunks()[0]
    rows = train_chunk(chunk).to_pylist()
    assert {(row["arm"], row["grid_lr"], row["lr"]) for row in rows} == {
        ("adam/none", 0.1, 0.1),
        ("adam/ramp", 0.1, 0.05),
    }
    assert {row["chunk"] for row in rows} == {chunk.id}


def test_lists_and_nulls_keep_their_kind(stored: Path) -> None:
    runs = store.read_runs(stored)
    assert runs["status"].value_counts().to_dict() == {"ok": 5, "diverged": 5}
    assert runs["diverged_at"].dtype == pd.Int64Dtype() and runs["diverged_at"].isna().sum() == 5
    assert runs["test_loss"].isna().sum() == 5 and runs["steps_to_target"].isna().all()
    assert runs["momentum"].isna().all() and (runs["beta1"] == 0.9).all()
    first = runs.iloc[0]
    assert list(first["evaluated_at"]) == [0, 4, 8] and list(first["probed_at"]) == [1, 2]
    assert first["validation_curve"].dtype == np.float32 and len(first["validation_curve"]) == 3
    assert first["update_size"].dtype == np.float32 and first["alignment"] is None
    assert first["bias_correction"] is True or first["bias_correction"] == np.True_


def test_extreme_numbers_come_back_to_the_bit(tmp_path: Path) -> None:
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1 + 2**-52]
    rows: list[dict[str, object]] = [
        {"task": "ü, “x”", "test_loss": value, "validation_curve": [value]} for value in values
    ]
    store.write_runs(tmp_path / "x.parquet", table_of(rows), NAME)
    runs = store.read_runs(tmp_path / "x.parquet")
    assert runs["test_loss"].to_numpy().tobytes() == np.array(values).tobytes()
    assert [curve[0] for curve in runs["validation_curve"]] == pytest.approx(
        np.array(values, np.float32).tolist(), nan_ok=True
    )
    assert set(runs["task"]) == {"ü, “x”"}


def test_the_same_runs_give_the_same_bytes(stored: Path, table: pa.Table, tmp_path: Path) -> None:
    store.write_runs(tmp_path / "again.parquet", table, NAME)
    assert (tmp_path / "again.parquet").read_bytes() == stored.read_bytes()
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*"))


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path, table: pa.Table) -> None:
    path = tmp_path / "lr=0.1" / "seed=3 ü" / "x.parquet"
    store.write_runs(path, table, NAME)
    assert store.read_chunk(path, NAME) is not None
    assert list(store.read_runs(path)) == RUNS.names


@pytest.mark.parametrize("identity", ["", "0123456789abcdef0124", NAME.upper()])
def test_another_chunks_file_is_not_used(stored: Path, identity: str) -> None:
    assert store.read_chunk(stored, identity) is None


def test_a_foreign_table_under_the_right_name_is_not_used(stored: Path) -> None:
    store.write_runs(stored, pa.table({"lr": [0.1]}), NAME)
    assert store.read_chunk(stored, NAME) is None
    with pytest.raises(StudyError, match="its columns are not those of a table of runs"):
        store.read_runs(stored)


def test_a_table_that_others_wrote_is_not_used(stored: Path, table: pa.Table) -> None:
    pq.write_table(table.replace_schema_metadata({"warmup_study": NAME}), stored)
    assert store.read_chunk(stored, NAME) is None


def test_a_table_with_a_column_of_another_type_is_not_used(stored: Path, table: pa.Table) -> None:
    column = table.schema.get_field_index("seed")
    store.write_runs(stored, table.set_column(column, "seed", table["seed"].cast(pa.int32())), NAME)
    assert store.read_chunk(stored, NAME) is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"\0" * 4096, b"text\n" * 100])
def test_no_parquet_is_no_chunk_and_one_line(stored: Path, content: bytes) -> None:
    stored.write_bytes(content)
    assert store.read_chunk(stored, NAME) is None
    with pytest.raises(StudyError, match=rf"^{NAME}.parquet: cannot be read .*run its notebook again$"):
        store.read_runs(stored)


def test_what_is_missing_or_a_folder_is_no_chunk(tmp_path: Path) -> None:
    assert store.read_chunk(tmp_path / "none.parquet", NAME) is None
    (tmp_path / "x.parquet").mkdir()
    assert store.read_chunk(tmp_path / "x.parquet", NAME) is None
    with pytest.raises(StudyError, match="cannot be read"):
        store.read_runs(tmp_path / "none.parquet")


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_not_used(stored: Path, share: float) -> None:
    content = stored.read_bytes()
    stored.write_bytes(content[: int(share * len(content))])
    assert store.read_chunk(stored, NAME) is None


def test_no_file_with_a_flipped_bit_is_used(stored: Path) -> None:
    content = stored.read_bytes()
    chance = np.random.default_rng(0)
    places = [0, 4, len(content) // 2, len(content) - 5, len(content) - 1, *chance.integers(0, len(content), 300)]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(chance.integers(8))
        stored.write_bytes(flipped)
        assert store.read_chunk(stored, NAME) is None, f"bit of byte {place}"
    stored.write_bytes(content)
    assert store.read_chunk(stored, NAME) is not None


def test_a_damaged_footer_that_parquet_takes_for_sound_is_one_line(stored: Path) -> None:
    content = stored.read_bytes()
    assert content.count(b"parquet-cpp") == 1
    stored.write_bytes(content.replace(b"parquet-cpp", b"Parquet-cpp"))
    assert pq.read_table(stored).num_rows == 10 and store.read_chunk(stored, NAME) is None
    with pytest.raises(StudyError, match="its checksum is wrong"):
        store.read_runs(stored)


@pytest.mark.parametrize("place", ["a file", "a file/below/it", "a folder/x.parquet"])
def test_what_cannot_be_written_is_one_line(tmp_path: Path, table: pa.Table, place: str) -> None:
    (tmp_path / "a file").write_text("in the way")
    (tmp_path / "a folder" / "x.parquet").mkdir(parents=True)
    path = tmp_path / place if place.endswith(".parquet") else tmp_path / place / "x.parquet"
    with pytest.raises(StudyError, match=r"^cannot write .*x\.parquet: "):
        store.write_runs(path, table, NAME)
