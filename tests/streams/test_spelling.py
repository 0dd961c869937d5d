"""What comes out is spelled as it came in, and is found again under the same name."""

from __future__ import annotations

from contextlib import closing

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Tool
from hepflow.errors import OutputError
from hepflow.execution.inputs import formats
from hepflow.io.opening import open_reader
from hepflow.plugins.common import Define
from hepflow.registry.manager import registry
from hepflow.streams import MxAODStream, NtupleStream

COUNTS = [2, 0, 1, 3]
PT = np.arange(10, 16, dtype="f4")
ODD = [
    "a b",
    "x/y",
    "jet[0]",
    "a.b",
    "a_b",
    "class",
    "m(GeV)",
    "énergie",
    "x*",
    "1st",
    "b.c.d",
    "x",
    "y",
    "x+y",
    "sqrt",
]


def jagged(values):
    return ak.unflatten(values, COUNTS)


@pytest.fixture
def nanoaod(tmp_path):
    path = tmp_path / "nano.root"
    muon = ak.types.RecordType([ak.types.NumpyType("float32"), ak.types.NumpyType("int32")], ["pt", "charge"])
    singles = {"run": "u4", "luminosityBlock": "u4", "event": "u8", "MET_pt": "f4", "HLT_IsoMu24": "bool"}
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Events",
            {**singles, "Muon": ak.types.ListType(muon), "PSWeight": "var * float32"},
            counter_name=lambda counted: f"n{counted}",
            field_name=lambda outer, inner: f"{outer}_{inner}",
        )
        numbers = {name: np.arange(4).astype(dtype) for name, dtype in singles.items()}
        muons = ak.zip({"pt": jagged(PT), "charge": jagged(np.array([1, -1] * 3, dtype="i4"))})
        weights = ak.values_astype(ak.Array([[1.0, 2.0], [3.0], [], [4.0]]), "f4")
        tree.extend({**numbers, "Muon": muons, "PSWeight": weights})
    return path


def schema(path):
    reader = open_reader(str(path), formats(registry(())))
    try:
        return reader.schema()
    finally:
        reader.close()


def names(path):
    return {name: (info.depth, info.single) for name, info in schema(path).columns.items()}


class GoodMuons(Tool):
    """Adds a column to the muons and one to the event, and hides muons."""

    def reads(self):
        return ["Muon.pt"]

    def writes(self):
        return ["Muon.isGood", "Events.mBB"]

    def execute(self, events, result):
        muons = events["Muon"]
        muons["isGood"] = muons.pt > 11
        events["Events"]["mBB"] = 0.5
        events.select("Muon", muons["isGood"], "good")


def test_names_of_a_nanoaod(nanoaod):
    found = schema(nanoaod)
    assert {"Muon.pt", "Muon.charge", "MET.pt", "HLT.IsoMu24", "Events.run", "Events.PSWeight"} <= found.columns.keys()
    assert not found.columns["Muon.pt"].single
    assert found.columns["Events.PSWeight"].single
    assert found.naming.startswith("those of NanoAOD, energies in GeV; Muon_pt of the file")
    assert "is Muon.pt, and Muon_pt again in an ntuple; Events.Muon_pt is the same as a list" in found.naming
    assert found.energy_unit == "GeV"


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
@pytest.mark.parametrize("tree", ["", "tree"])
def test_a_nanoaod_comes_out_as_it_went_in(nanoaod, go, read, kind, tree):
    stream = NtupleStream("out", Container="", Keep=["*"], Format=kind, TreeName=tree)
    (path,) = go(nanoaod, GoodMuons("good"), stream).outputs["out"]
    with uproot.open(path) as file:
        assert tree or "Events" in file  # the input's
    columns = read(path)
    assert {
        "run",
        "MET_pt",
        "HLT_IsoMu24",
        "Muon_pt",
        "Muon_charge",
        "Muon_isGood",
        "mBB",
        "PSWeight",
    } <= columns.keys()
    assert columns["Muon_pt"].tolist() == [[], [], [12], [13, 14, 15]]
    assert columns["PSWeight"].tolist() == [[1, 2], [3], [], [4]]
    assert columns["nMuon"].tolist() == [0, 0, 1, 3]
    added = {"Muon.isGood": (1, False), "Events.mBB": (0, True)}
    again = names(path)
    assert {name: again[name] for name in (*names(nanoaod), *added)} == {**names(nanoaod), **added}


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
def test_counters_of_an_mxaod_count_what_is_written(nanoaod, go, kind):
    keep = ["Muon.pt", "Events.nMuon"]
    (path,) = go(nanoaod, GoodMuons("good"), MxAODStream("out", Keep=keep, Format=kind)).outputs["out"]
    reader = open_reader(str(path), formats(registry(())))
    with closing(reader):
        (info,) = [info for name, info in reader.schema().columns.items() if name.endswith(".nMuon")]
        assert reader.read([info], 0, 4)[info.name].content.tolist() == [0, 0, 1, 3]


