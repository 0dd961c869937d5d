"""LinkedObjects against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow import Events
from hepflow.errors import ColumnError
from hepflow.plugins.common import LinkedObjects


def pts(event, tau, column="pt"):
    return [np.float32(event["TauTracks"][i][column]) for i in tau["tauTrackLinks"] if i is not None]


def test_one_list_a_tau_in_the_order_of_the_links(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    LinkedObjects("l", Columns=["pt", "flagSet"]).execute(events, None)
    expected = [[pts(event, tau) for tau in event["TauJets"]] for event in xaod.events]
    assert events["TauTrack"]["pt"].tolist() == expected
    assert events["TauTrack"].flat("flagSet").dtype == np.uint16


def test_hidden_objects_are_left_out(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    events.select("TauJets", events["TauJets"].flat("pt") > 40e3, "pt")
    events.select("TauTracks", events["TauTracks"].flat("pt") > 10e3, "pt")
    LinkedObjects("l").execute(events, None)
    expected = [
        [[pt for pt in pts(event, tau) if pt > 10e3] for tau in event["TauJets"] if tau["pt"] > 40e3]
        for event in xaod.events
    ]
    assert events["TauTrack"]["pt"].tolist() == expected


def test_other_links(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    tool = LinkedObjects(
        *("l",),
        Link="TauJets.shotPFOLinks",
        To="TauShotParticleFlowObjects",
        Columns=["tauShots_nPhotons"],
        OutputName="Shots",
    )
    assert list(tool.reads()) == ["TauJets.shotPFOLinks", "TauShotParticleFlowObjects.tauShots_nPhotons"]
    assert list(tool.writes()) == ["Shots.*"]
    tool.execute(events, None)
    expected = [
        [
            [event["TauShotParticleFlowObjects"][i]["tauShots_nPhotons"] for i in tau["shotPFOLinks"]]
            for tau in event["TauJets"]
        ]
        for event in xaod.events
    ]
    assert events["Shots"]["tauShots_nPhotons"].tolist() == expected


def test_column_that_holds_no_links(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    with pytest.raises(ColumnError, match="holds no element links"):
        LinkedObjects("l", Link="TauJets.pt").execute(events, None)
