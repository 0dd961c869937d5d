"""Tau candidates from their cells and tracks: axes, energies, particle-flow objects and what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import Grid
from hepflow.plugins.simulation.clusters import (
    Cells,
    cluster_cells,
    cluster_hadronic,
    moments,
    shape_moments,
)
from hepflow.plugins.simulation.geometry import calorimeter_radius, eta_from
from hepflow.plugins.simulation.identification import identification, scale_inputs
from hepflow.plugins.simulation.particleflow import find_shots, subtract_charged
from hepflow.plugins.simulation.particles import delta_phi, pairs
from hepflow.plugins.simulation.tracking import BITS, Tracks, Vertices, choose_vertex, classify
from hepflow.plugins.simulation.vectors import Momenta, Objects, add_up, renumbered

__all__ = ["MOMENTS", "Candidates", "Seeds", "Skim", "build_candidates"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

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
class Seeds:
    """Where candidates are made: event in the block, η and φ (as seen from the middle of the detector), and of their
    events the mean number of collisions, which noise thresholds depend on, and of reconstructed pile-up vertices."""

    event: Ints
    eta: Floats
    phi: Floats
    mu: Floats
    n_vertices: Ints

    def __len__(self) -> int:
        return len(self.event)

    def where(self, kept: Mask) -> Seeds:
        """Return some of the seeds."""
        return Seeds(*(getattr(self, field.name)[kept] for field in fields(self)))


@dataclass(frozen=True)
class Candidates:
    """Tau candidates: the event of each, their own columns, and their tracks, neutral objects, shots and clusters."""

    event: Ints
    tau: Mapping[str, npt.NDArray[Any]]
    tracks: Objects
    neutral: Objects
    shots: Objects
    clusters: Objects

    def where(self, kept: Mask) -> Candidates:
        """Return some of the candidates with what belongs to them."""
        parts = (part.of(kept) for part in (self.tracks, self.neutral, self.shots, self.clusters))
        return Candidates(self.event[kept], {name: values[kept] for name, values in self.tau.items()}, *parts)


@dataclass(frozen=True)
class Skim:
    """Which candidates are kept: those with at least this pt (MeV) and one of these numbers of tracks (none: any)."""

    pt_min: float = 0.0
    prongs: Sequence[int] = ()


def build_candidates(grid: Grid, seeds: Seeds, tracks: Tracks, vertices: Vertices, skim: Skim) -> Candidates:
    """Reconstruct the candidates of the seeds; ``tracks`` and ``vertices`` are all of the block. What the skim drops
    goes as soon as its tracks are counted, before most of the work."""
    z = choose_vertex(tracks, vertices, seeds.event, seeds.eta, seeds.phi)
    clusters, cells = _clusters(grid, seeds, z)
    axes, levels = _axes(clusters, seeds, z)
    own, owner = _own_tracks(tracks, seeds, axes)
    flags = classify(own, owner, z, axes.eta, axes.phi, axes.pt)
    is_charged = (flags >> BITS["charged"]) & 1 == 1
    if skim.prongs:
        kept = np.isin(np.bincount(owner[is_charged], minlength=len(seeds)), skim.prongs)
        of_kept = kept[owner]
        own, owner, flags, is_charged = own[of_kept], renumbered(owner, kept), flags[of_kept], is_charged[of_kept]
        grid, seeds, z, clusters, axes = grid[kept], seeds.where(kept), z[kept], clusters.of(kept), axes.where(kept)
        cells, levels = [part.of(kept) for part in cells], {name: values[kept] for name, values in levels.items()}
    charged, charged_owner = own[is_charged], owner[is_charged]
    remaining = subtract_charged(grid, charged_owner, charged.calo_eta, charged.calo_phi, charged.momentum)
    neutral = _neutral_objects(remaining, seeds.mu, z, axes)
    shots = _shots(grid, seeds.mu, z, axes)
    tau: dict[str, npt.NDArray[Any]] = levels | _energies(axes, seeds, charged, charged_owner, neutral)
    count = np.bincount(charged_owner, minlength=len(seeds))
    tau |= {"charge": np.bincount(charged_owner, weights=charged.charge, minlength=len(seeds)), "nTracks": count}
    columns = Objects(owner, _track_columns(own, flags, z[owner]))
    tau |= identification(axes, z, columns, own, clusters, cells)
    tau |= scale_inputs(axes, columns, clusters, neutral.where(neutral["pt"] > PANTAU_NEUTRAL_PT))
    every = Candidates(seeds.event, tau, columns, neutral, shots, clusters)
    return every.where(tau["pt"] >= skim.pt_min) if skim.pt_min else every


def _own_tracks(tracks: Tracks, seeds: Seeds, axes: Momenta) -> tuple[Tracks, Ints]:
    """Return the tracks within 0.4 of the candidates' axes, and their candidates."""
    owner, track = pairs(seeds.event, tracks.event, int(seeds.event.max(initial=-1)) + 1)
    near = axes.distance(owner, tracks.eta[track], tracks.phi[track]) < WIDE
    return tracks[track[near]], owner[near]


