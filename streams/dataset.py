"""The data set stream: the HDF5 file that networks are trained from, shuffled across all inputs in bounded memory.

Every row gets a random key from its event number and its place in the work unit; the file is sorted by fold and key. A
work unit writes sorted blocks into a part, with an index of key ranges; ``close`` collects one key range after the
other from all blocks, sorts it in memory, and writes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Stream
from hepflow.errors import ColumnError, InputError, JobOptionsError, OutputError, nearest
from hepflow.events.column import Column
from hepflow.events.export import event_column, object_column
from hepflow.events.random import philox
from hepflow.io.hdf5 import COMPRESSIONS, TAUS, DatasetLayout, DatasetWriter, field_bytes
from hepflow.protocols import ColumnInfo, Writer
from hepflow.variables import Variable

__all__ = ["DatasetStream"]

BLOCK_BYTES = 32 * 2**20
"""Bytes of rows that are sorted in memory at a time, in a work unit and at the end."""
RANGES = 256
"""Key ranges of each fold that the index of a block tells apart."""

Rows = npt.NDArray[Any]


class DatasetStream(Stream):
    """Write a training set: one HDF5 file ``<stream>.h5``, raw values, shuffled (layout: ``hepflow.io.hdf5``).

    Rows are the objects of ``Container``, as an NNDecayModeTree writes them or its ntuple has them. The fold of a tau
    is ``FoldColumn % FoldNumber``; rows are ordered by fold, and shuffled within each. The content depends on the input
    and on ``Seed``, not on the number of workers or the chunk size.
    """

    suffix: ClassVar[str] = ".rows"

    Container = Property("TauJets", "container whose objects are the rows")
    Variables: Property[dict[str, tuple[Variable, ...]]] = Property(
        {}, "group of inputs (a container) → its variables; a group without a cap has one value a row", item=tuple
    )
    Caps: Property[dict[str, int]] = Property({}, "sequence → most objects that are kept of it", item=int)
    Label = Property("TauJets.truthDecayMode", "column that tells the class, or the number to be learned")
    Classes: Property[dict[int, str]] = Property(
        {}, "value of the label → name of its class, in the order of the outputs; empty for regression", item=str
    )
    Weight = Property("", "column with the weight of a row; empty: 1")
    Spectators: Property[tuple[str, ...]] = Property((), "columns that go along and are no inputs", item=str)
    FoldColumn = Property("TauJets.mcEventNumber", "column of integers that decides about the fold")
    FoldNumber = Property(5, "number of folds", minimum=1, maximum=255)
    Seed = Property(42, "seed of the shuffling", minimum=0, maximum=2**32 - 1)
    Compression = Property("LZ4", "compression", choices=COMPRESSIONS)

    # ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────

    def _inputs(self) -> list[str]:
        return [f"{group}.{v.column}" for group, variables in self.Variables.items() for v in variables]

    def _flat_inputs(self) -> list[str]:
        return [name for name in self._inputs() if name.partition(".")[0] not in self.Caps]

    def _columns(self) -> list[str]:
        """Return every column that is needed, once."""
        weight = [self.Weight] if self.Weight else []
        return list(dict.fromkeys([self.Label, *weight, self.FoldColumn, *self.Spectators, *self._inputs()]))

    def _kept_columns(self) -> list[str]:
        """Return the columns that are fields of ``taus`` beside label, weight, fold and inputs."""
        flat = self._flat_inputs()
        return [name for name in dict.fromkeys([self.FoldColumn, *self.Spectators]) if name not in flat]

    def _layout(self, types: Mapping[str, str]) -> DatasetLayout:
        """Return the layout, given the numpy types of the columns that are kept as they are."""
        kept = [_short(name) for name in self._kept_columns()]
        if len(set(kept)) < len(kept):
            raise JobOptionsError(
                f"two spectators have the same name: {', '.join(self._kept_columns())}", where=f"stream {self.name}"
            )
        columns = {_short(name): types[name] for name in self._kept_columns()}
        return DatasetLayout(self.Variables, self.Caps, tuple(dict.fromkeys(self.Classes.values())), columns)

    def wanted(self) -> Sequence[str]:
        """Return the columns of the data set; JobOptionsError where the properties do not fit together."""
        self._check_properties()
        return self._columns()

    def kept(self, available: Mapping[str, ColumnInfo | None]) -> list[str]:
        """Return the columns of the data set; ColumnError where one is missing."""
        made = {name for tool in self.tools for name in tool.writes()}
        wanted = [name for name in self._columns() if name not in made and f"{name.partition('.')[0]}.*" not in made]
        for name in wanted:
            if name not in available:
                siblings = [known for known in available if known.partition(".")[0] == name.partition(".")[0]]
                raise ColumnError(
                    f"the data set needs {name}, which is not there",
                    where=f"stream {self.name}",
                    hint=nearest(name, siblings or available, what="columns"),
                )
        return wanted

    def _check_properties(self) -> None:
        where = f"stream {self.name}"
        if self.Keep or self.Drop:
            hint = "Variables and Spectators say what is written"
            raise JobOptionsError("Keep and Drop mean nothing to a DatasetStream", where=where, hint=hint)
        wrong = [v for variables in self.Variables.values() for v in variables if not isinstance(v, Variable)]
        if wrong:
            raise JobOptionsError(f"Variables wants hepflow.variables.Variable, got {wrong[0]!r}", where=where)
        if not self._inputs():
            raise JobOptionsError(
                "the data set has no inputs", where=where, hint='set Variables, e.g. {"TauTrack": (Variable("pt"), …)}'
            )
        unknown = [group for group in self.Caps if group not in self.Variables]
        if unknown:
            hint = nearest(unknown[0], self.Variables, what="groups of Variables")
            raise JobOptionsError(f"Caps names {unknown[0]}, which has no Variables", where=where, hint=hint)
        if min(self.Caps.values(), default=1) < 1:
            raise JobOptionsError(f"Caps must be at least 1, got {self.Caps}", where=where)
        self._layout(dict.fromkeys(self._kept_columns(), "<f4"))

    # ── in the loop ──────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, path: Path, metadata: Mapping[str, Any]) -> Writer:
        """Return the writer of a part."""
        return _PartWriter(path, metadata, self)

    def collect(self, events: Events, columns: Sequence[str]) -> Mapping[str, Column]:
        """Return the columns of the visible rows."""
        names = self._columns()
        if isinstance(events[self.Container][_short(self.Label)], np.ndarray):  # one entry a row: an ntuple
            return {name: event_column(events, name, ()) for name in names}
        return {name: object_column(events, name, self.Container) for name in names}

    def row_type(self, layout: DatasetLayout) -> np.dtype[Any]:
        """Return the type of the rows of a part: the key they are sorted by, then the row itself."""
        kind = layout.row_type()
        return np.dtype([("key", "<u8"), *((name, kind[name]) for name in kind.names or ())])

    def layout(self, columns: Mapping[str, Column]) -> DatasetLayout:
        """Return the layout for the types of the columns of a chunk; ColumnError where a column does not fit."""
        for name, column in columns.items():
            if not isinstance(column.content, np.ndarray):
                raise ColumnError(f"{name} holds no plain numbers: {column.content.type}", hint="leave it out")
        layout = self._layout({n: columns[n].content.dtype.newbyteorder("<").str for n in self._kept_columns()})
        single = {self.Label, self.Weight, *self._kept_columns(), *self._flat_inputs()}
        for name, column in columns.items():
            if name in single and column.offsets is not None:
                raise ColumnError(
                    f"{name} has a list for each row, so it is no flat input and no spectator",
                    hint=f"if {name.partition('.')[0]} is a sequence, give its length in Caps",
                )
            if name not in single and column.offsets is None:
                raise ColumnError(f"{name} has one value a row: it is no sequence", hint="leave it out of Caps")
        if columns[self.FoldColumn].content.dtype.kind not in "iu":
            raise ColumnError(f"{self.FoldColumn} decides about folds and must be an integer")
        return layout

    def fill(self, rows: Rows, columns: Mapping[str, Column], layout: DatasetLayout, first: int) -> None:
        """Fill rows (of ``row_type``) from columns of the same length; ``first`` is the number of the first row in its
        work unit.
        """
        rows.view(np.uint8)[...] = 0
        folds = np.asarray(columns[self.FoldColumn].content)
        rows["key"] = self._keys(folds, first)
        taus = rows[TAUS]
        taus["label"] = self._labels(np.asarray(columns[self.Label].content))
        taus["weight"] = columns[self.Weight].content if self.Weight else 1.0
        taus["fold"] = folds % self.FoldNumber
        for name in [*self._kept_columns(), *self._flat_inputs()]:
            taus[_short(name)] = columns[name].content
        for group in layout.sequences:
            self._fill_sequence(group, rows, columns)

    def _keys(self, numbers: npt.NDArray[Any], first: int) -> npt.NDArray[np.uint64]:
        """Return a random 64-bit key for each row."""
        number = numbers.astype(np.uint64)
        place = np.arange(first, first + len(number), dtype=np.uint64)
        low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
        words = philox((number & low, number >> half, place, np.zeros_like(place)), (self.Seed, 0))
        keys: npt.NDArray[np.uint64] = words[0] << half | words[1]
        return keys

    def _labels(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not self.Classes:
            return values
        names = list(dict.fromkeys(self.Classes.values()))
        labels = np.full(len(values), -1)
        for value, name in self.Classes.items():
            labels[values == int(value)] = names.index(name)
        if (labels < 0).any():
            shown = ", ".join(map(str, np.unique(values[labels < 0])[:5]))
            raise ColumnError(
                f"{(labels < 0).sum()} rows have {self.Label} = {shown}, which is in no class",
                hint="add a TrainingSelection before the stream, or name the class in Classes",
            )
        return labels

    def _fill_sequence(self, group: str, rows: Rows, columns: Mapping[str, Column]) -> None:
        """Fill the first ``cap`` objects of each row."""
        cap = self.Caps[group]
        first = columns[f"{group}.{self.Variables[group][0].column}"].offsets
        assert first is not None
        counts = np.diff(first)
        owners = np.repeat(np.arange(len(counts)), counts)
        rank = np.arange(len(owners)) - np.repeat(first[:-1], counts)
        kept = rank < cap
        objects = np.empty(int(kept.sum()), dtype=rows.dtype[group].base)
        objects["valid"] = True
        for variable in self.Variables[group]:
            name = f"{group}.{variable.column}"
            offsets = columns[name].offsets
            if offsets is not first and not np.array_equal(offsets, first):  # type: ignore[arg-type]
                raise ColumnError(f"{name} has other numbers of objects than the other columns of {group}")
            objects[variable.column] = columns[name].content[kept]
        places = field_bytes(rows, group)
        places[owners[kept], rank[kept]] = objects.view(places.dtype)

    # ── at the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self, parts: Sequence[Path], context: Context) -> list[Path]:
        """Shuffle the rows of all parts into ``<stream>.h5``, under a temporary name until it is whole."""
        opened = [_Part(path, self) for path in parts]
        counts = self._count(opened)
        target = context.path(f"{self.name}.h5")
        temporary = target.with_name(f".{target.name}.part")
        try:
            with DatasetWriter(temporary, opened[0].layout, int(counts.sum()), compression=self.Compression) as writer:
                for rows in _sorted(opened, counts.sum(axis=1)):
                    writer.append(rows, np.argsort(rows["key"], kind="stable"))
                writer.finish(self._record(opened[0].metadata, counts))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        for path in parts:
            path.unlink()
        return [target]

    def _count(self, parts: Sequence[_Part]) -> npt.NDArray[np.int64]:
        """Return the number of rows by fold and class; OutputError where there are none, or a class has none."""
        for part in parts:
            if part.layout != parts[0].layout:
                raise OutputError(
                    f"the inputs have different types: {part.layout.columns} and {parts[0].layout.columns}",
                    where=f"stream {self.name}",
                    hint="give files of one kind, or leave the column out of the Spectators",
                )
        counts: npt.NDArray[np.int64] = np.sum([part.counts for part in parts], axis=0)
        classes = dict.fromkeys(self.Classes.values())
        empty = [name for name, number in zip(classes, counts.sum(axis=0), strict=False) if not number]
        if empty or not counts.any():
            raise OutputError(
                f"there are no taus of class {', '.join(empty)}" if counts.any() else "no taus are left to train on",
                where=f"stream {self.name}",
                hint="use more events, or look at the selection in cutflow.json",
            )
        return counts

    def _record(self, metadata: Mapping[str, Any], counts: npt.NDArray[np.int64]) -> dict[str, Any]:
        edges = [0, *np.cumsum(counts.sum(axis=1)).tolist()]
        return {
            **metadata,
            "label": self.Label,
            "labels": {str(value): name for value, name in self.Classes.items()},
            "weight": self.Weight,
            "fold": {"column": self.FoldColumn, "number": self.FoldNumber},
            "rows_of_folds": [list(pair) for pair in pairwise(edges)],
            "counts": counts.tolist(),
            "seed": self.Seed,
        }


class _PartWriter:
    """Writes blocks of sorted rows, then a JSON text (types of kept columns, metadata, index, rows by fold and class),
    then the length of the text in eight bytes.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any], stream: DatasetStream) -> None:
        self._stream = stream
        self._metadata = metadata
        self._file = path.open("wb")
        self._layout: DatasetLayout | None = None
        self._block: Rows = np.empty(0)
        self._filled = 0
        self._written = 0
        self._index: list[list[int]] = []
        self._counts = np.zeros((stream.FoldNumber, max(len(set(stream.Classes.values())), 1)), dtype=np.int64)

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the rows of a chunk."""
        layout = self._stream.layout(columns)
        if self._layout is None:
            self._layout = layout
            kind = self._stream.row_type(layout)
            self._block = np.empty(max(1, BLOCK_BYTES // kind.itemsize), dtype=kind)
        elif layout != self._layout:
            raise ColumnError(f"columns change their types: {dict(self._layout.columns)}, then {dict(layout.columns)}")
        start, number = 0, len(columns[self._stream.FoldColumn])
        while start < number:
            stop = min(number, start + len(self._block) - self._filled)
            rows = self._block[self._filled : self._filled + stop - start]
            part = {name: column[start:stop] for name, column in columns.items()}
            self._stream.fill(rows, part, layout, self._written + self._filled)
            self._filled += stop - start
            start = stop
            if self._filled == len(self._block):
                self._flush()

    def _flush(self) -> None:
        """Sort the block and write it."""
        rows = self._block[: self._filled]
        fold = rows[TAUS]["fold"].astype(np.int64)
        labels = rows[TAUS]["label"] if self._stream.Classes else np.zeros(len(rows), dtype=np.int64)
        np.add.at(self._counts, (fold, labels), 1)
        ranges = fold * RANGES + (rows["key"] >> np.uint64(56)).astype(np.int64)
        self._index.append(np.bincount(ranges, minlength=RANGES * self._stream.FoldNumber).tolist())
        order = np.lexsort((rows["key"], fold))
        self._write(rows.view(f"V{rows.itemsize}")[order].view(np.uint8).data)
        self._written += self._filled
        self._filled = 0

    def _write(self, content: Any) -> None:
        try:
            self._file.write(content)
        except OSError as error:
            raise OutputError(
                f"a part of the data set cannot be written: {error.strerror or error}",
                where=self._file.name,
                hint="is the disk full? finished work units are kept, --resume continues",
            ) from error

    def close(self) -> None:
        """Write what is left and the text."""
        with self._file:
            if self._layout is None:
                return
            if self._filled:
                self._flush()
            text = json.dumps(
                {
                    "columns": dict(self._layout.columns),
                    "metadata": self._metadata,
                    "index": self._index,
                    "counts": self._counts.tolist(),
                },
                default=str,
            ).encode()
            self._write(text + len(text).to_bytes(8, "little"))


class _Part:
    """A finished part: its layout, and its rows by range of keys."""

    def __init__(self, path: Path, stream: DatasetStream) -> None:
        self._path = path
        with path.open("rb") as file:
            end = file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(8), "little")
            file.seek(end - length)
            content = json.loads(file.read(length))
        self.metadata: dict[str, Any] = content["metadata"]
        self.counts = np.asarray(content["counts"], dtype=np.int64)
        self.layout = stream._layout({name: content["columns"][_short(name)] for name in stream._kept_columns()})
        self.kind = stream.row_type(self.layout)
        index = np.asarray(content["index"], dtype=np.int64).reshape(-1, RANGES * stream.FoldNumber)
        blocks = np.concatenate([[0], np.cumsum(index.sum(axis=1))])
        self._edges = blocks[:-1, None] + np.pad(np.cumsum(index, axis=1), ((0, 0), (1, 0)))

    def size(self, first: int, last: int) -> int:
        """Return the number of rows in the key ranges ``[first, last)``."""
        return int((self._edges[:, last] - self._edges[:, first]).sum())

    def read(self, first: int, last: int, rows: Rows) -> None:
        """Fill ``rows`` with those in the key ranges ``[first, last)``, block after block."""
        position = 0
        target = rows.view(np.uint8)
        with self._path.open("rb", buffering=0) as file:
            for start, stop in self._edges[:, [first, last]].tolist():
                size = (stop - start) * rows.itemsize
                file.seek(start * rows.itemsize)
                if size and file.readinto(target[position : position + size].data) != size:
                    raise InputError(f"a part of the data set is damaged: {self._path}", hint="start anew with --force")
                position += size


def _sorted(parts: Sequence[_Part], rows_of_folds: npt.NDArray[np.int64]) -> Iterator[Rows]:
    """Yield all rows of the parts in ranges of fold and key, each small enough to be sorted in memory."""
    kind = parts[0].kind
    for fold, number in enumerate(rows_of_folds.tolist()):
        pieces = min(RANGES, max(1, -(-number * kind.itemsize // BLOCK_BYTES)))
        edges = [fold * RANGES + RANGES * piece // pieces for piece in range(pieces + 1)]
        for first, last in pairwise(edges):
            sizes = [part.size(first, last) for part in parts]
            rows = np.empty(sum(sizes), dtype=kind)
            start = 0
            for part, size in zip(parts, sizes, strict=True):
                part.read(first, last, rows[start : start + size])
                start += size
            yield rows


def _short(name: str) -> str:
    return name.partition(".")[2]
