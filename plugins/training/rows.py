"""Rows of a training set in memory: without padding, as they are kept and shuffled, and padded to their caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.io.hdf5 import spans

__all__ = ["Batch", "Rows"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


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
class Rows:
    """Some rows without padding.

    ``inputs`` has float32 (rows, variables) for a flat group and (objects, variables) for a sequence, the objects of
    all rows one after the other; ``counts`` int32 how many of them each row has. Transformed and not scaled. ``labels``
    and ``weights`` are those of a ``Batch``, ``columns`` fold and spectators of the rows as they are in the file.
    """

    inputs: Mapping[str, Floats]
    counts: Mapping[str, npt.NDArray[np.int32]]
    labels: Floats
    weights: Floats
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.weights)

    @cached_property
    def offsets(self) -> dict[str, Integers]:
        """Return, of each sequence, where the objects of each row begin, and their end: int64 (rows + 1)."""
        ends = {group: np.cumsum(counts, dtype=np.int64) for group, counts in self.counts.items()}
        return {group: np.concatenate([np.zeros(1, np.int64), end]) for group, end in ends.items()}

    def __getitem__(self, rows: slice) -> Rows:
        """Return rows that follow each other, without copying."""
        start, stop, _ = rows.indices(len(self))
        objects = {group: slice(*offsets[[start, stop]]) for group, offsets in self.offsets.items()}
        own = slice(start, stop)
        return Rows(
            {group: values[objects.get(group, own)] for group, values in self.inputs.items()},
            {group: counts[own] for group, counts in self.counts.items()},
            self.labels[own],
            self.weights[own],
            {name: values[own] for name, values in self.columns.items()},
        )

    def take(self, order: Integers) -> Rows:
        """Return rows in an order."""
        counts = {group: counts[order] for group, counts in self.counts.items()}
        objects = {group: spans(self.offsets[group][order], counts[group]) for group in counts}
        return Rows(
            {group: values.take(objects.get(group, order), axis=0) for group, values in self.inputs.items()},
            counts,
            self.labels[order],
            self.weights[order],
            {name: values[order] for name, values in self.columns.items()},
        )

    @classmethod
    def join(cls, several: Sequence[Rows]) -> Rows:
        """Return several one after the other."""
        if len(several) == 1:
            return several[0]
        first = several[0]
        return cls(
            {group: np.concatenate([rows.inputs[group] for rows in several]) for group in first.inputs},
            {group: np.concatenate([rows.counts[group] for rows in several]) for group in first.counts},
            np.concatenate([rows.labels for rows in several]),
            np.concatenate([rows.weights for rows in several]),
            {name: np.concatenate([rows.columns[name] for rows in several]) for name in first.columns},
        )

    def padded(self, caps: Mapping[str, int]) -> Batch:
        """Return the rows with zeros in the place of objects that are not there."""
        masks = {group: np.arange(caps[group]) < counts[:, None] for group, counts in self.counts.items()}
        inputs = dict(self.inputs)
        for group, mask in masks.items():
            inputs[group] = np.zeros((*mask.shape, self.inputs[group].shape[1]), np.float32)
            inputs[group][mask] = self.inputs[group]
        return Batch(inputs, masks, self.labels, self.weights)