def _clusters(grid: Grid, seeds: Seeds, z: Floats) -> tuple[Objects, list[Cells]]:
    """Return the calibrated clusters within 0.4 of the seeds, and the electromagnetic and hadronic cells of clusters.

    η is seen from the vertex; ``middle_eta`` from the middle of the detector.
    """
    pillars = cluster_cells(grid, seeds.mu)
    electromagnetic = shape_moments(pillars)
    had_cells, had_owner, hadronic = cluster_hadronic(grid, seeds.mu)
    probability = 1.0 / (1.0 + np.exp(-(electromagnetic["CENTER_LAMBDA"] - HADRON_LAMBDA) / HADRON_LAMBDA_WIDTH))
    owner, n = np.concatenate([pillars.owner, had_owner]), len(had_owner)
    columns = {name: np.concatenate([electromagnetic[name], hadronic[name]]) for name in hadronic}
    energy, middle_eta = columns.pop("energy"), columns["eta"]
    eta = eta_from(middle_eta, z[owner])
    probability = np.concatenate([1.0 - probability, np.zeros(n)])
    weight = HADRON_WEIGHT - (HADRON_WEIGHT - 1.0) * probability
    columns |= {
        "rawE": energy,
        "e": energy * weight,
        "pt": energy * weight / np.cosh(eta),
        "eta": eta,
        "phi": delta_phi(columns["phi"], 0.0),
        "middle_eta": middle_eta,
        "CENTER_MAG": calorimeter_radius(middle_eta) * np.cosh(middle_eta) + columns["CENTER_LAMBDA"],
        "EM_PROBABILITY": probability,
        "electromagnetic": np.concatenate([electromagnetic["energy"], np.zeros(n)]),
        "front": np.concatenate([electromagnetic["energy_EM1"] + electromagnetic["energy_EM2"], np.zeros(n)]),
    }
    distance = np.hypot(eta - eta_from(seeds.eta, z)[owner], delta_phi(columns["phi"], seeds.phi[owner]))
    kept = Objects(owner, columns).where((columns["pt"] > CLUSTER_PT_MIN) & (distance < WIDE))
    return kept.where(np.argsort(kept.owner, kind="stable")), [pillars.cells, had_cells]


def _axes(clusters: Objects, seeds: Seeds, z: Floats) -> tuple[Momenta, dict[str, Floats]]:
    """Return the intermediate axes, which are the sums of the clusters within 0.2 of the sum of all, and the columns
    of the levels that are made from clusters alone."""
    n, owner, phi = len(seeds), clusters.owner, clusters["phi"]
    start = eta_from(seeds.eta, z), seeds.phi
    total = add_up(n, owner, clusters["pt"], clusters["eta"], phi, empty=start)
    core = clusters.where(total.distance(owner, clusters["eta"], phi) < CORE)
    axes = add_up(n, core.owner, core["pt"], core["eta"], core["phi"], empty=start)
    raw_pt = core["rawE"] / np.cosh(core["eta"])
    raw = add_up(n, core.owner, raw_pt, core["eta"], core["phi"], empty=start)
    middle = seeds.eta, seeds.phi
    seed = add_up(n, owner, clusters["e"] / np.cosh(clusters["middle_eta"]), clusters["middle_eta"], phi, empty=middle)
    near = clusters.where(seed.distance(owner, clusters["middle_eta"], phi) < CORE)
    near_pt = near["e"] / np.cosh(near["middle_eta"])
    detector = add_up(n, near.owner, near_pt, near["middle_eta"], near["phi"], empty=middle)
    levels = axes.columns("IntermediateAxis", mass=True) | {"ptIntermediateAxisEM": raw.pt}
    return axes, levels | seed.columns("JetSeed") | detector.columns("DetectorAxis")


