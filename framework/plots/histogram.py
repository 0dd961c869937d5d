"""Histogram: sums of weights in the bins of one or two axes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import PlotError
from hepflow.plots.axis import Axis, bins, same_bin, to_hist, within_reach
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column
from hepflow.plots.statistics import effective_entries

if TYPE_CHECKING:
    import hist

__all__ = ["Histogram"]


class Histogram(PlotObject):
    """Sums of weights, and of squared weights, in the bins of one or two axes, with under- and overflow.

    To other libraries it is a histogram of theirs (UHI's ``PlottableHistogram``): ``mplhep.histplot(histogram)``.
    """

    kind = "COUNT"

    def __init__(self, axes: Axis | Sequence[Axis], label: str = "") -> None:
        self.axes = (axes,) if isinstance(axes, Axis) else tuple(axes)
        if len(self.axes) not in (1, 2):
            raise PlotError(f"a histogram has one or two axes, not {len(self.axes)}")
        super().__init__(label, {"counts": [bins(axis) for axis in self.axes]})

    def layout(self) -> dict[str, Any]:  # noqa: D102
        return {"axes": self.axes}

    def fill(self, x: Any, y: Any = None, *, weight: Any = None) -> None:
        """Add one entry for each element of ``x`` (and ``y``), counted once or with its weight (negative ones too).

        Entries with a NaN, or a weight that is not finite, are left out and counted in ``invalid``. PlotError where
        the columns are no numbers, differ in length, or ``y`` does not fit the number of axes.
        """
        if (y is not None) != (len(self.axes) == 2):
            raise PlotError(f"{self} has {len(self.axes)} axes: fill it with {'x and y' if y is None else 'x'}")
        columns = [column(x, "x")] if y is None else [column(x, "x"), column(y, "y")]
        *columns, weights = self._take(*columns, weight=weight)
        reached = (within_reach(axis, values) for axis, values in zip(self.axes, columns, strict=True))
        self._sums["counts"].fill(*reached, weight=weights)

    def add_sums(self, counts: Array, negative: int, sums: Array, squares: Array) -> None:
        """Add entries to the bins of the only axis by their ``counted`` numbers, finite weights and squares of these;
        of those in a bin, so many have a negative weight.
        """
        self._count(counts)
        self.negative += negative
        view = self._sums["counts"].view(flow=True)
        view["value"] += sums[:-1]
        view["variance"] += squares[:-1]

    def _count(self, counts: Array) -> None:
        self.invalid += int(counts[-1])
        self.entries += int(counts[:-1].sum())

    def counted(self, numbers: Array, weight: Array | None = None) -> Array:
        """Return how often each number of a bin is there, or the sums of weights, shape (bins + 3,)."""
        return np.bincount(numbers, weight, len(self.axes[0]) + 3)

    def add_counts(self, counts: Array) -> None:
        """Add so many entries to the bins, underflow, overflow and those that are invalid among them."""
        self._count(counts)
        view = self._sums["counts"].view(flow=True)
        view["value"] += counts[:-1]
        view["variance"] += counts[:-1]

    def add_common(self, products: Array) -> None:
        """Add what ``fill_common`` would: products of weights of what both have in the same bin, by its number."""
        view = self._common["products"].view(flow=True)
        view["value"] += products[:-1]

    def _common_axes(self) -> dict[str, Any]:
        return {"products": [bins(self.axes[0])]} if len(self.axes) == 1 else {}

    def fill_common(self, *columns: Array, weight: Array | None = None) -> None:  # noqa: D102
        x, nominal = columns
        same = same_bin(self.axes[0], x, nominal)
        weights = None if weight is None else weight[same]
        self._common["products"].fill(within_reach(self.axes[0], x[same]), weight=weights)

    def covariance(self, nominal: Histogram) -> tuple[Array, Array, Array] | None:
        """Return Σw² of both and Σww' of what is in the same bin in both: the rest is in one of them alone."""
        if not self.paired:
            return None
        view = self._common["products"].view()
        return self.variances(), nominal.variances(), view["value"].copy()

    def values(self, flow: bool = False) -> Array:
        """Return sums of weights, shape (bins of x,) or (bins of x, bins of y), with ``flow`` under- and overflow."""
        return self._content("counts", flow=flow)[0]

    def variances(self, flow: bool = False) -> Array:
        """Return sums of squared weights, shape as ``values``."""
        return self._content("counts", flow=flow)[1]

    def counts(self, flow: bool = False) -> Array:
        """Return effective numbers of entries, (Σw)²/Σw², shape as ``values``."""
        return effective_entries(*self._content("counts", flow=flow))

    def scaled(self, factor: float) -> Histogram:
        """Return a copy with all weights multiplied by a number."""
        made = copy.copy(self)
        made._sums = {name: sums * factor for name, sums in self._sums.items()}
        return made

    @property
    def errors(self) -> Array:
        """Square roots of the variances; those of counts are √N."""
        return np.sqrt(self.variances())

    @property
    def total(self) -> float:
        """Sum of all weights, with under- and overflow."""
        return float(self._content("counts", flow=True)[0].sum())

    def reasons(self) -> list[str]:
        """Return why there is nothing to see: no entries, or none inside the axes."""
        found = super().reasons()
        if self.entries and not self.variances().any():
            found.append(self._nothing_in("the axes" if len(self.axes) == 2 else "the axis"))
        elif self.entries:
            everything = self._content("counts", flow=True)[1].sum()
            outside = 1 - self.variances().sum() / everything
            if outside > 0.01:
                found.append(f"{100 * outside:.0f} % are outside the range")
        return found

    def derived(self) -> dict[str, Any]:  # noqa: D102
        return {
            "values": self.values(),
            "errors": self.errors,
            "total": self.total,
            "method": "square root of the sum of squared weights",
        }

    def histograms(self) -> dict[str, hist.Hist[Any]]:  # noqa: D102
        return {"histogram": to_hist(self.axes, *self._content("counts", flow=True))}
