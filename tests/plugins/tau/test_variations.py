"""Tools that vary taus, tracks and clusters, against numbers by hand."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow import Events, Job
from hepflow.errors import JobOptionsError, ToolError
from hepflow.events import Access
from hepflow.execution.dataflow import resolve
from hepflow.plugins.common import Filter
from hepflow.plugins.tau import (
    ClusterScaleVariation,
    TauAxes,
    TauEnergyScaleVariation,
    TauSmearing,
    TauTruthMatching,
    TrackEfficiencyVariation,
)
from hepflow.protocols import ColumnInfo
from hepflow.variations import Override, chosen


def events_of(order=(0, 1, 2)):
    def f4(lists):
        return ak.values_astype(ak.Array([lists[n] for n in order]), np.float32)

    return Events.from_arrays(
        {
            "TauJets.pt": f4([[30e3, 20e3], [], [50e3]]),
            "TauJets.phi": f4([[0.0, np.pi / 2], [], [1.0]]),
            "EventInfo.eventNumber": np.array([7, 8, 9])[list(order)],
            "MET.met": np.array([10e3, 5e3, 20e3], np.float32)[list(order)],
            "MET.phi": np.array([0.0, 1.0, 1.0], np.float32)[list(order)],
        }
    )


def done(tool, events):
    tool.freeze()
    tool.execute(events, tool.start())
    return events["TauJets"].flat("pt") if "pt" in events["TauJets"] else None


def test_the_scale_moves_missing_et():
    events = events_of()
    pt = done(TauEnergyScaleVariation("tes", Scale="1 + 0.1 * (TauJets.pt > 25000)", MissingET="MET"), events)
    assert pt.dtype == np.float32
    assert pt == pytest.approx([33e3, 20e3, 55e3])
    assert events["MET"].flat("met") == pytest.approx([7e3, 5e3, 15e3])
    assert events["MET"].flat("phi") == pytest.approx([0, 1, 1], abs=1e-6)
    with pytest.raises(ToolError, match="no numbers above 0"):
        done(TauEnergyScaleVariation("tes", Scale="-1"), events_of())


def test_up_and_down_share_the_draw_which_belongs_to_event_and_tau():
    before = events_of()["TauJets"].flat("pt").astype(float)
    up, down, other = (
        done(TauSmearing(name, Size=size), events_of()) / before - 1
        for name, size in (("smear", "0.05"), ("smear", "-0.05"), ("another", "0.05"))
    )
    assert up == pytest.approx(-down, abs=1e-6)
    assert (abs(up - other) > 1e-3).all()
    turned = done(TauSmearing("smear", Size="0.05"), events_of((2, 1, 0)))
    assert turned.tolist() == done(TauSmearing("smear", Size="0.05"), events_of())[[2, 0, 1]].tolist()


def test_lost_tracks_take_their_charge_along():
    charged = 1 << 5
    events = Events.from_arrays(
        {
            "TauJets.nTracks": ak.Array([[3, 1]]),
            "TauJets.charge": ak.values_astype(ak.Array([[1, -1]]), np.float32),
            "TauTracks.charge": ak.values_astype(ak.Array([[1, 1, -1, -1, 1]]), np.float32),
            "TauTracks.flagSet": ak.values_astype(ak.Array([[charged, charged, charged, charged, 128]]), np.uint16),
            "EventInfo.eventNumber": np.array([1]),
        }
    )
    events["TauJets"]["tauTrackLinks"] = events.link("TauTracks", ak.Array([[[0, 1, 2], [3, 4]]]))
    tool = TrackEfficiencyVariation("loss", Loss=0.0)
    done(tool, events)
    assert events["TauJets"].flat("nTracks").tolist() == [3, 1]
    done(TrackEfficiencyVariation("loss", Loss=0.5), events)
    lost = events["TauTracks"].flat("flagSet") == 0
    assert 0 < lost.sum() < 5  # as drawn for this event
    assert events["TauJets"].flat("nTracks").tolist() == [3 - lost[:3].sum(), 1 - lost[3]]
    assert events["TauJets"].flat("charge").tolist() == [1 - lost[:3] @ [1, 1, -1], -1 + lost[3]]


def test_axes_are_those_of_the_clusters_in_the_core():
    clusters = {"pt": [40e3, 20e3, 5e3], "eta": [0.1, 0.2, 0.6], "phi": [3.1, -3.1, 3.0], "e": [1.0, 1.0, 1.0]}
    stored = {f"TauJets.{name}IntermediateAxis": ak.Array([[-1.0, 7.0]]) for name in ("pt", "eta", "phi", "m")}
    events = Events.from_arrays({**stored, **{f"CaloCalTopoClusters.{k}": ak.Array([v]) for k, v in clusters.items()}})
    events["TauJets"]["clusterLinks"] = events.link("CaloCalTopoClusters", ak.Array([[[0, 1, 2], []]]))
    ClusterScaleVariation("up", Scale="1.1").execute(events, None)
    tool = TauAxes("axes")
    tool.prepare(None)
    tool.execute(Events(events._scope, Access.of("axes", tool.reads(), tool.writes())), None)
    x, y, z = np.array(
        [(p * np.cos(a), p * np.sin(a), p * np.sinh(e)) for p, e, a in ((44e3, 0.1, 3.1), (22e3, 0.2, -3.1))]
    ).sum(axis=0)
    e = 44e3 * np.cosh(0.1) + 22e3 * np.cosh(0.2)
    expected = (
        np.hypot(x, y),
        np.arcsinh(z / np.hypot(x, y)),
        np.arctan2(y, x),
        np.sqrt(e * e - x * x - y * y - z * z),
    )
    for name, value in zip(("pt", "eta", "phi", "m"), expected, strict=True):
        assert events["TauJets"].flat(f"{name}IntermediateAxis").tolist() == pytest.approx([value, 7.0], rel=1e-6)


COLUMNS = {
    name: ColumnInfo(name, (name,), "float32", 1)
    for name in (
        "TauJets.pt",
        "TauJets.eta",
        "TauJets.phi",
        "TauJets.nTracks",
        "TauJets.charge",
        "TauJets.ptPanTauCellBased",
        "MET.met",
        "MET.phi",
    )
}


def again(*members, vary, columns=COLUMNS):
    job = Job("test")
    for member in members:
        job += member
    job.vary("UP", *vary)
    job.freeze()
    return resolve(job, columns, chosen(["ALL"], job.variations)).variations["UP"].again


def test_what_is_half_propagated_is_refused():
    pt, met = Filter("pt", Cut="TauJets.pt > 0"), Filter("met", Cut="MET.met > 0")
    with pytest.raises(JobOptionsError, match=r"MET.met of the input was made of TauJets.pt"):
        again(pt, met, vary=[TauEnergyScaleVariation("tes")])
    found = again(
        Filter("pt", Cut="TauJets.pt > 0"),
        Filter("met", Cut="MET.met > 0"),
        vary=[TauEnergyScaleVariation("tes", MissingET="MET")],
    )
    assert found == {"pt", "met"}


def test_truth_matching_never_varies():
    truth = ("pt_vis", "eta_vis", "phi_vis", "IsHadronicTau", "numCharged", "DecayModeVector")
    columns = {
        **COLUMNS,
        **{f"TruthTaus.{name}": ColumnInfo(f"TruthTaus.{name}", ("x",), "float32", 1) for name in truth},
    }
    for name in ("TruthMuons", "TruthElectrons"):
        columns |= {f"{name}.{c}": ColumnInfo(f"{name}.{c}", ("x",), "float32", 1) for c in ("pt", "eta", "phi", "m")}
    up = Override("up", Columns={"TauJets.eta": "TauJets.eta + 0.01"})
    match, cut = TauTruthMatching("match"), Filter("cut", Cut="TauJets.eta < 2")
    assert again(match, cut, vary=[up], columns=columns) == {"cut"}
    with pytest.raises(JobOptionsError, match="never varies itself"):
        again(Filter("cut", Cut="TauJets.eta < 2"), TauTruthMatching("match"), vary=[up], columns=columns)
