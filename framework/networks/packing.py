"""Ragged sequences without padding: the objects of a block of taus, ordered so that each step of all taus is one slice.

Taus are sorted by falling number of objects; first stand the first objects of all taus, then the second objects, and so on. Sums over
objects and steps of a recurrent layer are then operations on contiguous slices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Packing"]


class Packing:
    """Order of the objects of one block.

    ``order`` (n_taus) lists the taus by falling count and ``inverse`` undoes it (None where nothing moves); ``steps`` has (offset,
    size) of each slice; ``objects`` (n_objects) gives, for each packed place, the object's place in the block; ``counts`` is sorted.
    """

    __slots__ = ("counts", "inverse", "n_objects", "n_taus", "objects", "order", "steps")

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self.n_taus = counts.size
        longest = int(counts.max(initial=0))
        starts = np.cumsum(counts)
        self.n_objects = int(starts[-1]) if starts.size else 0
        starts -= counts
        falling = longest - counts
        self.order = np.argsort(falling.astype(np.uint16) if longest < 65536 else falling, kind="stable")
        self.inverse: NDArray[np.int64] | None = np.empty_like(self.order)
        self.inverse[self.order] = np.arange(self.n_taus)
        self.counts = counts[self.order]
        sizes = self.n_taus - np.cumsum(np.bincount(counts, minlength=longest + 1))[:longest]
        self.steps = _steps(sizes)
        starts = starts[self.order]
        self.objects = np.empty(self.n_objects, np.int64)
        for step, (offset, size) in enumerate(self.steps):
            np.add(starts[:size], step, out=self.objects[offset : offset + size])

    def shortened(self, by: int) -> Packing:
        """Return the packing of sequences that lose ``by`` objects each, or all they have."""
        new: Packing = object.__new__(Packing)
        new.n_taus, new.order, new.inverse = self.n_taus, self.order, self.inverse
        new.counts = np.maximum(self.counts - by, 0)
        new.steps = _steps(np.array([size for _, size in self.steps[by:]], dtype=np.int64))
        new.n_objects = sum(size for _, size in new.steps)
        starts = np.empty(self.n_taus, np.int64)
        starts[self.order] = new.counts
        starts = (np.cumsum(starts) - starts)[self.order]
        new.objects = np.empty(new.n_objects, np.int64)
        for step, (offset, size) in enumerate(new.steps):
            np.add(starts[:size], step, out=new.objects[offset : offset + size])
        return new

    def last(self) -> NDArray[np.int64]:
        """Return the packed place of the last object of each tau that has any, in sorted order."""
        offsets = np.array([offset for offset, _ in self.steps], dtype=np.int64)
        full = self.counts[self.counts > 0]
        places: NDArray[np.int64] = offsets[full - 1] + np.arange(full.size) if full.size else np.zeros(0, np.int64)
        return places


def _steps(sizes: NDArray[np.int64]) -> list[tuple[int, int]]:
    offsets = np.cumsum(sizes) - sizes
    return list(zip(offsets.tolist(), sizes.tolist(), strict=True))
