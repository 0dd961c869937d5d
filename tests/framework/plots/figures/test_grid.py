"""Pages of small histograms: what stands in the cells, and nothing over anything else."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from hepflow.errors import PlotError
from hepflow.plots import Axis, Histogram
from hepflow.plots.figures import Grid, draw, save
from hepflow.plots.figures.style import house_style
from tests.framework.plots.figures.conftest import (
    DECADES,
    ETA,
    HUGE,
    LOG_PT,
    LONG,
    MODE,
    OBJECTS,
    PT,
    STYLE,
    area,
    histogram,
    nan_histogram,
)
from tests.framework.plots.figures.geometry import overlap, shown_texts

CLASSES = ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")
NAMED = Axis("x", (0.0, 1.0, 2.0), f"log10({LONG} / MeV)")

PT_TITLE = r"truth tau $\mathit{p}_{T}$ [GeV]"


def cell(axis, labels=CLASSES):
    return [histogram(axis, label, 500, seed) for seed, label in enumerate(labels, start=1)]


PAGES = {
    "inputs": lambda: Grid([cell(axis) for axis in (MODE, PT, ETA, LOG_PT, HUGE, NAMED)]),
    "one": lambda: Grid([cell(PT, ["all taus"])]),
    "no legend": lambda: Grid([cell(PT, [""]), cell(ETA, [""])], columns=2),
    "long names": lambda: Grid([cell(axis, [f"{LONG} {i}" for i in range(5)]) for axis in (PT, OBJECTS)], columns=2),
    "empty cells": lambda: Grid([[Histogram(PT, "a"), Histogram(PT, "b")], [nan_histogram()], cell(DECADES)]),
    "many": lambda: Grid([cell(ETA) for _ in range(23)]),
}


def heights(axes):
    """The lines of a cell, without the bands of errors."""
    return [patch.get_data().values for patch in axes.patches if not patch.get_fill()]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("normalise", [True, False])
def test_texts_are_in_the_page_and_apart(name, normalise):
    with house_style():
        figure = draw(PAGES[name](), style=STYLE, normalise=normalise, title="fraction of entries")
        found = shown_texts(figure)
    assert [(a[0], b[0]) for a, b in combinations(found, 2) if overlap(a, b)] == []
    width, height = figure.get_size_inches() * figure.dpi
    for text, corners, _ in found:
        assert (corners >= 0).all(), text
        assert corners[:, 0].max() <= width, text
        assert corners[:, 1].max() <= height, text


def test_cells_in_their_order_and_one_legend():
    page = PAGES["inputs"]()
    figure = draw(page)
    titles = [axes.get_xlabel().replace("\n", " ") for axes in figure.axes[:6]]
    assert titles[:4] == ["truth decay mode", PT_TITLE, "η", PT_TITLE]
    legends = [axes.get_legend() for axes in figure.axes]
    assert [legend is not None for legend in legends] == [False] * 6 + [False, True] or legends[6] is not None
    (legend,) = [one for one in legends if one is not None]
    assert [text.get_text() for text in legend.get_texts()] == list(CLASSES)
    assert figure.axes[3].get_xscale() == "log"


def test_numbers_of_a_cell():
    page = Grid([cell(PT)])
    for plot, shown in zip(page.cells[0], heights(draw(page).axes[0]), strict=True):
        assert shown.tolist() == plot.values().tolist()
    for plot, shown in zip(page.cells[0], heights(draw(page, normalise=True).axes[0]), strict=True):
        assert shown.sum() == pytest.approx(1)
        assert shown == pytest.approx(plot.values() / plot.values().sum())


def test_data_fill_the_cells():
    for axes in draw(PAGES["inputs"](), normalise=True).axes[:6]:
        highest = max(np.nanmax(values) for values in heights(axes))
        assert axes.get_ylim()[0] == 0
        assert highest < axes.get_ylim()[1] < 1.8 * highest


def test_empty_cells_say_so():
    figure = draw(PAGES["empty cells"]())
    texts = [[text.get_text().replace("\n", " ") for text in axes.texts] for axes in figure.axes[:3]]
    assert texts[0] == ["nothing to draw: no entries"]
    assert "all 10 have no value" in texts[1][0]
    assert texts[2] == []


def test_all_numbers_are_saved(tmp_path):
    page = PAGES["inputs"]()
    save(draw(page, normalise=True), tmp_path / "page", page, formats=["png"])
    content = json.loads((tmp_path / "page.json").read_text())
    assert [plot["label"] for plot in content["plots"]] == list(CLASSES) * 6
    assert content["options"]["normalise"] is True


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "at least one"),
        ([[]], "one in each cell"),
        ([[histogram(PT), histogram(ETA)]], "the histograms of pt do not have the same axis"),
        ([[area()]], "in one dimension"),
    ],
)
def test_what_is_no_page(cells, message):
    with pytest.raises(PlotError, match=message):
        Grid(cells)


@pytest.mark.parametrize("options", [{"log_y": True}, {"ratio": True}, {"y_range": (0, 1)}])
def test_options_that_pages_do_not_have(options):
    with pytest.raises(PlotError, match=f"a page of histograms has no option {next(iter(options))}"):
        draw(PAGES["one"](), **options)
