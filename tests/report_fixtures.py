"""A small finished run, made up: executed notebooks, verdicts, provenance and figures for the report's tests."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from warmup_study.claims.table import claim
from warmup_study.paths import Folders

CHAPTER = "1_sgd_vs_adam"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 300" width="640" height="300">
<style>svg { color: #1c1c1a } @media (prefers-color-scheme: dark) { svg { color: #e6e5e0 } }</style>
<path d="M40 20V260H620" fill="none" stroke="currentColor"/>
<path d="M60 60C200 250 320 260 420 200S560 60 600 40" fill="none" stroke="#0072B2" stroke-width="3"/>
<path d="M60 90C220 255 360 262 480 220S580 160 600 150" fill="none" stroke="#D55E00" stroke-width="3"/>
<text x="300" y="290" fill="currentColor" font-size="15">learning rate</text></svg>"""
PROSE = """# SGD against Adam

Warmup is said to serve adaptive optimisers only. The ramp multiplies the rate of update $i$ by

$$f(i) = \\min\\left(1, \\frac{i}{n}\\right), \\qquad \\hat v_t = \\frac{v_t}{1 - \\beta_2^t}, \\quad
\\mathbb{E}\\left[g^2\\right] \\le \\sqrt{\\sum_{k=1}^{t} \\lVert g_k \\rVert^2}$$

## What it predicts

See [the next chapter](2_zero_vs_ramped_warmup.ipynb), [the verdicts](report.ipynb), or Goyal et al., arXiv:1706.02677.
Set `lr = 0.125`."""


def verdict(name: str, word: str, task: str = "all", **changed: Any) -> dict[str, Any]:
    """A row of verdicts.json on a claim of the table."""
    row_of = claim(name)
    row = {
        "id": name,
        "claim": row_of.text,
        "source": row_of.source,
        "rule": row_of.rule,
        "endpoint": row_of.endpoint,
        "estimate": 0.148,
        "ci_low": 0.061,
        "ci_high": 0.237,
        "level": 0.95,
        "n": 20,
        "unit": row_of.unit,
        "margin": row_of.margin,
        "verdict": word,
        "notebook": row_of.notebook,
        "figure": f"{CHAPTER}-lr_curves",
        "task": task,
        "p_supported": 0.001,
        "p_contradicted": 0.9,
        "p_adjusted": 0.002,
        "parts": [],
    }
    return row | changed


def part(name: str, estimate: float, decision: str) -> dict[str, Any]:
    """One condition of a verdict."""
    return {
        "name": name,
        "estimate": estimate,
        "ci_low": estimate - 0.018,
        "ci_high": estimate + 0.022,
        "margin": 0.02,
        "unit": "decades",
        "n": 20,
        "decision": decision,
    }


def verdicts() -> list[dict[str, Any]]:
    """One verdict of each word, over two tasks."""
    parts = [
        part("SGD's gain in usable learning rates", -0.004, "inside"),
        part("Adam's gain less SGD's in usable learning rates", 0.148, "above"),
    ]
    exact = {"estimate": 0.0, "ci_low": None, "ci_high": None, "margin": 0.0, "p_adjusted": None}
    rows = [verdict("definition", "supported", task, **exact) for task in ("all", "digits", "mnist1d")]
    rows += [verdict("adaptive-only", "supported", task, parts=parts) for task in ("all", "digits", "mnist1d")]
    wide = {"estimate": 2.6, "ci_low": 0.8, "ci_high": 4.4, "p_adjusted": 0.31}
    rows += [verdict("first-update", "inconclusive", task, **wide) for task in ("all", "digits", "mnist1d")]
    low = {"estimate": -0.31, "ci_low": -0.52, "ci_high": -0.12}
    rows += [verdict("jump", "contradicted", task, **low) for task in ("all", "digits")]
    return [*rows, verdict("decay-after", "mixed", ci_low=-0.1)]


