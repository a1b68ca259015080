"""The report: what the page holds, what its gates refuse, and how it does in a browser."""

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
from fontTools.ttLib import TTFont
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from report_fixtures import (
    CHAPTER,
    SVG,
    chapter,
    figure_output,
    finished_run,
    verdict,
    write_figure,
    write_notebook,
)
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from warmup_study import report
from warmup_study.chapters import core_grid
from warmup_study.claims.table import _margins, claim, whole_table
from warmup_study.claims.table import table as claims_table
from warmup_study.errors import StudyError
from warmup_study.paths import Folders
from warmup_study.presentation.formatting import number
from warmup_study.presentation.style import REGIMES
from warmup_study.report import literature, page_checks
from warmup_study.report.font import font_face
from warmup_study.report.formulas import mathml
from warmup_study.report.html_cleanup import tidy
from warmup_study.report.summary import AT_ONCE
from warmup_study.report.typed_numbers import typed_results

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
IN_CHAPTER = f'[id="{CHAPTER}"]'
BACK = Path(report.__file__).parent / "sections"


@pytest.fixture(autouse=True)
def nothing_published(tmp_path_factory: pytest.TempPathFactory, published_in: Callable[[Path], None]) -> None:
    """Small runs show what is published beside their own: whatever the project has published must not change them."""
    published_in(tmp_path_factory.mktemp("project"))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return finished_run(tmp_path)


def built(folders: Folders) -> BeautifulSoup:
    return BeautifulSoup(report.build(folders).read_text(encoding="utf-8"), "html.parser")


def texts(page: Tag, selector: str) -> list[str]:
    return [" ".join(tag.get_text(" ").split()) for tag in page.select(selector)]


# ------------------------------------------------------------------------------------------------ what the page holds


def test_page_has_its_parts_in_order(folders: Folders) -> None:
    page = built(folders)
    names = [str(section["id"]) for section in page.select("main > section")]
    back = ["methods", "limits", "literature", "contest", "provenance", "glossary", "cite"]
    assert names == ["answer", "practice", "verdicts", "report", CHAPTER, *back]
    assert texts(page, "nav a") == [text.removesuffix("#").strip() for text in texts(page, "main h2")]
    assert len(texts(page, "h1")) == 1


def test_answer_takes_its_numbers_from_the_verdicts(folders: Folders) -> None:
    whether, when, how_long = texts(built(folders), "#answer > ul li")
    assert "Warm up adaptive optimisers" in whether
    assert "1.41 × the range of learning rates (1.35 × to 1.48 ×)" in whether
    assert "n = 20" in whether and "digits, mnist1d" in whether
    assert "do not settle" in when and "0.8 × to 4.4 ×" in when
    assert "was not part of this run" in how_long


def test_no_results_at_all_make_an_honest_page(tmp_path: Path) -> None:
    page = built(Folders.of(str(tmp_path), "quick"))
    assert all("was not part of this run" in sentence for sentence in texts(page, "#answer > ul li"))
    assert "No claim has been tested by this run." in page.get_text()
    assert len(page.select(".untested tbody tr")) == len(report.Results.read(Folders.of(str(tmp_path), "quick")).claims)


def test_every_claim_stands_on_the_page_with_its_word_the_decided_first(folders: Folders) -> None:
    page = built(folders)
    results = report.Results.read(folders)
    assert texts(page, "#verdicts .verdicts:not(.untested) .word") == [
        "supported",
        "supported",
        "contradicted",
        "mixed",
        "inconclusive",
    ]
    assert set(texts(page, ".untested .word")) == {"not run"}
    assert len(page.select("#verdicts .verdicts tbody tr")) == len(results.claims)
    assert len(page.select("#verdicts .verdicts .mark")) == len(results.claims)


def test_verdict_rows_count_their_tasks_and_name_them(folders: Folders) -> None:
    tasks = built(folders).select("#verdicts .verdicts:not(.untested) td.count:last-child")
    assert [(cell["title"], cell.get_text().removeprefix("tasks: ")) for cell in tasks] == [
        ("digits, mnist1d", "2"),
        ("digits, mnist1d", "2"),
        ("digits", "1"),
        ("all tasks", "all"),
        ("digits, mnist1d", "2"),
    ]


