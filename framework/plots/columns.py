"""Columns that go into plot objects: checked, and without the entries that have no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import PlotError

__all__ = ["column", "flags", "valid", "whole_numbers"]

Array = npt.NDArray[Any]


def column(values: Any, what: str) -> Array:
    """Return one-dimensional numbers, not copied where they are that already; masked ones become NaN.

    PlotError where the values are no numbers or have another shape.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise PlotError(f"{what}: no plain array: {error}", hint="flatten lists, fill what is missing") from error
    if array.ndim != 1:
        raise PlotError(f"{what}: expected one dimension, got the shape {array.shape}", hint="flatten the array")
    if array.dtype.kind not in "fiub":
        raise PlotError(f"{what}: expected numbers, got {array.dtype}")
    return array


def flags(values: Any, what: str) -> Array:
    """Return one-dimensional booleans; whole numbers count as true where they are not 0. PlotError for others."""
    array = column(values, what)
    if array.dtype.kind == "f":
        raise PlotError(f"{what}: expected booleans, got {array.dtype}", hint="compare with a cut: values > 0.5")
    return array if array.dtype.kind == "b" else array != 0


def whole_numbers(values: Any, what: str, number: int) -> Array:
    """Return one-dimensional int32; what does not fit and lies outside 0 … number − 1 anyway becomes −1 or number."""
    array = column(values, what)
    if array.dtype.kind == "f":
        raise PlotError(f"{what}: expected whole numbers, got {array.dtype}", hint="convert with .astype(int)")
    if array.dtype.itemsize >= 4 and array.dtype != np.int32:
        array = np.minimum(array, array.dtype.type(number))
        array = array if array.dtype.kind == "u" else np.maximum(array, -1)
    return array.astype(np.int32, copy=False)


def valid(columns: Sequence[Array], weight: Any, where: str) -> tuple[list[Array], Array | None, int, int]:
    """Return columns and weights of the valid entries, the number of invalid ones, and of valid negative weights.

    Invalid is an entry with a NaN in a column or a weight that is not finite. ``weight`` is one number an entry, one
    number for all, or None. PlotError where lengths differ.
    """
    length = len(columns[0])
    weights = None
    if weight is not None:
        weights = np.broadcast_to(float(weight), length) if np.ndim(weight) == 0 else column(weight, "weight")
    lengths = [len(array) for array in (*columns, *([] if weights is None else [weights]))]
    if set(lengths) != {length}:
        raise PlotError(f"the columns have different lengths: {', '.join(map(str, lengths))}", where=where)
    if not length:
        return list(columns), weights, 0, 0
    # the smallest value is NaN where any is: cheaper than a mask, which is seldom needed
    bad = [np.isnan(array) for array in columns if array.dtype.kind == "f" and np.isnan(array.min())]
    lowest = 0.0
    if weights is not None:
        lowest = weights.min()
        if not (np.isfinite(lowest) and np.isfinite(weights.max())):
            bad.append(~np.isfinite(weights))
    kept, invalid = list(columns), 0
    if bad:
        keep = ~np.logical_or.reduce(bad)
        kept, weights = [array[keep] for array in columns], None if weights is None else weights[keep]
        invalid = length - len(kept[0])
    negative = 0 if weights is None or lowest >= 0 else int(np.count_nonzero(weights < 0))
    return kept, weights, invalid, negative
