"""The inner detector: conversions, reconstructed tracks, vertices and the classes of tracks.

Efficiencies and resolutions are rounded from "The ATLAS Experiment at the CERN Large Hadron Collider", JINST 3 (2008)
S08003, chapter 10 (momentum, efficiency), and for the impact parameters, which the innermost layer at 33 mm added in
2014 has improved, from ATL-PHYS-PUB-2015-018.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import CURVATURE, ETA_MAX, Impact, inner_material
from hepflow.plugins.simulation.particles import ELECTRON, MUON, PHOTON, Particles, delta_phi, pairs, ranges, sum_by

__all__ = [
    "BITS",
    "Tracks",
    "Vertices",
    "can_leave_tracks",
    "choose_vertex",
    "classify",
    "convert_photons",
    "make_vertices",
    "reconstruct_tracks",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PT_MIN = 1000.0
"""MeV: tracks of taus have at least this pt."""
INNERMOST_RADIUS, LAST_START_RADIUS = 33.0, 300.0
"""mm: radius of the innermost layer, and the largest radius at which a particle may start and still leave a track."""
TWO_TRACK_DISTANCE = 0.10
"""mm at the innermost layer below which two tracks merge (a few pixels of 50 µm)."""
CLOSE = 0.05
"""Difference in η beyond which two tracks do not (exp(−16) of them)."""
SEPARATE = 100.0
"""More than all of η: keeps events apart in one sorted list."""
TRANSITION_RATIO = {"electron": 0.85, "other": 0.05}
"""Chance that the transition radiation tracker calls a track an electron (S08003, chapter 10)."""
INNERMOST_HIT = {"inside": 0.98, "outside": 0.04}
"""Chance of a hit in the innermost layer for particles that start before and behind it."""
PIXEL_RADII, STRIP_RADII = (50.5, 88.5, 122.5), (299.0, 371.0, 443.0, 514.0)
"""mm: pixel layers behind the innermost one, and double layers of strips (S08003, chapter 4; barrel values, used
everywhere)."""

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
    middle, two hints, the numbers of hits, and the event in the block.

    ``electron_like`` and ``innermost`` are what the transition radiation tracker and the innermost pixel layer say.
    ``pixels`` and ``strips`` count the further layers behind the point where the particle starts.
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
    pixels: Ints
    strips: Ints
    event: Ints

    def __len__(self) -> int:
        return len(self.pt)

    def __getitem__(self, chosen: Bools | Ints) -> Tracks:
        """Return some of the tracks (mask or positions)."""
        return Tracks(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def momentum(self) -> Floats:
        """Return |p| (MeV)."""
        return self.pt * np.cosh(self.eta)


@dataclass(frozen=True)
class Vertices:
    """True z of all collisions (an event's first is the hard one), and z of the reconstructed vertices, the hard one
    first (mm); the event in the block of each."""

    true_z: Floats
    true_event: Ints
    reconstructed_z: Floats
    event: Ints

    @property
    def n_pile_up(self) -> Ints:
        """Return the number of reconstructed vertices besides the hard one, of each event."""
        return np.bincount(self.event) - 1

    @property
    def hard(self) -> Ints:
        """Return the position of each event's hard vertex among the reconstructed ones."""
        return np.flatnonzero(np.diff(self.event, prepend=-1))


def make_vertices(draws: Draws, n_pile_up: Ints) -> Vertices:
    """Return the vertices of events with these numbers of further collisions."""
    event = np.repeat(np.arange(len(draws)), n_pile_up + 1)
    true = BEAM_LENGTH * draws.normal(n_pile_up + 1)
    hard = np.diff(event, prepend=-1) > 0
    far = np.abs(true - true[hard][event]) > VERTEX_MERGING
    found = np.flatnonzero(hard | ((draws.uniform(n_pile_up + 1) < VERTEX_EFFICIENCY) & far))
    found = found[np.lexsort((true[found], ~hard[found], event[found]))]
    z, owner, first = true[found], event[found], hard[found]
    after_hard = np.concatenate([[False], first[:-1]])[: len(first)]
    kept = first | after_hard | (np.diff(z, prepend=0.0) > VERTEX_MERGING)
    z, owner = z[kept], owner[kept]
    return Vertices(true, event, z + VERTEX_RESOLUTION * draws.normal(np.bincount(owner, minlength=len(draws))), owner)


def can_leave_tracks(particles: Particles) -> Bools:
    """Return which particles can leave tracks, themselves or converted; the tracker looks at no others."""
    return _is_trackable(particles) | _may_convert(particles)


def _is_trackable(particles: Particles) -> Bools:
    able: Bools = (particles.charge != 0) & (particles.pt > 0.9 * PT_MIN) & (np.abs(particles.eta) < ETA_MAX)
    return able


def _may_convert(particles: Particles) -> Bools:
    able: Bools = (particles.code == PHOTON) & (particles.pt > PT_MIN) & (np.abs(particles.eta) < ETA_MAX)
    return able


def convert_photons(draws: Draws, particles: Particles) -> Particles:
    """Return the particles with some photons turned into electron pairs.

    The chance is 1 − exp(−7/9 x) for x radiation lengths; the pair shares the momentum evenly distributed and starts
    where the photon converted, without opening angle.
    """
    candidates = np.flatnonzero(_may_convert(particles))
    chance = -np.expm1(-7.0 / 9.0 * inner_material(particles.eta[candidates]))
    counts = np.bincount(particles.event[candidates], minlength=len(draws))
    happens, share, place = (draws.uniform(counts) for _ in range(3))
    converts = happens < chance
    converted = candidates[converts]
    share, radius = 0.02 + 0.96 * share[converts], 25.0 + 375.0 * place[converts]
    photons = particles[converted]
    pair = []
    for sign, part in ((1.0, share), (-1.0, 1.0 - share)):
        pair.append(
            replace(
                photons,
                pt=photons.pt * part,
                pdg=np.full(len(converted), -int(sign) * ELECTRON, dtype=np.int32),
                charge=np.full(len(converted), sign),
                x=photons.x + radius * np.cos(photons.phi),
                y=photons.y + radius * np.sin(photons.phi),
                z=photons.z + radius * np.sinh(photons.eta),
            )
        )
    kept = np.ones(len(particles), dtype=bool)
    kept[converted] = False
    return Particles.join([particles[kept], *pair])


def reconstruct_tracks(draws: Draws, particles: Particles, impact: Impact) -> Tracks:
    """Return the tracks of charged particles with pt above 1 GeV and |η| < 2.5; ``impact`` is that of all particles."""
    chosen = np.flatnonzero(_is_trackable(particles))
    chosen = chosen[_found(draws, particles[chosen])]
    charged = particles[chosen]
    d0, z0, phi = _perigee(charged)
    gev, cosh = charged.pt / 1000.0, np.cosh(charged.eta)
    n = np.bincount(charged.event, minlength=len(draws))
    noise = [draws.normal(n) for _ in range(7)]
    d0_error = np.hypot(0.012, 0.080 * np.sqrt(cosh) / gev)
    z0_error = np.hypot(0.060, 0.100 * cosh / gev) * np.sqrt(cosh)
    curvature = (1.0 + np.hypot(0.013, 0.00036 * gev) * noise[0]) * np.where(charged.charge > 0, 1.0, -1.0) / charged.pt
    eta = charged.eta + np.hypot(0.0005, 0.002 / gev) * noise[1]
    phi = phi + np.hypot(0.00007, 0.0017 / gev) * noise[2]
    start = np.hypot(charged.x, charged.y)
    electron = draws.uniform(n) < np.where(
        charged.code == ELECTRON, TRANSITION_RATIO["electron"], TRANSITION_RATIO["other"]
    )
    innermost = draws.uniform(n) < np.where(start < INNERMOST_RADIUS, INNERMOST_HIT["inside"], INNERMOST_HIT["outside"])
    spread = np.hypot(0.001, 0.004 / gev)
    made = Tracks(
        pt=1.0 / np.maximum(np.abs(curvature), 1e-9), eta=eta, phi=delta_phi(phi, 0.0), charge=np.sign(curvature),
        d0=d0 + d0_error * noise[3], z0=z0 + z0_error * noise[4], d0_error=d0_error, z0_error=z0_error,
        calo_eta=impact.eta[chosen] + spread * noise[5],
        calo_phi=delta_phi(impact.phi[chosen] + spread * noise[6], 0.0),
        electron_like=electron, innermost=innermost,
        pixels=(start[:, None] < PIXEL_RADII).sum(axis=1), strips=(start[:, None] < STRIP_RADII).sum(axis=1),
        event=charged.event,
    )  # fmt: skip
    return made[(made.pt > PT_MIN) & impact.hit[chosen]]


def _found(draws: Draws, charged: Particles) -> Bools:
    """Return which particles leave a track: less with material (hadrons), start radius, and when two are too close
    at the innermost layer."""
    eta, code = np.abs(charged.eta), charged.code
    efficiency = np.where(eta < 1.0, 0.94, 0.94 - 0.06 * (eta - 1.0))
    efficiency = np.where(code == ELECTRON, 0.93, np.where(code == MUON, 0.99, efficiency))
    start = np.hypot(charged.x, charged.y)
    efficiency = efficiency * np.clip((LAST_START_RADIUS - start) / (LAST_START_RADIUS - 120.0), 0.0, 1.0)
    counts = np.bincount(charged.event, minlength=len(draws))
    found: Bools = draws.uniform(counts) < efficiency
    return found & (draws.uniform(counts) > 0.6 * np.exp(-_closest(charged, start) / TWO_TRACK_DISTANCE))


def _closest(charged: Particles, start: Floats) -> Floats:
    """Return the distance (mm) at the innermost layer to the closest harder particle there, infinite for none."""
    inside = np.flatnonzero(start < INNERMOST_RADIUS)
    inside = inside[np.lexsort((charged.eta[inside], charged.event[inside]))]
    eta, phi, pt = charged.eta[inside], charged.phi[inside], charged.pt[inside]
    key = eta + SEPARATE * charged.event[inside]
    last = np.searchsorted(key, key + CLOSE)
    following = last - np.arange(len(key)) - 1
    one, other = np.repeat(np.arange(len(key)), following), ranges(np.arange(len(key)) + 1, following)
    softer = np.where(pt[one] < pt[other], one, other)
    between = INNERMOST_RADIUS * np.hypot(eta[one] - eta[other], delta_phi(phi[one], phi[other]))
    distance = np.full(len(charged), np.inf)
    np.minimum.at(distance, inside[softer], between)
    return distance


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


def choose_vertex(tracks: Tracks, vertices: Vertices, event: Ints, eta: Floats, phi: Floats) -> Floats:
    """Return the z of the vertices of tau candidates (TJVA): the one with the largest sum of pt of the tracks in the
    core.

    The candidates are given by their event in the block, which only rises, and their directions.
    """
    n_events = len(vertices.hard)
    tau, track = pairs(event, tracks.event, n_events)
    near = np.hypot(tracks.eta[track] - eta[tau], delta_phi(tracks.phi[track], phi[tau])) < CORE
    tau, track = tau[near], track[near]
    link, vertex = pairs(event[tau], vertices.event, n_events)
    tau, track = tau[link], track[link]
    distance = np.abs(tracks.z0[track] - vertices.reconstructed_z[vertex])
    smallest = np.full(len(near), np.inf)
    np.minimum.at(smallest, link, distance)
    belongs = (distance == smallest[link]) & (distance / np.cosh(tracks.eta[track]) < Z0_MAX)
    tau, track, vertex = tau[belongs], track[belongs], vertex[belongs]
    chosen = vertices.hard[event]
    pair, number = np.unique(tau * len(vertices.event) + vertex, return_inverse=True)
    total = sum_by(number, tracks.pt[track], len(pair))
    tau, vertex = np.divmod(pair, max(len(vertices.event), 1))
    order = np.lexsort((-vertex, total, tau))
    chosen[tau[order]] = vertex[order]  # the last of each candidate stays: the largest sum, the first of equals
    return vertices.reconstructed_z[chosen]


def classify(tracks: Tracks, tau: Ints, z: Floats, eta: Floats, phi: Floats, pt: Floats) -> npt.NDArray[np.uint16]:
    """Return ``flagSet`` of the tracks of candidates with axes (``eta``, ``phi``), ``pt`` (MeV) and vertices ``z``;
    one class bit each. ``tau`` is the candidate of each track, which only rises.

    Only measured quantities enter, so the classes are mistaken where these are: conversions before the innermost layer,
    soft tracks of the underlying event in the cone, pile-up at the same z, pions that look like electrons.
    """
    distance = np.hypot(tracks.eta - eta[tau], delta_phi(tracks.phi, phi[tau]))
    z0_sine = (tracks.z0 - z[tau]) / np.cosh(tracks.eta)
    displaced = np.abs(tracks.d0) > np.maximum(4.0 * tracks.d0_error, 0.3)
    hints = tracks.electron_like.astype(int) + ~tracks.innermost + _paired(tracks, tau, len(z)) + displaced
    conversion = (hints >= 3) | (tracks.electron_like & ~tracks.innermost)
    selected = (np.abs(z0_sine) < Z0_MAX) & (np.abs(tracks.d0) < D0_MAX)
    conversion &= np.abs(z0_sine) < 2.0 * Z0_MAX
    in_cone = distance < np.clip(SIGNAL_CONE / np.maximum(pt[tau], 1.0), *CONE_RANGE)
    bit = np.select(
        [conversion & (distance < CORE), ~selected, in_cone],
        [BITS["conversion"], BITS["fake"], BITS["charged"]],
        BITS["isolation"],
    )
    flags = (1 << bit) | np.where(distance < CORE, 1 << BITS["coreTrack"], 1 << BITS["wideTrack"])
    result: npt.NDArray[np.uint16] = (flags | np.where(selected, 1 << BITS["passTrkSelector"], 0)).astype(np.uint16)
    return result


def _paired(tracks: Tracks, tau: Ints, n: int) -> Bools:
    """Return which tracks have one of opposite charge close by in the same candidate."""
    one, other = pairs(tau, tau, n)
    close = (
        (tracks.charge[one] * tracks.charge[other] < 0)
        & (np.abs(tracks.eta[one] - tracks.eta[other]) < PAIR_ETA)
        & (np.abs(delta_phi(tracks.phi[one], tracks.phi[other])) < PAIR_PHI)
    )
    found: Bools = np.bincount(one[close], minlength=len(tau)) > 0
    return found
