"""Truth matching against plain Python, tau by tau."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np
import pytest

from hepflow import Events, Job, Tool
from hepflow.errors import ColumnError
from hepflow.events.links import container_id
from hepflow.execution.options import RunOptions
from hepflow.execution.run import run
from hepflow.plugins.tau import TauTruthMatching
from hepflow.plugins.tau.truth import direction, wrap


def of_momentum(particle):
    px, py, pz = (float(np.float32(particle[name])) for name in ("px", "py", "pz"))
    return math.atanh(pz / math.sqrt(px**2 + py**2 + pz**2)), math.atan2(py, px)


def of_visible(particle):
    return particle["eta_vis"], particle["phi_vis"]


def first_within(tau, particles, direction=of_momentum):
    for number, other in enumerate(particles):
        eta, phi = direction(other)
        deta = np.float32(tau["eta"]) - np.float64(eta)
        dphi = math.remainder(np.float32(tau["phi"]) - np.float64(phi), 2 * math.pi)
        if math.hypot(deta, dphi) <= 0.2:
            return number
    return None


def naive(event, tau, leptons=("TruthMuons", "TruthElectrons")):
    """What is known of one tau, written down from the definition."""
    found = {"kind": "", "key": 0, "index": 0, "hadronic": 0, "mode": 6, "prong": 0, "vis": (-1111.0,) * 3}
    number = first_within(tau, event["TruthTaus"], of_visible)
    if number is not None:
        truth = event["TruthTaus"][number]
        found |= {"kind": "TruthTaus", "key": container_id("TruthTaus"), "index": number}
        if truth["IsHadronicTau"]:
            ids = [abs(i) for i in truth["DecayModeVector"]]
            charged, neutral = ids.count(211) + ids.count(321), ids.count(111)
            mode = {1: min(neutral, 2), 3: 3 + min(neutral, 1), 0: 6}.get(charged, 5)
            vis = tuple(np.float32(truth[f"{name}_vis"]) for name in ("pt", "eta", "phi"))
            found |= {"hadronic": 1, "mode": mode, "prong": truth["numCharged"], "vis": vis}
        return found
    for name in leptons:
        number = first_within(tau, event[name])
        if number is not None:
            return found | {"kind": name, "key": container_id(name), "index": number}
    return found


def result(events):
    taus = events["TauJets"]
    names = ["truthIsHadronicTau", "truthDecayMode", "truthProng", "truthPtVis", "truthEtaVis", "truthPhiVis"]
    columns = {name: taus.flat(name).tolist() for name in [*names, "IsTruthMatched"]}
    links = ak.flatten(taus["truthParticleLink"]).tolist()
    return [
        {
            "matched": columns["IsTruthMatched"][i],
            "key": links[i]["container"],
            "index": links[i]["index"],
            "hadronic": columns["truthIsHadronicTau"][i],
            "mode": columns["truthDecayMode"][i],
            "prong": columns["truthProng"][i],
            "vis": tuple(columns[f"truth{name}Vis"][i] for name in ("Pt", "Eta", "Phi")),
        }
        for i in range(len(taus))
    ]


def expected(xaod, accept=lambda found: True, **options):
    all_taus = [naive(event, tau, **options) for event in xaod.events for tau in event["TauJets"]]
    for found in all_taus:
        found["matched"] = int(found["kind"] != "")
    return [{k: v for k, v in f.items() if k != "kind"} for f in all_taus if accept(f)], all_taus


@pytest.mark.parametrize(
    ("datatype", "accept"),
    [
        ("JET", lambda found: True),
        ("TAU", lambda found: found["hadronic"] == 1),
        ("ELE", lambda found: found["kind"] == "TruthElectrons"),
        ("MUON", lambda found: found["kind"] == "TruthMuons"),
    ],
)
def test_against_plain_python(xaod, arrays, datatype, accept):
    events = Events.from_arrays(arrays(xaod.events))
    TauTruthMatching("t", DataType=datatype).execute(events, None)
    wanted, everything = expected(xaod, accept)
    assert {found["kind"] for found in everything} == {"", "TruthTaus", "TruthMuons", "TruthElectrons"}
    assert result(events) == wanted


def test_types_of_the_columns(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    TauTruthMatching("t").execute(events, None)
    types = {name: events["TauJets"].flat(name).dtype.name for name in ("IsTruthMatched", "truthIsHadronicTau")}
    assert types == {"IsTruthMatched": "int8", "truthIsHadronicTau": "int8"}
    assert events["TauJets"].flat("truthDecayMode").dtype == np.int32
    assert events["TauJets"].flat("truthPtVis").dtype == np.float32


def test_input_without_truth_leptons(xaod, arrays):
    columns = {n: v for n, v in arrays(xaod.events).items() if not n.startswith(("TruthMuons", "TruthElectrons"))}
    events = Events.from_arrays(columns)
    TauTruthMatching("t", DataType="JET").execute(events, None)
    assert result(events) == expected(xaod, leptons=())[0]


def test_hidden_taus_stay_hidden(xaod, arrays):
    events = Events.from_arrays(arrays(xaod.events))
    events.select("TauJets", events["TauJets"].flat("pt") > 40e3, "pt")
    events.select_events(events["EventInfo"]["mcEventNumber"] % 2 == 0, "even")
    TauTruthMatching("t", DataType="JET").execute(events, None)
    sub = type(xaod)(
        xaod.path, [{**e, "TauJets": [t for t in e["TauJets"] if t["pt"] > 40e3]} for e in xaod.events[1::2]]
    )
    assert result(events) == expected(sub)[0]


def test_first_in_order_wins_not_the_nearest():
    columns = {
        "TauJets.eta": ak.Array([[0.0]]),
        "TauJets.phi": ak.Array([[3.1]]),
        **{f"TruthTaus.{n}_vis": ak.Array([v]) for n, v in {"eta": [0.5, 0.15, 0.0], "phi": [3.1, -3.13, 3.1]}.items()},
        "TruthTaus.pt_vis": ak.Array([[1.0, 2.0, 3.0]]),
        "TruthTaus.IsHadronicTau": ak.Array([[1, 1, 1]]),
        "TruthTaus.numCharged": ak.Array([[1, 3, 1]]),
        "TruthTaus.DecayModeVector": ak.Array([[[16, 211], [16, 211, -211, 211], [16, 211]]]),
    }
    events = Events.from_arrays(columns)
    TauTruthMatching("t").execute(events, None)
    assert result(events)[0]["index"] == 1
    assert result(events)[0]["mode"] == 3


def test_no_taus_at_all(arrays, xaod):
    events = [{**event, "TauJets": []} for event in xaod.events[:4]] + xaod.events[4:5]
    view = Events.from_arrays(arrays(events))
    view.select("TauJets", np.zeros(len(view["TauJets"]), dtype=bool), "none")
    TauTruthMatching("t").execute(view, None)
    assert result(view) == []


def test_declared_leptons_follow_the_datatype():
    def optional(datatype):
        return {
            name
            for name in TauTruthMatching("t", DataType=datatype).reads()
            if name.startswith("Truth") and "?" in name
        }

    assert optional("TAU") == {f"{c}.{v}?" for c in ("TruthMuons", "TruthElectrons") for v in ("px", "py", "pz")}
    assert optional("ELE") == {"TruthMuons.px?", "TruthMuons.py?", "TruthMuons.pz?"}
    assert optional("MUON") == {"TruthElectrons.px?", "TruthElectrons.py?", "TruthElectrons.pz?"}


def test_direction_of_a_momentum():
    eta, phi = direction(np.array([3.0, 0.0]), np.array([4.0, 0.0]), np.array([0.0, -7.0]))
    assert eta.tolist() == [0.0, -math.inf]
    assert phi[0] == pytest.approx(math.asin(0.8))


@pytest.mark.parametrize(("angle", "wrapped"), [(0.0, 0.0), (3.5, 3.5 - 2 * np.pi), (-np.pi, -np.pi), (np.pi, -np.pi)])
def test_wrap(angle, wrapped):
    assert wrap(np.array([angle]))[0] == pytest.approx(wrapped, abs=1e-12)


def test_missing_truth_is_named(xaod, arrays):
    columns = {n: v for n, v in arrays(xaod.events).items() if not n.startswith("TruthTaus")}
    with pytest.raises(ColumnError, match="TruthTaus"):
        TauTruthMatching("t").execute(Events.from_arrays(columns), None)


class Links(Tool):
    """Collect the truth links of a job that reads one file in one chunk."""

    def reads(self):
        return ["TauJets.truthParticleLink"]

    def start(self):
        return {}

    def execute(self, events, result):
        links = events["TauJets"].flat("truthParticleLink")
        result |= {"key": np.asarray(links.container), "index": np.asarray(links.index)}


def test_same_links_as_atlas(physlite, tmp_path):
    def links(name, *tools):
        job = Job(name)
        job += [*tools, Links("Links")]
        options = RunOptions(inputs=[str(physlite("PHYSLITE_example.root"))], output=str(tmp_path / name))
        return run(job, options).results["Links"]

    theirs, ours = links("theirs"), links("ours", TauTruthMatching("t", DataType="JET"))
    assert np.bincount(theirs["key"] == container_id("TruthElectrons")).tolist() == [34, 109]
    assert ours["key"].tolist() == theirs["key"].tolist()
    matched = theirs["key"] != 0
    assert ours["index"][matched].tolist() == theirs["index"][matched].tolist()
