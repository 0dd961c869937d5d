"""PFOCountDecayMode against plain Python."""

from __future__ import annotations

import pytest

from hepflow import Events
from hepflow.plugins.tau import PFOCountDecayMode


def naive(event, tau, cut):
    neutral = sum(
        event["TauNeutralParticleFlowObjects"][i]["pt"] > cut * 1000 for i in tau["neutralPFOLinks"] if i is not None
    )
    if tau["nTracks"] == 1:
        return min(neutral, 2)
    if tau["nTracks"] == 3:
        return 3 + min(neutral, 1)
    return 5 if tau["nTracks"] in (2, 4, 5) else 6


@pytest.mark.parametrize("cut", [0.0, 2.5, 8.0])
def test_against_plain_python(xaod, arrays, cut):
    events = Events.from_arrays(arrays(xaod.events))
    PFOCountDecayMode("p", NeutralPFOPtCut=cut, OutputName="Mode").execute(events, None)
    expected = [[naive(event, tau, cut) for tau in event["TauJets"]] for event in xaod.events]
    assert events["TauJets"]["Mode"].tolist() == expected
    assert len({mode for modes in expected for mode in modes}) >= 4


def test_hidden_taus_are_left_out(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    events.select("TauJets", events["TauJets"].flat("pt") > 40e3, "pt")
    PFOCountDecayMode("p", NeutralPFOPtCut=2.5).execute(events, None)
    expected = [[naive(e, tau, 2.5) for tau in e["TauJets"] if tau["pt"] > 40e3] for e in xaod.events]
    assert events["TauJets"]["PFOCountDecayMode"].tolist() == expected


def test_declarations():
    tool = PFOCountDecayMode("p", OutputName="Mode")
    assert list(tool.writes()) == ["TauJets.Mode"]
    assert "TauJets.neutralPFOLinks" in tool.reads()
    assert tool.record() == {"OutputName": "Mode", "NeutralPFOPtCut": 4.0}
