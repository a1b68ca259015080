"""Figures as files: the same bytes for the same data, words for who cannot see them, a theme, and odd tables."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from synthetic_runs import Planted, audit, grid, probe, table

from warmup_study.chapters import core_curves
from warmup_study.chapters.sgd_vs_adam import analysis, figures, relative_lr
from warmup_study.paths import Folders
from warmup_study.presentation.canvas import StudyFigure, Words, figure_maker
from warmup_study.presentation.curves import lr_label, lr_panels
from warmup_study.presentation.facets import facets
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import INK, INK_ON_DARK, OPTIMIZERS, PAPER_ON_DARK, REGIMES, WARMUPS
from warmup_study.presentation.svg_minify import compact
from warmup_study.report.build import page_style
from warmup_study.running import store
from warmup_study.statistics.bootstrap import Effect, fewer_resamples
from warmup_study.training.table import from_frame


def of_gains(maker: Callable[[core_curves.Cells, core_curves.Gains], StudyFigure], runs: pd.DataFrame) -> StudyFigure:
    """A figure of the core grid, from few resamples."""
    with fewer_resamples(199):
        cells = core_curves.cells(runs)
        return maker(cells, core_curves.gains(cells, analysis.PLACES, ("ramp", "zero")))


def of_points(maker: Callable[..., StudyFigure]) -> Callable[[core_curves.Cells, core_curves.Gains], StudyFigure]:
    """A figure of the four setups, from the cells' points."""
    return lambda cells, gains: maker(cells, relative_lr.points(relative_lr.of_setups(cells)), gains)


MAKERS: dict[str, Callable[[pd.DataFrame], StudyFigure]] = {
    "four_setups": lambda runs: of_gains(of_points(figures.four_setups), runs),
    "four_setups_narrow": lambda runs: of_gains(of_points(figures.four_setups_narrow), runs),
    "gains": lambda runs: of_gains(figures.gains, runs),
    "first_updates": figures.first_updates,
    "realised_lr": figures.realised_lr,
}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def runs_on(*tasks: str, **planted: Planted) -> pd.DataFrame:
    """Tables of runs with all three parts."""
    return table(*[part for task in tasks for part in (grid(planted, task), probe(10, -0.3, task), audit(task=task))])


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return runs_on("digits-mlp", adam=Planted(more_rates=2))


@pytest.fixture(scope="module")
def drawn(runs: pd.DataFrame) -> dict[str, StudyFigure]:
    return {name: maker(runs) for name, maker in MAKERS.items()}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


DRAW = """
import sys
from pathlib import Path
sys.path.append({tests!r})
import test_figures
from warmup_study.report.build import page_style
from warmup_study.running import store
from warmup_study.paths import Folders

runs = store.read_runs(Path({runs!r}))
for name, maker in test_figures.MAKERS.items():
    maker(runs).save(Folders(Path({out!r}), "quick"), "1_sgd_vs_adam", name)
"""


def drawn_by_process(runs: Path, out: Path, seed: str) -> dict[str, bytes]:
    """Files that a process of its own draws, in a folder whose matplotlibrc would spoil them."""
    out.mkdir()
    (out / "matplotlibrc").write_text("font.size: 33\naxes.facecolor: red\nsvg.hashsalt: other\nsvg.fonttype: path\n")
    code = DRAW.format(tests=str(Path(__file__).parent), runs=str(runs), out=str(out))
    environment = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed}
    subprocess.run([sys.executable, "-c", code], cwd=out, env=environment, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in (out / "figures" / "quick").iterdir()}


def test_the_same_data_give_the_same_bytes_in_any_process(
    runs: pd.DataFrame, drawn: dict[str, StudyFigure], tmp_path: Path
) -> None:
    store.write_runs(tmp_path / "runs.parquet", from_frame(runs))
    first = drawn_by_process(tmp_path / "runs.parquet", tmp_path / "one", "1")
    assert first == drawn_by_process(tmp_path / "runs.parquet", tmp_path / "two", "2")
    assert set(first) == {f"1_sgd_vs_adam-{name}.{kind}" for name in MAKERS for kind in ("svg", "json", "csv")}
    for name, figure in drawn.items():
        assert figure.svg.encode() == first[f"1_sgd_vs_adam-{name}.svg"], name
        assert figure.numbers.encode() == first[f"1_sgd_vs_adam-{name}.csv"], name


