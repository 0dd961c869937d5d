"""CorrelationMatrix: how far each pair of variables goes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import PlotError
from hepflow.plots.axis import Axis, boost_histogram, to_hist
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column
from hepflow.plots.statistics import effective_entries, ratio_of

if TYPE_CHECKING:
    import hist

__all__ = ["CorrelationMatrix"]

SUMS = ("weights", "means", "squares", "products")
CONSTANT = 1e-12
"""A variance below this part of the mean square is rounding: the variable is constant."""


class CorrelationMatrix(PlotObject):
    """Pearson's linear correlation, weighted, of each pair of variables.

    Each pair has sums of its own, of the entries in which both have a value.
    """

    def __init__(self, variables: Sequence[str], label: str = "") -> None:
        self.variables = tuple(variables)
        if not self.variables:
            raise PlotError("a correlation matrix needs at least one variable")
        axis = boost_histogram().axis.Integer(0, len(self.variables), underflow=False, overflow=False)
        super().__init__(label, {name: [axis, axis] for name in SUMS})

    def layout(self) -> dict[str, Any]:  # noqa: D102
        return {"variables": self.variables}

    def fill(self, *columns: Any, weight: Any = None) -> None:
        """Add one entry for each element of the columns, which are one a variable.

        A NaN takes its entry out of the pairs of that variable alone. Weights that are not finite are left out and
        counted in ``invalid``. PlotError where the columns differ in length or number, or are no numbers.
        """
        if len(columns) != len(self.variables):
            raise PlotError(f"{self} has {len(self.variables)} variables, and was given {len(columns)} columns")
        given = [
            np.asarray(column(values, name), np.float64) for values, name in zip(columns, self.variables, strict=True)
        ]
        there = [np.isfinite(values) for values in given]
        parts = [*(np.where(ok, values, 0.0) for ok, values in zip(there, given, strict=True)), *there]
        *taken, weights = self._take(*parts, weight=weight)
        x, ok = np.array(taken[: len(given)]), np.array(taken[len(given) :], np.float64)
        w = np.ones(x.shape[1]) if weights is None else np.asarray(weights, np.float64)
        found = {"weights": ok * w @ ok.T, "means": x * w @ ok.T, "squares": x**2 * w @ ok.T, "products": x * w @ x.T}
        for name, sums in found.items():
            view = self._sums[name].view()
            view["value"] += sums
            view["variance"] += ok * w**2 @ ok.T

    def correlation(self) -> tuple[Array, Array]:
        """Return (correlation, error), each (variables, variables); NaN for pairs without entries, or of a constant.

        The error is (1 − ρ²)/√(N_eff − 1), N_eff = (Σw)²/Σw², that of large samples of two Gaussians (G. Bohm,
        G. Zech, Introduction to Statistics and Data Analysis for Physicists, 2010, §4.3).
        """
        weights, variances = self._content("weights")
        means, squares, products = (ratio_of(self._content(name)[0], weights) for name in SUMS[1:])
        spread = squares - means**2
        spread = np.where(spread > CONSTANT * squares, spread, np.nan)
        value = np.clip((products - means * means.T) / np.sqrt(spread * spread.T), -1.0, 1.0)
        entries = effective_entries(weights, variances)
        return value, ratio_of(1 - value**2, np.sqrt(np.where(entries > 1, entries - 1, 0)))

    def reasons(self) -> list[str]:
        """Return what is to be known: constants, negative weights."""
        found = [*super().reasons(), *self._signs()]
        alone = np.isnan(np.diagonal(self.correlation()[0])) & (np.diagonal(self._content("weights")[1]) > 0)
        names = [name for name, constant in zip(self.variables, alone, strict=True) if constant]
        return [*found, f"constant: {', '.join(names)}"] if names else found

    def derived(self) -> dict[str, Any]:
        """Return correlations and errors."""
        value, error = self.correlation()
        return {"correlation": value, "error": error, "method": "(1 - r^2) / sqrt(N_eff - 1)"}

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return the correlations with their errors, 0 where there are none."""
        value, error = (np.pad(np.nan_to_num(part), 1) for part in self.correlation())
        return {"correlation": to_hist([self.axis("x"), self.axis("y")], value, error**2)}

    def axis(self, name: str) -> Axis:
        """Return an axis with a bin for each variable."""
        edges = tuple(number - 0.5 for number in range(len(self.variables) + 1))
        return Axis(name, edges, "Variable", labels=self.variables)
