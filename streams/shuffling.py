"""Shuffling more rows than fit into memory: what a DatasetStream does with its rows between a work unit and the end.

A work unit writes blocks of rows sorted by key into a part. In the end each range of keys is small enough to be sorted
in memory: it is picked out of the blocks of all parts where they stand. Where that would be too many small pieces,
blocks are dealt out to ranges through temporary files. Few files are open at a time: many ranges are dealt out to
groups of them first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError, InputError, OutputError
from hepflow.events.column import Column
from hepflow.io.hdf5 import DatasetLayout, as_bytes, spans
from hepflow.trainingset import training_set_of

if TYPE_CHECKING:
    from hepflow.streams.dataset import DatasetStream

__all__ = ["KEPT", "Ends", "Part", "PartWriter", "Rows", "few", "picked", "ranges", "shuffled"]

BLOCK_BYTES = 32 * 2**20
"""Bytes of rows that are sorted in memory at a time, at the end; a quarter of it in a work unit."""
STEP = 32_768
"""Rows that are made together, however many a chunk has."""
FILES = 64
"""Ranges of keys, or groups of them, that rows are dealt out to at a time."""
PICKED = 65_536
"""Pieces, of so many ranges of keys and blocks, that are picked out of the parts; more are dealt out."""
KEPT = "is the disk full? finished work units are kept, --resume continues"
_LENGTH = 8
"""Bytes of a number in a file: of the rows that follow, of the text at the end of a part."""


class Rows(NamedTuple):
    """Rows without their objects (``DatasetStream.row_type``), and the objects of each sequence, row after row."""

    rows: npt.NDArray[Any]
    objects: dict[str, npt.NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Return the bytes of the rows and the objects."""
        return self.rows.nbytes + sum(objects.nbytes for objects in self.objects.values())

    @classmethod
    def joined(cls, pieces: Sequence[Rows]) -> Rows:
        """Return the rows of all pieces, one piece after the other."""
        if len(pieces) == 1:  # the usual case
            return pieces[0]
        groups = pieces[0].objects
        objects = {group: _concatenated([piece.objects[group] for piece in pieces]) for group in groups}
        return cls(_concatenated([piece.rows for piece in pieces]), objects)

    @classmethod
    def empty(cls, kinds: Mapping[str, np.dtype[Any]]) -> Rows:
        """Return no rows, of the types of ``Part.kinds``."""
        (_, rows), *objects = ((name, np.empty(0, dtype=kind)) for name, kind in kinds.items())
        return cls(rows, dict(objects))

    def sorted(self, caps: Mapping[str, int] | None = None) -> Rows:
        """Return the rows sorted by key, each with at most so many objects of a sequence, if ``caps`` are given."""
        order = np.argsort(self.rows["key"], kind="stable")
        rows = as_bytes(self.rows)[order].view(self.rows.dtype)
        objects = {}
        for group, values in self.objects.items():
            counts = self.rows[group]
            if caps is not None:
                rows[group] = np.minimum(counts[order], caps[group])
            kept = spans((np.cumsum(counts) - counts)[order], rows[group])
            objects[group] = as_bytes(values)[kept].view(values.dtype)
        return Rows(rows, objects)

    def split(self, keys: npt.NDArray[np.uint64]) -> Iterator[Rows]:
        """Yield views of sorted rows, for each key of those from it on to the next."""
        edges, *places = _edges(self.rows, keys, self.objects)
        for number, (start, stop) in enumerate(pairwise(edges)):
            parts = {group: slice(*ends[number : number + 2]) for group, ends in zip(self.objects, places, strict=True)}
            yield Rows(self.rows[start:stop], {group: self.objects[group][part] for group, part in parts.items()})

    def write(self, file: IO[bytes]) -> None:
        """Append the rows to a file: their number, themselves, the objects of one sequence after the other."""
        file.write(len(self.rows).to_bytes(_LENGTH, "little"))
        for values in (self.rows, *self.objects.values()):
            file.write(np.ascontiguousarray(values).view(np.uint8).data)


