"""The MxAOD stream: slimming, thinning, links that stay valid."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow import Tool
from hepflow.errors import OutputError
from hepflow.plugins.tau import PFOCountDecayMode, TauSelection, TauTruthMatching
from hepflow.streams import MxAODStream

TRACKS_KEY = 215277022  # as ATLAS's software hashes TauTracks


class SoftTracks(Tool):
    """Hides tracks below 10 GeV."""

    def reads(self):
        return ["TauTracks.pt"]

    def execute(self, events, result):
        events.select("TauTracks", events["TauTracks"].flat("pt") > 10e3, "pt")


class EvenEvents(Tool):
    """Hides events with odd numbers."""

    def reads(self):
        return ["EventInfo.mcEventNumber"]

    def execute(self, events, result):
        events.select_events(events["EventInfo"]["mcEventNumber"] % 2 == 0, "even")


def followed(columns):
    """Follow the links of the file by hand: per tau the pts of its tracks, None for null links."""
    pts = columns["TauTracksAuxDyn:pt"].tolist()
    links = columns["TauJetsAuxDyn:tauTrackLinks"].tolist()
    return [
        [pts[event][link["m_persIndex"]] if link["m_persKey"] == TRACKS_KEY else None for link in tau]
        for event, taus in enumerate(links)
        for tau in taus
    ]


def expected(xaod, keep_tau=lambda tau: True, keep_track=lambda track: True):
    found = []
    for event in xaod.events:
        for tau in filter(keep_tau, event["TauJets"]):
            linked = [None if i is None else event["TauTracks"][i] for i in tau["tauTrackLinks"]]
            found.append([np.float32(t["pt"]) if t is not None and keep_track(t) else None for t in linked])
    return found


def test_everything_is_kept_by_default(xaod, go, read, assert_same):
    result = go(xaod.path, MxAODStream("output"), chunk=11)
    columns, original = read(*result.outputs["output"]), read(xaod.path)
    assert columns.keys() == original.keys()
    for name in original:
        if "Links" not in name:
            assert ak.array_equal(columns[name], original[name]), name
    assert followed(columns) == followed(original) == expected(xaod)


def test_thinning_remaps_links(xaod, go, read):
    result = go(xaod.path, TauSelection("sel", PtMin=30e3, AbsEtaMax=9), SoftTracks("soft"), MxAODStream("output"))
    columns = read(*result.outputs["output"])
    assert ak.all(columns["TauTracksAuxDyn:pt"] > 10e3)
    wanted = expected(xaod, lambda tau: tau["pt"] >= 30e3, lambda track: track["pt"] > 10e3)
    assert followed(columns) == wanted
    assert any(None in links for links in wanted)
    links = columns["TauJetsAuxDyn:tauTrackLinks"]
    assert ak.all(links.m_persIndex[links.m_persKey == 0] == 0)


def test_links_into_a_container_that_is_not_written_stay_and_are_told(xaod, go, read):
    result = go(xaod.path, MxAODStream("output", Drop=["TauTracks.*"]))
    columns, original = read(*result.outputs["output"]), read(xaod.path)
    assert not any(name.startswith("TauTracks") for name in columns)
    links = original["TauJetsAuxDyn:tauTrackLinks"]
    assert columns["TauJetsAuxDyn:tauTrackLinks"].tolist() == links.tolist()
    valid = int(ak.sum(links.m_persKey != 0))
    assert list(result.notes.values()) == [valid]
    assert "into TauTracks, which is not written" in next(iter(result.notes))[0]


def test_hidden_events_are_gone(xaod, go, read):
    columns = read(*go(xaod.path, EvenEvents("even"), MxAODStream("output"), chunk=7).outputs["output"])
    assert columns["EventInfoAuxDyn:mcEventNumber"].tolist() == list(range(2, 61, 2))
    even = type(xaod)(xaod.path, xaod.events[1::2])
    assert followed(columns) == expected(even)


def test_event_number_survives_slimming(xaod, go, read):
    columns = read(*go(xaod.path, MxAODStream("output", Keep=["TauJets.pt"], Drop=["EventInfo.*"])).outputs["output"])
    assert set(columns) == {"TauJetsAuxDyn:pt", "EventInfoAuxDyn:mcEventNumber"}
    assert columns["EventInfoAuxDyn:mcEventNumber"].tolist() == list(range(1, 61))


def test_input_without_event_number(make_xaod, tmp_path, go, read):
    file = make_xaod(tmp_path / "a.root", 5, drop=["EventInfo"])
    assert set(read(*go(file.path, MxAODStream("output", Keep=["TauJets.pt"])).outputs["output"])) == {
        "TauJetsAuxDyn:pt"
    }


def test_decorations_and_new_links(xaod, go, read):
    result = go(xaod.path, TauTruthMatching("truth"), PFOCountDecayMode("pfo"), MxAODStream("output"))
    columns = read(*result.outputs["output"])
    links, truth = columns["TauJetsAuxDyn:truthParticleLink"].tolist(), columns["TruthTausAuxDyn:eta_vis"].tolist()
    etas = columns["TauJetsAuxDyn:truthEtaVis"].tolist()
    assert any(links)
    for event, taus in enumerate(links):
        for link, eta in zip(taus, etas[event], strict=True):
            assert link["m_persKey"] == 375408000
            assert truth[event][link["m_persIndex"]] == pytest.approx(eta, abs=1e-6)
    assert str(columns["TauJetsAuxDyn:PFOCountDecayMode"].type).endswith("int32")


def test_ttree_refuses_links_by_name(xaod, go, tmp_path):
    with pytest.raises(OutputError, match="cannot hold links") as caught:
        go(xaod.path, MxAODStream("output", Format="TTree"))
    for name in ("TauJets.tauTrackLinks", "TauJets.neutralPFOLinks", "TruthTaus.DecayModeVector"):
        assert name in caught.value.message
    assert 'output.Format = "RNTuple"' in caught.value.hint
    assert not list(tmp_path.glob("out*"))


def test_ttree_of_flat_containers(xaod, go, read):
    stream = MxAODStream("output", Format="TTree", Drop=["TauJets.*Links", "TruthTaus.DecayModeVector"])
    columns = read(*go(xaod.path, TauSelection("sel", PtMin=30e3, AbsEtaMax=9), stream).outputs["output"])
    wanted = [[np.float32(tau["pt"]) for tau in event["TauJets"] if tau["pt"] >= 30e3] for event in xaod.events]
    assert columns["TauJetsAuxDyn.pt"].tolist() == wanted
    assert columns["EventInfoAuxDyn.mcEventNumber"].tolist() == list(range(1, 61))


@pytest.mark.parametrize("kind", ["RNTuple", "TTree"])
def test_output_is_an_input_again(xaod, go, read, assert_same, kind):
    drop = ["TauJets.*Links", "TruthTaus.DecayModeVector"] if kind == "TTree" else []
    first = go(xaod.path, SoftTracks("soft"), MxAODStream("output", Format=kind, Drop=drop)).outputs["output"]
    second = go(first[0], MxAODStream("output", Format=kind)).outputs["output"]
    assert_same(read(*first), read(*second))
