"""Sums: what a plot object adds up in the bins of its axes, as arrays; only filling needs the library that counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.plots.axis import boost_histogram

if TYPE_CHECKING:
    import boost_histogram as bh

__all__ = ["Sums"]

_TYPE: Final = np.dtype([("value", np.float64), ("variance", np.float64)])


class Sums:
    """Sums of weights, ``value``, and of squared weights, ``variance``, in the bins of boost-histogram's axes."""

    def __init__(self, axes: Sequence[Any]) -> None:
        self.axes = tuple(axes)
        self._content: npt.NDArray[Any] = np.zeros([axis.extent for axis in self.axes], _TYPE)
        self._counted: bh.Histogram[Any] | None = None

    def fill(self, *columns: Any, weight: Any = None) -> None:
        """Add one entry for each element of the columns, one an axis (numbers for all of them go, too)."""
        if self._counted is None:
            library = boost_histogram()
            self._counted = library.Histogram(*self.axes, storage=library.storage.Weight())
            known, self._content = self._content, np.asarray(self._counted.view(flow=True))
            self._content[...] = known
        self._counted.fill(*columns, weight=weight)

    def view(self, *, flow: bool = False) -> npt.NDArray[Any]:
        """Return the sums themselves, shape (bins of each axis), with ``flow`` under- and overflow."""
        if flow:
            return self._content
        first = [int(axis.traits.underflow) for axis in self.axes]
        return self._content[tuple(slice(a, a + axis.size) for a, axis in zip(first, self.axes, strict=True))]

    def __add__(self, other: Sums) -> Sums:
        made = Sums(self.axes)
        for name in _TYPE.names or ():
            np.add(self._content[name], other._content[name], out=made._content[name])
        return made

    def __mul__(self, factor: float) -> Sums:
        made = Sums(self.axes)
        made._content["value"] = self._content["value"] * factor
        made._content["variance"] = self._content["variance"] * factor**2
        return made
