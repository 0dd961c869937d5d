"""One tau candidate from its cells and tracks: axes, energies, particle-flow objects and what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import Grid
from hepflow.plugins.simulation.clusters import cluster_cells, cluster_hadronic, moments
from hepflow.plugins.simulation.geometry import eta_from
from hepflow.plugins.simulation.particleflow import find_shots, subtract_charged
from hepflow.plugins.simulation.particles import delta_phi
from hepflow.plugins.simulation.tracking import BITS, Tracks, Vertices, choose_vertex, classify

__all__ = ["Candidate", "build_candidate"]

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[np.generic]]

CORE, WIDE = 0.2, 0.4
PION_MASS, NEUTRAL_PION_MASS = 139.57, 134.98
CLUSTER_PT_MIN, NEUTRAL_PT_MIN = 300.0, 700.0
"""MeV: clusters, and neutral particle-flow objects, below are not kept."""
PANTAU_NEUTRAL_PT = 2_000.0
"""MeV: neutral objects above enter the particle-flow momentum of the tau."""

HADRON_LAMBDA, HADRON_LAMBDA_WIDTH = 230.0, 25.0
"""mm: clusters with their centre deeper than this look hadronic; width of the transition."""
HADRON_WEIGHT = 1.18
"""Local calibration: weight of clusters that look hadronic."""
SCALE, OFFSET = 0.95, 25.0
"""Mean calibrated response around 40 GeV, and MeV for each reconstructed pile-up vertex: one number each for all
taus, so the scale of ``ptTauEnergyScale`` still depends on pt, η, decay and pile-up."""
CALO_RESOLUTION, FLOW_RESOLUTION = (0.06, 0.7, 4.0), (0.09, 0.0, 0.0006)
"""Assumed relative resolutions that weight the two energies in ``pt``: constant, 1/√(pt/GeV), and noise/(pt/GeV)
for the calorimeter, pt/GeV for particle flow."""
LARGEST_DIFFERENCE = 4.0
"""Standard deviations beyond which the calorimeter alone is believed."""

MOMENTS = (
    *("FIRST_ETA", "SECOND_R", "DELTA_THETA", "CENTER_LAMBDA", "LONGITUDINAL", "ENG_FRAC_CORE", "SECOND_ENG_DENS"),
    *("NPosECells_EM1", "NPosECells_EM2", "energy_EM1", "energy_EM2", "EM1CoreFrac"),
    *("firstEtaWRTClusterPosition_EM1", "firstEtaWRTClusterPosition_EM2"),
    *("secondEtaWRTClusterPosition_EM1", "secondEtaWRTClusterPosition_EM2"),
)
"""Moments that neutral particle-flow objects carry as ``cellBased_<name>``."""


@dataclass(frozen=True)
class Candidate:
    """A tau candidate: its own values, and the columns of its tracks, neutral objects, shots and clusters."""

    tau: Mapping[str, float]
    tracks: Columns
    neutral: Columns
    shots: Columns
    clusters: Columns


def build_candidate(grid: Grid, tracks: Tracks, vertices: Vertices, mu: float, eta: float, phi: float) -> Candidate:
    """Reconstruct the candidate of a seed at (``eta``, ``phi``), as seen from the middle of the detector.

    ``tracks`` are those of the whole event, ``mu`` the mean number of collisions, which the noise thresholds depend on.
    """
    z = choose_vertex(tracks, vertices, eta, phi)
    clusters, axis = _clusters_and_axis(grid, mu, z, eta, phi)
    own = tracks[np.hypot(tracks.eta - axis["eta"], delta_phi(tracks.phi, axis["phi"])) < WIDE]
    flags = classify(own, z, axis["eta"], axis["phi"], axis["pt"])
    charged = own[(flags >> BITS["charged"]) & 1 == 1]
    remaining = subtract_charged(grid, charged.calo_eta, charged.calo_phi, charged.momentum)
    neutral = _neutral_objects(remaining, mu, z, axis)
    shots = _shots(grid, mu, z, axis)
    tau = _energies(axis, charged, neutral, vertices.n_pile_up)
    tau |= {"charge": float(charged.charge.sum()), "nTracks": float(len(charged))}
    return Candidate(tau, _track_columns(own, flags, z), neutral, shots, clusters)


def _clusters_and_axis(
    grid: Grid, mu: float, z: float, eta: float, phi: float
) -> tuple[dict[str, Floats], dict[str, float]]:
    """Return the calibrated clusters within 0.4 of the seed, and the sum of those within 0.2 of their own sum (the
    intermediate axis)."""
    electromagnetic = moments(cluster_cells(grid, mu), full=False)
    energy, had_eta, had_phi = cluster_hadronic(grid, mu)
    hadronic = 1.0 / (1.0 + np.exp(-(electromagnetic["CENTER_LAMBDA"] - HADRON_LAMBDA) / HADRON_LAMBDA_WIDTH))
    zero = np.zeros(len(energy))
    weight = np.concatenate([1.0 + (HADRON_WEIGHT - 1.0) * hadronic, np.full(len(energy), HADRON_WEIGHT)])
    all_eta = eta_from(np.concatenate([electromagnetic["eta"], had_eta]), z)
    e = np.concatenate([electromagnetic["energy"], energy]) * weight
    columns = {
        "e": e,
        "pt": e / np.cosh(all_eta),
        "eta": all_eta,
        "phi": delta_phi(np.concatenate([electromagnetic["phi"], had_phi]), 0.0),
        "CENTER_LAMBDA": np.concatenate([electromagnetic["CENTER_LAMBDA"], zero + 1100.0]),
        "SECOND_R": np.concatenate([electromagnetic["SECOND_R"], zero]),
        "EM_PROBABILITY": np.concatenate([1.0 - hadronic, zero]),
    }
    columns = _chosen(columns, columns["pt"] > CLUSTER_PT_MIN)
    start = float(eta_from(eta, z)), phi
    columns = _chosen(columns, _distance(columns, *start) < WIDE)
    total = _sum(columns, *start)
    core = _chosen(columns, _distance(columns, total["eta"], total["phi"]) < CORE)
    return columns, _sum(core, *start)


def _neutral_objects(remaining: Grid, mu: float, z: float, axis: Mapping[str, float]) -> dict[str, Floats]:
    """Return the neutral particle-flow objects: what is left in the electromagnetic calorimeter within 0.2 of the
    axis."""
    seen_from_middle = float(eta_from(axis["eta"], -z))
    found = moments(cluster_cells(remaining, mu, (seen_from_middle, axis["phi"], CORE)))
    eta = eta_from(found["eta"], z)
    columns = {"pt": found["energy"] / np.cosh(eta), "eta": eta, "phi": delta_phi(found["phi"], 0.0)}
    columns["m"] = np.full(len(eta), NEUTRAL_PION_MASS)
    columns |= {f"cellBased_{name}": found[name] for name in MOMENTS}
    return _in_core(columns, axis, NEUTRAL_PT_MIN)


def _shots(grid: Grid, mu: float, z: float, axis: Mapping[str, float]) -> dict[str, Floats]:
    found = find_shots(grid, mu)
    eta = eta_from(found["eta"], z)
    columns = found | {
        "eta": eta,
        "phi": delta_phi(found["phi"], 0.0),
        "pt": found["pt"] * np.cosh(found["eta"]) / np.cosh(eta),
    }
    return _in_core(columns, axis, 0.0)


def _in_core(columns: dict[str, Floats], axis: Mapping[str, float], pt_min: float) -> dict[str, Floats]:
    """Return the objects near the axis above a pt, hardest first."""
    near = np.flatnonzero((_distance(columns, axis["eta"], axis["phi"]) < CORE) & (columns["pt"] > pt_min))
    return _chosen(columns, near[np.argsort(-columns["pt"][near], kind="stable")])


def _energies(
    axis: Mapping[str, float], charged: Tracks, neutral: Mapping[str, Floats], n_vertices: int
) -> dict[str, float]:
    """Return the momenta of the candidate at its levels: clusters, corrected clusters, particle flow, and both
    combined (``pt``)."""
    used = neutral["pt"] > PANTAU_NEUTRAL_PT
    flow = {
        "pt": np.concatenate([charged.pt, neutral["pt"][used]]),
        "eta": np.concatenate([charged.eta, neutral["eta"][used]]),
        "phi": np.concatenate([charged.phi, neutral["phi"][used]]),
    }
    mass = np.concatenate([np.full(len(charged), PION_MASS), neutral["m"][used]])
    pantau = _sum(flow, axis["eta"], axis["phi"], mass) if len(mass) else dict(axis)
    scaled = max((axis["pt"] - OFFSET * n_vertices) / SCALE, 1.0)
    return {
        "pt": _combine(scaled, pantau["pt"]), "eta": pantau["eta"], "phi": pantau["phi"], "m": 0.0,
        "ptIntermediateAxis": axis["pt"], "etaIntermediateAxis": axis["eta"], "phiIntermediateAxis": axis["phi"],
        "mIntermediateAxis": axis["m"],
        "ptTauEnergyScale": scaled, "etaTauEnergyScale": axis["eta"], "phiTauEnergyScale": axis["phi"],
        "ptPanTauCellBased": pantau["pt"], "etaPanTauCellBased": pantau["eta"], "phiPanTauCellBased": pantau["phi"],
        "mPanTauCellBased": pantau["m"],
    }  # fmt: skip


def _combine(calo: float, flow: float) -> float:
    """Return the mean of two pt (MeV) weighted by their assumed resolutions; the calorimeter's where they disagree."""
    gev = calo / 1000.0
    constant, stochastic, noise = CALO_RESOLUTION
    calo_error = calo * float(np.sqrt(constant**2 + stochastic**2 / gev + (noise / gev) ** 2))
    constant, _, rise = FLOW_RESOLUTION
    flow_error = flow * float(np.hypot(constant, rise * flow / 1000.0))
    if abs(calo - flow) > LARGEST_DIFFERENCE * np.hypot(calo_error, flow_error):
        return calo
    weight = flow_error**2 / (calo_error**2 + flow_error**2)
    return weight * calo + (1.0 - weight) * flow


