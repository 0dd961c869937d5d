"""Decorations that some events lack: in an xAOD a dynamic variable is an empty list where no object of an event got it.

The number of objects of an event is the largest that a column of their container has; a column has as many values, or
none, which then are missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError
from hepflow.events.column import Column
from hepflow.events.layout import scatter
from hepflow.events.scope import offsets_from
from hepflow.io.cpptypes import LINK, STRING
from hepflow.protocols import ColumnInfo

__all__ = ["aligned", "marked_rare", "shapes_of", "with_shapes"]


def with_shapes(columns: Mapping[str, ColumnInfo], *, counted: bool) -> dict[str, ColumnInfo]:
    """Return the columns of a file, those that may lack values with the source of one of their container that lacks
    none. ``counted``: columns with the same counter have the same lists, as in a TTree.
    """
    containers: dict[str, list[ColumnInfo]] = defaultdict(list)
    for info in columns.values():
        if info.depth and not info.single:
            containers[info.container].append(info)
    made = dict(columns)
    for infos in containers.values():
        most = max(info.objects for info in infos)
        whole = next((info for info in infos if info.objects == most > 0 and _plain(info)), None)
        for info in infos:
            if whole is None or info.objects >= most or (counted and info.counter and info.counter == whole.counter):
                continue
            made[info.name] = replace(info, shape=whole.sources[0])
    return made


def _plain(info: ColumnInfo) -> bool:
    return info.depth == 1 and info.dtype not in (LINK, STRING)


def shapes_of(columns: Iterable[ColumnInfo]) -> list[ColumnInfo]:
    """Return what must be read beside these columns to know the numbers of objects: one column for each container of
    which all of them may lack values.
    """
    shapes: dict[str, str] = {}
    for info in columns:
        if info.depth and not info.single:
            shapes[info.container] = info.shape and shapes.get(info.container, info.shape)
    return [ColumnInfo(f"{container}.{source}", (source,), "", 1) for container, source in shapes.items() if source]


def aligned(values: Mapping[str, Column], shapes: Sequence[ColumnInfo], where: str) -> dict[str, Column]:
    """Return the columns with a value for each object, the missing ones marked; ColumnError where an event has some
    values of a column, but not one for each object.

    The columns of ``shapes`` were read for the numbers of objects only, which are left alone where they do not fit.
    """
    asked = {name: column for name, column in values.items() if name not in {info.name for info in shapes}}
    containers: dict[str, list[str]] = defaultdict(list)
    for name, column in asked.items():
        if column.offsets is not None:
            containers[name.partition(".")[0]].append(name)
    read = {info.container: values[info.name].offsets for info in shapes}
    whole = {container: np.diff(offsets) for container, offsets in read.items() if offsets is not None}
    for container, names in containers.items():
        lists = {name: found for name in names if (found := asked[name].offsets) is not None}
        counts = {name: np.diff(offsets) for name, offsets in lists.items()}
        first = lists[names[0]]
        if container not in whole and all(o is first or np.array_equal(o, first) for o in lists.values()):
            continue
        most = np.max(list(counts.values()), axis=0)
        _check(counts, most, where)
        if container in whole:
            fits = (most == whole[container]) | (most == 0)
            most = whole[container] if fits.all() else most
        offsets = offsets_from(most)
        for name in names:
            asked[name] = _filled(asked[name], counts[name] == most, offsets)
    return asked


def _check(counts: Mapping[str, npt.NDArray[np.int64]], most: npt.NDArray[np.int64], where: str) -> None:
    """Raise ColumnError for the first two columns that cannot belong to the same objects."""
    for name, number in counts.items():
        wrong = np.flatnonzero((number != most) & (number != 0))
        if len(wrong):
            other = next(one for one in counts if counts[one][wrong[0]] == most[wrong[0]])
            first, second = (one for one in counts if one in (name, other))
            raise ColumnError(
                f"{first} and {second} have different numbers of objects",
                where=where,
                hint="columns of one container must belong to the same objects; read one of the two only",
            )


def _filled(column: Column, there: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> Column:
    """Return a column with these offsets, which has values in some events."""
    if there.all():
        return replace(column, offsets=offsets)
    missing = np.repeat(~there, np.diff(offsets))
    content = scatter(column.content, np.flatnonzero(~missing), int(offsets[-1]))
    if isinstance(content, np.ndarray) and content.dtype.kind == "f":
        content[missing] = np.nan
    return replace(column, offsets=offsets, content=content, missing=missing)


def marked_rare(info: ColumnInfo, column: Column) -> Column:
    """Return a column that lacks values somewhere in the file with a mask also where it lacks none: tools get values of
    one type in all of the file.
    """
    if not info.shape or info.objects < 0 or column.missing is not None or column.offsets is None:
        return column
    return replace(column, missing=np.zeros(int(column.offsets[-1]), dtype=bool))
