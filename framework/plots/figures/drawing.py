"""The door of the drawing room: ``draw`` makes a figure of whatever plot object it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from hepflow.errors import PlotError
from hepflow.plots.bands import Bands
from hepflow.plots.base import PlotObject
from hepflow.plots.comparison import Comparison, Stack
from hepflow.plots.correlation import CorrelationMatrix
from hepflow.plots.display import EventDisplay
from hepflow.plots.figures.grid import Grid
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.style import Style, house_style
from hepflow.plots.histogram import Histogram
from hepflow.plots.migration import MigrationMatrix
from hepflow.plots.roc import RocCurve, WorkingPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawable", "draw"]

Drawable: TypeAlias = "PlotObject | EventDisplay | Comparison | Stack | Grid | Bands | Sequence[PlotObject]"


def draw(
    what: Drawable,
    *,
    style: Style | None = None,
    log_x: bool | None = None,
    log_y: bool | None = None,
    ratio: bool = False,
    normalise: bool = False,
    mode: str = "core",
    kind: str = "efficiency",
    y_range: tuple[float, float] | None = None,
    title: str = "",
    legend: str = "",
) -> Figure:
    """Return the figure of a plot object, of several of one kind, of a comparison, a stack or a grid, or of these with
    the bands of their variations.

    - ``style``: the label, the lines below it, and a style sheet; ``title`` is a line above these.
    - ``legend``: what the entries of the legend are ("truth decay mode").
    - ``log_x``: as the axis says, unless given. ``log_y``: ROC curves have a logarithmic y axis unless it is False.
    - ``ratio``: a panel with the ratio to the first (a Comparison always has one, to its reference; a Stack: data over
      sum). One object alone has nothing to be compared with, and no panel. Matrices stand side by side; of two, the
      difference to the reference is a third.
    - ``normalise``: histograms divided by the sum of what is shown.
    - ``mode``: what is drawn of a ResolutionProfile (median, mode, winmode, core, tail, rms, fit_width, fit_mean).
    - ``kind``: what stands in a matrix: ``efficiency`` (columns add up to 100 %), ``purity`` (rows do), ``counts``.
    - ``y_range``: lower and upper end of y; by default it is chosen so that texts cover no data.

    What is empty says so, with its reason, in the figure. The figure belongs to no window and is not known to pyplot;
    write it with :func:`save`. PlotError where kinds or axes do not fit together, for an option that the kind does not
    have, and, naming the extra, where matplotlib or mplhep is not installed.
    """
    options = Options(style or Style(), log_x, log_y, ratio, normalise, mode, kind, y_range, title, legend)
    with house_style(options.style.sheet):
        figure = _draw(what, options)
    drawn = asdict(options)
    del drawn["style"]
    figure.drawn_with = {"style": options.style.to_json(), "options": drawn}
    return figure  # type: ignore[no-any-return]


def members(what: Drawable) -> list[Any]:
    """Return the plot objects that make up what is drawn, without variations; of a stack the data are last."""
    if isinstance(what, Bands):
        return members(what.what)
    if isinstance(what, Comparison):
        return list(what.plots)
    if isinstance(what, Stack):
        return list(what.members)
    if isinstance(what, Grid):
        return [plot for cell in what.cells for plot in cell]
    plots = [what] if isinstance(what, PlotObject | EventDisplay) else what
    strange = [plot for plot in plots if not isinstance(plot, PlotObject | EventDisplay)] if _is_list(plots) else [what]
    if strange:
        raise PlotError(
            f"a {type(strange[0]).__name__} cannot be drawn", hint="give plot objects, a Comparison, a Stack or a Grid"
        )
    return list(plots)


def _is_list(what: Any) -> bool:
    return isinstance(what, Sequence) and not isinstance(what, str)


def _draw(what: Drawable, options: Options) -> Any:
    from hepflow.plots.figures.areas import draw_area, draw_correlations, draw_matrices, draw_matrix
    from hepflow.plots.figures.binned import draw_binned, draw_stacked
    from hepflow.plots.figures.display import draw_display
    from hepflow.plots.figures.grid import draw_grid
    from hepflow.plots.figures.roc import draw_roc

    bands = what if isinstance(what, Bands) else None
    what = bands.what if bands else what
    if isinstance(what, Stack):
        return draw_stacked(what, options, bands)
    if isinstance(what, Grid):
        return draw_grid(what, options)
    reference = 0
    if isinstance(what, Comparison):
        reference = what.reference
        options = replace(options, ratio=True, title=options.title or what.title)
    plots = members(what)
    if not plots:
        raise PlotError("there is nothing to draw: the list is empty")
    kinds = {type(plot) for plot in plots}
    if kinds <= {RocCurve, WorkingPoint}:
        return draw_roc(bands.curves if bands else plots, options, reference)
    if len(kinds) > 1:
        raise PlotError(f"{' and '.join(sorted(kind.__name__ for kind in kinds))} do not go into one figure")
    first = plots[0]
    if isinstance(first, MigrationMatrix) and len(plots) > 1:
        return draw_matrices(plots, options, reference)
    alone = isinstance(first, CorrelationMatrix | EventDisplay) or (
        isinstance(first, Histogram) and len(first.axes) == 2
    )
    if alone and len(plots) > 1:
        raise PlotError(f"several {type(first).__name__} do not go into one figure", hint="draw each on its own")
    if alone and bands and bands.how == "curves":  # on its own, and not with the nominal
        (name, (first, *_)), *_ = bands.varied.items()
        options = replace(options, title=options.title or name)
    if isinstance(first, EventDisplay):
        return draw_display(first, options)
    if isinstance(first, MigrationMatrix):
        return draw_matrix(first, options)
    if isinstance(first, CorrelationMatrix):
        return draw_correlations(first, options)
    if isinstance(first, Histogram) and len(first.axes) == 2:
        return draw_area(first, options)
    return draw_binned(plots, options, reference, bands)
