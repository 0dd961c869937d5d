"""The data set stream: the HDF5 file that networks are trained from, shuffled across all inputs in bounded memory.

Every row gets a key, its fold and a random number made of its event number and its place in the work unit; the file is
sorted by it. A work unit writes sorted blocks into a part, with an index of key ranges; ``close`` collects one key
range after the other from all blocks, sorts it in memory, and writes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Stream
from hepflow.errors import ColumnError, InputError, JobOptionsError, OutputError, nearest
from hepflow.events.column import Column
from hepflow.events.export import event_column, filled, object_column
from hepflow.events.random import philox
from hepflow.io.hdf5 import COMPRESSIONS, DatasetLayout, DatasetWriter, as_bytes, spans
from hepflow.protocols import ColumnInfo, Writer
from hepflow.trainingset import TrainingSet as Declared
from hepflow.trainingset import training_set_of
from hepflow.variables import Variable

__all__ = ["DatasetStream"]

BLOCK_BYTES = 32 * 2**20
"""Bytes of rows that are sorted in memory at a time, at the end; a quarter of it in a work unit."""
STEP = 32_768
"""Rows that are made together, however many a chunk has."""
CACHED = 2048
"""Objects that are put together at a time, so that they stay in the processor's cache."""
RANGES = 1280
"""Ranges of keys that the index of a block tells apart, in all folds together."""


