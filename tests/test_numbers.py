"""The numbers beside a figure: what is drawn, under its names, with intervals and bands, and nothing else."""

import csv
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import curves
from warmup_study.presentation.facets import facets, log_ticks
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.numbers import COLUMNS, numbers
from warmup_study.presentation.style import GUIDE, SHADE, WARMUPS
from warmup_study.statistics.bootstrap import Effect


def rows_of(figure: Figure) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(io.StringIO(numbers(figure))))
    finally:
        plt.close(figure)


def brief(figure: Figure, *columns: str) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in columns) for row in rows_of(figure)]


def effect(middle: float, reach: float = 0.5) -> Effect:
    return Effect(middle, middle - reach, middle + reach, 20, np.zeros(1))


def test_an_estimate_is_one_row_under_the_name_of_its_own() -> None:
    panels = facets([""], ["at the best lr", "above it"], (3, 2), x="gain")
    both = [[Estimate(effect(k), label="ramp"), Estimate(effect(k + 2), label="zero")] for k in (1, 2)]
    for _, _, axes in panels:
        intervals(axes, both, ["digits-mlp", "mean of\nall"], margin=0.1)
    first, *_, last = found = rows_of(panels.figure)
    assert len(found) == 8
    expected = ("at the best lr", "gain", "", "ramp", "1", "digits-mlp", "0.5", "1.5")
    assert first == dict(zip(COLUMNS, expected, strict=True))
    assert (last["panel"], last["series"], last["y"]) == ("above it", "zero", "mean of all")


def test_upright_estimates_and_ratios_are_as_drawn() -> None:
    figure, axes = plt.subplots()
    intervals(axes, [[Estimate(effect(0.0))]], ["digits-mlp"], ratio=True, upright=True)
    assert brief(figure, "x", "y", "low", "high") == [("digits-mlp", "1", "0.606531", "1.64872")]


def test_curves_give_their_middle_and_leave_out_seeds_guides_and_shades() -> None:
    figure, axes = plt.subplots()
    axes.axhline(1, **GUIDE)
    axes.axvspan(0, 1, **SHADE)
    axes.fill_betweenx([0, 1], 2, 3, **SHADE)
    curves(axes, [0.1, 1], np.array([[1, 2], [3, 4], [5, np.nan]]), WARMUPS["ramp"])
    log_ticks(axes, [0.1, 1])
    assert brief(figure, "series", "x", "y", "low") == [("ramp", "0.1", "3", ""), ("ramp", "1", "3", "")]


def test_bands_and_bars_belong_to_the_line_drawn_next_to_them() -> None:
    figure, axes = plt.subplots()
    for name, height in (("low", 0.0), ("high", 10.0)):
        line = np.array([height, height + 1])
        axes.fill_between([1, 2], line - 1, line + 1)
        axes.plot([1, 2], line, label=name)
    axes.errorbar([3], [5], [[1], [2]], label="bar")
    axes.vlines([7], 1, 2)
    found = brief(figure, "series", "x", "y", "low", "high")
    assert found[:2] == [("low", "1", "0", "-1", "1"), ("low", "2", "1", "0", "2")]
    assert found[2:4] == [("high", "1", "10", "9", "11"), ("high", "2", "11", "10", "12")]
    assert [row[1:] for row in found[4:]] == [("3", "5", "4", "7"), ("7", "", "1", "2")]


def test_points_count_and_numbers_have_six_digits() -> None:
    figure, axes = plt.subplots()
    axes.scatter([1 / 3], [2e-9 / 3], label="a, b")
    assert brief(figure, "series", "x", "y") == [("a, b", "0.333333", "6.66667e-10")]


@pytest.mark.parametrize("nothing", [True, False])
def test_a_figure_of_words_alone_has_no_numbers(nothing: bool) -> None:
    figure, axes = plt.subplots()
    axes.text(0, 0, "no case")
    axes.plot([] if nothing else [np.nan], [] if nothing else [1])
    assert numbers(figure) == ""
    plt.close(figure)


def test_a_figure_carries_its_numbers() -> None:
    @figure_maker
    def drawn(height: float) -> tuple[Figure, Words]:
        figure, axes = plt.subplots()
        axes.plot([1], [height])
        return figure, Words("A point", "One point", "A point.")

    assert drawn(2.0).numbers.splitlines()[1:] == [",,,,1,2,,"]
