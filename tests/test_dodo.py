"""The batch run, on notebooks of one line each."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from small_experiments import hear_interrupts

from warmup_study.paths import project_root


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A project with a good and a bad notebook, and the real package."""
    for name in ("dodo.py", "requirements.lock"):
        shutil.copy(project_root() / name, tmp_path)
    (tmp_path / "src").symlink_to(project_root() / "src")
    store(tmp_path, "1_sgd_vs_adam", "print(preset)")
    store(tmp_path, "3_momentum", "print('before')\nraise ValueError('first line\\nthe last line')")
    return tmp_path


def store(root: Path, name: str, code: str) -> None:
    """Write a notebook of a parameters cell and `code`."""
    v4: Any = nbformat.v4
    first = v4.new_code_cell('preset: str = "quick"  # size', metadata={"tags": ["parameters"]})
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=[first, v4.new_code_cell(code)], metadata={"kernelspec": spec})
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the batch run in a process group of its own."""
    pipe = subprocess.PIPE
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARMUP_STUDY")}
    call = [sys.executable, "dodo.py", *arguments]
    return subprocess.Popen(
        call,
        cwd=root,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )


def run(root: Path) -> tuple[int, dict[str, str], str]:
    """Run the smoke preset: exit status, status per notebook, stderr."""
    process = start(root, "smoke")
    output, errors = process.communicate(timeout=120)
    lines = [line.split(maxsplit=2)[1:] for line in output.splitlines() if line.startswith("[")]
    return process.returncode, {name: rest.rsplit(maxsplit=2)[0] for name, rest in lines}, errors


def test_a_failed_notebook_is_named_and_the_rest_runs_and_is_kept(study: Path) -> None:
    code, status, errors = run(study)
    assert code == 1
    assert (status["1_sgd_vs_adam"], status["3_momentum"]) == ("done", "failed") and "page" in status
    assert "failed: 3_momentum: the last line" in errors and "Traceback" not in errors
    executed = study / "data" / "executed" / "smoke"
    assert "smoke" in (executed / "1_sgd_vs_adam.ipynb").read_text()
    assert not (executed / "3_momentum.ipynb").exists()
    store(study, "3_momentum", "print('mended')")
    _, status, _ = run(study)
    assert (status["1_sgd_vs_adam"], status["3_momentum"]) == ("up to date", "done")


def test_ctrl_c_is_one_line(study: Path) -> None:
    for name in ("3_momentum", "4_early_examples"):  # one lane each, where there are two cores
        store(study, name, "open('started', 'w')\nimport time; time.sleep(600)")
    process = start(study, "smoke")
    for _ in range(600):
        if (study / "started").exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "1_sgd_vs_adam             done" in output
    assert errors.strip() == "Interrupted. What is finished is kept: the same command goes on from here."


@pytest.mark.parametrize("arguments", [[], ["huge"], ["smoke", "digits-mlp", "full"]])
def test_a_wrong_call_says_what_it_takes(study: Path, arguments: list[str]) -> None:
    process = start(study, *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors == "usage: python dodo.py {smoke,quick,full} [task]\n"


def test_a_task_has_a_folder_of_its_own(study: Path) -> None:
    store(study, "1_sgd_vs_adam", "print(preset, task)")
    process = start(study, "smoke", "digits-mpl")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "did you mean digits-mlp?" in errors and len(errors.splitlines()) == 1
    start(study, "smoke", "digits-mlp").communicate(timeout=120)
    root = study / "report" / "tasks" / "digits-mlp"
    executed = (root / "data" / "executed" / "smoke" / "1_sgd_vs_adam.ipynb").read_text(encoding="utf-8")
    assert "smoke digits-mlp" in executed and not (study / "data" / "executed").exists()
