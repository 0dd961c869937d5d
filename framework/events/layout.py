"""Between awkward arrays and flat content: the few conversions that views and writers need, without copies where
possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import ColumnError
from hepflow.events.column import Offsets
from hepflow.events.scope import Ints, counts_of, offsets_from

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["flatten", "has_links", "jagged", "pack_links", "plain", "scatter", "unpack_links"]


def jagged(values: Any, offsets: Offsets, outer: Offsets | None = None) -> ak.Array:
    """Return flat values as lists with these offsets; with ``outer`` as lists of such lists."""
    import awkward as ak

    content = values.layout if isinstance(values, ak.Array) else ak.contents.NumpyArray(np.ascontiguousarray(values))
    layout = ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)
    if outer is not None:
        layout = ak.contents.ListOffsetArray(ak.index.Index64(outer), layout)
    return ak.Array(layout)


def plain(values: Any) -> Any:
    """Return an array without lists as numpy, anything else as a packed awkward array; missing values are refused."""
    import awkward as ak

    if not isinstance(values, ak.Array):
        return np.asarray(values)
    layout = ak.to_packed(values).layout
    if layout.is_option:
        if layout.to_ByteMaskedArray(valid_when=True).mask.data.all():
            return plain(ak.Array(layout.content))
        raise ColumnError("a column cannot hold None", hint="fill missing values first, e.g. with ak.fill_none")
    return layout.data if layout.is_numpy else ak.Array(layout)


def flatten(values: Any, structure: Sequence[Offsets], name: str) -> Any:
    """Return the flat content of values; ColumnError where they do not fit.

    ``structure`` holds the offsets of the lists around one value, outermost first. Values may have all of these
    lists, only the inner ones, or none; a single number fills all.
    """
    import awkward as ak

    total = int(structure[-1][-1]) if structure else -1
    if not isinstance(values, ak.Array):
        flat = np.asarray(values)
        return np.full(total, flat) if flat.ndim == 0 and structure else flat
    for start in range(len(structure)):
        content = _strip(values.layout, structure[start:])
        if content is not None:
            return plain(ak.Array(content))
    if not structure or len(values) == total:
        return plain(values)
    raise ColumnError(
        f"{name} gets values of another structure than its container",
        hint=f"{len(values)} × {values.type.content} for {len(structure[0]) - 1} lists with {total} objects in all",
    )


def _strip(layout: Any, structure: Sequence[Offsets]) -> Any:
    """Return what is inside lists with exactly these offsets, or None."""
    for offsets in structure:
        if not layout.is_list or layout.parameter("__array__"):
            return None
        layout = layout.to_ListOffsetArray64(True)
        if not np.array_equal(layout.offsets.data, offsets):
            return None
        layout = layout.content[: int(offsets[-1])]
    return layout


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
    if layout.is_list and not layout.parameter("__array__"):
        counts = np.zeros(length, dtype=np.int64)
        packed = layout.to_ListOffsetArray64(True)
        counts[index] = counts_of(packed.offsets.data)
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets_from(counts)), packed.content))
    if layout.is_record:
        return ak.zip({field: scatter(plain(content[field]), index, length) for field in content.fields}, depth_limit=1)
    if layout.is_list:
        strings = np.full(length, "", dtype=object)
        strings[index] = content.to_list()
        return ak.Array(list(strings))
    raise ColumnError(f"values of type {content.type.content} cannot be a column of a selected container")


def has_links(values: Any) -> bool:
    """Tell whether a flat column holds element links, at any depth."""
    return "m_persKey" in getattr(values, "fields", ())


def unpack_links(values: Any) -> tuple[list[Ints], Ints, Ints]:
    """Return (lengths of the lists around the links, outermost first; keys; indices) of a flat link column."""
    import awkward as ak

    if not has_links(values):
        raise ColumnError("this column holds no element links")
    layout, counts = values.layout, []
    while layout.is_list:
        lists = layout.to_ListOffsetArray64(True)
        counts.append(counts_of(lists.offsets.data))
        layout = lists.content[: int(lists.offsets.data[-1])]
    key, index = (np.asarray(ak.Array(layout)[field]).astype(np.int64) for field in ("m_persKey", "m_persIndex"))
    return counts, key, index


def pack_links(counts: Sequence[Ints], keys: Any, index: Any) -> ak.Array:
    """Return a flat link column, the reverse of ``unpack_links``; without ``counts`` there is one link an object."""
    import awkward as ak

    layout = ak.contents.RecordArray(
        [ak.contents.NumpyArray(np.asarray(part, dtype=np.uint32)) for part in (keys, index)],
        ["m_persKey", "m_persIndex"],
    )
    for lengths in reversed(counts):
        layout = ak.contents.ListOffsetArray(ak.index.Index64(offsets_from(lengths)), layout)
    return ak.Array(layout)
