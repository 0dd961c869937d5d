"""The cells around tau candidates: deposits, noise and pile-up, clusters around local maxima."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import CELLS, LAYERS
from hepflow.plugins.simulation.showers import Spots

__all__ = ["HALF_WIDTH", "SHAPES", "Cells", "Grid", "make_grid", "noise_of", "offsets", "watershed"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Cells = npt.NDArray[np.float32]

COARSE = 4
"""HAD cells on each side of the middle; the finer layers cover the same square."""
COARSE_ETA, COARSE_PHI = CELLS["HAD"]
HALF_WIDTH = COARSE * COARSE_ETA
SHAPES = {
    name: (round(2 * HALF_WIDTH / d_eta), round(2 * COARSE * COARSE_PHI / d_phi))
    for name, (d_eta, d_phi) in CELLS.items()
}

SIZES = {name: shape[0] * shape[1] for name, shape in SHAPES.items()}

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
    """Cells of all layers in squares around candidates at (``eta``, ``phi``), energies in MeV, one array (candidate ×
    η × φ) a layer, in single precision."""

    eta: Floats
    phi: Floats
    energy: dict[str, Cells]

    def __len__(self) -> int:
        return len(self.eta)

    def __getitem__(self, chosen: npt.NDArray[Any]) -> Grid:
        """Return the cells of some of the candidates (mask or positions)."""
        return Grid(self.eta[chosen], self.phi[chosen], {name: cells[chosen] for name, cells in self.energy.items()})

    def with_energy(self, energy: dict[str, Cells]) -> Grid:
        """Return the same cells with other energies."""
        return replace(self, energy=energy)


def offsets(layer: str, axis: int) -> Floats:
    """Return the distances of the cell centres of a layer from the middle of a square, along η (0) or φ (1)."""
    size, n = CELLS[layer][axis], SHAPES[layer][axis]
    centres: Floats = (size * (np.arange(n) - (n - 1) / 2.0)).astype(np.float64)
    return centres


def make_grid(draws: Draws, spots: Spots, candidate: Ints, event: Ints, eta: Floats, phi: Floats, mu: Floats) -> Grid:
    """Return the cells around candidates at (``eta``, ``phi``) with the deposits, noise, and the pulse-shape shift for
    ``mu`` collisions.

    ``candidate`` is that of each particle that made spots; ``event`` that of each candidate, which only rises. The
    middle is moved to the nearest corner of HAD cells, so that cells are those of one fixed detector.
    """
    eta, phi = COARSE_ETA * np.rint(eta / COARSE_ETA), COARSE_PHI * np.rint(phi / COARSE_PHI)
    deposits = _deposits(spots, candidate, eta, phi)
    energy = {}
    per_event = np.bincount(event, minlength=len(draws))
    begin = 0
    for layer in LAYERS:
        cells = draws.normal(per_event * SIZES[layer], np.float32).reshape(len(eta), SIZES[layer])
        cells *= np.float32(ELECTRONIC_NOISE[layer])
        area = CELLS[layer][0] * CELLS[layer][1]
        shift = PULSE_CANCELLATION * PILE_UP_MEAN[layer] * mu * area * np.cosh(eta)
        cells += deposits[:, begin : begin + SIZES[layer]] - shift[:, None]
        energy[layer] = cells.reshape(len(eta), *SHAPES[layer])
        begin += SIZES[layer]
    return Grid(eta, phi, energy)


def _cell_tables() -> tuple[Ints, Ints]:
    """Return the parts of a cell's number that come from the strip of EM1 in η and from the column of EM2 in φ; shape
    (layer, strip or column). Cells of all layers are whole groups of these."""
    first = np.cumsum([0, *SIZES.values()])
    strip, column = np.arange(SHAPES["EM1"][0]), np.arange(SHAPES["EM2"][1])
    along = [
        begin + strip * rows // len(strip) * width for begin, (rows, width) in zip(first, SHAPES.values(), strict=False)
    ]
    around = [column * width // len(column) for _, width in SHAPES.values()]
    return np.stack(along), np.stack(around)


ALONG, AROUND = _cell_tables()


def _deposits(spots: Spots, candidate: Ints, eta: Floats, phi: Floats) -> Floats:
    """Return the energy of the spots in each cell; shape (candidates, cells of all layers one after the other)."""
    strips, columns, size = ALONG.shape[1], AROUND.shape[1], sum(SIZES.values())
    owner = candidate[spots.owner]
    strip = spots.eta - eta.astype(np.float32)[owner]
    strip *= np.float32(1.0 / CELLS["EM1"][0])
    strip += np.float32(strips / 2.0)
    column = spots.phi - phi.astype(np.float32)[owner]
    column -= np.float32(2.0 * np.pi) * np.rint(column * np.float32(0.5 / np.pi))
    column *= np.float32(1.0 / CELLS["EM2"][1])
    column += np.float32(columns / 2.0)
    inside = np.flatnonzero((strip >= 0.0) & (strip < strips) & (column >= 0.0) & (column < columns))
    layer = spots.layer[inside].astype(np.int64)
    cell = owner[inside] * size + ALONG.ravel()[layer * strips + strip[inside].astype(np.int64)]
    cell += AROUND.ravel()[layer * columns + column[inside].astype(np.int64)]
    energy: Floats = np.bincount(cell, weights=spots.energy[inside], minlength=len(eta) * size).astype(np.float64)
    return energy.reshape(len(eta), size)


def noise_of(layer: str, eta: Floats, mu: Floats) -> Floats:
    """Return the expected spread of a cell's energy (MeV), electronics and pile-up together."""
    noise: Floats = np.hypot(ELECTRONIC_NOISE[layer], PILE_UP_NOISE[layer] * np.sqrt(mu) * np.cosh(eta))
    return noise


def watershed(energy: Cells, noise: Floats, *, seed: float = 4.0, grow: float = 2.0) -> tuple[Ints, Ints]:
    """Return (label of each cell, −1 for none; candidate of each cluster) for cells of shape (candidates, rows,
    columns) and one noise for each candidate.

    A cluster is what lies uphill of one local maximum (among its 8 neighbours) above ``seed`` × noise: cells above
    ``grow`` × noise and their neighbours, each given to the maximum that steepest ascent leads to.
    """
    n, rows, columns = energy.shape
    padded = np.full((n, rows + 2, columns + 2), -np.inf, dtype=energy.dtype)
    padded[:, 1:-1, 1:-1] = energy
    along = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    highest = np.maximum(np.maximum(along[:, :, :-2], along[:, :, 1:-1]), along[:, :, 2:])
    included = np.flatnonzero(highest > (grow * noise)[:, None, None].astype(energy.dtype))
    candidate, place = np.divmod(included, rows * columns)
    row, column = np.divmod(place, columns)
    centre = (candidate * (rows + 2) + row + 1) * (columns + 2) + column + 1
    flat, top = padded.ravel(), highest.ravel()[included]
    target = np.zeros(len(included), dtype=np.int64)
    for i, j in [(i, j) for i in (1, 0, -1) for j in (1, 0, -1)]:  # of equal ones the first cell wins
        target[flat[centre + (i * (columns + 2) + j)] == top] = i * columns + j
    is_top = (target == 0) & (top > (seed * noise)[candidate].astype(energy.dtype))
    position = np.full(energy.size, -1, dtype=np.int64)
    position[included] = np.arange(len(included))
    target = position[included + target]
    for _ in range(5):
        target = target[target]
    number = np.where(is_top, np.cumsum(is_top) - 1, -1)
    position[included] = number[target]
    return position.reshape(energy.shape), candidate[is_top]