def test_advice_comes_right_after_the_answer(folders: Folders) -> None:
    page = built(folders)
    rows = texts(page, "#practice tbody tr")
    [sgd] = [row for row in rows if row.startswith("You use plain SGD")]
    assert (
        "Do without while training is stable." in sgd and "0.99 × the range of learning rates (0.95 × to 1.04 ×)" in sgd
    )
    assert "2 tasks: " in sgd and "--optimizer sgd" in sgd
    assert sum("not run" in row for row in rows) > 1
    assert page.select_one('#practice td.word a[href="#claim-adaptive-only"]')
    seen, folded = len(page.select("#practice > .scroll tbody tr")), len(page.select("#practice details tbody tr"))
    assert seen == AT_ONCE and seen + folded == len(rows)


def test_no_advice_without_a_verdict(tmp_path: Path) -> None:
    page = built(Folders.of(str(tmp_path), "quick"))
    assert not page.select("#practice") and not page.select("#literature")


def test_findings_of_others_stand_beside_verdicts_that_differ(folders: Folders) -> None:
    (folders.results / "verdicts.json").write_text(
        json.dumps([verdict("jump", "mixed"), verdict("curvature", "supported")])
    )
    page = built(folders)
    [row] = texts(page, "#literature tbody tr")
    assert "Goyal et al. (2017)" in row and "mixed" in row and "we don't know" in row
    assert page.select_one('#literature td a[href="https://arxiv.org/abs/1706.02677"]')
    assert "In line with published findings: Warmup leads to flatter ground (supported)." in page.get_text()


def test_findings_of_others_name_claims_and_verdicts_and_no_result() -> None:
    for entry in literature.entries():
        assert entry["claim"] in {row.id for row in whole_table()} and entry["expects"] in ("supported", "contradicted")
        assert typed_results(f"{entry['published']} {entry['reason']}") == []


BENCH = {
    "machine": {"cpu": "AMD EPYC", "cores": 2, "system": "Linux"},
    "table": [{"workload": "MLP 64-32-32-10", "batch": 64, "over_loops": 14.5, "over_jax": None, "of_floor": 0.41}],
}


def with_bench(folders: Folders, content: Any) -> None:
    (folders.results.parent / "bench.json").write_text(json.dumps(content), encoding="utf-8")


def test_speed_stands_in_the_methods_where_it_was_measured(folders: Folders) -> None:
    assert "How fast" not in built(folders).get_text()
    with_bench(folders, {"workloads": []})  # an older file
    assert "How fast" not in built(folders).get_text()
    with_bench(folders, BENCH)
    page = built(folders)
    assert texts(page, "#methods details.depth > summary") == ["How fast is the engine?"]
    assert texts(page, "#methods tbody tr") == ["MLP 64-32-32-10 64 14 – 41.0"]
    assert "AMD EPYC, 2 cores, Linux" in page.get_text() and not page.select("#methods figure")


def test_speed_is_drawn_where_a_figure_was_left(folders: Folders) -> None:
    with_bench(folders, BENCH)
    words = {"title": "Speed", "alt": "A row of marks for each network", "caption": "Medians.", "maker": "bench.speed"}
    place = folders.root / "figures" / "bench"
    place.with_suffix(".svg").write_text(SVG, encoding="utf-8")
    place.with_suffix(".json").write_text(json.dumps(words), encoding="utf-8")
    page = built(folders)
    assert [image["alt"] for image in page.select("#methods img")] == [words["alt"]]
    assert page.select_one('#methods figure a[href="../data/results/bench.json"]')
    full = finished_run(folders.root, "full")  # whose figures lie beside it
    assert "bench-" not in report.Results.read(full).figures and report.build(full).exists()


def test_damaged_speed_is_named(folders: Folders) -> None:
    with_bench(folders, {"table": [{"workload": "MLP"}]})
    refused(folders, "bench.json has a wrong entry: table.0.over_loops")


def test_provenance_is_short(folders: Folders) -> None:
    record = {"commit": "0a1b2c3d4e5f6a7b", "dirty": True, "seeds": [3, 0, 1, 2, 9], "wall_seconds": 24.13}
    content = {"commit": "0a1b2c3d4e5f6a7b", "dirty": False, "versions": {"torch": "2.13.0", "numpy": "2.4.6"}}
    (folders.results / "provenance.json").write_text(json.dumps(content | {"notebooks": {CHAPTER: record}}))
    rows = texts(built(folders), "#provenance tbody tr")
    assert rows[1:] == [
        "dirty no",
        "versions torch 2.13.0, numpy 2.4.6",
        f"{CHAPTER} 24.13 0–3, 9 0a1b2c3d4e, with changes not registered",
    ]


