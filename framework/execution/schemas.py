"""What is looked up in a file for the plan, and what many files have in common: their schema, kept once, as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from hepflow.errors import ChangedError, DamagedError, HepflowError, InputError, TreeError
from hepflow.execution.inputs import InputFile
from hepflow.io.opening import open_reader
from hepflow.io.stamp import stamp_of
from hepflow.normalisation import NORMALISATION, Normalisation
from hepflow.protocols import ColumnInfo, FileSchema, Reader

__all__ = ["Facts", "Look", "Looked", "Refused", "Skipped", "digest_of", "packed_schema", "read_schema"]

_SHARED = ("format", "tree", "repeated", "unreadable", "unit_entries", "endless", "energy_unit", "metadata")
_COLUMNS = ("columns", "second")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file has of its own: the digest of its schema, its entries, where these may be cut, and what tells it from
    another; ``normalisation`` is what it tells of its samples, None where the bookkeeping of its format was not asked.
    """

    digest: str
    entries: int
    boundaries: tuple[int, ...]
    identity: str
    size: int
    mtime: float
    ctime: int
    normalisation: tuple[Mapping[str, Any], ...] | None = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in a file: its facts, and its schema as ``packed_schema`` packs it."""

    facts: Facts
    schema: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """Why a file that was found in a folder is no input."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The error with which one file ends the plan: nobody but the user can say what is meant."""

    error: HepflowError


class Look:
    """Looks into one file, in whatever process it is called; with ``counts`` into the bookkeeping of its events, too:
    an xAOD has thousands of branches of metadata, which take longer than all else.
    """

    def __init__(self, formats: Sequence[type[Reader]], *, counts: bool = False) -> None:
        self.formats = tuple(formats)
        self.counts = counts

    def __call__(self, file: InputFile) -> Looked | Skipped | Refused | HepflowError:
        """Return what a file holds, itself or else one of its replicas, or why it is none to read."""
        errors: list[HepflowError] = []
        for path in (file.like or file.path, *file.replicas):
            try:
                return self._look(path, file.tree)
            except HepflowError as error:
                errors.append(error)
        first = errors[0]
        if isinstance(first, TreeError) or not isinstance(first, InputError):
            return Refused(first)
        if file.searched and not isinstance(first, DamagedError | ChangedError):
            return Skipped(first.message)
        return first.but(where=f"{first.where}, {file.origin}") if file.origin else first

    def _look(self, path: str, tree: str) -> Looked:
        before = stamp_of(path)
        with closing(open_reader(path, self.formats, tree)) as reader:
            schema = reader.schema()
            numbers = self._numbers(reader, schema, path)
        if stamp_of(path) != before:
            raise ChangedError("this input changed while it was looked into", where=path)
        packed = packed_schema(schema)
        edges = tuple(schema.boundaries)
        told = (schema.entries, edges, schema.identity, schema.size, schema.mtime, before.ctime if before else 0)
        return Looked(Facts(digest_of(packed), *told, numbers), packed)

    def _numbers(self, reader: Reader, schema: FileSchema, path: str) -> tuple[Mapping[str, Any], ...] | None:
        numbers = Normalisation.read(schema.metadata, path)
        if not numbers and not schema.metadata:
            if not self.counts:
                return None
            found = reader.bookkept()
            numbers = [] if found is None else [found]
        return tuple(one.told() for one in numbers)


def packed_schema(schema: FileSchema) -> bytes:
    """Return what a schema has in common with those of other files: columns without their sizes in this one."""
    told: dict[str, Any] = {name: getattr(schema, name) for name in _SHARED}
    told["metadata"] = {name: value for name, value in schema.metadata.items() if name != NORMALISATION}
    for part in _COLUMNS:
        infos: Mapping[str, ColumnInfo] = getattr(schema, part)
        # whether the number of objects is known counts where a column is read, the number itself does not
        told[part] = [
            [name, *{**vars(info), "nbytes": 0, "compressed": 0, "objects": min(info.objects, 0)}.values()]
            for name, info in infos.items()
        ]
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def read_schema(packed: bytes) -> FileSchema:
    """Return a schema without what a file has of its own."""
    told = json.loads(packed)
    for part in _COLUMNS:
        told[part] = {key: ColumnInfo(name, tuple(sources), *rest) for key, name, sources, *rest in told[part]}
    return FileSchema(path="", entries=0, boundaries=(), **told)


def digest_of(packed: bytes) -> str:
    """Return the name of a packed schema."""
    return hashlib.sha256(packed).hexdigest()[:32]
