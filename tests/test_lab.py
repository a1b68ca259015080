"""The lab: its settings, runs and bands, its notebook by papermill, and its controls in a real JupyterLab."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import nbformat
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from warmup_study import tasks
from warmup_study.chapters import contents
from warmup_study.errors import StudyError
from warmup_study.lab import setups
from warmup_study.lab.figures import lab, labels
from warmup_study.lab.instrument import Instrument, Patient
from warmup_study.lab.parameters import OFFERED, Lab, Setup
from warmup_study.lab.setups import glance, names, quantiles, rule, see, summary
from warmup_study.parameters import checked, validate
from warmup_study.paths import BATCH, NOTEBOOKS, project_root
from warmup_study.presentation.style import OPTIMIZERS, WARMUPS
from warmup_study.training import ensemble, schedules
from warmup_study.training.optimizers import SETTINGS

STORED = project_root() / "notebooks"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def small(**changes: Any) -> Setup:
    """A setup that trains in an instant."""
    return checked(Setup, {"task": "digits-mlp", "updates": 6, "length": 3, "seeds": 3} | changes)


# ------------------------------------------------------------------------------------------------ settings, runs, bands


def test_runs_are_those_of_the_engine_and_bands_are_their_quantiles() -> None:
    setup = small(lr=0.01)
    seen, planned = see(setup), setups.experiment(setup, 3, ("update_size",), setups.SIZES)
    (chunk,) = planned.chunks()
    traces = ensemble.train(chunk, chunk.runs)
    assert [run.seed for run in chunk.runs] == [4000, 4001, 4002] and not chunk.compiled
    np.testing.assert_array_equal(seen.evaluated, range(7))
    np.testing.assert_array_equal(seen.loss, traces.validation_loss.T)
    np.testing.assert_array_equal(seen.size, traces.probes["update_size"].T)
    ramp = schedules.learning_rates([chunk.runs[0].arm.schedule], [0.01], 6)[:, 0]
    np.testing.assert_array_equal(seen.rate[1:], ramp.astype(np.float32))
    np.testing.assert_array_equal(seen.band, np.quantile(seen.loss, (0.1, 0.5, 0.9), axis=0))
    assert not seen.diverged.any() and seen.untrained == np.median(seen.loss[:, 0])


def test_what_was_trained_is_remembered() -> None:
    assert see(small(lr=0.01)) is see(small(lr=0.01)) and see(small(lr=0.01)) is not see(small(lr=0.02))


def test_quantiles_of_a_small_table() -> None:
    rows = [[0.0, np.nan, 1.0], [10.0, np.nan, np.nan]]
    np.testing.assert_allclose(quantiles(rows), [[1, np.nan, 1], [5, np.nan, 1], [9, np.nan, 1]])


def test_diverged_runs_count_as_far_above_the_others() -> None:
    seen = see(small(optimizer="sgd", lr=1e9, warmup="none"))
    assert seen.diverged.all()
    np.testing.assert_allclose([part[-1] for part in seen.band], setups.CEILING * seen.untrained)
    table = summary([seen, see(small(lr=0.01))], ["A", "now"])
    assert list(table["diverged"]) == ["3 of 3", "0 of 3"]
    assert list(table["current setup lower on"]) == ["3 of 3 seeds", ""]
    assert lab([seen]).words.alt


@pytest.mark.parametrize("name", SETTINGS)
def test_every_optimiser_takes_what_the_setup_says(name: str) -> None:
    taken = rule(small(optimizer=name, momentum=0.5, beta1=0.6, beta2=0.7))
    wanted = {"momentum": 0.5, "beta1": 0.6, "beta2": 0.7}
    assert {field: getattr(taken, field) for field in wanted if field in SETTINGS[name]} == {
        field: value for field, value in wanted.items() if field in SETTINGS[name]
    }


def test_every_choice_has_a_look_and_a_widget() -> None:
    assert set(get_args(Setup.model_fields["optimizer"].annotation)) == set(SETTINGS) == set(OPTIMIZERS)
    assert set(get_args(Setup.model_fields["warmup"].annotation)) <= set(WARMUPS)


@pytest.mark.parametrize("probe", OFFERED)
def test_every_probe_on_offer_shows_something_or_says_why_not(probe: str) -> None:
    for setup in (small(seeds=1, updates=3), small(optimizer="momentum", seeds=1, updates=3)):
        try:
            assert np.isfinite(glance(setup, probe).values).any()
        except StudyError as problem:
            assert probe.replace("_", " ") in str(problem)
            assert str(problem).endswith(
                ("takes SGD and its variants", "takes adaptive optimisers")
            ) or "no values" in str(problem)


def test_setups_are_told_apart_by_what_differs() -> None:
    first, second = names([small(warmup="none"), small(lr=0.1, decay="cosine", momentum=0.5)])
    assert first == "Adam · no warmup · lr 0.03 · no decay"
    assert second == "Adam · ramp 3 · lr 0.1 · cosine decay"  # Adam has no use for a momentum
    assert labels(5) == ["A", "B", "C", "D", "now"]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"lenght": 3}, "lenght: no such parameter, did you mean length?; takes task"),
        ({"updates": 9, "length": 11}, "length: got 11; takes a whole number from 0 to updates (the run has 9"),
        ({"optimizer": "adm"}, "optimizer: got 'adm'; takes one of sgd"),
        ({"beta2": 1}, "beta2: got 1; takes a number from 0 to below 1"),
        ({"lr": "fast"}, "lr: got 'fast'; takes a positive number"),
        ({"task": "digit-mlp"}, "task: got 'digit-mlp'; no such task, did you mean digits-mlp?"),
        ({"probe": "sharpnes"}, "probe: got 'sharpnes'; no such probe, did you mean sharpness?; takes update_mean"),
        ({"seeds": 0}, "seeds: got 0; takes a whole number from 1 to 200"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_one_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError) as problem:
        validate(Lab, values)
    assert str(problem.value).startswith(line)


# ------------------------------------------------------------------------------------------------ controls, no browser


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The widgets of a small lab that somebody looks at; without an event loop, every change acts at once."""
    monkeypatch.setenv("JPY_SESSION_NAME", "lab.ipynb")
    monkeypatch.chdir(tmp_path)
    instrument = Instrument(Lab(**small(lr=0.01).model_dump(), output_dir=str(tmp_path)))
    assert {"application/vnd.jupyter.widget-view+json", "image/svg+xml"} <= set(instrument._repr_mimebundle_())
    return instrument._panel


