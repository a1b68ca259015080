"""Any parameters, by any of papermill's ways: a design, or one line that names the parameter; never training."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from papermill.cli import papermill

from warmup_study import tasks
from warmup_study.chapters import open_chapter
from warmup_study.chapters.packages import design_of
from warmup_study.cli import main
from warmup_study.errors import StudyError
from warmup_study.lab.parameters import Lab
from warmup_study.parameters import validate
from warmup_study.paths import CHAPTERS, PRESETS, project_root
from warmup_study.running import sweep
from warmup_study.training import trainer

ROOT = project_root()
FIRST = "1_sgd_vs_adam"
MODELS: dict[str, Any] = {name: design_of(name).Parameters for name in CHAPTERS} | {"lab": Lab}
PRESENT = [name for name in CHAPTERS if (ROOT / "notebooks" / f"{name}.ipynb").exists()]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=30),
    st.binary(max_size=5),
    st.lists(st.one_of(st.floats(), st.text(max_size=5), st.none()), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.tuples(st.integers()),
    st.just(print),
    st.sampled_from(
        [
            "1e-3",
            "0.1",
            "true",
            "[]",
            "{}",
            "1e309",
            "-1e309",
            "nan",
            "inf",
            "0x10",
            "1_0",
            "٣",
            "½",
            " ",
            "\n",
            "a b",
            "a path with spaces",
            "ünïcödé",
            "<script>",
            "digits-mlp",
            "digits-mlp,",
            ",",
            ":",
            "os:getcwd",
            "a:b",
            "full",
            "tcp://a:1",
            "tcp://a:0",
            "cuda",
            "~",
            "~nobody-there",
            "/dev/null",
            "/dev/null/x",
            "\0",
            "x" * 5000,
            10**400,
            -(10**400),
            1e309,
            2**63,
            5e-324,
            [[]],
            [[1]],
            ["1e-3", 1],
            (),
            "0.1, 0.2",
            "0.1;0.2",
            "smoke ",
        ]
    ),
)
WHOLE = st.one_of(st.integers(0, 50), st.integers(0, 100_000))
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "preset": st.sampled_from(PRESETS),
    "task": st.sampled_from(["", "digits-mlp", "digits-deep, mnist1d-mlp"]),
    "seeds": st.one_of(st.integers(0, 40), st.integers(0, 10_000)),
    **dict.fromkeys(("updates", "warmup"), WHOLE),
    "batch": st.integers(0, 1024),
    "epochs": st.integers(0, 1000),
    "lrs": st.lists(st.floats(1e-300, 1e300), max_size=3),
    "batches": st.lists(st.integers(1, 1024), max_size=3),
    **dict.fromkeys(("beta2", "momentum", "skew", "weight"), st.floats(1e-6, 0.999)),
    "device": st.sampled_from(["auto", "cpu"]),
}


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("training was started")

    monkeypatch.setattr(sweep, "sweep", refuse)
    monkeypatch.setattr(trainer, "train", refuse)


def check_line(error: StudyError, names: list[str]) -> None:
    line = str(error)
    assert len(line.splitlines()) == 1 and line == line.strip()
    assert line.startswith(tuple(f"{shown}: " for name in names for shown in (name, " ".join(repr(name).split())))), (
        line
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(list(MODELS)))
def test_any_value_of_any_field_of_any_notebook(data: st.DataObject, name: str) -> None:
    fields = sorted(MODELS[name].model_fields)
    names = st.one_of(st.sampled_from(fields), st.sampled_from(fields), st.text(min_size=1, max_size=10))
    given_ = data.draw(st.dictionaries(names, ODD, min_size=1, max_size=3))
    try:
        parameters = validate(MODELS[name], given_)
    except StudyError as error:
        check_line(error, list(given_))
    else:
        assert set(given_) <= set(fields) and type(parameters).model_validate(parameters.model_dump()) == parameters


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(PRESENT))
def test_what_is_valid_makes_a_design_or_one_line(data: st.DataObject, name: str) -> None:
    fields = sorted(set(design_of(name).Parameters.model_fields) & set(RIGHT))
    given_ = {field: data.draw(RIGHT[field]) for field in data.draw(st.sets(st.sampled_from(fields), max_size=4))}
    try:
        chapter = open_chapter(name, given_)
    except StudyError as error:
        check_line(error, [*fields, "warmup length"])
    else:
        assert chapter.experiments and all(experiment.updates >= 1 for experiment in chapter.experiments)


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "-p, unknown name": (("-p", "sedes", "3"), "sedes: no such parameter, did you mean seeds?"),
    "-p, text for a number": (("-p", "seeds", "many"), "seeds: got 'many'; takes a whole number"),
    "-p, truth": (("-p", "seeds", "true"), "seeds: got 'true'"),
    "-p, none": (("-p", "seeds", "None"), "seeds: got None"),
    "-p, fraction": (("-p", "updates", "2.5"), "updates: got 2.5"),
    "-p, too large for a number": (("-p", "updates", "1e309"), "updates: got inf"),
    "-p, nan": (("-p", "lrs", "nan"), "lrs: got nan"),
    "-p, negative": (("-p", "batch", "-1"), "batch: got -1"),
    "-p, empty list as text": (("-p", "preset", "[]"), "preset: got '[]'; takes smoke, quick or full"),
    "-p, list as text": (("-p", "lrs", "[1e-3]"), "lrs: got '[1e-3]'"),
    "-p, unicode": (("-p", "task", "zïffern"), "task: got 'zïffern'"),
    "-p, quotes": (("-p", "task", "a'b\"c"), "task: got "),
    "-p, script": (("-p", "task", "<script>alert(1)</script>"), "task: got '<script>alert(1)</script>'"),
    "-p, path with spaces": (("-p", "output_dir", "/dev/null/a path"), "output_dir: got '/dev/null/a path'"),
    "-r, raw text": (("-r", "updates", "ten"), "updates: got 'ten'"),
    "-y, 1e-3 is text, and negative": (("-y", "lrs: [1e-3, -1]"), "lrs: got ['1e-3', -1]"),
    "-y, empty mapping": (("-y", "seeds: {}"), "seeds: got {}"),
    "-y, null": (("-y", "preset: null"), "preset: got None"),
    "-y, infinity": (("-y", "lrs: .inf"), "lrs: got inf"),
    "-y, date": (("-y", "seeds: 2020-01-01"), "seeds: got "),
    "-y, long number": (("-y", f"updates: {10**300}"), "updates: got 1000"),
    "-b, truth for text": (("-b", coded("device: true")), "device: got True"),
    "-b, several": (("-b", coded("{preset: smoke, scheduler: 'localhost:1'}")), "scheduler: got 'localhost:1'"),
}
FILES = {
    "-f, YAML": ("x.yaml", "preset: smoke\nlrs: '0.1,,1'\n", "lrs: got '0.1,,1'"),
    "-f, JSON": ("x.json", '{"preset": "smoke", "seeds": "2.5"}', "seeds: got '2.5'"),
    "-f, JSON in a path with spaces": ("ä b.json", json.dumps({"updates": 1e308}), "updates: got '1e+308'"),
}
Call = tuple[tuple[str, ...], str]


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, Call]:
    found = dict(BAD)
    for name, (file, content, line) in FILES.items():
        (tmp_path / file).write_text(content, encoding="utf-8")
        found[name] = ("-f", str(tmp_path / file)), line
    return found


def prepared(options: tuple[str, ...], folder: Path) -> list[str]:
    """The code cells that papermill makes of the options, the notebook's own and the injected one among them."""
    source, result = ROOT / "notebooks" / f"{FIRST}.ipynb", folder / "prepared.ipynb"
    ran = CliRunner().invoke(papermill, [str(source), str(result), "--prepare-only", "--no-progress-bar", *options])
    assert ran.exit_code == 0, ran.output
    return [cell.source for cell in nbformat.read(result, as_version=4).cells if cell.cell_type == "code"]


