"""Histograms and profiles against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.errors import PlotError
from hepflow.plots import Axis, Histogram, Profile
from tests.framework.plots.conftest import ETA, PT, RATIO

FEW = Axis("x", (0.0, 1.0, 2.0, 3.0))


def test_sums_against_numpy():
    generator = np.random.default_rng(1)
    x, y, weight = generator.normal(0, 2, 1000), generator.exponential(50, 1000), generator.normal(1, 0.7, 1000)
    assert (weight < 0).any()
    one, two = Histogram(ETA), Histogram([ETA, PT])
    one.fill(x, weight=weight)
    two.fill(x, y, weight=weight)
    np.testing.assert_allclose(one.values(), np.histogram(x, ETA.edges, weights=weight)[0])
    np.testing.assert_allclose(one.variances(), np.histogram(x, ETA.edges, weights=weight**2)[0])
    np.testing.assert_allclose(one.errors**2, one.variances())
    np.testing.assert_allclose(two.values(), np.histogram2d(x, y, [ETA.edges, PT.edges], weights=weight)[0])
    assert two.values().shape == (len(ETA), len(PT))
    for histogram in (one, two):
        assert histogram.total == pytest.approx(weight.sum())
        assert (histogram.entries, histogram.negative) == (1000, np.sum(weight < 0))


def test_numbers_that_are_read_are_copies():
    histogram = Histogram(FEW)
    histogram.fill([0.5])
    histogram.values()[:] = 7
    histogram.variances()[:] = 7
    assert histogram.values().tolist() == [1, 0, 0]
    assert histogram.errors.tolist() == [1, 0, 0]


def test_a_histogram_whose_entries_are_outside_says_so():
    one, two = Histogram(FEW), Histogram([FEW, ETA])
    one.fill([-1.0, 5.0])
    two.fill([0.5], [7.0])
    assert (one.note, two.note) == ("no entries inside the axis", "no entries inside the axes")
    assert one.total == 2
    weightless = Histogram(FEW)
    weightless.fill([0.5], weight=[0.0])
    assert weightless.note == "all weights are 0"


def test_a_histogram_has_one_or_two_axes():
    for axes in ([], [ETA, PT, RATIO]):
        with pytest.raises(PlotError, match=f"not {len(axes)}"):
            Histogram(axes)


# ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mean_and_its_error_are_those_of_numpy():
    generator = np.random.default_rng(2)
    x, y = generator.uniform(0, 3, 500), generator.normal(1, 0.2, 500)
    profile = Profile(FEW, RATIO)
    profile.fill(x, y)
    mean, error = profile.mean()
    for number in range(3):
        inside = y[(x >= number) & (x < number + 1)]
        assert mean[number] == pytest.approx(inside.mean(), rel=1e-12)
        assert error[number] == pytest.approx(inside.std(ddof=1) / np.sqrt(len(inside)), rel=1e-9)


def test_weighted_mean():
    profile = Profile(FEW, RATIO)
    profile.fill([0.5, 0.5, 0.5], [1.0, 2.0, 4.0], weight=[1.0, 1.0, 2.0])
    mean, error = profile.mean()
    entries = 4**2 / 6
    variance = (1 * 1.75**2 + 1 * 0.75**2 + 2 * 1.25**2) / 4
    assert mean[0] == pytest.approx(2.75)
    assert error[0] == pytest.approx(np.sqrt(variance / (entries - 1)))


@settings(deadline=None)
@given(st.floats(0.1, 100), st.lists(st.floats(-5, 5), min_size=2, max_size=20))
def test_the_size_of_equal_weights_does_not_matter(weight, y):
    plain, scaled = Profile(FEW, RATIO), Profile(FEW, RATIO)
    plain.fill(np.zeros(len(y)), y)
    scaled.fill(np.zeros(len(y)), y, weight=np.full(len(y), weight))
    np.testing.assert_allclose(scaled.mean(), plain.mean(), rtol=1e-9, atol=1e-7)


def test_far_from_zero_no_digits_are_lost():
    generator = np.random.default_rng(3)
    y = 1e9 + generator.normal(0, 1, 1000)
    profile = Profile(FEW, Axis("time", (1e9 - 10, 1e9 + 10)))
    profile.fill(np.full(1000, 0.5), y)
    mean, error = profile.mean()
    assert mean[0] == pytest.approx(y.mean(), abs=1e-6)
    assert error[0] == pytest.approx(y.std(ddof=1) / np.sqrt(1000), rel=1e-6)


def test_the_error_covers_the_truth():
    generator = np.random.default_rng(4)
    covered = []
    for _ in range(400):
        profile = Profile(FEW, RATIO)
        profile.fill(np.zeros(20), generator.normal(1, 0.3, 20), weight=generator.uniform(0.5, 1.5, 20))
        mean, error = profile.mean()
        covered.append(abs(mean[0] - 1) < error[0])
    assert 0.62 < np.mean(covered) < 0.74


def test_where_there_is_no_mean_there_is_no_number():
    profile = Profile(FEW, RATIO)
    assert np.isnan(profile.mean()).all()
    profile.fill([0.5, 1.5, 1.5, 2.5, 2.5], [1.0, 1.0, np.inf, 1.0, 1.2], weight=[1.0, 1.0, 1.0, -1.0, -1.0])
    mean, error = profile.mean()
    assert (mean[:2] == 1).all()
    assert np.isnan(mean[2])
    assert np.isnan(error).all()
    assert profile.invalid == 1
    assert "1 bin left out: the sum of weights is negative" in profile.note
    assert profile.histograms()["mean"].values().tolist() == [1, 1, 0]


def test_weights_that_cancel_do_no_harm():
    profile = Profile(FEW, RATIO)
    profile.fill([0.5, 0.5], [1.0, 2.0], weight=[1.0, -1.0])
    profile.fill([0.5, 0.5], [3.0, 3.0])
    assert profile.mean()[0][0] == pytest.approx((1 - 2 + 3 + 3) / 2)


def test_a_profile_whose_entries_are_outside():
    profile = Profile(FEW, RATIO)
    profile.fill([7.0], [1.0])
    assert profile.note == "no entries inside the axis"
