"""Figures of ROC curves, with classifiers without scores as points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.errors import PlotError
from hepflow.plots.base import PlotObject
from hepflow.plots.figures.curves import notes, reasons
from hepflow.plots.figures.frame import RATIO, dress_numbers, finish_with_texts, ratio_range, show_ratio
from hepflow.plots.figures.layout import Extent, add_note, empty, new_figure
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.style import Look, look_of
from hepflow.plots.roc import RocCurve, WorkingPoint

__all__ = ["draw_roc"]

Array = npt.NDArray[np.float64]

STEPS: Final = 400
"""Steps in efficiency, and in each decade of rejection, that a drawn curve resolves."""


@dataclass(frozen=True)
class _Drawn:
    """A curve or a point: efficiency, rejection and their errors, arrays of one length, by rising efficiency."""

    label: str
    note: str
    points: Array
    is_point: bool

    @property
    def entry(self) -> str:
        """Return what stands in the legend; what is not there says why."""
        return self.label if self.points.size else f"{self.label} ({self.note or 'no points'})".strip()


def draw_roc(plots: Sequence[PlotObject], options: Options, reference: int = 0) -> Any:
    """Return the figure of curves and working points; the reference of a ratio panel must be a curve.

    Rejection is drawn on a logarithmic axis unless ``log_y`` is False. Bands and bars are one standard deviation. The
    ratio panel shows rejection over that of the reference at the same efficiency (linear between its points, in the
    logarithm), without errors: the curves are of the same events.
    """
    options.without("a ROC curve", normalise=False, log_x=None)
    found = [_points(plot) for plot in plots]
    with_ratio = options.ratio and len(plots) > 1
    if with_ratio and found[reference].is_point:
        raise PlotError(
            f"a ratio to the working point {found[reference].label!r} has one point", hint="give a curve as reference"
        )
    log = options.on_log_y(default=True)
    figure, (main, *below) = new_figure((8.0, 7.2), (1.0, RATIO)) if with_ratio else new_figure()
    for axes in (main, *below):
        dress_numbers(axes, "x", "Signal efficiency", (0.0, 1.0))
    main.set_yscale("log" if log else "linear")
    if with_ratio:
        main.tick_params(labelbottom=False)
        main.xaxis.label.set_visible(False)
    extent = Extent()
    looks = [look_of(position) for position in range(len(found))]
    alpha = 0.18 if len(found) <= 4 else 0.08
    handles = [(_draw(main, one, look, extent, alpha), one.entry) for one, look in zip(found, looks, strict=True)]
    if below:
        _draw_ratios(below[0], found, looks, reference)
    bottom = _bottom(found, options, log)
    if not any(one.points.size for one in found):
        empty(main, reasons(found, "no points"))
        handles = []
    add_note(figure, notes([one for one in found if one.points.size]))
    told = [(handle, entry) for handle, entry in handles if entry]
    finish_with_texts(figure, main, options, "Background rejection", extent, told, bottom, log=log)
    return figure


def _points(plot: PlotObject) -> _Drawn:
    if isinstance(plot, WorkingPoint):
        point = np.array([plot.point()[1:]], dtype=np.float64).T
        return _Drawn(plot.label, plot.note, point[:, np.isfinite(point[:2]).all(axis=0)], is_point=True)
    assert isinstance(plot, RocCurve)
    auc, error = plot.auc, plot.auc_error
    label = plot.label if auc is None else f"{plot.label} (AUC\xa0{auc:.4f}\xa0±\xa0{error:.4f})".strip()
    return _Drawn(label, plot.note, _thinned(np.stack(plot.curve()[1:])), is_point=False)


def _thinned(points: Array) -> Array:
    """Return the points that can be told apart in a figure, the first and the last among them."""
    if points.shape[1] < STEPS:
        return points
    along = np.abs(np.diff([points[0], np.log10(points[1])], axis=1)).sum(axis=0).cumsum()
    steps = np.concatenate([[-1], np.floor(STEPS * along)])
    keep = np.diff(steps, append=np.inf) > 0
    keep[0] = True
    return points[:, keep]


def _draw(axes: Any, drawn: _Drawn, look: Look, extent: Extent, alpha: float) -> Any:
    efficiency, rejection, efficiency_error, rejection_error = np.nan_to_num(drawn.points)
    low, high = rejection - rejection_error, rejection + rejection_error
    if drawn.is_point or len(efficiency) == 1:
        extent.add(efficiency - efficiency_error, efficiency + efficiency_error, rejection, high)
        bars = {"xerr": efficiency_error, "yerr": rejection_error, "elinewidth": 1.5}
        return axes.errorbar(
            efficiency, rejection, **bars, linestyle="none", zorder=3, **look.points | {"markersize": 9}
        )
    (line,) = axes.plot(efficiency, rejection, color=look.colour, linestyle=look.line, linewidth=2.0)
    known = low > 0.1 * rejection  # one background object: an error of 100 % has no lower end on a logarithmic axis
    axes.fill_between(efficiency, low, high, where=known, color=look.colour, alpha=alpha, linewidth=0)
    high = np.where(known, high, rejection)
    extent.add(efficiency[:-1], efficiency[1:], rejection[1:], np.maximum(high[:-1], high[1:]))
    return line


def _bottom(found: Sequence[_Drawn], options: Options, log: bool) -> float:
    if options.y_range is not None:
        return options.y_range[0]
    lowest = min((float(one.points[1].min()) for one in found if one.points.size), default=1.0)
    return 10.0 ** math.floor(math.log10(min(lowest, 1.0))) if log else 0.0


def _draw_ratios(axes: Any, found: Sequence[_Drawn], looks: Sequence[Look], reference: int) -> None:
    base = found[reference].points
    values = []
    for position, one in enumerate(found):
        if position == reference or not base.size or not one.points.size:
            continue
        efficiency, rejection = one.points[:2]
        inside = (efficiency >= base[0, 0]) & (efficiency <= base[0, -1])
        efficiency, rejection = efficiency[inside], rejection[inside]
        ratio = rejection / np.exp(np.interp(efficiency, base[0], np.log(base[1])))
        values.append(ratio)
        look = looks[position]
        if one.is_point:
            axes.plot(efficiency, ratio, linestyle="none", **{**look.points, "markersize": 8})
        else:
            axes.plot(efficiency, ratio, color=look.colour, linestyle=look.line, linewidth=1.8)
    together = np.concatenate(values) if values else np.empty(0)
    known = bool(together.size)
    show_ratio(axes, "Ratio", ratio_range(together, np.zeros((2, len(together))), outliers=0.0), known=known)
