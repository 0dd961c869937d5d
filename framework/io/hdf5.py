"""Training sets in HDF5: one structured dataset of the rows, and one for each sequence of their objects.

The layout is that of the ATLAS flavour-tagging tools. ``taus`` (n; or ``jets``, ``events``: what the rows are called)
has label, weight, fold, event number, spectators and flat inputs; ``TauTrack`` (n, cap) has the raw values of its
variables (float32) and ``valid``, which tells objects from padding. The rows are ordered by fold and shuffled within
each. What a reader must know stands as JSON in the file's attribute ``hepflow``. In front of all, where HDF5 leaves
room for its user, stands a checksum of the rest: it is compared before the HDF5 library, which damaged bytes can crash,
sees the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from hepflow.errors import InputError, JobOptionsError, OutputError
from hepflow.trainingset import TrainingSet

__all__ = [
    "BLOCK_ROWS",
    "COMPRESSIONS",
    "RECORD",
    "DatasetLayout",
    "DatasetWriter",
    "as_bytes",
    "open_dataset_file",
    "spans",
]

RECORD = "hepflow"
COMPRESSIONS = ("LZ4", "ZLIB", "none")
BLOCK_ROWS = 4096
"""Rows that are read together; a chunk holds no more, so that no block needs part of a chunk."""
CHUNK_BYTES = 512 * 1024
"""Bytes of an HDF5 chunk; above 1 MiB chunks leave h5py's cache before they are full and are compressed twice."""
WRITTEN_CHUNKS = 4
"""Chunks that are written together."""
USER_BLOCK = 512
"""Bytes in front of the HDF5 file proper; the least that HDF5 allows."""
SEAL = b"hepflow training set, XXH3 of all bytes from 512 on: "
KERAS = {"keras_version", "model_config", "layer_names", "layers", "_layer_checkpoint_dependencies"}
"""Attributes or groups that an HDF5 file of Keras has, of which version it may be."""

TOLD_BYTES = 10**9
"""Bytes of a training set from which on the log says that its checksum was compared."""

