"""The variables of HH → bbττ, one row an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property, Tool
from hepflow.normalisation import WEIGHT
from hepflow.plugins.hh.masses import VISIBLE_SCALE, collinear_fractions, delta_r, four_momenta, mass

__all__ = ["BBTauTauVariables"]

Floats = npt.NDArray[np.float64]

KINEMATICS = ("pt", "eta", "phi")


class BBTauTauVariables(Tool):
    """Keep events with two b-tagged jets and two identified hadronic taus of opposite sign, and calculate the variables
    of HH → bbττ: ``mBB``, ``mMMC``, ``mHH`` (MeV), ``dRBB``, ``dRTauTau``, with the kinematics they are made of.

    ``mMMC`` is the collinear mass of the taus, not ATLAS's missing mass calculator; where there is no solution
    (``isCollinear`` 0), the visible mass times a constant. ``weight`` is the product of the weight of the event
    (``Sample.weight`` with ``--lumi``, else the generator's) with the probabilities of the tags and of the taus'
    identification; ``event_number`` is that of the generator.
    """

    Container = Property("tree", "container to make; an NtupleStream with this TreeName writes plain names")
    TauPtMin = Property(20_000.0, "lowest pt of both taus", unit="MeV", minimum=0)
    BJetPtMin = Property(20_000.0, "lowest pt of both tagged jets", unit="MeV", minimum=0)

    def reads(self) -> Sequence[str]:
        """Return jets, taus, missing ET and weights."""
        jets = [f"Jets.{name}" for name in (*KINEMATICS, "m", "isTagged")]
        taus = [f"TauJets.{name}" for name in (*KINEMATICS, "charge")]
        event = ("mcEventNumber", "mcEventWeights", "tagWeight", "tauWeight")
        return [*jets, *taus, "MET.met", "MET.phi", *(f"EventInfo.{name}" for name in event), f"{WEIGHT}?"]

    def writes(self) -> Sequence[str]:
        """Return the container of variables."""
        return [f"{self.Container}.*"]

    def execute(self, events: Events, result: Any) -> None:
        """Select, and make the container."""
        self._select(events)
        taus, jets, met, info = (events[name] for name in ("TauJets", "Jets", "MET", "EventInfo"))
        first = np.cumsum(np.asarray(taus.counts)) - np.asarray(taus.counts)
        chosen = np.stack([first, first + 1], axis=1)
        tau = {name: taus.flat(name).astype(np.float64)[chosen] for name in KINEMATICS}
        tagged = np.flatnonzero(jets.flat("isTagged") == 1).reshape(-1, 2)
        b = {name: jets.flat(name).astype(np.float64)[tagged] for name in (*KINEMATICS, "m")}
        missing = met.flat("met").astype(np.float64)
        x, solved = collinear_fractions(
            tau["pt"], tau["phi"], missing * np.cos(met.flat("phi")), missing * np.sin(met.flat("phi"))
        )
        whole = four_momenta(tau["pt"], tau["eta"], tau["phi"]) / x[:, :, None]
        ditau = whole.sum(axis=1) * np.where(solved, 1.0, VISIBLE_SCALE)[:, None]
        dijet = four_momenta(b["pt"], b["eta"], b["phi"], b["m"]).sum(axis=1)
        columns: dict[str, Any] = {
            "mHH": mass(ditau + dijet),
            "mMMC": mass(ditau),
            "mBB": mass(dijet),
            "dRTauTau": delta_r(tau["eta"], tau["phi"]),
            "dRBB": delta_r(b["eta"], b["phi"]),
            "MET": missing,
            "isCollinear": solved.astype(np.int32),
            "n_jets": np.asarray(jets.counts).astype(np.int32),
        }
        for label, pair in (("tau", tau), ("b", b)):
            columns |= {f"{label}{k}_{name}": pair[name][:, k] for k in (0, 1) for name in KINEMATICS}
        columns = {name: v.astype(np.float32) if v.dtype == np.float64 else v for name, v in columns.items()}
        columns["weight"] = info.flat("tagWeight") * info.flat("tauWeight") * self._event_weight(events)
        columns["event_number"] = info.flat("mcEventNumber")
        events.add(self.Container, columns)

    def _select(self, events: Events) -> None:
        import awkward as ak

        taus = events["TauJets"]
        hard = ak.sum(taus["pt"] > self.TauPtMin, axis=1) >= 2
        events.select_events(ak.to_numpy(hard), "two hadronic taus")
        charge = ak.to_numpy(ak.prod(events["TauJets"]["charge"][:, :2], axis=1))
        events.select_events(charge < 0, "of opposite sign")
        identified = events["EventInfo"].flat("tauWeight") > 0
        events.select_events(identified, "that can be identified")
        jets = events["Jets"]
        b = ak.sum((jets["isTagged"] == 1) & (jets["pt"] > self.BJetPtMin), axis=1) == 2
        events.select_events(ak.to_numpy(b), "two b-tagged jets")

    def _event_weight(self, events: Events) -> Floats:
        """Return the weight of each event before tagging and identification."""
        import awkward as ak

        if "weight" in events["Sample"]:
            values: Floats = events["Sample"].flat("weight")
        else:
            values = ak.to_numpy(events["EventInfo"]["mcEventWeights"][:, 0]).astype(np.float64)
        return values
