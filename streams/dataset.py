"""The data set stream: the HDF5 file that networks are trained from, shuffled across all inputs in bounded memory.

Every row gets a key, its fold and a random number made of its event number and its place in the work unit; the file is
sorted by it (``hepflow.streams.shuffling``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Stream
from hepflow.errors import ColumnError, JobOptionsError, OutputError, nearest
from hepflow.events.column import Column
from hepflow.events.export import event_column, filled, object_column
from hepflow.events.random import philox
from hepflow.files import replacing
from hepflow.io.hdf5 import COMPRESSIONS, DatasetLayout, DatasetWriter
from hepflow.protocols import ColumnInfo, Writer
from hepflow.streams.shuffling import KEPT, Ends, Part, PartWriter, Rows, few, picked, ranges, shuffled
from hepflow.trainingset import TrainingSet as Declared
from hepflow.trainingset import training_set_of
from hepflow.variables import Variable

__all__ = ["DatasetStream"]

CACHED = 2048
"""Objects that are put together at a time, so that they stay in the processor's cache."""


class DatasetStream(Stream):
    """Write a training set: one HDF5 file ``<stream>.h5``, raw values, shuffled (layout: ``hepflow.io.hdf5``).

    The ``TrainingSet`` says what a row is and what it holds. Rows are ordered by fold, shuffled within each fold. The
    content depends on the input and on ``Seed``, not on the number of workers or the chunk size. Missing values of
    inputs are refused unless their Variable has a fill.
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
        return PartWriter(path, metadata, self)

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

    def part_types(self, columns: Mapping[str, str]) -> tuple[DatasetLayout, dict[str, np.dtype[Any]]]:
        """Return the layout of a part, given the types of the kept columns by their short names, and the types of its
        rows, then of the objects of each sequence.
        """
        declared = training_set_of(self)
        layout = self._layout({name: columns[_short(name)] for name in declared.kept_columns}, declared)
        sequences = {group: layout.sequence_type(group) for group in layout.sequences}
        return layout, {declared.called: self.row_type(layout), **sequences}

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

    def rows(self, columns: Mapping[str, Column], layout: DatasetLayout, first: int) -> Rows:
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
        return Rows(rows, objects)

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
        first, ends = self._read_ends(parts)
        declared = training_set_of(self)
        if ends.negative.any():
            context.log.info(
                "%s: %d of %d %s have a negative %s: %s", self.name, ends.negative.sum(), ends.counts.sum(),
                declared.called, declared.weight, declared.negative_weights,
            )  # fmt: skip
        target = context.path(f"{self.name}{self.joined}")
        with (
            replacing(target, hint=KEPT) as temporary,
            DatasetWriter(temporary, first.layout, int(ends.counts.sum()), compression=self.Compression) as writer,
        ):
            for rows, objects in self._ranges(parts, first, ends):
                writer.append(rows, objects, np.argsort(rows["key"], kind="stable"))
            left_out = {"left_out": list(context.left_out)} if context.left_out else {}
            writer.finish({**self._record(first.metadata, ends.counts, ends.negative), **left_out})
        return [target]

    def _ranges(self, parts: Sequence[Path], first: Part, ends: Ends) -> Iterator[Rows]:
        """Return the rows of one range of keys after the other."""
        keys = ranges(ends.sizes)
        if few(len(parts), int(ends.sizes.sum()), keys):
            places = {path: Part(path, self, first).places(keys) for path in parts}
            return picked(places, len(keys), first.kinds)
        blocks = (block for path in parts for block in Part(path, self, first).blocks())
        return shuffled(blocks, keys, first.kinds, parts[0].parent)

    def _read_ends(self, parts: Sequence[Path]) -> tuple[Part, Ends]:
        """Return the first part, and what the ends of all say together; OutputError where there are no rows, a class
        has none, or columns change their types.
        """
        first = Part(parts[0], self)
        ends = first.ends
        for path in parts[1:]:
            part = Part(path, self, first)
            for name, kind in part.layout.columns.items():
                if kind != first.layout.columns[name]:
                    one, other = (np.dtype(text).name for text in (first.layout.columns[name], kind))
                    raise OutputError(
                        f"{name} is {one} in some of the input and {other} in the rest",
                        where=f"stream {self.name}",
                        hint="give files of one kind, or leave the column out of the spectators",
                    )
            ends = ends.plus(part.ends)
        counts, declared = ends.counts, training_set_of(self)
        empty = [name for name, number in zip(declared.classes, counts.sum(axis=0), strict=False) if not number]
        if empty or not counts.any():
            raise OutputError(
                f"there are no {declared.called} of class {', '.join(empty)}"
                if counts.any()
                else f"no {declared.called} are left to train on",
                where=f"stream {self.name}",
                hint="use more events, or look at the selection in cutflow.json",
            )
        return first, ends

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