def test_provenance_says_what_it_does_not_know(folders: Folders) -> None:
    records = {CHAPTER: {"commit": None, "dirty": None, "seeds": []}, "report": {"commit": "0a1b2c3", "dirty": None}}
    content = {"commit": None, "dirty": None, "notebooks": records}
    (folders.results / "provenance.json").write_text(json.dumps(content))
    assert texts(built(folders), "#provenance tbody tr") == [
        "commit unknown",
        "dirty unknown",
        f"{CHAPTER} – unknown not registered",
        "report – 0a1b2c3, changes unknown not registered",
    ]


def test_whole_task_table_is_folded_claim_by_claim(folders: Folders) -> None:
    table = BeautifulSoup(report.verdicts_by_task(report.Results.read(folders)).data, "html.parser")
    assert texts(table, "details.more summary") == ["All 7 verdicts, task by task"]
    assert len(table.select("tbody")) == 4 and len(table.select(".group")) == 4
    assert texts(table, ".task")[:2] == ["digits", "mnist1d"]


def test_names_between_backticks_are_code_in_tables(folders: Folders) -> None:
    with_cell(folders, "show()", html("<table><tr><td>the delay of `zero`, and `x`</td></tr></table>"))
    cell = built(folders).select(f"{IN_CHAPTER} td")[-1]
    assert texts(cell, "code") == ["zero", "x"] and "`" not in cell.get_text()


def test_logs_are_joined_and_folded(folders: Folders) -> None:
    with_cell(folders, "train()", [new_output("stream", text=f"trained {runs} runs\n") for runs in (64, 4)])
    logs = [fold for fold in built(folders).select(f"{IN_CHAPTER} details.code") if "trained 64" in fold.get_text()]
    assert [" ".join(log.get_text(" ").split()) for log in logs] == ["Log trained 64 runs trained 4 runs"]


def test_forest_rows_share_their_zero_and_show_the_interval(folders: Folders) -> None:
    drawings = built(folders).select("svg.forest")
    assert len(drawings) == 4  # the exact audit has no interval to draw
    assert {str(drawing.select("path")[0]["d"]) for drawing in drawings} == {"M60.0 0V18"}


def test_code_is_folded_and_not_removed(folders: Folders) -> None:
    page = built(folders)
    folds = page.select(f"{IN_CHAPTER} details.code")
    assert "run(3)" in "".join(fold.get_text() for fold in folds)
    assert not any(fold.has_attr("open") for fold in folds)
    assert [fold.summary.get_text() for fold in folds if fold.summary][:2] == ["Parameters", "Code"]
    hidden = page.find(string="hidden")
    assert hidden and hidden.find_parent("details")


def test_a_chapter_shows_figure_and_verdict_and_folds_the_rest(folders: Folders) -> None:
    page = built(folders)
    [depth] = page.select(f"{IN_CHAPTER} details.depth")
    assert depth.select("pre") and "Larger networks." in depth.get_text()
    assert depth.select_one(f'a[href="../notebooks/{CHAPTER}.ipynb"]')
    shown = page.select(f"{IN_CHAPTER} figure, {IN_CHAPTER} .claim")
    assert len(shown) == 2 and not any(tag.find_parent("details") for tag in shown)


def test_tasks_are_described_and_verdicts_can_be_contested(folders: Folders) -> None:
    rows = [verdict("jump", "inconclusive", task, seeds_needed=140) for task in ("all", "digits-mlp", "mnist1d-conv")]
    (folders.results / "verdicts.json").write_text(json.dumps(rows), encoding="utf-8")
    runs = {"task": "digits-mlp", "arm": ["a", "a", "tuned"], "grid_lr": 0.1, "updates": [40, 50, 50]}
    losses = {"initial_loss": [2.0, 2.0, 9.0], "test_loss": [0.4, 0.6, 0.1], "start_task": [None, None, "digits-mlp"]}
    pd.DataFrame(runs | losses).to_parquet(folders.results / "core_grid-digits-mlp.parquet")
    page = built(folders)
    easy, conv = texts(page, "#tasks tbody tr")
    assert "digits, MLP with 2 hidden layers" in easy and "40 to 50" in easy and easy.endswith("0.25")
    assert "convolutional net" in conv and len(page.select("#tasks svg")) == 2
    [contested] = texts(page, "#contest tbody tr")
    assert "-p seeds 140" in contested and claim("jump").rule in contested and contested.endswith("140")