def _concatenated(values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate([as_bytes(part) for part in values]).view(values[0].dtype)


def _edges(rows: npt.NDArray[Any], keys: npt.NDArray[np.uint64], groups: Iterable[str]) -> list[npt.NDArray[np.int64]]:
    """Return where the range of each key begins, and the last ends, among sorted rows and the objects of each group."""
    edges = np.append(np.searchsorted(rows["key"], keys), len(rows))
    return [edges, *(np.append(0, np.cumsum(rows[group], dtype=np.int64))[edges] for group in groups)]


def _read(file: IO[bytes], end: int, number: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    if number < 0 or file.tell() + number * kind.itemsize > end:
        raise ValueError("a block is longer than its file")
    return np.frombuffer(file.read(number * kind.itemsize), dtype=kind)


def _blocks(file: IO[bytes], end: int, kinds: Mapping[str, np.dtype[Any]]) -> Iterator[Rows]:
    """Yield what ``Rows.write`` wrote, from where the file stands up to ``end``; ValueError where that is damaged."""
    (_, row_kind), *sequences = kinds.items()
    while file.tell() < end:
        rows = _read(file, end, int.from_bytes(file.read(_LENGTH), "little"), row_kind)
        counts = {group: int(rows[group].sum(dtype=np.int64)) for group, _ in sequences}
        yield Rows(rows, {group: _read(file, end, counts[group], kind) for group, kind in sequences})


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Ends(NamedTuple):
    """What the end of a part says: its rows by fold and class (``counts``), those of negative weight, and their bytes
    by fold.
    """

    counts: npt.NDArray[np.int64]
    negative: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def plus(self, other: Ends) -> Ends:
        """Return what both say together."""
        return Ends(self.counts + other.counts, self.negative + other.negative, self.sizes + other.sizes)


class PartWriter:
    """Writes blocks of sorted rows, then a JSON text (types of kept columns, metadata, ``Ends``), then the length of
    the text.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any], stream: DatasetStream) -> None:
        self._stream = stream
        self._metadata = metadata
        self._file = path.open("wb")
        self._layout: DatasetLayout | None = None
        self._block: list[Rows] = []
        self._taken = 0
        self._declared = training_set_of(stream)
        folds, classes = self._declared.fold_number, max(len(self._declared.classes), 1)
        self._ends = Ends(*(np.zeros(shape, dtype=np.int64) for shape in ((folds, classes), (folds, classes), folds)))

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the rows of a chunk."""
        layout = self._stream.layout(columns)
        if self._layout is None:
            self._layout = layout
        elif layout != self._layout:
            raise ColumnError(f"columns change their types: {dict(self._layout.columns)}, then {dict(layout.columns)}")
        for start in range(0, len(columns[self._declared.fold_column]), STEP):
            part = {name: column[start : start + STEP] for name, column in columns.items()}
            self._block.append(self._stream.rows(part, layout, self._taken))
            self._taken += len(self._block[-1].rows)
            if sum(piece.nbytes for piece in self._block) >= BLOCK_BYTES // 4:
                self._flush()

    def _flush(self) -> None:
        """Sort the block and write it."""
        block = Rows.joined(self._block).sorted(self._declared.caps)
        self._block = []
        own: Any = block.rows[self._declared.called]
        labels = own[own.dtype.names[0]] if self._declared.classes else np.zeros(len(own), dtype=np.int64)
        counts, negative, sizes = self._ends
        np.add.at(counts, (own["fold"], labels), 1)
        np.add.at(negative, (own["fold"], labels), own["weight"] < 0)
        folds = np.arange(len(sizes), dtype=np.uint64) << np.uint64(56)
        sizes += [rows.nbytes for rows in block.split(folds)]
        with self._writing():
            block.write(self._file)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"a part of the data set cannot be written: {error.strerror or error}",
                where=self._file.name,
                hint=KEPT,
            ) from error

    def close(self) -> None:
        """Write what is left and the text."""
        with self._writing(), self._file:
            if self._layout is None:
                return
            if self._block:
                self._flush()
            ends = {name: values.tolist() for name, values in self._ends._asdict().items()}
            told = {"columns": dict(self._layout.columns), "metadata": self._metadata, "ends": ends}
            text = json.dumps(told, default=str).encode()
            self._file.write(text + len(text).to_bytes(_LENGTH, "little"))


class Part:
    """A finished part: its metadata, ``ends``, layout, ``kinds`` (the types of its rows, then of the objects of each
    sequence); InputError where it is damaged. What another part knows is not worked out again.
    """

    def __init__(self, path: Path, stream: DatasetStream, other: Part | None = None) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                end = file.seek(-_LENGTH, os.SEEK_END)
                length = int.from_bytes(file.read(_LENGTH), "little")
                self._end = file.seek(end - length)
                content = json.loads(file.read(length))
            self.metadata: dict[str, Any] = content["metadata"]
            self.columns: dict[str, str] = content["columns"]
            self.ends = Ends(**{name: np.asarray(value, dtype=np.int64) for name, value in content["ends"].items()})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damaged(self._path) from error
        self.layout: DatasetLayout
        self.kinds: dict[str, np.dtype[Any]]
        if other is not None and self.columns == other.columns:
            self.layout, self.kinds = other.layout, other.kinds
        else:
            self.layout, self.kinds = stream.part_types(self.columns)

    def blocks(self) -> Iterator[Rows]:
        """Yield the blocks of sorted rows."""
        read = 0
        try:
            with self._path.open("rb") as file:
                for block in _blocks(file, self._end, self.kinds):
                    read += block.nbytes
                    yield block
        except (OSError, ValueError) as error:
            raise _damaged(self._path) from error
        if read != self.ends.sizes.sum():
            raise _damaged(self._path)

    def places(self, keys: npt.NDArray[np.uint64]) -> list[npt.NDArray[np.int64]]:
        """Return for each block the bytes of the file at which each range of keys begins, and the last ends (first
        axis: the rows, then the objects of each sequence).
        """
        (_, row_kind), *sequences = self.kinds.items()
        places, read = [], 0
        try:
            with self._path.open("rb") as file:
                while (start := file.tell() + _LENGTH) < self._end:
                    rows = _read(file, self._end, int.from_bytes(file.read(_LENGTH), "little"), row_kind)
                    block = []
                    for edges, kind in zip(_edges(rows, keys, dict(sequences)), self.kinds.values(), strict=True):
                        block.append(start + edges * kind.itemsize)
                        start = int(block[-1][-1])
                    places.append(np.array(block))
                    read += start - int(block[0][0])
                    file.seek(start)
        except (OSError, ValueError) as error:
            raise _damaged(self._path) from error
        if read != self.ends.sizes.sum():
            raise _damaged(self._path)
        return places


def _damaged(path: Path) -> InputError:
    return InputError(f"a part of the data set is damaged: {path}", hint="start anew with --force")


# ── at the end ───────────────────────────────────────────────────────────────────────────────────────────────────────


def ranges(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the first key of each range of keys, small enough to be sorted in memory, given the bytes of each fold."""
    keys = []
    for fold, size in enumerate(sizes.tolist()):
        pieces = max(1, -(-size // BLOCK_BYTES))
        keys += [(fold << 56) + (piece << 56) // pieces for piece in range(pieces)]
    return np.array(keys, dtype=np.uint64)


def few(parts: int, size: int, keys: npt.NDArray[np.uint64]) -> bool:
    """Return whether so many parts, of so many bytes together, are few enough to pick each range of keys out of."""
    return (parts + size // (BLOCK_BYTES // 4)) * len(keys) <= PICKED


def picked(
    places: Mapping[Path, list[npt.NDArray[np.int64]]], number: int, kinds: Mapping[str, np.dtype[Any]]
) -> Iterator[Rows]:
    """Yield the same as ``shuffled`` of ``number`` keys, read from where it stands: ``places`` are those of each part
    (``Part.places``).
    """
    ends = [block for blocks in places.values() for block in blocks]
    for key in range(number):
        sizes = sum((block[:, key + 1] - block[:, key] for block in ends), np.zeros(len(kinds), np.int64))
        values = [np.empty(size, dtype=np.uint8) for size in sizes]
        rest = [memoryview(value) for value in values]  # type: ignore[arg-type]
        for path, blocks in places.items():
            _fill(rest, path, [block[:, key : key + 2] for block in blocks])
        (_, rows), *objects = ((n, v.view(kind)) for v, (n, kind) in zip(values, kinds.items(), strict=True))
        yield Rows(rows, dict(objects))


def _fill(rest: list[memoryview], path: Path, spans: Sequence[npt.NDArray[np.int64]]) -> None:
    """Read bytes of a part into the beginning of each of ``rest``, and leave there what is still to be filled."""
    try:
        with path.open("rb", buffering=0) as file:
            for block in spans:
                for place, (start, stop) in enumerate(block.tolist()):
                    file.seek(start)
                    if stop > start and file.readinto(rest[place][: stop - start]) != stop - start:
                        raise ValueError("the part is shorter than it was")
                    rest[place] = rest[place][stop - start :]
    except (OSError, ValueError) as error:
        raise _damaged(path) from error


def shuffled(
    blocks: Iterable[Rows], keys: npt.NDArray[np.uint64], kinds: Mapping[str, np.dtype[Any]], folder: Path
) -> Iterator[Rows]:
    """Yield, for each key of ``keys`` (ascending), the rows from it on to the next, in the order in which they come.

    ``blocks`` are sorted by key, each for itself. At most ``BLOCK_BYTES`` wait in memory; the rest is in nameless files
    in ``folder``, which the system removes, whatever happens.
    """
    if len(keys) == 1:
        yield Rows.joined([*blocks] or [Rows.empty(kinds)])
        return
    groups = np.array_split(keys, min(FILES, len(keys)))
    piles = [_Pile(group, kinds, folder) for group in groups]
    first = np.array([group[0] for group in groups])
    waiting = 0
    try:
        for block in _gathered(blocks):
            for pile, rows in zip(piles, block.split(first), strict=True):
                pile.add(rows)
            waiting += block.nbytes
            if waiting > BLOCK_BYTES:
                for pile in piles:
                    pile.write()
                waiting = 0
        while piles:
            yield from piles[0].shuffled()
            piles.pop(0).close()
    finally:
        for pile in piles:
            pile.close()


def _gathered(blocks: Iterable[Rows]) -> Iterator[Rows]:
    """Yield sorted blocks that are worth dealing out: many small ones as one."""
    few: list[Rows] = []
    size = 0
    for block in blocks:
        few.append(block)
        size += block.nbytes
        if size >= BLOCK_BYTES // 4:
            yield few[0] if len(few) == 1 else Rows.joined(few).sorted()
            few, size = [], 0
    if few:
        yield Rows.joined(few).sorted()


class _Pile:
    """The rows of some ranges of keys, in memory and in a file."""

    def __init__(self, keys: npt.NDArray[np.uint64], kinds: Mapping[str, np.dtype[Any]], folder: Path) -> None:
        self._keys = keys
        self._kinds = kinds
        self._folder = folder
        self._rows: list[Rows] = []
        self._file: IO[bytes] | None = None

    def add(self, rows: Rows) -> None:
        """Keep rows, in memory for now."""
        if len(rows.rows):
            self._rows.append(rows)

    def write(self) -> None:
        """Move what is in memory into the file."""
        if self._rows:
            self._file = self._file or TemporaryFile(dir=self._folder)  # noqa: SIM115 - close() does
            self._joined().write(self._file)
            self._rows.clear()

    def _joined(self) -> Rows:
        """Return what is in memory; sorted where it is to be dealt out again."""
        rows = Rows.joined(self._rows)
        return rows.sorted() if len(self._keys) > 1 else rows

    def _blocks(self) -> Iterator[Rows]:
        if self._file is not None:
            end = self._file.tell()
            self._file.seek(0)
            yield from _blocks(self._file, end, self._kinds)
        if self._rows:
            yield self._joined()

    def shuffled(self) -> Iterator[Rows]:
        """Yield the rows of each range."""
        return shuffled(self._blocks(), self._keys, self._kinds, self._folder)

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