Rows = npt.NDArray[Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetLayout:
    """What a row of a training set holds: what was declared, and the numpy types of the columns kept as they are."""

    training: TrainingSet
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        training = self.training
        known = [*self.columns, *self.labels, "weight", "fold"]
        taken = {name for name in known if known.count(name) > 1} | ({training.called} & set(training.inputs))
        for group, variables in training.inputs.items():
            names = [variable.column for variable in variables]
            taken |= {name for name in names if names.count(name) > 1 or (group in training.caps and name == "valid")}
            if group not in training.caps:
                taken |= set(names) & set(known)
                known += names
        if taken:
            raise JobOptionsError(
                f"a training set cannot have two fields of one name: {', '.join(sorted(taken))}",
                hint=f"label, weight, fold, valid and {training.called} belong to the data set; a sequence needs an "
                "entry in caps",
            )

    @property
    def labels(self) -> dict[str, str]:
        """Return the fields of the targets with their types: ``label``, or of several ``label_<name>``."""
        targets = self.training.target
        names = ["label"] if len(targets) == 1 else [f"label_{one.name}" for one in targets]
        return {name: "<i4" if one.classes else "<f4" for name, one in zip(names, targets, strict=True)}

    @property
    def sequences(self) -> tuple[str, ...]:
        """Return the groups that are sequences."""
        return tuple(group for group in self.training.inputs if group in self.training.caps)

    def rows_type(self) -> np.dtype[Any]:
        """Return the type of an element of the dataset of the rows."""
        inputs = self.training.inputs.items()
        flat = [(v.column, "<f4") for group, listed in inputs if group not in self.training.caps for v in listed]
        return np.dtype([*self.labels.items(), ("weight", "<f4"), ("fold", "u1"), *self.columns.items(), *flat])

    def sequence_type(self, group: str) -> np.dtype[Any]:
        """Return the type of an object of a sequence: float32 values in the order of the variables, then ``valid``."""
        return np.dtype([*((variable.column, "<f4") for variable in self.training.inputs[group]), ("valid", "?")])

    def row_type(self) -> np.dtype[Any]:
        """Return the type of a row without its objects: what ``rows_type`` has, and of every sequence the number of
        its objects.
        """
        counts = ((group, "<i4") for group in self.sequences)
        return np.dtype([(self.training.called, self.rows_type()), *counts])

    def record(self) -> dict[str, Any]:
        """Return the layout as JSON takes it, with a hash of what a network depends on."""
        depends = {
            "inputs": {
                group: [(v.name, v.column, v.transform, v.floor) for v in variables]
                for group, variables in self.training.inputs.items()
            },
            "caps": dict(self.training.caps),
            "classes": list(self.training.classes),
        }
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
        return {"training_set": self.training.record(), "columns": dict(self.columns), "schema": digest}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DatasetLayout:
        """Return the layout that a file's record describes."""
        return cls(TrainingSet.from_record(record["training_set"]), dict(record["columns"]))


class DatasetWriter:
    """Writes a training set of a known number of rows; raises OutputError where the file cannot be written.

    A context manager: the file is whole once it is left without an error.
    """

    def __init__(self, path: Path, layout: DatasetLayout, rows: int, *, compression: str = "LZ4") -> None:
        import h5py

        self._path = path
        self._layout = layout
        self._next = 0
        self._rows = rows
        try:
            self._target = _Target(path, "w+")
        except OSError as error:
            raise self._failure(error) from error
        self._file = h5py.File(self._target, "w", userblock_size=USER_BLOCK)
        self._datasets: dict[str, Any] = {}
        self._padded: dict[str, Rows] = {}
        self._called = layout.training.called
        self._create(self._called, layout.rows_type(), (), compression)
        for group in layout.sequences:
            self._create(group, layout.sequence_type(group), (layout.training.caps[group],), compression)

    def _create(self, name: str, kind: np.dtype[Any], places: tuple[int, ...], compression: str) -> None:
        """Create a dataset, and room for the elements that are written together."""
        size = CHUNK_BYTES // (kind.itemsize * math.prod(places))
        chunk = max(1, min(BLOCK_ROWS, 1 << max(size.bit_length() - 1, 0), self._rows))
        self._datasets[name] = self._file.create_dataset(
            name, (self._rows, *places), kind, chunks=(chunk, *places), fletcher32=True, **_filters(compression)
        )
        if places:
            self._padded[name] = np.empty((WRITTEN_CHUNKS * chunk, *places), kind)

    def append(self, rows: Rows, objects: Mapping[str, Rows], order: npt.NDArray[np.int64]) -> None:
        """Write ``rows[order]``, and their objects padded to the cap.

        The rows have the fields of ``layout.row_type()``, and others that are left out; ``objects`` holds those of each
        sequence, row after row.
        """
        called = self._called
        self._write(called, self._next, as_bytes(rows[called])[order].view(rows.dtype[called]))
        for group in self._layout.sequences:
            self._append(group, rows[group], objects[group], order)
        self._next += len(rows)

    def _append(self, group: str, counts: npt.NDArray[Any], objects: Rows, order: npt.NDArray[np.int64]) -> None:
        """Write the objects of a sequence, few rows at a time, so that the padding stays in the processor's cache."""
        padded = self._padded[group]
        step, cap = padded.shape
        first = (np.cumsum(counts) - counts)[order]
        counts = counts[order]
        sources, places = spans(first, counts), spans(np.arange(len(order)) * cap, counts)
        last = np.cumsum(counts)
        source, room = as_bytes(objects), as_bytes(padded.reshape(-1))
        start, done = 0, 0
        while start < len(order):
            stop = min(len(order), start + step - (self._next + start) % step)
            part = slice(done, int(last[stop - 1]))
            padded.view(np.uint8)[...] = 0
            room[places[part] - start * cap] = source[sources[part]]
            self._write(group, self._next + start, padded[: stop - start])
            start, done = stop, part.stop

    def _write(self, name: str, first: int, values: Rows) -> None:
        """Write elements of a dataset, from ``first`` on.

        Assigning to the dataset would do, but h5py builds the type of a structure anew each time, which takes as long
        as to write it.
        """
        from h5py import h5s

        dataset = self._datasets[name].id
        place = dataset.get_space()
        place.select_hyperslab((first, *(0 for _ in values.shape[1:])), values.shape)
        dataset.write(h5s.create_simple(values.shape), place, values, dataset.get_type())
        self._check()

    def finish(self, record: Mapping[str, Any]) -> None:
        """Add the record, and the class names as an attribute of the rows; ``record`` extends that of the layout."""
        if self._next != self._rows:
            raise OutputError(f"{self._next} of {self._rows} rows were written", where=str(self._path))
        self._datasets[self._called].attrs["label"] = list(self._layout.training.classes)
        self._file.attrs[RECORD] = json.dumps({**self._layout.record(), "rows": self._rows, **record})

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        finally:
            self._target.close()
        if error is None:
            self._check()
            try:
                _seal(self._path)
            except OSError as failed:
                raise self._failure(failed) from failed

    def _check(self) -> None:
        if isinstance(self._target.error, OSError):
            raise self._failure(self._target.error) from self._target.error
        if self._target.error is not None:
            raise self._target.error

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"the training set cannot be written: {error.strerror or error}",
            where=str(self._path),
            hint="is the disk full? finished work units are kept, --resume continues",
        )


class _Target(io.FileIO):
    """The file under HDF5, which can neither give up a file that it cannot write nor close it: it crashes as the
    program ends. This one keeps its first error, or Ctrl-C, and from then on takes everything and writes nothing.
    """

    error: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        rest = memoryview(data)
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except BaseException as error:  # HDF5 would take it for one of its own
                self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        return super().truncate(size) if self.error is None else size or 0


