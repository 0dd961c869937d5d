"""The ntuple stream: what stands in the file, read by uproot alone."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.errors import ColumnError, OutputError
from hepflow.plugins.common import LinkedObjects
from hepflow.plugins.tau import TauSelection, TauTruthMatching
from hepflow.streams import NtupleStream


def tracks(xaod):
    """Per tau the pts of its tracks, in the order of the links, null links left out."""
    return [
        [np.float32(event["TauTracks"][i]["pt"]) for i in tau["tauTrackLinks"] if i is not None]
        for event in xaod.events
        for tau in event["TauJets"]
    ]


def full(name="tree", **properties):
    stream = NtupleStream(name, Keep=["TauJets.pt", "TauJets.nTracks", "EventInfo.mcEventNumber"], **properties)
    stream += LinkedObjects("tracks", Columns=["pt", "flagSet"])
    return stream


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
@pytest.mark.parametrize("chunk", [7, 100_000])
def test_one_entry_a_tau(xaod, go, read, kind, chunk):
    columns = read(*go(xaod.path, full(Format=kind), chunk=chunk).outputs["tree"])
    columns = {name.replace(":", "."): values for name, values in columns.items()}
    taus = xaod.taus()
    assert columns["TauJets.pt"].tolist() == [np.float32(tau["pt"]) for tau in taus]
    assert str(columns["TauJets.nTracks"].type) == f"{len(taus)} * int32"
    assert columns["TauTrack.pt"].tolist() == tracks(xaod)
    assert str(columns["TauTrack.flagSet"].type.content.content) == "uint16"
    numbers = [event["EventInfo"]["mcEventNumber"] for event in xaod.events for _ in event["TauJets"]]
    assert columns["EventInfo.mcEventNumber"].tolist() == numbers


def test_lists_of_one_group_share_a_counter(xaod, go, read):
    (path,) = go(xaod.path, full()).outputs["tree"]
    with uproot.open(path) as file:
        tree = file["tree"]
        leaves = [tree[f"TauTrack.{name}"].member("fLeaves")[0] for name in ("pt", "flagSet")]
        assert {leaf.member("fLeafCount").member("fName") for leaf in leaves} == {"nTauTrack"}
        assert tree["nTauTrack"].array().tolist() == [len(pts) for pts in tracks(xaod)]


def test_tree_name_and_compression(xaod, go):
    (path,) = go(xaod.path, full(TreeName="taus", Compression="ZLIB")).outputs["tree"]
    with uproot.open(path) as file:
        assert file["taus"].num_entries == len(xaod.taus())
        assert file.file.compression.name == "ZLIB"


def test_one_entry_an_event(xaod, go, read):
    stream = NtupleStream("tree", Container="", Keep=["TauJets.pt", "EventInfo.*"])
    columns = read(*go(xaod.path, stream).outputs["tree"])
    assert columns["TauJets.pt"].tolist() == [[np.float32(t["pt"]) for t in e["TauJets"]] for e in xaod.events]
    assert columns["EventInfo.beamSpotWeight"].tolist() == [
        np.float32(e["EventInfo"]["beamSpotWeight"]) for e in xaod.events
    ]


def test_entries_of_another_container(xaod, go, read):
    stream = NtupleStream("tracks", Container="TauTracks", Keep=["TauTracks.pt", "EventInfo.mcEventNumber"])
    columns = read(*go(xaod.path, stream).outputs["tracks"])
    assert columns["TauTracks.pt"].tolist() == [np.float32(t["pt"]) for e in xaod.events for t in e["TauTracks"]]


def test_hidden_taus_and_their_tracks_are_not_written(xaod, go, read):
    columns = read(*go(xaod.path, TauSelection("sel", PtMin=40e3, AbsEtaMax=9.0), full()).outputs["tree"])
    kept = [tau["pt"] >= 40e3 for tau in xaod.taus()]
    assert columns["TauTrack.pt"].tolist() == [pts for pts, keep in zip(tracks(xaod), kept, strict=True) if keep]
    assert ak.num(columns["TauTrack.flagSet"]).tolist() == ak.num(columns["TauTrack.pt"]).tolist()


def test_links_are_refused_before_the_loop(xaod, go, tmp_path):
    with pytest.raises(OutputError, match=r"TauJets\.tauTrackLinks, TauJets\.neutralPFOLinks") as caught:
        go(xaod.path, NtupleStream("tree", Keep=["TauJets.*"]))
    assert caught.value.where == "stream tree"
    assert "LinkedObjects" in caught.value.hint
    made = NtupleStream("tree", Keep=["TauJets.truth*"])
    with pytest.raises(OutputError, match=r"an ntuple cannot hold element links: TauJets\.truthParticleLink"):
        go(xaod.path, TauTruthMatching("TauTruthMatching"), made)
    assert not list(tmp_path.glob("out*"))


def test_columns_of_another_container_are_refused_before_the_loop(xaod, go, tmp_path):
    with pytest.raises(ColumnError, match=r"TauTracks\.pt cannot be written with one entry for each object of TauJets"):
        go(xaod.path, NtupleStream("tree", Keep=["TauJets.pt", "TauTracks.pt"]))
    with pytest.raises(OutputError, match=r"no container 'TauJet'.*\n.*\n.*one entry an event"):
        go(xaod.path, NtupleStream("tree", Keep=["TauJets.pt"], Container="TauJet"))
    assert not list(tmp_path.glob("out*"))


def test_ntuple_is_an_input_again(xaod, go, read):
    first = go(xaod.path, full()).outputs["tree"]
    again = NtupleStream("again", Container="", Keep=["TauJets.*", "TauTrack.*", "EventInfo.*"])
    columns = read(*go(first[0], again).outputs["again"])
    assert columns["TauTrack.pt"].tolist() == tracks(xaod)
    assert columns["TauJets.pt"].tolist() == [np.float32(tau["pt"]) for tau in xaod.taus()]


def test_metadata_says_how_it_was_made(xaod, go):
    import json

    (path,) = go(xaod.path, full()).outputs["tree"]
    with uproot.open(path) as file:
        record = json.loads(str(file["hepflow"]))
    assert (record["job"], record["stream"]) == ("test", "tree")
    assert "version" in record
