"""Inputs of tau identification against hand numbers: formulas of reference trainings, which objects, which order."""

from __future__ import annotations

import json
from math import log10

import awkward as ak
import numpy as np
import pytest

from hepflow import Context, Events
from hepflow.errors import JobOptionsError, NetworkError
from hepflow.plugins.tau import TauIDClassifier, TauIDTree
from hepflow.plugins.tau.identification import BDT_VARIABLES, ID_VARIABLES, identification_training, tau_columns

SCALARS = {
    "centFrac": [1.05, -1111.0, 0.5],
    "innerTrkAvgDist": [0.05, 0.1, 0.2],
    "SumPtTrkFrac": [0.0, 0.5, 0.1],
    "EMPOverTrkSysP": [0.0, 2.0, 3.0],
    "ptRatioEflowApprox": [5.0, 1.0, 1.1],
    "mEflowApprox": [100.0, 1500.0, 900.0],
    "etOverPtLeadTrk": [0.01, 2.0, 1.0],
    "absipSigLeadTrk": [31.0, 3.0, 2.0],
    "dRmax": [0.1, 0.2, 0.3],
    "trFlightPathSig": [-1111.0, 2.0, 3.0],
    "massTrkSys": [139.57, 1200.0, 1000.0],
    "ptIntermediateAxis": [150e3, 40e3, 30e3],
    "ptJetSeed": [160e3, 40e3, 30e3],
    "pt": [140e3, 40e3, 30e3],
    "eta": [1.0, 0.0, 0.0],
    "phi": [3.1, 0.0, 0.0],
    "etaIntermediateAxis": [1.0, 0.0, 0.0],
    "phiIntermediateAxis": [3.1, 0.0, 0.0],
    "nTracks": [1, 3, 1],
    "mu": [40.0, 40.0, 40.0],
    "IsTruthMatched": [1, 1, 0],
    "truthProng": [1, 1, 0],
    "truthPtVis": [139e3, 39e3, -1111.0],
}
TRACKS = {  # two of the first tau: a soft one, a hard one; one of the second
    "pt": [1000.0, 10_000.0, 5000.0],
    "eta": [1.1, 0.9, 0.0],
    "phi": [-3.1, 3.0, 0.0],
    "d0TJVA": [-0.01, 0.0, 0.0],
    "z0sinthetaTJVA": [0.1, 0.0, 0.0],
    "nInnermostPixelHits": [1, 2, 1],
    "nPixelHits": [4, 5, 4],
    "nSCTHits": [8, 9, 8],
    "flagSet": [1 << 6, 1 << 5, 1 << 9],  # isolation, charged, unclassified
}
CLUSTERS = {  # three of the first tau, the last one too far away
    "e": [1000.0, 20_000.0, 30_000.0],
    "eta": [1.0, 1.2, 2.5],
    "phi": [3.1, -3.1, 3.1],
    "SECOND_R": [0.0, 900.0, 1.0],
    "SECOND_LAMBDA": [99.9, 400.0, 1.0],
    "CENTER_LAMBDA": [0.0, 200.0, 1.0],
}


def events():
    arrays = {f"TauJets.{name}": ak.Array([values]) for name, values in SCALARS.items()}
    arrays |= {f"TauTracks.{name}": ak.Array([values]) for name, values in TRACKS.items()}
    arrays |= {f"CaloCalTopoClusters.{name}": ak.Array([values]) for name, values in CLUSTERS.items()}
    arrays["EventInfo.mcEventNumber"] = np.array([7], dtype=np.uint64)
    made = Events.from_arrays(arrays)
    made["TauJets"]["tauTrackLinks"] = made.link("TauTracks", ak.Array([[[0, 1], [2], []]]))
    made["TauJets"]["clusterLinks"] = made.link("CaloCalTopoClusters", ak.Array([[[0, 1, 2], [], []]]))
    return made


def inputs(prongs):
    """The network's scalar inputs of the taus, by name."""
    raw = {name: np.asarray(values) for name, values in SCALARS.items()}
    raw |= tau_columns(raw)
    return {variable.name: variable(raw[variable.column]) for variable in ID_VARIABLES[prongs]["TauJets"]}


def test_scalars_of_the_network_by_hand():
    found = inputs(1)
    assert len(found) == 9
    expected = {
        "centFrac_capped": [1.0, 0.0, 0.5],
        "etOverPtLeadTrk_log": [-1.0, log10(2), 0.0],
        "absipSigLeadTrk_capped": [30.0, 3.0, 2.0],
        "EMPOverTrkSysP_log": [-3.0, log10(2), log10(3)],
        "ptRatioEflowApprox_capped": [4.0, 1.0, 1.1],
        "mEflowApprox_log": [log10(140), log10(1500), log10(900)],
        "ptIntermediateAxis_log": [2.0, log10(40), log10(30)],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=name)
    three = inputs(3)
    assert len(three) == 10
    assert "absipSigLeadTrk_capped" not in three
    np.testing.assert_allclose(three["trFlightPathSig_log"], [-2, log10(2), log10(3)], atol=1e-6)
    np.testing.assert_allclose(three["massTrkSys_log"], [log10(140), log10(1200), 3.0], atol=1e-6)