def as_bytes(values: Rows) -> npt.NDArray[np.void]:
    """Return a view of structured values (n) in which each is opaque bytes.

    numpy moves bytes as a whole, but structures field by field.
    """
    return values.view(f"V{values.itemsize}")


def spans(first: npt.NDArray[Any], counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the numbers ``first[i], first[i] + 1, …``, ``counts[i]`` of them for each i, one after the other."""
    last = np.cumsum(counts, dtype=np.int64)
    return np.repeat(first - (last - counts), counts) + np.arange(last[-1] if len(last) else 0)


def _filters(compression: str) -> dict[str, Any]:
    if compression == "LZ4":
        import hdf5plugin

        return dict(hdf5plugin.LZ4())
    return {"compression": "gzip", "compression_opts": 4} if compression == "ZLIB" else {}


def _seal(path: Path) -> None:
    """Write the checksum in front of a finished training set."""
    with path.open("rb+") as file:
        file.seek(USER_BLOCK)
        digest = _digest(file)
        file.seek(0)
        file.write(SEAL + digest + b"\n")


def _digest(file: Any) -> bytes:
    """Return the XXH3 (128 bits) of the rest of a file, as text."""
    digest, block = xxhash.xxh3_128(), bytearray(1 << 20)
    while size := file.readinto(block):
        digest.update(memoryview(block)[:size])
    return digest.hexdigest().encode()


def _check_seal(path: Path) -> None:
    """Compare the checksum of a training set; InputError where it does not fit.

    A file without one, which something else has written, passes. One that did not change is not read again.
    """
    state = path.stat()
    if not _is_sealed(path.absolute(), state.st_ino, state.st_size, state.st_mtime_ns):
        raise InputError(
            f"{path} is damaged, or was changed since it was written: its checksum does not fit",
            hint="make the training set again; what is changed on purpose must be copied into a new file with h5py",
        )


@cache
def _is_sealed(path: Path, *state: int) -> bool:
    began = time.monotonic()
    with path.open("rb") as file:
        head = file.read(USER_BLOCK)
        if not head.startswith(SEAL):
            return True
        fits = head[len(SEAL) :].startswith(_digest(file) + b"\n")
    if state[1] >= TOLD_BYTES:
        seconds = time.monotonic() - began
        _log.info("checksum of %s compared, once for this run: %.1f GB in %.0f s", path, state[1] / 1e9, seconds)
    return fits


def open_dataset_file(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the open file (h5py) and its record; InputError where it is missing, damaged or no training set."""
    import h5py
    import hdf5plugin  # noqa: F401 - its import makes LZ4 known to HDF5

    if not path.is_file():
        raise InputError(f"there is no training set {path}", hint="a DatasetStream writes it")
    _check_seal(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path} is no HDF5 file, or it is damaged: {error}", hint="make the training set again"
        ) from error
    try:
        if RECORD not in file.attrs:
            keras = KERAS & {*file.attrs, *file}
            hint = "hepflow convert makes a network of model.keras, or of architecture.json weights.h5 variables.json"
            raise InputError(
                f"{path} was not written by a DatasetStream: it has no attribute {RECORD!r}",
                hint=f"it looks like a model of Keras; {hint}" if keras else "",
            )
        record = json.loads(file.attrs[RECORD])
        wrong = _unfit(file, record)
        if wrong:
            hint = "make the training set again"
            raise InputError(f"{path} is damaged: it has no {', '.join(wrong)} as its record says", hint=hint)
    except (OSError, RuntimeError, AttributeError, KeyError, TypeError, ValueError, JobOptionsError) as error:
        file.close()
        raise InputError(
            f"{path} is damaged: its attribute {RECORD!r} cannot be read: {type(error).__name__}: {error}",
            hint="make the training set again",
        ) from error
    except InputError:
        file.close()
        raise
    return file, record


def _unfit(file: Any, record: Mapping[str, Any]) -> list[str]:
    """Return what does not fit the rest of a training set; raises KeyError, TypeError, … where the record lacks it."""
    import h5py

    layout = DatasetLayout.from_record(record)
    training = layout.training
    counts, rows = (training.fold_number, max(len(training.classes), 1)), (training.fold_number, 2)
    shapes = {"rows": (), "counts": counts, "negative": counts, "rows_of_folds": rows}
    kinds = {training.called: layout.rows_type(), **{group: layout.sequence_type(group) for group in layout.sequences}}
    fields = {name: file[name].dtype.names or () for name in kinds if isinstance(file.get(name), h5py.Dataset)}
    return [
        *(key for key, shape in shapes.items() if np.shape(record[key]) != shape),
        *(name for name, kind in kinds.items() if not set(kind.names or ()) <= set(fields.get(name, ()))),
    ]
