"""Types of columns, safe casts between them, and the cutting of a stream of chunks into pieces of a stable size."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import OutputError
from hepflow.events.column import Column
from hepflow.events.layout import content_of, normal_layout
from hepflow.io.cpptypes import LINK, STRING
from hepflow.io.links import FILE_PARTS

__all__ = ["ColumnType", "Pieces", "arrays_of", "cast_column", "column_type", "inner_layout"]

ENTRIES = 50_000
"""Entries of one basket or cluster: large enough to read fast (measured), small enough to be cut into work units."""

COLUMN_BYTES = 8_000_000
"""A piece ends earlier where a column would get larger: very large jagged baskets can crash ROOT (uproot5#1490)."""

_NUMBERS = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}


@dataclass(frozen=True)
class ColumnType:
    """``dtype`` is a numpy name, ``"string"``, ``"link"``, or empty where nothing but empty lists was seen.

    ``jagged``: the column has offsets; ``inner``: list levels inside its content.
    """

    dtype: str
    jagged: bool
    inner: int

    @property
    def levels(self) -> int:
        """Return the number of list levels of an event."""
        return self.inner + self.jagged

    @property
    def known(self) -> bool:
        """Return whether the type of the values is known."""
        return bool(self.dtype)

    @property
    def is_number(self) -> bool:
        """Return whether the values are numbers (or not known yet)."""
        return self.dtype not in {LINK, STRING}

    def empty(self) -> Column:
        """Return a column of this type with no events."""
        import awkward as ak

        layout: Any
        if self.dtype == LINK:
            parts = [ak.contents.NumpyArray(np.zeros(0, dtype=np.uint32)) for _ in FILE_PARTS]
            layout = ak.contents.RecordArray(parts, list(FILE_PARTS))
        elif self.dtype == STRING:
            letters = ak.contents.NumpyArray(np.zeros(0, dtype=np.uint8), parameters={"__array__": "char"})
            layout = ak.contents.ListOffsetArray(_no_lists(), letters, parameters={"__array__": "string"})
        else:
            layout = ak.contents.NumpyArray(np.zeros(0, dtype=self.dtype))
        for _ in range(self.inner):
            layout = ak.contents.ListOffsetArray(_no_lists(), layout)
        return Column(np.zeros(1, dtype=np.int64) if self.jagged else None, content_of(layout))

    def __str__(self) -> str:
        return "list of " * self.levels + (self.dtype or "unknown")


def _no_lists() -> Any:
    import awkward as ak

    return ak.index.Index64(np.zeros(1, dtype=np.int64))


def inner_layout(content: Any) -> Any:
    """Return the content of a column as an awkward layout, without copying numbers."""
    import awkward as ak

    return normal_layout(content.layout) if isinstance(content, ak.Array) else ak.contents.NumpyArray(content)


def arrays_of(column: Column) -> Iterator[npt.NDArray[Any]]:
    """Yield the arrays that a column is made of, without copying: where its lists end, from the outermost on, and the
    numbers, letters or parts of links in them.
    """
    length = -1
    if column.offsets is not None:
        yield column.offsets[1:]
        length = int(column.offsets[-1])
    layout = inner_layout(column.content)
    layout = layout if length < 0 else layout[:length]
    while layout.is_list:
        yield layout.offsets.data[1:]
        layout = layout.content
    for part in layout.contents if layout.is_record else [layout]:
        yield np.ascontiguousarray(part.data)


def column_type(name: str, column: Column) -> ColumnType:
    """Return the type of a column; OutputError where no file can hold it."""
    jagged = column.offsets is not None
    if isinstance(column.content, np.ndarray) and column.content.dtype.name in _NUMBERS and column.content.ndim == 1:
        return ColumnType(column.content.dtype.name, jagged, 0)
    try:
        layout = inner_layout(column.content)
    except TypeError as error:
        raise OutputError(f"{name} cannot be written: {error}", hint="fill missing values first") from error
    inner = 0
    while layout.is_list and not layout.parameter("__array__"):
        layout, inner = layout.content, inner + 1
    if layout.is_unknown:
        return ColumnType("", jagged, inner)
    if layout.is_record and tuple(layout.fields) == FILE_PARTS:
        return ColumnType(LINK, jagged, inner)
    if layout.is_list:
        return ColumnType(STRING, jagged, inner)
    dtype = layout.data.dtype.name if layout.is_numpy else f"record {layout.fields}"
    if dtype not in _NUMBERS:
        raise OutputError(
            f"{name} cannot be written: values of type {dtype}", hint="columns hold numbers, strings and links"
        )
    return ColumnType(dtype, jagged, inner)


def cast_column(name: str, column: Column, found: ColumnType, wanted: ColumnType) -> tuple[Column, bool]:
    """Return the column in the wanted type, and whether floats lost precision.

    Integers are cast where every value fits. Raises OutputError where the kind or the lists differ, or an integer does
    not fit.
    """
    if found == wanted and found.known:
        return column, False
    if not len(column.content) and found.jagged == wanted.jagged and wanted.known:
        return Column(column.offsets, wanted.empty().content), False
    if not found.known and found.jagged == wanted.jagged and found.inner <= wanted.inner:
        return _untyped(column, wanted), False
    if (found.jagged, found.inner) != (wanted.jagged, wanted.inner):
        raise OutputError(f"{name} was {wanted} in earlier chunks and is {found} now", about=name)
    old, new = np.dtype(found.dtype) if found.is_number else None, np.dtype(wanted.dtype) if wanted.is_number else None
    kinds = {"i": "int", "u": "int", "f": "float"}
    if old is None or new is None or kinds.get(old.kind, old.kind) != kinds.get(new.kind, new.kind):
        raise OutputError(
            f"{name} was {wanted} in earlier chunks and is {found} now",
            hint="a tool must write the same type in every chunk, also where there are no objects",
            about=name,
        )
    layout = _cast(inner_layout(column.content), new, name)
    return Column(column.offsets, content_of(layout)), old.kind == "f" and new.itemsize < old.itemsize


