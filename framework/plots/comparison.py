"""Ratio, Comparison and Stack: several plot objects in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from hepflow.errors import PlotError
from hepflow.plots.axis import Axis
from hepflow.plots.base import Array, PlotObject, as_picture
from hepflow.plots.efficiency import EfficiencyProfile
from hepflow.plots.histogram import Histogram
from hepflow.plots.profile import Profile
from hepflow.plots.resolution import ResolutionProfile
from hepflow.plots.roc import RocCurve, WorkingPoint
from hepflow.plots.statistics import poisson_interval

__all__ = ["Binned", "Comparison", "Ratio", "Stack", "binned"]


class Binned(NamedTuple):
    """Values in the bins of an axis, with the lengths of their error bars; NaN where there is no value."""

    axis: Axis
    value: Array
    down: Array
    up: Array


def binned(plot: PlotObject, *, mode: str = "core") -> Binned:
    """Return what is drawn in the bins of a plot object with one axis; ``mode`` is that of a ResolutionProfile.

    PlotError for objects that are not values along one axis.
    """
    if isinstance(plot, Histogram) and len(plot.axes) == 1:
        return Binned(plot.axes[0], plot.values(), plot.errors, plot.errors)
    if isinstance(plot, EfficiencyProfile):
        value, low, high = plot.shown()
        return Binned(plot.axis, value, value - low, high - value)
    if isinstance(plot, Profile | ResolutionProfile):
        value, error = plot.mean() if isinstance(plot, Profile) else plot.values(mode)
        return Binned(plot.axis, value, error, error)
    raise PlotError(
        f"{plot} has no values along one axis", hint="one-dimensional histograms, efficiencies and profiles have"
    )


class Ratio:
    """Numerator over denominator, bin by bin, for two objects that are statistically independent.

    ``values`` has one number a bin and ``errors`` the lengths (down, up) of the error bars, shape (2, bins): relative
    errors added in quadrature, the up error of the numerator with the down error of the denominator. NaN where the
    denominator is 0 or one of them has no value. PlotError where the objects are of different kinds or their edges
    differ.
    """

    def __init__(self, numerator: PlotObject, denominator: PlotObject, *, mode: str = "core") -> None:
        above, below = binned(numerator, mode=mode), binned(denominator, mode=mode)
        if type(numerator) is not type(denominator):
            raise PlotError(f"there is no ratio of {numerator} and {denominator}: they are of different kinds")
        if above.axis.edges != below.axis.edges:
            raise PlotError(
                f"there is no ratio of {numerator} and {denominator}: their bins differ",
                hint="fill both with the same axis",
            )
        self.axis = above.axis
        self.label = f"{numerator.label} / {denominator.label}"
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(below.value != 0, above.value / below.value, np.nan)
            size = np.abs(ratio)
            down, up = (
                np.hypot(mine / np.abs(below.value), size * theirs / np.abs(below.value))
                for mine, theirs in ((above.down, below.up), (above.up, below.down))
            )
        self.values: Array = ratio
        self.errors: Array = np.where(np.isfinite(ratio), [down, up], np.nan)


@dataclass(frozen=True)
class Comparison:
    """Objects of one kind in one figure (ROC curves with working points), ratios taken to the ``reference``-th.

    PlotError where there is nothing to compare, kinds are mixed, or there is no such reference.
    """

    plots: Sequence[PlotObject]
    reference: int = 0
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "plots", tuple(self.plots))
        if not self.plots:
            raise PlotError("there is nothing to compare")
        kinds = {type(plot) for plot in self.plots}
        if len(kinds) > 1 and not kinds <= {RocCurve, WorkingPoint}:
            raise PlotError(f"{', '.join(map(str, self.plots))} cannot be compared: they are of different kinds")
        if not 0 <= self.reference < len(self.plots):
            raise PlotError(
                f"there is no reference {self.reference} among {len(self.plots)} plots", hint="the first is 0"
            )

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        return as_picture(self)

    def ratios(self, *, mode: str = "core") -> list[Ratio]:
        """Return the ratio of each of the other objects to the reference, in order."""
        others = [plot for number, plot in enumerate(self.plots) if number != self.reference]
        return [Ratio(plot, self.plots[self.reference], mode=mode) for plot in others]


@dataclass(frozen=True)
class Stack:
    """One-dimensional histograms on top of each other, with or without data to compare with; ``lines`` are histograms
    that are drawn over the stack and are no part of its sum: a signal.

    PlotError where there are none, or their axes differ.
    """

    histograms: Sequence[Histogram]
    data: Histogram | None = None
    lines: Sequence[Histogram] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "histograms", tuple(self.histograms))
        object.__setattr__(self, "lines", tuple(self.lines))
        if not self.histograms:
            raise PlotError("there is nothing to stack")
        first = self.histograms[0]
        for plot in self.members:
            if len(plot.axes) != 1 or plot.axes != first.axes:
                raise PlotError(f"{plot} cannot be stacked on {first}", hint="one axis, the same for all")

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        return as_picture(self)

    @property
    def members(self) -> list[Histogram]:
        """All histograms: the stack from below, the lines, the data."""
        return [*self.histograms, *self.lines, *([] if self.data is None else [self.data])]

    @property
    def total(self) -> Histogram:
        """The sum of the stack, without lines and data."""
        return reduce(add, self.histograms)

    def counted(self) -> tuple[Array, Array, Array]:
        """Return the data with the ends (low, high) of their error bars: Poisson intervals (``poisson_interval``) of
        counts, √Σw² of weights. NaN where neither data nor stack has anything, and without data.
        """
        if self.data is None:
            return (np.full(len(self.total.axes[0]), np.nan),) * 3
        value = self.data.values()
        low, high = value - self.data.errors, value + self.data.errors
        if np.array_equal(value, self.data.variances()):
            low, high = poisson_interval(value)
        there = (self.data.variances() > 0) | (self.total.variances() > 0)
        return tuple(np.where(there, part, np.nan) for part in (value, low, high))  # type: ignore[return-value]
