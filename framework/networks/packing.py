"""Ragged sequences without padding: the objects of a block of taus, ordered so that each step of all taus is one slice.

Taus are sorted by falling number of objects; first stand the first objects of all taus, then the second objects, and
so on. Sums over objects and steps of a recurrent layer are then operations on contiguous slices.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["Packing"]


class Packing:
    """Order of the objects of one block.

    ``order`` (n_taus) lists the taus by falling count and ``inverse`` undoes it; ``steps`` has (offset, size) of each
    slice; ``objects`` (n_objects) gives, for each packed place, the object's place in the block; ``counts`` is
    sorted.
    """

    __slots__ = ("counts", "inverse", "n_objects", "n_taus", "objects", "order", "steps")

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self.n_taus = counts.size
        histogram = np.bincount(counts, minlength=1).tolist() if counts.size else [0]
        longest = len(histogram) - 1
        # small keys are sorted by radix
        self.order = np.argsort((longest - counts).astype(np.uint8 if longest < 256 else np.int64), kind="stable")
        self.inverse = np.empty_like(self.order)
        self.inverse[self.order] = np.arange(self.n_taus)
        self.counts = counts[self.order]
        sizes, left = [], self.n_taus
        for taus in histogram[:-1]:
            left -= taus
            sizes.append(left)
        ends = np.cumsum(counts)
        ends -= counts
        self._place(sizes, ends[self.order])

    def _place(self, sizes: list[int], starts: NDArray[np.int64]) -> None:
        """Fill ``steps`` from their sizes, and ``objects`` from the place of each sorted tau's first object."""
        self.steps = list(zip(itertools.accumulate([0, *sizes[:-1]]), sizes, strict=True)) if sizes else []
        self.n_objects = sum(sizes)
        self.objects = np.empty(self.n_objects, np.int64)
        for step, (offset, size) in enumerate(self.steps):
            np.add(starts[:size], step, out=self.objects[offset : offset + size])

    def shortened(self, by: int) -> Packing:
        """Return the packing of sequences that lose ``by`` objects each, or all they have."""
        new: Packing = object.__new__(Packing)
        new.n_taus, new.order, new.inverse = self.n_taus, self.order, self.inverse
        new.counts = np.maximum(self.counts - by, 0)
        ends = np.cumsum(new.counts[self.inverse])
        new._place([size for _, size in self.steps[by:]], ends[self.order] - new.counts)
        return new

    def last(self) -> NDArray[np.int64]:
        """Return the packed place of the last object of each tau that has any, in sorted order."""
        offsets = np.array([offset for offset, _ in self.steps], dtype=np.int64)
        full = self.counts[self.counts > 0]
        places: NDArray[np.int64] = offsets[full - 1] + np.arange(full.size) if full.size else np.zeros(0, np.int64)
        return places
