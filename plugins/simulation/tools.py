"""The tools of the built-in sample: truth taus, and the detector that makes tau candidates of stable particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import PropertyError
from hepflow.events.layout import jagged
from hepflow.events.scope import offsets_from
from hepflow.plugins.simulation.candidate import MOMENTS, Skim
from hepflow.plugins.simulation.detector import BlockResult, simulate
from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.minbias import load_library
from hepflow.plugins.simulation.particles import Particles, ranges
from hepflow.plugins.simulation.truth import RECORD, build_truth_taus

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["CONTAINERS", "TauDetector", "TruthTauBuilder"]

STABLE = ("pdgId", "px", "py", "pz", "charge", "prodX", "prodY", "prodZ")

AT_ONCE = 100
"""Events that go through the detector together; their number changes memory and speed, nothing else."""

MALLOC_KEEPS = 31 * 2**20
"""glibc's malloc learns from the largest array that is given back (up to 32 MiB) what it need not return to the system
at once (mallopt(3), M_MMAP_THRESHOLD). Without, a tenth of the time goes into getting the same pages again."""

_AXES = ("IntermediateAxis", "TauEnergyScale", "PanTauCellBased", "JetSeed", "DetectorAxis")
_IDENTIFICATION = (
    *("centFrac", "isolFrac", "etEMAtEMScale", "etHadAtEMScale", "EMPOverTrkSysP", "massTrkSys", "trFlightPathSig"),
    *("dRmax", "innerTrkAvgDist", "SumPtTrkFrac", "absipSigLeadTrk", "etOverPtLeadTrk", "ABS_ETA_LEAD_TRACK"),
    *("ptRatioEflowApprox", "mEflowApprox"),
)
_SCALE = (
    *("ClustersMeanCenterLambda", "ClustersMeanSecondLambda", "ClustersMeanFirstEngDens", "ClustersMeanEMProbability"),
    *("LeadClusterFrac", "UpsilonCluster", "ClusterTotalEnergy", "PFOEngRelDiff", "ptIntermediateAxisEM", "ptCombined"),
)
TAU_COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("pt", "eta", "phi", "m", "charge"), "float32"),
    **{f"{name}{axis}": "float32" for axis in _AXES for name in ("pt", "eta", "phi")},
    **dict.fromkeys(("mIntermediateAxis", "mPanTauCellBased", "mu", *_IDENTIFICATION, *_SCALE), "float32"),
    **dict.fromkeys(("nTracks", "nVtxPU"), "int32"),
}
"""Columns of ``TauJets`` besides links. ``pt`` combines calorimeter and particle flow; momenta in MeV."""
_OF_EVENT = {"mu": "mu", "nVtxPU": "n_vertices"}

CONTAINERS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "TauTracks": (
        "tracks",
        "tauTrackLinks",
        dict.fromkeys(("pt", "eta", "phi", "charge", "CaloSamplingEtaEM", "CaloSamplingPhiEM"), "float32")
        | dict.fromkeys(("d0TJVA", "d0SigTJVA", "z0sinthetaTJVA", "z0sinthetaSigTJVA"), "float32")
        | {"flagSet": "uint16"}
        | dict.fromkeys(("nInnermostPixelHits", "nPixelHits", "nSCTHits"), "uint8"),
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
        dict.fromkeys(("e", "pt", "eta", "phi", "rawE", "CENTER_LAMBDA", "CENTER_MAG", "SECOND_R"), "float32")
        | dict.fromkeys(("SECOND_LAMBDA", "FIRST_ENG_DENS", "EM_PROBABILITY"), "float32"),
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

    PtMin = Property(0.0, "candidates that are kept have at least this pt [MeV]", minimum=0)
    Prongs: Property[tuple[int, ...]] = Property(
        (), "numbers of tracks of candidates that are kept; empty: any", item=int
    )

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
        np.empty(MALLOC_KEEPS, dtype=np.uint8)

    def execute(self, events: Events, result: Any) -> None:
        """Simulate some events at a time; each has its own random numbers."""
        stable = events["StableParticles"]
        particles = _particles({name: stable.flat(name).astype(np.float64) for name in STABLE}, stable.counts)
        edges = np.concatenate([[0], np.cumsum(stable.counts)])
        generators = _generators(events.random(self).uniform(2), stable.flat("px"), stable.counts)
        simulated = []
        for first in range(0, max(len(events), 1), AT_ONCE):
            last = min(first + AT_ONCE, len(events))
            hard = particles[edges[first] : edges[last]]
            hard = replace(hard, event=hard.event - first)
            draws = Draws(generators[first:last])
            skim = Skim(self.PtMin, self.Prongs)
            simulated.append(simulate(draws, hard, self.library, (self.MuMin, self.MuMax), skim))
        info = events["EventInfo"]
        mu, n_collisions, n_vertices = (
            np.concatenate([getattr(block, name) for block in simulated])
            for name in ("mu", "n_collisions", "n_vertices")
        )
        info["averageInteractionsPerCrossing"] = mu.astype(np.float32)
        info["actualInteractionsPerCrossing"] = n_collisions.astype(np.float32)
        info["nPileUpVertices"] = n_vertices.astype(np.int32)
        _write(events, simulated)


def _generators(
    numbers: npt.NDArray[np.float64], px: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> list[np.random.Generator]:
    """Return a generator for each event, seeded by two random numbers and by what was generated: the same event number
    of two seeds of Pythia sees different pile-up and noise."""
    owner = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(owner, weights=px, minlength=len(counts)).astype(np.float64)
    words = (numbers.reshape(-1, 2) * 2.0**53).astype(np.uint64)
    seeds = np.column_stack([words, total.view(np.uint64)])
    # numpy splits them into halves, without leading zeros: the same is faster where it is done for all at once
    whole = ((seeds >> 32).min(axis=1) > 0).tolist()
    parts = zip(seeds, seeds.view(np.uint32), whole, strict=True)
    return [np.random.Generator(np.random.SFC64(halves if good else seed)) for seed, halves, good in parts]


def _particles(columns: Mapping[str, npt.NDArray[np.float64]], counts: npt.NDArray[np.int64]) -> Particles:
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
        event=np.repeat(np.arange(len(counts)), counts),
    )


def _write(events: Events, simulated: Sequence[BlockResult]) -> None:
    """Make the containers of all candidates and link the taus to what belongs to them."""
    per_event = np.concatenate([np.bincount(block.candidates.event, minlength=len(block.mu)) for block in simulated])
    owners = np.repeat(np.arange(len(per_event)), per_event)
    taus = events.add("TauJets", {}, counts=per_event)
    for name, dtype in TAU_COLUMNS.items():
        if name in _OF_EVENT:
            values = np.concatenate([getattr(block, _OF_EVENT[name])[block.candidates.event] for block in simulated])
        else:
            values = np.concatenate([block.candidates.tau[name] for block in simulated])
        taus[name] = values.astype(dtype)
    for container, (field, link, types) in CONTAINERS.items():
        parts = [getattr(block.candidates, field) for block in simulated]
        per_tau = np.concatenate(
            [
                np.bincount(part.owner, minlength=len(block.candidates.event))
                for part, block in zip(parts, simulated, strict=True)
            ]
        )
        counts = np.bincount(owners, weights=per_tau, minlength=len(events)).astype(np.int64)
        columns = {name: np.concatenate([part[name] for part in parts]).astype(dtype) for name, dtype in types.items()}
        events.add(container, columns, counts=counts)
        taus[link] = events.link(container, _indices(counts, per_tau, per_event))


def _indices(
    counts: npt.NDArray[np.int64], per_tau: npt.NDArray[np.int64], per_event: npt.NDArray[np.int64]
) -> ak.Array:
    """Return the positions, in their event, of the objects of each tau: taus own neighbouring objects, in order.

    ``counts`` are the objects and ``per_event`` the taus of each event, ``per_tau`` the objects of each tau.
    """
    positions = ranges(np.zeros(len(counts), dtype=np.int64), counts)
    return jagged(positions, offsets_from(per_tau), offsets_from(per_event))
