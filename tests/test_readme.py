"""README: its stretches are what the code makes of the published results, and every command in it does what it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from papermill.cli import papermill
from published import PUBLISHED, ROOT, needs_published, published
from report_fixtures import finished_run

from warmup_study.bench import cluster_capacity
from warmup_study.chapters import checked_parameters
from warmup_study.chapters.packages import package_of
from warmup_study.claims import ledger
from warmup_study.cli import main
from warmup_study.errors import StudyError
from warmup_study.parameter_names import check_names
from warmup_study.paths import BATCH, NOTEBOOKS, Folders
from warmup_study.report import Results
from warmup_study.report.readme import filled
from warmup_study.running import store, tables

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join([TEXT, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))])
STRETCHES = ("answer", "verdicts", "notebooks", "bench")
BARE = "\n".join(f"# {name}\n<!-- {name} -->\nold\n<!-- /{name} -->" for name in STRETCHES)
CHEAP = "7_anchor_warmup"  # the chapter whose verdicts are made anew soonest


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in README and the pages under docs."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES, re.DOTALL | re.MULTILINE)


# ------------------------------------------------------------------------------------------------ generated stretches


def test_the_stretches_are_what_the_published_results_make() -> None:
    assert filled(TEXT, Results.read(PUBLISHED)) == TEXT, "run .venv/bin/warmup-study readme"


def test_other_results_make_other_stretches(tmp_path: Path) -> None:
    text = filled(BARE, Results.read(finished_run(tmp_path, "full")))
    assert "\nold\n" not in text and filled(text, Results.read(Folders(tmp_path, "full"))) == text
    size = "1.41 × the range of learning rates (1.15 × to 1.73 ×) | 20 | digits, mnist1d |".replace(
        " ×", "\N{NO-BREAK SPACE}×"
    )
    assert f"(report/index.html#claim-adaptive-only) | supported | {size}" in text
    assert "(report/index.html#claim-definition) | supported | 0 deviation at most" in text  # a fact has no interval
    words = [row.split("|")[2].strip() for row in text.splitlines() if "#claim-" in row]
    assert words == ["supported", "supported", "contradicted", "mixed", "inconclusive"]
    assert "- **Whether.** " in text and "](figures/1_sgd_vs_adam-lr_curves.svg)" in text


def test_times_are_those_of_the_run(tmp_path: Path) -> None:
    folders = finished_run(tmp_path, "full")
    taken = {"1_sgd_vs_adam": {"wall_seconds": 61.7}, "3_momentum": {"wall_seconds": 414.0}}
    provenance = {"machine": {"cores": 6}, "notebooks": taken}
    (folders.results / "provenance.json").write_text(json.dumps(provenance))
    text = filled(BARE, Results.read(folders))
    assert "`full` on 6 cores" in text
    times = {row.split("`")[1]: row.split("|")[3].strip() for row in text.splitlines() if row.startswith("| `")}
    assert [times[name] for name in ("1_sgd_vs_adam", "3_momentum", "4_early_examples")] == ["62 s", "7 min", "–"]


def test_speed_is_told_where_it_was_measured(tmp_path: Path) -> None:
    folders = finished_run(tmp_path, "full")
    assert "`make bench` makes one to publish" in filled(BARE, Results.read(folders))
    row = {"workload": "an MLP", "batch": 64, "over_loops": 14.4817, "over_jax": None, "of_floor": 0.62}
    content = {"machine": {"cpu": "a processor", "cores": 2, "system": "Linux"}, "table": [row]}
    (folders.results.parent / "bench.json").write_text(json.dumps(content))
    text = filled(BARE, Results.read(folders))
    assert "all on a processor, 2 cores, Linux." in text and "| an MLP | 64 | 14 | – | 62.0\N{NO-BREAK SPACE}%" in text


@pytest.mark.parametrize(
    "text",
    [
        BARE.replace("<!-- bench -->", ""),
        BARE.replace("<!-- /bench -->", ""),
        f"{BARE}\n<!-- bench -->",
        BARE.replace("<!-- bench -->", "").replace("<!-- /bench -->", "<!-- /bench --> <!-- bench -->"),
    ],
    ids=["no beginning", "no end", "two beginnings", "the wrong way round"],
)
def test_a_lost_marker_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(StudyError, match="takes <!-- bench --> and then <!-- /bench -->, once each"):
        filled(text, Results.read(finished_run(tmp_path, "full")))


def test_no_readme_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["readme", "--output-dir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warmup-study: ") and line.endswith("README.md cannot be read: No such file or directory")


def test_before_anything_is_published_readme_says_so(tmp_path: Path) -> None:
    text = filled(BARE, Results.read(Folders(tmp_path, "full")))
    answer, verdicts, notebooks, _ = re.findall(r"-->\n\n(.*?)\n\n<!-- /", text, re.DOTALL)
    assert "has not been trained yet; `make full` trains it" in answer and "round1/verdicts.json" in answer
    assert verdicts.startswith("None yet: ") and "report/index.html" not in text
    assert "| `full` |" in notebooks and notebooks.count("| – | – |") == len(NOTEBOOKS)
    assert Results.read(PUBLISHED).tested or answer in TEXT


@needs_published
def test_links_lead_somewhere() -> None:
    page = (ROOT / "report" / "index.html").read_text(encoding="utf-8")
    for anchor in re.findall(r"\(report/index\.html#([^)]+)\)", TEXT):
        assert f'id="{anchor}"' in page, anchor
    figures = Results.read(PUBLISHED).figures
    trained = (*tables.stored(PUBLISHED.results), BATCH[-1])
    assert {f"{name}-{package_of(name).MAIN_FIGURE}" for name in trained} <= set(figures)
    assert "(figures/1_sgd_vs_adam-four_setups.svg)" in TEXT


def test_readme_names_no_folder_of_anybody() -> None:
    assert not re.findall(r"(?<![\w.~$])/(?:home|root|tmp|work|Users|mnt)\b[^\s)`]*", PAGES)


# ------------------------------------------------------------------------------------------------------ every command

Check = Callable[[str, Path], None]


def commands() -> list[str]:
    """Every command line of README and docs: those of their shell blocks, and code spans that begin like one."""
    lines = "".join(blocks("sh")).splitlines()
    spans = re.findall(
        r"`((?:make|conda|pip|\.venv/bin/\S+) [^`\n]+)`", re.sub(r"```.*?```", "", PAGES, flags=re.DOTALL)
    )
    bare = [re.sub(r"\s+#.*|^#.*", "", line).strip() for line in [*lines, *spans]]
    return list(dict.fromkeys(filter(None, bare)))


def make(recipe: str) -> Check:
    """Make knows the target and would call this: the targets themselves take minutes."""

    def check(command: str, _: Path) -> None:
        done = subprocess.run(["bash", "-c", f"{command} -n"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and recipe in done.stdout, done.stdout + done.stderr

    return check


def covered(file: str, test: str) -> Check:
    """Another test runs it."""

    def check(_: str, __: Path) -> None:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")

    return check


def parameters(**expected: Any) -> Check:
    """Papermill takes the line, and what it passes to the notebook is valid and means this."""

    def check(command: str, folder: Path) -> None:
        (folder / "settings.yaml").write_text("".join(blocks("yaml")))
        (folder / "my_task.py").write_text(own_task())
        namespace: dict[str, Any] = {}
        for cell in prepared(command, folder):
            exec(cell, namespace)
        namespace = {name: value for name, value in namespace.items() if not name.startswith("__")}
        checked = checked_parameters(notebook_of(command), namespace).model_dump()
        assert {name: checked[name] for name in expected} == expected

    return check


def notebook_of(command: str) -> str:
    (name,) = re.findall(r"notebooks/(\w+)\.ipynb", command)
    return str(name)


def prepared(command: str, folder: Path) -> list[str]:
    """The notebook's own parameters and those that the command injects after them."""
    call = [*shlex.split(command)[1:], "--prepare-only", "--no-progress-bar"]
    ran = CliRunner().invoke(papermill, call)
    assert ran.exit_code == 0, ran.output
    cells = nbformat.read(folder / "out.ipynb", as_version=4).cells
    tagged = [cell for cell in cells if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))]
    assert len(tagged) == 2
    return [cell.source for cell in tagged]


