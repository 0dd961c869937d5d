"""The data set stream: the HDF5 file that networks are trained from, shuffled across all inputs in bounded memory.

Every work unit writes its rows, as they come, into a part. When all are there, ``close`` deals the rows of the parts
out to buckets at random, and then writes one bucket after the other, each shuffled in memory.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Stream
from hepflow.errors import ColumnError, InputError, JobOptionsError, OutputError, nearest
from hepflow.events.column import Column
from hepflow.events.export import event_column, object_column
from hepflow.io.hdf5 import COMPRESSIONS, TAUS, DatasetLayout, DatasetWriter, field_bytes
from hepflow.protocols import ColumnInfo, Writer
from hepflow.variables import Variable

__all__ = ["DatasetStream"]

BUCKET_BYTES = 32 * 2**20
"""Bytes of rows that are shuffled in memory at a time."""
BLOCK_BYTES = 16 * 2**20
"""Bytes of a part that are read at a time."""

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
    Seed = Property(42, "seed of the shuffling", minimum=0)
    Compression = Property("LZ4", "compression", choices=COMPRESSIONS)

    # ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────

    def _inputs(self) -> list[str]:
        return [f"{group}.{v.column}" for group, variables in self.Variables.items() for v in variables]

    def _columns(self) -> list[str]:
        """Return every column that is needed, once."""
        weight = [self.Weight] if self.Weight else []
        return list(dict.fromkeys([self.Label, *weight, self.FoldColumn, *self.Spectators, *self._inputs()]))

    def _kept_columns(self) -> list[str]:
        """Return the columns that are fields of ``taus`` beside label, weight, fold and inputs."""
        inputs = set(self._inputs())
        return [name for name in dict.fromkeys([self.FoldColumn, *self.Spectators]) if name not in inputs]

    def _layout(self, types: Mapping[str, str]) -> DatasetLayout:
        """Return the layout, given the numpy types of the columns that are kept as they are."""
        kept = [_short(name) for name in self._kept_columns()]
        if len(set(kept)) < len(kept):
            raise JobOptionsError(
                f"two spectators have the same name: {', '.join(self._kept_columns())}", where=f"stream {self.name}"
            )
        columns = {_short(name): types[name] for name in self._kept_columns()}
        return DatasetLayout(self.Variables, self.Caps, tuple(dict.fromkeys(self.Classes.values())), columns)

    def kept(self, available: Mapping[str, ColumnInfo | None]) -> list[str]:
        """Return the columns of the data set; errors where one is missing or the properties do not fit together."""
        self._check_properties()
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
        if not self._inputs():
            raise JobOptionsError(
                "the data set has no inputs", where=where, hint='set Variables, e.g. {"TauTrack": (Variable("pt"), …)}'
            )
        wrong = [v for variables in self.Variables.values() for v in variables if not isinstance(v, Variable)]
        if wrong:
            raise JobOptionsError(f"Variables wants hepflow.variables.Variable, got {wrong[0]!r}", where=where)
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

    def rows(self, columns: Mapping[str, Column]) -> Rows:
        """Return the columns of a chunk as rows of ``DatasetLayout.row_type``; ColumnError where they do not fit."""
        content = {name: _numbers(name, column) for name, column in columns.items()}
        layout = self._layout({name: content[name].dtype.newbyteorder("<").str for name in self._kept_columns()})
        folds = content[self.FoldColumn]
        if folds.dtype.kind not in "iu":
            raise ColumnError(f"{self.FoldColumn} decides about folds and must be an integer, not {folds.dtype}")
        rows = np.zeros(len(folds), dtype=layout.row_type())
        taus = rows[TAUS]
        taus["label"] = self._labels(content[self.Label])
        taus["weight"] = content[self.Weight] if self.Weight else 1.0
        taus["fold"] = folds % self.FoldNumber
        flat = [f"{group}.{v.column}" for group in layout.flat_groups for v in layout.variables[group]]
        for name in dict.fromkeys([*self._kept_columns(), *flat]):
            if columns[name].offsets is not None:
                raise ColumnError(
                    f"{name} has a list for each row, so it is no flat input and no spectator",
                    hint=f"if {name.partition('.')[0]} is a sequence, give its length in Caps",
                )
            taus[_short(name)] = content[name]
        for group in layout.sequences:
            self._fill(group, rows, columns)
        return rows

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

    def _fill(self, group: str, rows: Rows, columns: Mapping[str, Column]) -> None:
        """Fill the first ``cap`` objects of each row."""
        cap = self.Caps[group]
        first = columns[f"{group}.{self.Variables[group][0].column}"].offsets
        if first is None:
            raise ColumnError(f"{group} has one value a row: it is no sequence", hint="leave it out of Caps")
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
        total = int(counts.sum())
        target = context.path(f"{self.name}.h5")
        temporary = target.with_name(f".{target.name}.part")
        scratch = context.path(f".hepflow/{self.name}.buckets/rows").parent
        try:
            with ExitStack() as stack:
                writer = stack.enter_context(
                    DatasetWriter(temporary, opened[0].layout, total, compression=self.Compression)
                )
                rows = opened[0].layout.row_type()
                buckets = _Buckets(scratch, rows, counts.sum(axis=1), self.Seed)
                for number, part in enumerate(opened):
                    buckets.deal(number, part.blocks())
                for shuffled in buckets.shuffled():
                    writer.append(shuffled)
                writer.finish(self._record(opened[0].metadata, counts))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
            shutil.rmtree(scratch, ignore_errors=True)
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
    """Writes rows, then a JSON text (types of kept columns, metadata, rows by fold and class), then its length."""

    def __init__(self, path: Path, metadata: Mapping[str, Any], stream: DatasetStream) -> None:
        self._stream = stream
        self._metadata = metadata
        self._file = path.open("wb")
        self._columns: dict[str, str] = {}
        self._counts = np.zeros((stream.FoldNumber, max(len(set(stream.Classes.values())), 1)), dtype=np.int64)

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the rows of a chunk."""
        rows = self._stream.rows(columns)
        taus = rows[TAUS]
        kept = {_short(name): taus.dtype[_short(name)].str for name in self._stream._kept_columns()}
        if self._columns not in ({}, kept):
            raise ColumnError(f"columns change their types between chunks: {self._columns}, then {kept}")
        self._columns = kept
        labels = taus["label"] if self._stream.Classes else np.zeros(len(taus), dtype=np.int64)
        np.add.at(self._counts, (taus["fold"], labels), 1)
        self._file.write(rows.view(np.uint8).data)

    def close(self) -> None:
        """Add the text and close the part."""
        with self._file as file:
            content = {"columns": self._columns, "metadata": self._metadata, "counts": self._counts.tolist()}
            text = json.dumps(content, default=str).encode()
            file.write(text + len(text).to_bytes(8, "little"))