def widget(panel: Any, description: str) -> Any:
    (found,) = [each for each in (*panel.controls.widgets, panel.probe) if each.description == description]
    return found


def test_every_widget_has_a_name_and_the_first_pin_has_no_warmup(panel: Any) -> None:
    assert all(each.description and each.tooltip for each in (*panel.controls.widgets, panel.probe, *panel.buttons))
    assert [setup.warmup for setup in panel.instrument.pins] == ["none"]
    assert "data:image/svg+xml;base64," in panel.image.value and 'alt="Curves' in panel.image.value


def test_a_change_trains_and_a_wrong_one_leaves_all_as_it_was(panel: Any) -> None:
    widget(panel, "warmup").value = "zero"
    assert panel.instrument.setup.warmup == "zero" and "trained and plotted" in panel.status.value
    before, image = panel.instrument.setup, panel.image.value
    widget(panel, "task").options = (*widget(panel, "task").options, "no_such_module:task")
    widget(panel, "task").value = "no_such_module:task"
    assert 'role="alert"' in panel.status.value and "no_such_module" in panel.status.value
    assert panel.instrument.setup == before and panel.image.value == image
    assert not any(button.disabled for button in panel.buttons)


def test_each_kernel_keeps_its_rate_and_shows_what_it_takes(panel: Any) -> None:
    widget(panel, "optimiser").value = "nesterov"
    assert panel.instrument.setup.lr == 0.1
    shown = {each.description for each in panel.controls.widgets if each.layout.display != "none"}
    assert "momentum" in shown and not {"β₁", "β₂"} & shown
    widget(panel, "optimiser").value = "rmsprop"
    assert (panel.instrument.setup.lr, panel.instrument.setup.beta2) == (0.01, 0.99)


def test_pins_are_four_at_most_and_can_be_dropped(panel: Any) -> None:
    panel.instrument.pins = [small(lr=lr) for lr in (0.001, 0.002, 0.003, 0.004)]
    panel.pin()
    assert [setup.lr for setup in panel.instrument.pins] == [0.002, 0.003, 0.004, 0.01]
    panel.pin()
    assert "already pinned" in panel.status.value and len(panel.instrument.pins) == 4
    assert [button.description[:2] for button in panel.pinned.children] == ["A:", "B:", "C:", "D:"]
    panel.pinned.children[1].click()
    assert [setup.lr for setup in panel.instrument.pins] == [0.002, 0.004, 0.01]


