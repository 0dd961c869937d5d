"""Axes dressed for a figure: scales, ticks and titles of x, y and of the ratio panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hepflow.plots.axis import Axis
from hepflow.plots.figures.layout import Extent, empty, place_texts, renderer_of, top_for
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.text import fit, power, readable
from hepflow.plots.figures.ticks import categories, exponent, linear, logarithmic

__all__ = [
    "OUTLIERS", "RATIO", "RatioRange", "dress_binned", "dress_numbers", "finish", "finish_with_texts", "ratio_range",
    "show_ratio",
]  # fmt: skip

RATIO: Final = 0.42
"""Height of a ratio panel, in heights of the main one."""
OUTLIERS: Final = 0.1
"""Of the ratios, those farthest from 1, at most this part, are marked at the edge of the panel."""
FAR: Final = 5.0
"""Where a ratio panel on a linear scale ends: 1 would be at its lower edge."""


def dress_numbers(
    axes: Any, which: str, title: str, limits: tuple[float, float], *, log: bool = False, highest: float = math.inf,
    most: int = 7, whole: bool = False,
) -> None:  # fmt: skip
    """Give an axis of numbers ("x" or "y") its scale, limits, ticks and title.

    No tick is above ``highest``; with ``whole`` they are at whole numbers.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log" if log else "linear", f"{which}lim": limits})
    tens = 0 if log else exponent(*limits)
    if log:
        logarithmic(axis, most=most)
    else:
        linear(axis, tens, most=most, highest=highest, whole=whole)
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(power(readable(title), tens))


def dress_binned(axes: Any, which: str, axis: Axis, *, log: bool) -> None:
    """Give an axis the range, ticks and title of the bins it shows; categories are named."""
    dress_numbers(axes, which, axis.title, (axis.edges[0], axis.edges[-1]), log=log)
    if axis.labels:
        renderer = renderer_of(axes.figure)
        box = axes.get_window_extent(renderer)
        place = axes.xaxis if which == "x" else axes.yaxis
        pixels = (box.width if which == "x" else box.height) / len(axis)
        categories(place, axis.labels, axis.centers.tolist(), pixels, renderer, vertical=which == "y")


def finish(figure: Any) -> None:
    """Break titles that are longer than their axes, and let everything stay where it is from now on."""
    renderer, changed = renderer_of(figure), False
    for axes in figure.axes:
        box = axes.get_window_extent(renderer)
        changed |= fit(axes.xaxis.label, box.width, renderer)
        changed |= fit(axes.yaxis.label, box.height, renderer, vertical=True)
    if changed:
        renderer_of(figure)
    figure.set_layout_engine(None)


def finish_with_texts(
    figure: Any, axes: Any, options: Options, title: str, extent: Extent, handles: Sequence[tuple[Any, str]],
    bottom: float, *, log: bool, highest: float = math.inf,
) -> None:  # fmt: skip
    """Give an axes its y axis, label and legend, so that none covers data; this is the last that is done."""
    axes.set_yscale("log" if log else "linear")
    first = options.y_range or (bottom, top_for(axes, extent, [], bottom))
    dress_numbers(axes, "y", title, first, log=log, highest=highest)  # texts are placed beside these ticks
    limits = place_texts(figure, axes, options, extent, handles, bottom)
    dress_numbers(axes, "y", title, limits, log=log, highest=highest)
    finish(figure)


class RatioRange(NamedTuple):
    """From where to where a ratio panel goes, and whether it is logarithmic."""

    low: float
    high: float
    log: bool = False


def ratio_range(values: npt.NDArray[Any], errors: npt.NDArray[Any], *, outliers: float) -> RatioRange:
    """Return the range of a ratio panel: 1 and all ratios but ``outliers``, a part of them.

    Where that is more than FAR, the ratios that are known to 50 % decide, and the error bars of the others are to be
    seen; where that is more, too, the panel is logarithmic.
    """
    finite = np.isfinite(values)
    values, errors = values[finite], np.nan_to_num(errors[:, finite])
    if not values.size:
        return RatioRange(0.96, 1.04)
    known = errors.max(axis=0) < 0.5 * np.abs(values)
    found = _near_one(values, errors, known, outliers)
    if found.high <= FAR:
        return found
    if known.any():
        some = _near_one(values[known], errors[:, known], known[known], outliers)
        some = RatioRange(min(some.low, 0.0), max(some.high, 2.0))
        gone = (values - errors[0] > some.high) | (values + errors[1] < some.low)
        if some.high <= FAR and gone.mean() <= outliers:
            return some
    return found if (values < 0).any() else _decades(values, errors, known, outliers)


def _near_one(
    values: npt.NDArray[Any], errors: npt.NDArray[Any], known: npt.NDArray[Any], outliers: float
) -> RatioRange:
    """Return a range with 1 and the values but the outliers; of those that are known their error bars, too."""
    near = _nearest(np.abs(values - 1), outliers)
    bars = np.where(near & known, errors, 0.0)
    low, high = min((values - bars[0])[near].min(), 0.965), max((values + bars[1])[near].max(), 1.035)
    room = 0.1 * (high - low)
    return RatioRange(float(low - room if low < 0 else max(low - room, 0.0)), float(high + room))


def _decades(
    values: npt.NDArray[Any], errors: npt.NDArray[Any], known: npt.NDArray[Any], outliers: float
) -> RatioRange:
    """Return a logarithmic range with 1 and the values above 0 but the outliers."""
    above = values > 0
    values, bars = values[above], np.where(known, errors, 0.0)[:, above]
    near = _nearest(np.abs(np.log(values)), outliers)
    low, high = min((values - bars[0])[near].min(), 0.9), max((values + bars[1])[near].max(), 1.1)
    room = (high / low) ** 0.08
    return RatioRange(float(low / room), float(high * room), log=True)


def _nearest(distance: npt.NDArray[Any], outliers: float) -> npt.NDArray[Any]:
    """Return which are not among the ``outliers`` (a part of all) with the greatest distance."""
    farthest = np.sort(distance)[math.ceil((1 - outliers) * len(distance)) - 1]
    return np.asarray(distance <= farthest)


def show_ratio(axes: Any, title: str, limits: RatioRange, *, known: bool) -> None:
    """Give the ratio panel its range, ticks and the line at 1; or say that no ratio is known."""
    if known:
        axes.axhline(1.0, color="black", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5)
    else:
        empty(axes, "no ratio is known")
    dress_numbers(axes, "y", title, limits[:2], log=limits.log, most=4)
