"""The project's own files: environments, README, notebooks as stored, data hashes."""

import ast
import hashlib
import json
import re
import statistics
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
import yaml
from mnist1d.data import get_dataset_args, make_dataset
from packaging.requirements import Requirement
from packaging.version import Version

from warmup_study.paths import NOTEBOOKS, project_root
from warmup_study.tasks.mnist1d import SIZES

ROOT = project_root()
STORED = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONDA_NAMES = {"torch": "pytorch", "dask": "dask-core", "matplotlib": "matplotlib-base"}
PIP_ONLY = {"mnist1d", "axe-playwright-python"}
INSTALLED = ("test", "lint", "cluster")  # the extras that make installs


def lock() -> dict[str, str]:
    """Name to version; every line must be `name==version` or a comment."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [re.fullmatch(r"([a-z0-9][a-z0-9.-]*)==([0-9][\w.]*)", line) for line in lines if not line.startswith("#")]
    assert all(pinned), "a line of the lock is no plain pin"
    return {match[1]: match[2] for match in pinned if match}


def declared(*extras: str) -> list[Requirement]:
    """Requirements of pyproject.toml: the package's own and those of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [project["optional-dependencies"][extra] for extra in extras]
    return [Requirement(line) for line in sum(named, project["dependencies"])]


def test_lock_is_within_the_bounds() -> None:
    pinned = lock()
    for requirement in declared(*INSTALLED, "bench"):
        assert Version(pinned[requirement.name]) in requirement.specifier, requirement


def test_every_dependency_is_bounded_and_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in declared(*INSTALLED, "bench"):
        assert re.search(rf'"{re.escape(requirement.name)}[^"]*",\s+# \w', text), f"no reason for {requirement.name}"
        operators = {part.operator for part in requirement.specifier}
        calendar = requirement.name in {"dask", "distributed"}
        assert operators == ({">="} if calendar else {">=", "<"}), requirement


def test_conda_has_the_versions_of_the_lock() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(content) == {"name", "channels", "dependencies"} and content["name"] == "warmup-study"
    *plain, nested = content["dependencies"]
    assert plain[:2] == ["python>=3.11", "pip"] and set(nested) == {"pip"} and nested["pip"][-1] == "--editable ."
    pinned = lock()
    names = {requirement.name for requirement in declared(*INSTALLED)}
    assert set(plain[2:]) == {f"{CONDA_NAMES.get(name, name)}=={pinned[name]}" for name in names - PIP_ONLY}
    assert set(nested["pip"][:-1]) == {f"{name}=={pinned[name]}" for name in names & PIP_ONLY}


def test_make_lists_the_commands_of_the_readme() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^make ([a-z-]+) +\S", listed, re.MULTILINE))
    assert {"report", "test", "test-long", "full", "lab", "bench", "lint", "lock", "clean", "help"} <= commands
    assert set(re.findall(r"\bmake ([a-z-]+)", code_of(ROOT / "README.md"))) <= commands


def test_an_old_python_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    call = ["make", "report", f"PYTHON={tmp_path}/python"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "This needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def code_of(page: Path) -> str:
    """What stands in code fences and code spans of a Markdown page."""
    text = page.read_text()
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text))


def test_readme_names_all_notebooks_and_what_exists() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) if name in NOTEBOOKS] == list(NOTEBOOKS)
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link


def test_readme_papermill_commands_are_real() -> None:
    lines = [line.split() for line in code_of(ROOT / "README.md").splitlines() if "papermill " in line]
    assert lines
    for words in lines:
        notebooks = [word for word in words if word.startswith("notebooks/")]
        assert words[0] == ".venv/bin/papermill" and all(Path(word).stem in NOTEBOOKS for word in notebooks)


@pytest.fixture(params=STORED, ids=lambda path: path.stem)
def stored(request: pytest.FixtureRequest) -> Path:
    path = request.param
    assert isinstance(path, Path)
    return path


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_notebook_is_one_of_the_study(stored: Path) -> None:
    assert stored.stem in NOTEBOOKS


def test_notebook_is_stored_bare(stored: Path) -> None:
    content = json.loads(stored.read_text())
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert (content["nbformat"], content["nbformat_minor"] >= 5) == (4, True)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(ids) == len(set(ids))
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code_cells(stored))
    assert not any("execution" in cell["metadata"] or "papermill" in cell["metadata"] for cell in content["cells"])
    assert stored.stat().st_size <= 20 * 1024


def test_notebook_cells_are_short(stored: Path) -> None:
    lines = [len(source_of(cell).splitlines()) for cell in code_cells(stored)]
    assert max(lines) <= 25 and statistics.median(lines) <= 8
    if stored.stem not in {"report", "lab"}:
        assert 8 <= len(lines) <= 14


def test_notebook_defines_and_trains_nothing(stored: Path) -> None:
    forbidden = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.While)
    for cell in code_cells(stored):
        for node in ast.walk(ast.parse(source_of(cell))):
            assert not isinstance(node, forbidden), ast.unparse(node)
            called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            assert called not in {"backward", "zero_grad"}, ast.unparse(node)


def test_notebook_parameters_can_be_inspected(stored: Path) -> None:
    tagged = [cell for cell in code_cells(stored) if "parameters" in cell["metadata"].get("tags", [])]
    if stored.stem == "lab" and not tagged:
        return
    (cell,) = tagged
    assert cell == code_cells(stored)[0]
    for line in source_of(cell).strip().splitlines():
        assert re.fullmatch(r"[a-z_]\w*: (str|int|float|bool) = [^=#]+  # \S.*", line), line
    assert re.search(
        rf'(validate\(\w+, |open_chapter\("{stored.stem}", |open_notebook\()globals\(\)\)',
        source_of(code_cells(stored)[1]),
    )


def test_data_page_has_the_hashes_of_the_data() -> None:
    page = (ROOT / "data" / "README.md").read_text()
    digits = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    assert hashlib.sha256(digits.read_bytes()).hexdigest() in page
    arguments = get_dataset_args()
    arguments.num_samples, arguments.train_split, arguments.seed = sum(SIZES), 1.0, 42
    made = make_dataset(arguments)
    signals, labels = np.round(np.asarray(made["x"]) * 1000), np.asarray(made["y"])
    packed = signals.astype("<i2").tobytes() + labels.astype("<i2").tobytes()
    assert hashlib.sha256(packed).hexdigest() in page
