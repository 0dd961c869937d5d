"""The cells around one tau candidate: deposits, noise and pile-up, clusters around local maxima."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.geometry import CELLS, LAYERS
from hepflow.plugins.simulation.particles import delta_phi
from hepflow.plugins.simulation.showers import Spots

__all__ = ["HALF_WIDTH", "Grid", "make_grid", "noise_of", "watershed"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COARSE = 4
"""HAD cells on each side of the middle; the finer layers cover the same square."""
COARSE_ETA, COARSE_PHI = CELLS["HAD"]
HALF_WIDTH = COARSE * COARSE_ETA
SHAPES = {
    name: (round(2 * HALF_WIDTH / d_eta), round(2 * COARSE * COARSE_PHI / d_phi))
    for name, (d_eta, d_phi) in CELLS.items()
}

ELECTRONIC_NOISE = {"EM1": 15.0, "EM2": 30.0, "EM3": 25.0, "HAD": 40.0}
"""MeV a cell (ATLAS, "Topological cell clustering", EPJ C77 (2017) 490; without pile-up, order of magnitude)."""
PILE_UP_NOISE = {"EM1": 2.4, "EM2": 5.0, "EM3": 1.0, "HAD": 20.0}
"""MeV a cell for one collision at η = 0; grows as √mu · cosh η (spread of the cells in simulated pile-up)."""
PILE_UP_MEAN = {"EM1": 175.0, "EM2": 210.0, "EM3": 15.0, "HAD": 185.0}
"""Transverse MeV in a unit of η × φ for one collision (mean of simulated pile-up)."""
PULSE_CANCELLATION = 0.6
"""Share of the mean pile-up that the negative lobe of the pulse shape, filled by earlier bunch crossings, takes
away."""


@dataclass(frozen=True)
class Grid:
    """Cells of all layers in a square around (``eta``, ``phi``), energies in MeV, one array (η × φ) a layer."""

    eta: float
    phi: float
    energy: dict[str, Floats]

    def etas(self, layer: str) -> Floats:
        """Return the η of the cell centres of a layer (seen from the middle of the detector)."""
        size, n = CELLS[layer][0], SHAPES[layer][0]
        centres: Floats = (self.eta + size * (np.arange(n) - (n - 1) / 2.0)).astype(np.float64)
        return centres

    def phis(self, layer: str) -> Floats:
        """Return the φ of the cell centres of a layer, not wrapped."""
        size, n = CELLS[layer][1], SHAPES[layer][1]
        centres: Floats = (self.phi + size * (np.arange(n) - (n - 1) / 2.0)).astype(np.float64)
        return centres

    def cell(self, layer: str, eta: Floats, phi: Floats) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """Return the indices of the cells that hold these directions, and which lie inside."""
        (d_eta, d_phi), (n_eta, n_phi) = CELLS[layer], SHAPES[layer]
        i = np.floor((eta - self.eta) / d_eta + n_eta / 2.0).astype(np.int64)
        j = np.floor(delta_phi(phi, self.phi) / d_phi + n_phi / 2.0).astype(np.int64)
        return i, j, (i >= 0) & (i < n_eta) & (j >= 0) & (j < n_phi)

    def with_energy(self, energy: dict[str, Floats]) -> Grid:
        """Return the same cells with other energies."""
        return replace(self, energy=energy)


def make_grid(rng: np.random.Generator, spots: Spots, eta: float, phi: float, mu: float) -> Grid:
    """Return the cells around (``eta``, ``phi``) with the deposits, noise, and the pulse-shape shift for ``mu``
    collisions.

    The middle is moved to the nearest corner of HAD cells, so that cells are those of one fixed detector.
    """
    grid = Grid(COARSE_ETA * round(eta / COARSE_ETA), COARSE_PHI * round(phi / COARSE_PHI), {})
    cosh = np.cosh(grid.eta)
    for number, layer in enumerate(LAYERS):
        here = spots.layer == number
        i, j, inside = grid.cell(layer, spots.eta[here], spots.phi[here])
        shape = SHAPES[layer]
        flat = np.bincount(
            i[inside] * shape[1] + j[inside], weights=spots.energy[here][inside], minlength=shape[0] * shape[1]
        )
        area = CELLS[layer][0] * CELLS[layer][1]
        shift = PULSE_CANCELLATION * PILE_UP_MEAN[layer] * mu * area * cosh
        grid.energy[layer] = flat.reshape(shape) + ELECTRONIC_NOISE[layer] * rng.standard_normal(shape) - shift
    return grid


def noise_of(layer: str, eta: float, mu: float) -> float:
    """Return the expected spread of a cell's energy (MeV), electronics and pile-up together."""
    return float(np.hypot(ELECTRONIC_NOISE[layer], PILE_UP_NOISE[layer] * np.sqrt(mu) * np.cosh(eta)))


def watershed(energy: Floats, noise: float, *, seed: float = 4.0, grow: float = 2.0) -> tuple[Ints, int]:
    """Return (label of each cell, −1 for none; number of clusters).

    A cluster is what lies uphill of one local maximum (among its 8 neighbours) above ``seed`` × noise: cells above
    ``grow`` × noise and their neighbours, each given to the maximum that steepest ascent leads to.
    """
    rows, columns = energy.shape
    padded = np.full((rows + 2, columns + 2), -np.inf)
    padded[1:-1, 1:-1] = energy
    steps = [(i, j) for i in range(3) for j in range(3)]
    around = np.stack([padded[i : i + rows, j : j + columns] for i, j in steps])
    best = around.argmax(axis=0)
    offset = np.array([(i - 1) * columns + (j - 1) for i, j in steps])
    target = (np.arange(rows * columns).reshape(rows, columns) + offset[best]).ravel()
    for _ in range(5):
        target = target[target]
    flat = energy.ravel()
    top = np.flatnonzero((best.ravel() == 4) & (flat > seed * noise))
    number = np.full(rows * columns, -1, dtype=np.int64)
    number[top] = np.arange(len(top))
    included = (around > grow * noise).any(axis=0).ravel()
    return np.where(included, number[target], -1).reshape(rows, columns), len(top)
