"""Ranges that are chosen from the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.execution.options import Reporter, RunOptions
from hepflow.expressions import Cut
from hepflow.plugins.performance.look import BINS, TAIL, choose_binning, look
from hepflow.registry.manager import registry
from hepflow.variables import Binning, Variable

NUMBERS = st.floats(-1e9, 1e9, width=32)


def outside(values, binning):
    return np.sum((values < binning.edges[0]) | (values >= binning.edges[-1]))


@given(st.lists(st.integers(-40, 40), min_size=1))
def test_whole_numbers_near_each_other_get_a_bin_each(numbers):
    binning = choose_binning(np.array(numbers))
    assert binning == Binning.regular(len(binning.edges) - 1, min(numbers) - 0.5, max(numbers) + 0.5)
    np.testing.assert_array_equal(np.diff(binning.edges), 1)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1))
def test_bins_of_whole_numbers_hold_equally_many_of_them(numbers):
    edges = np.array(choose_binning(np.array(numbers)).edges)
    assert len(edges) <= 102
    widths = np.diff(edges)
    assert (widths == widths[0]).all()
    assert (widths[0] % 1, edges[0] % 1) == (0, 0.5)


@given(st.lists(NUMBERS, min_size=1, max_size=500))
def test_at_most_the_tails_are_left_out(numbers):
    values = np.array(numbers)
    binning = choose_binning(values)
    assert outside(values, binning) <= 2 * (TAIL * len(values) + 1)
    assert 1 <= len(binning.edges) - 1 <= 100


@given(st.lists(NUMBERS, min_size=2, max_size=50))
def test_the_chosen_binning_can_be_written(numbers):
    binning = choose_binning(np.array(numbers) + 0.25)
    text = f"{len(binning.edges) - 1};{binning.edges[0]:.10g};{binning.edges[-1]:.10g}"
    np.testing.assert_allclose(Binning.parse(text).edges, binning.edges, rtol=1e-8, atol=1e-8)


def test_round_widths_and_whole_ranges():
    values = np.random.default_rng(1).uniform(0, 1, 10_000)
    assert choose_binning(values) == Binning.regular(50, 0, 1)
    assert choose_binning(values * 87).edges[::43] == (0.0, 86.0), "bins of 2, as far as there are values"
    assert choose_binning(np.array([True, False, True])) == Binning.regular(2, -0.5, 1.5)
    assert choose_binning(np.array([-4.0, 7.0])) == Binning.regular(12, -4.5, 7.5)
    assert choose_binning(np.array([2.5, 2.5])) == Binning.regular(50, 1.25, 3.75)
    np.testing.assert_allclose(choose_binning(np.array([0.2, 0.2 + 1e-16])).edges, np.linspace(0.1, 0.3, 51))
    assert choose_binning(np.array([])) == Binning.regular(50, 0, 1)


def test_outliers_do_not_stretch_the_range():
    values = np.random.default_rng(1).normal(0, 1, 10_000)
    values[:20] = -1111
    values[20:40] = 1e12
    binning = choose_binning(values)
    assert -3.5 < binning.edges[0] < -2
    assert 2 < binning.edges[-1] < 3.5
    counts = np.random.default_rng(1).integers(0, 5, 10_000)
    counts[:20] = -1111
    assert choose_binning(counts).edges == (-0.5, 0.5, 1.5, 2.5, 3.5, 4.5)


@pytest.mark.parametrize("events", [None, 25])
def test_looking_gives_the_values_that_pass(xaods, events):
    folder, files = xaods
    variable = Variable("eta2", "2 * TauJets.eta", missing=0.0)
    seen, entries = look(
        [variable], Cut("TauJets.pt > 40000"), RunOptions(inputs=[str(folder)], events=events), registry(), Reporter()
    )
    everything = [event for file in files for event in file.events][:events]
    assert entries == len(everything)
    expected = [2 * tau["eta"] for event in everything for tau in event["TauJets"] if tau["pt"] > 40000]
    np.testing.assert_allclose(seen["eta2"], expected, rtol=1e-6)


def test_looking_goes_on_where_the_first_entries_have_nothing(xaods, monkeypatch):
    monkeypatch.setattr("hepflow.plugins.performance.look.ENTRIES", 10)
    folder, files = xaods
    numbers = [event["EventInfo"]["mcEventNumber"] for file in files for event in file.events]
    cut = Cut("EventInfo.mcEventNumber > 30")
    variable = Variable("n", "EventInfo.mcEventNumber")
    seen, entries = look([variable], cut, RunOptions(inputs=[str(folder)]), registry(), Reporter())
    assert entries == len(numbers)
    assert seen["n"].tolist() == [number for number in numbers if number > 30]


@pytest.mark.parametrize(
    "values",
    [
        np.arange(1000) + 2**60,
        -(np.arange(1000) + 2**60),
        np.arange(1000) + 2**53,
        np.array([2**63, 2**64 - 1], np.uint64),
        np.array([1e18, 1e18 + 5e5]),
        np.array([1e300, 1e300]),
    ],
)
def test_a_range_of_very_large_numbers_holds_them(values):
    edges = choose_binning(values).edges
    assert all(edges[0] <= float(value) < edges[-1] for value in values)
    assert len(edges) <= 2 * BINS + 1
