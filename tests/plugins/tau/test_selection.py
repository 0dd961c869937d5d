"""TauSelection against plain Python."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow import Events
from hepflow.plugins.tau import TauSelection


def selected(columns, **properties):
    """Positions of the taus that pass, and the cutflow."""
    events = Events.from_arrays({**columns, "TauJets.position": ak.local_index(columns["TauJets.pt"])})
    tool = TauSelection("sel", **properties)
    tool.execute(events, None)
    return events["TauJets"]["position"].tolist(), events._scope.cutflow


CUTS = {
    "pt": ({"PtMin": 30e3, "AbsEtaMax": 99.0}, lambda t: t["pt"] >= 30e3),
    "window": ({"PtMin": 20e3, "PtMax": 50e3, "AbsEtaMax": 99.0}, lambda t: 20e3 <= t["pt"] < 50e3),
    "eta": ({"AbsEtaMax": 1.0}, lambda t: abs(t["eta"]) < 1.0),
    "default": ({}, lambda t: abs(t["eta"]) < 2.5),
    "crack": (
        {"AbsEtaMax": 2.5, "CrackVeto": True},
        lambda t: abs(t["eta"]) < 2.5 and not 1.37 <= abs(t["eta"]) <= 1.52,
    ),
    "prongs": ({"AbsEtaMax": 99.0, "Prongs": [1, 3]}, lambda t: t["nTracks"] in (1, 3)),
    "charge": ({"AbsEtaMax": 99.0, "AbsCharges": [1]}, lambda t: abs(t["charge"]) == 1),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts(xaod, arrays, name):
    properties, passes = CUTS[name]
    expected = [[i for i, tau in enumerate(event["TauJets"]) if passes(tau)] for event in xaod.events]
    found, cutflow = selected(arrays(xaod.events), **properties)
    assert found == expected
    assert 0 < sum(map(len, expected)) < len(xaod.taus())
    assert next(iter(cutflow.values()))[0] == len(xaod.taus())
    assert list(cutflow.values())[-1][1] == sum(map(len, expected))


def test_edges():
    pts, etas = [14_999.9, 15_000.0, 15_000.1, 99e3], [0.0, 1.37, -1.52, 2.5]
    columns = {"TauJets.pt": ak.Array([pts]), "TauJets.eta": ak.Array([etas])}
    assert selected(columns, PtMin=15_000.0, AbsEtaMax=9.0)[0] == [[1, 2, 3]]
    assert selected(columns, PtMax=15_000.0, AbsEtaMax=9.0)[0] == [[0]]
    assert selected(columns)[0] == [[0, 1, 2]]
    assert selected(columns, CrackVeto=True)[0] == [[0]]


def test_labels_of_the_cutflow():
    columns = {
        f"TauJets.{n}": ak.Array([[v]]) for n, v in {"pt": 1.0, "eta": 0.0, "nTracks": 1, "charge": -1.0}.items()
    }
    properties = {"PtMax": 1e5, "CrackVeto": True, "Prongs": [1, 3], "AbsCharges": [1]}
    labels = [key[3] for key in selected(columns, **properties)[1]]
    assert labels == [
        *("pt >= 0 GeV", "pt < 100 GeV", "|eta| < 2.5", "outside the crack", "nTracks in 1, 3", "|charge| in 1")
    ]


def test_reads_only_what_is_cut_on():
    assert list(TauSelection("t").reads()) == ["TauJets.pt", "TauJets.eta"]
    assert list(TauSelection("t", Container="X", Prongs=[1], AbsCharges=[1]).reads())[2:] == ["X.nTracks", "X.charge"]


def test_nothing_to_select():
    columns = {f"TauJets.{n}": ak.values_astype(ak.Array([[], []]), np.float32) for n in ("pt", "eta")}
    assert selected(columns, CrackVeto=True)[0] == [[], []]
