"""Numbers as tables of text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.plugins.performance.report.tables import MOST_ROWS, measured, number, plot_tables, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (1234567.0, "1,234,567"),
        (0.123456, "0.1235"),
        (-12345.67, "-12,345.7"),
        (1.5e-7, "1.5e-07"),
        (3.2e12 + 0.5, "3.2e+12"),
        (1e300, "1e+300"),
        (math.inf, "inf"),
        (math.nan, "–"),
        (None, "–"),
        (True, "True"),
        ("text", "text"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_number_is_kept_to_four_digits(value):
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=5.01e-4, abs=0)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.74449, 0.01489, "0.744 ± 0.015"),
        (0.5, 0.5, "0.50 ± 0.50"),
        (12345.6, 123.4, "12,346 ± 123"),
        (0.5, 0, "0.5 ± 0"),
        (None, None, "–"),
        (0.5, None, "0.5 ± –"),
        (2e9, 1e7, "2,000,000,000 ± 10,000,000"),
    ],
)
def test_an_error_sets_the_digits(value, error, text):
    assert measured(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [([], "–"), ({}, "–"), ("", "–"), (0, "0"), (False, "False"), ([1, [2, 3]], "1, 2, 3"), ({"a": [1]}, "a: 1")],
)
def test_values_of_properties(value, text):
    assert shown(value) == text


AXIS = {"name": "pt", "label": "pt", "unit": "GeV", "edges": [0, 1, 2, 3], "labels": []}


def test_bins_stand_beside_their_numbers():
    plot = {
        "label": "taus",
        "layout": {"axis": AXIS},
        "derived": {"mean": {"value": [1, 2, None], "error": [0.5, 0.25, None]}, "sum": [1, 2, 0]},
    }
    (table,) = plot_tables(plot)
    assert table.title == "taus"
    assert table.header == ("pt [GeV]", "mean", "sum")
    assert table.rows == [("0 … 1", "1.00 ± 0.50", "1"), ("1 … 2", "2.00 ± 0.25", "2"), ("2 … 3", "–", "0")]
    assert table.right == {1, 2}


def test_labels_stand_for_bins():
    plot = {"layout": {"axis": AXIS | {"labels": ["a", "b", "c"]}}, "derived": {"value": [1, 2, 3]}}
    assert [row[0] for row in plot_tables(plot)[0].rows] == ["a", "b", "c"]


def test_single_values_and_methods():
    plot = {"type": "RocCurve", "layout": {}, "derived": {"auc": 0.9, "method": "trapezoids", "at": {"low": 1}}}
    (table,) = plot_tables(plot)
    assert (table.rows, table.note, table.title) == (
        [("auc", "0.9"), ("at.low", "1")],
        "method: trapezoids",
        "RocCurve",
    )


@pytest.mark.parametrize(
    "damaged", [{}, {"derived": []}, {"derived": {"x": []}}, {"layout": 3, "derived": {"x": [[]]}}]
)
def test_what_is_missing_does_no_harm(damaged):
    assert all(table.rows for table in plot_tables({"label": "x", **damaged}))


@given(st.integers(1, 5000))
def test_long_tables_keep_first_and_last(length):
    (table,) = plot_tables({"derived": {"n": list(range(length))}})
    values = [int(row[0].replace(",", "")) for row in table.rows]
    assert len(values) == min(length, MOST_ROWS)
    assert (values[0], values[-1]) == (0, length - 1)
    assert values == sorted(set(values))
    assert bool(table.note) == (length > MOST_ROWS)


def test_every_plot_object_gives_its_numbers():
    pytest.importorskip("hist", reason="plot objects need the extra 'plots'")
    from hepflow.plots import Axis, EfficiencyProfile, Histogram, MigrationMatrix, Profile, ResolutionProfile, RocCurve

    axis, other = Axis("x", (0.0, 1.0, 2.0), "x"), Axis("y", tuple(np.linspace(0, 1, 21)), "y")
    rng = np.random.default_rng(1)
    x, y = 2 * rng.random(200), rng.random(200)
    flat, square = Histogram(axis), Histogram((axis, other))
    efficiency, profile, resolution = EfficiencyProfile(axis), Profile(axis, other), ResolutionProfile(axis, other)
    roc, matrix = RocCurve(), MigrationMatrix(("a", "b", "c"), ("p", "q"))
    flat.fill(x)
    for plot in (square, profile, resolution):
        plot.fill(x, y)
    efficiency.fill(x, y > 0.3)
    roc.fill(y, x > 1)
    matrix.fill(rng.integers(0, 3, 200), rng.integers(0, 2, 200))

    values = plot_tables(flat.to_json())
    counts = [int((x < 1).sum()), int((x >= 1).sum())]
    assert [row[1] for row in values[-1].rows] == [str(count) for count in counts]
    (passed,) = (table for table in plot_tables(efficiency.to_json()) if len(table.rows) == 2)
    assert float(passed.rows[0][passed.header.index("efficiency")]) == pytest.approx((y[x < 1] > 0.3).mean(), abs=1e-4)
    counted = next(
        table for table in plot_tables(matrix.to_json()) if table.title.startswith("MigrationMatrix: counts")
    )
    assert counted.header == ("", "a", "b", "c")
    assert [row[0] for row in counted.rows] == ["p", "q"]
    for plot in (square, profile, resolution, roc):
        assert plot_tables(plot.to_json()), plot
