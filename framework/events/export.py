"""What a stream writes of a chunk: visible objects only, links remapped to where their targets end up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from hepflow.errors import ColumnError
from hepflow.events import Events
from hepflow.events.column import Column
from hepflow.events.layout import has_links, pack_links, unpack_links
from hepflow.events.links import key_for, keys_of
from hepflow.events.scope import Ints, flat_take

__all__ = ["event_column", "object_column"]


def event_column(events: Events, name: str, written: Collection[str]) -> Column:
    """Return a column as events × objects, visible ones only.

    Links into a container of ``written`` are renumbered (a link to a hidden object becomes the null link); links into
    a container that is not written become null links, because there is nothing left to point to.
    """
    scope = events._scope
    container = name.partition(".")[0]
    group = scope.group(container)
    if group.parent:
        raise ColumnError(
            f"{name} belongs to the objects of {group.parent}, not to events", hint="an NtupleStream can write it"
        )
    column = scope.column(name)
    index = scope.index(container)
    content = flat_take(column.content, index)
    if has_links(content):
        content = _remapped(scope, content, flat_take(scope.event_of(container), index), written)
    return Column(scope.offsets(container), content)


def object_column(events: Events, name: str, entry: str) -> Column:
    """Return a column with one entry for each visible object of the container ``entry``.

    Columns of ``entry`` have one value an entry, of its sub-containers a list; values of the event are repeated.
    """
    scope = events._scope
    container, _, short = name.partition(".")
    group = scope.group(container)
    if container == entry or group.parent == entry:
        return Column(scope.offsets(container) if group.parent else None, events._container(container).flat(short))
    if group.offsets is None:
        values = scope.column(name).content
        return Column(None, values[flat_take(scope.event_of(entry), scope.index(entry))])
    raise ColumnError(
        f"{name} cannot be written with one entry for each object of {entry}",
        hint=f"it belongs neither to {entry} nor to the event; a tool can make it a sub-container (parent={entry!r})",
    )


def _remapped(scope: Any, content: Any, rows: Ints, written: Collection[str]) -> Any:
    lists, keys, index = unpack_links(content)
    for counts in lists:
        rows = np.repeat(rows, counts)
    new_key, new_index = np.zeros_like(keys), np.zeros_like(index)
    for target in written:
        if not scope.linkable(target):
            continue
        offsets = scope.group(target).offsets
        mine = np.flatnonzero(np.isin(keys, keys_of(target)))
        position = offsets[rows[mine]] + index[mine]
        inside = position < offsets[rows[mine] + 1]
        mine, position = mine[inside], position[inside]
        local = scope.local_index(target)[position]
        new_key[mine[local >= 0]] = key_for(target)
        new_index[mine[local >= 0]] = local[local >= 0]
    return pack_links(lists, new_key, new_index)
