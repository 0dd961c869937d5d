"""Define and Filter: columns and selections as expressions, in ntuples, MxAODs and cutflows."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Events, Job
from hepflow.errors import ColumnError, HepflowError, JobOptionsError, PropertyError
from hepflow.events import Column, Scope
from hepflow.execution.options import RunOptions
from hepflow.execution.planning import plan_job
from hepflow.execution.run import run
from hepflow.plugins.common import Define, Filter
from hepflow.streams import MxAODStream, NtupleStream

COLUMNS = {
    "TauJets.ptGeV": "TauJets.pt / GeV",
    "TauJets.good": "TauJets.ptGeV > 20 and abs(TauJets.eta) < 2.5",
    "TauJets.prongs": "TauJets.nTracks + 0",
    "TauJets.share": "TauJets.pt / sum(TauJets.pt)",
    "TauJets.absEta": "abs(TauJets.eta)",
    "EventInfo.nGood": "sum(TauJets.good)",
    "EventInfo.lead": "max(TauJets.pt)",
}


def made(tools, streams, path, folder):
    job = Job("defined")
    for tool in (*tools, *streams):
        job += tool
    return run(job, RunOptions(inputs=[str(path)], output=str(folder)))


def test_defined_columns_are_written(xaod, tmp_path):
    keep = ["TauJets.pt", "TauJets.eta", "TauJets.nTracks", *COLUMNS]
    streams = [NtupleStream("flat", Keep=keep), MxAODStream("out", Keep=keep, Format="TTree")]
    result = made([Define("d", Columns=COLUMNS)], streams, xaod, tmp_path / "out")
    with uproot.open(result.outputs["flat"][0]) as file:
        flat = file["tree"].arrays(library="np")
    pt = flat["TauJets.pt"].astype(float)
    np.testing.assert_allclose(flat["TauJets.ptGeV"], pt / 1000, rtol=1e-15)
    np.testing.assert_array_equal(flat["TauJets.good"], (pt > 20000) & (np.abs(flat["TauJets.eta"]) < 2.5))
    np.testing.assert_array_equal(flat["TauJets.prongs"], flat["TauJets.nTracks"])
    dtypes = {name: flat[f"TauJets.{name}"].dtype.name for name in ("ptGeV", "good", "prongs", "absEta")}
    assert dtypes == {"ptGeV": "float64", "good": "bool", "prongs": "int64", "absEta": "float32"}
    with uproot.open(result.outputs["out"][0]) as file:
        tree = file["CollectionTree"]
        taus = tree["TauJetsAuxDyn.ptGeV"].array()
        counts = np.array([sum(event > 20) for event in taus])
        good = tree["EventInfoAuxDyn.nGood"].array(library="np")
    assert (good <= counts).all()
    assert good.sum() == flat["TauJets.good"].sum() > 0


def test_a_column_is_replaced(xaod, tmp_path):
    stream = NtupleStream("flat", Keep=["TauJets.pt", "TauJets.eta"])
    plain = made([], [stream.copy()], xaod, tmp_path / "plain")
    scaled = made([Define("d", Columns={"TauJets.pt": "2 * TauJets.pt"})], [stream], xaod, tmp_path / "scaled")
    arrays = [uproot.open(r.outputs["flat"][0])["tree"]["TauJets.pt"].array(library="np") for r in (plain, scaled)]
    np.testing.assert_array_equal(2 * arrays[0], arrays[1])


def test_lists_and_what_is_missing():
    gone = np.array([True, False])
    columns = {"T.n": Column(None, np.array([0, 2**60 + 1]), gone), "T.x": Column(None, np.array([1.0, 2.0]))}
    events = Events(Scope.from_columns(columns, 2))
    Define("d", Columns={"T.m": "T.n + 1", "T.big": "T.m > 5", "T.y": "T.x * 1"}).execute(events, None)
    values, missing = events["T"].stored("m")
    assert (values[1], missing.tolist()) == (2**60 + 2, [True, False])
    assert events["T"].stored("big")[1].tolist() == [True, False]
    lists = Events.from_arrays({"T.l": ak.Array([[1.0, 2.0], []]), "T.x": np.array([2.0, 3.0])})
    Define("d", Columns={"T.s": "T.l * T.x", "T.n": "len(T.s)"}).execute(lists, None)
    assert lists["T"]["s"].tolist() == [[2.0, 4.0], []]
    assert lists["T"].flat("n").tolist() == [2, 0]


def test_a_column_of_a_container_that_the_expression_does_not_name(xaod, tmp_path):
    """The objects of TauJets must be known, although nothing of them is read."""
    columns = {"TauJets.nTruth": "len(TruthTaus.pt_vis)"}
    result = made([Define("d", Columns=columns)], [NtupleStream("flat", Keep=[*columns])], xaod, tmp_path / "out")
    with uproot.open(result.outputs["flat"][0]) as file:
        found = file["tree"]["TauJets.nTruth"].array(library="np")
    assert found.tolist() == [len(event["TruthTaus"]) for event in xaod.events for _ in event["TauJets"]]


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (lambda: Define("d"), "d defines nothing"),
        (lambda: Filter("f"), "f has no Cut"),
        (lambda: Define("d", Columns={"TauJets.x": "pt + 1"}), r"as in TauJets\.pt"),
        (lambda: Define("d", Columns={"x": "TauJets.pt"}), "no Container.column"),
        (lambda: Define("d", Columns={"TauJet.x": "TauJets.pt"}), "into 'TauJet', and there is no such container"),
        (lambda: Define("d", Columns={"TauJets.pt": "TauJets.eta"}), "the input has it already"),
        (lambda: Filter("f", Cut="TauJets.ptt > 1"), "TauJets.ptt, which is not there"),
    ],
)
def test_what_is_refused_before_the_first_event(xaod, tool, message):
    def plan():
        job = Job("refused")
        job += tool()
        plan_job(job, RunOptions(inputs=[str(xaod)]))

    with pytest.raises(HepflowError, match=message):
        plan()


def test_filters_hide_objects_or_events_and_count_what_is_missing():
    events = Events.from_arrays({"T.x": ak.Array([[1.0, np.nan], [3.0], []]), "E.n": np.array([1.0, np.nan, 3.0])})
    Filter("f", Cut="T.x > 0 and T.x < 2", Label="0 < x < 2").execute(events, None)
    assert events["T"]["x"].tolist() == [[1.0], [], []]
    Filter("g", Cut="sum(T.x > 0) == 0").execute(events, None)
    assert len(events) == 2
    Filter("h", Cut="not E.n < 2").execute(events, None)
    assert events["E"]["n"].tolist() == [3.0]
    assert events._scope.cutflow == {
        ("", "", "T", "0 < x < 2"): [3, 1, 1],
        ("", "", "", "sum(T.x > 0) == 0"): [3, 2, 0],
        ("", "", "", "not E.n < 2"): [2, 1, 1],
    }


def test_missing_ones_are_shown(hepflow, tmp_path):
    with uproot.recreate(tmp_path / "in.root") as file:
        file.mktree("t", {"x": "f4"})
        file["t"].extend({"x": np.array([1, np.nan, 3], "f4")})
    (tmp_path / "job.py").write_text(
        "from hepflow import Job\nfrom hepflow.plugins.common import Filter\nfrom hepflow.streams import NtupleStream\n"
        'job = Job("j")\njob += Filter("f", Cut="t.x > 0")\njob += NtupleStream("s", Keep=["t.x"], Container="")\n'
    )
    shown = hepflow("run", "job.py", "-i", "in.root", "-o", "out").fine()
    assert "missing" in shown
    (line,) = json.loads((tmp_path / "out" / "cutflow.json").read_text())
    assert (line["before"], line["after"], line["missing"]) == (3, 2, 1)
    other = hepflow("run", "job.py", "-i", "in.root", "-o", "other", "--set", "f.Cut=t.x > 1.5 or t.x < 2").fine()
    assert "t.x > 1.5 or t.x < 2" in other


def test_a_property_says_what_is_wrong():
    with pytest.raises(PropertyError, match="has two meanings"):
        Filter("f", Cut="T.a == 1 & T.b > 2")
    events = Events.from_arrays({"T.x": ak.Array([[1.0]]), "K.x": ak.Array([[1.0]])})
    with pytest.raises(ColumnError, match="objects of their own"):
        Filter("f", Cut="T.x > K.x").execute(events, None)
    with pytest.raises(JobOptionsError):
        Define("d").check(Job("j"))
