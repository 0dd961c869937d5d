"""Ratios, comparisons and stacks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hepflow.errors import PlotError
from hepflow.plots import (
    Axis,
    Comparison,
    EfficiencyProfile,
    Histogram,
    MigrationMatrix,
    Profile,
    Ratio,
    ResolutionProfile,
    RocCurve,
    Stack,
    WorkingPoint,
)
from hepflow.plots.statistics import LEVEL, poisson_interval
from tests.framework.plots.conftest import ETA, MAKERS, PT, RATIO, fill

FEW = Axis("x", (0.0, 1.0, 2.0, 3.0))


def counts(numbers, label=""):
    histogram = Histogram(FEW, label)
    histogram.fill(np.repeat([0.5, 1.5, 2.5], numbers))
    return histogram


def test_the_ratio_of_histograms():
    ratio = Ratio(counts([100, 0, 5], "a"), counts([400, 9, 0], "b"))
    np.testing.assert_array_equal(ratio.values, [0.25, 0, np.nan])
    assert ratio.errors.shape == (2, 3)
    np.testing.assert_allclose(ratio.errors[:, 0], 0.25 * np.sqrt(1 / 100 + 1 / 400))
    assert np.isnan(ratio.errors[:, 2]).all()
    assert (ratio.axis, ratio.label) == (FEW, "a / b")


def test_the_ratio_of_efficiencies_has_uneven_errors():
    a, b = EfficiencyProfile(FEW), EfficiencyProfile(FEW)
    a.fill(np.full(10, 0.5), np.arange(10) < 9)
    b.fill(np.full(10, 0.5), np.arange(10) < 5)
    (va, la, ha), (vb, lb, hb) = ([part[0] for part in plot.efficiency()] for plot in (a, b))
    ratio = Ratio(a, b)
    assert ratio.values[0] == pytest.approx(1.8)
    assert ratio.errors[0, 0] == pytest.approx(1.8 * np.hypot((va - la) / va, (hb - vb) / vb))
    assert ratio.errors[1, 0] == pytest.approx(1.8 * np.hypot((ha - va) / va, (vb - lb) / vb))
    assert np.isnan(ratio.values[1:]).all()


def test_the_error_of_a_ratio_covers():
    generator, axis = np.random.default_rng(1), Axis("x", tuple(np.arange(1001.0)))
    a, b = Histogram(axis), Histogram(axis)
    for plot, mean in ((a, 200), (b, 400)):
        plot.fill(np.repeat(axis.centers, generator.poisson(mean, 1000)))
    ratio = Ratio(a, b)
    assert 0.65 < np.mean(np.abs(ratio.values - 0.5) < ratio.errors[0]) < 0.72


@pytest.mark.parametrize("kind", ["Profile", "ResolutionProfile"])
def test_the_ratio_of_profiles(kind):
    a, b = fill(MAKERS[kind](), 1, 3000), fill(MAKERS[kind](), 2, 3000)
    ratio = Ratio(a, b, mode="rms")
    (above, _), (below, _) = ((plot.mean() if kind == "Profile" else plot.values("rms")) for plot in (a, b))
    np.testing.assert_allclose(ratio.values, above / below)
    assert (ratio.errors[0] == ratio.errors[1]).all()


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (Histogram(ETA), Histogram(PT), "their bins differ"),
        (Histogram(ETA), EfficiencyProfile(ETA), "of different kinds"),
        (Histogram([ETA, PT]), Histogram([ETA, PT]), "no values along one axis"),
        (RocCurve(), RocCurve(), "no values along one axis"),
    ],
)
def test_ratios_that_do_not_exist(a, b, text):
    with pytest.raises(PlotError, match=text):
        Ratio(a, b)


def test_a_comparison_gives_ratios_to_its_reference():
    comparison = Comparison([counts([4, 4, 4], "a"), counts([8, 8, 8], "b"), counts([2, 2, 2], "c")], reference=1)
    assert [ratio.values[0] for ratio in comparison.ratios()] == [0.5, 0.25]
    assert [ratio.label for ratio in comparison.ratios()] == ["a / b", "c / b"]
    modes = Comparison([ResolutionProfile(ETA, RATIO), ResolutionProfile(ETA, RATIO)])
    assert np.isnan(modes.ratios(mode="tail")[0].values).all()


def test_curves_are_compared_with_working_points():
    assert len(Comparison([RocCurve("network"), WorkingPoint("PFO count")]).plots) == 2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Comparison([]), "nothing to compare"),
        (lambda: Comparison([Histogram(ETA), Profile(ETA, RATIO)]), "different kinds"),
        (lambda: Comparison([Histogram(ETA)], reference=1), "no reference 1 among 1"),
        (lambda: Stack([]), "nothing to stack"),
        (lambda: Stack([Histogram(ETA, "a"), Histogram(PT, "b")]), "'b' cannot be stacked on Histogram 'a'"),
        (lambda: Stack([Histogram(ETA)], data=Histogram(PT, "data")), "'data' cannot be stacked"),
        (lambda: Stack([Histogram(ETA)], lines=[Histogram(PT, "signal")]), "'signal' cannot be stacked"),
        (lambda: Stack([Histogram([ETA, PT])]), "one axis"),
    ],
)
def test_what_does_not_go_together(make, text):
    with pytest.raises(PlotError, match=text):
        make()


def test_a_stack_adds_up():
    data = counts([9, 9, 9], "data")
    stack = Stack([counts([1, 2, 3], "a"), counts([3, 2, 1], "b")], data)
    assert stack.total.values().tolist() == [4, 4, 4]
    assert stack.total.entries == 12
    assert stack.histograms[0].values().tolist() == [1, 2, 3]
    weighted = Histogram(FEW, "data")
    weighted.fill(FEW.centers, weight=[2.0] * 3)
    assert Stack([data], weighted).counted()[1].tolist() == [0, 0, 0]  # 2 ± √Σw²


@pytest.mark.parametrize("n", [0, 1, 3, 10])
def test_poisson_intervals_leave_as_much_on_both_sides(n):
    """From the definition: with the mean at an end, n or more (or fewer) have the probability (1 − 68.27 %) / 2."""
    (low,), (high,) = poisson_interval([n])
    below, upto = (
        sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(most))
        for mean, most in ((low, n), (high, n + 1))
    )
    assert upto == pytest.approx((1 - LEVEL) / 2)
    assert low == 0.0 if n == 0 else 1 - below == pytest.approx((1 - LEVEL) / 2)


def test_matrices_of_several_classifiers_are_compared():
    assert Comparison([MigrationMatrix("ab"), MigrationMatrix("ab")], title="low pt").title == "low pt"
