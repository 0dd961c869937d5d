"""HistogramPlots: what is filled, against numpy; and the figures it draws."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest

from hepflow import Events
from hepflow.context import Context
from hepflow.errors import HepflowError
from hepflow.expressions import Cut
from hepflow.plugins.performance import HistogramPlots, counting
from hepflow.plugins.performance.base import as_views
from hepflow.variables import Binning, Variable

PT = Variable("pt", "TauJets.pt / 1000", label="pT", unit="GeV", binnings={"a": Binning.regular(9, 10, 100)})


def test_classes_cuts_and_weights(filled, taus):
    tool = HistogramPlots("h", Variables=[PT], Selection="TauJets.pt > 30000", Weight="EventInfo.weight")
    tool.Split = {"right": "TauJets.truth == TauJets.reco", "wrong": "TauJets.truth != TauJets.reco"}
    plots = filled(tool)
    assert list(plots) == ["pt/right", "pt/wrong"]
    for label, same in (("right", True), ("wrong", False)):
        keep = (taus.pt > 30e3) & ((taus.truth == taus.reco) == same)
        weights = taus.weight[taus.event][keep].astype(np.float64)
        expected = np.histogram(taus.pt[keep] / 1000, np.linspace(10, 100, 10), weights=weights)[0]
        np.testing.assert_allclose(plots[f"pt/{label}"].values(), expected, rtol=1e-6)
        assert plots[f"pt/{label}"].label == label


def test_expressions_with_their_own_bins(filled, taus):
    plots = filled(HistogramPlots("h", Variables=["TauJets.pt / 1000 + EventInfo.mu:5;0;200"]))
    (plot,) = plots.values()
    np.testing.assert_array_equal(
        plot.values(), np.histogram(taus.pt / 1000 + taus.mu[taus.event], np.linspace(0, 200, 6))[0]
    )


def test_missing_values_are_left_out_and_counted(filled, taus):
    true = Variable("true", "TauJets.true_pt", missing=-1111, binnings={"a": Binning.regular(1, -2000, 2e6)})
    (plot,) = filled(HistogramPlots("h", Variables=[true])).values()
    assert plot.invalid == (taus.truth == 5).sum() > 0
    assert plot.values()[0] == (taus.truth != 5).sum()


def test_pairs(filled, taus):
    (plot,) = filled(HistogramPlots("h", Pairs=[(PT, "TauJets.score:4;0;1")])).values()
    expected = np.histogram2d(taus.pt / 1000, taus.score, [np.linspace(10, 100, 10), np.linspace(0, 1, 5)])[0]
    np.testing.assert_array_equal(plot.values(), expected)


def test_classes_that_are_alike_as_names_of_files(fill, taus, tmp_path):
    cuts = {"pT < 50": "TauJets.pt < 50000", "pT > 50": "TauJets.pt > 50000"}
    tool = HistogramPlots("h", Pairs=[(PT, "TauJets.score:4;0;1")], Split=cuts)
    result = fill(tool, taus.events())
    low, high = result["sample"].values()
    assert (low.entries, high.entries) == ((taus.pt < 50e3).sum(), (taus.pt > 50e3).sum())
    tool.finalize(result, Context(tmp_path, "job"))
    drawn = [json.loads(path.read_text())["plots"][0]["label"] for path in sorted((tmp_path / "h").glob("*.json"))]
    assert drawn == ["pT < 50", "pT > 50"]


def test_no_value_and_weights_of_either_sign(filled, taus):
    root = Variable("root", "sqrt(TauJets.score - 0.5)", binnings={"a": Binning.regular(4, 0, 1)})
    (plot,) = filled(HistogramPlots("h", Variables=[root], Weight="EventInfo.weight - 1")).values()
    keep = taus.score >= 0.5
    weights = (taus.weight - 1)[taus.event][keep].astype(np.float64)
    assert plot.invalid == (~keep).sum() > 0
    assert plot.negative == (weights < 0).sum() > 0
    expected = np.histogram(np.sqrt(taus.score[keep] - np.float32(0.5)), np.linspace(0, 1, 5), weights=weights)[0]
    np.testing.assert_allclose(plot.values(), expected, rtol=1e-5, atol=1e-5)


def test_the_transform_of_a_variable(filled, taus):
    log = Variable("log", "TauJets.pt", "log10", 1.0, binnings={"a": Binning.regular(3, 4, 5)})
    (plot,) = filled(HistogramPlots("h", Variables=[log])).values()
    np.testing.assert_array_equal(plot.values(), np.histogram(np.log10(taus.pt), np.linspace(4, 5, 4))[0])


def test_samples_are_drawn_together(fill, taus, tmp_path):
    tool = HistogramPlots("spectra", Variables=[PT], Pairs=[(PT, "TauJets.score:4;0;1")], Lines=["my line"])
    result = fill(tool, taus.events("old"), taus.events("new"))
    assert list(result) == ["old", "new"]
    context = Context(tmp_path, "job")
    assert tool.finalize(result, context) is result
    numbers = json.loads((tmp_path / "spectra" / "pt.json").read_text())
    assert [plot["label"] for plot in numbers["plots"]] == ["old", "new"]
    assert numbers["style"]["lines"] == ["my line"]
    names = {path.name for path in (tmp_path / "spectra").iterdir()}
    assert {"pt.png", "pt.pdf", "TauJets.score_4_0_1_vs_pt_old.png", "TauJets.score_4_0_1_vs_pt_new.json"} <= names
    assert {path.relative_to(tmp_path).as_posix() for path in context.written} >= {"spectra/pt.png", "spectra/pt.json"}


def test_without_events_an_honest_empty_figure(tmp_path):
    tool = HistogramPlots("h", Variables=[PT])
    (plots,) = tool.finalize(tool.start(), Context(tmp_path, "job")).values()
    assert plots["pt"].note == "no entries"
    assert (tmp_path / "h" / "pt.png").exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ([3], "3 is no variable"),
        (["TauJets.pt / 1000"], "has no binning"),
        ([PT, PT], "pt is there twice"),
        ([(PT, "b")], "no binning 'b'"),
        ([(PT, "a", "b")], "is no variable"),
        (["TauJets.ptt:log"], "did you mean 'TauJets.pt'"),
    ],
)
def test_what_is_no_variable(variables, message):
    with pytest.raises(HepflowError) as error:
        HistogramPlots("h", Variables=variables).reads()
    assert message in str(error.value)


def test_a_pair_is_there_once():
    with pytest.raises(HepflowError, match=r"the pair TauJets.score_4_0_1, .* is there twice"):
        HistogramPlots("h", Pairs=[("TauJets.score:4;0;1", PT)] * 2).reads()


def test_reads_what_the_plots_use():
    tool = HistogramPlots("h", Variables=[PT], Split={"a": "TauJets.x > 1"}, Selection="TauJets.y > 1", Weight="E.w")
    assert list(tool.reads()) == ["TauJets.pt", "TauJets.x", "TauJets.y", "E.w", "Sample.weight?"]


def test_names_of_figures_are_names_of_files():
    names = ["tree.a+b", "tree.a_b", "../../etc/x", "tree./tmp/x", "ö" * 300]
    views = as_views([Variable(name, binnings={"": Binning.regular(1, 0, 1)}, column="tree.x") for name in names], "t")
    found = [view.name for view in views]
    assert found[:4] == ["tree.a_b", "tree.a_b_2", "etc_x", "tree._tmp_x"]
    assert len(set(found)) == len(found)
    assert len(found[-1].encode()) == 100


@pytest.mark.parametrize("of_events", [True, False])
@pytest.mark.parametrize("nominal", [True, False])
def test_sums_of_many_rows_are_those_that_counting_gives(of_events, nominal, monkeypatch):
    monkeypatch.setattr(counting, "ENTRIES", 1)
    rng = np.random.default_rng(1)
    pt = ak.unflatten(rng.normal(size=2000), rng.multinomial(2000, [0.001] * 1000))
    events = Events.from_arrays({"T.pt": pt, "T.eta": pt * pt})
    views = as_views(["T.pt:9;-2;2", "T.eta:4;0;1"], "test")
    numbers = {view.key: counting._Numbers(events, view, Cut(), "T") for view in views}
    rows = np.repeat(np.arange(1000), ak.to_numpy(ak.num(pt))) if of_events else None
    weights = list(rng.normal(size=(3, 1000 if of_events else 2000)))
    found = counting._sums(numbers, weights, weights[0] if nominal else None, rows)
    for weight, sums in zip(weights, found, strict=True):
        for key, one in numbers.items():
            factors = [weight, weight * weight, *([weight * weights[0]] if nominal else [])]
            of_objects = [factor if rows is None else factor[rows] for factor in factors]
            expected = [np.bincount(one.picked, factor, one.bins) for factor in of_objects]
            assert sums[key].tolist() == [part.tolist() for part in expected]
