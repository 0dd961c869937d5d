"""Values of expressions: flat, with the lists that they are in and what is missing; conditions, and functions of lists.

A condition, or anything else, can be missing: NaN of floats, a mask for whole numbers and conditions. What is
calculated from a missing value is missing; ``and`` and ``or`` know more (false and missing is false).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.expressions.arithmetic import kind, to_float, whole, whole_sums

__all__ = ["Level", "Value", "condition", "conjunction", "joined", "masked", "nth", "reduced", "spread", "union"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Level:
    """Objects in events, or elements in the lists of objects: how many each owner has. ``name`` is that of the
    container, empty for lists. ``missing`` tells which owners have no list, not even an empty one.
    """

    name: str
    counts: Ints
    missing: Bools | None = None

    def same(self, other: Level) -> bool:
        """Tell whether the other one has the same objects."""
        if self.name or other.name:
            return self.name == other.name
        return self.counts is other.counts or np.array_equal(self.counts, other.counts)


@dataclass(frozen=True)
class Value:
    """Flat values of one level (none: one an event), or a Python number. ``missing`` masks whole numbers and
    conditions, which are 0 and false there.
    """

    data: Any
    levels: tuple[Level, ...] = ()
    missing: Bools | None = None

    @property
    def constant(self) -> bool:
        """Tell whether this is one number for all."""
        return not isinstance(self.data, np.ndarray)

    @property
    def unknown(self) -> Bools | None:
        """Return where the value is missing, None where nowhere."""
        if self.constant or self.data.dtype.kind != "f":
            return self.missing
        nan: Bools = np.isnan(self.data)
        return nan if nan.any() else None


def spread(value: Value, levels: Sequence[Level]) -> Value:
    """Repeat values for the objects of further levels."""
    data, missing = value.data, value.missing
    if value.constant:
        return value
    for level in levels[len(value.levels) :]:
        data = np.repeat(data, level.counts)
        missing = None if missing is None else np.repeat(missing, level.counts)
    return Value(data, tuple(levels), missing)


def conjunction(left: Value, right: Value) -> Value:
    """Return ``left and right`` of two conditions of the same level."""
    return joined(left, right, True)


def masked(data: Any, levels: tuple[Level, ...], missing: Bools | None) -> Value:
    """Return a value with what is missing set to NaN, 0 or false."""
    if missing is None:
        return Value(data, levels)
    if not isinstance(data, np.ndarray):
        data = np.full(len(missing), data)
    if data.dtype.kind == "f":
        return Value(np.where(missing, data.dtype.type(np.nan), data), levels)
    return Value(np.where(missing, data.dtype.type(0), data), levels, missing)


def union(*masks: Bools | None) -> Bools | None:
    """Return what any of the masks has, None where none has."""
    found: Bools | None = None
    for mask in masks:
        found = mask if found is None else found if mask is None else found | mask
    return found


def joined(left: Value, right: Value, conjunct: bool) -> Value:
    """Return the conjunction or disjunction of conditions: what one side decides does not ask the other."""
    function = np.logical_and if conjunct else np.logical_or
    data, levels = function(left.data, right.data), right.levels if left.constant else left.levels
    if left.missing is None and right.missing is None:
        return Value(data if isinstance(data, np.ndarray) else bool(data), levels)
    missing = union(left.missing, right.missing)
    assert missing is not None
    for side in (left, right):
        decided = np.not_equal(side.data, conjunct)
        missing = missing & ~(decided if side.missing is None else decided & ~side.missing)
    data = np.broadcast_to(np.logical_and(data, ~missing), missing.shape)
    return Value(data, levels, missing if missing.any() else None)


def condition(value: Value) -> Value:
    """Return numbers as conditions: true where they are not 0."""
    if kind(value.data) == "b":
        return value
    if value.constant:
        return Value(value.data != 0)
    return masked(value.data != 0, value.levels, value.unknown)


def reduced(value: Value, name: str) -> Value:
    """Return one value for each list: its sum, len, mean, any, all, first, last, min or max.

    Of empty lists the sum is 0, any is false, all is true, and the others are missing. OverflowError as of arithmetic.
    """
    counts, levels = value.levels[-1].counts, value.levels[:-1]
    if name == "len":
        return Value(counts.astype(np.int64), levels)
    if name in ("first", "last"):
        return nth(value, 0 if name == "first" else -1)
    if name in ("any", "all"):
        return _any_or_all(condition(value), name, counts, levels)
    value = replace(value, data=whole(value.data))
    some = counts > 0
    starts = (np.cumsum(counts) - counts)[some]
    missing = _any(value.missing, counts)
    if name in ("sum", "mean"):
        return _total(value, name, starts, missing)
    out = np.zeros(len(counts), dtype=value.data.dtype)
    function = np.minimum if name == "min" else np.maximum
    if len(starts):
        out[some] = function.reduceat(value.data, starts)
    return masked(out, levels, union(missing, None if some.all() else ~some))


def nth(value: Value, number: int) -> Value:
    """Return element ``number`` of each list, missing where it is shorter; -1 is the last."""
    counts = value.levels[-1].counts
    starts = np.cumsum(counts) - counts
    known = counts > number if number >= 0 else counts >= -number
    place = np.where(known, starts + (number if number >= 0 else counts + number), 0)
    if not len(value.data):
        return masked(np.zeros(len(counts), dtype=value.data.dtype), value.levels[:-1], ~known)
    data = value.data[place]
    gone = None if value.missing is None else value.missing[place]
    return masked(data, value.levels[:-1], union(None if known.all() else ~known, gone))


def _total(value: Value, name: str, starts: Ints, missing: Bools | None) -> Value:
    counts = value.levels[-1].counts
    data = value.data if value.data.dtype.kind in "iu" else to_float(value.data)
    out = np.zeros(len(counts), dtype=data.dtype)
    if len(starts):
        exact = data.dtype.kind in "iu"
        sums = whole_sums(data, starts, int(counts.max())) if exact else np.add.reduceat(data, starts)
        out[counts > 0] = sums
    if name == "mean":
        out = to_float(out) / np.where(counts > 0, counts, np.nan)
    return masked(out, value.levels[:-1], missing)


def _any_or_all(value: Value, name: str, counts: Ints, levels: tuple[Level, ...]) -> Value:
    wanted = name == "any"
    decisive = value.data if wanted else ~value.data
    decisive = decisive if value.missing is None else decisive & ~value.missing
    found = _any(decisive, counts)
    assert found is not None
    missing = _any(value.missing, counts)
    return masked(found if wanted else ~found, levels, None if missing is None else missing & ~found)


def _any(mask: Bools | None, counts: Ints) -> Bools | None:
    """Tell of each list whether the mask is true of one of its elements."""
    if mask is None:
        return None
    running = np.append(0, np.cumsum(mask))
    ends = np.cumsum(counts)
    found: Bools = running[ends] > running[ends - counts]
    return found
