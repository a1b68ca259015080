import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from warmup_study import tasks
from warmup_study.chapters import checked_parameters
from warmup_study.chapters.sgd_vs_adam.design import Parameters as SgdVsAdam
from warmup_study.errors import StudyError
from warmup_study.parameters import CommonParameters
from warmup_study.paths import CHAPTERS

FIRST = "1_sgd_vs_adam"


def check(**given: Any) -> SgdVsAdam:
    parameters = checked_parameters(FIRST, given)
    assert isinstance(parameters, SgdVsAdam)
    return parameters


def refusal(**given: Any) -> str:
    with pytest.raises(StudyError) as caught:
        checked_parameters(FIRST, given)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_defaults() -> None:
    parameters = check()
    assert (parameters.preset, parameters.seeds, parameters.device, parameters.batch) == ("quick", 0, "auto", 0)
    assert parameters.task_names == () and parameters.lrs == ()


@pytest.mark.parametrize("notebook", CHAPTERS)
def test_every_chapter_takes_the_common_ones(notebook: str) -> None:
    assert isinstance(checked_parameters(notebook, {"preset": "smoke"}), CommonParameters)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "20", 20),
        ("updates", "1e3", 1000),
        ("batch", 32.0, 32),
        ("lrs", "1e-3", (1e-3,)),
        ("lrs", 0.1, (0.1,)),
        ("lrs", "0.3, 1e-2,0.3", (0.01, 0.3)),
        ("lrs", ["1e-3", 1], (1e-3, 1.0)),
        ("lrs", "", ()),
    ],
)
def test_text_that_spells_a_number_is_one(name: str, text: object, value: object) -> None:
    assert getattr(check(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("preset", "fulll", "smoke, quick or full"),
        ("preset", [], "smoke, quick or full"),
        ("device", "gpu", "auto, cpu or cuda"),
        ("seeds", -1, "from 0"),
        ("seeds", 2.5, "a whole number"),
        ("seeds", "many", "a whole number"),
        ("seeds", True, "a boolean is not a number"),
        ("seeds", math.nan, "a whole number"),
        ("updates", "1e309", "to 100000"),
        ("updates", 100_001, "to 100000"),
        ("batch", -1, "to 1024"),
        ("lrs", "0.1,-1", "positive numbers"),
        ("lrs", "0.1,,1", "positive numbers"),
        ("lrs", "nan", "positive numbers"),
        ("lrs", "inf", "positive numbers"),
        ("lrs", False, "positive numbers"),
        ("lrs", None, "positive numbers"),
        ("task", 3, "module:function"),
        ("scheduler", "localhost:8786", "tcp://host:port"),
        ("scheduler", "tcp://host", "tcp://host:port"),
        ("scheduler", "tcp://host:99999", "tcp://host:port"),
        ("scheduler", None, "tcp://host:port"),
        ("output_dir", "/dev/null/x", "a folder that can be written"),
    ],
)
def test_wrong_value_is_one_line(name: str, value: object, takes: str) -> None:
    line = refusal(**{name: value})
    assert line.startswith(f"{name}: got ") and takes in line


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", "tcp://[::1]:8786", "tls://scheduler.local:1"])
def test_scheduler_addresses(address: str) -> None:
    assert check(scheduler=address).scheduler == address


def test_the_line_shows_the_value_as_it_was_given() -> None:
    assert refusal(updates="-4").startswith("updates: got '-4'; takes ")
    assert refusal(lrs="0.1," * 100).startswith(f"lrs: got '{'0.1,' * 19}...; takes ")


def test_ramp_longer_than_the_run_is_refused() -> None:
    assert check(updates=100, warmup="100").warmup == 100
    assert check(warmup=100).updates == 0
    assert refusal(updates=100, warmup=101).endswith("(the run has 100 updates)")


def test_unknown_name_hints_at_the_nearest() -> None:
    line = refusal(sedes=3)
    assert line.startswith("sedes: no such parameter, did you mean seeds?; takes preset, task, seeds")


