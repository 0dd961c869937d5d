"""Write columns into a TTree or an RNTuple: types are fixed by the first chunk, baskets do not depend on chunks."""

from __future__ import annotations

import logging
import re
import shutil
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hepflow.errors import HepflowError, OutputError, nearest
from hepflow.events.column import Column
from hepflow.events.layout import has_links, normal_layout
from hepflow.events.scope import offsets_from
from hepflow.files import replacing
from hepflow.io.buffers import ColumnType, Pieces, arrays_of, cast_column, column_type, inner_layout
from hepflow.io.clusters import append, create
from hepflow.io.links import LinkWriter
from hepflow.io.names import split_spelling
from hepflow.io.pages import check_parts
from hepflow.io.root import METADATA_KEY, metadata_text, read_metadata
from hepflow.io.spelling import COUNTERS, XAOD_TREES, Spelling, check_spelling, field_name, noted_lists, noted_names

__all__ = ["COMPRESSIONS", "NOTE", "RNTupleWriter", "TTreeWriter", "add_metadata"]

COMPRESSIONS = ("LZ4", "ZSTD", "ZLIB", "none")
FIRST_YEAR = 1995
"""What a date in a ROOT file counts from."""
NOTE = "Columns as in an ATLAS xAOD, written by hepflow: readable by ROOT and uproot, not by xAOD::TEvent or Athena."

_log = logging.getLogger(__name__)


