"""Figures as they begin and end: without a window, and as pictures that do not depend on the day."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hepflow.errors import PlotError, nearest
from hepflow.plots.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bare_figure", "house_of", "picture", "standing"]

NOTEBOOK: Final = 80
"""Dots per inch of the picture that a notebook shows."""

PACKED: Final = 3
"""How much PNG is packed: more takes twice the time, for a tenth less."""

NO_DATE: Final[Mapping[str, Mapping[str, None]]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Formats, and what is left out of them so that the same figure gives the same bytes."""


def picture(figure: Figure, kind: str, *, dpi: float = 150) -> bytes:
    """Return a figure as png or pdf; PlotError for other formats."""
    if kind not in NO_DATE:
        raise PlotError(f"figures are not written as {kind!r}", hint=nearest(kind, NO_DATE, what="formats"))
    buffer = io.BytesIO()
    with house_of(figure), standing(figure):
        if kind == "png":
            figure.savefig(buffer, format="rgba", dpi=dpi)
            return _packed(buffer.getbuffer(), figure, dpi)
        figure.savefig(buffer, format=kind, metadata=dict(NO_DATE[kind]), dpi=dpi)
    return buffer.getvalue()


def house_of(figure: Any) -> AbstractContextManager[None]:
    """Hold the settings that a figure was drawn with (see ``house_style``)."""
    return house_style(getattr(figure, "drawn_with", {}).get("style", {}).get("sheet", ""))


def _saved(figure: Any, *arguments: Any, **options: Any) -> None:
    """Save a figure as matplotlib does, with the settings that it was drawn with: texts are as wide as measured."""
    with house_of(figure):
        type(figure).savefig(figure, *arguments, **options)


def _packed(content: Any, figure: Figure, dpi: float) -> bytes:
    """Return the pixels of a figure (red, green, blue, opacity) as PNG; where all are opaque, without saying so."""
    from PIL import Image

    width, height = (int(size + 1e-6) for size in figure.get_size_inches() * dpi)  # 1439.9999… is 1440
    pixels = np.frombuffer(content, np.uint8).reshape(height, width, 4)
    if (pixels[..., 3] == 255).all():
        pixels = np.ascontiguousarray(pixels[..., :3])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", dpi=(dpi, dpi), compress_level=PACKED)
    return buffer.getvalue()


@contextmanager
def standing(figure: Any) -> Iterator[None]:
    """While no axes change, work out their ticks once: matplotlib does so again for each of a dozen questions. Minor
    ticks are one line of marks, not an artist each; matplotlib gets them back as it knows them.
    """
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    rows = [_row(axis) for axis in axes]
    held = [(line, line.get_data()) for row in rows if row for line in (row.tick1line, row.tick2line)]
    for axis, row in zip(axes, rows, strict=True):
        axis._update_ticks = cache(partial(_ticks, axis, row))
    try:
        yield
    finally:
        for axis in axes:
            del axis._update_ticks
        for line, data in held:
            line.set_data(*data)


def _row(axis: Any) -> Any:
    """Return the first minor tick where it may stand for all: where they have neither names nor a grid."""
    from matplotlib.ticker import NullFormatter, NullLocator

    if isinstance(axis.minor.locator, NullLocator):
        return None
    row = axis.get_minor_ticks(1)[0]
    names = [] if isinstance(axis.minor.formatter, NullFormatter) else [row.label1, row.label2]
    return None if any(part.get_visible() for part in (row.gridline, *names)) else row


def _ticks(axis: Any, row: Any) -> list[Any]:
    """Return the ticks that an axis draws, with one for all minor ones where there is a ``row``."""
    from matplotlib.ticker import NullLocator

    if row is None:
        return list(type(axis)._update_ticks(axis))
    locator, axis.minor.locator = axis.minor.locator, NullLocator()
    try:
        ticks = list(type(axis)._update_ticks(axis))
    finally:
        axis.minor.locator = locator
    places, transform = np.asarray(axis.get_minorticklocs()), axis.get_transform()
    low, high = sorted(transform.transform(axis.get_view_interval()))
    slack, at = 1e-10 * (high - low), transform.transform(places)
    places = places[(at >= low - slack) & (at <= high + slack)]
    if not len(places):
        return ticks
    row.update_position(float(places[0]))
    flat = axis.axis_name == "x"
    for line in (row.tick1line, row.tick2line):
        across = np.full(len(places), line.get_data()[flat][0])
        line.set_data(*((places, across) if flat else (across, places)))
    return [*ticks, row]


def bare_figure(width: float, height: float) -> Any:
    """Return a figure (inches) that belongs to no window, and is a picture in a notebook; its ``savefig`` is that of
    matplotlib, whatever its settings are by then.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.savefig = partial(_saved, figure)
    figure._repr_png_ = partial(picture, figure, "png", dpi=NOTEBOOK)
    return figure