def _neutral_objects(remaining: Grid, mu: Floats, z: Floats, axes: Momenta) -> Objects:
    """Return the neutral particle-flow objects: what is left in the electromagnetic calorimeter within 0.2 of the
    axis."""
    pillars = cluster_cells(remaining, mu, (eta_from(axes.eta, -z), axes.phi, CORE))
    found = moments(pillars)
    eta = eta_from(found["eta"], z[pillars.owner])
    columns = {"pt": found["energy"] / np.cosh(eta), "eta": eta, "phi": delta_phi(found["phi"], 0.0)}
    columns["m"] = np.full(len(eta), NEUTRAL_PION_MASS)
    columns |= {f"cellBased_{name}": found[name] for name in MOMENTS}
    return _in_core(Objects(pillars.owner, columns), axes, NEUTRAL_PT_MIN)


def _shots(grid: Grid, mu: Floats, z: Floats, axes: Momenta) -> Objects:
    owner, found = find_shots(grid, mu)
    eta = eta_from(found["eta"], z[owner])
    columns = found | {
        "eta": eta,
        "phi": delta_phi(found["phi"], 0.0),
        "pt": found["pt"] * np.cosh(found["eta"]) / np.cosh(eta),
    }
    return _in_core(Objects(owner, columns), axes, 0.0)


def _in_core(objects: Objects, axes: Momenta, pt_min: float) -> Objects:
    """Return the objects near the axes above a pt, hardest first."""
    near = axes.distance(objects.owner, objects["eta"], objects["phi"]) < CORE
    return objects.where(near & (objects["pt"] > pt_min)).ordered()


def _energies(axes: Momenta, seeds: Seeds, charged: Tracks, owner: Ints, neutral: Objects) -> dict[str, Floats]:
    """Return the momenta of the candidates at their levels: corrected clusters, particle flow, and both combined
    (``pt``)."""
    used = neutral.where(neutral["pt"] > PANTAU_NEUTRAL_PT)
    pantau = add_up(
        len(seeds),
        np.concatenate([owner, used.owner]),
        np.concatenate([charged.pt, used["pt"]]),
        np.concatenate([charged.eta, used["eta"]]),
        np.concatenate([charged.phi, used["phi"]]),
        np.concatenate([np.full(len(owner), PION_MASS), used["m"]]),
    )
    empty = np.bincount(np.concatenate([owner, used.owner]), minlength=len(seeds)) == 0
    pantau = Momenta(
        *(np.where(empty, getattr(axes, name), getattr(pantau, name)) for name in ("pt", "eta", "phi", "m"))
    )
    scaled = np.maximum((axes.pt - OFFSET * seeds.n_vertices) / SCALE, 1.0)
    combined = _combine(scaled, pantau.pt)
    return {
        "pt": combined, "eta": pantau.eta, "phi": pantau.phi, "m": np.zeros(len(seeds)), "ptCombined": combined,
        "ptTauEnergyScale": scaled, "etaTauEnergyScale": axes.eta, "phiTauEnergyScale": axes.phi,
        **pantau.columns("PanTauCellBased", mass=True),
    }  # fmt: skip


def _combine(calo: Floats, flow: Floats) -> Floats:
    """Return the means of two pt (MeV) weighted by their assumed resolutions; the calorimeter's where they disagree."""
    gev = calo / 1000.0
    constant, stochastic, noise = CALO_RESOLUTION
    calo_error = calo * np.sqrt(constant**2 + stochastic**2 / gev + (noise / gev) ** 2)
    constant, _, rise = FLOW_RESOLUTION
    flow_error = flow * np.hypot(constant, rise * flow / 1000.0)
    weight = flow_error**2 / (calo_error**2 + flow_error**2)
    disagree = np.abs(calo - flow) > LARGEST_DIFFERENCE * np.hypot(calo_error, flow_error)
    mean: Floats = np.where(disagree, calo, weight * calo + (1.0 - weight) * flow)
    return mean


def _track_columns(tracks: Tracks, flags: npt.NDArray[np.uint16], z: Floats) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of the candidates' tracks, impact parameters relative to their vertices."""
    sine = 1.0 / np.cosh(tracks.eta)
    z0 = (tracks.z0 - z) * sine
    return {
        "pt": tracks.pt, "eta": tracks.eta, "phi": tracks.phi, "flagSet": flags, "charge": tracks.charge,
        "d0TJVA": tracks.d0, "d0SigTJVA": tracks.d0 / tracks.d0_error,
        "z0sinthetaTJVA": z0, "z0sinthetaSigTJVA": z0 / (tracks.z0_error * sine),
        "CaloSamplingEtaEM": eta_from(tracks.calo_eta, z), "CaloSamplingPhiEM": tracks.calo_phi,
        "nInnermostPixelHits": tracks.innermost, "nPixelHits": tracks.pixels + tracks.innermost,
        "nSCTHits": 2 * tracks.strips,
    }  # fmt: skip
