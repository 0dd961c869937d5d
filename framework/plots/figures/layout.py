"""Where things stand in a figure: the label, the legend, and the head room that keeps data clear of both.

Sizes of texts are measured, not guessed: a block of text at the top of an axes lifts the upper end of the y axis just
as far as the data below the block ask for; what is too large, or meets a fixed range, moves out of the axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.plots.figures.options import Options
from hepflow.plots.figures.picture import bare_figure, standing
from hepflow.plots.figures.style import EXPERIMENTS, GREY, SMALL, Style, points
from hepflow.plots.figures.text import wrap

__all__ = [
    "Box", "Extent", "add_header", "add_note", "empty", "header_above", "new_figure", "place_legend", "place_texts",
    "renderer_of", "top_for",
]  # fmt: skip

Array = npt.NDArray[Any]

LINE: Final = 58
"""Characters in a line of the label."""
ENTRY: Final = 30
"""Characters in a line of the legend."""
WORTH: Final = 2.0
"""Texts that would make the axes higher than the data by more than this factor leave the axes."""
LOWEST: Final = 0.12
"""Nor may they reach below this part of its height."""
GAP: Final = 0.025

Box = tuple[float, float, float, float]
"""left, bottom, right, top, in parts of the axes."""


@dataclass
class Extent:
    """Where the data of an axes are: pieces of x, each with its lowest and highest y, in data coordinates."""

    pieces: list[Array] = field(default_factory=list)

    def add(self, left: Any, right: Any, low: Any, high: Any) -> None:
        """Add pieces, arrays of one length; pieces that are not finite are left out."""
        rows = np.stack(np.broadcast_arrays(left, right, low, high)).astype(np.float64)
        self.pieces.append(rows[:, np.isfinite(rows).all(axis=0)])

    @property
    def rows(self) -> Array:
        """Return left, right, low, high: 4 × pieces."""
        return np.concatenate(self.pieces, axis=1) if self.pieces else np.empty((4, 0))


def new_figure(
    size: tuple[float, float] = (8.0, 6.0), heights: Sequence[float] = (1.0,), columns: int = 1, number: int = 0
) -> tuple[Any, list[Any]]:
    """Return a figure (inches) that belongs to no window, and its axes, row by row.

    ``heights`` are those of the rows, ``number`` is how many axes there are (all places, if 0). In one column axes
    share x, in several they share y.
    """
    figure = bare_figure(*size)
    figure.set_layout_engine("tight", rect=(0.012, 0.015, 0.988, 0.985), pad=0, w_pad=0.6, h_pad=0.6)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    first = figure.add_subplot(grid[0, 0])
    share = "sharex" if columns == 1 else "sharey"
    places = [divmod(place, columns) for place in range(number or columns * len(heights))]
    axes = [first, *(figure.add_subplot(grid[place], **{share: first}) for place in places[1:])]
    for one in axes:  # empty texts are measured and drawn like others
        one.tick_params(which="minor", labelbottom=False, labelleft=False)
    return figure, axes


def renderer_of(figure: Any) -> Any:
    """Lay the figure out and return what measures its texts."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with standing(figure), _measured_once(figure, engine):
            engine.execute(figure)
    return figure.canvas.get_renderer()


@contextmanager
def _measured_once(figure: Any, engine: Any) -> Iterator[None]:
    """Measure each axes once while it keeps its place: with a margin, matplotlib's tight layout does so twice."""
    from matplotlib.layout_engine import TightLayoutEngine

    found = figure.axes if isinstance(engine, TightLayoutEngine) else []
    for axes in found:
        axes.get_tightbbox = cache(axes.get_tightbbox)
    try:
        yield
    finally:
        for axes in found:
            del axes.get_tightbbox


def add_header(axes: Any, style: Style, lines: Sequence[str] = (), *, above: bool = False) -> Any:
    """Put the label, and lines below it, in the upper left corner of the axes, or above them."""
    from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker

    first, _, rest = style.text.partition(" ")
    bold = {"weight": "bold", "style": "italic"}
    texts = [(first, bold), (rest, {})] if first in EXPERIMENTS else [(style.text, {})]
    words: list[Any] = [
        TextArea(wrap(text, LINE), textprops={"size": points(17), **look}) for text, look in texts if text
    ]
    rows: list[Any] = [HPacker(children=words, pad=0, sep=6, align="baseline")] if style.text else []
    wide = LINE if not above else LINE + 20
    rows += [TextArea(wrap(line, wide), textprops={"size": points(13)}) for line in (*lines, *style.lines) if line]
    stack = VPacker(children=rows, pad=0, sep=5)
    place: dict[str, Any] = {"loc": "upper left", "borderpad": 1.0}
    if above:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "bbox_transform": axes.transAxes, "borderpad": 0.5}
    box = AnchoredOffsetbox(child=stack, pad=0, frameon=False, **place)
    box.set_zorder(5)
    axes.add_artist(box)
    return box


def header_above(figure: Any, axes: Any, style: Style, lines: Sequence[str] = ()) -> None:
    """Put the label and lines above the axes and make the figure higher by their height."""
    header = add_header(axes, style, lines, above=True)
    width, height = figure.get_size_inches()
    more = header.get_window_extent(figure.canvas.get_renderer()).height / figure.dpi
    figure.set_size_inches(width, height + more)


def add_note(figure: Any, text: str) -> None:
    """Put a remark below the figure, small and grey."""
    if text:
        figure.supxlabel(wrap(text, 105), x=0.015, ha="left", fontsize=points(SMALL), color=GREY)


def empty(axes: Any, reason: str) -> None:
    """Say in the middle of the axes why there is nothing."""
    text = wrap(f"nothing to draw: {reason}", 40)
    axes.text(0.5, 0.45, text, transform=axes.transAxes, ha="center", va="center", color=GREY, zorder=6)


