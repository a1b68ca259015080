"""The digest of training code: what changes a result changes it, and nothing else does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import invalidate_caches, metadata
from pathlib import Path

import pytest
import torch
from torch import nn

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.paths import project_root
from warmup_study.tasks import identity
from warmup_study.training import code_hash

PACKAGE = project_root() / "src" / "warmup_study"
TASK = "digits-mlp"
TRAINING = {
    "training/schedules.py": ("np.minimum(1.0, progress)", "np.minimum(1.0, progress**2)"),
    "training/auxiliary.py": ("update <= last", "update < last"),
    "training/optimizers/settings.py": ('"momentum": 0.9', '"momentum": 0.95'),
    "tasks/networks.py": ("width: int = 32", "width: int = 33"),
    "tasks/digits.py": ("held_out=0.15", "held_out=0.2"),
    "tasks/task.py": ("_SPLITTING = 5", "_SPLITTING = 6"),
    "training/examples.py": ("split.inputs[self.places]", "split.inputs[self.places - 1]"),
    "training/full_batch.py": ("FRESH_BATCHES = 2**31, 16", "FRESH_BATCHES = 2**31, 8"),
    "training/probes/updates.py": ("seen.step.abs()", "seen.step"),
    "training/batches.py": ("default_rng([seed, 1])", "default_rng([seed, 2])"),
    "training/group_losses.py": ("1 - self.inside", "2 - self.inside"),
    "training/traces.py": ("finite.argmin(0), 1", "finite.argmin(0), 2"),
    "training/inductor.py": ("_FEW = 16", "_FEW = 8"),
    "training/ensemble.py": ("COMPILED_MULTIPLE = 32", "COMPILED_MULTIPLE = 16"),
    "training/experiment.py": ("self.grid_lr * self.arm.lr_scale", "self.grid_lr"),
    "training/trainer.py": ('seen["validation_loss"][-1]', 'seen["validation_loss"][-2]'),
}
NO_TRAINING = (
    "tasks/checks/__init__.py",
    "tasks/checks/data.py",
    "statistics/endpoints.py",
    "statistics/bootstrap.py",
    "presentation/formatting.py",
    "chapters/sgd_vs_adam/figures.py",
    "chapters/sgd_vs_adam/analysis.py",
    "paths.py",
)
SCRIPT = """
import importlib, json, sys
from pathlib import Path
from warmup_study.training import code_hash

package = Path(code_hash.__file__).parents[1]
found = {}
for name, path, text in json.load(sys.stdin):
    before = (package / path).read_text(encoding="utf-8")
    (package / path).write_text(text, encoding="utf-8")
    importlib.reload(code_hash)
    found[name] = code_hash.training_code("digits-mlp")
    (package / path).write_text(before, encoding="utf-8")
print(json.dumps({"package": str(package), **found}))
"""


def changed(path: str) -> str:
    """The module with another result."""
    text, (old, new) = (PACKAGE / path).read_text(encoding="utf-8"), TRAINING[path]
    assert text.count(old) >= 1, f"{path} has no {old!r} any more"
    return text.replace(old, new)


def reworded(path: str) -> str:
    """The module with other comments, docstrings, layout and words of errors."""
    text = (PACKAGE / path).read_text(encoding="utf-8").replace('Error(f"', 'Error(f"sorry, ')
    return f"# A new first line.\n\n{text}".replace('."""', ' and more."""').replace("\n\n\n", "\n\n\n\n# A word.\n")


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests by a copy of the package, in a process of its own, each after one change of one file."""
    copy = tmp_path_factory.mktemp("copy") / "warmup_study"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    changes = [
        ("as it is", "paths.py", (PACKAGE / "paths.py").read_text(encoding="utf-8")),
        *((f"changed {path}", path, changed(path)) for path in TRAINING),
        *((f"reworded {path}", path, reworded(path)) for path in TRAINING),
        *((f"rewritten {path}", path, "nothing = 'is left'\n") for path in NO_TRAINING),
    ]
    environment = os.environ | {"PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(changes),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=copy.parent,
    )
    found: dict[str, str] = json.loads(ran.stdout)
    assert found["package"] == str(copy)
    return found


def test_a_copy_elsewhere_has_the_same_digest(digests: dict[str, str]) -> None:
    assert digests["as it is"] == code_hash.training_code(TASK)


@pytest.mark.parametrize("path", TRAINING)
def test_a_change_of_training_code_counts(digests: dict[str, str], path: str) -> None:
    assert digests[f"changed {path}"] != digests["as it is"]


def test_no_two_changes_look_alike(digests: dict[str, str]) -> None:
    assert len({digests[f"changed {path}"] for path in TRAINING}) == len(TRAINING)


@pytest.mark.parametrize("path", TRAINING)
def test_comments_docstrings_and_layout_do_not_count(digests: dict[str, str], path: str) -> None:
    assert reworded(path) != (PACKAGE / path).read_text(encoding="utf-8")
    assert digests[f"reworded {path}"] == digests["as it is"]


