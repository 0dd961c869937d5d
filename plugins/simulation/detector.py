"""The simulated detector: from the stable particles of one event to its tau candidates.

Nothing here knows what decayed into what: particles come as momentum, charge, PDG id and production vertex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import HALF_WIDTH, make_grid
from hepflow.plugins.simulation.candidate import Candidate, build_candidate
from hepflow.plugins.simulation.geometry import propagate
from hepflow.plugins.simulation.minbias import Library, pile_up
from hepflow.plugins.simulation.particles import INVISIBLE, Particles, delta_phi
from hepflow.plugins.simulation.seeding import find_jets
from hepflow.plugins.simulation.showers import shower_spots
from hepflow.plugins.simulation.tracking import convert_photons, make_vertices, reconstruct_tracks

__all__ = ["EventResult", "simulate_event"]

Floats = npt.NDArray[np.float64]

UNDERLYING_COLLISIONS = 2
"""The underlying event of a hard collision is about twice as active as a minimum-bias one (ATLAS, JHEP 03 (2017)
157)."""
BEAM_WIDTH = 0.010
"""mm, transverse size of the beam spot."""
PARTICLE_ETA_MAX, PARTICLE_PT_MIN = 3.2, 100.0
REGION, MARGIN = 0.55, 0.35
"""Half width of the square around a seed whose particles are showered, and how much further pile-up is kept for
vertex shifts and bending."""
BENDING = 350.0
"""MeV: angle in φ that the field turns a particle before the calorimeter, times pt (0.47 rad at 1 GeV, more when
softer)."""


@dataclass(frozen=True)
class EventResult:
    """What the detector makes of one event: mean collisions per crossing, reconstructed pile-up vertices, tau
    candidates hardest first."""

    mu: float
    n_collisions: int
    n_vertices: int
    candidates: list[Candidate]


def simulate_event(
    rng: np.random.Generator, hard: Particles, library: Library, mu_range: tuple[float, float] = (20.0, 70.0)
) -> EventResult:
    """Simulate one event: ``hard`` are the stable particles of the hard collision, produced around (0, 0, 0)."""
    mu = float(rng.uniform(*mu_range))
    vertices = make_vertices(rng, int(rng.poisson(mu)))
    z = vertices.true_z
    beam_x, beam_y = BEAM_WIDTH * rng.standard_normal(2)
    underlying = pile_up(rng, library, np.full(UNDERLYING_COLLISIONS, z[0]), 0)
    event = Particles.join([_visible(hard, float(beam_x), float(beam_y), float(z[0])), underlying])
    jets = find_jets(rng, event, propagate(event))
    n_collisions = len(z) - 1
    if not len(jets):
        return EventResult(mu, n_collisions, vertices.n_pile_up, [])
    others = pile_up(rng, library, z[1:], 1)
    event = convert_photons(rng, Particles.join([event, others[_near(others, jets)]]))
    tracks = reconstruct_tracks(rng, event)
    impact = propagate(event)
    candidates = []
    for _, eta, phi in jets:
        inside = impact.hit & (np.abs(impact.eta - eta) < REGION) & (np.abs(delta_phi(impact.phi, phi)) < REGION)
        spots = shower_spots(rng, event[inside], impact.eta[inside], impact.phi[inside])
        grid = make_grid(rng, spots, float(eta), float(phi), mu)
        candidates.append(build_candidate(grid, tracks, vertices, mu, float(eta), float(phi)))
    return EventResult(mu, n_collisions, vertices.n_pile_up, candidates)


def _visible(particles: Particles, x: float, y: float, z: float) -> Particles:
    """Return what the detector can see, moved to the vertex."""
    seen = (
        ~np.isin(particles.code, INVISIBLE)
        & (np.abs(particles.eta) < PARTICLE_ETA_MAX)
        & (particles.pt > PARTICLE_PT_MIN)
    )
    chosen = particles[seen]
    return Particles(
        chosen.pt,
        chosen.eta,
        chosen.phi,
        chosen.pdg,
        chosen.charge,
        chosen.x + x,
        chosen.y + y,
        chosen.z + z,
        chosen.vertex,
    )


def _near(particles: Particles, jets: Floats) -> npt.NDArray[np.bool_]:
    """Return which particles may reach the region of a jet."""
    reach = (
        REGION
        + MARGIN / HALF_WIDTH * 0.1
        + np.where(particles.charge != 0, np.minimum(BENDING / particles.pt * 1.4, np.pi), 0.0)
    )
    near = np.zeros(len(particles), dtype=bool)
    for _, eta, phi in jets:
        near |= (np.abs(particles.eta - eta) < REGION + MARGIN) & (np.abs(delta_phi(particles.phi, phi)) < reach)
    return near
