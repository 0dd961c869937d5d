"""What variations do to the curves of a figure: bands around them and around their ratios, or curves of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, cast

import numpy as np

from hepflow.errors import many
from hepflow.plots.bands import Bands, Shift, combined
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.comparison import binned
from hepflow.plots.figures.curves import HATCHES, Curve, draw_band, ratio_curve
from hepflow.plots.figures.layout import Extent
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.style import Look, look_of
from hepflow.plots.histogram import Histogram

__all__ = ["Moved", "factors_of", "sums_of"]


def factors_of(plots: Sequence[PlotObject], options: Options) -> list[float]:
    """Return what the objects are multiplied with: where they are normalised, one over the sum of what is shown (NaN
    where that is not above 0), else 1.
    """
    if not options.normalise:
        return [1.0] * len(plots)
    sums = [float(plot.values().sum()) if isinstance(plot, Histogram) else 0.0 for plot in plots]
    return [1 / total if total > 0 else math.nan for total in sums]


def sums_of(bands: Bands) -> Bands:
    """Return the bands of the sum of a stack."""
    total, *varied = (reduce(add, cast("list[Histogram]", plots)) for plots in (bands.plots, *bands.varied.values()))
    return Bands(total, {name: [one] for name, one in zip(bands.varied, varied, strict=True)}, bands.how)


class Moved:
    """The values of some plots and of their variations, as they are drawn; without bands nothing moves."""

    def __init__(self, plots: Sequence[PlotObject], bands: Bands | None, options: Options) -> None:
        self.plots = plots
        self.how = bands.how if bands else ""
        self.varied: Mapping[str, Sequence[PlotObject]] = bands.varied if bands else {}
        self.options = options
        self.known = bool(self.varied)
        self.as_curves = self.how == "curves"
        self._values = self._drawn(plots)
        self._moved = {name: self._drawn(of) for name, of in self.varied.items()}

    def _drawn(self, plots: Sequence[PlotObject]) -> list[Array]:
        found = zip(plots, factors_of(plots, self.options), strict=True)
        return [factor * binned(plot, mode=self.options.mode).value for plot, factor in found]

    @property
    def note(self) -> str:
        """Return which variations lack values that the nominal has."""
        gaps = {
            name: sum(int((np.isnan(a) & ~np.isnan(b)).sum()) for a, b in zip(of, self._values, strict=True))
            for name, of in self._moved.items()
        }
        told = [f"{name} has no value in {many(number, 'bin')}" for name, number in gaps.items() if number]
        if self.as_curves and not all(plot.paired for plots in self.varied.values() for plot in plots):
            told.append("ratios to the nominal without errors: what they have in common is not known")
        return "; ".join(told)

    @property
    def told(self) -> str:
        """Return what a band besides that of the statistics holds, for the legend."""
        return f" (statistics, {next(iter(self._bands(0)))})" if self.known else ""

    def _bands(self, position: int) -> dict[str, tuple[Array, Array]]:
        shifts = {name: of[position] - self._values[position] for name, of in self._moved.items()}
        return combined(shifts, self.how if self.how == "envelope" else "quadrature")

    def widened(self, curve: Curve) -> Curve:
        """Return the only curve with its errors and the bands, all of them, in quadrature."""
        for down, up in self._bands(0).values() if self.known else ():
            low, high = np.hypot(curve.value - curve.low, down), np.hypot(curve.high - curve.value, up)
            curve = replace(curve, low=curve.value - low, high=curve.value + high)
        return curve

    def draw(
        self, axes: Any, curves: Sequence[Curve], looks: Sequence[Look], extent: Extent, floor: float
    ) -> list[tuple[Any, str]]:
        """Draw the bands around the curves; return handles and names for the legend."""
        handles: dict[str, Any] = {}
        if self.as_curves:
            return []
        for position, values in enumerate(self._values):
            shifts = {name: of[position] - values for name, of in self._moved.items()}
            centre = curves[position].value
            for look, band, hatch, name in self._as_curves(shifts, centre, curves[position], looks[position]):
                handles.setdefault(name, draw_band(axes, band, look, extent, hatch=hatch, floor=floor))
        return [(handle, name) for name, handle in handles.items()]

    def _as_curves(
        self, shifts: Mapping[str, Array], centre: Array, curve: Curve, look: Look
    ) -> list[tuple[Look, Curve, str, str]]:
        """Return (look, band, hatch, name): effects differ in colour, or where there are several curves in hatches."""
        found = []
        for number, (name, (down, up)) in enumerate(combined(shifts, self.how).items() if shifts else ()):
            alone = len(self.plots) == 1
            colour = look_of(number + 1) if alone else look
            band = replace(curve, value=centre, low=centre - down, high=centre + up)
            found.append((colour, band, HATCHES[1 + number % (len(HATCHES) - 1)], name))
        return found

    def ratio_bands(self, reference: int) -> list[tuple[Look, Curve, str]]:
        """Return (look, band, hatch) around the ratios to the reference, in which both vary together; of one object
        alone around 1.
        """
        alone = len(self.plots) == 1
        found = []
        for position, values in enumerate(self._values):
            if (position == reference and not alone) or not self.known:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                if alone:
                    centre = np.where(values != 0, 1.0, np.nan)
                    shifts = {name: of[0] / values - 1 for name, of in self._moved.items()}
                else:
                    centre = np.where(self._values[reference] != 0, values / self._values[reference], np.nan)
                    shifts = {name: of[position] / of[reference] - centre for name, of in self._moved.items()}
            finite = {name: np.where(np.isfinite(one), one, 0.0) for name, one in shifts.items()}
            curve = Curve(binned(self.plots[0], mode=self.options.mode).axis, "", centre, centre, centre)
            bands = self._as_curves(finite, centre, curve, look_of(position))
            found += [(look, band, hatch) for look, band, hatch, _ in bands]
        return found

    def ratios(self) -> tuple[list[int], list[Curve], str]:
        """Return places among nominal and varied plots, and the ratios of each variation to its nominal with the errors
        of what migrates, and what the ratios are to.
        """
        number = len(self.plots)
        places, curves = [], []
        nominal = factors_of(self.plots, self.options)
        for count, plots in enumerate(self.varied.values(), 1):
            factors = factors_of(plots, self.options)
            for position, (plot, own) in enumerate(zip(plots, self.plots, strict=True)):
                shift = Shift(plot, own, mode=self.options.mode)
                error = np.nan_to_num(shift.ratio_errors)
                places.append(count * number + position)
                factor = factors[position] / nominal[position]
                curves.append(ratio_curve(shift.axis, shift.ratio, error, error).scaled(factor))
        return places, curves, "nominal"
