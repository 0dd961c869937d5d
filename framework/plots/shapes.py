"""Position and width of binned distributions: quantiles, fullest bins, moments and Gaussian fits of many at once.

A measure takes ``counts``, shape (distributions, bins + 2) with under- and overflow, and the ``edges`` of the bins,
which have one width. It returns one number a distribution, NaN where it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plots.statistics import ratio_of

__all__ = ["FITS", "MEASURES", "MIN_ENTRIES", "quantile"]

Array = npt.NDArray[Any]

WINDOW = 0.05
"""Width of the sliding window of ``winmode``, as a part of the axis (loki)."""

STEPS = 60
PRECISION = 1e-9
"""Newton steps of a fit, at most (a Gaussian much narrower than the window takes about 20), and when it has arrived."""


def quantile(counts: Array, edges: Array, probability: float) -> Array:
    """Return the quantile, linear inside a bin. Flow bins count; NaN where the quantile lies in one of them."""
    totals = counts.sum(axis=1)
    # clipped, because a sum of weights may fall inside a tail
    cumulated = np.maximum.accumulate(np.cumsum(counts, axis=1), axis=1)
    wanted = probability * totals
    # the first bin that reaches the wanted sum holds the quantile
    number = np.argmax(cumulated >= wanted[:, np.newaxis], axis=1)
    rows = np.arange(len(counts))
    inside = (number > 0) & (number < counts.shape[1] - 1) & (totals > 0)
    number = np.where(inside, number, 1)
    part = ratio_of(wanted - cumulated[rows, number - 1], cumulated[rows, number] - cumulated[rows, number - 1])
    found = edges[number - 1] + part * (edges[number] - edges[number - 1])
    return np.where(inside, found, np.nan)


def central_half_width(counts: Array, edges: Array, *, part: float) -> Array:
    """Return half the width of the interval that holds the central ``part``, with equal tails on both sides."""
    low, high = (quantile(counts, edges, (1 + sign * part) / 2) for sign in (-1, 1))
    return (high - low) / 2


def fullest(counts: Array, edges: Array, *, window: float = 0.0) -> Array:
    """Return the centre of the window (a part of the axis; at least one bin) that holds most.

    Where neighbouring windows hold the same, the middle of the first run of them counts.
    """
    inside = counts[:, 1:-1]
    width = min(max(1, round(window * inside.shape[1])), inside.shape[1])
    cumulated = np.cumsum(np.pad(inside, ((0, 0), (1, 0))), axis=1)
    sums = cumulated[:, width:] - cumulated[:, :-width]
    highest = sums.max(axis=1, keepdims=True)
    is_highest = sums >= highest - 1e-12 * np.abs(highest)
    first = np.argmax(is_highest, axis=1)
    behind = np.arange(sums.shape[1]) >= first[:, np.newaxis]
    ended = behind & ~is_highest
    last = np.where(ended.any(axis=1), np.argmax(ended, axis=1), sums.shape[1]) - 1
    centre = (edges[first] + edges[last + width]) / 2
    return np.where(highest[:, 0] > 0, centre, np.nan)


def moments(counts: Array, edges: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of what is inside the axis, from the centres of the bins."""
    inside, centres = counts[:, 1:-1], (edges[:-1] + edges[1:]) / 2
    totals = inside.sum(axis=1)
    mean = ratio_of(inside @ centres, totals)
    distances = centres - mean[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return mean, np.sqrt(ratio_of((inside * distances**2).sum(axis=1), totals))


def fitted(counts: Array, edges: Array, *, reach: float) -> tuple[Array, Array]:
    """Return (mean, width) of a Gaussian fitted to the bins within ± ``reach`` standard deviations around the mean.

    Maximum likelihood of the bin contents for a Gaussian at the bin centres, cut off at the window: a log-linear model
    in t and t², whose likelihood has one maximum (P. McCullagh and J. A. Nelder, Generalized Linear Models, 1989). NaN
    where the contents do not fall off to both sides, or fill fewer than three bins.
    """
    mean, spread = moments(counts, edges)
    scale = reach * spread
    with np.errstate(invalid="ignore", divide="ignore"):
        t = ((edges[:-1] + edges[1:]) / 2 - mean[:, np.newaxis]) / scale[:, np.newaxis]
        used = np.abs(t) <= 1
    inside = np.where(used, counts[:, 1:-1], 0.0)
    good = ((inside > 0).sum(axis=1) >= 3) & (inside.sum(axis=1) > 0)
    slope, curvature = np.full((2, len(counts)), np.nan)
    if not good.any():
        return slope, curvature
    columns = used[good].any(axis=0)
    slope[good], curvature[good] = _log_linear(
        *(part[good][:, columns] for part in (np.where(used, t, 0.0), used, inside))
    )
    curvature = np.where(curvature < 0, curvature, np.nan)
    return mean - scale * slope / (2 * curvature), scale * np.sqrt(-1 / (2 * curvature))


def _log_linear(t: Array, used: Array, inside: Array) -> tuple[Array, Array]:
    """Return (a, b) of the densities ∝ exp(at + bt²) whose means of t and t² are those of the contents.

    Newton's method from a = b = 0. NaN where the contents fix no such density or it is not found.
    """
    powers = np.stack([t, t**2, t**3, t**4])
    wanted1, wanted2, _, _ = np.einsum("pij,ij->pi", powers, inside) / inside.sum(axis=1)
    a, b = np.zeros((2, len(t)))
    step = np.full(len(t), np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(STEPS):
            exponent = np.where(used, a[:, np.newaxis] * powers[0] + b[:, np.newaxis] * powers[1], -np.inf)
            density = np.exp(exponent - exponent.max(axis=1, keepdims=True))
            density /= density.sum(axis=1, keepdims=True)
            m1, m2, m3, m4 = np.einsum("pij,ij->pi", powers, density)
            miss1, miss2 = wanted1 - m1, wanted2 - m2
            c11, c12, c22 = m2 - m1**2, m3 - m1 * m2, m4 - m2**2
            determinant = ratio_of(1.0, c11 * c22 - c12**2)
            a = a + determinant * (c22 * miss1 - c12 * miss2)
            step = determinant * (c11 * miss2 - c12 * miss1)
            b = b + step
            if not (np.abs(step) > PRECISION * (1 + np.abs(b))).any():
                break
    found = np.abs(step) <= PRECISION * (1 + np.abs(b))
    return np.where(found, a, np.nan), np.where(found, b, np.nan)


def relative(counts: Array, edges: Array, *, part: float) -> Array:
    """Return half the width of the central ``part`` over the median: it does not change with the scale."""
    return ratio_of(central_half_width(counts, edges, part=part), quantile(counts, edges, 0.5))


MEASURES: dict[str, Callable[[Array, Array], Array]] = {
    "median": partial(quantile, probability=0.5),
    "mode": fullest,
    "winmode": partial(fullest, window=WINDOW),
    "core": partial(central_half_width, part=0.68),
    "tail": partial(central_half_width, part=0.95),
    "relative_core": partial(relative, part=0.68),
    "relative_tail": partial(relative, part=0.95),
    "rms": lambda counts, edges: moments(counts, edges)[1],
    "fit_width": lambda counts, edges: fitted(counts, edges, reach=1.0)[1],
    "fit_mean": lambda counts, edges: fitted(counts, edges, reach=0.5)[0],
}
"""The modes of a resolution profile; windows of the fits as in loki."""

FITS = ("fit_width", "fit_mean")

MIN_ENTRIES = dict.fromkeys(MEASURES, 10) | {"tail": 40, "relative_tail": 40, "fit_width": 50, "fit_mean": 50}
"""Effective entries below which a mode has no value; the tails of 2.5 % hold one entry of 40."""
