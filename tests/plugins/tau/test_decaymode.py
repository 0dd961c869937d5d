"""The inputs of the decay-mode networks against plain Python, tau by tau."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np
import pytest

from hepflow import Events, Job
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau import NNDecayModeTree, TauTruthMatching
from hepflow.plugins.tau.decaymode import decay_mode_reads, decay_mode_sequences
from hepflow.streams import NtupleStream

COMMON = ["dphiECal", "dphi", "detaECal", "deta", "pt", "jetpt"]
IMPACT = ["d0TJVA", "d0SigTJVA", "z0sinthetaTJVA", "z0sinthetaSigTJVA"]
SHOWER = [
    *("FIRST_ETA", "SECOND_R", "DELTA_THETA", "CENTER_LAMBDA", "LONGITUDINAL", "SECOND_ENG_DENS", "ENG_FRAC_CORE"),
    *("NPosECells_EM1", "NPosECells_EM2", "energy_EM1", "energy_EM2", "EM1CoreFrac"),
    *(f"{order}EtaWRTClusterPosition_{layer}" for order in ("first", "second") for layer in ("EM1", "EM2")),
]
VARIABLES = {
    "TauTrack": COMMON + IMPACT,
    "NeutralPFO": COMMON + SHOWER,
    "ShotPFO": COMMON,
    "ConvTrack": COMMON + IMPACT,
}
CONTAINERS = {"NeutralPFO": "TauNeutralParticleFlowObjects", "ShotPFO": "TauShotParticleFlowObjects"}
LINKS = {"NeutralPFO": "neutralPFOLinks", "ShotPFO": "shotPFOLinks"}


def wrapped(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def objects_of(event, tau, sequence):
    container = CONTAINERS.get(sequence, "TauTracks")
    linked = [event[container][i] for i in tau[LINKS.get(sequence, "tauTrackLinks")] if i is not None]
    passes = {
        "TauTrack": lambda o: o["flagSet"] & 1 << 5,
        "ConvTrack": lambda o: o["flagSet"] & 1 << 7,
        "NeutralPFO": lambda o: np.float32(o["pt"]) >= 1500,
        "ShotPFO": lambda o: o["tauShots_nPhotons"] >= 1,
    }[sequence]
    return sorted((o for o in linked if passes(o)), key=lambda o: -np.float32(o["pt"]))


def naive(event, tau, sequence):
    """The variables of all objects of one tau, written down from the reference."""
    first = next(
        (t for t in (event["TauTracks"][i] for i in tau["tauTrackLinks"] if i is not None) if t["flagSet"] & 1 << 5),
        None,
    )
    rows = []
    for one in objects_of(event, tau, sequence):
        eta, phi = (float(np.float32(one[name])) for name in ("eta", "phi"))
        tau_eta, tau_phi = (float(np.float32(tau[f"{name}IntermediateAxis"])) for name in ("eta", "phi"))
        row = {
            "dphi": wrapped(tau_phi - phi),
            "deta": eta - tau_eta,
            "pt": one["pt"],
            "jetpt": tau["ptIntermediateAxis"],
        }
        row["dphiECal"] = wrapped(phi - float(np.float32(first["CaloSamplingPhiEM"]))) if first else 0.0
        row["detaECal"] = eta - float(np.float32(first["CaloSamplingEtaEM"])) if first else 0.0
        row |= {name: one[name] for name in IMPACT if sequence in ("TauTrack", "ConvTrack")}
        row |= {name: one[f"cellBased_{name}"] for name in SHOWER if sequence == "NeutralPFO"}
        rows.append(row)
    return rows


def same(found, expected):
    assert set(found) == set(expected[0]) if expected else True
    for name, values in found.items():
        wanted = [row[name] for row in expected]
        np.testing.assert_allclose(values, wanted, rtol=2e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("sequence", VARIABLES)
def test_against_plain_python(xaod, arrays, sequence):
    events = Events.from_arrays(arrays(xaod.events))
    counts, columns = decay_mode_sequences(events, neutral_pt_cut=1.5)[sequence]
    expected = [naive(event, tau, sequence) for event in xaod.events for tau in event["TauJets"]]
    assert counts.tolist() == [len(rows) for rows in expected]
    assert max(counts) > 1
    assert 0 in counts
    assert sorted(columns) == sorted(VARIABLES[sequence])
    same(columns, [row for rows in expected for row in rows])


@pytest.mark.parametrize("sequence", VARIABLES)
def test_caps_come_after_sorting(xaod, arrays, sequence):
    events = Events.from_arrays(arrays(xaod.events))
    counts, columns = decay_mode_sequences(events, neutral_pt_cut=1.5, caps=dict.fromkeys(VARIABLES, 2))[sequence]
    expected = [naive(event, tau, sequence)[:2] for event in xaod.events for tau in event["TauJets"]]
    assert counts.tolist() == [len(rows) for rows in expected]
    same(columns, [row for rows in expected for row in rows])


def test_small_angles_keep_their_precision(xaod, arrays):
    columns = arrays(xaod.events)
    taus = columns["TauJets.phi"]
    columns["TauJets.phiIntermediateAxis"] = ak.values_astype(taus * 0 + 0.5, np.float32)
    columns["TauTracks.phi"] = ak.values_astype(columns["TauTracks.phi"] * 0 + np.nextafter(np.float32(0.5), 1), "f4")
    found = decay_mode_sequences(Events.from_arrays(columns), neutral_pt_cut=1.5)["TauTrack"][1]["dphi"]
    assert set(found.tolist()) == {-(2.0**-24)}


def test_numbers_of_variables():
    assert {name: len(names) for name, names in VARIABLES.items()} == {
        "TauTrack": 10,
        "NeutralPFO": 22,
        "ShotPFO": 6,
        "ConvTrack": 10,
    }
    assert len(decay_mode_reads()) == len(set(decay_mode_reads()))


def test_pt_cut_of_neutral_pfos(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    _, columns = decay_mode_sequences(events, neutral_pt_cut=6.0)["NeutralPFO"]
    assert len(columns["pt"]) > 0
    assert columns["pt"].min() >= 6000.0


def test_hidden_tracks_are_no_inputs(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    events.select("TauTracks", events["TauTracks"].flat("pt") > 10e3, "pt")
    events.select("TauJets", events["TauJets"].flat("pt") > 40e3, "pt")
    counts, _ = decay_mode_sequences(events, neutral_pt_cut=1.5)["TauTrack"]
    expected = [
        sum(np.float32(o["pt"]) > 10e3 for o in objects_of(event, tau, "TauTrack"))
        for event in xaod.events
        for tau in event["TauJets"]
        if tau["pt"] > 40e3
    ]
    assert counts.tolist() == expected


@pytest.fixture(scope="module")
def ntuple(xaod, tmp_path_factory, read):
    job = Job("test")
    job += TauTruthMatching("truth", DataType="JET")
    stream = NtupleStream("tree")
    stream += NNDecayModeTree("NNDecayModeTree")
    job += stream
    output = str(tmp_path_factory.mktemp("nn") / "run")
    return read(*run(job, RunOptions(inputs=[str(xaod.path)], output=output)).outputs["tree"])


def test_branches_of_the_ntuple(ntuple):
    taus = (
        *("pt", "eta", "phi", "charge", "nTracks", "ptIntermediateAxis", "mu", "nVtxPU", "mcEventNumber"),
        *("beamSpotWeight", "IsTruthMatched", "truthIsHadronicTau", "truthDecayMode", "truthProng"),
        *("truthPtVis", "truthEtaVis", "truthPhiVis"),
    )
    sequences = {f"{sequence}.{name}" for sequence, names in VARIABLES.items() for name in names}
    counters = {f"n{sequence}" for sequence in VARIABLES}
    assert set(ntuple) == {f"TauJets.{name}" for name in taus} | sequences | counters


def test_ntuple_is_not_capped_and_sorted(ntuple, xaod):
    for sequence, names in VARIABLES.items():
        expected = [naive(event, tau, sequence) for event in xaod.events for tau in event["TauJets"]]
        assert ntuple[f"{sequence}.pt"].tolist() == [[np.float32(row["pt"]) for row in rows] for rows in expected]
        for name in names:
            flat = ak.flatten(ntuple[f"{sequence}.{name}"])
            wanted = [row[name] for rows in expected for row in rows]
            np.testing.assert_allclose(flat, wanted, rtol=2e-7, atol=1e-9, err_msg=name)
    assert ak.max(ak.num(ntuple["TauTrack.pt"])) > 3


def test_columns_of_the_event_are_repeated_for_each_tau(ntuple, xaod):
    events = [event["EventInfo"] for event in xaod.events for _ in event["TauJets"]]
    assert ntuple["TauJets.mcEventNumber"].tolist() == [event["mcEventNumber"] for event in events]
    assert ntuple["TauJets.beamSpotWeight"].tolist() == [np.float32(event["beamSpotWeight"]) for event in events]


def test_types_in_the_ntuple(ntuple):
    for name in ("dphiECal", "deta", "pt", "jetpt", "energy_EM1"):
        assert str(ntuple[f"NeutralPFO.{name}"].type.content.content) == "float32"
    assert str(ntuple["NeutralPFO.NPosECells_EM1"].type.content.content) == "int32"
