"""Bring awkward arrays into the few forms that columns have: numbers, strings, links, and lists of these."""

from __future__ import annotations

from typing import Any

__all__ = ["LINK_PARTS", "content_of", "normal_layout"]

LINK_PARTS = ("m_persKey", "m_persIndex")


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
        if not lists.parameter("__array__"):
            return ak.contents.ListOffsetArray(lists.offsets, normal_layout(content))
        content = content.to_packed() if not content.is_numpy else content
        return ak.contents.ListOffsetArray(
            lists.offsets, content, parameters={"__array__": lists.parameter("__array__")}
        )
    if layout.is_indexed and not layout.is_option:
        return normal_layout(layout.project())
    if layout.is_unknown:
        return layout
    raise TypeError(f"values of type {layout.form.type} are neither numbers, strings, links nor lists of these")


def content_of(layout: Any) -> Any:
    """Return a layout as a column's content: numpy for numbers, else an awkward array."""
    import awkward as ak

    return layout.data if layout.is_numpy else ak.Array(layout)