def help_of_notebook(command: str, _: Path) -> None:
    ran = CliRunner().invoke(papermill, shlex.split(command)[1:])
    assert ran.exit_code == 0 and re.search(r'preset: str \(default "quick"\)\s+smoke, quick or full', ran.output)


def prints_a_list(command: str, _: Path) -> None:
    assert main(shlex.split(command)[1:]) == 0


def verdicts_anew(command: str, folder: Path) -> None:
    if not published():
        assert main(shlex.split(command)[1:]) == 1  # one line: there are no results of that preset
        return
    here = Folders(folder, "full")
    here.results.mkdir(parents=True)
    shutil.copy(PUBLISHED.results / f"{CHEAP}.parquet", here.results)
    assert main(shlex.split(command)[1:]) == 0
    made, kept = ({(row.id, row.task): row for row in ledger.read(place)} for place in (here, PUBLISHED))
    of_chapter = [key for key, row in kept.items() if row.notebook == CHEAP]
    assert of_chapter
    for key in of_chapter:
        assert made[key].n == kept[key].n
        now, then = ((row.estimate, row.ci_low, row.ci_high) for row in (made[key], kept[key]))
        assert now == pytest.approx(then, rel=1e-9)  # another NumPy may add up in another order


def readme_anew(command: str, folder: Path) -> None:
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "figures").symlink_to(ROOT / "figures")
    emptied = re.sub(r"(<!-- (\w+) -->).*?(<!-- /\2 -->)", r"\1\3", TEXT, flags=re.DOTALL)
    (folder / "README.md").write_text(emptied, encoding="utf-8")
    assert main(shlex.split(command)[1:]) == 0 and emptied != TEXT
    assert (folder / "README.md").read_text(encoding="utf-8") == filled(TEXT, Results.read(PUBLISHED))


