"""Matrices against a hand count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from hepflow.errors import PlotError
from hepflow.plots import MigrationMatrix
from hepflow.plots.statistics import LEVEL

# truth 0: three as 0, one as 1; truth 1: two as 1, one as 2; truth 2: one as 0
TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 2])
RECO = np.array([0, 0, 0, 1, 1, 1, 2, 0])
COUNTS = [[3, 0, 1], [1, 2, 0], [0, 1, 0]]


@pytest.fixture
def matrix():
    """The entries above."""
    matrix = MigrationMatrix(("a", "b", "c"))
    matrix.fill(TRUTH, RECO)
    return matrix


def half_interval(passed, total):
    interval = binomtest(passed, total).proportion_ci(LEVEL, method="exact")
    return (interval.high - interval.low) / 2


def test_hand_count(matrix):
    assert matrix.counts.tolist() == COUNTS
    np.testing.assert_allclose(matrix.errors, np.sqrt(COUNTS))
    efficiency, efficiency_error = matrix.efficiency()
    np.testing.assert_allclose(efficiency, [[3 / 4, 0, 1], [1 / 4, 2 / 3, 0], [0, 1 / 3, 0]])
    purity, purity_error = matrix.purity()
    np.testing.assert_allclose(purity, [[3 / 4, 0, 1 / 4], [1 / 3, 2 / 3, 0], [0, 1, 0]])
    assert efficiency_error[0, 0] == pytest.approx(half_interval(3, 4))
    assert efficiency_error[2, 0] == pytest.approx(half_interval(0, 4))
    assert purity_error[1, 0] == pytest.approx(half_interval(1, 3))
    assert matrix.diagonal() == pytest.approx((5 / 8, half_interval(5, 8)))
    errors = [half_interval(*counts) for counts in ((3, 4), (2, 3), (0, 1))]
    assert matrix.mean_diagonal() == pytest.approx(((3 / 4 + 2 / 3 + 0) / 3, np.sqrt(np.sum(np.square(errors))) / 3))
    assert matrix.excluded == 0
    assert matrix.note == ""


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 6), st.integers(-3, 6), st.sampled_from([0.5, 1.0, 2.0])), max_size=60))
def test_against_a_loop(entries):
    matrix = MigrationMatrix("abc", "wxyz")
    expected, outside = np.zeros((4, 3)), 0.0
    for truth, reco, weight in entries:
        if 0 <= truth < 3 and 0 <= reco < 4:
            expected[reco, truth] += weight
        else:
            outside += weight
    columns = [np.array(column, dtype=dtype) for column, dtype in zip(zip(*entries, strict=True), "iif", strict=False)]
    if columns:
        matrix.fill(columns[0], columns[1], weight=columns[2])
    assert matrix.counts.tolist() == expected.tolist()
    assert matrix.excluded == outside
    for fractions, axis in ((matrix.efficiency()[0], 0), (matrix.purity()[0], 1)):
        sums = expected.sum(axis=axis)
        np.testing.assert_allclose(fractions.sum(axis=axis), np.where(sums > 0, 1.0, np.nan))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "u4", "i8", "u8", ">i8"])
def test_whole_numbers_of_every_kind(dtype):
    matrix = MigrationMatrix(("a", "b", "c"))
    matrix.fill(TRUTH.astype(dtype), RECO.astype(dtype)[::1])
    assert matrix.counts.tolist() == COUNTS
    largest = np.iinfo(dtype).max
    matrix.fill(np.array([0, largest], dtype=dtype), np.array([largest, 0], dtype=dtype))
    assert matrix.counts.tolist() == COUNTS
    assert matrix.excluded == 2
    if np.dtype(dtype).kind == "i":
        matrix.fill(np.array([np.iinfo(dtype).min], dtype=dtype), np.array([0], dtype=dtype))
        assert matrix.excluded == 3


def test_a_class_without_entries():
    matrix = MigrationMatrix(("a", "b", "c"))
    matrix.fill([0, 0, 1], [0, 1, 1])
    assert np.isnan(matrix.efficiency()).all(axis=(0, 1)).tolist() == [False, False, True]
    assert np.isnan(matrix.purity()).all(axis=(0, 2)).tolist() == [False, False, True]
    assert matrix.mean_diagonal()[0] == pytest.approx((1 / 2 + 1) / 2)
    assert matrix.note == "no entries of true c"


def test_only_what_is_outside():
    matrix = MigrationMatrix(("a", "b"))
    matrix.fill([5, 0], [0, -1], weight=[2.0, 0.5])
    assert matrix.excluded == 2.5
    assert np.isnan(matrix.diagonal()).all()
    assert np.isnan(matrix.mean_diagonal()).all()
    assert matrix.note == "no entries inside the classes"


def test_weights_and_their_effective_number():
    matrix = MigrationMatrix(("a", "b"))
    matrix.fill([0, 0, 0, 1], [0, 1, 0, 1], weight=[1.0, 2.0, 3.0, 5.0])
    assert matrix.efficiency()[0].tolist() == [[4 / 6, 0], [2 / 6, 1]]
    equal = MigrationMatrix(("a", "b"))
    equal.fill(np.repeat([0, 1], 4), np.tile([0, 1], 4), weight=np.full(8, 0.1))
    assert equal.efficiency()[1][0, 0] == pytest.approx(half_interval(2, 4))
    assert equal.diagonal() == pytest.approx((0.5, half_interval(4, 8)))


def test_negative_sums_are_no_fractions():
    matrix = MigrationMatrix(("a", "b"))
    matrix.fill([0, 0, 1], [0, 1, 1], weight=[3.0, -1.0, 1.0])
    assert matrix.counts.tolist() == [[3, 0], [-1, 1]]
    assert np.isnan(matrix.efficiency()[0]).tolist() == [[True, False], [True, False]]
    assert "1 cell without a fraction" in matrix.note
    assert "1 entry with negative weight" in matrix.note


def test_other_classes_on_the_two_sides_have_no_diagonal():
    matrix = MigrationMatrix(("a", "b"), ("a", "b", "other"))
    matrix.fill([0, 1, 1], [0, 2, 1])
    assert matrix.counts.shape == (3, 2)
    assert np.isnan(matrix.diagonal()).all()
    assert np.isnan(matrix.mean_diagonal()).all()


def test_a_matrix_has_classes():
    with pytest.raises(PlotError, match="at least one class"):
        MigrationMatrix(())
