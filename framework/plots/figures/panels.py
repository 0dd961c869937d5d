"""Figures of plain numbers: lines and points over a quantity, in panels; learning curves, scans, trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hepflow.errors import PlotError
from hepflow.plots.axis import Axis
from hepflow.plots.figures.frame import dress_binned, dress_numbers, finish
from hepflow.plots.figures.layout import Extent, empty, header_above, new_figure, place_legend, renderer_of, top_for
from hepflow.plots.figures.style import GREY, Look, Style, house_style, look_of
from hepflow.plots.panels import Line, Panel

__all__ = ["draw_panels"]


def draw_panels(panels: Sequence[Panel], *, columns: int = 1, style: Style | None = None) -> Any:
    """Return a figure of panels: in one column they have one x axis, in several columns one y axis.

    PlotError where there is none.
    """
    if not panels:
        raise PlotError("there are no panels to draw")
    style = style or Style()
    rows = -(-len(panels) // columns)
    named = any(isinstance(x, str) for panel in panels for line in panel.lines for x in line.x)
    size = (8.0, 0.7 + 2.8 * rows + 2.2 * named) if columns == 1 else (1.0 + 3.6 * columns, 0.2 + 3.3 * rows)
    with house_style(style.sheet):
        figure, grid = new_figure(size, [1.0] * rows, columns, len(panels))
        header_above(figure, grid[0], style)
        ends = [_fill(axes, panel) for axes, panel in zip(grid, panels, strict=True)]
        shared = None if columns == 1 else (min(low for low, _ in ends), max(high for _, high in ends))
        for number, (axes, panel, limits) in enumerate(zip(grid, panels, ends, strict=True)):
            dress_numbers(axes, "y", panel.y_title, shared or limits, log=panel.log_y, most=5)
            if columns == 1 and number < len(panels) - 1:
                axes.tick_params(labelbottom=False)
                axes.xaxis.label.set_visible(False)
            if columns > 1 and number % columns:
                axes.tick_params(labelleft=False)
                axes.yaxis.label.set_visible(False)
        finish(figure)
    figure.drawn_with = {
        "plots": [panel.to_json() for panel in panels],
        "style": style.to_json(),
        "options": {"columns": columns},
    }
    return figure


def _fill(axes: Any, panel: Panel) -> tuple[float, float]:
    """Draw the lines and the legend of a panel and return its y range."""
    names = list(dict.fromkeys(str(x) for line in panel.lines for x in line.x if isinstance(x, str)))
    drawn = [_numbers(line, names) for line in panel.lines]
    _dress_x(axes, panel, names, np.concatenate([x for x, _ in drawn]) if drawn else np.empty(0))
    axes.set_yscale("log" if panel.log_y else "linear")
    extent = Extent()
    handles = []
    for position, (line, (x, y)) in enumerate(zip(panel.lines, drawn, strict=True)):
        handle = _draw(axes, line.kind, x, y, look_of(position), extent)
        if line.label and len(x):
            handles.append((handle, line.label))
    if not extent.rows.size:
        empty(axes, "no numbers")
    elif np.ptp(extent.rows[2:]) == 0:
        _make_room(extent, axes.get_xlim(), log=panel.log_y)
    mark: Any = None
    if panel.mark is not None:
        mark = axes.axvline(panel.mark[0], color=GREY, linestyle=":", linewidth=1.8)
        handles.append((mark, panel.mark[1]))
    bottom = _bottom(extent, panel.log_y)
    renderer_of(axes.figure)
    boxes = place_legend(axes.figure, axes, extent, handles, bottom)
    if mark is not None:
        mark.set_ydata([0, min((box[1] for box in boxes), default=1.0)])
    return bottom, top_for(axes, extent, boxes, bottom)


def _make_room(extent: Extent, ends: tuple[float, float], *, log: bool) -> None:
    """Let the only value that there is stand in the middle of the y axis."""
    value = float(extent.rows[2, 0])
    if log:
        extent.add(*ends, value / 3, value * 3)
    else:
        extent.add(*ends, value - 0.1 * (abs(value) or 1.0), value + 0.1 * (abs(value) or 1.0))


def _numbers(line: Line, names: Sequence[str]) -> tuple[Any, Any]:
    """Return x and y as numbers, categories by their place in ``names``."""
    x = np.array([names.index(str(value)) if names else float(value) for value in line.x], dtype=np.float64)
    return x, np.asarray(line.y, dtype=np.float64)


def _dress_x(axes: Any, panel: Panel, names: Sequence[str], x: Any) -> None:
    if names:
        edges = tuple(number - 0.5 for number in range(len(names) + 1))
        dress_binned(axes, "x", Axis("x", edges, panel.x_title, labels=tuple(names)), log=False)
        return
    low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 1.0)
    if panel.log_x:
        limits = (low / 1.2, high * 1.2)
    else:
        pad = 0.03 * (high - low) or 0.5 * abs(low) or 0.5
        limits = (low - pad, high + pad)
    whole = bool((x == np.round(x)).all()) and not panel.log_x
    dress_numbers(axes, "x", panel.x_title, limits, log=panel.log_x, most=6, whole=whole)


def _draw(axes: Any, kind: str, x: Any, y: Any, look: Look, extent: Extent) -> Any:
    if kind == "points":
        extent.add(x, x, y, y)
        return axes.plot(x, y, linestyle="none", **{**look.points, "markersize": 5})[0]
    extent.add(x[:-1], x[1:], np.minimum(y[:-1], y[1:]), np.maximum(y[:-1], y[1:]))
    extent.add(x, x, y, y)
    style = {"drawstyle": "steps-post"} if kind == "steps" else {}
    alone = {"marker": look.marker} if len(x) == 1 else {}
    return axes.plot(x, y, color=look.colour, linestyle=look.line, **style, **alone)[0]


def _bottom(extent: Extent, log: bool) -> float:
    low, high = extent.rows[2], extent.rows[3]
    if log:
        positive = low[low > 0]
        return float(positive.min()) / 1.5 if positive.size else 0.1
    if not low.size:
        return 0.0
    return float(low.min() - 0.06 * (high.max() - low.min()))
