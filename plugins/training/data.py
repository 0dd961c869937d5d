"""Reading a training set: transformed float32 arrays by role, in blocks or padded batches, with bounded memory.

The transform of each variable is applied here; offset and scale belong to the network. Objects that are not there are
left out when a block is read, and what was read once is kept as it is then (``decoded``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import InputError, JobOptionsError
from hepflow.folds import ROLES, Folds
from hepflow.io.hdf5 import BLOCK_ROWS, DatasetLayout, as_bytes, open_dataset_file
from hepflow.plugins.training.columns import check_sum
from hepflow.plugins.training.decoded import Decoded
from hepflow.plugins.training.reweighter import Reweighting
from hepflow.plugins.training.rows import Batch, Floats, Rows
from hepflow.trainingset import Target, TrainingSet
from hepflow.variables import Variable

__all__ = ["Batch", "Rows", "TrainingData", "open_dataset"]

GROUP_BLOCKS = 4
"""Blocks of ``BLOCK_ROWS`` rows that are in memory, and shuffled, together."""


class TrainingData:
    """An open training set (see ``open_dataset``); a context manager.

    ``declared`` is its TrainingSet, ``folds`` the rule and the roles of one model, ``record`` what travels with a model
    that is trained on it.
    """

    def __init__(self, path: Path, folds: Folds | None = None, reweighting: Reweighting | None = None) -> None:
        self.path = path
        self._file, self._record = open_dataset_file(path)
        self._layout = DatasetLayout.from_record(self._record)
        self.declared: TrainingSet = self._layout.training
        self._label = next(iter(self._layout.labels))
        self._reweighting = reweighting
        self._roles: dict[str, Decoded] = {}
        rule = self.declared.folds[0]
        self.folds = folds or rule
        if (self.folds.column, self.folds.number) != (rule.column, rule.number):
            raise InputError(
                f"the training set has the folds {rule.column} % {rule.number}, "
                f"not {self.folds.column} % {self.folds.number}",
                where=str(path),
                hint="make it again with these folds, or ask for its own",
            )
        if reweighting is not None:
            reweighting.check(self.classes, self._layout.rows_type().names or (), str(path))

    @property
    def variables(self) -> dict[str, tuple[Variable, ...]]:
        """Return the inputs by group, in the order of the arrays."""
        return dict(self.declared.inputs)

    @property
    def caps(self) -> dict[str, int]:
        """Return the most objects of each sequence."""
        return dict(self.declared.caps)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the one-hot labels; none for regression."""
        return self.declared.classes

    @property
    def sequences(self) -> tuple[str, ...]:
        """Return the groups that are sequences; the other groups are flat."""
        return self._layout.sequences

    @property
    def record(self) -> dict[str, Any]:
        """Return what must be known of a model trained on this: folds and roles, declaration, schema, numbers of
        rows.
        """
        kept = ("job", "version", "tools", "training_set", "seed", "schema")
        return {
            "folds": self.folds.record(),
            "rows": {role: self.size(role) for role in ROLES},
            **{name: self._record[name] for name in kept if name in self._record},
            **({"reweighting": self._reweighting.record()} if self._reweighting is not None else {}),
        }

    def counts(self, role: str) -> npt.NDArray[np.int64]:
        """Return the number of rows of each class (of all, in one number, without classes) that have a role."""
        per_fold = np.asarray(self._record["counts"], dtype=np.int64)
        if role == "train" and self.declared.negative_weights == "ignore-in-training":
            per_fold = per_fold - np.asarray(self._record["negative"], dtype=np.int64)
        counts: npt.NDArray[np.int64] = per_fold[list(self.folds.of(role))].sum(axis=0)
        return counts

    def size(self, role: str) -> int:
        """Return the number of rows that have a role."""
        return int(self.counts(role).sum())

    def check_weights(self) -> None:
        """Raise ToolError where the weights of the rows to train on, or to validate with, of a class or of all, do not
        add up to a positive number.
        """
        for role in ("train", "validation") if self.folds.validation else ("train",):
            sums = np.zeros(max(len(self.classes), 1))
            for block in self._blocks(role):
                rows = self._rows([block], role)
                labels = rows[self._label] if self.classes else np.zeros(len(rows), np.int64)
                sums += np.bincount(labels, self._weights(rows, role), len(sums))
            check_sum(float(sums.sum()), f"the {self.size(role)} {self.declared.called} for {role}", str(self.path))
            for name, weight in zip(self.classes, sums.tolist(), strict=False) if role == "train" else ():
                check_sum(weight, f"the {self.declared.called} of class {name} for {role}", str(self.path))

    def batches(
        self, role: str, batch_size: int, *, shuffle_seed: int | None = None, epoch: int = 0
    ) -> Iterator[Batch]:
        """Yield all rows of a role in batches; only the last one may be smaller.

        With ``shuffle_seed`` the order is random and depends on (seed, epoch) alone; without, it is that of the file.
        Reading runs one group of blocks ahead, in a thread. InputError where the role has no rows or the file is
        damaged.
        """
        for rows in self.blocks(role, batch_size, shuffle_seed=shuffle_seed, epoch=epoch):
            for start in range(0, len(rows), batch_size):
                yield rows[start : start + batch_size].padded(self.caps)

    def blocks(self, role: str, multiple: int, *, shuffle_seed: int | None = None, epoch: int = 0) -> Iterator[Rows]:
        """Yield all rows of a role without padding, in the order of ``batches``, many at a time; their number is a
        multiple of ``multiple``, but for the last.
        """
        if multiple < 1:
            raise JobOptionsError(f"a batch of {multiple} rows makes no sense", hint="set it to at least 1")
        waiting: list[Rows] = []
        for group in self._groups(role, shuffle_seed, epoch):
            waiting.append(group)
            if sum(map(len, waiting)) < multiple:
                continue
            joined = Rows.join(waiting)
            whole = len(joined) // multiple * multiple
            yield joined[:whole]
            waiting = [joined[whole:]] if whole < len(joined) else []
        if waiting:
            yield Rows.join(waiting)

    def whole(self, role: str) -> Rows:
        """Return all rows of a role at once, in the order of the file, with fold and spectators, as engines take them
        that hold all in memory.
        """
        return Rows.join([self._decode([block], role, columns=True) for block in self._blocks(role)])

    def _blocks(self, role: str) -> list[tuple[int, int]]:
        """Return the row ranges of a role, cut where the chunks of the file end; InputError where it has no rows."""
        if not self.size(role):
            folds = ", ".join(map(str, self.folds.of(role)))
            raise InputError(
                f"the training set has no {self.declared.called} for {role}",
                where=f"{self.path}, folds {folds}",
                hint=f"folds {folds} of {self.folds.column} % {self.folds.number} are empty: use more events, or give "
                f"{role} other folds (folds of the TrainingSet)",
            )
        blocks = []
        for fold in self.folds.of(role):
            start, stop = self._record["rows_of_folds"][fold]
            edges = [start, *range((start // BLOCK_ROWS + 1) * BLOCK_ROWS, stop, BLOCK_ROWS), stop]
            blocks += [(low, high) for low, high in pairwise(edges) if low < high]
        return blocks

    def everything(self, role: str) -> Rows:
        """Return all rows of a role in the order of the file, as ``order`` counts them."""
        decoded = self._decoded(role)
        return Rows.join([decoded.block(number) for number in range(decoded.parts)])

    def order(self, role: str, *, shuffle_seed: int, epoch: int) -> npt.NDArray[np.int32]:
        """Return the places, among all rows of a role, of those that ``blocks`` yields one after the other."""
        decoded = self._decoded(role)
        edges = np.cumsum([0, *(decoded.size(number) for number in range(decoded.parts))])
        order = []
        rng = np.random.default_rng([shuffle_seed, epoch])
        for group in _grouped(decoded.parts, rng):
            places = np.concatenate([np.arange(edges[number], edges[number + 1]) for number in group])
            order.append(places[rng.permutation(len(places))].astype(np.int32))
        return np.concatenate(order)

    def nbytes(self, role: str) -> int:
        """Return the bytes of all rows of a role without padding."""
        decoded = self._decoded(role)
        return sum(decoded.nbytes(number) for number in range(decoded.parts))

    def _groups(self, role: str, seed: int | None, epoch: int) -> Iterator[Rows]:
        """Yield the rows of a few blocks at a time, each group shuffled, the next being read meanwhile."""
        decoded = self._decoded(role)
        rng = None if seed is None else np.random.default_rng([seed, epoch])

        def read(group: Sequence[int]) -> Rows:
            rows = Rows.join([decoded.block(number) for number in group])
            return rows if rng is None else rows.take(rng.permutation(len(rows)))

        with ThreadPoolExecutor(1) as pool:
            following = None
            for group in _grouped(decoded.parts, rng):
                ready, following = following, pool.submit(read, group)
                if ready is not None:
                    yield ready.result()
            if following is not None:
                yield following.result()

    def _decoded(self, role: str) -> Decoded:
        """Return the blocks of a role, which are decoded once."""
        if role not in self._roles:
            blocks = self._blocks(role)
            what = f"the {self.size(role)} {self.declared.called} for {role}"
            self._roles[role] = Decoded(lambda number: self._decode([blocks[number]], role), len(blocks), what)
        return self._roles[role]

    def _decode(self, blocks: Sequence[tuple[int, int]], role: str, *, columns: bool = False) -> Rows:
        """Read, transform, and leave out objects that are not there."""
        rows = self._read(self.declared.called, blocks)
        train = self._trains(rows) if role == "train" else None
        rows = rows if train is None else rows[train]
        inputs: dict[str, Floats] = {}
        counts: dict[str, npt.NDArray[np.int32]] = {}
        for group, variables in self.declared.inputs.items():
            if group in self.declared.caps:
                objects = self._read(group, blocks)
                objects = objects if train is None else as_bytes(objects)[train].view(objects.dtype)
                inputs[group], counts[group] = _transformed(objects, variables)
            else:
                inputs[group] = np.stack([v(rows[v.column]) for v in variables], axis=1)
        kept = {name: rows[name] for name in ("fold", *self._layout.columns)} if columns else {}
        return Rows(inputs, counts, self._labels(rows), self._weights(rows, role), kept)

    def _labels(self, rows: Any) -> Floats:
        """Return the labels of rows, target after target."""
        parts = [
            np.eye(len(target.outputs), dtype=np.float32)[rows[name]] if target.classes else rows[name][:, None]
            for name, target in zip(self._layout.labels, self.declared.target, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def _trains(self, rows: Any) -> npt.NDArray[np.bool_] | None:
        """Return which rows of the training folds train; None: all."""
        return self.declared.training_weights(rows["weight"])[0]

    def _rows(self, blocks: Sequence[tuple[int, int]], role: str) -> Any:
        """Return the structured rows that have a role, without their objects."""
        rows = self._read(self.declared.called, blocks)
        train = self._trains(rows) if role == "train" else None
        return rows if train is None else rows[train]

    def _weights(self, rows: Any, role: str) -> Floats:
        """Return the weights of structured rows: in training as ``negative_weights`` says, else as they are."""
        weights: Floats = rows["weight"].copy()
        if role == "train":
            weights = self.declared.training_weights(weights)[1]
        if self._reweighting is not None:
            weights *= self._reweighting.factors(rows[self._label], rows)
        return weights

    def _read(self, name: str, blocks: Sequence[tuple[int, int]]) -> Any:
        try:
            dataset = self._file[name]
            rows = np.empty((sum(stop - start for start, stop in blocks), *dataset.shape[1:]), dataset.dtype)
            position = 0
            for start, stop in blocks:
                dataset.read_direct(rows, np.s_[start:stop], np.s_[position : position + stop - start])
                position += stop - start
        except (OSError, KeyError) as error:
            raise InputError(
                f"{name} cannot be read: the file is damaged ({error})",
                where=f"{self.path}, rows {min(blocks)[0]}–{max(blocks)[1]}",
                hint="make the training set again",
            ) from error
        return rows

    def close(self) -> None:
        """Close the files."""
        for decoded in self._roles.values():
            decoded.close()
        self._file.close()

    def __enter__(self) -> TrainingData:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _grouped(blocks: int, rng: np.random.Generator | None) -> list[list[int]]:
    """Return the numbers of the blocks that are in memory together, group after group."""
    numbers = list(range(blocks)) if rng is None else rng.permutation(blocks).tolist()
    return [numbers[i : i + GROUP_BLOCKS] for i in range(0, blocks, GROUP_BLOCKS)]


def _transformed(objects: npt.NDArray[Any], variables: Sequence[Variable]) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Return the transformed objects (float32, (objects, variables)) that are valid in a structured (n, cap), and how
    many each row has.
    """
    valid = objects["valid"]
    there = as_bytes(objects).reshape(-1).take(np.flatnonzero(valid))
    floats = np.dtype(
        {"names": ["x"], "formats": [("<f4", (len(variables),))], "offsets": [0], "itemsize": objects.dtype.itemsize}
    )
    values = np.ascontiguousarray(there.view(floats)["x"])
    for i, variable in enumerate(variables):
        if variable.transform or variable.fill is not None:
            values[:, i] = variable(values[:, i])
    return values, valid.sum(axis=1, dtype=np.int32)


def _values(target: Target, classes: Sequence[str]) -> str:
    values = [str(value) for value, name in target.classes.items() if name in classes]
    return f"{target.column} = {' or '.join(values)}"


def open_dataset(
    path: Path | str, folds: Folds | None = None, *, reweighting: Reweighting | None = None
) -> TrainingData:
    """Open a training set that a DatasetStream wrote.

    ``folds`` are the roles (by default those of the reference training), ``reweighting`` the factors of a Reweighter,
    multiplied into the weights of every batch. InputError where the file is missing or damaged, was made with other
    folds, or where a class has no rows in the training folds.
    """
    data = TrainingData(Path(path), folds, reweighting)
    counts = data.counts("train")
    empty = [name for name, count in zip(data.classes, counts, strict=False) if not count]
    if empty:
        data.close()
        raise InputError(
            f"there are no {data.declared.called} of class {', '.join(empty)} to train on",
            where=f"{path}, folds {', '.join(map(str, data.folds.train))}",
            hint=f"none of them has {_values(data.declared.target[0], empty)}: use more events, give the class another "
            "value, or leave it out",
        )
    return data