class DatasetStream(Stream):
    """Write a training set: one HDF5 file ``<stream>.h5``, raw values, shuffled (layout: ``hepflow.io.hdf5``).

    The ``TrainingSet`` says what a row is and what it holds. Rows are ordered by fold, and shuffled within each. The
    content depends on the input and on ``Seed``, not on the number of workers or the chunk size. Values of inputs that
    are missing are refused unless their Variable has a fill.
    """

    suffix: ClassVar[str] = ".rows"
    joined: ClassVar[str] = ".h5"

    TrainingSet: Property[Any] = Property(None, "what is written: rows, inputs, target, weight, …", type=Declared)
    Seed = Property(42, "seed of the shuffling", minimum=0, maximum=2**32 - 1)
    Compression = Property("LZ4", "compression", choices=COMPRESSIONS)

    # ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def declared(self) -> Declared:
        """Return the training set; JobOptionsError where there is none, or its names do not go together."""
        declared = training_set_of(self)
        if self.Keep or self.Drop:
            hint = "the TrainingSet (inputs, spectators) says what is written"
            raise JobOptionsError(
                "Keep and Drop mean nothing to a DatasetStream", where=f"stream {self.name}", hint=hint
            )
        self._layout(dict.fromkeys(declared.kept_columns, "<f4"), declared)
        return declared

    def _layout(self, types: Mapping[str, str], declared: Declared) -> DatasetLayout:
        """Return the layout, given the numpy types of the columns that are kept as they are."""
        kept = [_short(name) for name in declared.kept_columns]
        if len(set(kept)) < len(kept):
            raise JobOptionsError(
                f"two spectators have the same name: {', '.join(declared.kept_columns)}", where=f"stream {self.name}"
            )
        return DatasetLayout(declared, {_short(name): types[name] for name in declared.kept_columns})

    def wanted(self) -> Sequence[str]:
        """Return the columns of the data set; JobOptionsError where the properties do not go together."""
        return self.declared.columns

    def kept(self, available: Mapping[str, ColumnInfo | None]) -> list[str]:
        """Return the columns of the data set; ColumnError where one is missing."""
        made = {name for tool in self.tools for name in tool.writes()}
        columns = training_set_of(self).columns
        wanted = [name for name in columns if name not in made and f"{name.partition('.')[0]}.*" not in made]
        for name in wanted:
            if name not in available:
                siblings = [known for known in available if known.partition(".")[0] == name.partition(".")[0]]
                raise ColumnError(
                    f"the data set needs {name}, which is not there",
                    where=f"stream {self.name}",
                    hint=nearest(name, siblings or available, what="columns"),
                )
        return wanted

    # ── in the loop ──────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, path: Path, metadata: Mapping[str, Any], inputs: Mapping[str, ColumnInfo]) -> Writer:
        """Return the writer of a part."""
        return _PartWriter(path, metadata, self)

    def collect(self, events: Events, columns: Sequence[str]) -> Mapping[str, Column]:
        """Return the columns of the visible rows."""
        declared = training_set_of(self)
        if isinstance(events[declared.rows][_own_column(declared)], np.ndarray):  # one entry a row: an ntuple
            return {name: filled(name, event_column(events, name, ())) for name in declared.columns}
        return {name: object_column(events, name, declared.rows) for name in declared.columns}

    def row_type(self, layout: DatasetLayout) -> np.dtype[Any]:
        """Return the type of the rows of a part: the key they are sorted by, then the row itself."""
        kind = layout.row_type()
        return np.dtype([("key", "<u8"), *((name, kind[name]) for name in kind.names or ())])

    def layout(self, columns: Mapping[str, Column]) -> DatasetLayout:
        """Return the layout for the types of the columns of a chunk; ColumnError where a column does not fit."""
        for name, column in columns.items():
            if not isinstance(column.content, np.ndarray):
                raise ColumnError(f"{name} holds no plain numbers: {column.content.type}", hint="leave it out")
        declared = training_set_of(self)
        types = {n: columns[n].content.dtype.newbyteorder("<").str for n in declared.kept_columns}
        layout = self._layout(types, declared)
        single = {*(t.column for t in declared.target), declared.weight, *declared.kept_columns, *declared.flat_inputs}
        for name, column in columns.items():
            if name in single and column.offsets is not None:
                raise ColumnError(
                    f"{name} has a list for each row, so it is no flat input and no spectator",
                    hint=f"if {name.partition('.')[0]} is a sequence, give its length in caps",
                )
            if name not in single and column.offsets is None:
                raise ColumnError(f"{name} has one value a row: it is no sequence", hint="leave it out of caps")
        if columns[declared.fold_column].content.dtype.kind not in "iu":
            raise ColumnError(f"{declared.fold_column} decides about folds and must be an integer")
        return layout

    def rows(self, columns: Mapping[str, Column], layout: DatasetLayout, first: int) -> _Rows:
        """Return the rows that columns hold; ``first`` is the number of the first in its work unit."""
        declared = layout.training
        numbers = np.asarray(columns[declared.fold_column].content)
        folds = declared.folds[0].fold(numbers)
        rows = np.empty(len(folds), dtype=self.row_type(layout))
        rows["key"] = self._keys(numbers, folds, first)
        own = rows[declared.called]
        for field, target in zip(layout.labels, declared.target, strict=True):
            own[field] = target.labels(np.asarray(columns[target.column].content), declared.called)
            _refuse(own[field], np.isfinite(own[field]), target.column, "a target must be there for every row")
        if declared.weight:
            declared.check_weights(np.asarray(columns[declared.weight].content))
        own["weight"] = columns[declared.weight].content if declared.weight else 1.0
        own["fold"] = folds
        for name in [*declared.kept_columns, *declared.flat_inputs]:
            own[_short(name)] = columns[name].content
        for group, variables in declared.inputs.items():
            for variable in variables:
                _refuse_missing(np.asarray(columns[f"{group}.{variable.column}"].content), variable, group)
        objects = {}
        for group in layout.sequences:
            rows[group], objects[group] = self._objects(group, columns, layout)
        return _Rows(rows, objects)

    def _keys(self, numbers: npt.NDArray[Any], folds: npt.NDArray[np.uint8], first: int) -> npt.NDArray[np.uint64]:
        """Return what each row is sorted by: its fold in 8 bits, above 56 random ones."""
        number = numbers.astype(np.uint64)
        place = np.arange(first, first + len(number), dtype=np.uint64)
        low, half, byte = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(8)
        words = philox((number & low, number >> half, place, np.zeros_like(place)), (self.Seed, 0))
        keys: npt.NDArray[np.uint64] = (words[0] << half | words[1]) >> byte | folds.astype(np.uint64) << np.uint64(56)
        return keys

    def _objects(
        self, group: str, columns: Mapping[str, Column], layout: DatasetLayout
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """Return how many objects of a sequence each row has, and these objects, row after row."""
        variables, kind = layout.training.inputs[group], layout.sequence_type(group)
        first = columns[f"{group}.{variables[0].column}"].offsets
        assert first is not None
        contents = {}
        for variable in variables:
            column = columns[f"{group}.{variable.column}"]
            if column.offsets is not first and not np.array_equal(column.offsets, first):  # type: ignore[arg-type]
                raise ColumnError(
                    f"{group}.{variable.column} has other numbers of objects than the other columns of {group}"
                )
            contents[variable.column] = np.asarray(column.content)
        objects = np.empty(int(first[-1]), dtype=kind)
        objects["valid"] = True
        for start in range(0, len(objects), CACHED):
            part = slice(start, start + CACHED)
            for name, content in contents.items():
                objects[name][part] = content[part]
        return np.diff(first), objects

    # ── at the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self, parts: Sequence[Path], context: Context) -> list[Path]:
        """Shuffle the rows of all parts into ``<stream>.h5``, under a temporary name until it is whole."""
        opened = [_Part(path, self) for path in parts]
        counts = self._count(opened)
        negative: npt.NDArray[np.int64] = np.sum([part.negative for part in opened], axis=0)
        declared = training_set_of(self)
        if negative.any():
            context.log.info(
                "%s: %d of %d %s have a negative %s: %s", self.name, negative.sum(), counts.sum(), declared.called,
                declared.weight, declared.negative_weights,
            )  # fmt: skip
        target = context.path(f"{self.name}{self.joined}")
        temporary = target.with_name(f".{target.name}.part")
        try:
            with DatasetWriter(temporary, opened[0].layout, int(counts.sum()), compression=self.Compression) as writer:
                for rows, objects in _ranges(opened):
                    writer.append(rows, objects, np.argsort(rows["key"], kind="stable"))
                left_out = {"left_out": list(context.left_out)} if context.left_out else {}
                writer.finish({**self._record(opened[0].metadata, counts, negative), **left_out})
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return [target]

    def _count(self, parts: Sequence[_Part]) -> npt.NDArray[np.int64]:
        """Return the number of rows by fold and class; OutputError where there are none, or a class has none."""
        for part in parts:
            for name, kind in part.layout.columns.items():
                if kind != parts[0].layout.columns[name]:
                    first, other = (np.dtype(text).name for text in (parts[0].layout.columns[name], kind))
                    raise OutputError(
                        f"{name} is {first} in some of the input and {other} in the rest",
                        where=f"stream {self.name}",
                        hint="give files of one kind, or leave the column out of the spectators",
                    )
        counts: npt.NDArray[np.int64] = np.sum([part.counts for part in parts], axis=0)
        declared = training_set_of(self)
        empty = [name for name, number in zip(declared.classes, counts.sum(axis=0), strict=False) if not number]
        if empty or not counts.any():
            raise OutputError(
                f"there are no {declared.called} of class {', '.join(empty)}"
                if counts.any()
                else f"no {declared.called} are left to train on",
                where=f"stream {self.name}",
                hint="use more events, or look at the selection in cutflow.json",
            )
        return counts

    def _record(
        self, metadata: Mapping[str, Any], counts: npt.NDArray[np.int64], negative: npt.NDArray[np.int64]
    ) -> dict[str, Any]:
        """Return what the file says beside the layout; ``negative`` are the rows of negative weight in ``counts``."""
        edges = [0, *np.cumsum(counts.sum(axis=1)).tolist()]
        return {
            **metadata,
            "rows_of_folds": [list(pair) for pair in pairwise(edges)],
            "counts": counts.tolist(),
            "negative": negative.tolist(),
            "seed": self.Seed,
        }


class _Rows(NamedTuple):
    """Rows of a part without their objects (``row_type``), and the objects of each sequence, row after row."""

    rows: npt.NDArray[Any]
    objects: dict[str, npt.NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Return the bytes of the rows and the objects."""
        return self.rows.nbytes + sum(objects.nbytes for objects in self.objects.values())

    @classmethod
    def joined(cls, pieces: Sequence[_Rows]) -> _Rows:
        """Return the rows of all pieces, one piece after the other."""
        if len(pieces) == 1:  # the usual case
            return pieces[0]
        groups = pieces[0].objects
        objects = {group: np.concatenate([piece.objects[group] for piece in pieces]) for group in groups}
        return cls(np.concatenate([piece.rows for piece in pieces]), objects)

    def sorted(self, caps: Mapping[str, int]) -> _Rows:
        """Return the rows sorted by key, each with at most so many objects of a sequence."""
        order = np.argsort(self.rows["key"], kind="stable")
        rows = as_bytes(self.rows)[order].view(self.rows.dtype)
        objects = {}
        for group, values in self.objects.items():
            counts = self.rows[group]
            rows[group] = np.minimum(counts[order], caps[group])
            kept = spans((np.cumsum(counts) - counts)[order], rows[group])
            objects[group] = as_bytes(values)[kept].view(values.dtype)
        return _Rows(rows, objects)


class _PartWriter:
    """Writes blocks of sorted rows, then a JSON text (types of kept columns, metadata, index, rows by fold and class),
    then the length of the text in eight bytes. A block is its rows, then the objects of one sequence after the other;
    its index tells where each range of keys starts in them.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any], stream: DatasetStream) -> None:
        self._stream = stream
        self._metadata = metadata
        self._file = path.open("wb")
        self._layout: DatasetLayout | None = None
        self._block: list[_Rows] = []
        self._taken = 0
        self._index: list[list[list[int]]] = []
        self._declared = training_set_of(stream)
        shape = (self._declared.fold_number, max(len(self._declared.classes), 1))
        self._counts, self._negative = np.zeros((2, *shape), dtype=np.int64)

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
        rows, objects = _Rows.joined(self._block).sorted(self._declared.caps)
        self._block = []
        own: Any = rows[self._declared.called]
        labels = own[own.dtype.names[0]] if self._declared.classes else np.zeros(len(rows), dtype=np.int64)
        np.add.at(self._counts, (own["fold"], labels), 1)
        np.add.at(self._negative, (own["fold"], labels), own["weight"] < 0)
        edges = np.append(np.searchsorted(rows["key"], _range_keys(self._declared.fold_number)), len(rows))
        of_objects = [np.append(0, np.cumsum(rows[group]))[edges].tolist() for group in objects]
        self._index.append([edges.tolist(), *of_objects])
        for values in (rows, *objects.values()):
            self._write(values.view(np.uint8).data)

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
            if self._block:
                self._flush()
            text = json.dumps(
                {
                    "columns": dict(self._layout.columns),
                    "metadata": self._metadata,
                    "index": self._index,
                    "counts": self._counts.tolist(),
                    "negative": self._negative.tolist(),
                },
                default=str,
            ).encode()
            self._write(text + len(text).to_bytes(8, "little"))