def test_a_claim_judged_over_all_tasks_at_once_names_those_of_its_chapter(folders: Folders) -> None:
    row = verdict("predictable", "inconclusive")
    (folders.results / "verdicts.json").write_text(json.dumps([row]), encoding="utf-8")
    assert report.Results.read(folders).tasks("predictable") == []
    runs = pd.DataFrame({"task": ["mnist1d-conv", "digits-mlp", "digits-mlp"]})
    runs.to_parquet(folders.results / f"{row['notebook']}.parquet")
    assert report.Results.read(folders).tasks("predictable") == ["digits-mlp", "mnist1d-conv"]


def test_the_glossary_knows_every_unit_endpoint_arm_and_kind_of_network() -> None:
    text = (BACK / "glossary.md").read_text(encoding="utf-8")
    heads = [line.split("|")[1].lower() for line in text.splitlines() if line.startswith("| ")]
    terms = [term.strip() for head in heads for term in re.split(r"[,()]", head) if term.strip()]
    units = {row.unit for row in claims_table()} | {
        row.margin_and_unit(pattern)[1] for row in claims_table() for pattern in row.units
    }
    assert [unit for unit in units if not any(term in unit.lower() for term in terms)] == []
    endpoints = {margin.name.lower() for margin in _margins().values()}
    assert {*core_grid.WARMUPS, "zero+n", "constant+n", *endpoints} <= set(terms)
    assert [regime for regime in REGIMES if regime not in text] == []


def test_front_cells_of_the_verdicts_notebook_are_not_repeated(folders: Folders) -> None:
    assert "shown at the front" not in built(folders).get_text()


def test_formulas_are_mathml_with_the_font_they_need(folders: Folders) -> None:
    page = built(folders)
    assert page.select(f"{IN_CHAPTER} math[display=block] mfrac")
    assert "$" not in page.select_one(f"{IN_CHAPTER} p").get_text()  # type: ignore[union-attr]
    assert "data:font/woff;base64," in "".join(style.get_text() for style in page("style"))


def test_figure_has_words_maker_and_data(folders: Folders) -> None:
    figure = built(folders).select(f"{IN_CHAPTER} figure")[0]
    image = figure.select_one("img")
    assert image and unquote(str(image["src"]).partition(",")[2]).startswith("<svg")
    assert "two bowls" in str(image["alt"])
    assert "warmup_study.chapters.sgd_vs_adam.figures.lr_curves" in figure.get_text()
    assert figure.select_one(f'a[href="../data/results/quick/{CHAPTER}.parquet"]')


def test_a_figure_leads_to_its_numbers_where_they_were_kept(folders: Folders) -> None:
    link = 'a[href="../figures/quick/1_sgd_vs_adam-lr_curves.csv"]'
    assert not built(folders).select(link)
    (folders.figures / "1_sgd_vs_adam-lr_curves.csv").write_text("panel,x,y\n")
    assert texts(built(folders), f"{IN_CHAPTER} figure {link}") == ["the numbers drawn (CSV)"]


def test_four_setups_come_before_the_first_chapters_curves(folders: Folders) -> None:
    write_figure(folders, "four_setups", alt="Four setups side by side, with a gain in one of them")
    image = built(folders).select_one("#answer img")
    assert image and "Four setups" in str(image["alt"])


def test_tables_are_named_scrollable_and_have_scoped_headers(folders: Folders) -> None:
    page = built(folders)
    assert all(head.has_attr("scope") and head.get_text(strip=True) for head in page("th"))
    assert texts(page, f"{IN_CHAPTER} table:first-of-type thead th")[:3] == ["arm", "test loss", "step"]
    for table in page("table"):
        box = table.parent
        assert box and box["tabindex"] == "0" and box["aria-label"]


def test_links_between_notebooks_lead_within_the_page(folders: Folders) -> None:
    page = built(folders)
    targets = {link.get_text(): link["href"] for link in page.select("main section a")}
    assert targets["the verdicts"] == "#report"
    assert targets["Next"] == "#claim-adaptive-only"
    assert "the next chapter" not in targets and "the next chapter" in page.get_text()