def stopped_by(cells: list[str]) -> BaseException | None:
    """What the cells raise in a real IPython shell, up to the one that checks the parameters."""
    shell: Any = InteractiveShell()
    for cell in cells[:3]:
        problem = shell.run_cell(cell, store_history=True).error_in_exec
        if problem is not None:
            return problem  # type: ignore[no-any-return]
    return None


def test_papermills_ways_to_pass_what_is_wrong(
    calls: dict[str, Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (options, line) in calls.items():
        error = stopped_by(prepared(options, tmp_path))
        assert isinstance(error, StudyError) and str(error).startswith(line), f"{name}: {error!r}"
        assert len(str(error).splitlines()) == 1
    assert "Traceback" not in capsys.readouterr().out


def test_papermills_ways_to_pass_what_is_right(tmp_path: Path) -> None:
    folder = tmp_path / "a päth with spaces"
    (tmp_path / "x.yml").write_text("lrs: [1e-3, '0.1']\n")
    for options in (
        ("-p", "preset", "smoke", "-p", "lrs", "1e-3", "-p", "output_dir", str(folder)),
        ("-y", "{preset: smoke, updates: 2e1, seeds: '3'}"),
        ("-f", str(tmp_path / "x.yml")),
        ("-b", coded("lrs: 0.1")),
    ):
        assert stopped_by(prepared(options, tmp_path)) is None
    assert not folder.exists()


@pytest.mark.long
def test_papermill_runs_end_in_the_line_and_train_nothing(calls: dict[str, Call], tmp_path: Path) -> None:
    for number, (name, (options, line)) in enumerate(calls.items()):
        result = tmp_path / f"{number}.ipynb"
        command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / f"{FIRST}.ipynb"), str(result)]
        elsewhere = ("-p", "output_dir", str(tmp_path / "out")) if "output_dir" not in options else ()
        ran = subprocess.run([*command, *elsewhere, *options], cwd=tmp_path, capture_output=True, text=True)
        cells = json.loads(result.read_text(encoding="utf-8"))["cells"]
        (error,) = [o for cell in cells for o in cell.get("outputs", []) if o["output_type"] == "error"]
        assert ran.returncode != 0 and error["evalue"].startswith(line), f"{name}: {error['evalue']}"
        assert error["traceback"] == [f"StudyError: {error['evalue']}"]
    assert not (tmp_path / "out").exists()