def test_nothing_set_outside_leaks_in_or_out(runs: pd.DataFrame, drawn: dict[str, StudyFigure], name: str) -> None:
    plain = drawn[name]
    with mpl.rc_context({"font.size": 30, "text.color": "red", "axes.facecolor": "red", "svg.fonttype": "path"}):
        before = dict(mpl.rcParams)
        assert MAKERS[name](runs) == plain
        assert dict(mpl.rcParams) == before
    assert not plt.get_fignums()


def test_svg_has_a_theme_and_neither_date_nor_outside_reference(drawn: dict[str, StudyFigure], name: str) -> None:
    svg = drawn[name].svg
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and "viewBox" in root.attrib
    assert "currentColor" in svg and INK not in svg.replace(f"svg{{color:{INK}}}", "", 1)
    assert f"@media(prefers-color-scheme:dark){{svg{{color:{INK_ON_DARK};--paper:{PAPER_ON_DARK}}}}}" in svg
    assert not re.search(r"\d{4}-\d\d-\d\d|dc:date|dc:creator|matplotlib v|/home|/tmp", svg)
    links = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', svg)
    assert all((href or url).startswith("#") for href, url in links)
    assert not re.search(r"<(script|image|foreignObject)", svg)
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert not re.search(r"fill: ?(#ffffff|white)", svg), "the background must be transparent"


def points(path: str) -> list[list[tuple[float, float]]]:
    """The corners of each of a path's straight lines, whether it gives places or steps."""
    lines = []
    for line in path.split("M")[1:]:
        steps, places = "l" in line, [float(number) for number in re.findall(r"-?[\d.]+", line)]
        pairs = np.array(places).reshape(-1, 2)
        lines.append([tuple(pair) for pair in (pairs.cumsum(0) if steps else pairs)])
    return lines


def test_a_compact_drawing_shows_the_same_lines() -> None:
    chance = np.random.default_rng(0).normal(scale=300, size=(2, 40, 2))
    corners = [[f"{x:.6f} {y:.6f}" for x, y in line] for line in chance]
    drawing = (
        f'<svg width="9"><path d="M {" L ".join(corners[0])} M {" L ".join(corners[1])}" style="fill: none"/></svg>'
    )
    small = compact(drawing)
    path = re.search(r' d="([^"]*)"', small)
    assert path and len(path[1]) < 0.6 * len(drawing)
    np.testing.assert_allclose(points(path[1]), chance, atol=0.051)


def test_what_a_compact_drawing_says_of_style_holds_in_it_alone() -> None:
    drawings = [
        compact(f'<svg width="9"><g style="fill: {colour}"/><g style="fill: {colour}"/></svg>') for colour in "ab"
    ]
    scopes = [re.findall(r'id="(\w+)"', drawing) for drawing in drawings]
    assert len(scopes[0]) == len(scopes[1]) == 1 and scopes[0] != scopes[1]
    for drawing, (scope,), colour in zip(drawings, scopes, "ab", strict=True):
        assert f"<style>#{scope} .s0{{fill: {colour}}}</style>" in drawing and drawing.count('class="s0"') == 2


def test_curved_paths_keep_their_curves() -> None:
    assert 'd="M1 2C0.5 1 3 4 5 6z"' in compact('<svg w="1"><path d="M 1.04 2.01 \nC 0.52 1.0 3 4 5.0 6 z"/></svg>')


