"""Figures as they begin and end: without a window, and as pictures that do not depend on the day."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from hepflow.errors import PlotError, nearest
from hepflow.plots.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bare_figure", "picture", "standing"]

NOTEBOOK: Final = 80
"""Dots per inch of the picture that a notebook shows."""

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
    with standing(figure):
        figure.savefig(buffer, format=kind, metadata=dict(NO_DATE[kind]), dpi=dpi)
    return buffer.getvalue()


def _saved(figure: Any, *arguments: Any, **options: Any) -> None:
    """Save a figure as matplotlib does, with the settings that it was drawn with: texts are as wide as measured."""
    with house_style(getattr(figure, "drawn_with", {}).get("style", {}).get("sheet", "")):
        type(figure).savefig(figure, *arguments, **options)


@contextmanager
def standing(figure: Any) -> Iterator[None]:
    """While no axes change, work out their ticks once: matplotlib does so again for each of a dozen questions. Minor
    ticks, which nobody changes one by one, are made as the axis has them and not copied from the first.
    """
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    for axis in axes:
        axis._update_ticks = cache(axis._update_ticks)
        axis._copy_tick_props = partial(_copied, axis._copy_tick_props)
    try:
        yield
    finally:
        for axis in axes:
            del axis._update_ticks, axis._copy_tick_props


def _copied(copy: Callable[[Any, Any], None], first: Any, tick: Any) -> None:
    if first._major:
        copy(first, tick)


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
