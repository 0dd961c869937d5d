"""Read an xAOD (DAOD, MxAOD) that is stored as a TTree, ``CollectionTree``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hepflow.events.column import Column
from hepflow.events.layout import content_of, normal_layout
from hepflow.io.branches import class_name, counter_of, describe_branch, is_element, is_leaf_list, keyed, member, walk
from hepflow.io.cpptypes import LINK, STRING
from hepflow.io.links import FILE_PARTS
from hepflow.io.root import RootReader
from hepflow.io.trees import TTREE, OpenTree
from hepflow.protocols import ColumnInfo

__all__ = ["TTreeReader"]

START_BIG_FILE = 2_000_000_000
"""Places in a file from which on ROOT counts in 64 bits."""


class TTreeReader(RootReader):
    """Reads ``CollectionTree`` of an xAOD (see ``hepflow.protocols.Reader``)."""

    format: ClassVar[str] = "xaod-ttree"

    @classmethod
    def recognises(cls, opened: OpenTree) -> bool:
        """Return whether the tree is ``CollectionTree``."""
        return opened.kind == TTREE and opened.own == "CollectionTree"

    @cached_property
    def _branches(self) -> dict[str, Any]:
        """Every branch that may hold values, by name; the two parts of split links under the name of the link."""
        return keyed(list(walk(self._tree.branches)))

    def _describe(self) -> tuple[dict[str, ColumnInfo], dict[str, str]]:
        columns: dict[str, ColumnInfo] = {}
        unreadable: dict[str, str] = {}
        entries = int(self._tree.num_entries)
        for key, branch in self._branches.items():
            described = describe_branch(branch, entries)
            if isinstance(described, str):
                unreadable[key] = described
                continue
            parts = branch.branches or [branch]
            for name, (dtype, depth) in described.items():
                spelling = f"{key.removesuffix('.')}.{name}" if name else key
                columns[spelling] = ColumnInfo(
                    name=spelling,
                    sources=tuple(part.name for part in parts) if branch.branches else (spelling,),
                    dtype=dtype,
                    depth=depth,
                    nbytes=sum(int(part.member("fTotBytes")) for part in parts) // len(described),
                    compressed=sum(int(part.member("fZipBytes")) for part in parts) // len(described),
                    counter=counter_of(branch),
                    objects=-1 if name else self._objects(branch, dtype, depth),
                )
        return columns, unreadable

    def _objects(self, branch: Any, dtype: str, depth: int) -> int:
        """Return the number of values in a branch of lists of numbers, from its bytes before compression; -1 for any
        other.

        A basket takes 71 bytes (8 more far behind in a large file) and the names of branch and tree, an entry 4 for its
        place; a ``std::vector`` 10 more for its version and length.
        """
        vector = class_name(branch).startswith("vector<") if is_element(branch) else False
        if depth != 1 or dtype in (LINK, STRING) or not (vector or counter_of(branch)):
            return -1
        number = int(branch.member("fWriteBasket"))
        far = int((np.asarray(branch.member("fBasketSeek")[:number]) > START_BIG_FILE).sum())
        baskets = number * (71 + len(branch.name) + len(self._opened.own)) + 8 * far
        entries = int(branch.member("fEntries")) * (14 if vector else 4)
        objects, rest = divmod(int(branch.member("fTotBytes")) - baskets - entries, np.dtype(dtype).itemsize)
        return objects if rest == 0 and objects >= 0 else -1

    def _spellings(self) -> Iterable[str]:
        return self._branches

    def _classes(self) -> Mapping[str, str]:
        tops = {branch.name: branch.member("fClassName", none_if_missing=True) for branch in self._tree.branches}
        return {name: str(kind) for name, kind in tops.items() if kind and "xAOD::" in str(kind) and "." not in name}

    @cached_property
    def _sources(self) -> dict[str, Any]:
        """Every branch that is read, by name; looking it up in the tree would search all branches each time."""
        branches = self._branches.items()
        return {name: one for key, branch in branches for name, one in _parts(branch) or [(key, branch)]}

    def _located(self, source: str) -> tuple[str, str]:
        """Return the branch of a source, and the member of it that is meant, "" for the branch itself."""
        key, path = source, ""
        while key not in self._sources:
            if f"{key}." in self._sources:
                return f"{key}.", path
            key, dot, last = key.rpartition(".")
            if not dot:
                raise KeyError(source)
            path = f"{last}.{path}" if path else last
        return key, path

    def _boundaries(self, columns: Iterable[ColumnInfo]) -> tuple[int, ...]:
        entries = int(self._tree.num_entries)
        common: set[int] | None = None
        for info in columns:
            for source in info.sources:
                offsets = _basket_edges(self._sources[self._located(source)[0]])
                common = offsets if common is None else common & offsets
        return tuple(sorted({0, entries} | {edge for edge in common or () if edge < entries}))

    def _size(self, columns: Iterable[ColumnInfo]) -> int:
        keys = dict.fromkeys(self._located(source)[0] for info in columns for source in info.sources)
        return sum(int(self._sources[key].member("fTotBytes")) for key in keys)

    def _fetch(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        located = {source: self._located(source) for info in columns for source in info.sources}
        keys = dict.fromkeys(key for key, _ in located.values())
        leaf_lists = {key for key, path in located.values() if path and is_leaf_list(self._sources[key])}
        # uproot takes these characters for a path, a cycle or a pattern, and a name for the first branch of it
        odd = {key for key in keys if self._sources[key].name != key or any(one in key for one in "/;:*?[\\")}
        odd |= leaf_lists
        options: dict[str, Any] = {"entry_start": start, "entry_stop": stop, "array_cache": None}
        plain = [key for key in keys if key not in odd]
        arrays = self._tree.arrays(plain, how=dict, **options) if plain else {}
        for key in odd:
            library = "np" if key in leaf_lists else "ak"
            arrays[key] = self._sources[key].array(library=library, **options)
        found = {source: member(arrays[key], path) for source, (key, path) in located.items()}
        return {info.name: _column([found[source].layout for source in info.sources], info.single) for info in columns}


def _parts(branch: Any) -> list[tuple[str, Any]]:
    """Return the parts of a link that is split into key and index, by name."""
    return [(part.name, part) for part in branch.branches]


def _basket_edges(branch: Any) -> set[int]:
    """Return the entries at which baskets start, and the end."""
    baskets = int(branch.member("fWriteBasket"))
    return {0, *(int(edge) for edge in branch.member("fBasketEntry")[: baskets + 1])}


def _column(layouts: Sequence[Any], single: bool) -> Column:
    """Return a column from the layout that uproot made, or from the two of a split link; values are not copied."""
    import awkward as ak

    if len(layouts) == 1:
        layout = normal_layout(layouts[0])
    else:
        lists = [normal_layout(layout) for layout in layouts]
        if not np.array_equal(lists[0].offsets.data, lists[1].offsets.data):
            raise ValueError("keys and indices of the links differ in number")
        records = ak.contents.RecordArray([part.content for part in lists], list(FILE_PARTS))
        layout = ak.contents.ListOffsetArray(lists[0].offsets, records)
    if single or not layout.is_list or layout.parameter("__array__"):
        return Column(None, content_of(layout))
    return Column(layout.offsets.data, content_of(layout.content))
