"""The form in which taus go into a network, and the checks: names, shapes, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, many, nearest

if TYPE_CHECKING:
    from hepflow.networks.graph import InputNode

__all__ = ["Batch", "check_lengths", "prepare"]

Groups: TypeAlias = "tuple[tuple[InputNode, ...], tuple[InputNode, ...]]"
"""Scalar inputs and sequences."""


@dataclass(frozen=True)
class Batch:
    """Checked inputs of many taus.

    ``scalars[name]`` is (n_taus, n_variables); ``sequences[name]`` is (n_objects, n_variables) over the objects of
    all taus, and ``counts[name]`` (n_taus) says how many belong to each. All arrays are C-contiguous.
    """

    n_taus: int
    scalars: dict[str, NDArray[Any]]
    sequences: dict[str, NDArray[Any]]
    counts: dict[str, NDArray[np.int64]]

    @cached_property
    def _first(self) -> dict[str, NDArray[np.int64]]:
        return {name: np.cumsum(counts) - counts for name, counts in self.counts.items()}

    def objects(self, sequence: str, taus: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of the objects of some taus, tau after tau."""
        wanted = self.counts[sequence][taus]
        first = self._first[sequence][taus]
        ends = np.cumsum(wanted)
        found: NDArray[np.int64] = np.arange(wanted.sum()) + np.repeat(first - (ends - wanted), wanted)
        return found


def prepare(
    given: Mapping[str, Any],
    sequences: Mapping[str, Any] | None,
    groups: Groups,
    needed: Groups | None = None,
) -> Batch:
    """Check and order the inputs of a network.

    ``given`` maps each scalar input to an array (n_taus, n_variables) or a mapping from variable to (n_taus); each
    sequence to a pair (values, counts), values being (n_objects, n_variables) or a mapping from variable to
    (n_objects). ``sequences`` holds the sequences where they are given apart. ``groups`` are the scalar inputs and
    the sequences of the network, of which those that are not ``needed`` may be left out. Raises NetworkError naming
    input and variable.
    """
    scalars, ragged = _apart(given, sequences, groups)
    for nodes, held in zip(needed or groups, (scalars, ragged), strict=True):
        for group in nodes:
            if group.name not in held:
                raise NetworkError(
                    f"input {group.name!r} is missing", hint=f"it has the variables {', '.join(group.names[:30])}"
                )
    batch = Batch(_n_taus(scalars, ragged, groups[0]), {}, {}, {})
    for group in groups[0]:
        if group.name in scalars:
            batch.scalars[group.name] = _values(scalars[group.name], group, batch.n_taus, "rows")
    for group in groups[1]:
        if group.name in ragged:
            values, counts = _pair(ragged[group.name], group.name)
            batch.counts[group.name] = counts
            batch.sequences[group.name] = _values(values, group, int(counts.sum()), "objects")
            if counts.size != batch.n_taus:
                raise NetworkError(
                    f"input {group.name!r} has counts for {many(counts.size, 'row')}, other inputs have {batch.n_taus}"
                )
    return batch


def check_lengths(batch: Batch, shortest: Mapping[str, int]) -> None:
    """Raise NetworkError where a sequence has fewer objects than a convolution with valid padding takes."""
    for name, least in shortest.items():
        short = batch.counts[name] < least
        if short.any():
            tau = int(np.argmax(short))
            raise NetworkError(
                f"row {tau} has {batch.counts[name][tau]} objects of the sequence {name!r}; the convolutions without "
                f"padding take at least {least}",
                hint="C++ lwtnn stops here, too; train with padding same or causal, or select what has enough objects",
            )


def _apart(
    given: Mapping[str, Any], sequences: Mapping[str, Any] | None, groups: Groups
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what is given of the scalar inputs and of the sequences."""
    names = tuple({group.name for group in nodes} for nodes in groups)
    if sequences is None:
        for name in names[0] & names[1] & given.keys():
            raise NetworkError(
                f"{name!r} is the name of a scalar input and of a sequence",
                hint="give the sequences apart: evaluate(inputs, sequences)",
            )
        sequences = {name: value for name, value in given.items() if name in names[1]}
        given = {name: value for name, value in given.items() if name not in names[1]}
    for known, held in zip(names, (given, sequences), strict=True):
        for name in held:
            if name not in known:
                hint = nearest(str(name), names[0] | names[1], what="inputs")
                raise NetworkError(f"the network has no input {name!r}", hint=hint)
    return given, sequences


def _n_taus(scalars: Mapping[str, Any], sequences: Mapping[str, Any], inputs: tuple[InputNode, ...]) -> int:
    """Return the number of taus, as the first input has it; the others are compared with it later."""
    for group in inputs:
        if group.name in scalars:
            value = scalars[group.name]
            column = next(iter(value.values()), ()) if isinstance(value, Mapping) else value
            shape = _numeric(column, f"input {group.name!r}").shape
            return shape[0] if shape else 0
    for name, value in sequences.items():
        return int(_pair(value, name)[1].size)
    return 0


def _pair(value: Any, name: str) -> tuple[Any, NDArray[np.int64]]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise NetworkError(
            f"input {name!r} is a sequence: it takes a pair (values of all objects, number of objects of each row)"
        )
    counts = np.asarray(value[1])
    if counts.ndim != 1 or (counts.size and counts.dtype.kind not in "iu") or (counts.size and counts.min() < 0):
        raise NetworkError(f"the counts of input {name!r} must be a one-dimensional array of whole numbers from 0")
    return value[0], counts.astype(np.int64)


def _values(value: Any, group: InputNode, rows: int, what: str) -> NDArray[Any]:
    """Return the values of one input as a C-contiguous array (rows, n_variables)."""
    if isinstance(value, Mapping):
        return _columns(value, group, rows, what)
    array = _numeric(value, f"input {group.name!r}")
    if array.shape != (rows, len(group.variables)):
        raise NetworkError(
            f"input {group.name!r} has the shape {array.shape}, expected ({rows} {what}, {len(group.variables)} "
            "variables)",
            hint=f"variables, in this order: {', '.join(group.names)}",
        )
    return np.ascontiguousarray(array)


def _columns(value: Mapping[str, Any], group: InputNode, rows: int, what: str) -> NDArray[Any]:
    names = group.names
    for name in value.keys() - set(names):
        raise NetworkError(
            f"input {group.name!r} has no variable {name!r}", hint=nearest(str(name), names, what="variables")
        )
    columns = []
    for name in names:
        if name not in value:
            raise NetworkError(
                f"input {group.name!r}: variable {name!r} is missing",
                hint=f"given: {', '.join(map(str, value)) or 'none'}",
            )
        column = _numeric(value[name], f"input {group.name!r}: variable {name!r}")
        if column.shape != (rows,):
            found = "has no single axis" if column.ndim != 1 else f"has {column.size} values"
            raise NetworkError(
                f"input {group.name!r}: variable {name!r} {found}, expected one for each of {rows} {what}"
            )
        columns.append(column)
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0))


def _numeric(value: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise NetworkError(f"{what} is ragged; give the objects of all rows one after the other, and counts") from None
    if array.size == 0:
        return array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise NetworkError(f"{what} holds {array.dtype}, not numbers")
    return array
