"""Between awkward arrays and flat content: the few conversions that views and writers need, without copies where
possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import ColumnError
from hepflow.events.column import Offsets
from hepflow.events.links import LINK_PARTS
from hepflow.events.scope import Ints, Scope, counts_of, offsets_from

if TYPE_CHECKING:
    import awkward as ak

__all__ = [
    "content_of",
    "distinct",
    "flatten",
    "has_links",
    "has_lists",
    "jagged",
    "links_of",
    "marked",
    "normal_layout",
    "pack_links",
    "plain",
    "scatter",
    "unpack_links",
]
EXACT = 2.0**53
"""Integers below this are exact as float64."""


def jagged(values: Any, offsets: Offsets, outer: Offsets | None = None) -> ak.Array:
    """Return flat values as lists with these offsets; with ``outer`` as lists of such lists."""
    import awkward as ak

    content = values.layout if isinstance(values, ak.Array) else ak.contents.NumpyArray(np.ascontiguousarray(values))
    layout = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)
    if outer is not None:
        layout = ak.contents.ListOffsetArray(ak.index.Index64(outer), layout)
    return ak.Array(layout)


def normal_layout(layout: Any) -> Any:
    """Return a layout of lists with 64-bit offsets from 0, plain numbers, strings and records without class names.

    Values are copied only where an index has to be applied. Raises TypeError for missing values and unions.
    """
    import awkward as ak

    if layout.is_numpy:
        return normal_layout(layout.to_RegularArray()) if layout.data.ndim > 1 else layout
    if layout.is_record:
        return ak.contents.RecordArray([normal_layout(layout[field]) for field in layout.fields], layout.fields)
    if layout.is_list:
        lists = layout.to_ListOffsetArray64(True)
        content = lists.content[: int(lists.offsets.data[-1])]
        if lists.parameter("__array__") not in ("string", "bytestring"):
            return ak.contents.ListOffsetArray(lists.offsets, normal_layout(content))
        content = content.to_packed() if not content.is_numpy else content
        return ak.contents.ListOffsetArray(
            lists.offsets, content, parameters={"__array__": lists.parameter("__array__")}
        )
    if layout.is_indexed or layout.is_option:
        if layout.is_option and layout.mask_as_bool(valid_when=False).any():
            raise TypeError("values are missing")
        return normal_layout(layout.project())
    if layout.is_unknown:
        return layout
    raise TypeError(f"values of type {layout.form.type} are neither numbers, strings, links nor lists of these")


def content_of(layout: Any) -> Any:
    """Return a layout as a column's content: numpy for numbers, else an awkward array."""
    import awkward as ak

    return layout.data if layout.is_numpy else ak.Array(layout)


def plain(values: Any) -> Any:
    """Return values as a column's content: numpy for an array of numbers, anything else as an awkward array.

    ColumnError where values are missing or of several types.
    """
    import awkward as ak

    if isinstance(values, np.ma.MaskedArray | list | tuple):
        values = ak.Array(values)
    elif not isinstance(values, ak.Array):
        values = np.asarray(values)
        if values.ndim < 2 and values.dtype.kind in "biuf":
            return values
        values = ak.Array(values.tolist() if values.dtype.kind == "O" else values)
    try:
        return content_of(normal_layout(values.layout))
    except TypeError as error:
        raise ColumnError(
            f"a column cannot hold values of type {values.type.content}",
            hint="fill missing values first, e.g. with ak.fill_none",
        ) from error


def flatten(values: Any, structure: Sequence[Offsets], name: str) -> Any:
    """Return the flat content of values; ColumnError where they do not fit.

    ``structure`` holds the offsets of the lists around one value, outermost first. Values may have all of these
    lists, only the inner ones, or none.
    """
    import awkward as ak

    total = int(structure[-1][-1]) if structure else -1
    values = plain(values)
    if not isinstance(values, ak.Array):
        return values
    for start in range(len(structure)):
        content = _strip(values.layout, structure[start:])
        if content is not None:
            return content_of(content)
    if not structure or len(values) == total:
        return values
    raise ColumnError(
        f"{name} gets values of another structure than its container",
        hint=f"{len(values)} × {values.type.content} for {len(structure[0]) - 1} lists with {total} objects in all",
    )


def _strip(layout: Any, structure: Sequence[Offsets]) -> Any:
    """Return what is inside lists with exactly these offsets, or None."""
    for offsets in structure:
        if not layout.is_list or layout.parameter("__array__") or not np.array_equal(layout.offsets.data, offsets):
            return None
        layout = layout.content
    return layout


