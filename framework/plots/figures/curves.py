"""Curves over bins: what is drawn of histograms and profiles, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.plots.axis import Axis
from hepflow.plots.figures.layout import Extent
from hepflow.plots.figures.style import Look

__all__ = [
    "HATCHES", "UNCERTAINTY", "Curve", "draw_arrows", "draw_band", "draw_points", "draw_stack", "draw_steps", "notes",
    "nothing", "positive", "ratio_curve", "reasons",
]  # fmt: skip

Array = npt.NDArray[np.float64]

HATCHES: Final = ("", "", "", "////", "....", "\\\\\\\\", "----", "oooo")
"""Of areas: the first colours of a stack differ in brightness."""
UNCERTAINTY: Final = "xxxxxxxx"
"""Of the band around the sum of a stack."""


@dataclass(frozen=True)
class Curve:
    """Values in the bins of an axis, each with the ends of its error bar; NaN where there is nothing to draw."""

    axis: Axis
    label: str
    value: Array
    low: Array
    high: Array
    note: str = ""

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return bool(np.isfinite(self.value).any())

    @property
    def entry(self) -> str:
        """Return what stands in the legend; a curve that is not there says why."""
        return self.label if self.drawn else f"{self.label} ({self.note or 'no values'})".strip()

    def scaled(self, factor: float) -> Curve:
        """Return the curve multiplied by a number."""
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)


def positive(curve: Curve) -> Curve:
    """Return the curve for a logarithmic y axis: values at or below 0 are not drawn, error bars end above it."""
    value = np.where(curve.value > 0, curve.value, np.nan)
    low = np.where(value > 0, np.fmax(curve.low, np.finfo(np.float64).tiny), np.nan)
    note = curve.note if curve.note or (value > 0).any() else "no values above 0"
    return replace(curve, value=value, low=low, high=np.where(value > 0, curve.high, np.nan), note=note)


def nothing(curve: Curve) -> Curve:
    """Return the curve without values: a histogram without entries is no line at 0."""
    gone = np.full_like(curve.value, np.nan)
    return replace(curve, value=gone, low=gone, high=gone)


def ratio_curve(axis: Axis, values: Array, down: Array, up: Array) -> Curve:
    """Return ratios with the lengths of their error bars as a curve."""
    return Curve(axis, "", values, values - down, values + up)


def draw_band(axes: Any, curve: Curve, look: Look, extent: Extent, *, hatch: str = "", floor: float = -np.inf) -> Any:
    """Draw an area from the lower to the upper ends of a curve, hatched or pale; return the handle for the legend."""
    edges = np.asarray(curve.axis.edges)
    low = np.maximum(curve.low, floor)
    style: dict[str, Any] = {"facecolor": look.colour, "alpha": 0.3}
    if hatch:
        style = {"facecolor": "none", "edgecolor": look.colour, "hatch": hatch, "alpha": 0.8}
    area = axes.stairs(curve.high, edges, baseline=low, fill=True, linewidth=0, zorder=0.8, **style)
    extent.add(edges[:-1], edges[1:], low, curve.high)
    return area


def draw_steps(axes: Any, curve: Curve, look: Look, extent: Extent, *, floor: float, alpha: float) -> Any:
    """Draw a line around the bins and a pale band for the errors; return the handle for the legend."""
    edges = np.asarray(curve.axis.edges)
    line = axes.stairs(curve.value, edges, baseline=floor, color=look.colour, linestyle=look.line, linewidth=1.8)
    seen = np.isfinite(curve.value) & (curve.high > curve.low)
    low, high = (np.where(seen, end, np.nan) for end in (curve.low, curve.high))
    axes.stairs(high, edges, baseline=low, fill=True, color=look.colour, alpha=alpha, linewidth=0, zorder=1)
    extent.add(edges[:-1], edges[1:], np.fmin(curve.low, floor), np.fmax(curve.value, curve.high))
    return line


def draw_points(axes: Any, curve: Curve, look: Look, extent: Extent, *, shift: float = 0.0) -> Any:
    """Draw points with errors, moved from the middles of the bins by a part of their width; return the handle."""
    edges = np.asarray(curve.axis.edges)
    x = _places(axes, curve.axis, shift)
    seen = np.isfinite(curve.value)
    settings = {"linestyle": "none", "elinewidth": 1.3, "markersize": _size(len(x)), **look.points}
    if not seen.any():
        return axes.errorbar([], [], yerr=[], **settings)
    y_bars = np.nan_to_num(np.maximum([curve.value - curve.low, curve.high - curve.value], 0))[:, seen]
    x_bars = None if curve.axis.labels else [(x - edges[:-1])[seen], (edges[1:] - x)[seen]]
    drawn = axes.errorbar(x[seen], curve.value[seen], yerr=y_bars, xerr=x_bars, **settings)
    extent.add(edges[:-1], edges[1:], np.fmin(curve.value, curve.low), np.fmax(curve.value, curve.high))
    return drawn


def draw_arrows(axes: Any, curve: Curve, look: Look, limits: tuple[float, float], *, shift: float = 0.0) -> None:
    """Mark at the edge of the axes the values that are outside of its range."""
    x = _places(axes, curve.axis, shift)
    for outside, place, marker in ((curve.value > limits[1], 0.93, "^"), (curve.value < limits[0], 0.07, "v")):
        heights = np.full(int(outside.sum()), place)
        axes.plot(
            x[outside], heights, transform=axes.get_xaxis_transform(), linestyle="none", marker=marker,
            markersize=_size(len(x)), color=look.colour, markerfacecolor="none",
        )  # fmt: skip


def _places(axes: Any, axis: Axis, shift: float) -> Array:
    """Return x of the points: middles of the bins as they are drawn, moved by a part of their width."""
    log = axes.get_xscale() == "log"
    edges = np.log(axis.edges) if log else np.asarray(axis.edges)
    x = (edges[:-1] + edges[1:]) / 2 + shift * np.diff(edges)
    return np.exp(x) if log else x


def _size(bins: int) -> float:
    return 6.0 if bins <= 30 else 4.5 if bins <= 60 else 3.0


def draw_stack(
    axes: Any, curves: Sequence[Curve], looks: Sequence[Look], total: Curve, extent: Extent, floor: float
) -> list[Any]:
    """Draw filled areas on top of one another, the first at the bottom, and a hatched band for the error of the sum.

    Returns one handle for each curve and one for the band.
    """
    edges = np.asarray(total.axis.edges)
    base = np.full(len(edges) - 1, floor)
    level = np.zeros(len(edges) - 1)
    handles = []
    for position, (curve, look) in enumerate(zip(curves, looks, strict=True)):
        level = level + np.nan_to_num(curve.value)
        top = np.maximum(level, floor)
        handles.append(
            axes.stairs(
                top, edges, baseline=base, fill=True, facecolor=look.colour, edgecolor="black", linewidth=0.8,
                hatch=HATCHES[position % len(HATCHES)],
            )
        )  # fmt: skip
        base = top
    band = axes.stairs(
        total.high, edges, baseline=np.maximum(total.low, floor), fill=True, facecolor="none", edgecolor="#404040",
        hatch=UNCERTAINTY, linewidth=0,
    )  # fmt: skip
    extent.add(edges[:-1], edges[1:], total.low, total.high)
    return [*handles, band]


def notes(curves: Sequence[Any]) -> str:
    """Return the remarks on what is drawn, with the names of the curves unless all say the same."""
    told = [(curve.label, curve.note) for curve in curves if curve.note]
    alike = len(told) == len(curves) and len({note for _, note in told}) == 1
    return told[0][1] if alike else "; ".join(f"{label}: {note}" if label else note for label, note in told)


def reasons(curves: Sequence[Any], otherwise: str) -> str:
    """Return why none of the curves has anything to draw."""
    told = [(curve.label, curve.note or otherwise) for curve in curves]
    return "; ".join(dict.fromkeys(f"{label}: {note}" if label else note for label, note in told))
