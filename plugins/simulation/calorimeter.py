"""The cells around tau candidates: deposits, noise and pile-up, clusters around local maxima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import CELLS, LAYERS
from hepflow.plugins.simulation.showers import Spots

__all__ = ["HALF_WIDTH", "SHAPES", "Cells", "Grid", "Labels", "make_grid", "noise_of", "offsets", "watershed"]

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

    @classmethod
    def join(cls, grids: Sequence[Grid]) -> Grid:
        """Return the cells of all candidates of several grids."""
        energy = {layer: np.concatenate([grid.energy[layer] for grid in grids]) for layer in LAYERS}
        return cls(np.concatenate([grid.eta for grid in grids]), np.concatenate([grid.phi for grid in grids]), energy)

    def with_energy(self, energy: dict[str, Cells]) -> Grid:
        """Return the same cells with other energies."""
        return replace(self, energy=energy)


def offsets(layer: str, axis: int) -> Floats:
    """Return the distances of the cell centres of a layer from the middle of a square, along η (0) or φ (1)."""
    size, n = CELLS[layer][axis], SHAPES[layer][axis]
    centres: Floats = (size * (np.arange(n) - (n - 1) / 2.0)).astype(np.float64)
    return centres


def make_grid(
    draws: Draws, spots: Sequence[Spots], candidate: Ints, event: Ints, eta: Floats, phi: Floats, mu: Floats
) -> Grid:
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


STRIPS_ALL, COLUMNS_ALL = SHAPES["EM1"][0], SHAPES["EM2"][1]
"""The finest cells in η and in φ; cells of all layers are whole groups of these."""


def _cell_table() -> npt.NDArray[np.int32]:
    """Return the number of the cell, of all layers one after the other, by layer, strip of EM1 in η and column of EM2
    in φ; flat."""
    first = np.cumsum([0, *SIZES.values()])
    strip, column = np.arange(STRIPS_ALL)[:, None], np.arange(COLUMNS_ALL)
    numbers = [
        begin + strip * rows // STRIPS_ALL * width + column * width // COLUMNS_ALL
        for begin, (rows, width) in zip(first, SHAPES.values(), strict=False)
    ]
    return np.stack(numbers).astype(np.int32).ravel()


CELL_NUMBERS = _cell_table()


def _deposits(parts: Sequence[Spots], candidate: Ints, eta: Floats, phi: Floats) -> Floats:
    """Return the energy of the spots in each cell; shape (candidates, cells of all layers one after the other)."""
    size = sum(SIZES.values())
    found = [_cells_hit(spots, candidate[spots.owner], eta, phi) for spots in parts]
    cell, weights = (np.concatenate(values) for values in zip(*found, strict=True))
    energy: Floats = np.bincount(cell, weights=weights, minlength=len(eta) * size).astype(np.float64, copy=False)
    return energy.reshape(len(eta), size)


def _cells_hit(spots: Spots, home: Ints, eta: Floats, phi: Floats) -> tuple[Ints, Cells]:
    """Return the numbers of the cells that the spots of particles of these candidates fall into, and their energies;
    what falls outside is left out."""
    strips, columns = STRIPS_ALL, COLUMNS_ALL
    strip = spots.eta - np.repeat(eta.astype(np.float32)[home], spots.number)
    strip *= np.float32(1.0 / CELLS["EM1"][0])
    strip += np.float32(strips / 2.0)
    column = spots.phi - np.repeat(phi.astype(np.float32)[home], spots.number)
    turns = column * np.float32(0.5 / np.pi)
    np.rint(turns, out=turns)
    turns *= np.float32(2.0 * np.pi)
    column -= turns
    column *= np.float32(1.0 / CELLS["EM2"][1])
    column += np.float32(columns / 2.0)
    inside = np.flatnonzero((strip >= 0.0) & (strip < strips) & (column >= 0.0) & (column < columns))
    place = spots.layer[inside].astype(np.int64)
    place *= strips
    place += strip[inside].astype(np.int64)
    place *= columns
    place += column[inside].astype(np.int64)
    cell = np.repeat(home * sum(SIZES.values()), spots.number)[inside]
    cell += CELL_NUMBERS[place]
    return cell, spots.energy[inside]


def noise_of(layer: str, eta: Floats, mu: Floats) -> Floats:
    """Return the expected spread of a cell's energy (MeV), electronics and pile-up together."""
    noise: Floats = np.hypot(ELECTRONIC_NOISE[layer], PILE_UP_NOISE[layer] * np.sqrt(mu) * np.cosh(eta))
    return noise


@dataclass(frozen=True)
class Labels:
    """Cells that belong to clusters, in order: candidate, row, column, and number of the cluster; ``owner`` is the
    candidate of each cluster."""

    candidate: Ints
    row: Ints
    column: Ints
    label: Ints
    owner: Ints

    def where(self, chosen: npt.NDArray[np.bool_]) -> Labels:
        """Return some of the clusters with their cells, numbered anew."""
        number = np.where(chosen, np.cumsum(chosen) - 1, -1)[self.label]
        kept = np.flatnonzero(number >= 0)
        candidate, row, column = (values[kept] for values in (self.candidate, self.row, self.column))
        return Labels(candidate, row, column, number[kept], self.owner[chosen])


def watershed(energy: Cells, noise: Floats, *, seed: float = 4.0, grow: float = 2.0) -> Labels:
    """Return the clusters of cells of shape (candidates, rows, columns) with one noise for each candidate.

    A cluster is what lies uphill of one local maximum (among its 8 neighbours) above ``seed`` × noise: cells above
    ``grow`` × noise and their neighbours, each given to the maximum that steepest ascent leads to.
    """
    n, rows, columns = energy.shape
    wide, size = columns + 2, (rows + 2) * (columns + 2)
    padded = np.full((n, rows + 2, wide), -np.inf, dtype=energy.dtype)
    padded[:, 1:-1, 1:-1] = energy
    flat = padded.ravel()  # rows one after the other, so that all is contiguous
    beside, highest = np.full((2, len(flat)), -np.inf, dtype=energy.dtype)
    np.maximum(np.maximum(flat[:-2], flat[1:-1]), flat[2:], out=beside[1:-1])
    np.maximum(np.maximum(beside[: -2 * wide], beside[wide:-wide]), beside[2 * wide :], out=highest[wide:-wide])
    image = highest.reshape(padded.shape)
    image[:, (0, -1)] = image[:, :, (0, -1)] = -np.inf
    included = np.flatnonzero(highest.reshape(n, size) > (grow * noise)[:, None].astype(energy.dtype))
    top = highest[included]
    above, level = beside[included - wide] == top, beside[included] == top  # of equal ones the first cell wins
    target = included + np.where(above, -wide, np.where(level, 0, wide))
    left, middle = flat[target - 1] == top, flat[target] == top
    target += np.where(left, -1, np.where(middle, 0, 1))
    summit = np.flatnonzero(target == included)
    summit = summit[top[summit] > (seed * noise)[included[summit] // size].astype(energy.dtype)]
    position = np.empty(len(flat), dtype=np.int64)
    position[included] = np.arange(len(included))
    target = position[target]
    for _ in range(5):
        target = target[target]
    number = np.full(len(included), -1)
    number[summit] = np.arange(len(summit))
    label = number[target]
    kept = np.flatnonzero(label >= 0)
    candidate, place = np.divmod(included[kept], size)
    row, column = np.divmod(place, wide)
    return Labels(candidate, row - 1, column - 1, label[kept], included[summit] // size)