def marked(values: Any, missing: Any, name: str) -> Any:
    """Return flat values with NaN for numbers that are missing: of a column that may lack some, integers come as
    float64. ColumnError where one would not stay exact. Missing lists, texts and links are empty or null already.
    """
    if missing is None or not isinstance(values, np.ndarray) or values.dtype.kind == "f":
        return values
    numbers = values.astype(np.float64)
    if values.dtype.itemsize == 8 and len(values) and np.abs(numbers).max() >= EXACT:
        raise ColumnError(
            f"{name} is missing for some objects of the input, and integers from 2⁵³ on do not fit beside NaN",
            hint=f"stored({name.partition('.')[2]!r}) gives the integers and a mask of what is missing",
        )
    numbers[missing] = np.nan
    return numbers


def scatter(content: Any, index: Ints | None, length: int) -> Any:
    """Return full-length content whose entries at ``index`` are those of ``content``; the hidden rest is zero or
    empty.
    """
    import awkward as ak

    if index is None:
        return content
    if not isinstance(content, ak.Array):
        full = np.zeros(length, dtype=content.dtype)
        full[index] = content
        return full
    layout = content.layout
    if layout.is_list:
        counts = np.zeros(length, dtype=np.int64)
        counts[index] = counts_of(layout.offsets.data)
        offsets = ak.index.Index64(offsets_from(counts))
        return ak.Array(ak.contents.ListOffsetArray(offsets, layout.content, parameters=layout.parameters))
    if layout.is_record:
        return ak.zip({field: scatter(plain(content[field]), index, length) for field in content.fields}, depth_limit=1)
    return content  # of unknown type: there is no object to fill


def has_lists(values: Any) -> bool:
    """Tell whether a column's content is lists (strings are none)."""
    layout = getattr(values, "layout", None)
    return layout is not None and layout.is_list and not layout.parameter("__array__")


def has_links(values: Any) -> bool:
    """Tell whether a flat column holds links, at any depth."""
    return tuple(getattr(values, "fields", ())) == LINK_PARTS


def distinct(numbers: Ints) -> list[int]:
    """Return the different numbers, sorted; quick where there are few, as among the containers of links."""
    found: list[int] = []
    rest = numbers
    while len(rest) and len(found) < 16:
        found.append(int(rest[0]))
        rest = rest[rest != rest[0]]
    return sorted([*found, *np.unique(rest).tolist()])


def unpack_links(values: Any) -> tuple[list[Ints], Ints, Ints]:
    """Return (lengths of the lists around the links, outermost first; containers; indices) of a flat link column."""
    if not has_links(values):
        raise ColumnError("this column holds no element links")
    layout, counts = values.layout, []
    while layout.is_list:
        lists = layout.to_ListOffsetArray64(True)
        counts.append(counts_of(lists.offsets.data))
        layout = lists.content[: int(lists.offsets.data[-1])]
    parts = (normal_layout(layout[part]).data for part in LINK_PARTS)
    container, index = (np.asarray(part).astype(np.int64, copy=False) for part in parts)
    return counts, container, index


def links_of(scope: Scope, name: str) -> tuple[Sequence[Ints], Ints, Ints]:
    """Return the links of the visible objects of a column (see ``unpack_links``), which is unpacked once a chunk."""
    lists, containers, index = scope.lasting("links", lambda: unpack_links(scope.column(name).content), [name])
    rows = scope.index(name.partition(".")[0])
    if rows is None:
        return lists, containers, index
    counts = []
    for lengths in lists:
        starts, kept = offsets_from(lengths)[rows], lengths[rows]
        edges = offsets_from(kept)
        rows = np.repeat(starts - edges[:-1], kept) + np.arange(edges[-1])
        counts.append(kept)
    return counts, containers[rows], index[rows]


def pack_links(counts: Sequence[Ints], containers: Any, index: Any) -> ak.Array:
    """Return a flat link column, the reverse of ``unpack_links``; without ``counts`` there is one link an object."""
    import awkward as ak

    parts = [np.asarray(containers, dtype=np.int64), np.asarray(index, dtype=np.uint32)]
    layout = ak.contents.RecordArray([ak.contents.NumpyArray(part) for part in parts], list(LINK_PARTS))
    for lengths in reversed(counts):
        layout = ak.contents.ListOffsetArray(ak.index.Index64(offsets_from(lengths)), layout)
    return ak.Array(layout)
