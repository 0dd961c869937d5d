"""Axes: what they accept, how they are called, and that values land in the bins they say."""

from __future__ import annotations

import sys

import boost_histogram as bh
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepflow.errors import PlotError, PropertyError
from hepflow.plots import Axis, Histogram
from hepflow.plots.axis import bins
from hepflow.variables import Binning, Variable

VARIABLE = Variable(
    "pt",
    "TauJets.pt / 1000",
    label="visible pt",
    unit="GeV",
    binnings={"default": Binning.regular(49, 20, 1000), "log": Binning.logarithmic(10, 20, 2000)},
)


def test_axis_of_a_variable():
    axis = Axis.of(VARIABLE)
    assert (axis.name, axis.title, len(axis), axis.log) == ("pt", "visible pt [GeV]", 49, False)
    assert Axis.of(VARIABLE, "log").log
    assert Axis.of(VARIABLE, "4;0;2").edges == (0.0, 0.5, 1.0, 1.5, 2.0)
    modes = Variable("mode", binnings={"": Binning.categories(("1p0n", "1p1n"))})
    assert Axis.of(modes).labels == ("1p0n", "1p1n")
    assert Axis.of(modes).title == "mode"
    with pytest.raises(PropertyError, match="did you mean 'log'"):
        Axis.of(VARIABLE, "lgo")


def test_the_title_of_a_transformed_variable_has_its_unit_inside():
    variable = Variable("pt_log", "pt", "log10", floor=1.0, label="pt", unit="MeV")
    assert Axis.of(variable, "10;2;6").title == "log10(pt / MeV)"


def test_centres_and_widths():
    axis = Axis("x", (1, 10, 100))
    np.testing.assert_allclose(axis.centers, [5.5, 55])
    np.testing.assert_allclose(axis.widths, [9, 90])
    np.testing.assert_allclose(Axis("x", (1, 10, 100), log=True).centers, np.sqrt([10, 1000]))


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"edges": (1.0,)}, "at least two edges"),
        ({"edges": (0.0, 1.0, 1.0)}, "ascending"),
        ({"edges": (0.0, np.nan)}, "finite"),
        ({"edges": (0.0, 1.0), "log": True}, "begins above 0, not at 0"),
        ({"edges": (0.0, 1.0, 2.0), "labels": ("a",)}, "2 bins and 1 labels"),
    ],
)
def test_axes_that_make_no_sense(kwargs, text):
    with pytest.raises(PlotError, match=text):
        Axis("x", **kwargs)


def test_equal_bins_are_counted_by_arithmetic_others_by_search():
    assert isinstance(bins(Axis("x", tuple(np.linspace(-2.5, 2.5, 26)))), bh.axis.Regular)
    assert isinstance(bins(Axis("x", tuple(np.geomspace(20, 2000, 11)), log=True)), bh.axis.Regular)
    assert isinstance(bins(Axis("x", (0.0, 0.05, 0.3, 0.6))), bh.axis.Variable)


@pytest.mark.parametrize(
    "axis",
    [
        Axis("linear", tuple(np.linspace(-3, 5, 33))),
        Axis("log", tuple(np.geomspace(1e-3, 1e3, 25)), log=True),
        Axis("free", (-1.0, -0.2, 0.0, 3.0, 10.0)),
        Axis("modes", (-0.5, 0.5, 1.5, 2.5), labels=("a", "b", "c")),
    ],
    ids=lambda axis: axis.name,
)
@settings(deadline=None)
@given(values=arrays(np.float64, st.integers(0, 40), elements=st.floats(-20, 20)))
def test_values_land_in_the_bins_that_the_edges_say(axis, values):
    edges = np.asarray(axis.edges)
    # on an edge the last digit decides; that is not what this is about
    values = values[np.abs(values[:, np.newaxis] - edges).min(axis=1, initial=np.inf) > 1e-9]
    histogram = Histogram(axis)
    histogram.fill(values)
    np.testing.assert_array_equal(histogram.values(), np.histogram(values, edges)[0])
    below = histogram.histograms()["histogram"].view(flow=True)["value"]
    assert below.sum() == len(values)
    if not axis.labels:
        assert below[0] == np.sum(values < edges[0])


def test_values_on_the_last_edge_are_inside_where_they_are_no_whole_numbers():
    for axis in (Axis("x", (0.0, 1.0, 2.0)), Axis("x", (0.0, 0.5, 2.0)), Axis("x", (20.0, 200.0, 2000.0), log=True)):
        for kind, last in ((np.float64, 1), (np.float32, 1), (np.int32, 0)):
            histogram = Histogram(axis)
            histogram.fill(np.array([axis.edges[0], axis.edges[-1]], dtype=kind))
            assert histogram.values().tolist() == [1, last]
            assert histogram.total == 2


def test_on_a_logarithmic_axis_zero_and_negative_values_are_below():
    histogram = Histogram(Axis("x", tuple(np.geomspace(1, 100, 5)), log=True))
    histogram.fill(np.array([-5.0, 0.0, -np.inf, 2.0, 1e9]))
    assert histogram.histograms()["histogram"].view(flow=True)["value"].tolist() == [3, 1, 0, 0, 0, 1]


def test_without_the_library_that_counts_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "boost_histogram", None)
    with pytest.raises(PlotError, match=r"boost_histogram[\s\S]*hepflow\[plots\]"):
        Histogram(Axis("x", (0.0, 3.25, 7.125)))