WRONG_COMMANDS: dict[str, tuple[list[str], str]] = {
    "preset": (["verdicts", "--preset", "huge"], "argument --preset: invalid choice: 'huge'"),
    "command": (["dance"], "invalid choice: 'dance'"),
    "none": ([], "required: command"),
    "share": (["reproduce", "--share", "1e309"], "argument --share: got '1e309'; takes a number above 0"),
    "share of text": (["reproduce", "--share", "a lot"], "argument --share: got 'a lot'; takes a number above 0"),
    "seed": (["reproduce", "--seed", "1.5"], "argument --seed: got '1.5'; takes a whole number from 0"),
    "option": (["claims", "--loud"], "unrecognized arguments: --loud"),
    "folder": (["report", "--output-dir", "/dev/null/a b"], "cannot write to the folder '/dev/null/a b'"),
    "null byte": (["verdicts", "--output-dir", "a\0b"], "cannot write to the folder"),
}


@pytest.mark.parametrize("name", WRONG_COMMANDS)
def test_a_wrong_command_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, line = WRONG_COMMANDS[name]
    try:
        status = main(arguments)
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    last = capsys.readouterr().err.splitlines()[-1]
    assert status and last.startswith("warmup-study") and line in last


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_any_name_of_a_task_is_a_task_or_one_line(name: str) -> None:
    try:
        tasks.load(name)
    except StudyError as error:
        assert len(str(error).splitlines()) == 1 and str(error).startswith("task: ")