def test_objects_of_a_nanoaod_as_entries(nanoaod, go, read):
    stream = NtupleStream("out", Container="Muon", Keep=["Muon.*", "Events.run"])
    (path,) = go(nanoaod, stream).outputs["out"]
    columns = read(path)
    assert columns["Muon_pt"].tolist() == PT.tolist()
    assert columns["run"].tolist() == [0, 0, 2, 3, 3, 3]
    assert names(path) == dict.fromkeys(("Muon.pt", "Muon.charge", "Events.run"), (0, True))


class SecondName(Tool):
    """Compares a column with its second name."""

    def reads(self):
        return ["Muon.pt", "Events.Muon_pt"]

    def start(self):
        return []

    def execute(self, events, result):
        result.append((events["Muon"].pt.tolist(), events["Events"]["Muon_pt"].tolist()))


def test_the_spelling_of_the_file_is_a_second_name(nanoaod, go, read):
    found = schema(nanoaod)
    assert "Events.Muon_pt" not in found.columns
    assert found.second["Events.Muon_pt"].single
    result = go(nanoaod, SecondName("tool"), NtupleStream("out", Container="", Keep=["*"]))
    ((objects, lists),) = result.results["tool"]
    assert objects == lists == jagged(PT).tolist()
    assert sum("Muon_pt" in name for name in read(*result.outputs["out"])) == 1
    only = go(nanoaod, NtupleStream("out", Container="", Keep=["Events.Muon_pt"])).outputs["out"]
    assert read(*only)["Muon_pt"].tolist() == objects
    with pytest.raises(OutputError, match=r"would both be called Muon_pt"):
        go(nanoaod, NtupleStream("out", Container="", Keep=["*", "Events.Muon_pt"]))


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.root"
    with uproot.recreate(path) as file:
        values = {name: np.arange(3, dtype="f4") + 10 * n for n, name in enumerate(ODD)}
        file.mktree("tree", dict.fromkeys(ODD, "f4")).extend(values)
    return path


def test_names_are_kept_as_they_are(odd, go, read):
    assert len(names(odd)) == len(ODD)
    stream, other = NtupleStream("out", Container="", Keep=["*"]), MxAODStream("xaod", Format="TTree")
    outputs = go(odd, stream, other).outputs
    columns, original = read(*outputs["out"]), read(odd)
    assert {name: columns[name].tolist() for name in columns} == {name: original[name].tolist() for name in original}
    assert names(*outputs["out"]) == names(*outputs["xaod"]) == names(odd)


def test_a_column_with_wildcards_in_its_name_is_kept_by_it(odd, go, read):
    (path,) = go(odd, NtupleStream("out", Container="", Keep=["tree.jet[0]", "tree.x*"])).outputs["out"]
    assert list(read(path)) == ["jet[0]", "x*"]


def test_names_that_an_rntuple_cannot_hold_are_refused_before_the_loop(odd, go):
    with pytest.raises(OutputError, match=r"tree\.a b cannot be written") as caught:
        go(odd, NtupleStream("out", Container="", Keep=["tree.a b"], Format="RNTuple"))
    assert 'Format = "TTree"' in caught.value.hint
    stream = NtupleStream("out", Container="", Keep=["a.*", "b.*", "tree.*"], Format="RNTuple", Drop=["tree.a b"])
    with pytest.raises(OutputError, match=r"tree\.x/y cannot be written"):
        go(odd, stream)