def test_a_failed_chapter_is_shown_as_failed(folders: Folders) -> None:
    error = new_output("error", ename="StudyError", evalue="lrs: got 'x'", traceback=["..."])
    cells = [new_markdown_cell("# SGD against Adam"), new_code_cell("run()", outputs=[error])]
    write_notebook(folders, CHAPTER, new_notebook(cells=cells))
    [section] = built(folders).select(IN_CHAPTER)
    assert "run failed" in section.get_text() and "lrs: got 'x'" in section.get_text()


def test_notebook_ids_and_folders_do_not_reach_the_page(folders: Folders) -> None:
    notebook = chapter()
    notebook.cells[1].source = f'output_dir = "{folders.root}"'
    write_notebook(folders, CHAPTER, notebook)
    assert str(folders.root) not in report.build(folders).read_text(encoding="utf-8")


def test_chance_ids_and_messages_stay_out(folders: Folders) -> None:
    styled = new_output("display_data", {"text/html": '<table id="T_1"><tr><td id="T_1_row0">1</td></tr></table>'})
    message = new_output("stream", name="stderr", text="/home/someone/lib: a warning")
    with_cell(folders, "show()", [styled, message])
    page = report.build(folders).read_text(encoding="utf-8")
    assert "T_1" not in page and "someone" not in page


def test_same_results_make_the_same_bytes(folders: Folders) -> None:
    assert report.build(folders).read_bytes() == report.build(folders).read_bytes()


def test_presets_never_write_over_each_other(tmp_path: Path) -> None:
    quick, full = report.build(finished_run(tmp_path)), report.build(finished_run(tmp_path, "full"))
    assert (quick.name, full.name) == ("quick.html", "index.html")
    assert "preset quick" in quick.read_text() and 'class="notice"' not in full.read_text()


def test_a_small_run_says_whether_there_are_published_verdicts(
    tmp_path: Path, published_in: Callable[[Path], None]
) -> None:
    published_in(tmp_path / "project")
    [before] = texts(built(finished_run(tmp_path)), ".notice")
    finished_run(tmp_path / "project", "full")
    [after] = texts(built(Folders.of(str(tmp_path), "quick")), ".notice")
    assert "has not been trained yet" in before and "the published ones, shown next to" in after


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "0.12"), (-3.0, "−3"), (99.6, "100"), (3902.4, "3902"), (0.0, "0"), (None, "–"), (2.3e-6, "2.3 × 10⁻⁶")],
)
def test_numbers_for_prose(value: float | None, text: str) -> None:
    assert number(value) == text


def test_reading_counts_verdicts_and_names_claims_on_which_regimes_differ(folders: Folders) -> None:
    rows = [
        verdict("jump", "depends"),
        verdict("jump", "supported", regime="deep"),
        verdict("jump", "contradicted", regime="easy"),
        verdict("jump", "", "digits"),
    ]
    (folders.results / "verdicts.json").write_text(json.dumps(rows), encoding="utf-8")
    results = report.Results.read(folders)
    assert "1 were examined: **1** depends" in report.reading(results)
    assert results.overall("jump").verdict == "depends"  # type: ignore[union-attr]
    assert "disagree on" in report.reading(results)
    words = texts(BeautifulSoup(report.verdicts_by_task(results).data, "html.parser"), ".word")
    assert words == ["supported", "contradicted", ""]


# ------------------------------------------------------------------------------------------------- what gates refuse


def with_cell(folders: Folders, source: str, outputs: list[Any] | None = None) -> None:
    """Put one more cell at the end of the chapter: Markdown, or code where there are outputs."""
    notebook = chapter()
    notebook.cells.append(new_code_cell(source, outputs=outputs) if outputs else new_markdown_cell(source))
    write_notebook(folders, CHAPTER, notebook)


def refused(folders: Folders, reason: str) -> None:
    """The build raises one line with the reason and writes nothing."""
    with pytest.raises(StudyError, match=reason) as caught:
        report.build(folders)
    assert "\n" not in str(caught.value)
    assert not folders.report.exists()


