"""Random numbers for a block of events: flat arrays, each event's part from its own generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def __len__(self) -> int:
        return len(self._generators)

    def __getitem__(self, events: slice) -> Draws:
        """Return the generators of some events; they go on where they are."""
        return Draws(self._generators[events])

    def uniform(self, counts: npt.ArrayLike = 1, dtype: Any = np.float64) -> Floats:
        """Return numbers uniform in [0, 1)."""
        return self._fill(counts, dtype, lambda rng, _, out: rng.random(out=out, dtype=dtype))

    def normal(self, counts: npt.ArrayLike = 1, dtype: Any = np.float64) -> Floats:
        """Return standard normal numbers."""
        return self._fill(counts, dtype, lambda rng, _, out: rng.standard_normal(out=out, dtype=dtype))

    def exponential(self, counts: npt.ArrayLike = 1) -> Floats:
        """Return numbers of the exponential distribution with mean 1."""
        return self._fill(counts, np.float64, lambda rng, _, out: rng.standard_exponential(out=out))

    def gamma(self, shape: Floats, counts: npt.ArrayLike) -> Floats:
        """Return numbers of the gamma distribution with scale 1, in the precision of ``shape`` (one each, or an
        array without dimensions for all)."""
        dtype: Any = shape.dtype

        def draw(rng: np.random.Generator, part: slice, out: Floats) -> None:
            rng.standard_gamma(shape[part] if shape.ndim else shape, out=out, dtype=dtype)

        return self._fill(counts, dtype, draw)

    def beta(self, a: Floats, b: Floats, counts: npt.ArrayLike) -> Floats:
        """Return numbers of the beta distributions with these parameters."""

        def draw(rng: np.random.Generator, part: slice, out: Floats) -> None:
            out[:] = rng.beta(a[part], b[part])

        return self._fill(counts, np.float64, draw)

    def poisson(self, mean: Floats) -> npt.NDArray[np.int64]:
        """Return one number of the Poisson distribution for each event."""
        return np.array(
            [rng.poisson(m) for rng, m in zip(self._generators, mean.tolist(), strict=True)], dtype=np.int64
        )

    def integers(self, below: int, counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return whole numbers evenly distributed from 0 to ``below`` − 1."""
        return (self.uniform(counts) * below).astype(np.int64)

    def _fill(
        self, counts: npt.ArrayLike, dtype: Any, draw: Callable[[np.random.Generator, slice, Floats], object]
    ) -> Floats:
        ends = np.cumsum(np.broadcast_to(np.asarray(counts, dtype=np.int64), (len(self),))).tolist()
        out = np.empty(ends[-1] if ends else 0, dtype=dtype)
        begin = 0
        for rng, end in zip(self._generators, ends, strict=True):
            if end > begin:
                draw(rng, slice(begin, end), out[begin:end])
            begin = end
        return out