def as_make_installs(command: str, _: Path) -> None:
    """Make takes the same steps with the same extras."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(PYTHON)", "python3").replace("$(VENV)", ".venv")
    assert command.partition("install ")[2] in recipe or command in recipe


def kernel_elsewhere(command: str, folder: Path) -> None:
    home = {"JUPYTER_DATA_DIR": str(folder)}
    subprocess.run(["bash", "-c", command], cwd=ROOT, env=os.environ | home, check=True, capture_output=True)
    kernel = json.loads((folder / "kernels" / "warmup-study" / "kernel.json").read_text())
    assert kernel["display_name"] == "Warmup study" and Path(kernel["argv"][0]).exists()


def measured_capacity(command: str, _: Path) -> None:
    assert f"-m {cluster_capacity.__name__} " in command
    assert cluster_capacity.main(shlex.split(command)[-1:]) == 1  # the line's own address is none


def dask(*tests: str) -> Check:
    """Dask has the command with these options; the tests of the cluster run it."""

    def check(command: str, folder: Path) -> None:
        pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
        _, name, *rest = shlex.split(command)
        (entry,) = [entry for entry in entry_points(group="dask_cli") if entry.name == name]
        known = {option for parameter in entry.load().params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known
        for test in tests:
            covered("test_dask_cluster.py", test)(command, folder)

    return check


FIRST = ".venv/bin/papermill notebooks/1_sgd_vs_adam.ipynb out.ipynb"
CHECKS: dict[str, tuple[Check, ...]] = {
    "make report": (make("dodo.py quick"),),
    "make report TASK=my_task:wine": (
        make("dodo.py quick my_task:wine"),
        covered("test_dodo.py", "test_a_task_has_a_folder_of_its_own"),
    ),
    "make test": (make("-m pytest"),),
    "make help": (covered("test_project.py", "test_make_lists_the_commands_of_the_readme"),),
    "make full": (make("dodo.py full"),),
    "make advise TASK=my_task:wine": (
        make('warmup-study advise "my_task:wine"'),
        covered(Path(__file__).name, "test_the_networks_of_readme_get_their_page"),
    ),
    ".venv/bin/warmup-study advise my_task:wine --optimizer sgd --updates 1000": (
        covered(Path(__file__).name, "test_the_networks_of_readme_get_their_page"),
    ),
    "make lab": (make("-m jupyter lab --ServerApp.root_dir="),),
    "make bench": (make("-m warmup_study.bench"),),
    ".venv/bin/python -m warmup_study.bench --publish": (
        covered("test_bench.py", "test_a_measurement_is_kept_beside_what_is_published_until_it_is_published"),
    ),
    "make reproduce": (
        make("warmup-study reproduce --preset full"),
        covered("test_reproduce.py", "test_the_command_prints_a_table"),
    ),
    "conda env create -f environment.yml": (covered("test_project.py", "test_conda_has_the_versions_of_the_lock"),),
    f"{FIRST} -p preset smoke": (
        parameters(preset="smoke", task="", seeds=0),
        covered("test_notebooks.py", "test_notebook_runs_to_its_end"),
    ),
    f"{FIRST} -p seeds 10 -p task digits-mlp,mnist1d-mlp": (parameters(seeds=10, task="digits-mlp,mnist1d-mlp"),),
    f'{FIRST} -y "{{updates: 200, lrs: [1e-3, 1e-2, 1e-1]}}"': (
        parameters(updates=200, lrs=(1e-3, 1e-2, 1e-1), preset="quick"),
    ),
    f"{FIRST} -f settings.yaml": (parameters(preset="quick", task="digits-deep", lrs=(1e-3, 1e-2, 1e-1)),),
    ".venv/bin/papermill --help-notebook notebooks/1_sgd_vs_adam.ipynb": (help_of_notebook,),
    f"{FIRST} -p task my_task:wine": (
        parameters(task="my_task:wine"),
        covered(Path(__file__).name, "test_the_example_of_an_own_task_runs_as_it_stands"),
    ),
    f"{FIRST} -p scheduler tcp://10.0.0.1:8786": (
        parameters(scheduler="tcp://10.0.0.1:8786"),
        covered("test_dask_cluster.py", "test_the_cluster_gives_the_same_rows_and_stores_them_here"),
    ),
    "WARMUP_STUDY_SCHEDULER=tcp://10.0.0.1:8786 make report": (
        make("dodo.py quick"),
        covered("test_dask_cluster.py", "test_a_variable_stands_in_for_an_empty_parameter"),
    ),
    ".venv/bin/dask scheduler --port 8786": (dask("test_a_killed_scheduler_is_one_line_and_what_is_finished_is_kept"),),
    ".venv/bin/dask worker tcp://127.0.0.1:8786 --nworkers 2 --nthreads 1": (
        dask("test_a_worker_killed_in_the_middle_changes_nothing"),
    ),
    '.venv/bin/dask ssh --nworkers 16 --nthreads 1 --remote-python "$PWD/.venv/bin/python" node1 node2 node3': (
        dask("test_a_machine_without_the_study_can_carry_the_work_and_says_what_it_lacks"),
    ),
    ".venv/bin/python -m warmup_study.bench.cluster_capacity tcp://host:port": (measured_capacity,),
    "python3 -m venv .venv": (as_make_installs,),
    '.venv/bin/python -m pip install -c requirements.lock -e ".[test,lint,cluster]"': (as_make_installs,),
    ".venv/bin/python dodo.py quick": (
        covered("test_dodo.py", "test_a_failed_notebook_is_named_and_the_rest_runs_and_is_kept"),
    ),
    "uv venv --python 3.11": (),  # tried by hand: uv is no dependency
    'uv pip install -c requirements.lock -e ".[test,lint,cluster]"': (as_make_installs,),
    '.venv/bin/python -m ipykernel install --user --name warmup-study --display-name "Warmup study"': (
        kernel_elsewhere,
    ),
    ".venv/bin/warmup-study claims": (prints_a_list,),
    ".venv/bin/warmup-study tasks": (prints_a_list,),
    ".venv/bin/warmup-study readme": (readme_anew,),
    ".venv/bin/warmup-study verdicts --preset full": (verdicts_anew,),
}
"""Each command of README and how it is checked."""


@pytest.mark.parametrize("command", commands())
def test_every_command_of_readme_is_checked(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command in CHECKS, "README has a command that this test knows no check for"
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_task", raising=False)
    monkeypatch.setenv("WARMUP_STUDY_ROOT", str(tmp_path))
    for check in CHECKS[command]:
        check(command, tmp_path)


def test_no_check_is_left_over() -> None:
    assert set(CHECKS) <= set(commands())


def test_the_typing_error_ends_in_the_line_that_readme_shows() -> None:
    (shown,) = blocks("text")
    given = re.findall(r"`-p (\w+) (\d+)` ends in:", TEXT)
    cells = json.loads((ROOT / "notebooks" / "1_sgd_vs_adam.ipynb").read_text())["cells"]
    (own,) = ("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    injected = [f"# Parameters\n{name} = {value}" for name, value in given]
    with pytest.raises(StudyError) as caught:
        check_names({"In": ["", own, *injected]})
    assert shown.strip() == f"StudyError: {caught.value}"


def test_python_blocks_are_python() -> None:
    assert all(compile(block, "README.md", "exec") for block in blocks("python"))


# ------------------------------------------------------------------------------------------------ a task of one's own


def own_task() -> str:
    return next(block for block in blocks("python") if "def wine" in block)


def test_the_networks_of_readme_get_their_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_task.py").write_text(own_task())
    (lstm,) = [block for block in blocks("python") if "def rows" in block]
    (tmp_path / "my_lstm.py").write_text(lstm)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    for task, more in (("my_task:wine", ["--optimizer", "sgd"]), ("my_lstm:rows", ["--lrs", "0.003,0.01,0.03"])):
        asked = ["advise", task, "--preset", "smoke", "--output-dir", str(tmp_path), *more]
        assert main(asked) == 0, capsys.readouterr().err
        name = f"your_network-{task.replace(':', '-')}{'-sgd' if '--optimizer' in more else ''}"
        made = (tmp_path / "report" / f"{name}-smoke.html").read_text(encoding="utf-8")
        assert (tmp_path / "figures" / "smoke" / f"{name}-answer.csv").exists()
        page = BeautifulSoup(made, "html.parser").get_text()
        assert all(f"{question}. " in page for question in ("Whether", "When", "How long"))
        assert "LambdaLR(optimizer, factor)" in page and 'alt="Two panels' in made
    printed = capsys.readouterr().out
    assert printed.count("Whether. ") == 2 and "LSTM" in printed  # the line on the layer that cannot be stacked


def test_the_example_of_an_own_task_runs_as_it_stands(tmp_path: Path) -> None:
    assert len(own_task().splitlines()) <= 20 and "as `my_task.py`:" in TEXT
    (tmp_path / "my_task.py").write_text(own_task())
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    (command,) = [line for line in commands() if "my_task:wine" in line and "papermill" in line]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARMUP_STUDY")}
    environment |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "WARMUP_STUDY_ROOT": str(tmp_path)}
    call = ["bash", "-c", f"{command} -p preset smoke --no-progress-bar"]
    ran = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    results = Folders(tmp_path, "smoke")
    assert set(store.read_runs(results.results / "1_sgd_vs_adam.parquet")["task"]) == {"my_task:wine"}
    assert {row.task for row in ledger.read(results)} == {"all", "my_task:wine"}
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    said = [output for cell in cells for output in cell.get("outputs", []) if "text/markdown" in output.get("data", {})]
    assert any("runs on my_task:wine, " in output.data["text/markdown"] for output in said)