def html(content: str) -> list[Any]:
    return [new_output("display_data", {"text/html": content})]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('<img src="https://example.org/a.png" alt="a curve that goes down">', "would fetch 'https://example.org"),
        ('<img src="local.png" alt="a curve that goes down">', "would fetch 'local.png'"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "would fetch '//example.org"),
        ('<p style="background: url(http://example.org/a.png)">x</p>', "style would fetch 'url"),
        ('<svg><image href="https://example.org/a.png"/></svg>', "would fetch 'https://example.org"),
        ("<script>1</script>", "has a <script>"),
        ('<p onclick="a()">x</p>', "event handler"),
        ('<img src="data:,"/>', f"image in {CHAPTER} has no alt text"),
        ('<img src="data:," alt="figure">', "no alt text"),
        ('<img src="data:," alt="No description has been provided for this image">', "no alt text"),
        (r"<math><mi>\label</mi></math>", "LaTeX left in the formula"),
        ('<p id="methods">x</p>', "id 'methods' appears 2 times"),
        ('<a href="#nowhere">x</a>', "'#nowhere' leads nowhere"),
        ("<h6>deep</h6>", "'deep' skips a level"),
        ("<h1>second</h1>", "2 titles"),
    ],
)
def test_gate_on_the_page(folders: Folders, content: str, reason: str) -> None:
    with_cell(folders, "show()", html(content))
    refused(folders, reason)


def test_gate_on_a_figure_without_words(folders: Folders) -> None:
    with_cell(folders, "show()", [figure_output("1_sgd_vs_adam-unknown")])
    refused(folders, "no alt text")


def test_gate_on_size(folders: Folders) -> None:
    with_cell(folders, "show()", html(f"<p>{'x' * page_checks.LARGEST_PAGE}</p>"))
    refused(folders, "has 5.. MB, more than 5")


@pytest.mark.parametrize(
    "formula",
    [
        r"x \label{a}",
        r"\operatorname*{min} x",
        r"\nosuchcommand{x}",
        r"\begin{aligned} a &= b \end{aligned}",
        r"x_1_2",
        r"\left( x",
    ],
)
def test_gate_on_formulas(folders: Folders, formula: str) -> None:
    with_cell(folders, f"The formula $${formula}$$ fails.")
    refused(folders, "formula")


@pytest.mark.parametrize(
    "formula",
    [
        r"\eta_i = \eta \min(1, i/n)",
        r"\hat m_t / (\sqrt{\hat v_t} + \epsilon)",
        r"\lVert g \rVert",
        r"\begin{cases} 0 & i \le n \\ 1 & i > n \end{cases}",
        r"\mathbb{E}[g^2]",
        r"\Delta\theta",
    ],
)
def test_formulas_that_the_study_needs(formula: str) -> None:
    element = BeautifulSoup(mathml(formula), "html.parser")
    assert element.math and "\\" not in element.get_text()
    assert font_face(element.get_text())


def test_font_holds_the_sign_of_roots_which_is_in_no_text() -> None:
    data = font_face("x").partition("base64,")[2].partition('"')[0]
    assert ord("√") in TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap()


def test_functions_and_relations_are_spaced_as_such() -> None:
    assert all('lspace="0em"' in mathml(bars) for bars in (r"\lVert x \rVert", "|x|^2"))
    assert "<mi>min</mi>" in mathml(r"\min(1, x)") and "<mo>&#x0223C;</mo>" in mathml(r"x \sim y")


def test_gate_on_a_character_that_the_font_lacks() -> None:
    with pytest.raises(StudyError, match="U\\+6F22"):
        font_face("漢")


@pytest.mark.parametrize(
    "text",
    [
        "Adam gains 0.148.",
        "It fell by 12 %.",
        "by 12%",
        "with n = 37 seeds",
        "3.7× faster",
        "a 4-fold gain",
        "−0.31 in all",
        "a rate of 3e-3",
        "won 7 times",
    ],
)
def test_gate_on_typed_numbers(folders: Folders, text: str) -> None:
    with_cell(folders, text)
    refused(folders, f"{CHAPTER} has the typed number")


def test_gate_on_numbers_typed_into_code(folders: Folders) -> None:
    with_cell(folders, 'say(f"Adam gains 0.148 with {n} seeds")', html("<p>said</p>"))
    refused(folders, "typed number '0.148'")


@pytest.mark.parametrize(
    "text",
    [
        "$x = 0.148$ and `0.148`",
        "[Goyal](https://arxiv.org/abs/1706.02677), arXiv:1706.02677",
        "Python 3.11",
        "with $\\beta_2$ at 0.999",
        "a 95 % interval",
        "version 2.13.0",
        "section 2.1",
        "in 2017",
        "update 1",
        "10 classes",
        "```\n0.148\n```",
        "<https://example.org/0.148>",
    ],
)
def test_numbers_that_may_be_typed(text: str) -> None:
    assert typed_results(text) == []


