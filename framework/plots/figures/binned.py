"""Figures of values in bins: histograms, stacks, efficiencies, profiles and resolutions, with ratios below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hepflow.errors import PlotError
from hepflow.plots.axis import Axis
from hepflow.plots.bands import Bands
from hepflow.plots.base import PlotObject
from hepflow.plots.comparison import Ratio, Stack, binned
from hepflow.plots.efficiency import EfficiencyProfile
from hepflow.plots.figures.curves import (
    UNCERTAINTY,
    Curve,
    draw_arrows,
    draw_band,
    draw_points,
    draw_stack,
    draw_steps,
    notes,
    nothing,
    positive,
    ratio_curve,
    reasons,
)  # fmt: skip
from hepflow.plots.figures.frame import OUTLIERS, RATIO, dress_binned, finish_with_texts, ratio_range, show_ratio
from hepflow.plots.figures.layout import Extent, add_note, empty, new_figure
from hepflow.plots.figures.moved import Moved, factors_of, sums_of
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.style import Look, look_of
from hepflow.plots.figures.text import short
from hepflow.plots.histogram import Histogram
from hepflow.plots.profile import Profile
from hepflow.plots.resolution import ResolutionProfile

__all__ = ["draw_binned", "draw_stacked"]

MODE_TITLES: Final = {
    "median": "Median",
    "mode": "Most probable value",
    "winmode": "Most probable value",
    "core": "Half width of the central 68 %",
    "tail": "Half width of the central 95 %",
    "relative_core": "Half width of the central 68 % / median",
    "relative_tail": "Half width of the central 95 % / median",
    "rms": "RMS",
    "fit_width": "Width of a fitted gaussian",
    "fit_mean": "Mean of a fitted gaussian",
}
WIDTHS: Final = ("core", "tail", "relative_core", "relative_tail", "rms", "fit_width")
"""Modes that are widths: their axis begins at 0."""


@dataclass(frozen=True)
class _Shown:
    """What stands in the main panel and in the ratio panel."""

    curves: list[Curve]
    y_title: str
    from_zero: bool
    highest: float = math.inf
    steps: bool = False


def draw_binned(plots: Sequence[PlotObject], options: Options, reference: int = 0, bands: Bands | None = None) -> Any:
    """Return the figure of objects of one kind with the same axis; ``reference`` is what ratios are taken to. The
    ``bands`` are those of their variations.
    """
    first = plots[0]
    if not isinstance(first, Histogram):
        options.without(f"a figure of {type(first).__name__}s", normalise=False)
    moved = Moved(plots, bands, options)
    plots = plots if bands is None else bands.curves
    shown = _shown(plots, options)
    axis = _common_axis(plots, shown.curves)
    with_ratio = (options.ratio and (len(plots) > 1 or moved.known)) or moved.as_curves
    figure, main, below = _panels(with_ratio)
    log = options.on_log_x(axis)
    dress_binned(below or main, "x", axis, log=log)
    extent = Extent()
    looks = [look_of(position) for position in range(len(plots))]
    curves = shown.curves
    bottom = _bottom(curves, shown.from_zero, options.on_log_y(), options.y_range)
    handles = _draw_all(main, curves, looks, extent, bottom, steps=shown.steps)
    if moved.known and shown.steps and not moved.as_curves:  # beside other bands, that of the statistics has a name
        statistics = draw_band(main, replace(curves[0], low=curves[0].value, high=curves[0].value), looks[0], extent)
        handles.append((statistics, "statistical uncertainty"))
    handles += moved.draw(main, curves, looks, extent, max(bottom, 0.0) if shown.steps else -math.inf)
    if below is not None:
        _draw_ratios(below, plots, reference, looks, moved, options)
    _finish(figure, main, options, shown, extent, handles, bottom, moved.note)
    return figure


def draw_stacked(stack: Stack, options: Options, bands: Bands | None = None) -> Any:
    """Return the figure of a stack, with the statistical error of its sum as a band, lines over it, data as points with
    Poisson intervals and, on request, data over the sum below. With ``bands`` the uncertainty of the sum has them in
    quadrature to that of its statistics.
    """
    from matplotlib.patheffects import withStroke

    options.without("a stack", normalise=False)
    total, number = stack.total, len(stack.histograms)
    shown = _shown([total, *stack.histograms, *stack.lines], options)
    moved = Moved([total], bands and sums_of(bands), options)
    sum_, *curves = [moved.widened(shown.curves[0]), *shown.curves[1:]]
    parts = [replace(curve, note="") for curve in curves[:number]]  # what is true of them is of the sum
    data = _data_curve(stack, options)
    told = [] if data is None else [data]
    curves_shown = [replace(sum_, label="sum"), *parts, *curves[number:], *told]
    shown = replace(shown, curves=curves_shown, y_title=f"Entries{_width(total.axes[0])}")
    figure, main, below = _panels(options.ratio and data is not None)
    dress_binned(below or main, "x", total.axes[0], log=options.on_log_x(total.axes[0]))
    extent = Extent()
    bottom = _stack_bottom([sum_, *told], curves[number:], options)
    looks = [look_of(position) for position in range(1, number + len(stack.lines) + 1)]
    *areas, band = draw_stack(main, parts, looks[:number], sum_, extent, bottom)
    handles = [(area, curve.entry) for area, curve in zip(areas, parts, strict=True)][::-1]
    handles.append((band, f"uncertainty{moved.told}" if moved.known else "statistical uncertainty"))
    for curve, look in zip(curves[number:], looks[number:], strict=True):
        line = draw_steps(main, curve, look, extent, floor=max(bottom, 0.0), alpha=0.0)
        line.set_path_effects([withStroke(linewidth=4.0, foreground="white")])
        handles.append((line, curve.entry))
    if data is not None:
        handles.insert(0, (draw_points(main, data, look_of(0), extent), data.entry or "data"))
        if below is not None:
            _draw_stack_ratio(below, stack, moved)
    _finish(figure, main, options, shown, extent, handles, bottom, moved.note)
    return figure


def _data_curve(stack: Stack, options: Options) -> Curve | None:
    """Return the data of a stack as points."""
    if stack.data is None:
        return None
    curve = Curve(stack.data.axes[0], stack.data.label, *stack.counted(), stack.data.note)
    if not stack.data.variances().any():
        return nothing(curve)
    return positive(curve) if options.on_log_y() else curve


def _stack_bottom(seen: Sequence[Curve], lines: Sequence[Curve], options: Options) -> float:
    """Return the lower end of y: what is seen of a stack is its sum and the data, of a line at least two decades."""
    bottom = _bottom(seen, True, options.on_log_y(), options.y_range)
    if not options.on_log_y() or options.y_range is not None:
        return bottom
    tops = [float(np.nanmax(curve.value)) for curve in lines if curve.drawn]
    return min([bottom, *(0.01 * top for top in tops if top > 0)])


def _draw_stack_ratio(axes: Any, stack: Stack, moved: Moved) -> None:
    """Draw data over sum, with the errors of the data, and around 1 the relative uncertainty of the sum."""
    total = stack.total
    axis, sums = total.axes[0], np.where(total.values() > 0, total.values(), np.nan)
    band = moved.widened(Curve(axis, "", total.values(), total.values() - total.errors, total.values() + total.errors))
    value, low, high = (part / sums for part in stack.counted())
    curve = Curve(axis, "", value, low, high)
    around = replace(band, value=band.value / sums, low=band.low / sums, high=band.high / sums)
    _draw_ratio_panel(axes, [curve], [look_of(0)], [(look_of(7), around, UNCERTAINTY)], "Data / sum")


def _panels(ratio: bool) -> tuple[Any, Any, Any]:
    """Return figure, main axes, and ratio axes or None."""
    figure, axes = new_figure((8.0, 7.2), (1.0, RATIO)) if ratio else new_figure()
    if ratio:
        axes[0].tick_params(labelbottom=False)
    return figure, axes[0], axes[1] if ratio else None


def _shown(plots: Sequence[PlotObject], options: Options) -> _Shown:
    """Return the curves of the objects and what the y axis is called."""
    found = [binned(plot, mode=options.mode) for plot in plots]
    curves = [
        Curve(one.axis, plot.label, one.value, one.value - one.down, one.value + one.up, plot.note)
        for plot, one in zip(plots, found, strict=True)
    ]
    if options.on_log_y():
        curves = [positive(curve) for curve in curves]
    first = plots[0]
    if isinstance(first, Histogram):
        curves = [
            curve if isinstance(plot, Histogram) and plot.variances().any() else nothing(curve)
            for plot, curve in zip(plots, curves, strict=True)
        ]
        if options.normalise:
            curves = [curve.scaled(factor) for curve, factor in zip(curves, factors_of(plots, options), strict=True)]
        return _Shown(curves, _entries_title(plots, options.normalise), from_zero=True, steps=True)
    if isinstance(first, EfficiencyProfile):
        return _Shown(curves, first.title, from_zero=True, highest=math.inf if first.inverse else 1.0)
    if isinstance(first, ResolutionProfile):
        title = f"{MODE_TITLES[options.mode]} of {first.response.title}"
        return _Shown(curves, title, from_zero=options.mode in WIDTHS)
    assert isinstance(first, Profile)
    return _Shown(curves, f"Mean {first.response.title}", from_zero=False)


def _entries_title(plots: Sequence[PlotObject], normalise: bool) -> str:
    histograms = [plot for plot in plots if isinstance(plot, Histogram)]
    weighted = any(not np.array_equal(plot.values(), plot.variances()) for plot in histograms)
    width = _width(histograms[0].axes[0])
    if normalise:
        return f"Fraction of {'weights' if weighted else 'entries'}{width}"
    return f"{'Sum of weights' if weighted else 'Entries'}{width}"


def _width(axis: Axis) -> str:
    """Return what the numbers on y are for, where bins have one width with a unit."""
    if not (axis.regular and axis.unit) or axis.labels:
        return ""
    said = f"{axis.widths[0]:.2g}"  # 0.25 GeV, but no 19.22 GeV
    return f" / {short(float(said))} {axis.unit}" if math.isclose(float(said), axis.widths[0]) else " / bin"


def _common_axis(plots: Sequence[PlotObject], curves: Sequence[Curve]) -> Axis:
    axis = curves[0].axis
    for plot, curve in zip(plots, curves, strict=True):
        if curve.axis.edges != axis.edges or curve.axis.name != axis.name:
            raise PlotError(
                f"{plot} cannot be drawn with {plots[0]}: their axes differ",
                where=f"{axis.name}, {len(axis)} bins; {curve.axis.name}, {len(curve.axis)} bins",
                hint="fill both with the same axis, or draw two figures",
            )
    return axis


def _bottom(curves: Sequence[Curve], from_zero: bool, log: bool, y_range: tuple[float, float] | None) -> float:
    """Return the lower end of the y axis."""
    if y_range is not None:
        return y_range[0]
    values = np.concatenate([curve.value for curve in curves])
    values = values[np.isfinite(values)]
    if log:
        largest = np.max(values, initial=0.0)
        return max(0.5 * float(np.min(values, initial=np.inf)), 1e-9 * float(largest)) if len(values) else 0.1
    lows = np.concatenate([np.fmin(curve.value, curve.low) for curve in curves])
    lowest = float(np.nanmin(lows)) if len(values) else 0.0
    if from_zero:
        return min(0.0, 1.1 * lowest)
    highs = np.concatenate([np.fmax(curve.value, curve.high) for curve in curves])
    span = float(np.nanmax(highs)) - lowest if len(values) else 1.0
    return lowest - 0.12 * (span or abs(lowest) or 1.0)


def _draw_all(
    axes: Any, curves: Sequence[Curve], looks: Sequence[Look], extent: Extent, bottom: float, *, steps: bool
) -> list[tuple[Any, str]]:
    handles = []
    alpha = 0.22 if len(curves) <= 4 else 0.1
    for position, (curve, look) in enumerate(zip(curves, looks, strict=True)):
        if steps:
            handle = draw_steps(axes, curve, look, extent, floor=max(bottom, 0.0), alpha=alpha)
        else:
            handle = draw_points(axes, curve, look, extent, shift=_shift(position, len(curves)))
        if curve.entry:
            handles.append((handle, curve.entry))
    return handles


def _shift(position: int, number: int) -> float:
    """Return how far points stand from the middle of a bin, in widths, so that several can be told apart."""
    return (position - (number - 1) / 2) * min(0.6 / number, 0.12)


def _draw_ratios(
    axes: Any, plots: Sequence[PlotObject], reference: int, looks: Sequence[Look], moved: Moved, options: Options,
) -> None:  # fmt: skip
    """Draw the ratios to the reference; of variations that are curves those to their nominal, and of one object alone
    the bands of its own.
    """
    others = [position for position in range(len(plots)) if position != reference]
    title = plots[reference].label
    if moved.as_curves:
        others, curves, title = moved.ratios()
    else:
        factors = factors_of(plots, options)
        curves = []
        for position in others:
            ratio = Ratio(plots[position], plots[reference], mode=options.mode)
            factor = factors[position] / factors[reference]
            curves.append(ratio_curve(ratio.axis, ratio.values, *ratio.errors).scaled(factor))
    bands = [] if moved.as_curves else moved.ratio_bands(reference)
    _draw_ratio_panel(axes, curves, [looks[position] for position in others], bands, _ratio_title(title))


def _ratio_title(name: str) -> str:
    return f"Ratio to {name}" if name and len(name) <= 12 else "Ratio"


def _draw_ratio_panel(
    axes: Any, curves: Sequence[Curve], looks: Sequence[Look], bands: Sequence[tuple[Look, Curve, str]], title: str
) -> None:
    drawn = [*curves, *(band for _, band, _ in bands)]
    values = np.concatenate([curve.value for curve in drawn])
    errors = np.concatenate([[curve.value - curve.low, curve.high - curve.value] for curve in drawn], axis=1)
    points, everything = (sum(int(np.isfinite(one.value).sum()) for one in of) for of in (curves, drawn))
    limits = ratio_range(values, errors, outliers=OUTLIERS * points / max(everything, 1))
    for look, band, hatch in bands:
        draw_band(axes, band, look, Extent(), hatch=hatch)
    for place, (curve, look) in enumerate(zip(curves, looks, strict=True)):
        shift = _shift(place, len(curves))
        draw_points(axes, curve, look, Extent(), shift=shift)
        draw_arrows(axes, curve, look, limits[:2], shift=shift)
    show_ratio(axes, title, limits, known=bool(np.isfinite(values).any()))


def _finish(
    figure: Any, axes: Any, options: Options, shown: _Shown, extent: Extent, handles: Sequence[tuple[Any, str]],
    bottom: float, note: str = "",
) -> None:  # fmt: skip
    """Give the main panel its y axis and texts."""
    if not any(curve.drawn for curve in shown.curves):
        empty(axes, reasons(shown.curves, "no values"))
        handles = []
    add_note(figure, "; ".join(filter(None, [notes([curve for curve in shown.curves if curve.drawn]), note])))
    finish_with_texts(
        figure, axes, options, shown.y_title, extent, handles, bottom, log=options.on_log_y(), highest=shown.highest
    )
