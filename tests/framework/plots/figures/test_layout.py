"""Every figure of the gallery: no texts overlap or leave the figure, axes have titles, nothing covers the data."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.transforms import Bbox

from hepflow.plots.figures import draw
from hepflow.plots.figures.layout import Extent, top_for
from hepflow.plots.figures.style import house_style
from tests.framework.plots.figures.conftest import ETA, STYLE, efficiency, figure_of, histogram, roc, several
from tests.framework.plots.figures.geometry import blocks, data_points, overlap, shown_texts


@pytest.fixture(autouse=True)
def _in_the_style_of_the_house():
    """Mathematics is measured with the fonts it is drawn with."""
    with house_style():
        yield


def test_no_text_covers_another(figure):
    texts = shown_texts(figure)
    assert [(a[0], b[0]) for a, b in combinations(texts, 2) if overlap(a, b)] == []


def test_all_texts_are_in_the_figure(figure):
    width, height = figure.get_size_inches() * figure.dpi
    outside = [
        text
        for text, corners, _ in shown_texts(figure)
        if (corners < 0).any() or (corners[:, 0] > width).any() or (corners[:, 1] > height).any()
    ]
    assert outside == []


def test_every_axis_has_a_title(figure):
    """Its own, or that of the panel below or to the left, whose axis it shares."""
    for axes in figure.axes:
        for which, shared in (("x", axes.get_shared_x_axes()), ("y", axes.get_shared_y_axes())):
            if which == "x" and axes.get_label() == "<colorbar>":
                continue
            labels = [getattr(other, f"{which}axis").label for other in shared.get_siblings(axes)]
            assert any(label.get_text() and label.get_visible() for label in labels)


def test_label_and_legend_cover_no_data(figure):
    for axes in figure.axes:
        points = data_points(axes)
        for block in blocks(axes):
            box = block.get_window_extent(figure.canvas.get_renderer())
            if any(isinstance(artist, QuadMesh) for artist in axes.collections):
                assert Bbox.intersection(box, axes.get_window_extent()) is None
            assert not ((points > box.min).all(axis=1) & (points < box.max).all(axis=1)).any()


def test_every_axes_has_ticks_inside_its_range(figure):
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            if axes.get_label() == "<colorbar>" and axis is axes.xaxis:
                continue
            ticks = np.asarray(axis.get_majorticklocs())
            assert len(ticks) >= 1
            assert ((ticks >= low - 1e-9 * abs(high)) & (ticks <= high + 1e-9 * abs(high))).all()


def test_the_checks_can_fail():
    """A text on a text, a text outside, and a legend on the data are found."""
    figure = draw(histogram(), style=STYLE)
    axes = figure.axes[0]
    axes.text(0.02, 0.95, "over the label", transform=axes.transAxes)
    axes.text(1.5, 0.5, "outside", transform=axes.transAxes)
    axes.legend([axes.patches[0]], ["covers the data"], loc="center left")
    texts = shown_texts(figure)
    assert any(overlap(a, b) for a, b in combinations(texts, 2))
    assert max(corners[:, 0].max() for _, corners, _ in texts) > figure.get_size_inches()[0] * figure.dpi
    box = axes.get_legend().get_window_extent(figure.canvas.get_renderer())
    points = data_points(axes)
    assert ((points > box.min).all(axis=1) & (points < box.max).all(axis=1)).any()


# ── head room ────────────────────────────────────────────────────────────────────────────────────────────────────────


def bare_axes(log=False):
    from matplotlib.figure import Figure

    axes: Axes = Figure().subplots()
    axes.set(xlim=(0, 10), yscale="log" if log else "linear")
    return axes


def test_head_room_is_as_small_as_the_data_below_a_text_allow():
    extent = Extent()
    extent.add([0, 5], [5, 10], [0, 0], [100, 10])
    axes = bare_axes()
    assert top_for(axes, extent, [], 0) == 100 / 0.94
    # the text is above the low part: nothing changes; above the high part, which must end below it
    assert top_for(axes, extent, [(0.6, 0.8, 1.0, 1.0)], 0) == 100 / 0.94
    assert top_for(axes, extent, [(0.0, 0.8, 0.4, 1.0)], 0) == 100 / (0.8 - 0.025)


def test_head_room_on_a_logarithmic_axis_is_in_decades():
    extent = Extent()
    extent.add([0], [10], [1], [1e6])
    assert np.log10(top_for(bare_axes(log=True), extent, [(0, 0.5, 1, 1)], 1.0)) == 6 / (0.5 - 0.025)


def test_nothing_to_keep_clear_of():
    assert top_for(bare_axes(), Extent(), [], 3.0) == 4.0
    assert top_for(bare_axes(log=True), Extent(), [], 3.0) == 30.0


def test_a_fixed_range_is_kept_and_texts_leave():
    figure = draw(several(efficiency, 3, axis=ETA, plateau=0.95), style=STYLE, y_range=(0.0, 0.75))
    axes = figure.axes[0]
    assert axes.get_ylim() == (0.0, 0.75)
    frame = axes.get_window_extent()
    for block in blocks(axes):
        assert Bbox.intersection(block.get_window_extent(figure.canvas.get_renderer()), frame) is None


def test_a_fixed_range_with_room_keeps_the_texts_inside():
    figure = draw(several(efficiency, 3, axis=ETA, plateau=0.4), style=STYLE, y_range=(0.0, 1.0))
    frame = figure.axes[0].get_window_extent()
    for block in blocks(figure.axes[0]):
        box = block.get_window_extent(figure.canvas.get_renderer())
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert box.y1 <= frame.y1


def test_a_legend_that_costs_too_much_goes_beside_the_axes():
    narrow = draw(several(histogram, 2, axis=ETA), style=STYLE)
    wide = figure_of("eight long names")
    assert narrow.get_size_inches()[0] == 8.0
    assert wide.get_size_inches()[0] > 9.0
    legend = wide.axes[0].get_legend().get_window_extent(wide.canvas.get_renderer())
    assert legend.x0 > wide.axes[0].get_window_extent().x1


def test_axes_keep_their_height_when_the_label_is_above_them():
    inside, above = draw(efficiency(ETA), style=STYLE), figure_of("fixed range")
    heights = [figure.axes[0].get_window_extent().height for figure in (inside, above)]
    assert above.get_size_inches()[1] > inside.get_size_inches()[1] + 0.5
    assert abs(heights[0] - heights[1]) < 0.05 * heights[0]


def test_what_a_fixed_range_cuts_off_is_not_in_the_way():
    """The curves leave the axes between label and legend; above the range they are not seen."""
    figure = draw(several(roc, 2), style=STYLE, log_y=False, y_range=(0, 100))
    frame = figure.axes[0].get_window_extent()
    for block in blocks(figure.axes[0]):
        box = block.get_window_extent(figure.canvas.get_renderer())
        assert frame.contains(*box.min)
        assert frame.contains(*box.max)
