from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.errors import OutputError
from hepflow.io.conventions import convention_of
from hepflow.io.cpptypes import describe_type
from hepflow.io.names import ALIASES, canonical_names, ntuple_names, split_spelling
from hepflow.io.spelling import (
    check_spelling,
    counters_of,
    noted_names,
    ntuple_spelling,
    xaod_containers,
    xaod_spelling,
)
from hepflow.protocols import ColumnInfo


@pytest.mark.parametrize(
    "spelling",
    ["TauJetsAux.pt", "TauJetsAuxDyn.pt", "TauJetsAuxDyn:pt", "AnalysisTauJetsAuxDyn.pt", "AnalysisTauJetsAuxDyn:pt"],
)
def test_one_name_however_a_file_spells_it(spelling):
    assert canonical_names([spelling]) == {"TauJets.pt": spelling}


@pytest.mark.parametrize("spelling", ["TauJets", "TauJetsAux.", "AnalysisTauJetsAuxDyn:", "index_ref"])
def test_what_is_no_column_has_no_name(spelling):
    assert split_spelling(spelling) is None
    assert canonical_names([spelling]) == {}


def test_containers_whose_name_contains_aux():
    assert canonical_names(["MyAuxiliaryAuxDyn.pt", "AuxJetsAux.m"]) == {
        "MyAuxiliary.pt": "MyAuxiliaryAuxDyn.pt",
        "AuxJets.m": "AuxJetsAux.m",
    }


@pytest.mark.parametrize("turn", [1, -1])
def test_the_exact_container_wins_over_an_alias(turn):
    spellings = ["AnalysisTauJetsAuxDyn.pt", "TauJetsAuxDyn.pt", "AnalysisTauJetsAuxDyn.eta"][::turn]
    assert canonical_names(spellings) == {
        "TauJets.pt": "TauJetsAuxDyn.pt",
        "AnalysisTauJets.pt": "AnalysisTauJetsAuxDyn.pt",
        "AnalysisTauJets.eta": "AnalysisTauJetsAuxDyn.eta",
    }


@pytest.mark.parametrize("turn", [1, -1])
def test_aliases_can_be_extended_and_earlier_rules_win(turn):
    spellings = ["OtherTausAux.pt", "AnalysisTauJetsAuxDyn.pt", "HLT_TausAuxDyn.pt"][::turn]
    rules = {"OtherTaus": "TauJets", **ALIASES, "HLT_*": "Trig*"}
    assert canonical_names(spellings, rules) == {
        "TauJets.pt": "OtherTausAux.pt",
        "AnalysisTauJets.pt": "AnalysisTauJetsAuxDyn.pt",
        "TrigTaus.pt": "HLT_TausAuxDyn.pt",
    }


@pytest.mark.parametrize("turn", [1, -1])
def test_the_static_store_wins(turn):
    assert canonical_names(["TauJetsAuxDyn.pt", "TauJetsAux.pt"][::turn]) == {"TauJets.pt": "TauJetsAux.pt"}


def test_variables_are_called_as_they_are():
    assert list(canonical_names(["EventInfoAuxDyn.detDescrTags.first"])) == ["EventInfo.detDescrTags.first"]


def test_what_would_get_a_name_that_is_taken_keeps_its_spelling():
    spellings = ["TauJetsAuxDyn.pt", "TauJetsAux.pt", "index_ref"]
    assert canonical_names(spellings, tree="CollectionTree") == {
        "TauJets.pt": "TauJetsAux.pt",
        "CollectionTree.TauJetsAuxDyn.pt": "TauJetsAuxDyn.pt",
        "CollectionTree.index_ref": "index_ref",
    }


@pytest.mark.parametrize("separator", [".", ":"])
@given(
    container=st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True),
    variable=st.from_regex(r"\w{1,12}", fullmatch=True),
)
def test_what_is_written_is_found_again(separator, container, variable):
    name = f"{container}.{variable}"
    spelling = xaod_spelling({}, separator)(name)
    assert canonical_names([spelling], {}) == {name: spelling}


