"""Read an xAOD (DAOD, MxAOD) that is stored as an RNTuple, ``EventData``.

uproot's own ``arrays`` lists every field of the file first (seconds for a DAOD) and reads one cluster too many where a
range ends at a cluster's edge. The field records of the header and uproot's reading of single columns do neither.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hepflow.events.column import Column
from hepflow.io.cpptypes import LINK, STRING, describe_type
from hepflow.io.links import FILE_PARTS
from hepflow.io.pages import Pages
from hepflow.io.root import RootReader
from hepflow.io.trees import RNTUPLE, OpenTree
from hepflow.protocols import ColumnInfo

__all__ = ["RNTupleReader"]

_LEAF, _COLLECTION, _RECORD = 0, 1, 2
_CARDINALITY = re.compile(r"(?:ROOT::)?RNTupleCardinality<(.+)>")


@dataclass(frozen=True)
class _Field:
    """Where one column lies: the numbers of its offset columns, outermost first, and of its value columns. Arrays of n
    values have no offsets: they stand among these as -n. ``counts``: the values are the lengths of the lists that its
    one column has the offsets of.
    """

    dtype: str
    lists: tuple[int, ...]
    values: tuple[int, ...]
    counts: bool = False


class RNTupleReader(RootReader):
    """Reads ``EventData`` of an xAOD (see ``hepflow.protocols.Reader``)."""

    format: ClassVar[str] = "xaod-rntuple"

    @classmethod
    def recognises(cls, opened: OpenTree) -> bool:
        """Return whether the tree is ``EventData``."""
        return opened.kind == RNTUPLE and opened.own == "EventData"

    @cached_property
    def _found(self) -> tuple[dict[str, _Field], dict[str, str]]:
        """The readable fields by spelling, and the others with the reason."""
        known = self._opened.known
        if "found" not in known:
            known["found"] = self._walk()
        found: tuple[dict[str, _Field], dict[str, str]] = known["found"]
        return found

    def _walk(self) -> tuple[dict[str, _Field], dict[str, str]]:
        walker = _Walker(self._tree)
        fields: dict[str, _Field] = {}
        reasons: dict[str, str] = {}
        for number, record in enumerate(self._tree.field_records):
            if record.parent_field_id == number:
                for spelling, found in walker.walk(number, record.field_name, ()):
                    if isinstance(found, _Field):
                        fields[spelling] = found
                    else:
                        reasons[spelling] = found
        return fields, reasons

    @cached_property
    def _clusters(self) -> npt.NDArray[np.int64]:
        """First entries of all clusters, and the number of entries."""
        starts = [cluster.first for cluster in self._opened.clusters]
        return np.array([*starts, int(self._tree.num_entries)], dtype=np.int64)

    def _describe(self) -> tuple[dict[str, ColumnInfo], dict[str, str]]:
        sizes = self._sizes()
        fields, reasons = self._found
        sharing = Counter(field.lists[0] for field in fields.values() if field.lists and field.lists[0] >= 0)
        counters = {number: f"column {number}" for number, sharers in sharing.items() if sharers > 1}
        counters |= {field.values[0]: spelling for spelling, field in fields.items() if field.counts}
        columns = {}
        for spelling, field in fields.items():
            numbers = [number for number in (*field.lists, *field.values) if number >= 0]
            columns[spelling] = ColumnInfo(
                name=spelling,
                sources=(spelling,),
                dtype=field.dtype,
                depth=len(field.lists),
                nbytes=sum(sizes[number][0] for number in numbers),
                compressed=sum(sizes[number][1] for number in numbers),
                objects=self._objects(field, sizes) if field.lists else -1,
                counter=counters.get(field.lists[0], "") if field.lists else "",
            )
        return columns, reasons

    def _spellings(self) -> Iterable[str]:
        return [*self._found[0], *self._found[1]]

    def _classes(self) -> Mapping[str, str]:
        records = enumerate(self._tree.field_records)
        tops = {record.field_name: record.type_name for number, record in records if record.parent_field_id == number}
        return {name: kind for name, kind in tops.items() if "xAOD::" in kind and not name.endswith("Aux:")}

    def _sizes(self, wanted: Collection[int] = ()) -> Mapping[int, tuple[int, int, int]]:
        """Return (bytes, bytes on disk, elements) of every column of the RNTuple, or of the wanted ones."""
        bits = [int(record.nbits) for record in self._tree.column_records]
        elements, packed = [0] * len(bits), [0] * len(bits)
        for cluster in self._opened.clusters:
            for number in wanted or range(len(cluster.columns)):
                for page in (cluster.columns[number] if number < len(cluster.columns) else None) or ():
                    elements[number] += page.elements
                    packed[number] += page.size
        return {
            number: (elements[number] * bits[number] // 8, packed[number], elements[number])
            for number in wanted or range(len(bits))
        }

    def _objects(self, field: _Field, sizes: Mapping[int, tuple[int, int, int]]) -> int:
        """Return the number of what lies in the outermost lists."""
        first, *inner = (*field.lists, *field.values)
        if first < 0:
            return int(self._tree.num_entries) * -first
        arrays = list(takewhile(lambda number: number < 0, inner))
        return sizes[inner[len(arrays)]][2] // abs(prod(arrays))

    def _boundaries(self, columns: Iterable[ColumnInfo]) -> tuple[int, ...]:
        return tuple(sorted({0, *(int(edge) for edge in self._clusters)}))

    def _size(self, columns: Iterable[ColumnInfo]) -> int:
        fields = [self._found[0][info.sources[0]] for info in columns]
        numbers = {number for field in fields for number in (*field.lists, *field.values) if number >= 0}
        return sum(plain for plain, _, _ in self._sizes(numbers).values()) if numbers else 0

    def _fetch(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        fields = [self._found[0][info.sources[0]] for info in columns]
        block = _Block(self._opened, self._clusters, fields, start, stop)
        return {info.name: block.column(field, info.single) for info, field in zip(columns, fields, strict=True)}


class _Walker:
    """Finds the columns below the top-level fields."""

    def __init__(self, tree: Any) -> None:
        self._records = tree.field_records
        self._children: dict[int, list[int]] = defaultdict(list)
        for number, record in enumerate(self._records):
            if record.parent_field_id != number:
                self._children[record.parent_field_id].append(number)
        self._columns: dict[int, list[int]] = defaultdict(list)
        for record in tree.column_records:
            if record.repr_idx == 0:
                self._columns[record.field_id].append(int(record.idx))
        sources = (record.source_field_id for record in self._records)
        self._projected = {int(source) for source in sources if source is not None}

    def walk(self, number: int, name: str, lists: tuple[int, ...]) -> Iterator[tuple[str, _Field | str]]:
        """Yield (spelling, field or the reason why it cannot be read)."""
        record, children = self._records[number], self._children[number]
        role, type_name = int(record.struct_role), record.type_name
        columns = self._columns[number if record.source_field_id is None else int(record.source_field_id)]
        if match := _CARDINALITY.fullmatch(type_name):
            described = describe_type(match[1])
            if described and columns:
                yield name, _Field(described[0], lists, (columns[0],), counts=True)
        elif role == _COLLECTION and len(children) == 1 and columns and not type_name.startswith("std::optional"):
            yield from self.walk(children[0], name, (*lists, columns[0]))
        elif role == _RECORD:
            yield from self._walk_record(number, name, lists)
        elif number in self._projected:
            return  # other fields show the same values: Muon_pt those of _collection0.Muon_pt
        elif role == _LEAF and children and not columns:  # std::array, enum, std::atomic
            yield from self.walk(children[0], name, (*lists, -record.repetition) if record.repetition else lists)
        elif role == _LEAF and record.repetition and columns:  # std::bitset
            yield name, _Field("bool", (*lists, -record.repetition), (columns[0],))
        elif role == _LEAF:
            yield name, self._leaf(number, lists, columns)
        else:
            yield name, f"type {type_name} cannot be read"

    def _walk_record(self, number: int, name: str, lists: tuple[int, ...]) -> Iterator[tuple[str, _Field | str]]:
        members = dict(self._members(number))
        if tuple(members) == FILE_PARTS:
            yield name, _Field(LINK, lists, tuple(self._columns[member][0] for member in members.values()))
            return
        for member, child in members.items():
            yield from self.walk(child, f"{name}.{member}", lists)

    def _members(self, number: int) -> Iterator[tuple[str, int]]:
        """Yield (name, field) of the members of a record, those of its base classes (``:_0``) included."""
        for child in self._children[number]:
            name = self._records[child].field_name
            if name.startswith(":_"):
                yield from self._members(child)
            else:
                yield name, child

    def _leaf(self, number: int, lists: tuple[int, ...], columns: list[int]) -> _Field | str:
        type_name = self._records[number].type_name
        described = describe_type(type_name)
        if described and described[0] == STRING and len(columns) == 2:
            return _Field(STRING, (*lists,), tuple(columns))
        if described and described[1] == 0 and len(columns) == 1:
            return _Field(described[0], lists, tuple(columns))
        return f"type {type_name} cannot be read"


class _Block:
    """One range of entries: reads each column of the RNTuple at most once, whole clusters, and cuts out the range."""

    def __init__(
        self, opened: OpenTree, clusters: npt.NDArray[np.int64], fields: Iterable[_Field], start: int, stop: int
    ) -> None:
        first = max(int(np.searchsorted(clusters, start, side="right")) - 1, 0)
        last = max(int(np.searchsorted(clusters[:-1], stop, side="left")), first)
        self._base = int(clusters[first])
        self._range = (start - self._base, stop - self._base)
        self._records = opened.tree.column_records
        numbers = {number for field in fields for number in (*field.lists, *field.values) if number >= 0}
        self._pages = Pages(opened.tree, opened.clusters[first:last], numbers)
        self._read: dict[int, npt.NDArray[Any]] = {}
        self._cut: dict[tuple[int, int, int], npt.NDArray[np.int64]] = {}

    def column(self, field: _Field, single: bool) -> Column:
        """Return one column; lists of a container with one entry an event stay lists (``single``)."""
        import awkward as ak

        low, high = self._range
        offsets = []
        for level, number in enumerate(field.lists):
            if number < 0:
                offsets.append(np.arange(high - low + 1, dtype=np.int64) * -number)
                low, high = low * -number, high * -number
            else:
                cut, low, high = self._lists(number, low, high, field.lists[:level])
                offsets.append(cut)
        content: Any = self._values(field, low, high)
        if not single and offsets:
            outer, *offsets = offsets
        else:
            outer = None
        for inner in reversed(offsets):
            layout = content.layout if isinstance(content, ak.Array) else ak.contents.NumpyArray(content)
            content = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(inner), layout))
        return Column(outer, content)

    def _lists(
        self, number: int, low: int, high: int, above: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.int64], int, int]:
        """Return the offsets of the lists ``[low, high)``, from 0, and the range of their contents."""
        found = self._array(number, above)
        first, last = int(found[low]), int(found[high])
        key = (id(found), low, high)  # the same offsets are one array, as everything that follows can see
        if key not in self._cut:
            cut = found[low : high + 1].astype(np.int64, copy=False)
            self._cut[key] = cut if first == 0 else cut - first
        return self._cut[key], first, last

    def _values(self, field: _Field, low: int, high: int) -> Any:
        import awkward as ak

        if field.counts:
            return np.diff(self._lists(field.values[0], low, high, field.lists)[0]).astype(field.dtype)
        if field.dtype == STRING:
            offsets, first, last = self._lists(field.values[0], low, high, field.lists)
            text = ak.contents.NumpyArray(
                self._array(field.values[1], (*field.lists, field.values[0]))[first:last].view(np.uint8),
                parameters={"__array__": "char"},
            )
            return ak.Array(
                ak.contents.ListOffsetArray(ak.index.Index64(offsets), text, parameters={"__array__": "string"})
            )
        parts = [self._array(number, field.lists)[low:high] for number in field.values]
        if field.dtype == LINK:
            return ak.Array(ak.contents.RecordArray([ak.contents.NumpyArray(part) for part in parts], list(FILE_PARTS)))
        return parts[0].view(np.int8) if field.dtype == "int8" else parts[0].astype(field.dtype, copy=False)

    def _array(self, number: int, above: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return one column of the clusters of this range, below these lists; offsets start with 0."""
        if number not in self._read:
            start = self._base * abs(prod(length for length in above if length < 0))
            late = max(int(self._records[number].first_element_index) - start, 0)
            self._read[number] = self._pages.array(number, late)
        return self._read[number]