def test_sidecar_says_all_there_is_to_say(drawn: dict[str, StudyFigure], name: str, tmp_path: Path) -> None:
    folders = Folders(tmp_path, "full")
    shown = drawn[name].save(folders, "1_sgd_vs_adam", name)
    sidecar = json.loads((tmp_path / "figures" / f"1_sgd_vs_adam-{name}.json").read_text())
    assert set(sidecar) == {"title", "alt", "caption", "maker", "preset", "notebook", "name"}
    assert all(isinstance(value, str) and value.strip() == value and value for value in sidecar.values())
    assert (sidecar["preset"], sidecar["notebook"], sidecar["name"]) == ("full", "1_sgd_vs_adam", name)
    assert sidecar["maker"] == f"warmup_study.chapters.sgd_vs_adam.figures.{name}"
    assert len(sidecar["alt"]) > 60 and sidecar["alt"] != sidecar["caption"] != sidecar["title"]
    data, metadata = shown._repr_mimebundle_()
    assert metadata == {"figure": f"1_sgd_vs_adam-{name}"} and data["text/plain"] == sidecar["alt"]
    assert data["image/svg+xml"] == (tmp_path / "figures" / f"1_sgd_vs_adam-{name}.svg").read_text()


def test_captions_count_the_seeds(drawn: dict[str, StudyFigure]) -> None:
    few = table(grid({}, seeds=6), probe(10, -0.3, seeds=6), audit())
    for name in ("four_setups", "gains", "first_updates"):
        assert "n = 12 " in drawn[name].words.caption and "n = 6 " in MAKERS[name](few).words.caption


def texts_and_paths(svg: str) -> int:
    return svg.count("<path") + svg.count("<use")


def test_more_tasks_make_more_panels() -> None:
    one, three = runs_on("digits-mlp"), runs_on("digits-mlp", "digits-deep", "mnist1d-mlp")
    small, large = (MAKERS["gains"](rows).svg for rows in (one, three))
    heights = [float(ElementTree.fromstring(svg).attrib["viewBox"].split()[3]) for svg in (small, large)]
    assert heights[1] > 1.5 * heights[0] and texts_and_paths(large) > 1.5 * texts_and_paths(small)
    for name in ("four_setups", "first_updates", "realised_lr"):
        assert MAKERS[name](three).svg


def test_arms_that_diverged_throughout_are_drawn(name: str) -> None:
    runs = runs_on("digits-mlp", adam=Planted(more_rates=-4), sgd=Planted(more_rates=-4))
    lost = pd.Series([np.full(100, np.nan)] * len(runs))
    everything = runs.assign(status="diverged", test_loss=np.nan, validation_loss=np.nan, update_size=lost)
    assert "nan" not in NUMBER.sub("", MAKERS[name](runs).svg).lower().split('d="')[-1]
    assert MAKERS[name](everything).svg


def test_a_grid_of_two_learning_rates_is_drawn(runs: pd.DataFrame) -> None:
    few = sorted(runs["lr"].unique())[1:3]
    assert MAKERS["four_setups"](runs[runs["lr"].isin(few)]).svg


def test_what_is_drawn_depends_on_the_data(drawn: dict[str, StudyFigure], name: str) -> None:
    other = table(grid({}, noise=0.3), probe(2, 0.1), audit())
    falling = pd.Series([np.linspace(0.1, 0, 11)] * len(other))
    assert MAKERS[name](other.assign(realised_lr=falling)).svg != drawn[name].svg


def test_colours_and_arms_are_told_apart() -> None:
    shown = [OPTIMIZERS[name] for name in OPTIMIZERS.keys() - {"momentum_lr_inside", "nesterov"}]
    assert len({look.colour for look in shown}) == len(shown) and INK not in {look.colour for look in shown}
    lines, markers = ({getattr(look, way) for look in WARMUPS.values()} for way in ("line", "marker"))
    assert len(lines) == len(markers) == len(WARMUPS)


