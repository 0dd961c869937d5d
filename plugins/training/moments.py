"""Weighted moments of several quantities that add up: the sum of two parts is the moments of the whole.

Formulas: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", Am. Stat. 37 (1983) 242, with weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Moments"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class Moments:
    """Statistics of ``n`` quantities, arrays of length ``n``, in float64.

    ``entries`` counts all values, ``missing`` those equal to the sentinel, ``nonfinite`` NaN and infinities; the others
    enter ``weight`` (sum of weights), ``mean``, ``squares`` (weighted sum of squared distances from the mean),
    ``minimum`` and ``maximum``.
    """

    entries: Ints
    missing: Ints
    nonfinite: Ints
    weight: Floats
    mean: Floats
    squares: Floats
    minimum: Floats
    maximum: Floats

    @classmethod
    def empty(cls, n: int) -> Moments:
        """Return the moments of nothing."""
        entries, missing, nonfinite = (np.zeros(n, dtype=np.int64) for _ in range(3))
        weight, mean, squares = (np.zeros(n) for _ in range(3))
        lowest, highest = np.full(n, np.inf), np.full(n, -np.inf)
        return cls(entries, missing, nonfinite, weight, mean, squares, lowest, highest)

    def fill(self, i: int, values: Floats, weights: Floats, missing: npt.NDArray[np.bool_] | None = None) -> None:
        """Add values of quantity ``i``; ``missing`` marks those that are the sentinel."""
        finite = np.isfinite(values)
        self.entries[i] += len(values)
        if missing is not None:
            self.missing[i] += missing.sum()
            finite |= missing
        self.nonfinite[i] += len(values) - finite.sum()
        good = finite if missing is None else finite & ~missing
        if not good.all():
            values, weights = values[good], weights[good]
        if not len(values):
            return
        self.minimum[i] = min(self.minimum[i], values.min())
        self.maximum[i] = max(self.maximum[i], values.max())
        weight = weights.sum()
        if weight == 0:
            return
        mean = (weights * values).sum() / weight
        distance = values - mean
        squares = (weights * distance * distance).sum()
        self.weight[i], self.mean[i], self.squares[i] = (
            float(merged) for merged in _merge(self.weight[i], self.mean[i], self.squares[i], weight, mean, squares)
        )

    def __add__(self, other: Moments) -> Moments:
        weight, mean, squares = _merge(self.weight, self.mean, self.squares, other.weight, other.mean, other.squares)
        return Moments(
            self.entries + other.entries,
            self.missing + other.missing,
            self.nonfinite + other.nonfinite,
            weight,
            mean,
            squares,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    @property
    def width(self) -> Floats:
        """Return the standard deviations (of the population); 0 where there are no values."""
        variance = np.divide(self.squares, self.weight, out=np.zeros_like(self.squares), where=self.weight != 0)
        return np.sqrt(np.maximum(variance, 0.0))


def _merge(
    weight_a: Floats, mean_a: Floats, squares_a: Floats, weight_b: Floats, mean_b: Floats, squares_b: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return weight, mean and sum of squares of two parts together."""
    weight = np.asarray(weight_a + weight_b, dtype=np.float64)
    fraction = np.divide(weight_b, weight, out=np.zeros_like(weight), where=weight != 0)
    distance = mean_b - mean_a
    mean = np.where(weight_a == 0, mean_b, mean_a + distance * fraction)
    squares = squares_a + squares_b + distance * distance * weight_a * fraction
    return weight, mean, squares
