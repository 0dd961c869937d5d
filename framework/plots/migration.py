"""MigrationMatrix: which class objects of each true class are reconstructed as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import PlotError, many
from hepflow.plots.axis import Axis, boost_histogram, to_hist
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import whole_numbers
from hepflow.plots.statistics import LEVEL, efficiency_with_interval

if TYPE_CHECKING:
    import hist

__all__ = ["MigrationMatrix"]


class MigrationMatrix(PlotObject):
    """Sums of weights by reconstructed class (rows, y) and true class (columns, x), as loki draws them.

    ``reco_labels`` are by default those of the truth. ``truth_title`` and ``reco_title`` stand at the axes.
    """

    def __init__(
        self,
        truth_labels: Sequence[str],
        reco_labels: Sequence[str] | None = None,
        label: str = "",
        *,
        truth_title: str = "truth decay mode",
        reco_title: str = "reconstructed decay mode",
    ) -> None:
        bh = boost_histogram()
        self.truth_labels = tuple(truth_labels)
        self.reco_labels = self.truth_labels if reco_labels is None else tuple(reco_labels)
        if not (self.truth_labels and self.reco_labels):
            raise PlotError("a matrix needs at least one class on each side")
        self.truth_title, self.reco_title = truth_title, reco_title
        axes = [bh.axis.Integer(0, len(labels)) for labels in (self.reco_labels, self.truth_labels)]
        super().__init__(label, {"counts": axes})

    def layout(self) -> dict[str, Any]:
        """Return the classes and the titles of the axes."""
        return {
            "truth_labels": self.truth_labels,
            "reco_labels": self.reco_labels,
            "truth_title": self.truth_title,
            "reco_title": self.reco_title,
        }

    def fill(self, truth: Any, reco: Any, *, weight: Any = None) -> None:
        """Add one entry for each pair of whole numbers, 0 for the first label.

        What is outside 0 … n − 1 on either side is in no cell; ``excluded`` is its sum of weights. Weights that are not
        finite are left out and counted in ``invalid``. PlotError where the columns differ in length or are no whole
        numbers.
        """
        columns = [
            whole_numbers(reco, "reco", len(self.reco_labels)),
            whole_numbers(truth, "truth", len(self.truth_labels)),
        ]
        *columns, weights = self._take(*columns, weight=weight)
        self._sums["counts"].fill(*columns, weight=weights)

    @property
    def counts(self) -> Array:
        """Sums of weights, ``counts[reco, truth]``."""
        return self._content("counts")[0]

    @property
    def errors(self) -> Array:
        """Square roots of the sums of squared weights, shape as ``counts``."""
        return np.sqrt(self._content("counts")[1])

    @property
    def excluded(self) -> float:
        """Sum of weights of what is outside the classes on either side."""
        values = self._content("counts", flow=True)[0]
        values[1:-1, 1:-1] = 0
        return float(values.sum())

    def efficiency(self) -> tuple[Array, Array]:
        """Return (P(reco | truth), error), shape as ``counts``: each column adds up to 1.

        The error is half the Clopper–Pearson interval of 68.27 %, with N_eff = (Σw)²/Σw² of the column for weights. A
        column without entries is NaN.
        """
        return self._fractions(axis=0)

    def purity(self) -> tuple[Array, Array]:
        """Return (P(truth | reco), error), shape as ``counts``: each row adds up to 1; else as ``efficiency``."""
        return self._fractions(axis=1)

    def _fractions(self, axis: int | None) -> tuple[Array, Array]:
        values, variances = self._content("counts")
        return _with_error(values, *(part.sum(axis=axis, keepdims=True) for part in (values, variances)))

    def diagonal(self) -> tuple[float, float]:
        """Return (trace/total, error) of what is in the matrix; NaN where it is not square or empty."""
        values, variances = self._content("counts")
        if values.shape[0] != values.shape[1]:
            return np.nan, np.nan
        fraction, error = _with_error(np.trace(values), values.sum(), variances.sum())
        return float(fraction), float(error)

    def mean_diagonal(self) -> tuple[float, float]:
        """Return (mean of the diagonal of ``efficiency``, error): each true class counts alike.

        The mean is over the true classes that have entries. NaN where the matrix is not square or empty.
        """
        value, error = (np.diagonal(part) for part in self.efficiency())
        there = np.isfinite(value)
        if len(self.truth_labels) != len(self.reco_labels) or not there.any():
            return np.nan, np.nan
        return float(value[there].mean()), float(np.sqrt(np.square(error[there]).sum()) / there.sum())

    def reasons(self) -> list[str]:
        """Return what is to be known: classes without entries, what was excluded, sums that are no fractions."""
        found = [*super().reasons(), *self._signs()]
        if not self.entries:
            return found
        values, variances = self._content("counts")
        if not variances.any():
            return [*found, self._nothing_in("the classes")]
        if empty := [name for name, sums in zip(self.truth_labels, variances.sum(axis=0), strict=True) if not sums]:
            found.append(f"no entries of true {', '.join(empty)}")
        if (values < 0).any():
            found.append(f"{many(int((values < 0).sum()), 'cell')} without a fraction: the sum of weights is negative")
        return found

    def derived(self) -> dict[str, Any]:
        """Return the normalised matrices, the numbers of the diagonal and what was excluded."""
        named = {"efficiency": self.efficiency(), "purity": self.purity()}
        named |= {"diagonal": self.diagonal(), "mean_diagonal": self.mean_diagonal()}  # type: ignore[dict-item]
        return {
            "counts": self.counts,
            **{name: {"value": value, "error": error} for name, (value, error) in named.items()},
            "excluded": self.excluded,
            "method": f"half the Clopper-Pearson interval of {100 * LEVEL:.2f} %, effective counts for weights",
        }

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return the matrix: truth along x, reconstructed along y."""
        axes = [_class_axis("truth", self.truth_labels, self.truth_title)]
        axes.append(_class_axis("reco", self.reco_labels, self.reco_title))
        return {"counts": to_hist(axes, *(part.T for part in self._content("counts", flow=True)))}


def _class_axis(name: str, labels: tuple[str, ...], title: str) -> Axis:
    return Axis(name, tuple(np.arange(len(labels) + 1) - 0.5), title, labels=labels)


def _with_error(values: Any, totals: Any, variances: Any) -> tuple[Array, Array]:
    value, low, high = efficiency_with_interval(values, totals, variances)
    return value, (high - low) / 2
