"""Particle flow around a tau: take away what charged tracks deposited, cluster the rest, find photon shots in EM1.

The idea is that of ATLAS, "Reconstruction of hadronic decay products of tau leptons with the ATLAS experiment", EPJ C76
(2016) 295: the energy that a charged hadron leaves in the electromagnetic calorimeter is its
momentum minus what is seen behind it in the hadronic calorimeter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import Grid, noise_of
from hepflow.plugins.simulation.geometry import CELLS
from hepflow.plugins.simulation.particles import delta_phi

__all__ = ["find_shots", "subtract_charged"]

Floats = npt.NDArray[np.float64]

HADRON_SCALE = 0.85
"""Signal that a charged hadron is expected to leave, relative to its momentum (mean of the simulated response)."""
HAD_WINDOW = 0.15
"""Hadronic cells whose centre lies within this distance (η and φ) of a track are seen as its shower."""
TEMPLATE_WIDTH = {"EM1": 0.015, "EM2": 0.025, "EM3": 0.035}
"""Width of the exponential lateral shape of hadron showers used to choose the cells that energy is taken from."""

SHOT_CELL_PT = 100.0
SHOT_PT = 400.0
SHOT_TWO_PHOTONS_PT = 10_000.0
"""MeV: a seed strip, one photon, two merged photons (EPJ C76 (2016) 295)."""
SHOT_HALF_WIDTH = 2


def subtract_charged(grid: Grid, eta: Floats, phi: Floats, momentum: Floats) -> Grid:
    """Return the cells after taking away what tracks that enter at (``eta``, ``phi``) with ``momentum`` (MeV)
    deposit in EM layers.

    From each track's expected signal goes its share of the hadronic energy around; the rest is taken from the
    electromagnetic cells in proportion to energy and shower shape, from no cell more than it holds.
    """
    if len(eta) == 0:
        return grid
    expected = np.maximum(HADRON_SCALE * momentum - _hadronic_shares(grid, eta, phi, momentum), 0.0)
    energy = dict(grid.energy)
    for k in np.argsort(-momentum):
        shapes = {}
        for layer, width in TEMPLATE_WIDTH.items():
            size = CELLS[layer]
            distance_eta = np.maximum(np.abs(grid.etas(layer) - eta[k]) - size[0] / 2.0, 0.0)
            distance_phi = np.maximum(np.abs(delta_phi(grid.phis(layer), phi[k])) - size[1] / 2.0, 0.0)
            shape = np.exp(-distance_eta / width)[:, None] * np.exp(-distance_phi / width)
            shapes[layer] = np.maximum(energy[layer], 0.0) * shape
        total = sum(float(shape.sum()) for shape in shapes.values())
        if total > 0.0:
            factor = expected[k] / total
            energy = energy | {
                layer: energy[layer] - np.minimum(factor * s, np.maximum(energy[layer], 0.0))
                for layer, s in shapes.items()
            }
    return grid.with_energy(energy)


def _hadronic_shares(grid: Grid, eta: Floats, phi: Floats, momentum: Floats) -> Floats:
    """Return the hadronic energy behind each track; tracks close to each other share it by momentum."""
    near_eta = np.abs(grid.etas("HAD")[None, :] - eta[:, None]) < HAD_WINDOW
    near_phi = np.abs(delta_phi(grid.phis("HAD")[None, :], phi[:, None])) < HAD_WINDOW
    weight = (near_eta[:, :, None] & near_phi[:, None, :]) * momentum[:, None, None]
    share = weight / np.maximum(weight.sum(axis=0), 1e-9)
    shares: Floats = np.maximum((share * grid.energy["HAD"]).sum(axis=(1, 2)), 0.0)
    return shares


def find_shots(grid: Grid, mu: float) -> dict[str, Floats]:
    """Return the shots: pt (MeV), eta, phi (as seen from the middle) and number of photons of local maxima of EM1.

    A strip is a maximum where it exceeds its neighbours along η and the strips beside it in φ; its neighbours within
    two strips, and the stronger side in φ, add to the shot.
    """
    energy, etas = grid.energy["EM1"], grid.etas("EM1")
    threshold = np.maximum(SHOT_CELL_PT * np.cosh(etas), 4.0 * noise_of("EM1", grid.eta, mu))[:, None]
    rows, columns = energy.shape
    padded = np.full((rows + 2 * SHOT_HALF_WIDTH, columns + 2), -np.inf)
    padded[SHOT_HALF_WIDTH:-SHOT_HALF_WIDTH, 1:-1] = energy
    around = np.stack([padded[i : i + rows, j : j + columns] for i in range(2 * SHOT_HALF_WIDTH + 1) for j in range(3)])
    peak = (energy >= around.max(axis=0)) & (energy > threshold)
    i, j = np.nonzero(peak)
    window = np.where(np.isfinite(around[:, i, j]), around[:, i, j], 0.0).reshape(2 * SHOT_HALF_WIDTH + 1, 3, len(i))
    columns_sum = window.sum(axis=0)
    side = np.where(columns_sum[0] > columns_sum[2], -1, 1)
    beside = np.maximum(np.maximum(columns_sum[0], columns_sum[2]), 0.0)
    total = columns_sum[1] + beside
    steps = np.arange(-SHOT_HALF_WIDTH, SHOT_HALF_WIDTH + 1)[:, None]
    middle = np.maximum(window[:, 1], 0.0)
    eta = etas[i] + CELLS["EM1"][0] * (middle * steps).sum(axis=0) / np.maximum(middle.sum(axis=0), 1e-9)
    phi = grid.phis("EM1")[j] + side * CELLS["EM1"][1] * beside / np.maximum(total, 1e-9)
    pt = total / np.cosh(eta)
    photons = (pt > SHOT_PT).astype(np.float64) + (pt > SHOT_TWO_PHOTONS_PT)
    return {"pt": pt, "eta": eta, "phi": phi, "tauShots_nPhotons": photons}
