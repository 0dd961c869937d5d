"""Seeds of tau candidates: cone jets of calorimeter towers, hardest first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.geometry import Impact
from hepflow.plugins.simulation.particles import ELECTRON, INVISIBLE, MUON, PHOTON, Particles, delta_phi, sum_by

__all__ = ["find_jets"]

Floats = npt.NDArray[np.float64]

RADIUS = 0.4
PT_MIN, ETA_MAX = 10_000.0, 2.5
TOWER = 0.1
TOWER_PT_MIN = 150.0
HADRON_RESPONSE, HADRON_RESOLUTION, PHOTON_RESOLUTION = 0.85, 0.7, 0.12
"""Mean signal of hadrons, and relative resolutions at 1 GeV."""


def find_jets(rng: np.random.Generator, particles: Particles, impact: Impact) -> Floats:
    """Return pt (MeV), η and φ (as seen from the middle of the detector) of the jets above 10 GeV; shape (jets, 3),
    hardest first.

    The hardest tower left starts a cone of radius 0.4 that moves to its own centre three times and takes what it holds.
    """
    pt, eta, phi = _towers(rng, particles, impact)
    jets = []
    free = np.ones(len(pt), dtype=bool)
    while free.any():
        seed = int(np.argmax(np.where(free, pt, 0.0)))
        if pt[seed] < 0.2 * PT_MIN:
            break
        axis_eta, axis_phi = eta[seed], phi[seed]
        for _ in range(3):
            offset = delta_phi(phi, axis_phi)
            inside = free & ((eta - axis_eta) ** 2 + offset**2 < RADIUS**2)
            total = float(pt[inside].sum())
            if total <= 0.0:
                break
            axis_eta, axis_phi = (pt[inside] @ eta[inside]) / total, axis_phi + (pt[inside] @ offset[inside]) / total
        free &= ~inside
        free[seed] = False
        if total > PT_MIN and abs(axis_eta) < ETA_MAX:
            jets.append((total, axis_eta, float(delta_phi(axis_phi, 0.0))))
    return np.array(sorted(jets, reverse=True)).reshape(-1, 3)


def _towers(rng: np.random.Generator, particles: Particles, impact: Impact) -> tuple[Floats, Floats, Floats]:
    """Return pt, η, φ of the towers of 0.1 × 0.1 that hold energy, each at the centre of what it holds."""
    code = particles.code
    seen = impact.hit & ~np.isin(code, (*INVISIBLE, MUON)) & (np.abs(impact.eta) < ETA_MAX + RADIUS)
    electromagnetic = np.isin(code, (ELECTRON, PHOTON))
    resolution = np.where(electromagnetic, PHOTON_RESOLUTION, HADRON_RESOLUTION)
    response = np.where(electromagnetic, 1.0, HADRON_RESPONSE)
    smear = 1.0 + resolution / np.sqrt(particles.energy / 1000.0) * rng.standard_normal(len(particles))
    pt = (particles.pt * response * np.clip(smear, 0.0, 2.0))[seen]
    eta, phi = impact.eta[seen], impact.phi[seen]
    n_phi = round(2.0 * np.pi / TOWER)
    index = np.floor(eta / TOWER).astype(np.int64) * n_phi + np.floor(np.mod(phi, 2.0 * np.pi) / TOWER).astype(np.int64)
    number, tower = np.unique(index, return_inverse=True)
    n = len(number)
    total = sum_by(tower, pt, n)
    mean_eta = sum_by(tower, pt * eta, n) / np.maximum(total, 1e-9)
    mean_phi = sum_by(tower, pt * np.mod(phi, 2.0 * np.pi), n) / np.maximum(total, 1e-9)
    hard = total > TOWER_PT_MIN
    return total[hard], mean_eta[hard], mean_phi[hard]
