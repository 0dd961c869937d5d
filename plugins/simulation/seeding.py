"""Seeds of tau candidates: cone jets of calorimeter towers, hardest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import Impact
from hepflow.plugins.simulation.particles import ELECTRON, INVISIBLE, MUON, PHOTON, Particles, delta_phi, sum_by

__all__ = ["Jets", "find_jets"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RADIUS, STEPS = 0.4, 3
PT_MIN, ETA_MAX = 10_000.0, 2.5
TOWER = 0.1
N_ETA = 40
"""Rows of towers on each side, more than there are."""
TOWER_PT_MIN = 150.0
HADRON_RESPONSE, HADRON_RESOLUTION, PHOTON_RESOLUTION = 0.85, 0.7, 0.12
"""Mean signal of hadrons, and relative resolutions at 1 GeV."""


@dataclass(frozen=True)
class Jets:
    """Seeds of candidates, event by event, hardest first: event in the block, pt (MeV), η and φ (as seen from the
    middle of the detector)."""

    event: Ints
    pt: Floats
    eta: Floats
    phi: Floats

    def __len__(self) -> int:
        return len(self.pt)


def find_jets(draws: Draws, particles: Particles, impact: Impact) -> Jets:
    """Return the jets above 10 GeV.

    The hardest tower left of an event starts a cone of radius 0.4 that moves to its own centre three times and takes
    what it holds.
    """
    event, pt, eta, phi = _towers(draws, particles, impact)
    n = len(draws)
    found = []
    while len(pt):
        seed = _hardest(event, pt, n)
        left = pt[seed[event]] >= 0.2 * PT_MIN
        event, pt, eta, phi, seed = event[left], pt[left], eta[left], phi[left], np.cumsum(left)[seed] - 1
        axis_eta, axis_phi = np.zeros(n), np.zeros(n)
        busy = np.flatnonzero(np.bincount(event, minlength=n))
        axis_eta[busy], axis_phi[busy] = eta[seed[busy]], phi[seed[busy]]
        near = np.flatnonzero(np.abs(eta - axis_eta[event]) < STEPS * RADIUS)  # further than the cone can move
        near = near[np.abs(delta_phi(phi[near], axis_phi[event[near]])) < STEPS * RADIUS]
        owner, weight, along, around = event[near], pt[near], eta[near], phi[near]
        for _ in range(STEPS):
            offset = delta_phi(around, axis_phi[owner])
            inside = np.flatnonzero((along - axis_eta[owner]) ** 2 + offset**2 < RADIUS**2)
            own, held = owner[inside], weight[inside]
            total = sum_by(own, held, n)
            some = np.maximum(total, 1e-9)
            shift = sum_by(own, held * offset[inside], n) / some
            axis_eta = np.where(total > 0.0, sum_by(own, held * along[inside], n) / some, axis_eta)
            axis_phi = axis_phi + shift
        jet = busy[(total[busy] > PT_MIN) & (np.abs(axis_eta[busy]) < ETA_MAX)]
        found.append((jet, total[jet], axis_eta[jet], delta_phi(axis_phi[jet], 0.0)))
        free = np.ones(len(pt), dtype=bool)
        free[near[inside]] = free[seed[busy]] = False
        event, pt, eta, phi = event[free], pt[free], eta[free], phi[free]
    if not found:
        return Jets(np.zeros(0, dtype=np.int64), *np.zeros((3, 0)))
    jets = [np.concatenate(part) for part in zip(*found, strict=True)]
    order = np.lexsort((-jets[1], jets[0]))
    return Jets(*(values[order] for values in jets))


def _hardest(event: Ints, pt: Floats, n: int) -> Ints:
    """Return the position of the hardest tower of each event, the first of equals; −1 where there is none."""
    first = np.searchsorted(event, np.arange(n))
    some = np.flatnonzero(np.diff(np.append(first, len(event))))
    largest = np.zeros(n)
    largest[some] = np.maximum.reduceat(pt, first[some])
    at = np.flatnonzero(pt == largest[event])
    seed = np.full(n, -1, dtype=np.int64)
    seed[event[at][::-1]] = at[::-1]
    return seed


def _towers(draws: Draws, particles: Particles, impact: Impact) -> tuple[Ints, Floats, Floats, Floats]:
    """Return event, pt, η, φ of the towers of 0.1 × 0.1 that hold energy, each at the centre of what it holds."""
    code = particles.code
    electromagnetic = (code == ELECTRON) | (code == PHOTON)
    resolution = np.where(electromagnetic, PHOTON_RESOLUTION, HADRON_RESOLUTION)
    response = np.where(electromagnetic, 1.0, HADRON_RESPONSE)
    noise = draws.normal(np.bincount(particles.event, minlength=len(draws)))
    smear = 1.0 + resolution / np.sqrt(particles.energy / 1000.0) * noise
    invisible = np.isin(code, (*INVISIBLE, MUON))
    seen = np.flatnonzero(impact.hit & ~invisible & (np.abs(impact.eta) < ETA_MAX + RADIUS))
    pt = (particles.pt * response * np.clip(smear, 0.0, 2.0))[seen]
    eta, phi = impact.eta[seen], np.mod(impact.phi[seen], 2.0 * np.pi)
    rows, columns = 2 * N_ETA, round(2.0 * np.pi / TOWER) + 1
    row = np.floor(eta / TOWER).astype(np.int64) + N_ETA
    index = (particles.event[seen] * rows + row) * columns + np.floor(phi / TOWER).astype(np.int64)
    number, tower = np.unique(index, return_inverse=True)
    n = len(number)
    total = sum_by(tower, pt, n)
    mean_eta, mean_phi = (sum_by(tower, pt * angle, n) / np.maximum(total, 1e-9) for angle in (eta, phi))
    hard = total > TOWER_PT_MIN
    return (number // (rows * columns))[hard], total[hard], mean_eta[hard], mean_phi[hard]