def figure_output(key: str = f"{CHAPTER}-lr_curves") -> NotebookNode:
    """A figure as the chapters display it."""
    output: NotebookNode = new_output("display_data", data={"image/svg+xml": SVG}, metadata={"figure": key})
    return output


def chapter() -> NotebookNode:
    """An executed chapter with everything that a chapter may show."""
    table = pd.DataFrame({"test loss": [0.11, 0.12], "step": [3, 4]}, index=pd.Index(["sgd", "adam"], name="arm"))
    wide = pd.DataFrame([range(30)], columns=[f"column {place}" for place in range(30)])
    markdown = {"text/markdown": "Adam gains **0.148** (n = 20), a ramp of $n$ updates."}
    cells = [
        new_markdown_cell(PROSE, id="same"),
        new_code_cell('preset: str = "quick"  # size', metadata={"tags": ["parameters"]}),
        new_code_cell("from study import run\nrun(3)  # train", outputs=[new_output("stream", text="done\n")]),
        new_code_cell("figure", outputs=[figure_output()]),
        new_code_cell("table", outputs=[_frame(table), _frame(wide)]),
        new_code_cell("say()", outputs=[new_output("display_data", markdown, metadata={"claim": "adaptive-only"})]),
        new_code_cell("quiet()", outputs=[new_output("stream", text="hidden")]),
        new_markdown_cell("## What this does not show\n\nLarger networks."),
    ]
    notebook: NotebookNode = new_notebook(cells=cells)
    return notebook


def _frame(table: pd.DataFrame) -> NotebookNode:
    data = {"text/html": table.to_html(), "text/plain": repr(table)}
    output: NotebookNode = new_output("execute_result", data=data)
    return output


def verdicts_page() -> NotebookNode:
    """An executed verdicts notebook, one cell of which the page's front replaces."""
    shown = [new_output("display_data", {"text/markdown": "shown at the front"})]
    cells = [
        new_markdown_cell("# How to read the verdicts\n\nWord and shape.", id="same"),
        new_code_cell("front()", outputs=shown, metadata={"tags": ["front"]}),
        new_markdown_cell("## What this does not show\n\nOther tasks. [Next](1_sgd_vs_adam.ipynb#adaptive-only)"),
    ]
    notebook: NotebookNode = new_notebook(cells=cells)
    return notebook


def write_notebook(folders: Folders, name: str, notebook: NotebookNode) -> None:
    """Lay an executed notebook where the report looks for it."""
    folders.executed.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folders.executed / f"{name}.ipynb")


def write_figure(folders: Folders, name: str = "lr_curves", alt: str | None = None) -> None:
    """Lay a figure and its sidecar where the report looks for them."""
    words = alt if alt is not None else "Test loss against learning rate: two bowls, the one with warmup wider"
    caption = "Test loss against the learning rate, $n = 20$ seeds, with $\\eta$ on a log axis."
    sidecar = {
        "title": "LR curves",
        "alt": words,
        "caption": caption,
        "maker": "warmup_study.chapters.sgd_vs_adam.figures.lr_curves",
    }
    folders.figures.mkdir(parents=True, exist_ok=True)
    place = folders.figures / f"{CHAPTER}-{name}"
    place.with_suffix(".svg").write_text(SVG, encoding="utf-8")
    content = sidecar | {"preset": folders.preset, "notebook": CHAPTER, "name": name}
    place.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")


def finished_run(root: Path, preset: str = "quick") -> Folders:
    """A whole finished run under `root`."""
    folders = Folders.of(str(root), preset)
    folders.results.mkdir(parents=True)
    (folders.results / "verdicts.json").write_text(json.dumps(verdicts()), encoding="utf-8")
    provenance = {"commit": "0a1b2c3", "dirty": False, "versions": {"torch": "2.13.0"}, "seeds": [0, 1, 2]}
    (folders.results / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    write_figure(folders)
    write_notebook(folders, "report", verdicts_page())
    write_notebook(folders, CHAPTER, chapter())
    return folders