def test_a_probe_is_drawn_and_where_it_sees_nothing_the_reason_is_told(panel: Any) -> None:
    widget(panel, "also show").value = "update_norm"
    assert "update norm (n = 3)" in panel.instrument.shown.figure.svg
    widget(panel, "also show").value = "velocity_norm"
    assert "velocity norm: got adam; takes SGD and its variants" in panel.status.value


def test_nothing_is_written_but_on_request(panel: Any, tmp_path: Path) -> None:
    panel.run()
    assert not list(tmp_path.iterdir())
    panel.save()
    (svg,) = (tmp_path / "figures" / "lab").glob("lab-*.svg")
    assert svg.read_text(encoding="utf-8") == panel.instrument.shown.figure.svg and svg.name in panel.status.value
    assert set(json.loads(svg.with_suffix(".json").read_text())) >= {"title", "alt", "caption"}


def test_patience_acts_once_after_the_last_call() -> None:
    calls: list[float] = []

    async def hurry() -> None:
        patient = Patient(lambda: calls.append(time.perf_counter()), 0.05)
        for _ in range(3):
            patient()
            await asyncio.sleep(0.005)
        assert not calls
        await asyncio.sleep(0.2)

    asyncio.run(hurry())
    assert len(calls) == 1


# ------------------------------------------------------------------------------------------------ the notebook in batch


def test_the_notebook_shows_the_figure_of_its_parameters_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "papermill", str(STORED / "lab.ipynb"), "out.ipynb", "--no-progress-bar"]
    options = ["-p", "updates", "6", "-p", "seeds", "3"]
    options += ["-y", "{task: digits-mlp, length: '2', lr: 1e-2, optimizer: rmsprop}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JPY", "WARMUP_STUDY"))}
    environment |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "WARMUP_STUDY_ROOT": str(tmp_path)}
    done = subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]
    outputs = [output for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells for output in cell.get("outputs", [])]
    shown, listed = outputs
    assert set(listed.data) == {"text/markdown", "text/plain"}
    assert set(shown.data) == {"image/svg+xml", "text/plain"}
    assert "now: RMSProp · ramp 2 · lr 0.01" in shown.data["text/plain"]
    assert "A: RMSProp · no warmup · lr 0.01" in shown.data["image/svg+xml"]


def test_the_notebook_lists_all_others_and_is_run_by_none() -> None:
    assert "lab" in NOTEBOOKS and "lab" not in BATCH
    text = str(contents().data)
    readme = (project_root() / "README.md").read_text(encoding="utf-8")
    for name in BATCH:
        (line,) = [line for line in text.splitlines() if line.startswith(f"| [{name}]({name}.ipynb) |")]
        assert line.split("|")[2].strip() in readme, name


def test_the_notebook_opens_with_the_defaults() -> None:
    (cell,) = [
        cell for cell in nbformat.read(STORED / "lab.ipynb", 4).cells if "parameters" in cell.metadata.get("tags", [])
    ]
    namespace: dict[str, Any] = {}
    exec(cell.source, namespace)
    assert checked(Lab, {name: namespace[name] for name in Lab.model_fields}) == Lab()
    assert Lab().seeds == 10 and Lab().task in tasks.names()


# ------------------------------------------------------------------------------------------------------ in JupyterLab

SWEEP = """
from pathlib import Path
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule
from warmup_study.running.sweep import sweep

arm = Arm(label="adam", optimizer=Optimizer(name="adam"), schedule=Schedule())
seeds = tuple(range(10))
plan = Experiment(part="p", task="digits-mlp", arms=(arm,), lrs=(0.1, 0.01, 0.001, 0.02, 0.03, 0.04),
                  seeds=seeds, updates=60)
runs = sweep([plan], Path("cache"), processes=0)
"""


