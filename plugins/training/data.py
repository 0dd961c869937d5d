"""Reading a training set: batches of transformed, padded float32 arrays by role, with bounded memory.

The transform of each variable is applied here; offset and scale belong to the network. Padding is zero and masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hepflow.errors import InputError, JobOptionsError
from hepflow.folds import ROLES, Folds
from hepflow.io.hdf5 import BLOCK_ROWS, DatasetLayout, as_bytes, open_dataset_file
from hepflow.plugins.training.columns import check_sum
from hepflow.plugins.training.reweighter import Reweighting
from hepflow.trainingset import TrainingSet
from hepflow.variables import Variable

__all__ = ["Batch", "TrainingData", "Whole", "open_dataset"]

GROUP_BLOCKS = 4
"""Blocks of ``BLOCK_ROWS`` rows that are in memory, and shuffled, together."""

Floats = npt.NDArray[np.float32]
A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True)
class Batch:
    """Some rows as a network takes them.

    ``inputs`` has float32 (b, cap, variables) for a sequence and (b, variables) for a flat group, transformed and not
    scaled, zero where there is no object; ``masks`` bool (b, cap) for each sequence, True for objects. ``labels`` is
    float32 (b, outputs): of each target in order its classes, one-hot, or the number itself; ``weights`` float32 (b,).
    """

    inputs: Mapping[str, Floats]
    masks: Mapping[str, npt.NDArray[np.bool_]]
    labels: Floats
    weights: Floats

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.weights)

    def __getitem__(self, rows: slice) -> Batch:
        """Return some of the rows, without copying."""
        return Batch(
            {group: values[rows] for group, values in self.inputs.items()},
            {group: values[rows] for group, values in self.masks.items()},
            self.labels[rows],
            self.weights[rows],
        )

    @classmethod
    def join(cls, batches: Sequence[Batch]) -> Batch:
        """Return the rows of several batches as one."""
        if len(batches) == 1:
            return batches[0]
        first = batches[0]
        return cls(
            {group: np.concatenate([batch.inputs[group] for batch in batches]) for group in first.inputs},
            {group: np.concatenate([batch.masks[group] for batch in batches]) for group in first.masks},
            np.concatenate([batch.labels for batch in batches]),
            np.concatenate([batch.weights for batch in batches]),
        )


@dataclass(frozen=True)
class Whole:
    """All rows of a role at once, in the order of the file.

    ``inputs`` has float32 (rows, variables) for a flat group and (objects, variables) for a sequence, the objects of
    all rows one after the other; ``counts`` how many of them each row has. Transformed and not scaled. ``labels`` and
    ``weights`` are those of a ``Batch``, ``columns`` fold and spectators of the rows as they are in the file.
    """

    inputs: Mapping[str, Floats]
    counts: Mapping[str, npt.NDArray[np.int64]]
    labels: Floats
    weights: Floats
    columns: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.weights)


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
                rows = self._rows([block], None, role)
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
        if batch_size < 1:
            raise JobOptionsError(f"a batch of {batch_size} rows makes no sense", hint="set it to at least 1")
        blocks = self._blocks(role)
        rng = None
        if shuffle_seed is not None:
            rng = np.random.default_rng([shuffle_seed, epoch])
            blocks = [blocks[i] for i in rng.permutation(len(blocks))]
        waiting: list[Batch] = []
        missing = batch_size
        for group in self._groups(blocks, rng, role):
            start = 0
            while len(group) - start >= missing:
                yield Batch.join([*waiting, group[start : start + missing]])
                waiting, start, missing = [], start + missing, batch_size
            if start < len(group):
                waiting.append(group[start:])
                missing -= len(group) - start
        if waiting:
            yield Batch.join(waiting)

    def whole(self, role: str) -> Whole:
        """Return all rows of a role in arrays without padding, as engines take them that hold all in memory."""
        found: dict[str, list[Any]] = {"labels": [], "weights": []}
        inputs: dict[str, list[Any]] = {group: [] for group in self.variables}
        counts: dict[str, list[Any]] = {group: [] for group in self.sequences}
        columns: list[Any] = []
        for block in self._blocks(role):
            batch = self._load([block], None, role)
            for group, values in batch.inputs.items():
                mask = batch.masks.get(group)
                inputs[group].append(values if mask is None else values[mask])
                if mask is not None:
                    counts[group].append(mask.sum(axis=1))
            found["labels"].append(batch.labels)
            found["weights"].append(batch.weights)
            columns.append(self._rows([block], None, role)[["fold", *self._layout.columns]])
        kept = np.concatenate(columns)
        return Whole(
            {group: np.concatenate(parts) for group, parts in inputs.items()},
            {group: np.concatenate(parts) for group, parts in counts.items()},
            np.concatenate(found["labels"]),
            np.concatenate(found["weights"]),
            {name: kept[name] for name in ("fold", *self._layout.columns)},
        )

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

    def _groups(self, blocks: Sequence[tuple[int, int]], rng: np.random.Generator | None, role: str) -> Iterator[Batch]:
        groups = [blocks[i : i + GROUP_BLOCKS] for i in range(0, len(blocks), GROUP_BLOCKS)]
        orders = (None if rng is None else rng.permutation(sum(stop - start for start, stop in g)) for g in groups)
        with ThreadPoolExecutor(1) as pool:
            following = None
            for group, order in zip(groups, orders, strict=True):
                ready, following = following, pool.submit(self._load, group, order, role)
                if ready is not None:
                    yield ready.result()
            if following is not None:
                yield following.result()

    def _load(self, blocks: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None, role: str) -> Batch:
        rows = self._read(self.declared.called, blocks, order)
        train = self._trains(rows) if role == "train" else None
        rows = rows if train is None else as_bytes(rows)[train].view(rows.dtype)
        inputs: dict[str, Floats] = {}
        masks: dict[str, npt.NDArray[np.bool_]] = {}
        for group, variables in self.declared.inputs.items():
            if group in self.declared.caps:
                objects = self._read(group, blocks, order)
                objects = objects if train is None else as_bytes(objects)[train].view(objects.dtype)
                inputs[group], masks[group] = _transformed(objects, variables), objects["valid"]
            else:
                inputs[group] = np.stack([v(rows[v.column]) for v in variables], axis=1)
        return Batch(inputs, masks, self._labels(rows), self._weights(rows, role))

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

    def _rows(self, blocks: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None, role: str) -> Any:
        """Return the structured rows that have a role, without their objects."""
        rows = self._read(self.declared.called, blocks, order)
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

    def _read(self, name: str, blocks: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None) -> Any:
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
        return rows if order is None else as_bytes(rows)[order].view(rows.dtype)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> TrainingData:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _transformed(objects: npt.NDArray[Any], variables: Sequence[Variable]) -> Floats:
    """Return float32 (n, cap, variables) of a structured (n, cap): transformed where valid, else 0."""
    valid = objects["valid"]
    there = as_bytes(objects)[valid]
    floats = np.dtype(
        {"names": ["x"], "formats": [("<f4", (len(variables),))], "offsets": [0], "itemsize": objects.dtype.itemsize}
    )
    values = np.ascontiguousarray(there.view(floats)["x"])
    for i, variable in enumerate(variables):
        values[:, i] = variable(values[:, i])
    result = np.zeros((*objects.shape, len(variables)), dtype=np.float32)
    result[valid] = values
    return result


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
            hint="use more events, or leave the class out",
        )
    return data
