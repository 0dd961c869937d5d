"""The simulated detector: from the stable particles of a block of events to tau candidates.

Nothing here knows what decayed into what: particles come as momentum, charge, PDG id and production vertex. All events
of a block go through each step together, as flat arrays; their random numbers stay their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import Grid, make_grid
from hepflow.plugins.simulation.candidate import Candidates, Seeds, Skim, build_candidates
from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import Impact, propagate
from hepflow.plugins.simulation.minbias import REGION, Cones, Library, pile_up
from hepflow.plugins.simulation.particles import INVISIBLE, Particles, delta_phi, pairs
from hepflow.plugins.simulation.seeding import Jets, find_jets
from hepflow.plugins.simulation.showers import shower_spots
from hepflow.plugins.simulation.tracking import convert_photons, make_vertices, reconstruct_tracks

__all__ = ["BlockResult", "simulate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

UNDERLYING_COLLISIONS = 2
"""The underlying event of a hard collision is about twice as active as a minimum-bias one (ATLAS, JHEP 03 (2017)
157)."""
BEAM_WIDTH = 0.010
"""mm, transverse size of the beam spot."""
PARTICLE_ETA_MAX, PARTICLE_PT_MIN = 3.2, 100.0
SHOWERED_AT_ONCE = 20
"""Events whose showers are made together: spots are many, and should stay in the cache."""


@dataclass(frozen=True)
class BlockResult:
    """What the detector makes of a block of events: mean and actual number of pile-up collisions and reconstructed
    pile-up vertices of each, and the tau candidates of all, hardest first."""

    mu: Floats
    n_collisions: Ints
    n_vertices: Ints
    candidates: Candidates


def simulate(
    draws: Draws,
    hard: Particles,
    library: Library,
    mu_range: tuple[float, float] = (20.0, 70.0),
    skim: Skim = Skim(),  # noqa: B008 - it is frozen
) -> BlockResult:
    """Simulate a block of events: ``hard`` are the stable particles of the hard collisions, produced around (0, 0,
    0); candidates that the skim drops are left out."""
    lowest, highest = mu_range
    mu = lowest + (highest - lowest) * draws.uniform()
    n_collisions = draws.poisson(mu)
    vertices = make_vertices(draws, n_collisions)
    first = np.flatnonzero(np.diff(vertices.true_event, prepend=-1))
    z = vertices.true_z[first]
    beam = [BEAM_WIDTH * draws.normal() for _ in range(2)]
    double = np.repeat(np.arange(len(draws)), UNDERLYING_COLLISIONS)
    underlying = pile_up(draws, library, z[double], double, 0)
    particles = Particles.join([_visible(hard, beam[0], beam[1], z), underlying])
    jets = find_jets(draws, particles, propagate(particles))
    seeds = Seeds(jets.event, jets.eta, jets.phi, mu[jets.event], vertices.n_pile_up[jets.event])
    further = np.delete(np.arange(len(vertices.true_z)), first)
    cones = Cones(jets.event, jets.eta, jets.phi)
    z, event = vertices.true_z[further], vertices.true_event[further]
    wanted = np.bincount(jets.event, minlength=len(draws)) > 0
    others = pile_up(draws, library, z, event, 1, cones)
    particles = convert_photons(draws, Particles.join([particles[wanted[particles.event]], others]))
    impact = propagate(particles)
    tracks = reconstruct_tracks(draws, particles, impact)
    candidate, particle = _near(jets, particles, impact, len(draws))
    grid = _cells(draws, jets, seeds.mu, particles[particle], impact.where(particle), candidate)
    candidates = build_candidates(grid, seeds, tracks, vertices, skim)
    return BlockResult(mu, n_collisions, vertices.n_pile_up, candidates)


def _cells(draws: Draws, jets: Jets, mu: Floats, particles: Particles, impact: Impact, candidate: Ints) -> Grid:
    """Return the cells around the jets, which these particles are showered into for these candidates."""
    edges = np.append(np.arange(0, max(len(draws), 1), SHOWERED_AT_ONCE), len(draws))
    first, begin = np.searchsorted(jets.event, edges), np.searchsorted(particles.event, edges)
    grids = []
    for (event, end), (low, high), (start, stop) in zip(pairwise(edges), pairwise(first), pairwise(begin), strict=True):
        own, part, entering = draws[event:end], slice(low, high), slice(start, stop)
        some = particles[entering]
        spots = shower_spots(own, replace(some, event=some.event - event), impact.eta[entering], impact.phi[entering])
        where = jets.event[part] - event, jets.eta[part], jets.phi[part], mu[part]
        grids.append(make_grid(own, spots, candidate[entering] - low, *where))
    return Grid.join(grids)


def _near(jets: Jets, particles: Particles, impact: Impact, n: int) -> tuple[Ints, Ints]:
    """Return candidate and particle of all pairs where the particle is showered for the candidate."""
    candidate, particle = pairs(jets.event, particles.event, n)
    away = np.abs(impact.eta[particle] - jets.eta[candidate])
    kept = np.flatnonzero(impact.hit[particle] & (away < REGION))
    candidate, particle = candidate[kept], particle[kept]
    kept = np.flatnonzero(np.abs(delta_phi(impact.phi[particle], jets.phi[candidate])) < REGION)
    return candidate[kept], particle[kept]


def _visible(particles: Particles, x: Floats, y: Floats, z: Floats) -> Particles:
    """Return what the detector can see, moved to the vertices of the events."""
    seen = (
        ~np.isin(particles.code, INVISIBLE)
        & (np.abs(particles.eta) < PARTICLE_ETA_MAX)
        & (particles.pt > PARTICLE_PT_MIN)
    )
    chosen = particles[seen]
    event = chosen.event
    return replace(chosen, x=chosen.x + x[event], y=chosen.y + y[event], z=chosen.z + z[event])
