"""Random numbers for a block of events: flat arrays, each event's part from its own generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Draws"]

Floats = npt.NDArray[Any]


class Draws:
    """The generators of a block's events.

    Every method takes ``counts``, how many numbers each event gets (an int for the same number in all), and returns
    them flat, event by event; so an event's numbers do not depend on its neighbours.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self._generators = list(generators)
        self._methods: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._generators)

    def __getitem__(self, events: slice) -> Draws:
        """Return the generators of some events; they go on where they are."""
        return Draws(self._generators[events])

    def uniform(self, counts: npt.ArrayLike = 1, dtype: Any = np.float64) -> Floats:
        """Return numbers uniform in [0, 1)."""
        return self._fill("random", counts, dtype)

    def normal(self, counts: npt.ArrayLike = 1, dtype: Any = np.float64) -> Floats:
        """Return standard normal numbers."""
        return self._fill("standard_normal", counts, dtype)

    def exponential(self, counts: npt.ArrayLike = 1) -> Floats:
        """Return numbers of the exponential distribution with mean 1."""
        return self._fill("standard_exponential", counts, np.float64)

    def gamma(self, shape: Floats, counts: npt.ArrayLike) -> Floats:
        """Return numbers of the gamma distribution with scale 1, in the precision of ``shape`` (one each, or an
        array without dimensions for all)."""
        ends, dtype = self._ends(counts), shape.dtype
        out = np.empty(ends[-1] if ends else 0, dtype=dtype)
        for rng, begin, end in zip(self._generators, [0, *ends], ends, strict=False):
            rng.standard_gamma(shape[begin:end] if shape.ndim else shape, dtype=dtype, out=out[begin:end])
        return out

    def beta(self, a: Floats, b: Floats, counts: npt.ArrayLike) -> Floats:
        """Return numbers of the beta distributions with these parameters."""
        ends = self._ends(counts)
        parts = zip(self._generators, [0, *ends], ends, strict=False)
        drawn = [rng.beta(a[begin:end], b[begin:end]) for rng, begin, end in parts]
        return np.concatenate([np.zeros(0), *drawn])

    def poisson(self, mean: Floats) -> npt.NDArray[np.int64]:
        """Return one number of the Poisson distribution for each event."""
        return np.array(
            [rng.poisson(m) for rng, m in zip(self._generators, mean.tolist(), strict=True)], dtype=np.int64
        )

    def integers(self, below: int, counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return whole numbers evenly distributed from 0 to ``below`` − 1."""
        return (self.uniform(counts) * below).astype(np.int64)

    def _ends(self, counts: npt.ArrayLike) -> list[int]:
        ends: list[int] = np.cumsum(np.broadcast_to(np.asarray(counts, dtype=np.int64), (len(self),))).tolist()
        return ends

    def _fill(self, method: str, counts: npt.ArrayLike, dtype: Any) -> Floats:
        ends = self._ends(counts)
        out = np.empty(ends[-1] if ends else 0, dtype=dtype)
        if method not in self._methods:
            self._methods[method] = [getattr(rng, method) for rng in self._generators]
        begin = 0
        for draw, end in zip(self._methods[method], ends, strict=True):
            if end > begin:
                draw(dtype=dtype, out=out[begin:end])
            begin = end
        return out