def _untyped(column: Column, wanted: ColumnType) -> Column:
    """Return a column without a single value (all lists are empty) in the wanted type."""
    if not wanted.known:
        return column
    layout, empty = inner_layout(column.content), inner_layout(wanted.empty().content)
    return Column(column.offsets, content_of(_fill(layout, empty)))


def _fill(layout: Any, empty: Any) -> Any:
    import awkward as ak

    if layout.is_list and empty.is_list:
        return ak.contents.ListOffsetArray(layout.offsets, _fill(layout.content, empty.content))
    return empty


def _cast(layout: Any, dtype: npt.DTypeLike, name: str) -> Any:
    import awkward as ak

    if layout.is_list:
        return ak.contents.ListOffsetArray(layout.offsets, _cast(layout.content, dtype, name))
    values, wanted = layout.data, np.dtype(dtype)
    if wanted.kind in "iu" and len(values) and not np.can_cast(values.dtype, wanted):
        limits = np.iinfo(wanted)
        if int(values.min()) < limits.min or int(values.max()) > limits.max:
            raise OutputError(f"{name} has values that do not fit into {wanted}, the type of its first chunk")
    return ak.contents.NumpyArray(values.astype(wanted))


def _bytes(column: Column, events: int) -> int:
    """Return the bytes of the values of the first events."""
    end = events if column.offsets is None else int(column.offsets[events])
    if isinstance(column.content, np.ndarray):
        return end * int(column.content.itemsize)
    layout = inner_layout(column.content)
    while layout.is_list:
        end, layout = int(layout.offsets.data[end]), layout.content
    return end * (8 if layout.is_record else layout.data.itemsize if layout.is_numpy else 0)


class Pieces:
    """Collects chunks and hands out pieces that end at the same events whatever the chunks were.

    A piece has ``ENTRIES`` events, or fewer where a column would get larger than ``COLUMN_BYTES``.
    """

    def __init__(self) -> None:
        self._waiting: list[Mapping[str, Column]] = []
        self._entries = 0
        self._bytes: dict[str, int] = {}

    def add(self, columns: Mapping[str, Column]) -> Iterator[Mapping[str, Column]]:
        """Take the columns of a chunk; yield the pieces that are whole now."""
        self._take(columns)
        while self._entries >= ENTRIES or max(self._bytes.values(), default=0) > COLUMN_BYTES:
            waiting = _concatenate(self._waiting)
            length = _piece_length(waiting)
            yield {name: column[:length] for name, column in waiting.items()}
            self._waiting, self._entries, self._bytes = [], 0, {}
            self._take({name: column[length:] for name, column in waiting.items()})

    def rest(self) -> Iterator[Mapping[str, Column]]:
        """Yield what is left."""
        if self._entries:
            yield _concatenate(self._waiting)
        self._waiting, self._entries, self._bytes = [], 0, {}

    def _take(self, columns: Mapping[str, Column]) -> None:
        events = len(next(iter(columns.values()))) if columns else 0
        if events:
            self._waiting.append(columns)
            self._entries += events
            for name, column in columns.items():
                self._bytes[name] = self._bytes.get(name, 0) + _bytes(column, events)


def _piece_length(columns: Mapping[str, Column]) -> int:
    length = min(len(next(iter(columns.values()))), ENTRIES)
    for column in columns.values():
        if _bytes(column, length) > COLUMN_BYTES:
            fits = bisect_right(range(length + 1), COLUMN_BYTES, key=partial(_bytes, column))
            length = max(fits - 1, 1)
    return length


def _concatenate(chunks: list[Mapping[str, Column]]) -> Mapping[str, Column]:
    if len(chunks) == 1:
        return chunks[0]
    shared: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}
    joined = {}
    for name in chunks[0]:
        columns = [chunk[name] for chunk in chunks]
        joined[name] = Column(_join_offsets(columns, shared), _join_contents([column.content for column in columns]))
    return joined


def _join_offsets(
    columns: list[Column], shared: dict[tuple[int, ...], npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64] | None:
    """Join offsets; columns that shared their offsets share the joined ones."""
    parts = [column.offsets for column in columns if column.offsets is not None]
    if not parts:
        return None
    key = tuple(id(part) for part in parts)
    if key not in shared:
        ends = np.cumsum([0, *(part[-1] for part in parts)])
        shared[key] = np.concatenate(
            [[0], *(part[1:] + end for part, end in zip(parts, ends[:-1], strict=True))]
        ).astype(np.int64)
    return shared[key]


def _join_contents(contents: list[Any]) -> Any:
    contents = [content for content in contents if len(content)] or contents[-1:]
    if all(isinstance(content, np.ndarray) for content in contents):
        return np.concatenate(contents)
    import awkward as ak

    return content_of(normal_layout(ak.concatenate(contents).layout))