def test_numbers_written_before_any_run_may_be_typed(folders: Folders) -> None:
    with_cell(folders, "Adam's loss is to be 10 % lower, the rule says.")
    assert report.build(folders).exists()


@pytest.mark.parametrize("text", sorted(BACK.glob("*.md")), ids=lambda path: path.stem)
def test_the_pages_own_texts_type_no_results(text: Path) -> None:
    assert typed_results(text.read_text(encoding="utf-8")) == []


def test_damaged_results_are_named(folders: Folders) -> None:
    (folders.results / "verdicts.json").write_text("[{", encoding="utf-8")
    refused(folders, "verdicts.json")


def test_damaged_sidecar_is_named(folders: Folders) -> None:
    (folders.figures / f"{CHAPTER}-lr_curves.json").write_text("{}", encoding="utf-8")
    refused(folders, f"{CHAPTER}-lr_curves.json has a wrong entry: title")


def test_damaged_notebook_is_named(folders: Folders) -> None:
    (folders.executed / f"{CHAPTER}.ipynb").write_text("{", encoding="utf-8")
    refused(folders, f"{CHAPTER}.ipynb is not a notebook")


def test_a_refused_page_leaves_the_old_one(folders: Folders) -> None:
    before = report.build(folders).read_bytes()
    with_cell(folders, "Adam gains 0.148.")
    with pytest.raises(StudyError):
        report.build(folders)
    assert folders.report.read_bytes() == before


def test_stored_verdicts_notebook_passes_the_gate_on_numbers() -> None:
    notebook = nbformat.read(NOTEBOOKS / "report.ipynb", as_version=4)
    assert not any(typed_results(cell.source) for cell in notebook.cells if cell.cell_type == "markdown")


# ------------------------------------------------------------------------------------------------------ in a browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    """Open the page offline at a width and in a colour scheme, every fold unfolded."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())
    browser.execute_script("for (const fold of document.querySelectorAll('details')) fold.open = true")


def requested(browser: webdriver.Chrome) -> list[str]:
    """Addresses that the browser asked for since the last call."""
    entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_page_in_a_browser(browser: webdriver.Chrome, folders: Folders, width: int, scheme: str) -> None:
    with_bench(folders, BENCH)
    with_cell(folders, "tasks()", html(report.verdicts_by_task(report.Results.read(folders)).data))
    opened(browser, report.build(folders), width, scheme)
    asked = requested(browser)
    assert asked and all(address.startswith(("file:", "data:")) for address in asked)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert violations(browser) == []


def violations(browser: webdriver.Chrome) -> list[str]:
    """What axe-core finds, one line each."""
    place = find_spec("axe_playwright_python")
    assert place and place.origin, "the test extra installs axe-playwright-python, of which only axe.min.js is used"
    browser.execute_script(Path(place.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in found["violations"]]


def test_axe_would_find_a_fault(browser: webdriver.Chrome, folders: Folders) -> None:
    opened(browser, report.build(folders), 1280, "light")
    browser.execute_script("document.querySelector('img').removeAttribute('alt')")
    assert any(line.startswith("image-alt") for line in violations(browser))


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_only_wide_content_scrolls_and_only_in_its_own_box(
    browser: webdriver.Chrome, folders: Folders, width: int
) -> None:
    opened(browser, report.build(folders), width, "light")
    wide = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth)"
    assert browser.execute_script(f"return {wide}.length") >= 1
    assert not browser.execute_script(f"return {wide}.some(box => box.querySelector('.verdicts'))")


def test_formulas_use_the_embedded_font(browser: webdriver.Chrome, folders: Folders) -> None:
    opened(browser, report.build(folders), 1280, "light")
    script = "document.fonts.ready.then(() => arguments[0]([...document.fonts].map(f => f.status)))"
    assert browser.execute_async_script(script) == ["loaded"]


def test_a_claim_shown_by_two_chapters_has_one_place(folders: Folders) -> None:
    shown = '<div class="claim" id="claim-jump">one</div><main><div class="claim" id="claim-jump">two</div></main>'
    kept = tidy(shown).select("[id=claim-jump]")
    assert [place.get_text() for place in kept] == ["one"]
