"""Readers on files that ATLAS software made; the numbers were counted independently of these readers."""

from __future__ import annotations

from collections import Counter

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.events.layout import has_links
from hepflow.events.links import container_id
from hepflow.io.links import LinkWriter
from hepflow.io.ttree import TTreeReader
from hepflow.protocols import NO_VALUES


def read(reader, *names):
    schema = reader.schema()
    return reader.read([schema.columns[name] for name in names], 0, schema.entries)


def test_taus_of_the_ttree(physlite_ttree):
    columns = read(
        physlite_ttree, "TauJets.pt", "TauJets.ptFinalCalib", "TauJets.NNDecayMode", "TauJets.PanTau_DecayMode"
    )
    assert len(columns["TauJets.pt"]) == 100
    assert columns["TauJets.pt"].offsets[-1] == len(columns["TauJets.pt"].content) == 143
    assert np.bincount(columns["TauJets.NNDecayMode"].content).tolist() == [36, 84, 5, 6, 12]
    assert np.bincount(columns["TauJets.PanTau_DecayMode"].content).tolist() == [24, 93, 8, 8, 10]
    assert np.array_equal(columns["TauJets.pt"].content, columns["TauJets.ptFinalCalib"].content)


def test_identification_bits_are_unsigned(physlite_ttree):
    flags = read(physlite_ttree, "TauJets.isTauFlags")["TauJets.isTauFlags"].content
    assert flags.dtype == np.uint32
    assert [int((flags >> bit & 1).sum()) for bit in (28, 29, 30, 31)] == [108, 86, 65, 39]


def test_track_links_of_the_ttree(physlite_ttree):
    columns = read(physlite_ttree, "TauJets.tauTrackLinks", "TauTracks.flagSet")
    links = columns["TauJets.tauTrackLinks"].content
    valid = links.container != 0
    assert ak.all(links.container[valid] == container_id("TauTracks"))
    assert (ak.sum(valid), ak.sum(~valid)) == (179, 1608)
    assert Counter(ak.sum(valid, axis=1).to_list()) == {1: 125, 3: 18}
    flags = columns["TauTracks.flagSet"].content
    assert flags.dtype == np.uint16
    assert len(flags) == 889
    assert np.all(flags >> 5 & 1)


def test_truth_links_that_the_tree_splits(physlite_ttree):
    info = physlite_ttree.schema().columns["TauJets.truthParticleLink"]
    assert (info.dtype, info.depth, len(info.sources)) == ("link", 1, 2)
    links = read(physlite_ttree, info.name)[info.name].content
    assert links.fields == ["container", "index"]
    assert Counter(links.container.to_list()) == {0: 34, container_id("TruthElectrons"): 109}


def test_links_of_the_rntuple(physlite_rntuple):
    columns = read(
        physlite_rntuple, "TauJets.tauTrackLinks", "TauTracks.flagSet", "TauJets.vertexLink", "TauJets.truthJetLink"
    )
    links = columns["TauJets.tauTrackLinks"].content
    assert len(links) == 139
    assert set(ak.flatten(links.container).to_list()) == {0, container_id("TauTracks")}
    assert Counter(ak.sum(links.container != 0, axis=1).to_list()) == {1: 68, 3: 71}
    assert np.all(columns["TauTracks.flagSet"].content >> 5 & 1)
    assert set(columns["TauJets.vertexLink"].content.container.to_list()) == {container_id("PrimaryVertices")}
    jets = set(columns["TauJets.truthJetLink"].content.container.to_list())
    assert jets <= {0, container_id("AntiKt4TruthDressedWZJets")}


def test_the_link_of_an_event(physlite_rntuple):
    column = read(physlite_rntuple, "EventInfo.hardScatterVertexLink")["EventInfo.hardScatterVertexLink"]
    assert column.offsets is None
    assert set(column.content.container.to_list()) == {container_id("PrimaryVertices")}


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_lists_of_an_event_stay_lists(kind, request):
    reader = request.getfixturevalue(f"physlite_{kind}")
    columns = read(reader, "EventInfo.mcEventWeights", "EventInfo.mcEventNumber")
    assert columns["EventInfo.mcEventWeights"].offsets is None
    assert columns["EventInfo.mcEventWeights"].content.type.content.content.primitive == "float32"
    assert columns["EventInfo.mcEventNumber"].content.dtype == np.uint64
    assert len(columns["EventInfo.mcEventNumber"]) == len(columns["EventInfo.mcEventWeights"]) == 100


