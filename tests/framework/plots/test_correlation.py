"""Correlations and the test of Kolmogorov and Smirnov, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hepflow.errors import PlotError
from hepflow.plots import CorrelationMatrix
from hepflow.plots.statistics import kolmogorov


def test_correlations_are_those_of_the_pairs_that_have_values():
    rng = np.random.default_rng(1)
    x = rng.normal(size=500)
    columns = [x, 0.6 * x + rng.normal(size=500), 3e4 - 2 * x, np.full(500, 7.0)]
    columns[1][::3] = np.nan
    weight = rng.uniform(0.5, 2, 500)
    matrix = CorrelationMatrix(["x", "y", "z", "constant"])
    matrix.fill(*(column[:200] for column in columns), weight=weight[:200])
    matrix.fill(*(column[200:] for column in columns), weight=weight[200:])
    value, error = matrix.correlation()
    there = np.isfinite(columns[1])
    covariance = np.cov(x[there], columns[1][there], aweights=weight[there], ddof=0)
    expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert value[0, 1] == value[1, 0] == pytest.approx(expected, rel=1e-9)
    assert value[0, 2] == pytest.approx(-1, abs=1e-6)
    assert np.isnan(value[3]).all()
    effective = weight[there].sum() ** 2 / np.square(weight[there]).sum()
    assert error[0, 1] == pytest.approx((1 - expected**2) / np.sqrt(effective - 1))
    assert "constant: constant" in matrix.note
    with pytest.raises(PlotError, match="4 variables, and was given 1"):
        matrix.fill(x)


def test_kolmogorov_is_that_of_scipy_and_weights_count():
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=3000), rng.normal(0.05, 1, 2000)
    ones, others = np.ones(3000), np.ones(2000)
    expected = stats.ks_2samp(one, other, method="asymp")
    distance, probability = kolmogorov(one, ones, other, others)
    assert distance == pytest.approx(expected.statistic, rel=1e-12)
    assert probability == pytest.approx(expected.pvalue, rel=0.05)
    twice = kolmogorov(np.concatenate([one, one[:1000]]), np.ones(4000), other, others)
    weighted = kolmogorov(one, np.where(np.arange(3000) < 1000, 2.0, 1.0), other, others)
    assert weighted[0] == pytest.approx(twice[0], rel=1e-12)
    assert np.isnan(kolmogorov(one, -ones, other, others)).all()