class _Part:
    """A finished part: its layout, and its rows by range of keys; InputError where it is damaged."""

    def __init__(self, path: Path, stream: DatasetStream) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                end = file.seek(-8, os.SEEK_END)
                length = int.from_bytes(file.read(8), "little")
                file.seek(end - length)
                content = json.loads(file.read(length))
        except (OSError, ValueError) as error:
            raise self._damaged() from error
        self.metadata: dict[str, Any] = content["metadata"]
        self.counts, self.negative = (np.asarray(content[key], dtype=np.int64) for key in ("counts", "negative"))
        declared = training_set_of(stream)
        types = {name: content["columns"][_short(name)] for name in declared.kept_columns}
        self.layout = stream._layout(types, declared)
        self.kinds = [stream.row_type(self.layout), *map(self.layout.sequence_type, self.layout.sequences)]
        edges = np.asarray(content["index"], dtype=np.int64)
        edges = edges.reshape(-1, len(self.kinds), len(_range_keys(declared.fold_number)) + 1)
        self._ends = edges * np.array([kind.itemsize for kind in self.kinds])[:, None]
        of_arrays = self._ends[:, :, -1]
        self._places = (np.cumsum(of_arrays) - of_arrays.reshape(-1)).reshape(of_arrays.shape)
        if of_arrays.sum() != end - length:
            raise self._damaged()

    def _damaged(self) -> InputError:
        return InputError(f"a part of the data set is damaged: {self._path}", hint="start anew with --force")

    def sizes(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Return the bytes of the rows in the key ranges ``[first, last)``, and of their objects by sequence."""
        found: npt.NDArray[np.int64] = (self._ends[:, :, last] - self._ends[:, :, first]).sum(axis=0)
        return found

    def read(self, first: int, last: int, targets: Sequence[memoryview]) -> None:
        """Fill the targets with the rows in the key ranges ``[first, last)`` and their objects, block after block."""
        done = [0] * len(targets)
        with self._path.open("rb", buffering=0) as file:
            for places, ends in zip(self._places.tolist(), self._ends[:, :, [first, last]].tolist(), strict=True):
                for number, (place, (start, stop)) in enumerate(zip(places, ends, strict=True)):
                    file.seek(place + start)
                    file.readinto(targets[number][done[number] : done[number] + stop - start])
                    done[number] += stop - start


def _range_keys(folds: int) -> npt.NDArray[np.uint64]:
    """Return the first key of each range; every fold has as many."""
    number = max(1, RANGES // folds)
    starts = np.arange(number, dtype=np.uint64) * np.uint64(2**56 // number)
    keys: npt.NDArray[np.uint64] = (starts + (np.arange(folds, dtype=np.uint64)[:, None] << np.uint64(56))).reshape(-1)
    return keys


def _ranges(parts: Sequence[_Part]) -> Iterator[_Rows]:
    """Yield all rows of the parts in ranges of fold and key, each small enough to be sorted in memory."""
    kinds, groups = parts[0].kinds, parts[0].layout.sequences
    folds = len(parts[0].counts)
    number = len(_range_keys(folds)) // folds
    for fold in range(folds):
        first, last = fold * number, (fold + 1) * number
        size = sum(int(part.sizes(first, last).sum()) for part in parts)
        pieces = min(number, max(1, -(-size // BLOCK_BYTES)))
        for start, stop in pairwise(first + number * piece // pieces for piece in range(pieces + 1)):
            sizes = [part.sizes(start, stop) for part in parts]
            arrays = [
                np.empty(size // kind.itemsize, dtype=kind)
                for kind, size in zip(kinds, np.sum(sizes, axis=0).tolist(), strict=True)
            ]
            rest = [array.view(np.uint8).data for array in arrays]
            for part, taken in zip(parts, sizes, strict=True):
                part.read(start, stop, rest)
                rest = [target[n:] for target, n in zip(rest, taken.tolist(), strict=True)]
            yield _Rows(arrays[0], dict(zip(groups, arrays[1:], strict=True)))


def _own_column(declared: Declared) -> str:
    """Return a column of the container of the rows."""
    own = (name for name in declared.columns if name.partition(".")[0] == declared.rows)
    found = next(own, None)
    if found is None:
        raise JobOptionsError(
            f"none of the columns is of {declared.rows}, whose objects are the rows",
            hint=f"rows of the TrainingSet is one of {', '.join({n.partition('.')[0] for n in declared.columns})}",
        )
    return _short(found)


def _refuse_missing(values: npt.NDArray[Any], variable: Variable, group: str) -> None:
    """Raise ColumnError for values of an input that are missing, unless a fill is declared, and for infinite ones."""
    good = ~np.isinf(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
    if variable.fill is None:
        good &= ~variable.absent(values)
    hint = f'declare what takes their place: Variable("{variable.name}", fill=…)'
    _refuse(values, good, f"{group}.{variable.column}", hint)


def _refuse(values: npt.NDArray[Any], good: npt.NDArray[np.bool_], name: str, hint: str) -> None:
    if not good.all():
        shown = ", ".join(f"{value:g}" for value in np.unique(values[~good])[:3])
        raise ColumnError(
            f"{name} is missing or not finite in {int((~good).sum())} of {len(values)} values: {shown}",
            hint=f'{hint}; TrainingSelection.NonFinite = "ignore" leaves such rows out',
        )


def _short(name: str) -> str:
    return name.partition(".")[2]
