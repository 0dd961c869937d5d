from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.io.cpptypes import describe_type
from hepflow.io.names import ALIASES, canonical_names, ntuple_names, split_spelling, xaod_spelling


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


def test_names_have_one_dot():
    assert list(canonical_names(["EventInfoAuxDyn.detDescrTags.first"])) == ["EventInfo.detDescrTags_first"]


@pytest.mark.parametrize("separator", [".", ":"])
@given(
    container=st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True),
    variable=st.from_regex(r"\w{1,12}", fullmatch=True),
)
def test_what_is_written_is_found_again(separator, container, variable):
    name = f"{container}.{variable}"
    assert canonical_names([xaod_spelling(name, separator)], {}) == {name: xaod_spelling(name, separator)}


def test_ntuple_names():
    assert ntuple_names(["TauJets.pt", "TauTrack:dphi", "weight"], "nominal") == {
        "TauJets.pt": "TauJets.pt",
        "TauTrack.dphi": "TauTrack:dphi",
        "nominal.weight": "weight",
    }


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