class _Part:
    """A finished part: its layout, and its rows in blocks."""

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

    def blocks(self) -> Iterator[Rows]:
        """Yield the rows in order."""
        kind = self.layout.row_type()
        left, most = int(self.counts.sum()), max(1, BLOCK_BYTES // kind.itemsize)
        with self._path.open("rb") as file:
            while left:
                rows = np.fromfile(file, dtype=kind, count=min(left, most))
                if not len(rows):
                    raise InputError(f"a part of the data set is damaged: {self._path}", hint="start anew with --force")
                left -= len(rows)
                yield rows


class _Buckets:
    """Deals rows out to files at random, some for each fold, and gives each file back shuffled."""

    def __init__(self, folder: Path, kind: np.dtype[Any], rows_of_folds: npt.NDArray[np.int64], seed: int) -> None:
        self._kind = kind
        self._seed = seed
        self._number = np.maximum(1, -(-rows_of_folds * kind.itemsize // BUCKET_BYTES))
        self._first = np.concatenate([[0], np.cumsum(self._number)])
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:06d}"

    def deal(self, part: int, blocks: Iterator[Rows]) -> None:
        """Append the rows of a part to buckets of their folds, chosen at random."""
        random = np.random.default_rng([self._seed, 0, part])
        for rows in blocks:
            fold = rows[TAUS]["fold"]
            bucket = self._first[fold] + (random.random(len(rows)) * self._number[fold]).astype(np.int64)
            order = np.argsort(bucket, kind="stable")
            edges = np.searchsorted(bucket[order], np.arange(self._first[-1] + 1))
            dealt = rows.view(f"V{rows.itemsize}")[order]
            for number in np.unique(bucket):
                with self._path(number).open("ab") as file:
                    file.write(dealt[edges[number] : edges[number + 1]].view(np.uint8).data)

    def shuffled(self) -> Iterator[Rows]:
        """Yield the rows of every bucket, fold by fold."""
        for bucket in range(int(self._first[-1])):
            path = self._path(bucket)
            if path.exists():
                rows = np.fromfile(path, dtype=f"V{self._kind.itemsize}")
                path.unlink()
                order = np.random.default_rng([self._seed, 1, bucket]).permutation(len(rows))
                yield rows[order].view(self._kind)


def _short(name: str) -> str:
    return name.partition(".")[2]


def _numbers(name: str, column: Column) -> npt.NDArray[Any]:
    """Return the content of a column of numbers."""
    if not isinstance(column.content, np.ndarray):
        raise ColumnError(f"{name} holds no plain numbers: {column.content.type}", hint="leave it out of the data set")
    return column.content
