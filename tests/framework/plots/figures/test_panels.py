"""Panels of plain numbers: lines, points, steps, categories, shared axes."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow.errors import PlotError
from hepflow.plots import Line, Panel
from hepflow.plots.figures import draw_panels
from tests.framework.plots.figures.conftest import learning, trials


def test_numbers_are_drawn_as_given():
    axes = draw_panels([Panel([Line([1, 2, 4], [3, 1, 2]), Line([1, 4], [2, 2], "", "points")], "x", "y")]).axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 3], [2, 1], [4, 2]])
    assert [line.get_linestyle() for line in axes.lines] == ["-", "None"]
    assert axes.get_xlim()[0] < 1 < 4 < axes.get_xlim()[1]


def test_one_column_shares_x_and_several_share_y():
    column, row = draw_panels(learning()), draw_panels(trials(), columns=3)
    assert len({axes.get_xlim() for axes in column.axes}) == 1
    assert len({axes.get_ylim() for axes in column.axes}) == 2
    assert len({axes.get_ylim() for axes in row.axes}) == 1
    assert [axes.yaxis.label.get_visible() for axes in row.axes] == [True, False, False, True]


def test_texts_are_categories_in_the_order_they_come():
    axes = draw_panels([Panel([Line(["b", "a", "b"], [1, 2, 3], "", "points")], "x", "y")]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "a"]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0, 1, 0])


def test_a_mark_is_named_in_the_legend():
    legend = draw_panels(learning()).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "best epoch 20"]


def test_one_value_stands_in_the_middle():
    axes = draw_panels([Panel([Line([3], [0.7])], "x", "y")]).axes[0]
    assert axes.lines[0].get_marker() == "o"
    low, high = axes.get_ylim()
    assert 0.3 < (0.7 - low) / (high - low) < 0.7


def test_a_mark_ends_below_the_legend():
    axes = draw_panels(learning()).axes[0]
    mark = next(line for line in axes.lines if line.get_linestyle() == ":")
    assert list(mark.get_xdata()) == [20, 20]
    legend = axes.get_legend().get_window_extent().transformed(axes.transAxes.inverted())
    assert 0.4 < mark.get_ydata()[1] <= legend.y0 + 0.02


def test_ticks_at_whole_numbers_are_whole():
    axes = draw_panels([Panel([Line([1, 2], [3.0, 1.0])], "epoch", "y")]).axes[0]
    assert axes.get_xticks().tolist() == [1, 2]
    assert draw_panels([Panel([Line([1], [3.0])], "epoch", "y")]).axes[0].get_xticks().tolist() == [1]
    assert len(draw_panels([Panel([Line([1, 2.5], [3.0, 1.0])], "x", "y")]).axes[0].get_xticks()) > 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Line([1, 2], [1], "loss"), "'loss' has 2 x and 1 y"),
        (lambda: Line([1], [1], kind="dots"), "line, points, steps, not as 'dots'"),
        (lambda: draw_panels([]), "no panels"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(PlotError, match=message):
        make()
