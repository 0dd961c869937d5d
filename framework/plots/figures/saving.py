"""Writing figures: pictures that do not depend on the day, with their numbers beside them, each file in one step; and
opening them again from these numbers, to draw them otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepflow.errors import PlotError
from hepflow.files import replacing, write_text
from hepflow.plots.bands import Bands
from hepflow.plots.base import PlotObject, load_plots, plain, read_plot_file
from hepflow.plots.comparison import Comparison, Stack
from hepflow.plots.figures.drawing import draw, members
from hepflow.plots.figures.grid import Grid
from hepflow.plots.figures.panels import draw_panels
from hepflow.plots.figures.picture import house_of, picture
from hepflow.plots.figures.style import Style
from hepflow.plots.panels import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SavedFigure", "load_figure", "save"]


def save(figure: Figure, path: Path | str, what: Any, *, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write a figure as ``path`` + .png, .pdf, and its numbers as ``path`` + .json; return these paths.

    ``what`` is what was drawn: a plot object, several, a Comparison, a Stack; or a mapping of plain numbers, for
    figures of :func:`draw_panels`. The JSON holds ``plots`` (what ``to_json`` returns of each, or the panels),
    ``style`` and ``options`` (how they were drawn), ``variations`` with those of Bands, and that mapping;
    ``load_figure`` opens it. OutputError where a file cannot be written.
    """
    base = Path(path)
    with house_of(figure):  # once for all
        pictures = {kind: picture(figure, kind) for kind in formats}
    written = []
    for kind, content in pictures.items():
        with replacing(base.with_name(f"{base.name}.{kind}")) as temporary:
            temporary.write_bytes(content)
        written.append(base.with_name(f"{base.name}.{kind}"))
    text = json.dumps(plain(_numbers(figure, what)), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    return [*written, write_text(base.with_name(f"{base.name}.json"), text)]


def _numbers(figure: Figure, what: Any) -> dict[str, Any]:
    drawn = getattr(figure, "drawn_with", {})
    if isinstance(what, Mapping):
        return {**what, **drawn}
    varied = {}
    if isinstance(what, Bands):
        varied = {"variations": what.to_json(mode=drawn.get("options", {}).get("mode", "core"))}
        what = what.what
    return {"plots": [plot.to_json() for plot in members(what)], **varied, **_together(what), **drawn}


def _together(what: Any) -> dict[str, Any]:
    """Return how the plots of a figure belong together, where they are no list."""
    if isinstance(what, Comparison):
        return {"comparison": {"reference": what.reference, "title": what.title}}
    if isinstance(what, Stack):
        return {"stack": {"histograms": len(what.histograms), "lines": len(what.lines)}}
    if isinstance(what, Grid):
        return {"grid": {"cells": [len(cell) for cell in what.cells], "columns": what.columns}}
    return {}


@dataclass(frozen=True)
class SavedFigure:
    """A figure of a run, opened from its numbers: what it shows, and how that was drawn.

    ``what`` goes into :func:`draw`: plot objects, a Comparison, a Stack, a Grid, Bands; or it is a list of panels.
    """

    what: Any
    style: Style = field(default_factory=Style)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plots(self) -> list[Any]:
        """Return the plot objects, or the panels."""
        return list(self.what) if self._panels else members(self.what)

    @property
    def _panels(self) -> bool:
        return isinstance(self.what, list) and bool(self.what) and isinstance(self.what[0], Panel)

    def draw(self, style: Style | None = None, **options: Any) -> Figure:
        """Draw it again, with another style or other options than before: ``saved.draw(Style("ATLAS Internal"),
        log_y=True)``. The lines of text stay where the style has none. Errors are those of :func:`draw`.
        """
        drawing: Any = draw_panels if self._panels else draw
        style = replace(style, lines=style.lines or self.style.lines) if style else self.style
        return drawing(self.what, style=style, **{**self.options, **options})  # type: ignore[no-any-return]

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        shown: bytes = self.draw()._repr_png_()  # type: ignore[attr-defined]
        return shown


def load_figure(path: Path | str) -> SavedFigure:
    """Open the JSON beside a figure that a run wrote, or that of one plot object; errors as of ``load_plot``."""
    plots: Any = load_plots(path)
    content = read_plot_file(path)
    given = content.get("style") or {}
    options = dict(content.get("options") or {})
    if options.get("y_range"):
        options["y_range"] = tuple(options["y_range"])
    try:
        style = Style(str(given["text"]), tuple(given["lines"]), str(given.get("sheet", ""))) if given else Style()
        return SavedFigure(_put_together(plots, content), style, options)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PlotError(f"the figure is damaged: {type(error).__name__}: {error}", where=str(path)) from error


def _put_together(plots: list[Any], content: Mapping[str, Any]) -> Any:
    if told := content.get("variations"):
        varied = {
            name: [PlotObject.from_json(plot) for plot in one["plots"]] for name, one in told["variations"].items()
        }
        return Bands(_put_together(plots, {**content, "variations": None}), varied, told["how"])
    if "comparison" in content:
        return Comparison(plots, content["comparison"]["reference"], content["comparison"]["title"])
    if "stack" in content:
        number = content["stack"]["histograms"]
        behind = number + content["stack"]["lines"]
        return Stack(plots[:number], plots[behind] if len(plots) > behind else None, plots[number:behind])
    if "grid" in content:
        following = iter(plots)
        return Grid([list(islice(following, n)) for n in content["grid"]["cells"]], content["grid"]["columns"])
    return plots
