"""Efficiencies: Clopper–Pearson against scipy, weights, separate denominators, and bins without a number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from hepflow.errors import PlotError
from hepflow.plots import Axis, EfficiencyAtRejection, EfficiencyProfile, load_plot
from hepflow.plots.statistics import LEVEL, METHOD, clopper_pearson
from tests.framework.plots.conftest import PT

ONE = Axis("x", (0.0, 1.0))
FEW = Axis("x", (0.0, 1.0, 2.0, 3.0, 4.0))

COUNTS = st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


# ── the interval ─────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(COUNTS, st.sampled_from([LEVEL, 0.9, 0.95]))
def test_clopper_pearson_is_that_of_scipy(counts, level):
    passed, total = counts
    low, high = clopper_pearson(passed, total, level)
    expected = binomtest(passed, total).proportion_ci(level, method="exact")
    assert low == pytest.approx(expected.low, rel=1e-9, abs=1e-12)
    assert high == pytest.approx(expected.high, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.floats(0.01, 1000), st.floats(0.001, 0.999))
def test_clopper_pearson_of_effective_counts_is_a_quantile_of_the_beta_distribution(total, part):
    passed, outside = part * total, (1 - LEVEL) / 2
    low, high = clopper_pearson(passed, total)
    assert low == pytest.approx(beta.ppf(outside, passed, total - passed + 1), rel=1e-6, abs=1e-12)
    assert high == pytest.approx(beta.ppf(1 - outside, passed + 1, total - passed), rel=1e-6)


def test_the_interval_covers_at_least_as_often_as_it_says():
    generator = np.random.default_rng(1)
    for efficiency in (0.05, 0.4, 0.97):
        low, high = clopper_pearson(generator.binomial(40, efficiency, 4000), 40)
        covered = np.mean((low <= efficiency) & (efficiency <= high))
        assert LEVEL - 0.02 < covered < 0.9


def test_the_interval_has_the_shape_of_its_arguments_and_no_number_where_there_is_none():
    low, high = clopper_pearson([[0, 1], [2, 3]], [[0, 1], [1, 4]])
    assert low.shape == high.shape == (2, 2)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [[True, False], [True, False]]
    assert clopper_pearson(0, 5)[0] == 0
    assert clopper_pearson(5, 5)[1] == 1


# ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_efficiency_of_counts():
    profile = EfficiencyProfile(FEW)
    profile.fill([0.5, 0.6, 0.7, 1.5, 2.5, 2.5, 9.0], [True, False, True, False, True, True, True])
    value, low, high = profile.efficiency()
    np.testing.assert_allclose(value[:3], [2 / 3, 0, 1])
    for number, (passed, total) in enumerate([(2, 3), (0, 1), (2, 2)]):
        expected = binomtest(passed, total).proportion_ci(LEVEL, method="exact")
        assert (low[number], high[number]) == pytest.approx((expected.low, expected.high))
    assert profile.passed.tolist() == [2, 0, 2, 0]
    assert profile.total.tolist() == [3, 1, 2, 0]


def test_bins_without_entries_have_no_number():
    profile = EfficiencyProfile(FEW)
    profile.fill([0.5], [True])
    for part in profile.efficiency():
        assert np.isnan(part).tolist() == [False, True, True, True]
    assert profile.to_json()["derived"]["efficiency"] == [1.0, None, None, None]
    assert profile.note == ""


@settings(deadline=None)
@given(COUNTS.filter(lambda counts: counts[1] <= 200), st.floats(1e-3, 1e3))
def test_the_size_of_equal_weights_does_not_matter(counts, weight):
    passed, total = counts
    flag = np.arange(total) < passed
    plain, weighted = EfficiencyProfile(ONE), EfficiencyProfile(ONE)
    plain.fill(np.zeros(total), flag)
    weighted.fill(np.zeros(total), flag, weight=np.full(total, weight))
    np.testing.assert_allclose(weighted.efficiency(), plain.efficiency(), rtol=1e-6, atol=1e-9)


def test_the_method_for_weights():
    profile = EfficiencyProfile(ONE)
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    profile.fill(np.zeros(4), [True, False, True, False], weight=weight)
    value, low, high = profile.efficiency()
    entries = 10**2 / 30
    assert value[0] == pytest.approx(0.4)
    np.testing.assert_allclose((low[0], high[0]), np.ravel(clopper_pearson(0.4 * entries, entries)))
    assert profile.to_json()["derived"]["method"] == METHOD


def test_the_interval_of_weights_covers():
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(500):
        profile = EfficiencyProfile(ONE)
        profile.fill(np.zeros(60), generator.random(60) < 0.7, weight=generator.exponential(1, 60))
        _, low, high = profile.efficiency()
        covered.append(low[0] <= 0.7 <= high[0])
    assert 0.66 < np.mean(covered) < 0.82


def test_separate_denominators_give_the_same_as_flags():
    generator = np.random.default_rng(3)
    x, passed, weight = generator.exponential(60, 500), generator.random(500) < 0.3, generator.random(500)
    together, apart, mixed = (EfficiencyProfile(PT) for _ in range(3))
    together.fill(x, passed, weight=weight)
    apart.fill_total(x, weight=weight)
    apart.fill_passed(x[passed], weight=weight[passed])
    mixed.fill(x[:200], passed[:200], weight=weight[:200])
    mixed.fill_passed(x[200:][passed[200:]], weight=weight[200:][passed[200:]])
    mixed.fill_total(x[200:], weight=weight[200:])
    for profile in (apart, mixed):
        np.testing.assert_allclose(profile.efficiency(), together.efficiency(), rtol=1e-9)
        np.testing.assert_allclose(profile.total, together.total)
        for name, histogram in together.histograms().items():
            for part in ("value", "variance"):
                found = profile.histograms()[name].view(flow=True)[part]
                np.testing.assert_allclose(found, histogram.view(flow=True)[part])


def test_a_denominator_of_other_objects():
    profile = EfficiencyProfile(FEW)
    profile.fill_total([0.5, 0.5, 1.5, 2.5, 2.5, 2.5, 2.5])  # true taus
    profile.fill_passed([0.6, 1.2])  # the true pt of reconstructed ones
    np.testing.assert_array_equal(profile.efficiency()[0], [0.5, 1, 0, np.nan])


def test_what_is_no_efficiency_is_left_out_and_said():
    profile = EfficiencyProfile(FEW)
    profile.fill_total([0.5])
    profile.fill_passed([0.5, 0.5, 1.5])
    profile.fill([2.5, 2.5, 3.5, 3.5], [True, False, True, True], weight=[1.0, -0.5, 1.0, -0.25])
    value, low, high = profile.efficiency()
    assert np.isnan(value).tolist() == [True, True, True, False]
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, True, True, False]
    assert value[3] == 1
    assert EfficiencyProfile.from_json(profile.to_json()) == profile
    assert "3 bins left out: passed/total is not within 0 and 1" in profile.note
    assert "2 entries with negative weight" in profile.note


def test_a_profile_without_denominator():
    profile = EfficiencyProfile(FEW)
    profile.fill_passed([0.5, 1.5])
    assert np.isnan(profile.efficiency()).all()
    assert "no entries in the denominator" in profile.note
    cancelled = EfficiencyProfile(FEW)
    cancelled.fill([0.5, 0.5], [True, True], weight=[1.0, -1.0])
    assert "1 bin left out" in cancelled.note
    outside = EfficiencyProfile(FEW)
    outside.fill([-3.0], [True])
    assert outside.note == "no entries inside the axis"


def test_rounding_is_no_efficiency_above_one():
    profile = EfficiencyProfile(ONE)
    weight = np.array([0.1, 0.2, 0.3])
    profile.fill_total(np.zeros(3), weight=weight[::-1])
    profile.fill_passed(np.zeros(3), weight=weight)
    assert profile.passed[0] > profile.total[0]
    assert profile.efficiency()[0].tolist() == [1.0]
    assert profile.note == ""


def test_whole_numbers_are_flags():
    flags, numbers = EfficiencyProfile(FEW), EfficiencyProfile(FEW)
    flags.fill([0.5, 1.5, 1.5], [True, False, True])
    numbers.fill([0.5, 1.5, 1.5], np.array([1, 0, 2], dtype=np.uint8))
    assert flags == numbers


# ── rejections ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_rejection_is_one_over_the_efficiency():
    plot = EfficiencyProfile(FEW, inverse=True)
    plot.fill(np.repeat([0.5, 1.5], [100, 10]), np.repeat([True, False], [4, 106]))
    value, low, high = plot.shown()
    ends = binomtest(4, 100).proportion_ci(LEVEL, method="exact")
    np.testing.assert_allclose([value[0], low[0], high[0]], [25, 1 / ends.high, 1 / ends.low])
    assert np.isnan(value[1:]).all()
    assert plot.title == "Rejection"
    assert plot.note == "1 bin where nothing passes: no rejection"
    assert plot.derived()["rejection"][0] == 25


def test_efficiency_at_a_rejection(tmp_path):
    """In each bin its own cut: of 100 background objects 5 may stay."""
    plot = EfficiencyAtRejection(FEW, 20, "a")
    background = np.arange(100) / 100 + 0.005
    for x, shift, number in ((0.5, 0.0, 100), (1.5, -0.5, 100), (2.5, 0.0, 19)):
        plot.fill(np.full(number, x), background[:number] + shift, np.zeros(number, bool))
        plot.fill(np.full(10, x), np.linspace(0.0, 0.99, 10), np.ones(10, bool), weight=np.full(10, 2.0))
    value, _, _ = plot.efficiency()
    # cuts just above 0.945 and 0.445: of 0, 0.11, … 0.99 one and five are above
    np.testing.assert_allclose(value, [0.1, 0.5, np.nan, np.nan])
    assert plot.note == "1 bin with too little background for the rejection"
    plot.fill([0.5], [7.0], [False])  # above the axis: it counts, 5 of 101 may stay
    assert plot.efficiency()[0][0] == pytest.approx(0.1)
    path = tmp_path / "p.json"
    plot.save(path)
    np.testing.assert_array_equal(load_plot(path).efficiency(), plot.efficiency())
    with pytest.raises(PlotError, match="filled with scores"):
        plot.fill_total([1.0])
    with pytest.raises(PlotError, match="no cut"):
        EfficiencyAtRejection(FEW, 0.5)