def test_dots_in_an_rntuple_are_colons_and_names_stay(odd, go, read):
    stream = NtupleStream("out", Container="", Keep=["a.*", "b.*", "tree.a_b", "tree.m(GeV)"], Format="RNTuple")
    (path,) = go(odd, stream).outputs["out"]
    assert list(read(path)) == ["a:b", "b:c:d", "a_b", "m(GeV)"]
    assert names(path).keys() == {"a.b", "b.c.d", "tree.a_b", "tree.m(GeV)"}


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
def test_a_container_keeps_its_name_in_an_mxaod(make_xaod, go, read, tmp_path, kind):
    path = make_xaod(tmp_path / "physlite.root", 10, spell="Analysis{}AuxDyn")
    drop = ["*Links"] if kind == "TTree" else []
    outputs = go(path, MxAODStream("out", Format=kind, Keep=["TauJets.pt", "TauJets.eta"], Drop=drop)).outputs
    separator = ":" if kind == "RNTuple" else "."
    assert {f"AnalysisTauJetsAuxDyn{separator}{name}" for name in ("pt", "eta")} <= read(*outputs["out"]).keys()
    assert "TauJets.pt" in names(*outputs["out"])


def test_analysis_containers_beside_others_keep_their_names_also_alone(tmp_path, go, read):
    path = tmp_path / "both.root"
    spellings = ["JetsAux.pt", "AnalysisJetsAuxDyn.pt", "TauJetsAux.pt", "TauJetsAuxDyn.pt", "weight"]
    with uproot.recreate(path) as file:
        values = {name: np.arange(3, dtype="f4") + n for n, name in enumerate(spellings)}
        file.mktree("CollectionTree", dict.fromkeys(spellings, "f4")).extend(values)
    assert set(names(path)) == {
        "Jets.pt",
        "AnalysisJets.pt",
        "TauJets.pt",
        "CollectionTree.TauJetsAuxDyn.pt",
        "CollectionTree.weight",
    }
    (out,) = go(path, MxAODStream("out", Keep=["AnalysisJets.pt", "CollectionTree.weight"])).outputs["out"]
    columns = read(out)
    assert columns["AnalysisJetsAuxDyn:pt"].tolist() == [1, 2, 3]
    assert columns["weight"].tolist() == [4, 5, 6]
    assert set(names(out)) == {"AnalysisJets.pt", "CollectionTree.weight"}
    with pytest.raises(OutputError, match="would both be called TauJetsAuxDyn:pt"):
        go(path, MxAODStream("out", Keep=["*"]))


def test_parts_that_are_merged_keep_names(nanoaod, go):
    result = go(nanoaod, GoodMuons("good"), NtupleStream("out", Container="", Keep=["*"], Merge=True, Format="RNTuple"))
    assert {"Muon.pt", "Muon.isGood", "MET.pt", "Events.mBB"} <= names(*result.outputs["out"]).keys()


@pytest.mark.parametrize(
    "stream",
    [MxAODStream("out"), NtupleStream("out", Container=""), NtupleStream("out", Container="", Format="RNTuple")],
)
def test_lists_of_the_event_stay_lists_of_the_event(nanoaod, go, stream):
    stream.Keep = ["Events.PSWeight", "Muon.*"]
    (path,) = go(nanoaod, stream).outputs["out"]
    found = names(path)
    assert found["Events.PSWeight"] == (1, True)
    assert found["Muon.pt"] == (1, False)


def test_a_question_mark_in_a_name_makes_nothing_optional(tmp_path, go, read):
    with uproot.recreate(tmp_path / "q.root") as file:
        file.mktree("tree", {"q?": "f4"}).extend({"q?": [1, 2]})
    define = Define("define", Columns={"tree.double": "2 * `tree.q?`"})
    (path,) = go(tmp_path / "q.root", define, NtupleStream("out", Container="", Keep=["*"])).outputs["out"]
    assert read(path)["double"].tolist() == [2, 4]
