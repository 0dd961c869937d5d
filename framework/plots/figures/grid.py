"""A page of small histograms: many variables at one glance, with one label and one legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hepflow.errors import PlotError
from hepflow.plots.figures.curves import Curve, draw_steps, nothing
from hepflow.plots.figures.frame import dress_binned, dress_numbers, finish
from hepflow.plots.figures.layout import Extent, add_header, empty, renderer_of, top_for
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.picture import bare_figure
from hepflow.plots.figures.style import SMALL, look_of
from hepflow.plots.figures.text import readable, wrap
from hepflow.plots.histogram import Histogram

__all__ = ["Grid", "draw_grid"]

WIDE, HIGH = 3.7, 2.7
"""Inches of a cell."""
ENTRY: Final = 30
"""Characters in a line of the legend."""


@dataclass(frozen=True)
class Grid:
    """Histograms of one dimension in cells, row by row; those of one cell are drawn over one another.

    All cells show the same classes in the same order: the legend, in the last place of the page, is that of the first.
    PlotError where there is nothing, or the histograms of a cell have different axes.
    """

    cells: Sequence[Sequence[Histogram]]
    columns: int = 4

    def __post_init__(self) -> None:
        if not self.cells or not all(self.cells):
            raise PlotError("a page of histograms has at least one, and one in each cell")
        for cell in self.cells:
            if any(plot.axes != cell[0].axes for plot in cell) or len(cell[0].axes) != 1:
                raise PlotError(f"the histograms of {cell[0].axes[0].name} do not have the same axis in one dimension")


def draw_grid(grid: Grid, options: Options) -> Any:
    """Return the page; PlotError for options that a page does not have."""
    options.without("a page of histograms", log_y=None, ratio=False, y_range=None)
    rows = -(-(len(grid.cells) + 1) // grid.columns)
    figure = bare_figure(0.2 + WIDE * grid.columns, 0.8 + HIGH * rows)
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.975), w_pad=0.06, h_pad=0.08, hspace=0, wspace=0)
    places = figure.subplots(rows, grid.columns, squeeze=False).flat
    handles: list[Any] = []
    for cell in grid.cells:
        axes = next(places)
        drawn = _draw_cell(axes, cell, options)
        handles = handles or drawn
    labels = [wrap(readable(plot.label), ENTRY) for plot in grid.cells[0]]
    for axes in places:
        axes.set(xticks=[], yticks=[], frame_on=False)
    add_header(figure.axes[0], options.style, options.lines, above=True)
    finish(figure)
    if any(labels):
        _legend(axes, handles, labels, wrap(options.legend, ENTRY) or None)
    return figure


def _legend(axes: Any, handles: Sequence[Any], labels: Sequence[str], title: str | None) -> None:
    """Put the legend in the middle of a cell, with letters as large as its size allows."""
    look = {"title": title, "frameon": False, "loc": "center", "borderaxespad": 0.0}
    legend = axes.legend(handles, labels, **look)
    renderer = renderer_of(axes.figure)
    room, size = axes.get_window_extent(renderer), legend.get_window_extent(renderer)
    shrunk = min(1.0, room.width / size.width, room.height / size.height)
    if shrunk < 1.0:
        points = shrunk * legend.get_texts()[0].get_fontsize()
        axes.legend(handles, labels, **look, fontsize=points, title_fontsize=points)


def _draw_cell(axes: Any, cell: Sequence[Histogram], options: Options) -> list[Any]:
    """Draw the histograms of a cell and return their handles."""
    axis = cell[0].axes[0]
    axes.tick_params(labelsize=SMALL)
    axes.xaxis.label.set_fontsize(SMALL + 1)
    dress_binned(axes, "x", axis, log=options.on_log_x(axis))
    extent = Extent()
    curves = [_curve(plot, options.normalise) for plot in cell]
    band = {"floor": 0.0, "alpha": 0.15}
    handles = [draw_steps(axes, curve, look_of(place), extent, **band) for place, curve in enumerate(curves)]
    if not any(curve.drawn for curve in curves):
        empty(axes, "; ".join(dict.fromkeys(plot.note for plot in cell if plot.note)) or "no values")
    bottom = min(0.0, 1.1 * float(np.min(extent.rows[2], initial=0.0)))
    dress_numbers(axes, "y", "", (bottom, top_for(axes, extent, [], bottom)), most=4)
    return handles


def _curve(plot: Histogram, normalise: bool) -> Curve:
    values, errors = plot.values(), plot.errors
    total = float(values.sum())
    factor = 1.0 if not normalise else 1 / total if total > 0 else math.nan
    shown = Curve(plot.axes[0], plot.label, values, values - errors, values + errors, plot.note)
    return shown.scaled(factor) if plot.entries else nothing(shown)
