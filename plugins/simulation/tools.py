"""The tools of the built-in sample: truth taus, and the detector that makes tau candidates of stable particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import PropertyError
from hepflow.plugins.simulation.candidate import MOMENTS
from hepflow.plugins.simulation.detector import EventResult, simulate_event
from hepflow.plugins.simulation.minbias import load_library
from hepflow.plugins.simulation.particles import Particles
from hepflow.plugins.simulation.truth import build_truth_taus

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["CONTAINERS", "TauDetector", "TruthTauBuilder"]

RECORD = ("pdgId", "status", "parentIndex", "px", "py", "pz", "e", "charge")
STABLE = ("pdgId", "px", "py", "pz", "charge", "prodX", "prodY", "prodZ")

_AXES = ("IntermediateAxis", "TauEnergyScale", "PanTauCellBased")
TAU_COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("pt", "eta", "phi", "m", "charge"), "float32"),
    **{f"{name}{axis}": "float32" for axis in _AXES for name in ("pt", "eta", "phi")},
    **dict.fromkeys(("mIntermediateAxis", "mPanTauCellBased", "mu"), "float32"),
    **dict.fromkeys(("nTracks", "nVtxPU"), "int32"),
}
"""Columns of ``TauJets`` besides links. ``pt`` combines calorimeter and particle flow; momenta in MeV."""

CONTAINERS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "TauTracks": (
        "tracks",
        "tauTrackLinks",
        dict.fromkeys(("pt", "eta", "phi", "charge", "CaloSamplingEtaEM", "CaloSamplingPhiEM"), "float32")
        | dict.fromkeys(("d0TJVA", "d0SigTJVA", "z0sinthetaTJVA", "z0sinthetaSigTJVA"), "float32")
        | {"flagSet": "uint16"},
    ),
    "TauNeutralParticleFlowObjects": (
        "neutral",
        "neutralPFOLinks",
        dict.fromkeys(("pt", "eta", "phi", "m"), "float32")
        | {f"cellBased_{name}": "int32" if name.startswith("NPosECells") else "float32" for name in MOMENTS},
    ),
    "TauShotParticleFlowObjects": (
        "shots", "shotPFOLinks", dict.fromkeys(("pt", "eta", "phi"), "float32") | {"tauShots_nPhotons": "int32"}
    ),
    "CaloCalTopoClusters": (
        "clusters",
        "clusterLinks",
        dict.fromkeys(("e", "pt", "eta", "phi", "CENTER_LAMBDA", "SECOND_R", "EM_PROBABILITY"), "float32"),
    ),
}  # fmt: skip
"""Container → (field of a candidate, link column of ``TauJets``, columns and types)."""


class TruthTauBuilder(Tool):
    """Make ``TruthTaus`` of the generator's record: visible momentum, decay products, numbers of charged particles
    and π⁰.

    The walk from a tau stops at π±, K±, π⁰, K⁰, K⁰S, K⁰L, e, μ and γ; other particles are followed to what they decay
    to.
    """

    def reads(self) -> Sequence[str]:
        """Return the record."""
        return [f"TruthParticles.{name}" for name in RECORD]

    def writes(self) -> Sequence[str]:
        """Return the truth taus."""
        return ["TruthTaus.*"]

    def execute(self, events: Events, result: Any) -> None:
        """Build the container."""
        import awkward as ak

        particles = events["TruthParticles"]
        counts, columns, products = build_truth_taus({name: particles.flat(name) for name in RECORD}, particles.counts)
        lists = ak.unflatten(columns.pop("DecayModeVector"), products)
        events.add("TruthTaus", columns, counts=counts)["DecayModeVector"] = lists


class TauDetector(Tool):
    """Simulate the detector and reconstruct tau candidates from stable particles; a parametrised detector, not
    ATLAS simulation.

    Every jet above 10 GeV in |η| < 2.5 is a candidate, with tracks, neutral and shot particle-flow objects and
    clusters.
    """

    MuMin = Property(20.0, "lowest mean number of collisions per crossing; distributed evenly up to MuMax", minimum=0)
    MuMax = Property(70.0, "highest mean number of collisions per crossing", minimum=0)

    def reads(self) -> Sequence[str]:
        """Return what reaches a detector, and the event number that the random numbers belong to."""
        return [*(f"StableParticles.{name}" for name in STABLE), "EventInfo.eventNumber"]

    def writes(self) -> Sequence[str]:
        """Return the containers of reconstructed objects, and pile-up."""
        info = ("averageInteractionsPerCrossing", "actualInteractionsPerCrossing", "nPileUpVertices")
        return ["TauJets.*", *(f"{name}.*" for name in CONTAINERS), *(f"EventInfo.{name}" for name in info)]

    def initialize(self, context: Context) -> None:
        """Load the minimum-bias library."""
        if self.MuMin > self.MuMax:
            raise PropertyError(f"{self.name}.MuMin = {self.MuMin:g} is above MuMax = {self.MuMax:g}")
        self.library = load_library()

    def execute(self, events: Events, result: Any) -> None:
        """Simulate event by event; each has its own random numbers."""
        stable = events["StableParticles"]
        particles = _particles({name: stable.flat(name).astype(np.float64) for name in STABLE})
        edges = np.concatenate([[0], np.cumsum(stable.counts)])
        simulated = []
        for number, rng in enumerate(events.random(self).generators()):
            hard = particles[np.arange(edges[number], edges[number + 1])]
            simulated.append(simulate_event(rng, hard, self.library, (self.MuMin, self.MuMax)))
        info = events["EventInfo"]
        info["averageInteractionsPerCrossing"] = np.array([event.mu for event in simulated], dtype=np.float32)
        info["actualInteractionsPerCrossing"] = np.array([event.n_collisions for event in simulated], dtype=np.float32)
        info["nPileUpVertices"] = np.array([event.n_vertices for event in simulated], dtype=np.int32)
        _write(events, simulated)


def _particles(columns: Mapping[str, npt.NDArray[np.float64]]) -> Particles:
    pt = np.hypot(columns["px"], columns["py"])
    return Particles(
        pt=pt,
        eta=np.arcsinh(columns["pz"] / np.maximum(pt, 1e-3)),
        phi=np.arctan2(columns["py"], columns["px"]),
        pdg=columns["pdgId"].astype(np.int32),
        charge=columns["charge"],
        x=columns["prodX"],
        y=columns["prodY"],
        z=columns["prodZ"],
        vertex=np.zeros(len(pt), dtype=np.int32),
    )


def _write(events: Events, simulated: Sequence[EventResult]) -> None:
    """Make the containers of all candidates and link the taus to what belongs to them."""
    candidates = [candidate for event in simulated for candidate in event.candidates]
    per_event = np.array([len(event.candidates) for event in simulated], dtype=np.int64)
    owners = np.repeat(np.arange(len(simulated)), per_event)
    pile_up = {
        "mu": np.array([event.mu for event in simulated]),
        "nVtxPU": np.array([event.n_vertices for event in simulated]),
    }
    taus = events.add("TauJets", {}, counts=per_event)
    for name, dtype in TAU_COLUMNS.items():
        values = (
            pile_up[name][owners] if name in pile_up else np.array([candidate.tau[name] for candidate in candidates])
        )
        taus[name] = values.astype(dtype)
    for container, (field, link, types) in CONTAINERS.items():
        per_tau = _add(events, container, [getattr(candidate, field) for candidate in candidates], owners, types)
        taus[link] = events.link(container, _indices(per_tau, per_event))


def _add(
    events: Events,
    container: str,
    parts: Sequence[Mapping[str, npt.NDArray[Any]]],
    owners: npt.NDArray[np.int64],
    types: Mapping[str, str],
) -> npt.NDArray[np.int64]:
    """Make a container of the objects of all candidates; return how many each candidate has."""
    per_tau = np.array([len(part["pt"]) for part in parts], dtype=np.int64)
    counts = np.bincount(owners, weights=per_tau, minlength=len(events)).astype(np.int64)
    columns = {
        name: np.concatenate([np.zeros(0), *(part[name] for part in parts)]).astype(dtype)
        for name, dtype in types.items()
    }
    events.add(container, columns, counts=counts)
    return per_tau


def _indices(per_tau: npt.NDArray[np.int64], per_event: npt.NDArray[np.int64]) -> ak.Array:
    """Return the positions, in their event, of the objects of each tau: taus own neighbouring objects, in order."""
    import awkward as ak

    per_object_event = ak.sum(ak.unflatten(per_tau, per_event), axis=1)
    local = ak.flatten(
        ak.local_index(ak.unflatten(np.zeros(int(per_tau.sum()), dtype=np.int8), per_object_event), axis=1)
    )
    return ak.unflatten(ak.unflatten(local, per_tau), per_event)