@pytest.mark.parametrize("path", NO_TRAINING)
def test_statistics_figures_and_prose_do_not_count(digests: dict[str, str], path: str) -> None:
    assert digests[f"rewritten {path}"] == digests["as it is"]


def test_every_room_that_training_imports_counts() -> None:
    """What a worker imports of the study to train a run is either in the digest or known not to decide results."""
    code = (
        "import sys, warmup_study.training.trainer\n"
        "print(*[name for name in sys.modules if name.startswith('warmup_study.')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    files = {name.removeprefix("warmup_study.").replace(".", "/") for name in ran.stdout.split()}
    counted = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__")
        for room in code_hash._TRAINING_ROOMS
        for path in (PACKAGE / room).rglob("*.py")
    }
    assert files - counted == {"errors", "files", "paths"}
    assert {name for name in counted if name.startswith("tasks/checks")} == {"tasks/checks", "tasks/checks/data"}


@pytest.mark.parametrize("library", code_hash._LIBRARIES)
def test_another_version_of_a_library_counts(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    before = code_hash.training_code(TASK)
    monkeypatch.setattr(code_hash, "version", lambda name: "0.0" if name == library else metadata.version(name))
    code_hash.training_code.cache_clear()
    assert code_hash.training_code(TASK) != before
    code_hash.training_code.cache_clear()


OWN = {
    "own_digest_task.py": """
import json
from pathlib import Path
from dataclasses import replace
from warmup_study import tasks
def mine():
    from own_digest_nets.sizes import network
    shift = json.loads((Path(__file__).parent / "shift.json").read_text())
    digits = tasks.load("digits-mlp")
    train = replace(digits.splits.train, inputs=digits.splits.train.inputs + shift)
    return replace(digits, model=network, splits=digits.splits._replace(train=train), pool=None)
""",
    "own_digest_nets/sizes.py": "from .layers import linear\ndef network():\n    return linear(64, 10)\n",
    "own_digest_nets/layers.py": """
from torch import nn
from own_digest_bias import BIAS
def linear(here, there):
    return nn.Linear(here, there, bias=BIAS)
""",
    "own_digest_bias.py": "BIAS = True\n",
    "own_digest_other.py": "NOTHING = 0\n",
    "shift.json": "0",
}
OWN_TASK = "own_digest_task:mine"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The digest of a user's task in a process that starts anew, with some of its files changed: name to text."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def digest(changed: dict[str, str]) -> str:
        for name, text in (OWN | changed).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        for name in [name for name in sys.modules if name.startswith("own_digest")]:
            monkeypatch.delitem(sys.modules, name)
        invalidate_caches()
        tasks.load.cache_clear()
        code_hash.training_code.cache_clear()
        return code_hash.training_code(OWN_TASK)

    return digest


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("own_digest_task.py", "+ shift", "- shift"),
        ("own_digest_nets/sizes.py", "linear(64, 10)", "linear(64, 10).requires_grad_()"),
        ("own_digest_nets/layers.py", "nn.Linear(", "nn.modules.Linear("),
        ("own_digest_bias.py", "True", "False"),
        ("shift.json", "0", "1e-6"),
    ],
)
def test_whatever_a_users_task_is_made_of_counts(own: Callable[..., str], name: str, old: str, new: str) -> None:
    before = own({})
    assert own({name: OWN[name].replace(old, new)}) != before
    assert own({}) == before != code_hash.training_code(TASK)


def test_comments_and_files_that_a_users_task_does_not_use_do_not_count(own: Callable[..., str]) -> None:
    comments = {name: f"# A word.\n{text}" for name, text in OWN.items() if name.endswith(".py")}
    assert own(comments | {"own_digest_other.py": "NOTHING = 1\n"}) == own({})


def test_initial_weights_count_where_a_users_files_hold_them(own: Callable[..., str]) -> None:
    network = """
from pathlib import Path
import torch
from torch import nn
def network():
    layer = nn.Linear(64, 10)
    layer.bias.data += float((Path(__file__).parents[1] / "shift.json").read_text())
    return layer
"""
    task = OWN["own_digest_task.py"].replace("+ shift", "")
    files = {"own_digest_nets/sizes.py": network, "own_digest_task.py": task}
    assert own(files) != own(files | {"shift.json": "1"})


def test_a_loss_that_holds_numbers_and_the_models_own_words_count() -> None:
    task = tasks.load(TASK)
    losses = [nn.CrossEntropyLoss(torch.full((10,), weight)) for weight in (1.0, 2.0)]
    told = [identity.content(replace(task, loss=loss)) for loss in losses]
    told += [identity.content(replace(task, model=partial(nn.Dropout, share))) for share in (0.1, 0.2)]
    assert len(set(told)) == len(told)


def test_an_installed_task_counts_with_the_modules_beside_it() -> None:
    assert {"workloads", "torch_loops"} <= set(identity.texts("warmup_study.bench.workloads:wide"))


def test_a_task_without_source_is_one_line() -> None:
    with pytest.raises(StudyError, match=r"^task: 'math:sqrt' has no Python source"):
        identity.texts("math:sqrt")