def test_panels_are_named_on_the_outside_and_come_with_their_row_and_column() -> None:
    panels = facets(["a", "b"], {1: "one", 2: "", 3: "three"}, (2, 1), (1, 0.5), x="update")
    np.testing.assert_allclose(panels.figure.get_size_inches(), (7, 2.5))
    found = {(row, column): axes for row, column, axes in panels}
    assert list(found) == [(row, column) for row in "ab" for column in (1, 2, 3)] and found["b", 3] is panels.axes[1, 2]
    outside = [(axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) for axes in found.values()]
    above, below = [("one", "", "a"), ("", "", ""), ("three", "", "")], [("", "update", "b")]
    assert outside == above + below + [("", "update", "")] * 2
    one, two = facets([1], [1, 2], (2, 1), y="loss").axes[0]
    assert (one.get_ylabel(), one.get_title(), two.get_ylabel()) == ("loss", "", "")
    plt.close("all")


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("ratio", [False, True])
def test_intervals_are_drawn_where_they_lie(ratio: bool, upright: bool) -> None:
    effects = [Effect(middle, middle - 0.1, middle + 0.2, 8, np.empty(0)) for middle in (0.5, -0.3, 0.0)]
    figure, axes = plt.subplots()
    rows = [[Estimate(effects[0], label="first"), Estimate(effects[1], label="second")], [], [Estimate(effects[2])]]
    intervals(axes, rows, ["a", "b", "c"], margin=0.4, ratio=ratio, upright=upright)
    null, *drawn = [np.asarray(line.get_xydata())[:, :: -1 if upright else 1] for line in axes.get_lines()]
    seen = [np.log(points[:, 0]) if ratio else points[:, 0] for points in drawn]
    ends = [[effect.low, effect.high] for effect in effects]
    np.testing.assert_allclose(np.concatenate(seen[::2]), np.concatenate(ends), atol=1e-12)
    np.testing.assert_allclose(np.concatenate(seen[1::2]), [effect.estimate for effect in effects], atol=1e-12)
    np.testing.assert_allclose([points[0, 1] for points in drawn[1::2]], [-0.15, 0.15, 2])
    assert null[0, 0] == (1 if ratio else 0)
    (band,) = [patch.get_extents() for patch in axes.patches]
    shaded = axes.transData.inverted().transform(band)[:, int(upright)]
    np.testing.assert_allclose(np.log(shaded) if ratio else shaded, (-0.4, 0.4))
    assert axes.get_legend_handles_labels()[1] == ["first", "second"]
    plt.close(figure)


def test_momentum_is_drawn_at_its_effective_learning_rate(runs: pd.DataFrame) -> None:
    """Beside plain SGD, whose learning rate is a tenth of it: both curves lie at the same places."""
    chosen = runs[runs["optimizer"].isin(["sgd", "momentum"]) & (runs["part"] == "core")]
    matched = chosen.assign(lr=chosen["lr"].where(chosen["optimizer"] == "sgd", chosen["lr"] / 10))
    panels = lr_panels(matched, "task", "optimizer", {"sgd": "SGD", "momentum": "momentum"}, (2, 2))
    plain, momentum = (axes.get_lines()[1].get_xdata() for axes in panels.axes[0])
    np.testing.assert_allclose(momentum, plain)
    assert {axes.get_xlabel() for axes in panels.axes[0]} == {"effective learning rate\nη/(1 − μ)"}
    assert lr_label(matched[matched["optimizer"] == "sgd"]) == "peak learning rate"
    plt.close(panels.figure)


def test_a_maker_names_itself_and_closes_its_figure_even_if_it_fails() -> None:
    @figure_maker
    def broken() -> tuple[Figure, Words]:
        plt.figure()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert not plt.get_fignums()


def luminance(colour: str) -> float:
    """Relative luminance of a colour, by WCAG 2."""
    shares = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in to_rgb(colour)]
    return float(np.dot(shares, (0.2126, 0.7152, 0.0722)))


def test_lines_stand_out_from_the_light_and_the_dark_page() -> None:
    style = page_style()
    papers = [luminance(paper) for paper in re.findall(r"--paper: (#\w{6});", style)]
    lines = {look.colour for look in (*OPTIMIZERS.values(), *REGIMES.values())} - {INK}  # ink turns with the scheme
    contrasts = {
        (line, paper): (max(luminance(line), paper) + 0.05) / (min(luminance(line), paper) + 0.05)
        for line in lines
        for paper in papers
    }
    assert len(papers) == 2 and [pair for pair, contrast in contrasts.items() if contrast < 3] == []
