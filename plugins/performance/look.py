"""A look at the first values of variables, to choose what a declaration leaves open: the range of an axis, and the
values to split by.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Job, Property, Tool
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.run import run
from hepflow.expressions import Cut, Expression, common_values
from hepflow.plugins.performance.base import values_of
from hepflow.registry.manager import Registry
from hepflow.variables import Binning, Variable

__all__ = ["ENTRIES", "Look", "Seen", "choose_binning", "look"]

ENTRIES = 10_000
"""Entries of the input that are looked at."""

BINS = 50
"""About as many bins has a chosen binning; whole numbers get up to twice as many."""

TAIL = 0.005
"""Fraction of the values that may be left out at each end of a chosen range."""


@dataclass
class Seen:
    """Values of a variable, those that are missing left out; add up by following each other."""

    values: npt.NDArray[Any]

    def __add__(self, other: Seen) -> Seen:
        return Seen(np.concatenate([self.values, other.values]))


class Look(Tool):
    """Keep the values of variables, for the objects of a selection."""

    Variables: Property[tuple[Variable, ...]] = Property((), "variables to look at", item=Variable)
    Selection = Property(Cut(), "cut on the objects that are looked at")

    def reads(self) -> Sequence[str]:
        """Return the columns of variables and selection."""
        expressions = [*(Expression(variable.column) for variable in self.Variables), self.Selection]
        return list(dict.fromkeys(name for expression in expressions for name in expression.columns))

    def start(self) -> dict[str, Seen]:
        """Return nothing seen."""
        return {}

    def execute(self, events: Events, result: dict[str, Seen]) -> None:
        """Add the values of a chunk."""
        for variable in self.Variables:
            at = common_values(events, Expression(variable.column), self.Selection)
            values = values_of(events, variable, self.Selection, at)
            seen = Seen(values[np.isfinite(values)])
            result[variable.name] = result[variable.name] + seen if variable.name in result else seen


def look(
    variables: Sequence[Variable], selection: Cut, options: RunOptions, plugins: Registry, reporter: Reporter
) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """Return the finite values of variables by name, and how many entries of the input they are from: ENTRIES at most,
    or all where a variable has no value in these.
    """
    first = ENTRIES if options.events is None else min(ENTRIES, options.events)
    for events in dict.fromkeys((first, options.events)):
        job = Job("plot")
        job += Look("plot", Variables=variables, Selection=selection)
        with tempfile.TemporaryDirectory() as folder:
            output = str(Path(folder) / "look")
            where = RunOptions(options.inputs, output, events, options.skip)
            only = replace(where, units=options.units, tree=options.tree)
            result = run(job, only, plugins=plugins, reporter=reporter)
        values = {name: seen.values for name, seen in result.results["plot"].items()}
        if all(len(found) for found in values.values()):
            break
    return values, result.events


def choose_binning(values: npt.NDArray[Any]) -> Binning:
    """Return bins for finite values: around each whole number where all values are whole and within 100 of each
    other, otherwise of a round width between their quantiles, which leave out TAIL on each side, or all values where
    that makes the range hardly longer. Of numbers above 2⁵⁰ the edges are some that float64 tells apart. Without values
    the range is 0 to 1.
    """
    if not len(values):
        return Binning.regular(BINS, 0, 1)
    numbers = np.asarray(values, dtype=np.float64)
    low, high = _symmetric(*_range(numbers))
    finest = 4 * float(np.spacing(np.abs(numbers).max()))
    if finest > 1:
        return _exact_bins(low, high, finest)
    if (numbers == np.round(numbers)).all():
        if np.ptp(numbers) < 2 * BINS:
            low, high = numbers.min(), numbers.max()
        width = max(1, math.ceil((high - low + 1) / (2 * BINS)))
        first = math.floor(low)
        number = (math.ceil(high) - first) // width + 1
        return Binning.regular(number, first - 0.5, first - 0.5 + number * width)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = abs(low) / 2 or 0.5
        return Binning.regular(BINS, low - margin, low + margin)
    return _round_bins(low, high)


def _exact_bins(low: float, high: float, finest: float) -> Binning:
    """Return about BINS bins whose width is a power of two: edges of very large numbers are exact then."""
    width = max(finest, 2.0 ** math.ceil(math.log2(max((high - low) / BINS, 1))))
    first = math.floor(low / width) * width
    number = math.floor((high - first) / width) + 1
    return Binning.regular(number, first, first + number * width)


def _range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the outer quantiles, or the smallest and the largest value where these are near."""
    low, high = np.quantile(values, (TAIL, 1 - TAIL))
    near = 0.1 * (high - low)
    smallest, largest = values.min(), values.max()
    return float(smallest if low - smallest <= near else low), float(largest if largest - high <= near else high)


def _symmetric(low: float, high: float) -> tuple[float, float]:
    """Return a range around 0 where that makes it hardly longer: Δη from -0.17 to 0.2 is a range of ±0.2."""
    reach = max(-low, high)
    return (-reach, reach) if low < 0 < high and 2 * reach <= 1.2 * (high - low) else (low, high)


def _round_bins(low: float, high: float) -> Binning:
    """Return about BINS bins whose width is 1, 2, 2.5 or 5 times a power of ten, and which hold both values."""
    exponent = math.floor(math.log10((high - low) / BINS))
    width = next(
        step * 10.0**exponent
        for step in (1, 2, 2.5, 5, 10)
        if step * 10.0**exponent * BINS >= (high - low) * (1 - 1e-9)
    )
    first = math.floor(low / width)
    number = math.floor(high / width) + 1 - first
    edge = [round(step * width, 2 - exponent) for step in (first, first + number)]
    return Binning.regular(number, *edge)
