"""Which axis of an ONNX tensor is what: taus (batch), objects of a sequence, variables.

The sizes that the file fixes tell, with the number of variables. Where they do not, the axes are declared, in words:
``("batch", "variables", "objects")``. An axis of one entry that is none of these is ``"1"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, nearest

__all__ = ["TYPES", "Layout", "Tensor", "declared_layout", "list_tensors", "possible_layouts"]

BATCH, OBJECTS, VARIABLES, ONE = "batch", "objects", "variables", "1"
MAX_NUMBERS = 2**22
"""Most numbers of a tensor whose sizes the file fixes."""
MAX_OBJECTS = 10_000
"""Most objects that a file can fix."""

TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""ONNX Runtime's names of the types that hold numbers."""


@dataclass(frozen=True)
class Tensor:
    """An input or output tensor as the file declares it; an axis of no fixed size is None or a name."""

    name: str
    shape: tuple[int | str | None, ...]
    type: str

    def __str__(self) -> str:
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name} [{axes}] {self.type.removeprefix('tensor(').removesuffix(')')}"


@dataclass(frozen=True)
class Layout:
    """What the axes of an input tensor are, in order, and its type."""

    tensor: Tensor
    axes: tuple[str, ...]

    def fixed(self, axis: str) -> int | None:
        """Return the size that the file fixes for an axis, 1 for an axis that is not there; None if it is open."""
        size = self.tensor.shape[self.axes.index(axis)] if axis in self.axes else 1
        return size if isinstance(size, int) else None

    def name_of(self, axis: str) -> str:
        """Return the name that the file gives an axis, or an empty text."""
        size = self.tensor.shape[self.axes.index(axis)] if axis in self.axes else None
        return size if isinstance(size, str) else ""

    def arrange(self, values: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        """Bring values with the axes ``names`` into order and type of the tensor.

        Raises NetworkError for numbers that the type cannot hold; a NaN becomes 0 where there is none.
        """
        for place in reversed(range(len(names))):
            if names[place] not in self.axes:
                values = values.take(0, axis=place)
        kept = [name for name in names if name in self.axes]
        values = values.transpose([kept.index(axis) for axis in self.axes if axis != ONE])
        for place, axis in enumerate(self.axes):
            if axis == ONE:
                values = np.expand_dims(values, place)
        return np.ascontiguousarray(self._cast(values))

    def _cast(self, values: NDArray[Any]) -> NDArray[Any]:
        kind = np.dtype(TYPES[self.tensor.type])
        if kind == values.dtype or (kind.kind == "f" and kind.itemsize > 2):
            return values.astype(kind, copy=False)
        clean = np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values
        with np.errstate(over="ignore", invalid="ignore"):
            made: NDArray[Any] = (values if kind.kind == "f" else clean).astype(kind)
        wrong = np.isinf(made) & np.isfinite(values) if kind.kind == "f" else made != clean
        if wrong.any():
            raise NetworkError(
                f"ONNX input {self.tensor.name!r} holds {kind}: it cannot take {clean[wrong].flat[0]:g}",
                hint="does the model expect other units, or another variable?",
            )
        return made


def possible_layouts(tensor: Tensor, n_variables: int, *, sequence: bool) -> list[Layout]:
    """Return what the axes of a tensor can be: one layout where sizes tell, two where only a trial can.

    Raises NetworkError where the tensor does not take so many variables, or where nothing tells them apart.
    """
    _check_type(tensor)
    axes = [ONE] * len(tensor.shape)
    rest = list(range(len(axes)))
    while len(rest) > (3 if sequence else 2):
        single = next((place for place in (*rest[1:], rest[0]) if tensor.shape[place] == 1), None)
        if single is None:
            raise _unclear(tensor, f"has {len(axes)} axes")
        rest.remove(single)
    sizes = [tensor.shape[place] for place in rest]
    held: list[tuple[str, ...]]
    held = _sequence_axes(tensor, sizes, n_variables) if sequence else [_scalar_axes(tensor, sizes, n_variables)]
    layouts = []
    for words in held:
        for place, word in zip(rest, words, strict=True):
            axes[place] = word
        layouts.append(_checked(Layout(tensor, tuple(axes)), n_variables, sequence=sequence))
    return layouts


def declared_layout(tensor: Tensor, words: Sequence[str], n_variables: int, *, sequence: bool) -> Layout:
    """Return the layout that is declared for a tensor; raises NetworkError where the tensor cannot have it."""
    _check_type(tensor)
    known = (BATCH, OBJECTS, VARIABLES, ONE) if sequence else (BATCH, VARIABLES, ONE)
    for word in words:
        if word not in known or (word != ONE and list(words).count(word) > 1):
            raise NetworkError(
                f"the axes of ONNX input {tensor.name!r} cannot be {', '.join(words)}",
                hint=nearest(word, known, what="words for axes") + ", each once",
            )
    if len(words) != len(tensor.shape):
        raise NetworkError(
            f"ONNX input {tensor.name!r} has {len(tensor.shape)} axes, {len(words)} are declared", hint=str(tensor)
        )
    return _checked(Layout(tensor, tuple(words)), n_variables, sequence=sequence)


def list_tensors(tensors: Sequence[Tensor]) -> str:
    """Return one text that names tensors with axes and types."""
    return "inputs: " + ", ".join(map(str, tensors))


def _check_type(tensor: Tensor) -> None:
    if tensor.type not in TYPES:
        raise NetworkError(f"ONNX input {tensor.name!r} holds {tensor.type}, not numbers")


def _checked(layout: Layout, n_variables: int, *, sequence: bool) -> Layout:
    tensor = layout.tensor
    size = layout.fixed(VARIABLES)
    if size is not None and size != n_variables:
        raise NetworkError(
            f"ONNX input {tensor.name!r} takes {size} variables, {n_variables} are declared", hint=str(tensor)
        )
    if sequence and OBJECTS not in layout.axes:
        raise _unclear(tensor, "has no axis for the objects of a sequence")
    for axis, fixed in zip(layout.axes, tensor.shape, strict=True):
        if axis == ONE and fixed != 1 and isinstance(fixed, int):
            raise NetworkError(f"an axis of ONNX input {tensor.name!r} is declared 1 but is {fixed}", hint=str(tensor))
    length = layout.fixed(OBJECTS) or 1
    if length > MAX_OBJECTS or length * n_variables * (layout.fixed(BATCH) or 1) > MAX_NUMBERS:
        raise NetworkError(f"ONNX input {tensor.name!r} is larger than any network needs", hint=str(tensor))
    return layout


def _scalar_axes(tensor: Tensor, sizes: list[Any], k: int) -> tuple[str, ...]:
    """Return the axes of an input of one row a tau."""
    if not sizes:
        return ()
    if len(sizes) == 1:
        if k == 1:
            return (BATCH,)
        if not isinstance(sizes[0], int):
            raise _unclear(tensor, "has one axis of open size: is it rows or variables?")
        return (VARIABLES,)
    first, last = sizes
    if last == k and first == k and k > 1:
        raise _unclear(tensor, f"has two axes of {k}: which one are the variables?")
    if first == k and last != k and k > 1:
        return (VARIABLES, BATCH)
    return (BATCH, VARIABLES)


def _sequence_axes(tensor: Tensor, sizes: list[Any], k: int) -> list[tuple[str, ...]]:
    """Return what the axes of an input of one row an object can be."""
    if len(sizes) == 1:
        if k > 1:
            raise NetworkError(f"ONNX input {tensor.name!r} takes 1 variable, {k} are declared", hint=str(tensor))
        return [(OBJECTS,)]
    if len(sizes) == 2:
        if k == 1 and sizes[1] != 1:
            return [(BATCH, OBJECTS)]
        return _pair(tensor, sizes[0], sizes[1], k)
    if len(sizes) == 3:
        return [(BATCH, *words) for words in _pair(tensor, sizes[1], sizes[2], k)]
    raise _unclear(tensor, "has no axis for the objects of a sequence")


def _pair(tensor: Tensor, first: Any, last: Any, k: int) -> list[tuple[str, ...]]:
    """Tell objects and variables apart by the number of variables."""
    natural, turned = (OBJECTS, VARIABLES), (VARIABLES, OBJECTS)
    if first == k and last == k and k > 1:
        raise _unclear(tensor, f"has two axes of {k}: which one are the variables?")
    if last == k:
        return [natural]
    if first == k:
        return [turned]
    if isinstance(last, int) or isinstance(first, int):
        return [natural]
    return [natural, turned]


def _unclear(tensor: Tensor, what: str) -> NetworkError:
    return NetworkError(
        f"ONNX input {tensor.name!r} {what}",
        hint=f"{tensor}: declare its axes in order (Axes), of: {BATCH}, {OBJECTS}, {VARIABLES}, {ONE}",
    )