@pytest.mark.parametrize(("kind", "least"), [("ttree", 910), ("rntuple", 810)])
def test_every_column_reads_as_the_schema_says(kind, least, request):
    reader = request.getfixturevalue(f"physlite_{kind}")
    schema = reader.schema()
    assert len(schema.columns) >= least
    columns = list(schema.columns.values())
    for first in range(0, len(columns), 100):
        some = columns[first : first + 100]
        for info, column in zip(some, reader.read(some, 10, 90).values(), strict=True):
            assert len(column) == 80
            assert found_type(column) == (info.dtype, info.depth), info.name


def found_type(column):
    depth = 0 if column.offsets is None else 1
    if isinstance(column.content, np.ndarray):
        return column.content.dtype.name, depth
    layout = column.content.layout
    while layout.is_list and not layout.parameter("__array__"):
        layout, depth = layout.content, depth + 1
    return ("link" if layout.is_record else "string" if layout.is_list else layout.data.dtype.name), depth


def test_same_values_as_uproot(physlite_rntuple):
    """The values that were cut out by hand are those of uproot's own reading."""
    ntuple = uproot.open(physlite_rntuple.path)["EventData"]
    names = [
        "TauJets.pt",
        "TauJets.tauTrackLinks",
        "EventInfo.mcEventWeights",
        "EventInfo.beamPosX",
        "EventInfo.detDescrTags._0",
    ]
    schema = physlite_rntuple.schema()
    columns = physlite_rntuple.read([schema.columns[name] for name in names], 13, 77)
    for name in names:
        spelling, _, member = schema.columns[name].sources[0].partition(".")
        expected = ntuple[spelling].array(entry_start=13, entry_stop=77)
        expected = expected[member.removeprefix("_")] if member else expected
        column = columns[name]
        spelled = LinkWriter({"TauTracks": "TauTracks"})(column) if has_links(column.content) else column
        found = ak.Array(spelled.content)
        if column.offsets is not None:
            found = ak.unflatten(found, np.diff(column.offsets))
        assert found.to_list() == expected.to_list()


def test_columns_that_cannot_be_read_are_named(physlite_ttree, physlite_rntuple):
    reasons = physlite_ttree.schema().unreadable
    assert reasons["AnalysisTauJets"] == NO_VALUES
    unreadable = {name: reason for name, reason in reasons.items() if reason != NO_VALUES}
    assert set(unreadable) == {"EventInfo.hardScatterVertexLink", "METAssoc_AnalysisMET.jetLink"}
    assert "ElementLink" in unreadable["EventInfo.hardScatterVertexLink"]
    assert physlite_rntuple.schema().unreadable == {}


def test_schema_is_complete(physlite_ttree):
    reader = TTreeReader(physlite_ttree.path)
    schema = reader.schema()
    reader.close()
    assert (schema.format, schema.tree, schema.entries, schema.boundaries) == (
        "xaod-ttree",
        "CollectionTree",
        100,
        (0, 100),
    )
    assert schema.identity == str(uproot.open(schema.path).file.uuid)
    assert schema.size == 1641551
    info = schema.columns["TauJets.pt"]
    assert info.sources == ("AnalysisTauJetsAuxDyn.pt",)
    assert info.nbytes > 143 * 4
    assert 0 < info.compressed < info.nbytes


def test_only_the_asked_branches_are_read(physlite_ttree, monkeypatch):
    asked = []
    arrays = type(physlite_ttree._tree).arrays

    def spy(tree, names, **options):
        asked.append(list(names))
        return arrays(tree, names, **options)

    monkeypatch.setattr(type(physlite_ttree._tree), "arrays", spy)
    read(physlite_ttree, "TauJets.pt", "TauJets.vertexLink", "EventInfo.mcEventNumber")
    assert asked == [
        [
            "AnalysisTauJetsAuxDyn.pt",
            "AnalysisTauJetsAuxDyn.vertexLink.m_persKey",
            "AnalysisTauJetsAuxDyn.vertexLink.m_persIndex",
            "EventInfoAuxDyn.mcEventNumber",
        ]
    ]
