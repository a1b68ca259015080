"""Nothing that is read runs code, what is fetched is checked, what is shown is escaped, and nobody's home is told."""

import ast
import hashlib
import http.server
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from report_fixtures import CHAPTER, finished_run, verdict, write_notebook

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.lab.instrument import open_lab
from warmup_study.lab.parameters import Lab
from warmup_study.parameters import validate
from warmup_study.paths import project_root
from warmup_study.report import build
from warmup_study.tasks import digits, text

ROOT = project_root()
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), ROOT / "dodo.py", *(ROOT / "notebooks").glob("*.ipynb")])
RUNS_WHAT_IT_READS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "torch.load", "read_pickle", "to_pickle", "os.system", "yaml.load", "unsafe_load"}
SCRIPT = "<script>alert(1)</script>"


def code_of(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_can_run_code(path: Path) -> None:
    """Cached files are parquet and JSON. Dask sends what it sends by pickle between a user's own processes."""
    for node in ast.walk(ast.parse(code_of(path))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not RUNS_WHAT_IT_READS & {name.partition(".")[0] for name in names}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not [name for name in CALLS if called == name or called.endswith(f".{name}")], called
            assert not [word.arg for word in node.keywords if word.arg in ("allow_pickle", "shell")], called


@pytest.fixture
def address() -> Iterator[str]:
    """Serves a text that is not the one expected."""

    class Wrong(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"First Citizen: trust me.\n")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Wrong) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/input.txt"
        server.shutdown()


def test_a_download_with_a_wrong_hash_is_refused_and_removed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(text.FOLDER, str(tmp_path))
    monkeypatch.setattr(text, "ADDRESS", address)
    with pytest.raises(StudyError, match="cannot be had from") as caught:
        text.path()
    assert len(str(caught.value).splitlines()) == 1 and text.FOLDER in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_download_with_the_right_hash_is_kept_and_not_fetched_again(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(text.FOLDER, str(tmp_path))
    monkeypatch.setattr(text, "ADDRESS", address)
    monkeypatch.setattr(text, "SHA256", hashlib.sha256(b"First Citizen: trust me.\n").hexdigest())
    assert text.path().read_text() == "First Citizen: trust me.\n"
    monkeypatch.setattr(text, "ADDRESS", "http://127.0.0.1:1/nowhere")
    assert text.path() == tmp_path / text.FILE


def test_another_file_in_the_texts_place_is_refused_and_left_to_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(text.FOLDER, str(tmp_path))
    (tmp_path / text.FILE).write_text("something else")
    with pytest.raises(StudyError, match="is not Tiny Shakespeare") as caught:
        text.path()
    assert len(str(caught.value).splitlines()) == 1 and (tmp_path / text.FILE).exists()


def page_of(root: Path, *cells: Any) -> BeautifulSoup:
    """The page of a run whose first chapter holds these cells."""
    folders = finished_run(root)
    title = new_markdown_cell("# SGD against Adam")
    write_notebook(folders, CHAPTER, new_notebook(cells=[title, *cells]))
    return BeautifulSoup(build(folders).read_text(encoding="utf-8"), "html.parser")


def test_a_script_in_a_parameter_is_text_on_the_page(tmp_path: Path) -> None:
    parameter = new_code_cell(f'# Parameters\ntask = "{SCRIPT}"\noutput_dir = "/tmp/{SCRIPT}"')
    printed = new_code_cell("run()", outputs=[new_output("stream", text=f"trained on {SCRIPT}\n")])
    error = new_code_cell("bad()", outputs=[new_output("execute_result", {"text/plain": SCRIPT})])
    soup = page_of(tmp_path / SCRIPT.replace("/", "-"), parameter, printed, error)
    assert not soup("script") and soup.get_text().count(SCRIPT) >= 3


def test_a_script_in_the_title_of_a_task_is_text_in_the_lab_and_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = f"{SCRIPT} & <b onclick='alert(2)'>more</b>"
    monkeypatch.setitem(tasks._BUILT_IN, "scripted", lambda: replace(digits.shallow(), name="scripted", title=title))
    lab = open_lab(validate(Lab, {"task": "scripted", "updates": 5, "length": 2, "seeds": 1, "compare": False}))
    figure = lab.shown.figure
    assert title in figure.words.caption and "<script>" not in figure.svg
    folders = finished_run(tmp_path)
    data, metadata = figure.save(folders, CHAPTER, "scripted")._repr_mimebundle_()
    shown = new_code_cell("show()", outputs=[new_output("display_data", data, metadata=metadata)])
    write_notebook(folders, CHAPTER, new_notebook(cells=[new_markdown_cell("# SGD against Adam"), shown]))
    soup = BeautifulSoup(build(folders).read_text(encoding="utf-8"), "html.parser")
    assert title in soup.get_text() and not soup("script") and not soup.find("b", string="more")


def test_a_script_in_the_error_of_a_failed_chapter_never_runs(tmp_path: Path) -> None:
    failed = new_output("error", ename="StudyError", evalue=f"task: got '{SCRIPT}'; takes digits", traceback=[])
    soup = page_of(tmp_path, new_code_cell("open_chapter()", outputs=[failed]))
    assert not soup("script") and SCRIPT in soup.get_text()


@pytest.mark.parametrize(
    "content",
    [
        SCRIPT,
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        '<a href="javascript:alert(1)">a</a>',
        "<iframe src='x'></iframe>",
        "<svg onload=alert(1)></svg>",
    ],
)
def test_what_could_run_in_a_chapters_own_words_is_refused_or_defused(tmp_path: Path, content: str) -> None:
    words = new_output("display_data", {"text/markdown": f"Trained on {content}."})
    try:
        soup = page_of(tmp_path, new_code_cell("say()", outputs=[words]))
    except StudyError as refusal:
        assert str(refusal).startswith("report: ") and len(str(refusal).splitlines()) == 1
        assert not (tmp_path / "report" / "quick.html").exists()
    else:
        assert not soup("script") and not soup("iframe")
        assert not [tag for tag in soup.find_all(True) if any(name.startswith("on") for name in tag.attrs)]
        assert not [link for link in soup("a") if "javascript:" in str(link.get("href", "")).lower()]


def test_a_script_in_the_name_of_a_task_is_text_in_the_table_of_verdicts(tmp_path: Path) -> None:
    folders = finished_run(tmp_path)
    rows = [verdict("adaptive-only", "supported", task) for task in ("all", f"mine:{SCRIPT}")]
    (folders.results / "verdicts.json").write_text(json.dumps(rows), encoding="utf-8")
    try:
        soup = BeautifulSoup(build(folders).read_text(encoding="utf-8"), "html.parser")
    except StudyError as refusal:
        assert len(str(refusal).splitlines()) == 1
    else:
        assert not soup("script")


SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abp]-[0-9A-Za-z-]{10,}"
    r"|\bsk-[A-Za-z0-9]{32,}|\bhf_[A-Za-z]{34}\b|(?i:password|api_?key|secret|token)\s*[=:]\s*[\"'][^\"'\s]{8,}[\"']"
)
HOMES = re.compile(r"(?<![\w.-])(/home/(?!someone\b)[a-z]\w*|/root/\w|/Users/\w+|/work/\w|[A-Z]:\\\\Users)")


def shipped() -> list[Path]:
    """Every tracked file, and whatever is rendered but not tracked yet."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    named = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in {*named, *(ROOT / "report").glob("*.html")} if path.is_file()]


def test_no_secret_and_no_path_of_a_builders_machine_is_told() -> None:
    here = str(ROOT)
    for path in shipped():
        content = path.read_bytes().decode("utf-8", errors="replace")
        assert not SECRETS.search(content), f"{path}: a secret?"
        found = HOMES.search(content)
        assert not found and (len(here) < 4 or here not in content), f"{path}: {found and found[0]}"
