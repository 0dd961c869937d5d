"""Read an xAOD (DAOD, MxAOD) that is stored as a TTree, ``CollectionTree``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hepflow.events.column import Column
from hepflow.events.layout import content_of, normal_layout
from hepflow.io.cpptypes import LINK, STRING, describe_type
from hepflow.io.links import FILE_PARTS
from hepflow.io.root import RootReader
from hepflow.io.trees import TTREE, OpenTree
from hepflow.protocols import ColumnInfo

__all__ = ["TTreeReader"]

_LEAVES = {
    "O": "bool",
    "B": "int8",
    "S": "int16",
    "I": "int32",
    "L": "int64",
    "G": "int64",
    "F": "float32",
    "D": "float64",
}

START_BIG_FILE = 2_000_000_000
"""Places in a file from which on ROOT counts in 64 bits."""


class TTreeReader(RootReader):
    """Reads ``CollectionTree`` of an xAOD (see ``hepflow.protocols.Reader``)."""

    format: ClassVar[str] = "xaod-ttree"

    @classmethod
    def recognises(cls, opened: OpenTree) -> bool:
        """Return whether the tree is ``CollectionTree``."""
        return opened.kind == TTREE and opened.name.rpartition("/")[2] == "CollectionTree"

    @cached_property
    def _branches(self) -> dict[str, Any]:
        """Every branch that may hold values, by name; the two parts of split links under the name of the link."""
        counters: set[str] = set()
        found: dict[str, Any] = {}
        for branch in _walk(self._tree.branches):
            found.setdefault(branch.name, branch)
            counters.add(_counter(branch))
        return {name: branch for name, branch in found.items() if name not in counters}

    def _describe(self) -> tuple[dict[str, ColumnInfo], dict[str, str]]:
        columns: dict[str, ColumnInfo] = {}
        unreadable: dict[str, str] = {}
        for spelling, branch in self._branches.items():
            described = _describe_branch(branch)
            if isinstance(described, str):
                unreadable[spelling] = described
                continue
            dtype, depth = described
            parts = branch.branches or [branch]
            columns[spelling] = ColumnInfo(
                name=spelling,
                sources=tuple(part.name for part in parts),
                dtype=dtype,
                depth=depth,
                nbytes=sum(int(part.member("fTotBytes")) for part in parts),
                compressed=sum(int(part.member("fZipBytes")) for part in parts),
                counter=_counter(branch),
                objects=self._objects(branch, dtype, depth),
            )
        return columns, unreadable

    def _objects(self, branch: Any, dtype: str, depth: int) -> int:
        """Return the number of values in a branch of lists of numbers, from its bytes before compression; -1 for any
        other.

        A basket takes 71 bytes (8 more far behind in a large file) and the names of branch and tree, an entry 4 for its
        place; a ``std::vector`` 10 more for its version and length.
        """
        vector = _class_name(branch).startswith("vector<") if _is_element(branch) else False
        if depth != 1 or dtype in (LINK, STRING) or not (vector or _counter(branch)):
            return -1
        number = int(branch.member("fWriteBasket"))
        far = int((np.asarray(branch.member("fBasketSeek")[:number]) > START_BIG_FILE).sum())
        baskets = number * (71 + len(branch.name) + len(self.container)) + 8 * far
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
        return {part.name: part for branch in self._branches.values() for part in branch.branches or [branch]}

    def _boundaries(self, columns: Iterable[ColumnInfo]) -> tuple[int, ...]:
        entries = int(self._tree.num_entries)
        common: set[int] | None = None
        for info in columns:
            for source in info.sources:
                offsets = _basket_edges(self._sources[source])
                common = offsets if common is None else common & offsets
        return tuple(sorted({0, entries} | {edge for edge in common or () if edge < entries}))

    def _fetch(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        sources = [source for info in columns for source in info.sources]
        entries = {"entry_start": start, "entry_stop": stop, "array_cache": None}
        rooted = [source for source in sources if source.startswith("/")]  # uproot looks for their names without it
        arrays = self._tree.arrays([s for s in sources if s not in rooted], how=dict, **entries)
        arrays |= {source: self._sources[source].array(**entries) for source in rooted}
        return {info.name: _column([arrays[source].layout for source in info.sources], info.single) for info in columns}


def _walk(branches: Iterable[Any]) -> Iterator[Any]:
    """Yield the branches that hold values: those without branches of their own, and links split into key and index."""
    for branch in branches:
        parts = branch.branches
        if parts and not _is_split_link(parts):
            yield from _walk(parts)
        elif "::" not in branch.name.rpartition(".")[2]:  # the base class of an auxiliary store is no column
            yield branch


def _is_split_link(parts: Sequence[Any]) -> bool:
    return tuple(part.name.rpartition(".")[2] for part in parts) == FILE_PARTS


def _describe_branch(branch: Any) -> tuple[str, int] | str:
    """Return (dtype, depth) of a branch, or why it cannot be read."""
    if branch.branches:
        return LINK, 1
    leaves = branch.member("fLeaves")
    if len(leaves) != 1:
        return f"{len(leaves)} values in one branch"
    leaf = leaves[0]
    kind = type(leaf).__name__.removeprefix("Model_TLeaf").partition("_")[0]
    listed = 1 if leaf.member("fLeafCount") or (kind != "C" and leaf.member("fLen") > 1) else 0
    if kind == "C":
        return STRING, 0
    if kind in _LEAVES:
        dtype = _LEAVES[kind]
        return ("u" + dtype if dtype.startswith("int") and leaf.member("fIsUnsigned") else dtype), listed
    class_name = _class_name(branch)
    described = describe_type(class_name)
    if described is None or (described[0] == LINK and described[1] < 2):
        # one level of links reads only where it is split into key and index: in one piece it comes out as nonsense
        return f"type {class_name or 'unknown'} cannot be read from a TTree in this form"
    return described[0], described[1] + listed


def _is_element(branch: Any) -> bool:
    return type(branch).__name__.startswith("Model_TBranchElement")


def _counter(branch: Any) -> str:
    """Return the name of the leaf that counts the lists of a branch, or nothing."""
    leaves = () if branch.branches else branch.member("fLeaves")
    counts = [leaf.member("fLeafCount") for leaf in leaves]
    return next((str(count.member("fName")) for count in counts if count), "")


def _class_name(branch: Any) -> str:
    """Return the C++ type of the values of a TBranchElement: its own class, or that of one member of it."""
    if branch.member("fID", none_if_missing=True) in {None, -1, -2}:
        return str(branch.member("fClassName", none_if_missing=True) or "")
    return str(getattr(branch.streamer, "typename", None) or branch.member("fClassName"))


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