def ntuple(*scalars, **lists):
    """Return what an ntuple holds: branches with one value, and those that a counter counts."""
    infos = [ColumnInfo(name, (name,), "float32", 0) for name in (*scalars, *lists)]
    infos += [ColumnInfo(one, (one,), "float32", 1, counter=name) for name, listed in lists.items() for one in listed]
    return {info.name: info for info in infos}


def test_ntuple_names():
    assert ntuple_names(ntuple("TauJets.pt", "TauTrack:dphi", "weight"), "nominal", separators=":.") == {
        "TauJets.pt": "TauJets.pt",
        "TauTrack.dphi": "TauTrack:dphi",
        "nominal.weight": "weight",
    }


@pytest.mark.parametrize(
    ("counter", "branches", "names"),
    [
        ("nMuon", ["Muon_pt", "Muon_a_b"], ["Muon.pt", "Muon.a_b"]),
        ("NJet", ["Jet_Px", "JetId"], ["Jet.Px", "Jet.JetId"]),
        ("njets", ["jet_pt", "jet_eta"], ["jet.pt", "jet.eta"]),
        ("jet_n", ["jet_pt"], ["jet.pt"]),
        ("ntracks", ["pt", "eta"], ["tracks.pt", "tracks.eta"]),
        ("nPSWeight", ["PSWeight"], ["t.PSWeight"]),
        ("n", ["x"], ["t.x"]),
        ("nMET", ["MET_pt", "t.MET_pt"], ["MET.pt", "t.MET_pt"]),
        ("nA", ["A_x", "A.y"], ["t.A_x", "A.y"]),
    ],
)
def test_what_one_leaf_counts_is_a_container(counter, branches, names):
    found = ntuple_names(ntuple(**{counter: branches}), "t")
    assert list(found) == [f"t.{counter}", *names]
    assert list(found.values()) == [counter, *branches]


def test_single_values_of_a_nanoaod():
    found = ntuple("run", "MET_pt", "HLT_IsoMu24", "Muon_x", "fixedGridRho", nMuon=["Muon_pt"])
    assert list(ntuple_names(found, "Events", prefixes=True)) == [
        "Events.run",
        "MET.pt",
        "HLT.IsoMu24",
        "Events.Muon_x",
        "Events.fixedGridRho",
        "Events.nMuon",
        "Muon.pt",
    ]
    assert "Events.MET_pt" in ntuple_names(found, "Events")


def test_two_spellings_never_share_a_name():
    found = ntuple("a.b", "a_b", "x", "t.x", nJet=["pt", "Jet_pt"])
    names = ntuple_names(found, "t")
    assert sorted(names.values()) == sorted(found)
    assert (names["t.x"], names["t.t.x"]) == ("x", "t.x")


def inputs(names):
    return {name: ColumnInfo(name, (spelling,), "float32", 0) for name, spelling in names.items()}


def test_an_ntuple_is_spelled_as_its_input():
    spell = ntuple_spelling(inputs({"Muon.pt": "Muon_pt", "Events.run": "run", "TauJets.pt": "TauJets:pt"}))
    names = ["Muon.pt", "Muon.isGood", "Events.run", "Events.mBB", "TauJets.pt", "TauJets.new", "New.x"]
    spelled = ["Muon_pt", "Muon_isGood", "run", "mBB", "TauJets.pt", "TauJets.new", "New.x"]
    assert [spell(name) for name in names] == spelled
    assert ntuple_spelling(inputs({"Muon.pt": "Muon_pt", "Events.run": "run"}))("GoodMuon.pt") == "GoodMuon_pt"
    assert ntuple_spelling(inputs({"tree.mBB": "mBB"}))("GoodMuon.pt") == "GoodMuon.pt"


def test_an_ntuple_of_an_xaod_has_plain_names():
    known = inputs(canonical_names(["AnalysisTauJetsAuxDyn:pt", "EventInfoAux:.mcChannelNumber"]))
    assert [ntuple_spelling(known)(name) for name in known] == list(known)