def test_the_bdt_has_raw_variables_and_a_pt_of_at_most_100_gev():
    assert [len(BDT_VARIABLES[prongs]) for prongs in (1, 3)] == [9, 10]
    names = {prongs: {variable.name for variable in BDT_VARIABLES[prongs]} for prongs in (1, 3)}
    assert names[1] - names[3] == {"etOverPtLeadTrk", "absipSigLeadTrk"}
    assert names[3] - names[1] == {"dRmax", "trFlightPathSig", "massTrkSys"}
    pt = tau_columns({name: np.asarray(values) for name, values in SCALARS.items()})["ptIntermediateAxis_capped"]
    assert pt.tolist() == [100e3, 40e3, 30e3]


def test_the_ntuple_of_taus():
    made = events()
    tool = TauIDTree("tree")
    tool.execute(made, None)
    taus = made["TauJets"]
    assert taus["pt"].tolist() == [[140e3]]  # the second has lost tracks, the third is matched to none
    assert taus.flat("isTau").tolist() == [1]
    assert taus.flat("mcEventNumber").tolist() == [7]
    tracks, clusters = made["TauTrack"], made["TauCluster"]
    assert tracks.flat("nPixelHits").tolist() == [5, 4]  # the harder one first
    expected = {
        "pt_log": [4, 3],
        "pt_jetseed_log": [log10(160e3)] * 2,
        "d0_abs_log": [-6, log10(0.010001)],
        "z0sinThetaTJVA_abs_log": [-6, log10(0.100001)],
        "dEta": [-0.1, 0.1],
        "dPhi": [-0.1, 2 * np.pi - 6.2],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(tracks.flat(name), values, atol=1e-6, err_msg=name)
    expected = {
        "et_log": [log10(20_000 / np.cosh(1.2)), log10(1000 / np.cosh(1.0))],
        "SECOND_R": [log10(900.1), -1],
        "SECOND_LAMBDA": [log10(400.1), 2],
        "CENTER_LAMBDA": [log10(200), -6],
        "dEta": [0.2, 0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(clusters.flat(name), values, atol=1e-6, err_msg=name)


def test_the_ntuple_of_jets():
    made = events()
    TauIDTree("tree", Class="jet").execute(made, None)
    assert made["TauJets"]["isTau"].tolist() == [[0]]
    assert made["TauJets"]["pt"].tolist() == [[30e3]]
    assert len(made["TauTrack"]) == 0


def test_training_sets():
    for prongs, number in ((1, 9), (3, 10)):
        for kind in ("network", "bdt"):
            declared = identification_training(prongs, kind)
            assert len(declared.inputs["TauJets"]) == number
            assert not declared.weight  # mcEventWeights are not used
            assert len(declared.selection) == {"network": 1, "bdt": number}[kind]
        written = {name.rpartition(".")[2] for name in TauIDTree("tree").writes() if name.startswith("TauJets.")}
        assert {v.column for v in declared.inputs["TauJets"]} < written
    with pytest.raises(JobOptionsError, match="2-prong taus"):
        identification_training(2)


def write_network(path, scalar="centFrac_capped", label="tau"):
    """Write a network that adds a variable of the tau, the pixel hits of its tracks and Δη of its clusters."""

    def group(name, variable):
        return {"name": name, "variables": [{"name": variable, "offset": 0, "scale": 1}]}

    content = {
        "inputs": [group("TauJets", scalar)],
        "input_sequences": [group("TauTrack", "nPixelHits"), group("TauCluster", "dEta")],
        "nodes": [
            {"type": "input", "sources": [0], "size": 1},
            {"type": "input_sequence", "sources": [0], "size": 1},
            {"type": "input_sequence", "sources": [1], "size": 1},
            {"type": "sum", "sources": [1]},
            {"type": "sum", "sources": [2]},
            {"type": "add", "sources": [0, 3]},
            {"type": "add", "sources": [5, 4]},
        ],
        "layers": [],
        "outputs": {"out": {"labels": [label], "node_index": 6}},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_network_of_tau_tracks_and_clusters(tmp_path):
    made = events()
    tool = TauIDClassifier("id", WeightFile=write_network(tmp_path / "net.json"), OutputName="ID")
    assert {"TauJets.centFrac", "TauTracks.flagSet", "CaloCalTopoClusters.e"} <= set(tool.reads())
    tool.prepare(Context(tmp_path, "job"))
    tool.execute(made, None)
    np.testing.assert_allclose(made["TauJets"].flat("ID"), [1 + 9 + 0.2, 0, 0.5], rtol=1e-6)
    limited = events()
    tool = TauIDClassifier("id", WeightFile=tool.WeightFile, MaxTracks=1)
    tool.prepare(Context(tmp_path, "job"))
    tool.execute(limited, None)
    assert limited["TauJets"].flat("TauIDScore")[0] == pytest.approx(1 + 5 + 0.2)
    for wrong, message in (
        ({"scalar": "centFrac_cap"}, "'centFrac_cap' of TauJets, which is no variable"),
        ({"label": "jet"}, "no output 'tau'"),
    ):
        with pytest.raises(NetworkError, match=message):
            TauIDClassifier("id", WeightFile=write_network(tmp_path / "wrong.json", **wrong)).reads()