def _track_columns(tracks: Tracks, flags: npt.NDArray[np.uint16], z: float) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of the candidate's tracks, impact parameters relative to its vertex."""
    sine = 1.0 / np.cosh(tracks.eta)
    z0 = (tracks.z0 - z) * sine
    return {
        "pt": tracks.pt, "eta": tracks.eta, "phi": tracks.phi, "flagSet": flags, "charge": tracks.charge,
        "d0TJVA": tracks.d0, "d0SigTJVA": tracks.d0 / tracks.d0_error,
        "z0sinthetaTJVA": z0, "z0sinthetaSigTJVA": z0 / (tracks.z0_error * sine),
        "CaloSamplingEtaEM": eta_from(tracks.calo_eta, z), "CaloSamplingPhiEM": tracks.calo_phi,
    }  # fmt: skip


def _chosen(columns: Mapping[str, Floats], which: npt.NDArray[np.generic]) -> dict[str, Floats]:
    return {name: values[which] for name, values in columns.items()}


def _distance(columns: Mapping[str, Floats], eta: float, phi: float) -> Floats:
    distance: Floats = np.hypot(columns["eta"] - eta, delta_phi(columns["phi"], phi))
    return distance


def _sum(columns: Mapping[str, Floats], eta: float, phi: float, mass: Floats | float = 0.0) -> dict[str, float]:
    """Return pt, η, φ, m of a sum of momenta; (1 MeV, ``eta``, ``phi``) for nothing."""
    pt = columns["pt"]
    if not len(pt):
        return {"pt": 1.0, "eta": eta, "phi": float(delta_phi(phi, 0.0)), "m": 0.0}
    px, py, pz = (
        float(v.sum()) for v in (pt * np.cos(columns["phi"]), pt * np.sin(columns["phi"]), pt * np.sinh(columns["eta"]))
    )
    energy = float(np.hypot(pt * np.cosh(columns["eta"]), mass).sum())
    total = max(float(np.hypot(px, py)), 1.0)
    square = energy**2 - px**2 - py**2 - pz**2
    return {
        "pt": total,
        "eta": float(np.arcsinh(pz / total)),
        "phi": float(np.arctan2(py, px)),
        "m": float(np.sqrt(max(square, 0.0))),
    }