def box_of(axes: Any, artist: Any, renderer: Any) -> Box:
    """Return where an artist stands, in parts of the axes."""
    found = artist.get_window_extent(renderer).transformed(axes.transAxes.inverted())
    return float(found.x0), float(found.y0), float(found.x1), float(found.y1)


def place_texts(
    figure: Any, axes: Any, options: Options, extent: Extent, handles: Sequence[tuple[Any, str]], bottom: float
) -> tuple[float, float]:
    """Add label and legend and return the y range that keeps data clear of them.

    The x range and both scales must stand. With a fixed range, texts that would cover data leave the axes.
    """
    header = add_header(axes, options.style, options.lines)
    renderer = renderer_of(figure)
    boxes = [box_of(axes, header, renderer)] if header.get_child().get_children() else []
    boxes += place_legend(figure, axes, extent, handles, bottom, boxes, options.y_range, options.legend)
    if _cost(axes, extent, boxes[:1], bottom, options.y_range) > WORTH:
        header.remove()
        header_above(figure, axes, options.style, options.lines)
        boxes = boxes[1:]
    return options.y_range or (bottom, top_for(axes, extent, boxes, bottom))


def place_legend(
    figure: Any, axes: Any, extent: Extent, handles: Sequence[tuple[Any, str]], bottom: float,
    taken: Sequence[Box] = (), y_range: tuple[float, float] | None = None, title: str = "",
) -> list[Box]:  # fmt: skip
    """Put a legend where it costs the least height: beside what is ``taken``, below it, or to the right of the axes.

    The figure must be laid out.

    Returns where it stands; nothing if there are no handles, or it is outside.
    """
    if not handles:
        return []
    entries, labels = [handle for handle, _ in handles], [wrap(label, ENTRY) for _, label in handles]
    legend = axes.legend(
        entries, labels, title=wrap(title, ENTRY) or None, alignment="left", frameon=False, loc="upper right",
        borderaxespad=1.0,
    )  # fmt: skip
    legend.set_zorder(5)
    left, low, right, high = box_of(axes, legend, figure.canvas.get_renderer())
    places = [(left, low, right, high)]
    if taken and left < taken[0][2] + GAP:
        ceiling = taken[0][1] - GAP
        floor, begin = ceiling - (high - low), taken[0][0]
        places = [(left, floor, right, ceiling), (begin, floor, begin + right - left, ceiling)]
    costs = [_cost(axes, extent, [*taken, place], bottom, y_range) for place in places]
    if min(costs) <= WORTH:
        at_left = costs.index(min(costs))
        best = places[at_left]
        legend.set(loc="upper left" if at_left else "upper right", bbox_to_anchor=(best[0 if at_left else 2], best[3]))
        legend.borderaxespad = 0.0
        return [best]
    legend.set(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    legend.borderaxespad = 0.0
    inches = legend.get_window_extent(figure.canvas.get_renderer()).width / figure.dpi
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + inches, height)
    return []


def _cost(axes: Any, extent: Extent, boxes: Sequence[Box], bottom: float, y_range: tuple[float, float] | None) -> float:
    """Return how much higher than the data the axes must be for these boxes; infinite where that is impossible."""
    if any(box[1] < LOWEST for box in boxes):
        return math.inf
    if y_range is not None:
        return math.inf if _covers(axes, extent, boxes, y_range) else 1.0
    ends = np.array([top_for(axes, extent, chosen, bottom) for chosen in ([], boxes)])
    if axes.get_yscale() == "log":
        ends, bottom = np.log10(ends), math.log10(bottom)
    return float((ends[1] - bottom) / (ends[0] - bottom))


def _covers(axes: Any, extent: Extent, boxes: Sequence[Box], y_range: tuple[float, float]) -> bool:
    """Return whether data in a fixed y range lie under one of the boxes."""
    left, right, *ends = _in_axes(axes, extent)
    low, high = (_part(end, y_range, axes.get_yscale()) for end in ends)
    return any(
        bool(((right >= box[0] - GAP) & (left <= box[2] + GAP) & (high >= box[1] - GAP) & (low <= 1)).any())
        for box in boxes
    )


def top_for(axes: Any, extent: Extent, boxes: Sequence[Box], bottom: float) -> float:
    """Return the upper end of the y axis with which no data reach into a box; they fill the axes otherwise."""
    log = axes.get_yscale() == "log"
    left, right, _, high = _in_axes(axes, extent)
    above = high > bottom
    if not above.any():
        return 10 * bottom if log else bottom + 1.0
    left, right, high = left[above], right[above], high[above]
    heights = np.log10(high) - math.log10(bottom) if log else high - bottom
    span = heights.max() / 0.94
    for box in boxes:
        under = heights[(right >= box[0] - GAP) & (left <= box[2] + GAP)]
        span = max(span, under.max(initial=0.0) / (box[1] - GAP))
    return float(10.0 ** min(math.log10(bottom) + span, 300.0) if log else bottom + span)


def _in_axes(axes: Any, extent: Extent) -> Array:
    """Return the pieces with x in parts of the axes, y as it is; pieces outside the x range are left out."""
    rows = extent.rows.copy()
    rows[:2] = _part(rows[:2], axes.get_xlim(), axes.get_xscale())
    inside: Array = rows[:, (rows[1] >= 0) & (rows[0] <= 1)]
    return inside


def _part(values: Array, limits: tuple[float, float], scale: str) -> Array:
    """Return where values are between the ends of an axis, from 0 to 1."""
    low, high = limits
    if scale == "log":
        with np.errstate(divide="ignore", invalid="ignore"):
            values, low, high = np.log10(values), math.log10(low), math.log10(high)
    return (values - low) / (high - low)
