"""The inner detector: conversions, reconstructed tracks, vertices and the classes of tracks.

Efficiencies and resolutions are rounded from "The ATLAS Experiment at the CERN Large Hadron Collider", JINST 3 (2008)
S08003, chapter 10 (momentum, efficiency), and for the impact parameters, which the innermost layer at 33 mm added in
2014 has improved, from ATL-PHYS-PUB-2015-018.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.geometry import CURVATURE, ETA_MAX, inner_material, propagate
from hepflow.plugins.simulation.particles import ELECTRON, MUON, PHOTON, Particles, delta_phi

__all__ = [
    "BITS",
    "Tracks",
    "Vertices",
    "choose_vertex",
    "classify",
    "convert_photons",
    "make_vertices",
    "reconstruct_tracks",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PT_MIN = 1000.0
"""MeV: tracks of taus have at least this pt."""
INNERMOST_RADIUS, LAST_START_RADIUS = 33.0, 300.0
"""mm: radius of the innermost layer, and the largest radius at which a particle may start and still leave a track."""
TWO_TRACK_DISTANCE = 0.10
"""mm at the innermost layer below which two tracks merge (a few pixels of 50 µm)."""
TRANSITION_RATIO = {"electron": 0.85, "other": 0.05}
"""Chance that the transition radiation tracker calls a track an electron (S08003, chapter 10)."""
INNERMOST_HIT = {"inside": 0.98, "outside": 0.04}
"""Chance of a hit in the innermost layer for particles that start before and behind it."""

BEAM_LENGTH = 40.0
"""mm, spread of the collisions along the beam."""
VERTEX_EFFICIENCY = 0.75
VERTEX_MERGING = 0.7
"""Share of pile-up vertices that are found, and the distance (mm) below which two become one."""
VERTEX_RESOLUTION = 0.03

BITS = {"coreTrack": 2, "wideTrack": 3, "passTrkSelector": 4, "charged": 5, "isolation": 6, "conversion": 7, "fake": 8}
"""Bits of ``TauTracks.flagSet``."""
CORE = 0.2
Z0_MAX, D0_MAX = 1.5, 1.0
"""mm: tracks beyond are not of this vertex."""
SIGNAL_CONE, CONE_RANGE = 8_000.0, (0.08, 0.2)
"""Tracks within ΔR < SIGNAL_CONE / pt of the candidate, kept in this range, are classified as charged, others as
isolation."""
PAIR_ETA, PAIR_PHI = 0.005, 0.1
"""Two tracks of opposite charge closer than this may be one conversion."""


@dataclass(frozen=True)
class Tracks:
    """Reconstructed tracks: perigee to the beam line (MeV, mm), errors, impact on the calorimeter as seen from the
    middle, and two hints.

    ``electron_like`` and ``innermost`` are what the transition radiation tracker and the innermost pixel layer say.
    """

    pt: Floats
    eta: Floats
    phi: Floats
    charge: Floats
    d0: Floats
    z0: Floats
    d0_error: Floats
    z0_error: Floats
    calo_eta: Floats
    calo_phi: Floats
    electron_like: Bools
    innermost: Bools

    def __len__(self) -> int:
        return len(self.pt)

    def __getitem__(self, chosen: Bools | npt.NDArray[np.int64]) -> Tracks:
        """Return some of the tracks (mask or positions)."""
        return Tracks(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def momentum(self) -> Floats:
        """Return |p| (MeV)."""
        return self.pt * np.cosh(self.eta)


@dataclass(frozen=True)
class Vertices:
    """True z of all collisions (number 0 is the hard one), and z of the reconstructed vertices, the hard one first
    (mm)."""

    true_z: Floats
    reconstructed_z: Floats

    @property
    def n_pile_up(self) -> int:
        """Return the number of reconstructed vertices besides the hard one."""
        return len(self.reconstructed_z) - 1


def make_vertices(rng: np.random.Generator, n_pile_up: int) -> Vertices:
    """Return the vertices of an event with this many further collisions."""
    true = rng.normal(0.0, BEAM_LENGTH, n_pile_up + 1)
    found = true[1:][rng.random(n_pile_up) < VERTEX_EFFICIENCY]
    found = np.sort(found[np.abs(found - true[0]) > VERTEX_MERGING])
    separate = np.concatenate([[True], np.diff(found) > VERTEX_MERGING])[: len(found)]
    measured = np.concatenate([true[:1], found[separate]])
    return Vertices(true, measured + VERTEX_RESOLUTION * rng.standard_normal(len(measured)))


def convert_photons(rng: np.random.Generator, particles: Particles, pt_min: float = PT_MIN) -> Particles:
    """Return the particles with some photons turned into electron pairs.

    The chance is 1 − exp(−7/9 x) for x radiation lengths; the pair shares the momentum evenly distributed and starts
    where the photon converted, without opening angle.
    """
    photon = (particles.code == PHOTON) & (particles.pt > pt_min) & (np.abs(particles.eta) < ETA_MAX)
    candidates = np.flatnonzero(photon)
    if not len(candidates):
        return particles
    chance = -np.expm1(-7.0 / 9.0 * inner_material(particles.eta[candidates]))
    converted = candidates[rng.random(len(candidates)) < chance]
    share, radius = rng.uniform(0.02, 0.98, len(converted)), rng.uniform(25.0, 400.0, len(converted))
    photons = particles[converted]
    pair = []
    for sign, part in ((1.0, share), (-1.0, 1.0 - share)):
        pair.append(
            Particles(
                pt=photons.pt * part,
                eta=photons.eta,
                phi=photons.phi,
                pdg=np.full(len(converted), -int(sign) * ELECTRON, dtype=np.int32),
                charge=np.full(len(converted), sign),
                x=photons.x + radius * np.cos(photons.phi),
                y=photons.y + radius * np.sin(photons.phi),
                z=photons.z + radius * np.sinh(photons.eta),
                vertex=photons.vertex,
            )
        )
    kept = np.ones(len(particles), dtype=bool)
    kept[converted] = False
    return Particles.join([particles[kept], *pair])


def reconstruct_tracks(rng: np.random.Generator, particles: Particles) -> Tracks:
    """Return the tracks of charged particles with pt above 1 GeV and |η| < 2.5."""
    charged = particles[(particles.charge != 0) & (particles.pt > 0.9 * PT_MIN) & (np.abs(particles.eta) < ETA_MAX)]
    charged = charged[_found(rng, charged)]
    d0, z0, phi = _perigee(charged)
    gev, cosh = charged.pt / 1000.0, np.cosh(charged.eta)
    n = len(charged)
    noise = rng.standard_normal((5, n))
    d0_error = np.hypot(0.012, 0.080 * np.sqrt(cosh) / gev)
    z0_error = np.hypot(0.060, 0.100 * cosh / gev) * np.sqrt(cosh)
    curvature = (1.0 + np.hypot(0.013, 0.00036 * gev) * noise[0]) * np.where(charged.charge > 0, 1.0, -1.0) / charged.pt
    eta = charged.eta + np.hypot(0.0005, 0.002 / gev) * noise[1]
    phi = phi + np.hypot(0.00007, 0.0017 / gev) * noise[2]
    start = np.hypot(charged.x, charged.y)
    impact = propagate(charged)
    electron = rng.random(n) < np.where(
        charged.code == ELECTRON, TRANSITION_RATIO["electron"], TRANSITION_RATIO["other"]
    )
    innermost = rng.random(n) < np.where(start < INNERMOST_RADIUS, INNERMOST_HIT["inside"], INNERMOST_HIT["outside"])
    spread = np.hypot(0.001, 0.004 / gev) * rng.standard_normal((2, n))
    made = Tracks(
        pt=1.0 / np.maximum(np.abs(curvature), 1e-9), eta=eta, phi=delta_phi(phi, 0.0), charge=np.sign(curvature),
        d0=d0 + d0_error * noise[3], z0=z0 + z0_error * noise[4], d0_error=d0_error, z0_error=z0_error,
        calo_eta=impact.eta + spread[0], calo_phi=delta_phi(impact.phi + spread[1], 0.0),
        electron_like=electron, innermost=innermost,
    )  # fmt: skip
    return made[(made.pt > PT_MIN) & impact.hit]


def _found(rng: np.random.Generator, charged: Particles) -> Bools:
    """Return which particles leave a track: less with material (hadrons), start radius, and when two are too close
    at the innermost layer."""
    eta, code = np.abs(charged.eta), charged.code
    efficiency = np.where(eta < 1.0, 0.94, 0.94 - 0.06 * (eta - 1.0))
    efficiency = np.where(code == ELECTRON, 0.93, np.where(code == MUON, 0.99, efficiency))
    start = np.hypot(charged.x, charged.y)
    efficiency = efficiency * np.clip((LAST_START_RADIUS - start) / (LAST_START_RADIUS - 120.0), 0.0, 1.0)
    found: Bools = rng.random(len(charged)) < efficiency
    draws = rng.random(len(charged))
    order = np.argsort(-charged.pt)
    eta, phi = charged.eta[order], charged.phi[order]
    distance = INNERMOST_RADIUS * np.hypot(eta[:, None] - eta, delta_phi(phi[:, None], phi))
    distance[np.triu_indices(len(order))] = np.inf
    prompt = start[order] < INNERMOST_RADIUS
    closest = np.where(prompt[:, None] & prompt, distance, np.inf).min(axis=1, initial=np.inf)
    found[order] &= draws[order] > 0.6 * np.exp(-closest / TWO_TRACK_DISTANCE)
    return found


def _perigee(charged: Particles) -> tuple[Floats, Floats, Floats]:
    """Return d0, z0 and φ at the point closest to the beam line, d0 signed so that x = −d0 sin φ, y = d0 cos φ
    there."""
    kappa = -charged.charge * CURVATURE / charged.pt
    cx, cy = charged.x - np.sin(charged.phi) / kappa, charged.y + np.cos(charged.phi) / kappa
    sign = np.sign(kappa)
    phi = np.arctan2(-sign * cx, sign * cy)
    d0 = -cx * np.sin(phi) + cy * np.cos(phi) - 1.0 / kappa
    path = delta_phi(charged.phi, phi) / kappa
    return d0, charged.z - path * np.sinh(charged.eta), phi


def choose_vertex(tracks: Tracks, vertices: Vertices, eta: float, phi: float) -> float:
    """Return the z of the vertex of a tau candidate (TJVA): the one with the largest sum of pt of the tracks in its
    core."""
    near = np.hypot(tracks.eta - eta, delta_phi(tracks.phi, phi)) < CORE
    z = vertices.reconstructed_z
    if not near.any():
        return float(z[0])
    distance = np.abs(tracks.z0[near][:, None] - z) / np.cosh(tracks.eta[near])[:, None]
    belongs = (distance == distance.min(axis=1, keepdims=True)) & (distance < Z0_MAX)
    return float(z[np.argmax((belongs * tracks.pt[near][:, None]).sum(axis=0))])


def classify(tracks: Tracks, z: float, eta: float, phi: float, pt: float) -> npt.NDArray[np.uint16]:
    """Return ``flagSet`` of the tracks of a candidate with axis (``eta``, ``phi``), ``pt`` (MeV) and vertex ``z``;
    one class bit each.

    Only measured quantities enter, so the classes are mistaken where these are: conversions before the innermost layer,
    soft tracks of the underlying event in the cone, pile-up at the same z, pions that look like electrons.
    """
    distance = np.hypot(tracks.eta - eta, delta_phi(tracks.phi, phi))
    z0_sine = (tracks.z0 - z) / np.cosh(tracks.eta)
    displaced = np.abs(tracks.d0) > np.maximum(4.0 * tracks.d0_error, 0.3)
    pair = (
        (tracks.charge[:, None] * tracks.charge < 0)
        & (np.abs(tracks.eta[:, None] - tracks.eta) < PAIR_ETA)
        & (np.abs(delta_phi(tracks.phi[:, None], tracks.phi)) < PAIR_PHI)
    ).any(axis=1)
    hints = tracks.electron_like.astype(int) + ~tracks.innermost + pair + displaced
    conversion = (hints >= 3) | (tracks.electron_like & ~tracks.innermost)
    selected = (np.abs(z0_sine) < Z0_MAX) & (np.abs(tracks.d0) < D0_MAX)
    conversion &= np.abs(z0_sine) < 2.0 * Z0_MAX
    in_cone = distance < np.clip(SIGNAL_CONE / max(pt, 1.0), *CONE_RANGE)
    bit = np.select(
        [conversion & (distance < CORE), ~selected, in_cone],
        [BITS["conversion"], BITS["fake"], BITS["charged"]],
        BITS["isolation"],
    )
    flags = (1 << bit) | np.where(distance < CORE, 1 << BITS["coreTrack"], 1 << BITS["wideTrack"])
    result: npt.NDArray[np.uint16] = (flags | np.where(selected, 1 << BITS["passTrkSelector"], 0)).astype(np.uint16)
    return result
