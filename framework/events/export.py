"""What a stream writes of a chunk: visible objects only, links remapped to where their targets end up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hepflow.errors import ColumnError
from hepflow.events import Events
from hepflow.events.column import Column
from hepflow.events.layout import distinct, has_links, links_of, pack_links
from hepflow.events.links import BEHIND, NOT_KEPT, NULL, UNKNOWN, container_name
from hepflow.events.scope import Scope, counts_of, flat_take, taken

__all__ = ["event_column", "filled", "no_entry", "note_unknown", "object_column"]


def event_column(events: Events, name: str, written: Collection[str]) -> Column:
    """Return a column as events × objects, visible ones only.

    Links into a container of ``written`` are renumbered (a link to a hidden object becomes the null link); links into
    anything else stay as they are, and are noted where they lead nowhere in the output.
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
    if has_links(column.content):
        content: Any = _remapped(scope, name, written)
        missing = None if column.missing is None else flat_take(column.missing, index)
    else:
        content, missing = taken(column, index)
    return replace(column, offsets=scope.offsets(container), content=content, missing=missing)


def filled(name: str, column: Column) -> Column:
    """Return a column for an output that has a value for each object: missing floats are NaN there.

    ColumnError where an integer or boolean is missing.
    """
    if column.missing is None:
        return column
    if column.missing.any() and isinstance(column.content, np.ndarray) and column.content.dtype.kind != "f":
        raise ColumnError(
            f"{name} is missing for {int(column.missing.sum())} of {len(column.missing)} objects, and "
            f"{column.content.dtype} cannot say so",
            hint=f"leave it out with Drop, or write where(isfinite({name}), {name}, -1) instead",
        )
    return replace(column, missing=None)


def object_column(events: Events, name: str, entry: str) -> Column:
    """Return a column with one entry for each visible object of the container ``entry``.

    Columns of ``entry`` have one value an entry, of its sub-containers a list; values of the event are repeated.
    """
    scope = events._scope
    container = name.partition(".")[0]
    group = scope.group(container)
    column = scope.column(name)
    if container == entry or group.parent == entry:
        content, missing = taken(column, scope.index(container))
        return filled(name, Column(scope.offsets(container) if group.parent else None, content, missing))
    if group.offsets is None:
        return filled(name, Column(None, *taken(column, flat_take(scope.event_of(entry), scope.index(entry)))))
    raise no_entry(name, entry)


def no_entry(name: str, entry: str) -> ColumnError:
    """Return the error for a column that has no value, nor a list, for each object of ``entry``."""
    return ColumnError(
        f"{name} cannot be written with one entry for each object of {entry}",
        hint=f"it belongs neither to {entry} nor to the event; a tool can make it a sub-container (parent={entry!r})",
    )


def _remapped(scope: Scope, name: str, written: Collection[str]) -> Any:
    """Return the links of the visible objects as they are valid in the output."""
    lists, containers, index = links_of(scope, name)
    container = name.partition(".")[0]
    rows = flat_take(scope.event_of(container), scope.index(container))
    for counts in lists:
        rows = np.repeat(rows, counts)
    new, position = containers.copy(), index.copy()
    found = distinct(containers)
    for number in found:
        target = container_name(number)
        if number <= NULL:  # the null link, or known by a key of the input only, which was noted on reading
            continue
        mine = None if len(found) == 1 else np.flatnonzero(containers == number)
        events, places = flat_take(rows, mine), flat_take(index, mine)
        if target not in written:
            scope.note(NOT_KEPT.format(target), name, len(places))
        if not scope.linkable(target):
            continue
        offsets = scope.group(target).offsets
        assert offsets is not None
        inside = places < counts_of(offsets)[events]
        scope.note(BEHIND.format(target), name, len(places) - int(np.count_nonzero(inside)))
        if scope.mask(target) is None:  # nothing is hidden: they stay as they are
            continue
        local = scope.local_index(target)[(offsets[events] + places)[inside]]
        mine = np.flatnonzero(inside) if mine is None else mine[inside]
        new[mine[local < 0]], position[mine[local < 0]] = NULL, 0
        if target in written:
            position[mine[local >= 0]] = local[local >= 0]
    return pack_links(lists, new, position)


def note_unknown(scope: Scope, columns: Mapping[str, Column]) -> None:
    """Note the links, of columns that were read, whose target is not in the input."""
    for name, column in columns.items():
        if has_links(column.content):
            containers = links_of(scope, name)[1]
            for number in distinct(containers[containers < NULL]):
                scope.note(UNKNOWN.format(container_name(number)), name, int((containers == number).sum()))
