"""Axis: the bin edges of a plot object and how they are called; and the bins that count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepflow.errors import PlotError
from hepflow.variables import Variable

if TYPE_CHECKING:
    import hist

__all__ = ["Axis", "bin_numbers", "bins", "boost_histogram", "closed", "same_bin", "to_hist", "within_reach"]

ALIKE = 1e-9
"""Edges this close, in widths of the narrowest bin, are the same edges."""


class Traits(NamedTuple):
    """What UHI asks of an axis."""

    circular: bool
    discrete: bool


@dataclass(frozen=True)
class Axis:
    """Bin edges (ascending, finite) with name, label, unit, scale and, for categories, one label a bin.

    PlotError where the edges do not ascend, a logarithmic axis does not begin above 0, or labels and bins differ in
    number. A value on an edge belongs to the bin above it, up to rounding; the last bin has its upper edge, too, where
    values are no whole numbers (a probability of 1).
    """

    name: str
    edges: tuple[float, ...]
    label: str = ""
    unit: str = ""
    log: bool = False
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
            raise PlotError(f"axis {self.name!r}: at least two edges are needed, finite and ascending")
        if self.log and edges[0] <= 0:
            raise PlotError(f"axis {self.name!r}: a logarithmic axis begins above 0, not at {edges[0]:g}")
        if self.labels and len(self.labels) != len(edges) - 1:
            raise PlotError(f"axis {self.name!r} has {len(edges) - 1} bins and {len(self.labels)} labels")
        object.__setattr__(self, "edges", tuple(edges.tolist()))
        object.__setattr__(self, "labels", tuple(self.labels))

    @classmethod
    def of(cls, variable: Variable, binning: str = "") -> Axis:
        """Return the axis of a variable in one of its binnings (default: the first), or in "NUMBER;LOW;HIGH"."""
        chosen = variable.binning(binning)
        label, unit = (variable.title, "") if variable.transform else (variable.label, variable.unit)
        return cls(variable.name, chosen.edges, label, unit, chosen.log, chosen.labels)

    @property
    def title(self) -> str:
        """What stands at the axis: ``label [unit]``, with the name where there is no label."""
        text = self.label or self.name
        return f"{text} [{self.unit}]" if self.unit else text

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """Middles of the bins; the geometric mean of the edges on a logarithmic axis."""
        edges = np.array(self.edges, dtype=np.float64)
        return np.sqrt(edges[:-1] * edges[1:]) if self.log else (edges[:-1] + edges[1:]) / 2

    @property
    def widths(self) -> npt.NDArray[np.float64]:
        """Widths of the bins."""
        edges = np.array(self.edges, dtype=np.float64)
        return edges[1:] - edges[:-1]

    @property
    def regular(self) -> bool:
        """Whether all bins have one width."""
        return _alike(self.edges, np.linspace(self.edges[0], self.edges[-1], len(self.edges)))

    # ── an axis to other libraries (UHI) ─────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, index: int) -> Any:
        """Return the label of a bin, or its edges."""
        return self.labels[index] if self.labels else (self.edges[:-1][index], self.edges[1:][index])

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    @property
    def traits(self) -> Traits:
        """Whether the axis goes in a circle (no), and whether its bins are categories."""
        return Traits(circular=False, discrete=bool(self.labels))


def _alike(edges: tuple[float, ...], expected: npt.NDArray[np.float64]) -> bool:
    return bool(np.max(np.abs(np.subtract(edges, expected))) <= ALIKE * np.min(np.diff(edges)))


def boost_histogram() -> Any:
    """Import and return the library that counts; PlotError where it is not installed."""
    try:
        import boost_histogram
    except ImportError as error:
        raise PlotError(
            f"plots need the package {error.name}", hint="pip install 'hepflow[plots]' from your checkout"
        ) from error
    return boost_histogram


@lru_cache(maxsize=1024)
def bins(axis: Axis) -> Any:
    """Return the axis as boost-histogram counts on it: equal bins are found by arithmetic, others by search."""
    bh = boost_histogram()
    low, high, number = axis.edges[0], axis.edges[-1], len(axis)
    if axis.regular:
        return bh.axis.Regular(number, low, high)
    if axis.log and _alike(axis.edges, np.geomspace(low, high, number + 1)):
        return bh.axis.Regular(number, low, high, transform=bh.axis.transform.log)
    return bh.axis.Variable(axis.edges)


def within_reach(axis: Axis, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values, those at the upper end ``closed``; on a logarithmic axis those below 0 as 0: they have no
    logarithm and belong below it.
    """
    if axis.log and values.size and values.dtype.kind in "if" and values.min() < 0:
        values = np.maximum(values, 0)
    return values if axis.labels else closed(values, *axis.edges[-2:])


def bin_numbers(axis: Axis, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the numbers of the bins that values are in: 0 is the underflow, n + 1 the overflow, n + 2 is for NaN."""
    number = len(axis)
    kind = np.uint8 if number < 250 else np.uint16 if number < 2**16 - 6 else np.uint32
    found: npt.NDArray[Any] = (bins(axis).index(within_reach(axis, values)) + 1).astype(kind)
    if values.dtype.kind == "f" and (missing := np.isnan(values)).any():
        found[missing] = number + 2
    return found


def same_bin(axis: Axis, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return where two columns of one length have values in the same bin, under- and overflow included."""
    if one is other:
        return np.flatnonzero(~np.isnan(one))
    counted = bins(axis)
    places = (counted.index(within_reach(axis, values)) for values in (one, other))
    return np.flatnonzero((next(places) == next(places)) & ~np.isnan(one) & ~np.isnan(other))


def closed(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    """Return the values, those of ``high`` itself inside the last bin, ``low`` … ``high``, not outside of it.

    Whole numbers stay as they are: 10 is no part of the bin 9 … 10.
    """
    if values.dtype.kind == "f" and values.size and (ends := values == high).any():
        values = np.where(ends, values.dtype.type((low + high) / 2), values)
    return values


def to_hist(axes: Sequence[Axis], values: npt.NDArray[Any], variances: npt.NDArray[Any]) -> hist.Hist[Any]:
    """Return a histogram with titles and bin labels, of sums of weights and of squared weights, both with flow bins.

    On an axis with labels, what is below or above goes to the one bin for others.
    """
    import hist

    shown = [_shown(axis, f"axis{number}") for number, axis in enumerate(axes)]
    made = hist.Hist(*shown, storage=hist.storage.Weight())
    for number, axis in enumerate(axes):
        if axis.labels:
            values, variances = (_others_last(sums, number) for sums in (values, variances))
    view: Any = made.view(flow=True)
    view["value"], view["variance"] = values, variances
    return made


def _shown(axis: Axis, name: str) -> Any:
    import hist

    if axis.labels:
        return hist.axis.StrCategory(axis.labels, name=name, label=axis.title)
    if axis.regular:
        return hist.axis.Regular(len(axis), axis.edges[0], axis.edges[-1], name=name, label=axis.title)
    return hist.axis.Variable(axis.edges, name=name, label=axis.title)


def _others_last(sums: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
    below, inside, above = np.split(sums, [1, sums.shape[number] - 1], axis=number)
    return np.concatenate([inside, below + above], axis=number)
