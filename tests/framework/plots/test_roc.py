"""ROC curves and AUC against scikit-learn; errors; separate totals; classes without entries; equal and NaN scores."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from hepflow.errors import PlotError
from hepflow.plots import RocCurve, WorkingPoint

ENTRIES = st.lists(st.tuples(st.integers(0, 49), st.booleans(), st.floats(0.1, 10)), min_size=2, max_size=80).filter(
    lambda entries: len({signal for _, signal, _ in entries}) == 2
)


def toy(seed=1, number=20_000):
    """Scores of signal and background that overlap, and weights."""
    generator = np.random.default_rng(seed)
    signal = generator.random(number) < 0.4
    score = np.where(signal, generator.beta(4, 2, number), generator.beta(2, 3, number))
    return score, signal, generator.exponential(1, number)


@settings(deadline=None)
@given(ENTRIES, st.booleans())
def test_scores_on_bin_centres_are_exact(entries, weighted):
    number, signal, weight = (np.array(column) for column in zip(*entries, strict=True))
    score = (number + 0.5) / 50
    weight = weight if weighted else None
    roc = RocCurve(bins=50)
    roc.fill(score, signal, weight=weight)
    assert roc.auc == pytest.approx(roc_auc_score(signal, score, sample_weight=weight), abs=1e-9)
    false, true, cuts = roc_curve(signal, score, sample_weight=weight, drop_intermediate=False)
    keep = false > 0
    curve = roc.curve()
    np.testing.assert_allclose(curve.efficiency, true[keep], atol=1e-9)
    np.testing.assert_allclose(curve.rejection, 1 / false[keep], rtol=1e-9)
    np.testing.assert_allclose(curve.threshold, cuts[keep] - 0.01, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_of_auc_is_what_samples_scatter_by(weighted):
    found = []
    for seed in range(1000, 1600):
        score, signal, weight = toy(seed, 500)
        roc = RocCurve(bins=500)
        roc.fill(score, signal, weight=weight if weighted else None)
        found.append((roc.auc, roc.auc_error))
    scatter, errors = np.std([auc for auc, _ in found]), [error for _, error in found]
    assert np.mean(errors) == pytest.approx(scatter, rel=0.1)  # known to 3 %
    assert RocCurve().auc_error is None


@pytest.mark.parametrize("weighted", [False, True])
def test_continuous_scores_are_exact_to_the_width_of_a_bin(weighted):
    score, signal, weight = toy()
    weight = weight if weighted else None
    roc = RocCurve()
    roc.fill(score, signal, weight=weight)
    assert roc.auc == pytest.approx(roc_auc_score(signal, score, sample_weight=weight), abs=1e-5)
    false, true, cuts = roc_curve(signal, score, sample_weight=weight, drop_intermediate=False)
    curve = roc.curve()
    last = np.searchsorted(-cuts, -curve.threshold, side="right") - 1
    np.testing.assert_allclose(curve.efficiency, true[last], rtol=1e-9)
    np.testing.assert_allclose(curve.rejection, 1 / false[last], rtol=1e-9)
    assert len(curve.efficiency) > 5000


def test_float32_scores_and_other_ranges():
    score, signal, _ = toy()
    wide = RocCurve(low=-10.0, high=10.0)
    logit = np.log(score / (1 - score)).astype(np.float32)
    wide.fill(logit[::2], signal[::2])
    assert wide.auc == pytest.approx(roc_auc_score(signal[::2], score[::2]), abs=1e-3)
    assert wide.note == ""


def test_errors_are_binomial():
    roc = RocCurve(bins=2)
    # 3 of 4 signal and 1 of 10 background above 0.5
    roc.fill([0.7] * 3 + [0.2] + [0.7] + [0.2] * 9, [True] * 4 + [False] * 10)
    point = roc.point(0.5)
    assert point.efficiency == pytest.approx(0.75)
    assert point.efficiency_error == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
    assert point.rejection == pytest.approx(10)
    assert point.rejection_error == pytest.approx(np.sqrt(0.1 * 0.9 / 10) * 10**2)
    assert [part[0] for part in roc.curve()] == pytest.approx(list(point))


def test_errors_cover_the_truth():
    generator = np.random.default_rng(5)
    covered = []
    for _ in range(400):
        roc = RocCurve(bins=4)
        weight = generator.uniform(0.2, 1.8, 300)
        roc.fill(generator.random(300), np.arange(300) < 100, weight=weight)
        point = roc.point(0.25)
        off = point.efficiency - 0.75, point.rejection - 4 / 3
        covered.append(np.abs(off) < [point.efficiency_error, point.rejection_error])
    assert (np.abs(np.mean(covered, axis=0) - 0.683) < 0.06).all()


def test_a_separate_total_of_the_signal():
    roc, alone = RocCurve(bins=2), RocCurve(bins=2)
    for curve in (roc, alone):
        curve.fill([0.7, 0.7, 0.2, 0.7, 0.2], [True, True, True, False, False], weight=[2.0] * 5)
    roc.fill_signal_total(5.0)
    roc.fill_signal_total(15.0)
    assert (roc.signal_total, alone.signal_total) == (20, 6)
    point = roc.point(0.5)
    assert point.efficiency == pytest.approx(4 / 20)
    assert point.efficiency_error == pytest.approx(np.sqrt(0.2 * 0.8 / 10))  # 20 / 2 entries
    assert point.rejection == alone.point(0.5).rejection
    assert roc.curve().efficiency[-1] == pytest.approx(6 / 20)
    assert roc.auc == alone.auc
    assert (roc + roc).signal_total == 40
    assert RocCurve.from_json(roc.to_json()) == roc == pickle.loads(pickle.dumps(roc))
    assert roc != alone
    with pytest.raises(PlotError, match="cannot be nan"):
        roc.fill_signal_total(np.nan)


def test_a_total_of_zero_is_no_missing_total():
    """No truth tau in acceptance: no efficiency, and certainly not that of the taus that were found."""
    roc = RocCurve("a")
    roc.fill([0.2, 0.8, 0.6], [False, True, True])
    roc.fill_signal_total(0.0)
    for plot in (roc, pickle.loads(pickle.dumps(roc)), RocCurve.from_json(roc.to_json())):
        assert plot.signal_total == 0
        assert len(plot.curve().efficiency) == 0
        assert "the sum of weights of the signal is not above 0" in plot.note


def test_a_total_smaller_than_what_was_filled_is_left_out_and_said():
    roc = RocCurve(bins=10)
    roc.fill([0.95, 0.85, 0.75, 0.65], [False, True, True, False])
    roc.fill_signal_total(1.0)
    assert roc.curve().efficiency.tolist() == [0, 1]
    assert "2 points left out" in roc.note


def test_there_is_no_point_where_no_background_is_left():
    roc = RocCurve(bins=10)
    roc.fill([0.95, 0.85, 0.75, 0.05], [True, True, False, False])
    curve = roc.curve()
    assert curve.rejection.tolist() == [2, 1]
    assert curve.efficiency.tolist() == [1, 1]
    assert roc.note == ""
    assert np.isnan(roc.point(0.8).rejection)
    assert roc.point(0.8).efficiency == 1


@pytest.mark.parametrize("signal", [True, False])
def test_a_class_without_entries(signal):
    roc = RocCurve()
    roc.fill([0.2, 0.8], [signal, signal])
    assert roc.auc is None
    assert len(roc.curve().efficiency) == 0
    assert roc.note == f"no {'background' if signal else 'signal'}"
    same = RocCurve()
    same.fill([0.2, 0.2], [signal, signal])
    assert same.note == roc.note
    assert roc.to_json()["derived"]["auc"] == {"value": None, "error": None}


def test_an_empty_curve():
    roc = RocCurve()
    assert roc.auc is None
    assert [len(part) for part in roc.curve()] == [0] * 5
    assert all(np.isnan(roc.point(0.5)[1:]))


def test_all_scores_equal():
    roc = RocCurve()
    roc.fill(np.full(10, 0.3), np.arange(10) < 4)
    assert [part.tolist() for part in roc.curve()][1:] == [[1], [1], [0], [0]]
    assert roc.auc == 0.5
    assert roc.note == "all scores are equal: one point"


def test_nan_scores_are_never_filled():
    roc, good = RocCurve(), RocCurve()
    score, signal, weight = toy(number=100)
    good.fill(score, signal, weight=weight)
    added = [np.nan] * 3, [True, False, True], [1.0] * 3
    columns = [np.append(*pair) for pair in zip((score, signal, weight), added, strict=True)]
    roc.fill(columns[0], columns[1].astype(bool), weight=columns[2])
    assert roc.invalid == 3
    assert "3 of 103 entries left out" in roc.note
    assert roc.curve().efficiency.tolist() == good.curve().efficiency.tolist()
    assert roc.auc == good.auc


def test_scores_outside_the_range_are_kept_as_equal_and_said():
    roc = RocCurve(bins=10)
    roc.fill([-3.0, -2.0, 0.5, 1.0, np.inf, -np.inf], [False, True, False, True, True, False])
    assert roc.entries == 6
    assert roc.auc == pytest.approx(roc_auc_score([0, 1, 0, 1, 1, 0], [-1, -1, 0.5, 2, 2, -1]))
    assert roc.curve().threshold.tolist() == [0.5, -np.inf]
    assert "67 % of the scores are outside 0 … 1" in roc.note


def test_negative_weights():
    score, signal, _ = toy(number=5000)
    weight = np.where(np.random.default_rng(3).random(5000) < 0.1, -1.0, 1.0)
    roc = RocCurve()
    roc.fill(score, signal, weight=weight)
    assert roc.auc == pytest.approx(roc_auc_score(signal, score), abs=0.02)
    curve = roc.curve()
    assert np.all((curve.efficiency >= 0) & (curve.efficiency <= 1))
    assert np.all(np.isfinite(curve.rejection) & (curve.rejection >= 1))
    assert f"{np.sum(weight < 0)} entries with negative weight" in roc.note


def test_a_class_whose_weights_cancel():
    roc = RocCurve()
    roc.fill([0.1, 0.9, 0.3, 0.5], [True, True, False, False], weight=[1.0, -2.0, 1.0, 1.0])
    assert roc.auc is None
    assert len(roc.curve().efficiency) == 0
    assert "the sum of weights of the signal is not above 0" in roc.note


def test_the_saved_curve_is_thinned_for_people():
    roc = RocCurve()
    score, signal, _ = toy()
    roc.fill(score, signal)
    derived = roc.to_json()["derived"]
    assert 90 <= len(derived["efficiency"]) <= 101
    assert np.diff(derived["efficiency"]).max() < 0.03
    assert derived["auc"] == {"value": roc.auc, "error": roc.auc_error}


@pytest.mark.parametrize("kwargs", [{"bins": 0}, {"low": 1.0}, {"low": 2.0, "high": 1.0}, {"high": np.inf}])
def test_ranges_that_make_no_sense(kwargs):
    with pytest.raises(PlotError, match="cannot be counted"):
        RocCurve(**kwargs)


# ── classifiers without scores ───────────────────────────────────────────────────────────────────────────────────────


def test_a_working_point_is_the_point_of_a_curve():
    score, signal, weight = toy()
    roc, point = RocCurve(), WorkingPoint("cut")
    for plot, column in ((roc, score), (point, score >= 0.6)):
        plot.fill(column, signal, weight=weight)
        plot.fill_signal_total(1.3 * weight[signal].sum())
    np.testing.assert_allclose(point.point()[1:], roc.point(0.6)[1:], rtol=1e-9)
    assert np.isnan(point.point().threshold)


def test_working_points_without_a_number():
    point = WorkingPoint()
    assert np.isnan(point.point()).all()
    point.fill([True, False, False], [True, True, False])
    assert point.point().efficiency == 0.5
    assert np.isnan(point.point().rejection)
    assert point.note == "no background is selected: the rejection has no value"
    alone = WorkingPoint()
    alone.fill([True], [True])
    assert alone.note == "no background"


def test_a_cut_of_zero_is_a_cut():
    roc = RocCurve(low=-1.0, high=1.0, bins=20)
    roc.fill([-0.5, 0.5, 0.5, -0.5], [True, True, False, False])
    assert roc.point(0.0)[:3] == (pytest.approx(0.0), 0.5, 2.0)
    assert roc.point(-1.0)[1:3] == (1, 1)
    assert roc.point(-50.0) == roc.point(-1.0)
