"""Statistics of counts and of sums of weights: intervals of efficiencies, effective numbers of entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "LEVEL",
    "METHOD",
    "ROUNDING",
    "clopper_pearson",
    "effective_entries",
    "efficiency_with_interval",
    "kolmogorov",
    "poisson_interval",
    "ratio_of",
]

LEVEL = 0.6826894921370859
"""Central probability of a Gaussian within ± 1 σ."""

ROUNDING = 1e-9
"""An efficiency this far above 1 is rounding of sums of weights."""

METHOD = (
    "Clopper-Pearson interval of 68.27 %; for weights on the effective counts: "
    "N_eff = (sum of weights)^2 / (sum of squared weights) of the denominator, efficiency * N_eff passed"
)

Array = npt.NDArray[Any]


def ratio_of(numerator: Any, denominator: Any) -> Array:
    """Return numerator / denominator as float64, NaN where the denominator is 0 or less."""
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    ratio: Array = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return ratio


def effective_entries(values: Any, variances: Any) -> Array:
    """Return (Σw)²/Σw², the number of entries of weight 1 with the same relative error; 0 where nothing was filled."""
    return np.nan_to_num(ratio_of(np.square(values), variances))


def clopper_pearson(passed: Any, total: Any, level: float = LEVEL) -> tuple[Array, Array]:
    """Return the ends (low, high) of the Clopper–Pearson interval of passed/total, in the shape of the arguments.

    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404, as quantiles of the beta distribution, which also take
    effective counts that are no whole numbers. NaN where total is 0 or passed is not within 0 … total.
    """
    from scipy.special import betaincinv

    k, n = np.broadcast_arrays(np.asarray(passed, np.float64), np.asarray(total, np.float64))
    good = (n > 0) & (k >= 0) & (k <= n)
    k, n = np.where(good, k, 0.0), np.where(good, n, 1.0)
    outside = (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.where(k > 0, k, 1), n - k + 1, outside), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.where(k < n, n - k, 1), 1 - outside), 1.0)
    return np.where(good, low, np.nan), np.where(good, high, np.nan)


def efficiency_with_interval(passed: Array, total: Array, variances: Array) -> tuple[Array, Array, Array]:
    """Return (value, low, high) of passed/total from sums of weights; ``variances``: squared weights of the total.

    The interval is the one of ``METHOD``. NaN where the total is not above 0 or the ratio is not within 0 … 1, which
    negative weights, or a numerator that is not part of the denominator, can bring about.
    """
    value = ratio_of(passed, total)
    value = np.minimum(np.where((value >= 0) & (value <= 1 + ROUNDING), value, np.nan), 1.0)
    entries = effective_entries(total, variances)
    low, high = clopper_pearson(value * entries, entries)
    return value, low, high


def poisson_interval(counts: Any, level: float = LEVEL) -> tuple[Array, Array]:
    """Return the ends (low, high) of the central interval of the mean behind whole numbers that were counted.

    F. Garwood, Biometrika 28 (1936) 437: high is the mean with which so few, or fewer, have the probability
    (1 − level) / 2, low the one with which so many, or more, have it. 0 to 1.84 for nothing counted; NaN below 0.
    """
    from scipy.special import gammaincinv

    n = np.asarray(counts, np.float64)
    good = n >= 0
    k, outside = np.where(good, n, 0.0), (1 - level) / 2
    low = np.where(k > 0, gammaincinv(np.where(k > 0, k, 1), outside), 0.0)
    return np.where(good, low, np.nan), np.where(good, gammaincinv(k + 1, 1 - outside), np.nan)


def kolmogorov(one: Array, weights: Array, other: Array, their_weights: Array) -> tuple[float, float]:
    """Return (distance, probability) of Kolmogorov and Smirnov for two samples of numbers with weights.

    The distance is the largest difference of the two cumulated distributions; the probability that two samples of one
    distribution are at least that far apart is the asymptotic one with n = n₁n₂/(n₁ + n₂), nᵢ = (Σw)²/Σw², as in
    M. A. Stephens, J. R. Stat. Soc. B 32 (1970) 115: Q((√n + 0.12 + 0.11/√n) D). NaN where a sum of weights is not
    above 0. The values must not have been used to choose the model, or the probability is none.
    """
    from scipy.special import kolmogorov as survival

    samples = [
        (np.asarray(x, np.float64), np.asarray(w, np.float64)) for x, w in ((one, weights), (other, their_weights))
    ]
    if any(not len(x) or w.sum() <= 0 for x, w in samples):
        return np.nan, np.nan
    at = np.sort(np.concatenate([x for x, _ in samples]))
    parts = []
    for x, w in samples:
        order = np.argsort(x, kind="stable")
        cumulated = np.concatenate([[0.0], np.cumsum(w[order])])
        parts.append(cumulated[np.searchsorted(x[order], at, side="right")] / cumulated[-1])
    distance = float(np.abs(parts[0] - parts[1]).max())
    first, second = (float(effective_entries(w.sum(), np.square(w).sum())) for _, w in samples)
    root = np.sqrt(first * second / (first + second))
    return distance, float(survival((root + 0.12 + 0.11 / root) * distance))