def test_a_mapping_that_is_no_kernels_is_taken_at_its_word() -> None:
    assert refusal(In=[0.0]).startswith("In: no such parameter")
    assert refusal(_ih=[None]).startswith("_ih: no such parameter")


def test_unknown_notebook() -> None:
    with pytest.raises(StudyError, match="notebook: got 'zzz'; takes one of 1_sgd_vs_adam"):
        checked_parameters("zzz", {})


def test_tasks_are_loaded_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tasks.names()[:2]
    assert check(task=f"{first}, {second}").task_names == (first, second)
    assert refusal(task=f"{second}, {first[:-1]}").startswith(
        f"task: got {first[:-1]!r}; no such task, did you mean {first}? (.venv/bin/warmup-study tasks lists them"
    )
    (tmp_path / "my_tasks.py").write_text("import sys\nnumber = 3\ndef leave(): sys.exit(0)\ndef text(): return 'x'\n")
    monkeypatch.syspath_prepend(tmp_path)
    for wrong, reason in {
        "no_such_module:f": "No module named",
        "my_tasks:missing": "'my_tasks:missing' is not there",
        "my_tasks:number": "callable",
        "my_tasks:text": "returned str",
        "my_tasks:leave": "SystemExit",
        f"{first},": "got ''; no such task",
    }.items():
        assert reason in refusal(task=wrong)


def test_own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"from warmup_study import tasks\ndef mine(): return tasks.load({tasks.names()[0]!r})\n"
    (tmp_path / "good_task.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert check(task="good_task:mine").task_names == ("good_task:mine",)


def run_as_papermill(*cells: str) -> dict[str, Any]:
    """Run cells in a real IPython shell and return its namespace."""
    shell: Any = InteractiveShell()
    for cell in cells:
        shell.run_cell(cell, store_history=True).raise_error()
    return dict(shell.user_ns)


def test_in_a_notebook_only_injected_names_count() -> None:
    cells = ('preset: str = "quick"\nseeds: int = 0', "# Parameters\npreset = 'smoke'\nseeds = '3'", "sedes = 5")
    parameters = checked_parameters(FIRST, run_as_papermill(*cells, cells[0], cells[1]))
    assert (parameters.preset, parameters.seeds) == ("smoke", 3)
    for wrong in ("sedes", "In", "_seeds"):
        with pytest.raises(StudyError, match=f"{wrong}: no such parameter"):
            checked_parameters(FIRST, run_as_papermill(cells[0], f"# Parameters\n{wrong} = 3"))


def test_a_cell_that_is_no_python_assigns_nothing() -> None:
    assert checked_parameters(FIRST, {"In": ["", "# Parameters\n%matplotlib inline\nsedes = 1"]}).seeds == 0


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.floats(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.binary(max_size=5),
    st.sampled_from(["1e-3", "0.1", "true", "[]", "1e309", "a path", "<script>", "quick", "ü", "nan", "0x10", "1_0"]),
)
NAMES = st.one_of(st.sampled_from(sorted(SgdVsAdam.model_fields)), st.text(min_size=1, max_size=10))


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_anything_is_either_right_or_one_line(given: dict[str, Any]) -> None:
    try:
        parameters = checked_parameters(FIRST, given)
    except StudyError as error:
        assert str(error).startswith(tuple(f"{name}: " for known in given for name in (known, repr(known))))
        assert len(str(error).splitlines()) == 1
    else:
        assert isinstance(parameters, SgdVsAdam)
        assert 0 <= parameters.seeds <= 10_000 and all(0 < lr < math.inf for lr in parameters.lrs)


def test_a_typo_is_found_without_torch() -> None:
    code = """
import sys
from warmup_study.parameter_names import check_names
check_names({"In": ["", "seeds: int = 0", "# Parameters\\nseeds = 3"]})
try:
    check_names({"In": ["", "seeds: int = 0", "# Parameters\\nsedes = 3"]})
except Exception as error:
    print(error, "torch" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told == "sedes: no such parameter, did you mean seeds?; takes seeds False\n"
