"""Efficiencies, means and resolutions against variables, against hand counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hepflow import Job
from hepflow.context import Context
from hepflow.errors import HepflowError
from hepflow.expressions import Cut
from hepflow.plugins.performance import EfficiencyPlots, ProfilePlots, RejectionPlots, ResolutionPlots, RocPlots
from hepflow.protocols import ColumnInfo
from hepflow.variables import Binning, Variable

EDGES = np.array([10.0, 40.0, 70.0, 100.0])
PT = Variable(
    "pt", "TauJets.pt / 1000", unit="GeV", binnings={"a": Binning(tuple(EDGES))}, truth="TruthTaus.pt_vis / 1000"
)


def counts(values):
    return np.histogram(values, EDGES)[0]


def test_efficiencies_with_their_own_denominators(filled, taus):
    tool = EfficiencyPlots("e", Variables=[PT], Selection="TauJets.truth < 5")
    tool.Passed = {"right": "TauJets.reco == TauJets.truth", "mode 1": "TauJets.reco == 1"}
    tool.Totals = {"mode 1": "TauJets.truth == 1"}
    plots = filled(tool)
    pt = taus.pt / 1000
    inside = taus.truth < 5
    for key, total, passed in (
        ("pt/right", inside, taus.reco == taus.truth),
        ("pt/mode 1", taus.truth == 1, taus.reco == 1),
    ):
        value, low, high = plots[key].efficiency()
        np.testing.assert_allclose(value, counts(pt[total & passed]) / counts(pt[total]))
        assert (low < value).all()
        assert (value < high).all()


def test_values_that_a_cut_repeats_are_told():
    tools = [
        EfficiencyPlots("e", Variables=["n.met:5;0;10"], Passed={"a": "n.mass > 3"}, Selection="n.jet > 3"),
        ProfilePlots("p", Variables=["n.met:5;0;10"], Response="n.mass:5;0;9", Selection="n.jet > 3"),
        ResolutionPlots("r", Variables=["n.met:5;0;10"], Responses={"a": "n.mass / 90"}, Selection="n.jet > 3"),
        RocPlots("roc", Scores={"a": "n.mass"}, Signal="n.jet > 3"),
    ]
    columns = {f"n.{name}": ColumnInfo(f"n.{name}", (name,), "float32", 1, single=True) for name in ("met", "mass")}
    columns["n.jet"] = ColumnInfo("n.jet", ("jet",), "float32", 2, single=True)
    for tool in tools:
        (line,) = tool.remarks(Job("job"), {}, columns)
        assert "is drawn once for each element of n.jet that passes; any(n.jet > 3) keeps" in line
        assert not tool.remarks(Job("job"), {}, {**columns, "n.jet": columns["n.met"]})
    of_jets = EfficiencyPlots("e", Variables=["n.met:5;0;10"], Passed={"a": "n.jet > 3"}, Selection="n.jet > 1")
    assert not of_jets.remarks(Job("job"), {}, columns)  # jets are counted


def test_truth_objects_as_denominator(filled, taus):
    tool = EfficiencyPlots("e", Variables=[PT], Passed={"all": "TauJets.truth == 1"})
    tool.TruthTotals = {"all": Cut("TruthTaus.pt_vis > 20000")}
    (plot,) = filled(tool).values()
    found = counts(taus.pt[taus.truth == 1] / 1000)
    wanted = counts(taus.truth_pt[taus.truth_pt > 20e3] / 1000)
    np.testing.assert_allclose(plot.efficiency()[0], found / wanted)
    assert set(tool.reads()) == {"Sample.weight?", "TauJets.pt", "TruthTaus.pt_vis", "TauJets.truth"}


def test_rejections(filled, taus):
    tool = EfficiencyPlots("e", Variables=[PT], Passed={"1": "TauJets.reco == 1"}, Rejection=True)
    tool.Selection = "TauJets.truth != 1"
    (plot,) = filled(tool).values()
    jets = taus.truth != 1
    expected = counts(taus.pt[jets] / 1000) / counts(taus.pt[jets & (taus.reco == 1)] / 1000)
    np.testing.assert_allclose(plot.shown()[0], expected)
    assert plot.title == "Rejection"


def test_efficiencies_at_a_rejection(filled, taus):
    tool = RejectionPlots("r", Variables=[PT], Signal="TauJets.truth == 0", Background="TauJets.truth > 0")
    tool.Scores, tool.FixedRejection = {"score": "TauJets.score"}, 4.0
    (plot,) = filled(tool).values()
    for number, value in enumerate(plot.efficiency()[0]):
        inside = np.digitize(taus.pt / 1000, EDGES) - 1 == number
        jets = np.sort(taus.score[inside & (taus.truth > 0)])[::-1]
        cut = jets[len(jets) // 4]  # so many are above
        expected = (taus.score[inside & (taus.truth == 0)] > cut).mean()
        assert value == pytest.approx(expected, abs=0.05)  # 1000 bins of the score


def test_bins_without_taus_have_no_efficiency(filled):
    tool = EfficiencyPlots("e", Variables=[PT], Selection="TauJets.pt < 40000", Passed={"all": "TauJets.pt > 0"})
    (plot,) = filled(tool).values()
    for values in plot.efficiency():
        np.testing.assert_array_equal(np.isnan(values), [False, True, True])


def test_weights_of_either_sign(filled, taus):
    tool = EfficiencyPlots("e", Variables=[PT], Weight="EventInfo.weight - 0.7", Passed={"1": "TauJets.truth == 1"})
    (plot,) = filled(tool).values()
    weights = (taus.weight - 0.7)[taus.event].astype(np.float64)
    assert plot.negative == (weights < 0).sum() > 0
    total, passed = (
        np.histogram(taus.pt[keep] / 1000, EDGES, weights=weights[keep])[0]
        for keep in (taus.truth < 6, taus.truth == 1)
    )
    np.testing.assert_allclose(plot.efficiency()[0], passed / total, rtol=1e-5)
    assert "with negative weight" in plot.note


def test_labels_that_are_alike_as_names_of_files(filled, taus):
    cuts = {"score < 0.5": "TauJets.score < 0.5", "score > 0.5": "TauJets.score > 0.5"}
    low, high = filled(EfficiencyPlots("e", Variables=[PT], Passed=cuts)).values()
    for plot, passed in ((low, taus.score < 0.5), (high, taus.score > 0.5)):
        np.testing.assert_allclose(plot.efficiency()[0], counts(taus.pt[passed] / 1000) / counts(taus.pt / 1000))


def test_a_denominator_of_nobody_is_an_error():
    tool = EfficiencyPlots("e", Variables=[PT], Passed={"right": "TauJets.x > 1"}, Totals={"rigth": "TauJets.x > 2"})
    with pytest.raises(HepflowError, match="did you mean 'right'"):
        tool.reads()


def test_a_truth_denominator_needs_a_partner():
    alone = Variable("pt", "TauJets.pt", binnings=PT.binnings)
    tool = EfficiencyPlots("e", Variables=[alone], Passed={"a": "TauJets.x > 1"}, TruthTotals={"a": "TruthTaus.y > 1"})
    with pytest.raises(HepflowError, match="has no truth partner"):
        tool.reads()


def test_means(filled, taus):
    tool = ProfilePlots("p", Variables=[PT], Response="TauJets.score:50;0;1", Curves={"1": "TauJets.truth == 1"})
    (plot,) = filled(tool).values()
    chosen = taus.truth == 1
    pt, score = taus.pt[chosen] / 1000, taus.score[chosen].astype(np.float64)
    expected = np.histogram(pt, EDGES, weights=score)[0] / counts(pt)
    np.testing.assert_allclose(plot.mean()[0], expected, rtol=1e-6)


def test_resolutions_and_their_figures(filled, taus, tmp_path):
    tool = ResolutionPlots("r", Variables=[PT], Selection="TauJets.truth < 5", Modes=["median", "core"])
    tool.Responses = {"pT": "TauJets.pt / TauJets.true_pt"}
    plots = filled(tool)
    inside = taus.truth < 5
    response, pt = taus.pt[inside] / taus.true_pt[inside], taus.pt[inside] / 1000
    for number, (low, high) in enumerate(pairwise(EDGES)):
        here = response[(pt >= low) & (pt < high)]
        assert plots["pt/pT"].values("median")[0][number] == pytest.approx(np.median(here), abs=0.003)
        half = (np.quantile(here, 0.84) - np.quantile(here, 0.16)) / 2
        assert plots["pt/pT"].values("core")[0][number] == pytest.approx(half, abs=0.004)
    tool.finalize({"sample": plots}, Context(tmp_path, "job"))
    assert {path.name for path in (tmp_path / "r").glob("*.png")} == {"pt_median.png", "pt_core.png"}


def test_an_unknown_mode_is_named():
    with pytest.raises(HepflowError, match="did you mean 'median'"):
        ResolutionPlots("r", Variables=[PT], Responses={"a": "T.x"}, Modes=["medain"]).reads()