class Page:
    """A browser at one notebook of a running JupyterLab."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, notebook: str) -> None:
        """Open a notebook of the server's folder, in a workspace of its own, and wait for its kernel."""
        self.browser.get(f"{self.address}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}")
        self.until(lambda: self.found(".jp-Cell") and self.connected(notebook))

    def connected(self, notebook: str) -> bool:
        """Whether the notebook's kernel is idle and the browser talks to it, as the server says."""
        with urllib.request.urlopen(f"{self.address}/api/sessions", timeout=5) as answer:
            kernels = [session["kernel"] for session in json.load(answer) if session["path"] == notebook]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def found(self, selector: str, text: str = "") -> WebElement | None:
        """The first element of the selector that shows the text."""
        script = (
            "return [...document.querySelectorAll(arguments[0])].find(e => e.innerText.trim().startsWith(arguments[1]))"
        )
        element: WebElement | None = self.browser.execute_script(script, selector, text)
        return element

    def until(self, found: Callable[[], Any], seconds: float = 180) -> Any:
        """Wait for it."""
        end = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < end, f"waited in vain; the page reads {self.text[-1500:]}"
            time.sleep(0.05)
        return value

    def click(self, selector: str, text: str) -> None:
        """Click the first such element that is ready to be clicked."""
        self.until(lambda: self.found(f"{selector}:not([disabled])", text)).click()

    def run_all(self) -> None:
        """Run ▸ Run All Cells."""
        self.click(".lm-MenuBar-item", "Run")
        self.click(".lm-Menu-item", "Run All Cells")

    @property
    def text(self) -> str:
        """What stands on the page."""
        return str(self.browser.execute_script("return document.body.innerText"))

    @property
    def image(self) -> str:
        """The lab's figure as the browser has it, or nothing while it is not drawn."""
        script = (
            "const image = document.querySelector('.jp-OutputArea img[src^=\"data:image/svg\"]');"
            "return image && image.complete && image.naturalWidth ? image.src : ''"
        )
        return str(self.browser.execute_script(script))


@contextmanager
def jupyter_lab(root: Path) -> Iterator[str]:
    """A server of its own, with a copy of the notebooks; ended with its kernels whatever happens."""
    shutil.copytree(STORED, root / "notebooks")
    copy = root / "notebooks" / "lab.ipynb"
    copy.write_text(copy.read_text(encoding="utf-8").replace(Lab().task, "digits-mlp"), encoding="utf-8")  # trains fast
    cells = [nbformat.v4.new_code_cell(SWEEP)]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), root / "notebooks" / "bar.ipynb"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(root / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1", "WARMUP_STUDY_ROOT": str(root)}
    settings = (
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={root / 'notebooks'}",
    )
    with (root / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *settings],
            cwd=root,
            env=os.environ | own,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            answered(address, server, root / "log")
            yield address
        finally:
            server.terminate()  # it ends its kernels
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def answered(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        assert server.poll() is None, log.read_text()[-2000:]
        with suppress(OSError), urllib.request.urlopen(f"{address}/api", timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed")
    root = tmp_path_factory.mktemp("jupyter")
    with jupyter_lab(root) as address:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, "--window-size=1280,1100", f"--user-data-dir={root / 'chromium'}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield Page(browser, address)
        finally:
            browser.quit()


def test_the_lab_in_jupyterlab(page: Page) -> None:
    page.open("lab.ipynb")
    page.run_all()
    first = page.until(lambda: page.image)
    page.click("button.jupyter-button", "Run")
    page.until(lambda: "trained and plotted in" in page.text)
    handle = page.browser.execute_script(
        "return [...document.querySelectorAll('.widget-hslider')].find(e => e.innerText.includes('peak LR'))"
        ".querySelector('.noUi-handle')"
    )
    handle.send_keys(Keys.ARROW_RIGHT * 3)
    second = page.until(lambda: page.image != first and page.image)
    page.click("button.jupyter-button", "Pin")
    page.until(lambda: page.found("button.jupyter-button", "B: Adam · ramp 24 · lr 0.0"))
    assert page.until(lambda: page.image not in (first, second) and page.image)
    assert "final loss" in page.text and "of 10 seeds" in page.text


def test_a_sweep_tells_the_time_left_in_jupyterlab(page: Page) -> None:
    page.open("bar.ipynb")
    page.run_all()
    page.until(lambda: re.search(r"\d/6\s+\[\d\d:\d\d<\d\d:\d\d", page.text))
    page.until(lambda: "trained 60 runs in" in page.text)
