"""Links between files and the event store: keys as ATLAS's software writes them, targets found by hashing."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

import hepflow
from hepflow.events.column import Column
from hepflow.events.layout import pack_links, unpack_links
from hepflow.events.links import container_id
from hepflow.io.links import CLIDS, LinkReader, LinkWriter, class_identifier, link_key, probable_class

JET = "DataVector<xAOD::Jet_v1>"
CHECKED = {
    "TauTracks": 215277022,
    "TruthTaus": 375408000,
    "TruthElectrons": 394100163,
    "TruthMuons": 342174277,
    "TruthPhotons": 13267281,
    "TruthBoson": 614719239,
    "TruthNeutrinos": 368360608,
    "PrimaryVertices": 936461719,
    "InDetTrackParticles": 490246363,
    "GSFTrackParticles": 776133387,
    "AnalysisTauJets": 518718875,
    "AnalysisElectrons": 956497600,
    "AnalysisMuons": 980095599,
    "AnalysisJets": 452794649,
    "AntiKt4TruthDressedWZJets": 106264553,
    "BTagging_AntiKt4EMPFlow": 582299515,
    "MuonSegments": 39677012,
    "TruthVertices": 487304629,
    "CaloCalTopoClusters": 968116916,
}


def file_links(*links, counts=None):
    parts = {"m_persKey": [key for key, _ in links], "m_persIndex": [index for _, index in links]}
    records = ak.zip({name: np.asarray(part, dtype=np.uint32) for name, part in parts.items()})
    return Column(None, records if counts is None else ak.unflatten(records, counts))


def targets(reader, *keys):
    return unpack_links(reader(file_links(*[(key, 0) for key in keys])).content)[1].tolist()


@pytest.mark.parametrize(("container", "key"), CHECKED.items())
def test_keys_of_atlas_files(container, key):
    assert link_key(container, probable_class(container)) == key


def test_key_is_made_of_name_and_class():
    assert link_key("UFOCSSK", CLIDS["FlowElement"]) == 1036585512
    assert link_key("TauTracks", CLIDS["TruthParticle"]) != CHECKED["TauTracks"]
    assert 0 <= link_key("x" * 300, CLIDS["TauTrack"]) < 2**30


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("DataVector<xAOD::TauJet_v3>", "TauJet"),
        ("DataVector<xAOD::TauJet_v3, DataVector<xAOD::IParticle> >", "TauJet"),
        ("xAOD::TauJetContainer", "TauJet"),
        ("xAOD::MissingETContainer_v1", "MissingET"),
        ("xAOD::MissingETAssociationMap_v1", "MissingETAssociation"),
        ("DataVector<xAOD::Unheard_v1>", None),
        ("std::vector<float>", None),
    ],
)
def test_class_identifiers(name, of):
    assert class_identifier(name) == (CLIDS[of] if of else None)


@pytest.mark.parametrize("clid", [0, *CLIDS.values()])
def test_a_container_of_unknown_class_is_found_whatever_it_is(clid):
    reader = LinkReader({"AnalysisThings": "Things", "Others": "Others"}, {})
    assert targets(reader, link_key("AnalysisThings", clid), 0) == [container_id("Things"), 0]


def test_a_derivation_is_known_by_its_own_name_only():
    """Electrons of the AOD are not those that the derivation calibrated."""
    reader = LinkReader({"AnalysisElectrons": "Electrons"}, {"AnalysisElectrons": "DataVector<xAOD::Electron_v1>"})
    original = link_key("Electrons", CLIDS["Electron"])
    assert targets(reader, original, CHECKED["AnalysisElectrons"]) == [-original, container_id("Electrons")]


def test_the_class_in_the_file_decides(caplog):
    """What another class would make of a name is no key of this container."""
    reader = LinkReader({"A": "A"}, {"A": JET, "B": JET})
    other = link_key("A", CLIDS["Muon"])
    assert targets(reader, link_key("A", CLIDS["Jet"]), link_key("B", CLIDS["Jet"]), other) == [
        container_id("A"),
        container_id("B"),
        -other,
    ]
    assert targets(reader, link_key("A", CLIDS["IParticle"])) == [container_id("A")]


def test_a_key_of_two_containers_leads_nowhere_and_is_told(monkeypatch, caplog):
    monkeypatch.setattr("hepflow.io.links.link_key", lambda name, clid: 4711 if clid else 1)
    monkeypatch.setattr("hepflow.io.links.probable_class", lambda name: CLIDS["Jet"])
    with caplog.at_level(logging.WARNING):
        assert targets(LinkReader({"A": "A", "B": "B"}, {"A": JET, "B": JET}), 4711) == [-4711]
    assert "key 4711 may point into A or B" in caplog.text
    kept = LinkWriter({"A": "A", "B": "B"})(Column(None, pack_links([], [-4711], [3])))
    assert kept.content.to_list() == [{"m_persKey": 4711, "m_persIndex": 3}]


@pytest.mark.parametrize("counts", [None, [2, 0, 2]])
def test_links_come_back_as_they_were(counts):
    """Also those with an unknown key, behind the last object, and the null link with an index of its own."""
    key = CHECKED["AntiKt4TruthDressedWZJets"]
    raw = file_links((key, 3), (99, 7), (0, 2**32 - 1), (key, 2**32 - 1), counts=counts)
    containers = {"AntiKt4TruthDressedWZJets": "AntiKt4TruthDressedWZJets"}
    column = LinkReader(containers, {})(raw)
    assert LinkWriter(containers)(column).content.to_list() == raw.content.to_list()


def test_the_name_in_the_output_makes_the_key():
    odd = link_key("AnalysisThings", CLIDS["SlowMuon"])
    column = LinkReader({"AnalysisThings": "Things"}, {})(file_links((odd, 1)))

    def keys(spelled, read=column):
        return LinkWriter(spelled)(read).content.m_persKey.to_list()

    assert keys({"Things": "AnalysisThings"}) == keys({}) == [odd]
    assert keys({"Things": "Things"}) == [link_key("Things", CLIDS["SlowMuon"])]
    made = Column(None, pack_links([], [container_id("Things"), container_id("TauTracks")], [0, 0]))
    assert keys({"Things": "Things", "TauTracks": "TauTracks"}, made) == [link_key("Things", 0), CHECKED["TauTracks"]]


def test_a_key_that_would_mean_another_container_in_the_output_is_told(caplog):
    """Here the originals of the AOD, and a container of their name that a tool made."""
    raw = file_links((link_key("Electrons", CLIDS["Electron"]), 3), (5, 1))
    column = LinkReader({"AnalysisElectrons": "Electrons"}, {})(raw)
    with caplog.at_level(logging.WARNING):
        written = LinkWriter({"Electrons": "AnalysisElectrons", "Made": "Electrons"})(column)
    assert written.content.m_persKey.to_list() == [0, 5]
    assert "would point into Electrons of the output" in caplog.text


def test_only_io_knows_how_atlas_spells_links():
    package = Path(hepflow.__file__).parent
    files = [path for path in package.rglob("*.py") if "io" not in path.relative_to(package).parts]
    files += [path for name in ("plugins", "streams") for path in (package.parent / name).rglob("*.py")]
    assert len(files) > 100
    assert not [path for path in files if re.search(r"m_pers|link_key|CLID", path.read_text(encoding="utf-8"))]
