"""Particle flow around taus: take away what charged tracks deposited, cluster the rest, find photon shots in EM1.

The idea is that of ATLAS, "Reconstruction of hadronic decay products of tau leptons with the ATLAS experiment", EPJ C76
(2016) 295: the energy that a charged hadron leaves in the electromagnetic calorimeter is its
momentum minus what is seen behind it in the hadronic calorimeter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import SHAPES, Cells, Grid, noise_of, offsets
from hepflow.plugins.simulation.geometry import CELLS
from hepflow.plugins.simulation.particles import delta_phi, sum_by

__all__ = ["find_shots", "subtract_charged"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HADRON_SCALE = 0.85
"""Signal that a charged hadron is expected to leave, relative to its momentum (mean of the simulated response)."""
HAD_WINDOW = 0.15
"""Hadronic cells whose centre lies within this distance (η and φ) of a track are seen as its shower."""
TEMPLATE_WIDTH = {"EM1": 0.015, "EM2": 0.025, "EM3": 0.035}
"""Width of the exponential lateral shape of hadron showers used to choose the cells that energy is taken from."""

AT_ONCE = 40
"""Tracks that are taken away together: their cells should stay in the cache."""

SHOT_CELL_PT = 100.0
SHOT_PT = 400.0
SHOT_TWO_PHOTONS_PT = 10_000.0
"""MeV: a seed strip, one photon, two merged photons (EPJ C76 (2016) 295)."""
SHOT_HALF_WIDTH = 2


def subtract_charged(grid: Grid, owner: Ints, eta: Floats, phi: Floats, momentum: Floats) -> Grid:
    """Return the cells after taking away what tracks that enter at (``eta``, ``phi``) with ``momentum`` (MeV)
    deposit in EM layers.

    ``owner`` is the candidate of each track. From each track's expected signal goes its share of the hadronic energy
    around; the rest is taken from the electromagnetic cells in proportion to energy and shower shape, from no cell
    more than it holds; hardest tracks first.
    """
    expected = np.maximum(HADRON_SCALE * momentum - _hadronic_shares(grid, owner, eta, phi, momentum), 0.0)
    energy = dict(grid.energy) | {layer: grid.energy[layer].copy() for layer in TEMPLATE_WIDTH}
    order = np.lexsort((-momentum, owner))
    rank = np.arange(len(owner)) - np.searchsorted(owner[order], owner[order])
    steps = [order[rank == number] for number in range(int(rank.max(initial=-1)) + 1)]
    for track in (part for step in steps for part in np.split(step, np.arange(AT_ONCE, len(step), AT_ONCE))):
        tau = owner[track]
        before = {layer: energy[layer][tau] for layer in TEMPLATE_WIDTH}
        held = {layer: np.maximum(cells, 0.0) for layer, cells in before.items()}
        shapes = {layer: _template(grid, layer, tau, eta[track], phi[track]) for layer in TEMPLATE_WIDTH}
        total = np.zeros(len(tau))
        for layer, shape in shapes.items():
            shape *= held[layer]
            total += shape.sum(axis=(1, 2), dtype=np.float64)
        factor = np.where(total > 0.0, expected[track] / np.maximum(total, 1e-9), 0.0).astype(np.float32)
        for layer, shape in shapes.items():
            shape *= factor[:, None, None]
            np.minimum(shape, held[layer], out=shape)
            energy[layer][tau] = np.subtract(before[layer], shape, out=shape)
    return grid.with_energy(energy)


def _template(grid: Grid, layer: str, tau: Ints, eta: Floats, phi: Floats) -> Cells:
    """Return the lateral shape of a track's shower on the cells of its candidate."""
    size, width = CELLS[layer], TEMPLATE_WIDTH[layer]
    from_eta = np.abs(offsets(layer, 0) + (grid.eta[tau] - eta)[:, None])
    from_phi = np.abs(offsets(layer, 1) + delta_phi(grid.phi[tau], phi)[:, None])
    along, around = (
        np.exp(-np.maximum(distance - cell / 2.0, 0.0) / width).astype(np.float32)
        for distance, cell in zip((from_eta, from_phi), size, strict=True)
    )
    shape: Cells = np.einsum("ki,kj->kij", along, around)  # faster than along[:, :, None] * around[:, None]
    return shape


