"""What the readers of ROOT files share: names, schema, alignment of columns, errors that say which column failed."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import xxhash

from hepflow.errors import ColumnError, DamagedError, HepflowError, InputError, nearest
from hepflow.events.column import Column
from hepflow.io.alignment import aligned, marked_rare, shapes_of, with_shapes
from hepflow.io.blocks import cut_blocks
from hepflow.io.bookkeeping import bookkept
from hepflow.io.cpptypes import LINK
from hepflow.io.links import LinkReader
from hepflow.io.names import canonical_names, split_spelling, whole_store
from hepflow.io.opening import first_line, local_path, open_root
from hepflow.io.spelling import Notes
from hepflow.io.trees import TTREE, OpenTree, choose_tree, count_entries, find_trees, open_tree
from hepflow.normalisation import Normalisation
from hepflow.protocols import ColumnInfo, FileSchema

__all__ = ["METADATA_KEY", "RootReader", "metadata_text", "read_metadata"]

METADATA_KEY = "hepflow"
"""Name of the TObjString in which hepflow's writers say how a file was made (JSON, with a checksum of the rest)."""
_CHECKED = re.compile(r'(.*), "xxh3": "([0-9a-f]{16})"\}', re.DOTALL)


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """Return what stands under ``METADATA_KEY``; ``metadata`` is not empty."""
    text = json.dumps(metadata, sort_keys=True)
    return f'{text[:-1]}, "xxh3": "{_digest(text)}"}}'