class _RootWriter(ABC):
    """What the two writers share: buffering, types, metadata and errors (see ``hepflow.protocols.Writer``).

    ``path`` is the (temporary) file, which is replaced where it exists; ``tree`` the name of the tree in it; ``spell``
    maps hepflow's name of a column to its name in the file (by default they are the same); ``counters`` names the
    column that counts the objects of a container (``{"Muon": "Events.nMuon"}``): it is written anew, for some objects
    may be hidden. ``metadata`` is written as JSON under ``hepflow`` when the file is closed, with the names that
    spellings do not tell, and a note on who can read an MxAOD. The first ``write`` fixes names and types, also with no
    events: so a file without events has all columns. Later chunks are cast where nothing but precision is lost. Raises
    OutputError where the file cannot be written.
    """

    fields: ClassVar[bool]
    """Whether columns are fields of an RNTuple."""

    def __init__(
        self,
        path: str | Path,
        tree: str,
        *,
        spell: Spelling = str,
        counters: Mapping[str, str] | None = None,
        compression: str = "LZ4",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        import uproot

        if compression not in COMPRESSIONS:
            raise OutputError(
                f"unknown compression {compression!r}", where=str(path), hint=nearest(compression, COMPRESSIONS)
            )
        codecs = {"LZ4": uproot.LZ4(1), "ZSTD": uproot.ZSTD(1), "ZLIB": uproot.ZLIB(1), "none": None}
        self.path = Path(path)
        self.tree = tree
        self.entries = 0
        self._spell = spell
        self._counters = dict(counters or {})
        self._metadata = {} if metadata is None else metadata
        self._told: Mapping[str, Any] = {}
        self._types: dict[str, ColumnType] = {}
        self._link: LinkWriter | None = None
        self._narrowed: set[str] = set()
        self._filled: set[str] = set()
        self._pieces = Pieces()
        self._output: Any = None
        self._failed = False
        with self._errors():
            if not self.path.parent.is_dir():  # uproot would make it
                raise OutputError(f"there is no folder {self.path.parent}", where=str(self.path))
            self._file = uproot.recreate(str(self.path), compression=codecs[compression])

    @abstractmethod
    def _check_types(self, types: Mapping[str, ColumnType]) -> None:
        """Refuse columns that this kind of tree cannot hold, with OutputError."""

    def _made_counters(self) -> dict[str, list[str]]:
        """Return what the metadata must say of branches that count lists and are no columns."""
        return {}

    @abstractmethod
    def _make(self) -> Any:
        """Make the empty tree for ``self._types``; OutputError where it cannot hold them."""

    @abstractmethod
    def _extend(self, columns: Mapping[str, Column]) -> None:
        """Append one piece."""

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the events of a chunk; every call brings the same columns."""
        with self._errors():
            columns = self._in_file(columns)
            if not self._types:
                types = {name: column_type(name, column) for name, column in columns.items()}
                check_spelling(types, self._spell, str(self.path), fields=self.fields)
                self._check_types(types)
                self._types = types
            self._check_columns(columns)
            columns = {name: self._present(name, column) for name, column in self._recounted(columns).items()}
            for piece in self._pieces.add({name: self._cast(name, column) for name, column in columns.items()}):
                self._write_piece(piece)

    def close(self) -> None:
        """Write what is left and close the file; OutputError where an earlier write failed: the file is not whole."""
        if self._failed:
            raise OutputError("this output is not whole, because writing it failed before", where=str(self.path))
        with self._errors():
            if not self._types:
                raise OutputError(
                    f"{self.tree} has no columns",
                    where=str(self.path),
                    hint="a chunk without events gives names and types",
                )
            for piece in self._pieces.rest():
                self._write_piece(piece)
            self._begin()
            self._file[METADATA_KEY] = metadata_text({**self._metadata, **self._told})
            self._file.close()

    def _begin(self) -> None:
        """Make the tree and say how the file is made, where that is not done."""
        if self._output is None:
            self._check_known()
            spelled = {name: self._spell(name) for name in self._types}
            if self.fields:
                spelled = {name: field_name(spelling) for name, spelling in spelled.items()}
            names = noted_names(spelled, self.tree)
            counters = {owner: spelled[name] for owner, name in self._counters.items() if name in spelled}
            lists = noted_lists(self._types, counters, shared=self.fields and bool(names or counters))
            note = {"note": NOTE} if self.tree in XAOD_TREES else {}
            self._told = {**names, **lists, **self._made_counters(), **note}
            self._output = self._make()

    def _write_piece(self, columns: Mapping[str, Column]) -> None:
        self._begin()
        self._extend(columns)
        self.entries += len(next(iter(columns.values())))

    def _in_file(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Return the columns with links as the file spells them."""
        if self._link is None:
            spelled = {name.partition(".")[0]: split_spelling(self._spell(name)) for name in columns}
            self._link = LinkWriter({name: parts[0] for name, parts in spelled.items() if parts})
        return {name: self._link(one) if has_links(one.content) else one for name, one in columns.items()}

    def _cast(self, name: str, column: Column) -> Column:
        found = column_type(name, column)
        first = len(column.content) and name not in self._filled and self._output is None
        if (found.known and first) or not self._types[name].known:  # what a column without a value said was a guess
            self._check_types({**self._types, name: found})
            self._types[name] = found
        if len(column.content):
            self._filled.add(name)
        cast, narrowed = cast_column(name, column, found, self._types[name])
        if narrowed and name not in self._narrowed:
            self._narrowed.add(name)
            _log.warning(
                "%s: %s values are written as %s, as in the first chunk", name, found.dtype, self._types[name].dtype
            )
        return cast

    def _check_columns(self, columns: Mapping[str, Column]) -> None:
        if columns.keys() != self._types.keys():
            missing, added = sorted(self._types.keys() - columns.keys()), sorted(columns.keys() - self._types.keys())
            raise OutputError(
                f"this chunk has other columns than the first: without {missing}, with {added}",
                where=str(self.path),
                hint="a tool must write the same columns in every chunk, also where it has no objects",
            )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise OutputError(f"columns differ in their numbers of events: {lengths}", where=str(self.path))
        first: dict[str, str] = {}
        for name, column in columns.items():
            if column.offsets is None:
                continue
            other = first.setdefault(name.partition(".")[0], name)
            known = columns[other].offsets
            if known is not column.offsets and not np.array_equal(known, column.offsets):  # type: ignore[arg-type]
                raise OutputError(f"{other} and {name} have different numbers of objects", where=str(self.path))

    def _recounted(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """Return the columns with those that count the objects of a container as the objects now are."""
        lists = {name.partition(".")[0]: column.offsets for name, column in columns.items()}
        fresh = {
            counter: Column(None, np.diff(offsets).astype(columns[counter].content.dtype))
            for owner, counter in self._counters.items()
            if counter in columns and (offsets := lists.get(owner)) is not None
        }
        return {**columns, **fresh}

    def _present(self, name: str, column: Column) -> Column:
        """Return a column without what is missing: as in an xAOD, an event where no object has a value gets an empty
        list.
        """
        if column.missing is None or column.offsets is None or not column.missing.any():
            return column
        counts = np.diff(column.offsets)
        gone = np.diff(offsets_from(column.missing)[column.offsets])
        whole = isinstance(column.content, np.ndarray) and column.content.dtype.kind != "f"
        if whole and (gone[gone < counts] > 0).any():
            raise OutputError(
                f"{name} is missing for some objects of an event, and {column.content.dtype} cannot say so",
                where=str(self.path),
                hint="an xAOD has such a column for all objects of an event, or none; write floats, or fill it",
            )
        empty = gone == counts
        content = column.content[~np.repeat(empty, counts)]
        return Column(offsets_from(np.where(empty, 0, counts)), content)

    def _check_known(self) -> None:
        unknown = [name for name, found in self._types.items() if not found.known]
        if unknown:
            raise OutputError(
                f"the type of {', '.join(unknown)} is unknown, because all lists were empty and untyped",
                where=str(self.path),
                hint="give the values a type, e.g. with ak.values_astype(values, np.float32)",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the file system into OutputError, and remember that the file is not whole."""
        try:
            yield
        except BaseException as error:
            self._failed = True
            with suppress(Exception):
                self._file.close()
            if isinstance(error, HepflowError) or not isinstance(error, Exception):
                raise
            hint = f"is the folder writable? {_free_space(self.path)}"
            if (year := datetime.now().year) < FIRST_YEAR:
                hint = f"the clock of this machine says {year}: a ROOT file cannot have a date before {FIRST_YEAR}"
            raise OutputError(f"writing failed: {error}", where=str(self.path), hint=hint) from error


def add_metadata(path: Path, told: Mapping[str, Any]) -> None:
    """Say more of how a file was made, in a copy of it that takes its place."""
    import uproot

    with replacing(path) as temporary:
        shutil.copyfile(path, temporary)
        with uproot.update(temporary) as file:
            file[METADATA_KEY] = metadata_text({**read_metadata(file, str(path)), **told})


def _free_space(path: Path) -> str:
    with suppress(OSError):
        return f"free on this disk: {shutil.disk_usage(path.parent).free / 1e6:.0f} MB"
    return ""


class TTreeWriter(_RootWriter):
    """Writes a TTree of numbers and lists of numbers; lists of one container share a counter, ``n<container>`` where
    nothing else is known.
    """

    fields: ClassVar[bool] = False

    def _check_types(self, types: Mapping[str, ColumnType]) -> None:
        refused = {name: found for name, found in types.items() if found.levels > 1 or not found.is_number}
        if refused:
            listed = ", ".join(f"{name} ({found})" for name, found in refused.items())
            raise OutputError(
                f"a TTree cannot hold {listed}",
                where=str(self.path),
                hint="write an RNTuple, or leave these columns out: a TTree holds numbers and lists of numbers",
            )

    def _made_counters(self) -> dict[str, list[str]]:
        made = sorted(self._lists.keys() - {self._spell(name) for name in self._types})
        return {COUNTERS: made} if made else {}

    @cached_property
    def _lists(self) -> dict[str, list[str]]:
        """Return counter → the columns whose lists it counts: those of one container, or one with lists of its own."""
        groups: dict[str, list[str]] = defaultdict(list)
        for name, found in self._types.items():
            if found.jagged:
                groups[name.partition(".")[0]].append(name)
            elif found.levels:
                groups[name] = [name]
        known = {owner: self._spell(counter) for owner, counter in self._counters.items()}
        taken = {self._spell(name) for name, found in self._types.items() if not found.levels}
        lists: dict[str, list[str]] = {}
        for owner, members in groups.items():
            counter = known.get(owner) or _counter_name(self._spell(members[0]), owner)
            while counter in lists or (counter in taken and counter != known.get(owner)):
                counter += "_"
            lists[counter] = members
        return lists

    def _numbers(self) -> list[str]:
        """Return the columns with one number an entry, without the counters: these come with their lists."""
        listed = {name for members in self._lists.values() for name in members}
        return [name for name in self._types if name not in listed and self._spell(name) not in self._lists]

    def _make(self) -> Any:
        import awkward as ak

        branches: dict[str, Any] = {self._spell(name): np.dtype(self._types[name].dtype) for name in self._numbers()}
        for counter, members in self._lists.items():
            numbers = [ak.types.NumpyType(self._types[name].dtype) for name in members]
            branches[f"[{counter}]"] = ak.types.ListType(ak.types.RecordType(numbers, members))
        tree = self._file.mktree(
            self.tree,
            branches,
            counter_name=lambda counted: counted[1:-1],
            field_name=lambda outer, inner: self._spell(inner),
        )
        types = {self._spell(name): np.dtype(found.dtype) for name, found in self._types.items() if not found.levels}
        _retype_counters(tree, {name: types[name] for name in self._lists if name in types})
        return tree

    def _extend(self, columns: Mapping[str, Column]) -> None:
        import awkward as ak

        branches: dict[str, Any] = {self._spell(name): columns[name].content for name in self._numbers()}
        for counter, members in self._lists.items():
            offsets, contents = zip(*(_list_parts(columns[name]) for name in members), strict=True)
            branches[f"[{counter}]"] = ak.Array(
                ak.contents.ListOffsetArray(ak.index.Index64(offsets[0]), ak.contents.RecordArray(contents, members))
            )
        self._output.extend(branches)


def _retype_counters(tree: Any, types: Mapping[str, np.dtype[Any]]) -> None:
    """Give the counters of an empty tree their types as columns: uproot makes all int32.

    Those of 8 bits stay so: RDataFrame crashes on them.
    """
    made = tree._cascading
    check_parts(made, ("_branch_np", "_branch_lookup", "_branch_data", "_relocate"))
    wide = {name: dtype for name, dtype in types.items() if dtype.itemsize > 1}
    for name, dtype in wide.items():
        fresh = made._branch_np(name, dtype, dtype, kind="counter")
        made._branch_data[made._branch_lookup[name]].update(dtype=fresh["dtype"], fTitle=fresh["fTitle"])
    if wide:
        made._relocate(tree._file, tree._file.sink)


def _counter_name(spelling: str, owner: str) -> str:
    counted = spelling if "." in owner else spelling.partition(".")[0] if "." in spelling else owner
    return "n" + re.sub(r"\W", "_", counted)


def _list_parts(column: Column) -> tuple[Any, Any]:
    """Return offsets from 0 and the numbers in lists, of a column of objects or of one with a list an entry."""
    if column.offsets is not None:
        return column.offsets, inner_layout(column.content)
    lists = normal_layout(inner_layout(column.content))
    return lists.offsets.data, lists.content


class RNTupleWriter(_RootWriter):
    """Writes an RNTuple of numbers, strings, links and ``std::vector``s of these, with a checksum of each page; names
    have ``:`` instead of dots.
    """

    fields: ClassVar[bool] = True

    def _check_types(self, types: Mapping[str, ColumnType]) -> None:
        """Accept all types."""

    def _make(self) -> Any:
        fields = {field_name(self._spell(name)): found for name, found in self._types.items()}
        return create(self._file, self.tree, fields)

    def _extend(self, columns: Mapping[str, Column]) -> None:
        arrays = [array for name in self._types for array in arrays_of(columns[name])]
        append(self._output, arrays, len(next(iter(columns.values()))))