def _hadronic_shares(grid: Grid, owner: Ints, eta: Floats, phi: Floats, momentum: Floats) -> Floats:
    """Return the hadronic energy behind each track; tracks close to each other share it by momentum."""
    near_eta = np.abs(offsets("HAD", 0) + (grid.eta[owner] - eta)[:, None]) < HAD_WINDOW
    near_phi = np.abs(offsets("HAD", 1) + delta_phi(grid.phi[owner], phi)[:, None]) < HAD_WINDOW
    track, i, j = np.nonzero(near_eta[:, :, None] & near_phi[:, None, :])
    rows, columns = SHAPES["HAD"]
    cell = (owner[track] * rows + i) * columns + j
    total = np.bincount(cell, weights=momentum[track])
    energy = grid.energy["HAD"].ravel()[cell] * momentum[track] / np.maximum(total[cell], 1e-9)
    return np.maximum(sum_by(track, energy, len(owner)), 0.0)


def find_shots(grid: Grid, mu: Floats) -> tuple[Ints, dict[str, Floats]]:
    """Return the candidates of the shots, and pt (MeV), eta, phi (as seen from the middle) and number of photons of
    these local maxima of EM1.

    A strip is a maximum where it exceeds its neighbours along η and the strips beside it in φ; its neighbours within
    two strips, and the stronger side in φ, add to the shot.
    """
    energy = grid.energy["EM1"]
    n, rows, columns = energy.shape
    etas = grid.eta[:, None] + offsets("EM1", 0)
    threshold = np.maximum(SHOT_CELL_PT * np.cosh(etas), 4.0 * noise_of("EM1", grid.eta, mu)[:, None])
    high = np.flatnonzero(energy > threshold[:, :, None].astype(energy.dtype))
    candidate, i, j = np.unravel_index(high, energy.shape)
    padded = np.full((n, rows + 2 * SHOT_HALF_WIDTH, columns + 2), -np.inf, dtype=energy.dtype)
    padded[:, SHOT_HALF_WIDTH:-SHOT_HALF_WIDTH, 1:-1] = energy
    steps = np.arange(-SHOT_HALF_WIDTH, SHOT_HALF_WIDTH + 1)
    around = padded[candidate, (i + SHOT_HALF_WIDTH + steps[:, None])[:, None], j + 1 + np.arange(-1, 2)[:, None]]
    peak = energy.ravel()[high] >= around.max(axis=(0, 1), initial=-np.inf)
    candidate, i, j, window = candidate[peak], i[peak], j[peak], around[:, :, peak].astype(np.float64)
    window = np.where(np.isfinite(window), window, 0.0)
    columns_sum = window.sum(axis=0)
    side = np.where(columns_sum[0] > columns_sum[2], -1, 1)
    beside = np.maximum(np.maximum(columns_sum[0], columns_sum[2]), 0.0)
    total = columns_sum[1] + beside
    middle = np.maximum(window[:, 1], 0.0)
    eta = etas[candidate, i] + CELLS["EM1"][0] * (middle * steps[:, None]).sum(axis=0) / np.maximum(
        middle.sum(axis=0), 1e-9
    )
    phi = grid.phi[candidate] + offsets("EM1", 1)[j] + side * CELLS["EM1"][1] * beside / np.maximum(total, 1e-9)
    pt = total / np.cosh(eta)
    photons = (pt > SHOT_PT).astype(np.float64) + (pt > SHOT_TWO_PHOTONS_PT)
    return candidate, {"pt": pt, "eta": eta, "phi": phi, "tauShots_nPhotons": photons}