def read_metadata(file: Any, path: str) -> dict[str, Any]:
    """Return what hepflow's writers say in an open ROOT file of how it was made; DamagedError where that changed."""
    if dict(file.classnames(recursive=False, cycle=False)).get(METADATA_KEY) != "TObjString":
        return {}
    text = str(file[METADATA_KEY])
    checked = _CHECKED.fullmatch(text)
    if checked:
        text = checked[1] + "}"
        if _digest(text) != checked[2]:
            raise DamagedError(
                "the checksum of what hepflow noted in this file does not fit",
                where=path,
                hint="the file is damaged; copy or produce it again",
            )
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _digest(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogateescape"))


class RootReader(ABC):
    """One tree of events of an open ROOT file (see ``hepflow.protocols.Reader``).

    ``opened`` is the tree where it is open already, otherwise the file's default. Raises InputError where it cannot be
    opened or is of another format.
    """

    format: ClassVar[str]
    scheme: ClassVar[str] = ""
    repeated: ClassVar[bool] = False
    energy_unit: ClassVar[str] = "MeV"

    def __init__(self, path: str, opened: OpenTree | None = None) -> None:
        self.path = path
        self._opened = opened if opened is not None else _open_default(path)
        self._tree = self._opened.tree
        self.tree_name = self._opened.name
        if not self.recognises(self._opened):
            self.close()
            raise InputError(f"{self.tree_name} is not of the format {self.format}", where=path)
        if self._opened.called and not self.repeated:
            self.close()
            raise InputError(
                f"{self.tree_name} is an xAOD, whose containers have names of their own",
                where=path,
                hint=f"leave ={self._opened.called} out: it is for ntuples",
            )

    @classmethod
    @abstractmethod
    def recognises(cls, opened: OpenTree) -> bool:
        """Return whether a tree is of this format."""

    @property
    def container(self) -> str:
        """Return the container of what belongs to no other: what the rows are called, else the tree, without the folder
        it is in.
        """
        return self._opened.called or self._opened.own

    def others(self) -> dict[str, int]:
        """Return name → number of entries of the other trees of the file."""
        file = self._opened.file
        found = {name: kind for name, kind in find_trees(self.path, file).items() if name != self.tree_name}
        return count_entries(self.path, file, found)

    def names(self, found: Mapping[str, ColumnInfo | None]) -> dict[str, str]:
        """Return hepflow's name → spelling in the file; those of an xAOD unless a format says otherwise.

        ``found`` is what the file holds by spelling: a description, or None for what cannot be read.
        """
        known = {spelling for spelling, info in found.items() if info is not None or split_spelling(spelling)}
        return canonical_names([spelling for spelling in found if spelling in known], tree=self.container)

    def _named(self, found: Mapping[str, ColumnInfo | None], noted: Mapping[str, str]) -> dict[str, str]:
        """Return name → spelling: as hepflow wrote it down in the file, else by the rules of the format."""
        known = {noted[spelling]: spelling for spelling in found if spelling in noted}
        left = {spelling: info for spelling, info in found.items() if spelling not in noted}
        return {**self.names(left), **known} if known else self.names(left)

    def per_event(self, columns: Iterable[ColumnInfo]) -> set[str]:
        """Return the containers with one entry an event, whose lists are lists of that one entry (``EventInfo``).

        A container is one where any of its columns has one value an event; that of the tree is one.
        """
        return {info.container for info in columns if info.depth == 0} | {self.container}

    def second(self, columns: Mapping[str, ColumnInfo]) -> dict[str, ColumnInfo]:
        """Return the second names of columns (see ``FileSchema``)."""
        return {}

    def naming(self, columns: Mapping[str, ColumnInfo]) -> str:
        """Return how names were made, in a line; nothing where they are those of an xAOD."""
        return ""

    def unit(self, metadata: Mapping[str, Any]) -> str:
        """Return the energy unit of the columns: what hepflow wrote down in the file, else that of the format."""
        return str(metadata.get("energy_unit", self.energy_unit))

    def schema(self) -> FileSchema:
        """Describe the file (made once)."""
        return self._schema

    def bookkept(self) -> Normalisation | None:
        """Return what the bookkeeping of a NanoAOD or xAOD says; None where nothing, or hepflow's own metadata, do."""
        return None if self._schema.metadata else bookkept(self._opened)

    @property
    def identity(self) -> str:
        """Return the UUID of the ROOT file."""
        return str(self._opened.file.file.uuid)

    @cached_property
    def _schema(self) -> FileSchema:
        try:
            metadata = self._metadata()
            found, reasons = self._describe()
            notes = self._notes(metadata)
            found = {spelling: info for spelling, info in found.items() if spelling not in notes.counters}
            names = self._named({**found, **dict.fromkeys(reasons)}, notes.names)
            columns = {name: replace(found[source], name=name) for name, source in names.items() if source in found}
            unreadable = {name: reasons[source] for name, source in names.items() if source in reasons}
            unnamed = {*found, *reasons} - {*names.values()}
            unreadable |= {whole_store(one): reasons.get(one, "another has its name") for one in sorted(unnamed)}
            columns = {name: _counted(info, notes.lists) for name, info in columns.items()}
            singles = self.per_event(columns.values()) | notes.singles
            columns = {name: replace(info, single=info.container in singles) for name, info in columns.items()}
            columns = with_shapes(columns, counted=self._opened.kind == TTREE)
            entries, boundaries = int(self._tree.num_entries), self._boundaries(columns.values())
        except HepflowError:
            raise
        except Exception as error:
            raise DamagedError(
                f"the tree {self.tree_name} cannot be understood: {first_line(error)}",
                where=self.path,
                hint="the file is damaged, or of a newer kind than the installed uproot reads",
            ) from error
        local = local_path(self.path)
        status = local.stat() if local is not None else None
        return FileSchema(
            path=self.path,
            format=self.format,
            tree="=".join(filter(None, (self.tree_name, self._opened.called))),
            entries=entries,
            columns=columns,
            boundaries=boundaries,
            identity=self.identity,
            size=status.st_size if status else int(self._opened.file.file.fEND),
            mtime=status.st_mtime if status else 0.0,
            repeated=self.repeated,
            unreadable=unreadable,
            energy_unit=self.unit(metadata),
            metadata=metadata,
            second=self.second(columns),
            naming=self.naming(columns),
        )

    def _metadata(self) -> Mapping[str, Any]:
        return read_metadata(self._opened.file, self.path)

    def _notes(self, metadata: Mapping[str, Any]) -> Notes:
        """Return what hepflow wrote down of the columns, with the container of the tree as it is called here."""
        return Notes.read(metadata).renamed(self._opened.own, self.container)

    @abstractmethod
    def _describe(self) -> tuple[dict[str, ColumnInfo], dict[str, str]]:
        """Return the columns by their spelling in the file, and what cannot be read with the reason."""

    @abstractmethod
    def _boundaries(self, columns: Iterable[ColumnInfo]) -> tuple[int, ...]:
        """Return the entries at which all these columns may be cut, from 0 to the number of entries."""

    @abstractmethod
    def _size(self, columns: Iterable[ColumnInfo]) -> int:
        """Return the bytes that all entries of these columns take when they are unpacked."""

    @abstractmethod
    def _fetch(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        """Read columns; any exception is translated by ``read``."""

    def boundaries(self, columns: Sequence[ColumnInfo]) -> Sequence[int]:
        """Return where reading these columns may be cut without unpacking a basket or cluster twice."""
        self._check_sources(columns)
        return self._boundaries(columns)

    def blocks(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> Sequence[tuple[int, int]]:
        """Return the pieces of ``[start, stop)`` to read in one call each: small, and cut at baskets or clusters."""
        try:
            per_entry, marks = self._size(columns) / max(int(self._tree.num_entries), 1), self._boundaries(columns)
        except KeyError:
            self._check_sources(columns)
            raise
        return cut_blocks(marks, per_entry, start, stop)

    def read(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        """Read the entries ``[start, stop)`` of columns of this file's schema in one call; name → Column.

        The schema is not made again where it came with the plan: for a DAOD that takes up to a second.
        Lists of a container with one entry an event come as ``Column(None, lists)``. Raises InputError where the file
        cannot be read and ColumnError where columns of one container differ in their numbers of objects; a column that
        has none in an event is missing there.
        """
        if not columns:
            return {}
        shapes = shapes_of(columns)
        try:
            values = self._fetch([*columns, *shapes], start, stop)
            _check_lengths(values, stop - start)
        except HepflowError:
            raise
        except Exception as error:
            self._check_sources(columns)
            where = f"{self.path}, {self.tree_name}, entries [{start}, {stop}), {self._culprits(columns, start, stop)}"
            raise InputError(
                f"reading failed: {first_line(error)}",
                where=where,
                hint="the file is damaged or truncated; copy or produce it again, or leave it out of the input",
            ) from error
        values = aligned(values, shapes, f"{self.path}, {self.tree_name}, entries [{start}, {stop})")
        values = {info.name: marked_rare(info, values[info.name]) for info in columns}
        return {
            info.name: self._links(values[info.name]) if info.dtype == LINK else values[info.name] for info in columns
        }

    @cached_property
    def _links(self) -> LinkReader:
        """What makes links of this file links of the event store."""
        names = self._named(dict.fromkeys(self._spellings()), self._notes(self._metadata()).names)
        found = ((name.partition(".")[0], split_spelling(spelling)) for name, spelling in names.items())
        containers = {parts[0]: container for container, parts in found if parts and container != self.container}
        return LinkReader(containers, self._classes())

    @abstractmethod
    def _spellings(self) -> Iterable[str]:
        """Return how the file spells its columns, those that cannot be read included."""

    @abstractmethod
    def _classes(self) -> Mapping[str, str]:
        """Return the C++ classes of the containers that the file holds as objects, by name."""

    def _check_sources(self, columns: Sequence[ColumnInfo]) -> None:
        known = {**self.schema().second, **self.schema().columns}
        for info in columns:
            if info.name not in known:
                raise ColumnError(
                    f"there is no column {info.name}", where=self.path, hint=nearest(info.name, known, what="columns")
                )

    def _culprits(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> str:
        bad = [info.name for info in columns if self._fails(info, start, stop)]
        return "column " + ", ".join(bad or [info.name for info in columns])

    def _fails(self, info: ColumnInfo, start: int, stop: int) -> bool:
        try:
            self._fetch([info], start, stop)
        except Exception:
            return True
        return False

    def close(self) -> None:
        """Close the file."""
        self._opened.close()


def _check_lengths(values: Mapping[str, Column], entries: int) -> None:
    for name, column in values.items():
        if len(column) != entries:
            raise ValueError(f"{name} has {len(column)} entries, not {entries}")


def _counted(info: ColumnInfo, lists: Mapping[str, str]) -> ColumnInfo:
    """Return a column with what counts its lists, where hepflow wrote that down."""
    if not lists or not info.depth or info.counter or info.container not in lists:
        return info
    return replace(info, counter=lists[info.container] or info.container)


def _open_default(path: str) -> OpenTree:
    file = open_root(path)
    try:
        return open_tree(path, file, choose_tree(path, file))
    except BaseException:
        file.close()
        raise