def test_an_mxaod_calls_containers_as_its_input():
    names = canonical_names(
        ["AnalysisTauJetsAuxDyn.pt", "JetsAux.pt", "AnalysisJetsAuxDyn.pt", "index_ref"], tree="EventData"
    )
    known = inputs(names)
    assert xaod_containers(known) == {"TauJets": "AnalysisTauJets"}
    written = [*known, "TauJets.new", "Muons.pt"]
    assert [xaod_spelling(known, ":")(name) for name in written] == [
        "AnalysisTauJetsAuxDyn:pt",
        "JetsAuxDyn:pt",
        "AnalysisJetsAuxDyn:pt",
        "index_ref",
        "AnalysisTauJetsAuxDyn:new",
        "MuonsAuxDyn:pt",
    ]


def test_counters_are_columns():
    found = ntuple(nJet=["Jet_pt"], nW=["w", "v"], Particle_=["Particle.PT"], n=["x"])
    names = {"t.nJet": "nJet", "t.nW": "nW", "t.Particle_size": "Particle_", "Jet.pt": "Jet_pt"}
    known = {name: replace(found[spelling], name=name) for name, spelling in names.items()}
    known["t.Particle_size"] = ColumnInfo("t.Particle_size", ("Particle_size",), "int32", 0)
    known["Particle.PT"] = found["Particle.PT"]
    known |= {f"t.{name}": replace(found[name], name=f"t.{name}", single=True) for name in ("n", "x", "w", "v")}
    assert counters_of(known) == {"Jet": "t.nJet", "Particle": "t.Particle_size", "t.x": "t.n"}


@pytest.mark.parametrize(
    ("tree", "spellings", "name", "unit"),
    [
        ("Events", ["run", "luminosityBlock", "event", "nMuon"], "NanoAOD", "GeV"),
        ("Events", ["run", "event", "Jet_pt"], "", ""),
        ("Delphes", ["Jet.PT"], "Delphes", "GeV"),
        ("events", ["EventHeader.eventNumber"], "EDM4hep", "GeV"),
        ("events", ["pt"], "", ""),
        ("nominal", ["jet_pt"], "", ""),
    ],
)
def test_conventions(tree, spellings, name, unit):
    found = convention_of(tree, spellings)
    assert (found.name, found.energy_unit, found.prefixes) == (name, unit, name == "NanoAOD")


def test_only_what_a_spelling_does_not_tell_is_noted():
    plain = {"TauJets.pt": "TauJets:pt", "tree.x": "x"}
    assert noted_names(plain, "tree") == {}
    assert noted_names({**plain, "Muon.pt": "Muon_pt"}, "tree") == {"names": {"Muon_pt": "Muon.pt"}}
    assert noted_names({"AnalysisJets.pt": "AnalysisJetsAuxDyn:pt"}, "EventData")
    assert noted_names({"Jets.pt": "AnalysisJetsAuxDyn:pt"}, "EventData") == {}


def test_spellings_that_cannot_be_written_are_refused():
    with pytest.raises(OutputError, match=r"Jet\.pt and Events\.Jet_pt would both be called Jet_pt"):
        check_spelling(["Jet.pt", "Events.Jet_pt"], lambda name: "Jet_pt", "stream s", fields=False)
    check_spelling(["tree.a b", "tree.c/d"], str, "stream s", fields=False)
    for name in ("tree.a b", "tree.c/d", "tree.e\\f"):
        with pytest.raises(OutputError, match="cannot be written"):
            check_spelling([name], str, "stream s", fields=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float", ("float32", 0)),
        ("std::vector<std::vector<std::uint64_t>>", ("uint64", 2)),
        ("vector<unsigned short>", ("uint16", 1)),
        ("vector<char>", ("int8", 1)),
        ("vector<vector<ElementLink<DataVector<xAOD::TauTrack_v1> > > >", ("link", 2)),
        ("vector<string>", ("string", 1)),
        ("DataVector<xAOD::TauJet_v3>", None),
        ("vector<pair<string,string> >", None),
    ],
)
def test_types(name, expected):
    assert describe_type(name) == expected
