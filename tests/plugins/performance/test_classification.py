"""Migration matrices and ROC curves of classifiers, against hand counts."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from hepflow.context import Context
from hepflow.errors import HepflowError
from hepflow.plots import RocCurve
from hepflow.plugins.performance import MigrationPlots, RocPlots

MODES = ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")


def by_hand(truth, reco):
    matrix = np.zeros((5, 5))
    np.add.at(matrix, (reco, truth), 1)
    return matrix


def matrices(**properties):
    classifiers = {"A": "TauJets.reco", "B": "where(TauJets.truth == 1, 7, TauJets.truth)"}
    return MigrationPlots("m", Truth="TauJets.truth", Classifiers=classifiers, Labels=MODES, **properties)


def test_matrices_show_the_taus_that_all_classifiers_put_into_a_mode(filled, taus):
    plots = filled(matrices(Ranges={"low pT": "TauJets.pt < 50000"}))
    assert list(plots) == ["A", "B", "A/low pT", "B/low pT"]
    inside = (taus.truth < 5) & (taus.reco < 5) & (taus.truth != 1)
    np.testing.assert_array_equal(plots["A"].counts, by_hand(taus.truth[inside], taus.reco[inside]))
    np.testing.assert_array_equal(plots["B"].counts, by_hand(taus.truth[inside], taus.truth[inside]))
    assert plots["A"].excluded == (~inside).sum()
    low = inside & (taus.pt < 50e3)
    np.testing.assert_array_equal(plots["A/low pT"].counts, by_hand(taus.truth[low], taus.reco[low]))
    assert plots["A/low pT"].label == "A, low pT"


def test_matrices_of_labels_that_are_alike_as_names_of_files(fill, taus, tmp_path):
    tool = MigrationPlots("m", Truth="TauJets.truth", Labels=MODES, Kinds=["counts"])
    tool.Classifiers = {"A+": "TauJets.reco", "A-": "TauJets.truth"}
    result = fill(tool, taus.events())
    plus, minus = result["sample"].values()
    inside = (taus.truth < 5) & (taus.reco < 5)
    assert plus.diagonal()[0] == pytest.approx((taus.truth == taus.reco)[inside].mean())
    assert minus.diagonal()[0] == 1
    tool.finalize(result, Context(tmp_path, "job"))
    assert {path.name for path in (tmp_path / "m").glob("*.png")} == {
        "A_counts.png",
        "A-_counts.png",
        "side_by_side_counts.png",
    }


def test_a_class_without_entries_has_no_fractions(filled, taus):
    plot = filled(matrices(Selection="TauJets.truth != 3"))["A"]
    value, error = plot.efficiency()
    np.testing.assert_array_equal(np.isnan(value).all(axis=0), [False, True, False, True, False])  # 1: B has none
    np.testing.assert_array_equal(np.isnan(error), np.isnan(value))
    assert plot.note


def test_matrices_with_weights_of_either_sign(filled, taus):
    plot = filled(matrices(Weight="EventInfo.weight - 0.7"))["B"]
    weights = (taus.weight - 0.7)[taus.event]
    inside = (taus.truth < 5) & (taus.reco < 5) & (taus.truth != 1)
    for mode in (0, 2, 3, 4):
        assert plot.counts[mode, mode] == pytest.approx(weights[inside & (taus.truth == mode)].sum(), rel=1e-4)
    assert plot.excluded == pytest.approx(weights[~inside].sum(), rel=1e-4)


def test_matrices_are_drawn_and_their_diagonals_told(fill, taus, tmp_path, caplog):
    tool = MigrationPlots("m", Truth="TauJets.truth", Classifiers={"A": "TauJets.reco"}, Labels=MODES)
    with caplog.at_level(logging.INFO, "hepflow"):
        tool.finalize(fill(tool, taus.events()), Context(tmp_path, "job"))
    inside = (taus.truth < 5) & (taus.reco < 5)
    fraction = (taus.truth == taus.reco)[inside].mean()
    assert f"diagonal {100 * fraction:.1f} ±" in caplog.text
    (row,) = json.loads((tmp_path / "m" / "diagonals.json").read_text())
    assert row["diagonal"][0] == pytest.approx(fraction)
    assert row["excluded_fraction"] == pytest.approx(1 - inside.mean())
    assert {path.name for path in (tmp_path / "m").glob("*.png")} == {"A_efficiency.png", "A_purity.png"}


def test_an_empty_matrix_is_said_to_be_empty(fill, taus, tmp_path, caplog):
    tool = matrices(Selection="TauJets.pt < 0")
    with caplog.at_level(logging.INFO, "hepflow"):
        tool.finalize(fill(tool, taus.events()), Context(tmp_path, "job"))
    assert "not known (no entries)" in caplog.text
    assert json.loads((tmp_path / "m" / "diagonals.json").read_text())[0]["diagonal"] == [None, None]


def curves(**properties):
    tool = RocPlots("roc", Signal="TauJets.truth == 0", Background="TauJets.truth > 0", **properties)
    tool.Scores = {"score": "TauJets.score"}
    tool.Points = {"count": "TauJets.reco == 0"}
    return tool


def test_curves_and_points(filled, taus):
    from sklearn.metrics import roc_auc_score

    plots = filled(curves(Selection="TauJets.truth < 5"))
    chosen = taus.truth < 5
    signal = taus.truth == 0
    assert plots["score"].auc == pytest.approx(roc_auc_score(signal[chosen], taus.score[chosen]), abs=1e-4)
    point = plots["count"].point()
    assert point.efficiency == pytest.approx((taus.reco == 0)[chosen & signal].mean())
    assert point.rejection == pytest.approx(1 / (taus.reco == 0)[chosen & ~signal].mean())


def test_the_signal_in_the_denominator(filled, taus):
    plots = filled(curves(Selection="TauJets.pt > 50000", SignalTotal="TauJets.truth == 0"))
    selected = ((taus.truth == 0) & (taus.pt > 50e3)).sum() / (taus.truth == 0).sum()
    assert plots["score"].curve().efficiency.max() == pytest.approx(selected)
    passed = ((taus.truth == 0) & (taus.pt > 50e3) & (taus.reco == 0)).sum() / (taus.truth == 0).sum()
    assert plots["count"].point().efficiency == pytest.approx(passed)


def test_signal_and_background_of_different_samples(fill, taus, tmp_path, caplog):
    tool = curves(Together=True)
    tool.Scores, tool.Points = {"score": "TauJets.score"}, {}
    whole = fill(curves(), taus.events())["sample"]["score"]
    (plots,) = fill(tool, taus.events("a", slice(0, 200)), taus.events("b", slice(200, None))).values()
    assert plots["score"].auc == pytest.approx(whole.auc)
    apart = {"one": RocCurve("s"), "other": RocCurve("s")}
    for signal, plot in enumerate(apart.values()):
        plot.fill([0.2, 0.7], [signal, signal])
    with caplog.at_level("INFO"):
        tool.finalize({name: {"score": plot} for name, plot in apart.items()}, Context(tmp_path, "job"))
    assert "Together=True" in caplog.text
    assert "1 figure in" in caplog.text


def test_a_piece_of_the_denominator_may_be_negative(filled, taus):
    tool = curves(SignalTotal="TauJets.truth == 0", Selection="TauJets.pt > 50000", Weight="EventInfo.weight - 0.7")
    weights = (taus.weight - 0.7)[taus.event]
    signal = taus.truth == 0
    assert filled(tool)["score"].signal_total == pytest.approx(weights[signal].sum(), rel=1e-4)
    pieces = np.add.reduceat(np.bincount(taus.event, weights * signal, len(taus.counts)), range(0, len(taus.counts), 7))
    assert pieces.min() < 0


def test_equal_scores_are_one_point(filled, taus):
    tool = curves()
    tool.Scores = {"score": "where(TauJets.pt > 0, 0.5, 0.1)"}
    plot = filled(tool)["score"]
    assert plot.auc == pytest.approx(0.5)
    assert len(plot.curve().efficiency) == 1
    assert "all scores are equal: one point" in plot.note


def test_a_label_is_of_a_curve_or_of_a_point():
    tool = curves()
    tool.Points = {"score": "TauJets.reco == 0"}
    with pytest.raises(HepflowError, match="'score' is a label of Scores and of Points"):
        tool.reads()


def test_nan_scores_are_left_out_and_told(fill, taus):
    tool = curves()
    tool.Scores = {"score": "TauJets.score / (TauJets.reco > 0) * (TauJets.reco > 0)"}
    (plots,) = fill(tool, taus.events()).values()
    assert plots["score"].invalid == (taus.reco == 0).sum() > 0
    assert "left out" in plots["score"].note


def test_a_figure_without_background_says_so(fill, taus, tmp_path):
    tool = curves(Selection="TauJets.truth == 0")
    tool.finalize(fill(tool, taus.events()), Context(tmp_path, "job"))
    numbers = json.loads((tmp_path / "roc" / "roc.json").read_text())
    assert all(plot["note"] for plot in numbers["plots"])
    assert (tmp_path / "roc" / "roc.png").exists()
