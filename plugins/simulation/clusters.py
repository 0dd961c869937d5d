"""Clusters of cells and their moments: where, how deep, how wide, how dense.

Moments are defined as in ATLAS, "Topological cell clustering in the ATLAS calorimeters and its performance in LHC Run
1", EPJ C77 (2017) 490. Lengths in mm, energies in MeV; sums over cells of positive energy, as there.

A cell of EM2 with its shares of the cells in front and behind is the unit: of its eight strips of EM1 only sums are
kept (powers of energy and of η), which is all that moments of second order need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import SHAPES, Grid, Labels, noise_of, offsets, watershed
from hepflow.plugins.simulation.geometry import CELLS, calorimeter_radius
from hepflow.plugins.simulation.particles import delta_phi, sum_by
from hepflow.plugins.simulation.vectors import renumbered

__all__ = ["LAYER_CENTRE", "Cells", "Pillars", "cluster_cells", "cluster_hadronic", "moments", "shape_moments"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LAYER_CENTRE = (45.0, 250.0, 440.0, 1100.0)
"""Depth of the middle of EM1, EM2, EM3 and HAD behind the calorimeter's front, in mm along the particle's way."""
LAYER_THICKNESS = (90.0, 320.0, 60.0, 1200.0)
STRIPS = round(CELLS["EM2"][0] / CELLS["EM1"][0])
"""Strips of EM1 in front of a cell of EM2."""
GROUP = round(CELLS["EM1"][1] / CELLS["EM2"][1])
"""Cells of EM2 along φ that share a strip."""
LONGITUDINAL_CORE = 100.0
"""mm: distance that the two hottest cells get in the normalised second moment (EPJ C77 (2017) 490)."""
LARGEST_TILT = np.radians(30.0)
"""A principal axis further than this from the line to the vertex is replaced by that line."""

STRIP_ETA = CELLS["EM1"][0] * (np.arange(STRIPS) - (STRIPS - 1) / 2.0)
"""η of the strips in front of a cell of EM2, from its middle."""
AREA = [CELLS[name][0] * CELLS[name][1] for name in CELLS]


@dataclass(frozen=True)
class Cells:
    """Cells that belong to clusters: their candidate, η and φ (as seen from the middle), signed energy (MeV)."""

    owner: Ints
    eta: Floats
    phi: Floats
    energy: Floats

    def of(self, kept: npt.NDArray[np.bool_]) -> Cells:
        """Return the cells of some of the candidates, which are numbered anew."""
        chosen = kept[self.owner]
        return Cells(renumbered(self.owner, kept), self.eta[chosen], self.phi[chosen], self.energy[chosen])


@dataclass(frozen=True)
class Pillars:
    """EM2 cells that belong to clusters, with their shares of EM1 and EM3: cluster, candidate, η and φ of the middle
    (as seen from the middle of the detector), and what they hold.

    ``energy`` has the signed energies of EM1, EM2, EM3; shape (3, n). ``strips`` are the signed energies of the eight
    strips in front, shape (8, n), of which the cell has the share ``share``; ``first`` marks the first of those cells
    of a cluster that share the same strips. ``owner`` is the candidate of each cluster.
    """

    label: Ints
    eta: Floats
    phi: Floats
    energy: Floats
    strips: Floats
    share: Floats
    first: npt.NDArray[np.bool_]
    owner: Ints

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def cells(self) -> Cells:
        """Return the cells with all that they hold."""
        return Cells(self.owner[self.label], self.eta, self.phi, self.energy.sum(axis=0))


def cluster_cells(grid: Grid, mu: Floats, near: tuple[Floats, Floats, float] | None = None) -> Pillars:
    """Cluster the electromagnetic cells: maxima of EM2 collect EM2 cells and what lies in front and behind.

    ``near`` (η and φ of each candidate, distance; as seen from the middle) keeps only clusters of which a cell lies
    within that distance. A strip of EM1 covers four EM2 cells in φ and is shared by their energies; a cell of EM3
    covers two in η.
    """
    em2 = grid.energy["EM2"]
    labels = watershed(em2, noise_of("EM2", grid.eta, mu))
    if near is not None:
        labels = _keep_near(grid, labels, near)
    rows, columns = SHAPES["EM2"]
    candidate, row, column = labels.candidate, labels.row, labels.column
    line = candidate * rows + row
    own = em2.ravel()[line * columns + column].astype(np.float64)
    positive = np.maximum(own, 1.0)
    around = columns // GROUP
    group = line * around + column // GROUP
    pair = (candidate * (rows // 2) + row // 2) * columns + column
    share = positive / np.bincount(group, weights=positive)[group]
    share_behind = positive / np.bincount(pair, weights=positive)[pair]
    front = line * (STRIPS * around) + column // GROUP
    strips = grid.energy["EM1"].ravel()[front + around * np.arange(STRIPS)[:, None]].astype(np.float64)
    behind = grid.energy["EM3"].ravel()[pair] * share_behind
    energy = np.stack([over_strips(strips) * share, own, behind])
    eta, phi = grid.eta[candidate] + offsets("EM2", 0)[row], grid.phi[candidate] + offsets("EM2", 1)[column]
    return Pillars(labels.label, eta, phi, energy, strips, share, _first(group, labels.label), labels.owner)


def over_strips(values: Sequence[Floats] | Floats) -> Floats:
    """Return the sums of values of the eight strips, shape (8, n)."""
    a, b, c, d, e, f, g, h = values  # always added in this order
    total: Floats = ((a + b) + (c + d)) + ((e + f) + (g + h))
    return total


def _first(group: Ints, label: Ints) -> npt.NDArray[np.bool_]:
    """Return which cells are the first of their cluster in a group of neighbours in φ."""
    first = np.ones(len(group), dtype=bool)
    for step in range(1, GROUP):
        first[step:] &= (group[step:] != group[:-step]) | (label[step:] != label[:-step])
    return first


def _keep_near(grid: Grid, labels: Labels, near: tuple[Floats, Floats, float]) -> Labels:
    """Return the clusters close to a direction."""
    eta, phi, distance = near
    d_eta = (grid.eta - eta)[labels.candidate] + offsets("EM2", 0)[labels.row]
    d_phi = delta_phi(grid.phi, phi)[labels.candidate] + offsets("EM2", 1)[labels.column]
    kept = np.zeros(len(labels.owner), dtype=bool)
    kept[labels.label[d_eta**2 + d_phi**2 < distance**2]] = True
    return labels.where(kept)


def cluster_hadronic(grid: Grid, mu: Floats) -> tuple[Cells, Ints, dict[str, Floats]]:
    """Cluster the hadronic cells; return these, the candidates of the clusters, and energy (MeV), η, φ and moments of
    the clusters."""
    energy = grid.energy["HAD"]
    labels = watershed(energy, noise_of("HAD", grid.eta, mu))
    candidate, i, j, cluster, owner = labels.candidate, labels.row, labels.column, labels.label, labels.owner
    n, signed = len(owner), energy[candidate, i, j].astype(np.float64)
    weight = np.maximum(signed, 0.0)
    total = np.maximum(sum_by(cluster, weight, n), 1e-9)
    d_eta, d_phi = offsets("HAD", 0)[i], offsets("HAD", 1)[j]
    eta, phi = sum_by(cluster, weight * d_eta, n) / total, sum_by(cluster, weight * d_phi, n) / total
    square = (d_eta - eta[cluster]) ** 2 + (d_phi - phi[cluster]) ** 2
    eta, phi = eta + grid.eta[owner], phi + grid.phi[owner]
    cells = Cells(candidate, grid.eta[candidate] + d_eta, grid.phi[candidate] + d_phi, signed)
    radius = calorimeter_radius(eta)
    volume = LAYER_THICKNESS[3] * AREA[3] * radius**2
    return (
        cells,
        owner,
        {
            "energy": sum_by(cluster, signed, n),
            "eta": eta,
            "phi": phi,
            "CENTER_LAMBDA": np.full(n, LAYER_CENTRE[3]),
            "SECOND_R": radius**2 * sum_by(cluster, weight * square, n) / total,
            "SECOND_LAMBDA": np.zeros(n),  # one layer: all cells are equally deep
            "FIRST_ENG_DENS": sum_by(cluster, weight**2, n) / volume / total,
        },
    )


class _Sums:
    """Sums over the cells of clusters: positive energies, and moments in η and φ from the clusters' centres."""

    def __init__(self, pillars: Pillars) -> None:
        self.label, self.n = pillars.label, len(pillars)
        self.strips = np.maximum(pillars.strips, 0.0)
        moved = [over_strips([a * b for a, b in zip(self.strips, STRIP_ETA**n, strict=True)]) for n in (1, 2)]
        front = np.stack([over_strips(self.strips), *moved])
        self.front = front * pillars.share  # Σ E, Σ E η, Σ E η² of the strips, η from the cell's middle
        self.weight = np.stack([self.front[0], *np.maximum(pillars.energy[1:], 0.0)])
        self.layers = np.stack([self(weight) for weight in self.weight])
        self.total = np.maximum(self.layers.sum(axis=0), 1e-9)
        here = self.weight.sum(axis=0)
        self.eta = self(here * pillars.eta + self.front[1]) / self.total
        self.phi = self(here * pillars.phi) / self.total
        self.centre = (np.array(LAYER_CENTRE[:3])[:, None] * self.layers).sum(axis=0) / self.total
        self.radius = calorimeter_radius(self.eta)
        self.d_eta, self.d_phi = pillars.eta - self.eta[self.label], pillars.phi - self.phi[self.label]
        self.front_eta = self.front[0] * self.d_eta + self.front[1]
        self.front_square = (self.front[0] * self.d_eta + 2.0 * self.front[1]) * self.d_eta + self.front[2]
        behind = self.weight[1] + self.weight[2]
        self.across = self.radius**2 * np.stack(
            [
                self(behind * self.d_eta**2 + self.front_square),
                self((behind * self.d_eta + self.front_eta) * self.d_phi),
                self(here * self.d_phi**2),
            ]
        )  # Σ E of ηη, ηφ, φφ in mm²

    def __call__(self, values: Floats) -> Floats:
        return sum_by(self.label, values, self.n)

    def depths(self) -> Floats:
        """Return the depths of the layers from the clusters' centres; shape (3, clusters)."""
        depths: Floats = np.array(LAYER_CENTRE[:3])[:, None] - self.centre
        return depths

    def powers(self, pillars: Pillars, power: int) -> Floats:
        """Return the sums of this power of the cells' energies over that of their volumes, less one power."""
        strips = over_strips([energy**power for energy in self.strips]) * pillars.share**power
        sums = [self(strips), *(self(weight**power) for weight in self.weight[1:])]
        volumes = [thickness * area * self.radius**2 for thickness, area in zip(LAYER_THICKNESS, AREA, strict=False)]
        total: Floats = sum(
            (part / volume ** (power - 1) for part, volume in zip(sums, volumes, strict=False)), np.zeros(self.n)
        )
        return total


def shape_moments(pillars: Pillars) -> dict[str, Floats]:
    """Return energy, eta, phi (as seen from the middle, energy-weighted), the energies in EM1 and EM2, and the moments
    of clusters with respect to the line from the middle of the detector."""
    sums = _Sums(pillars)
    along = (sums.layers * sums.depths() ** 2).sum(axis=0)
    return _position(sums, pillars) | {
        "SECOND_R": (sums.across[0] + sums.across[2]) / sums.total,
        "SECOND_LAMBDA": along / sums.total,
        "FIRST_ENG_DENS": sums.powers(pillars, 2) / sums.total,
    }


def _position(sums: _Sums, pillars: Pillars) -> dict[str, Floats]:
    signed = [sums(energy) for energy in pillars.energy]
    return {
        "energy": signed[0] + signed[1] + signed[2],
        "eta": sums.eta,
        "phi": sums.phi,
        "CENTER_LAMBDA": sums.centre,
        "energy_EM1": signed[0],
        "energy_EM2": signed[1],
    }


def moments(pillars: Pillars) -> dict[str, Floats]:
    """Return energy, eta, phi (as seen from the middle, energy-weighted) and the moments of each cluster, by
    ATLAS's names, with respect to the cluster's own axis."""
    sums = _Sums(pillars)
    spread = _spread(sums)
    axis, tilt = _axes(spread)
    along = np.einsum("ni,nij,nj->n", axis, spread, axis)
    trace = spread[:, 0, 0] + spread[:, 1, 1] + spread[:, 2, 2]
    result = _position(sums, pillars) | {
        "FIRST_ETA": sums.eta,
        "SECOND_R": np.maximum(trace - along, 0.0) / sums.total,
        "DELTA_THETA": tilt,
        "LONGITUDINAL": _longitudinal(sums, pillars, axis, along),
        "SECOND_ENG_DENS": sums.powers(pillars, 3) / sums.total,
    }
    hottest = [sums.strips.max(axis=0, initial=0.0) * pillars.share, sums.weight[1], sums.weight[2]]
    result["ENG_FRAC_CORE"] = sum((_largest(w, sums.label, sums.n) for w in hottest), np.zeros(sums.n)) / sums.total
    return result | _layer_moments(sums, pillars)


def _spread(sums: _Sums) -> Floats:
    """Return Σ E x x for x = (η, φ, depth) from the centre in mm; shape (clusters, 3, 3)."""
    depths = sums.depths()
    leaning = [sums.front_eta, sums.weight[1] * sums.d_eta, sums.weight[2] * sums.d_eta]
    eta_depth = sum((z * sums(part) for z, part in zip(depths, leaning, strict=True)), np.zeros(sums.n))
    phi_depth = sum((z * sums(w * sums.d_phi) for z, w in zip(depths, sums.weight, strict=True)), np.zeros(sums.n))
    depth_depth = (sums.layers * depths**2).sum(axis=0)
    spread = np.zeros((sums.n, 3, 3))
    spread[:, 0, 0], spread[:, 1, 1], spread[:, 2, 2] = sums.across[0], sums.across[2], depth_depth
    spread[:, 0, 1] = spread[:, 1, 0] = sums.across[1]
    spread[:, 0, 2] = spread[:, 2, 0] = sums.radius * eta_depth
    spread[:, 1, 2] = spread[:, 2, 1] = sums.radius * phi_depth
    return spread


def _axes(spread: Floats) -> tuple[Floats, Floats]:
    """Return the principal axes of clusters (n, 3) and their angles to the line to the vertex."""
    axis = np.linalg.eigh(spread)[1][:, :, 2]
    tilt = np.arccos(np.clip(np.abs(axis[:, 2]), 0.0, 1.0))
    wrong = tilt > LARGEST_TILT
    return np.where(wrong[:, None], (0.0, 0.0, 1.0), axis), tilt


def _largest(weight: Floats, label: Ints, n: int) -> Floats:
    largest = np.zeros(n)
    np.maximum.at(largest, label, weight)
    return largest


def _two_largest(values: Floats) -> tuple[Ints, Ints]:
    """Return the rows of the largest and the second largest value of each column; none is negative."""
    first, second = np.zeros((2, values.shape[1]), dtype=np.int64)
    largest, next_largest = values[0], np.full(values.shape[1], -1.0)
    for row in range(1, len(values)):
        more = values[row] > largest
        second = np.where(more, first, np.where(values[row] > next_largest, row, second))
        next_largest = np.where(more, largest, np.maximum(next_largest, values[row]))
        first, largest = np.where(more, row, first), np.maximum(largest, values[row])
    return first, second


def _longitudinal(sums: _Sums, pillars: Pillars, axis: Floats, along: Floats) -> Floats:
    """Return the normalised second longitudinal moment: Σ E λ² without the two hottest cells, over the same plus
    those two at 100 mm."""
    first, second = _two_largest(sums.strips)  # strips in front of each cell
    cells = np.arange(len(first))
    weight = [sums.strips[strip, cells] * pillars.share for strip in (first, second)] + [*sums.weight[1:]]
    d_eta = [sums.d_eta + STRIP_ETA[strip] for strip in (first, second)] + [sums.d_eta] * 2
    depths = sums.depths()
    depth = [depths[layer][sums.label] for layer in (0, 0, 1, 2)]
    hot, label = np.concatenate(weight), np.tile(sums.label, 4)
    radius, direction = sums.radius[sums.label], axis[sums.label]
    away = [
        radius * (eta * direction[:, 0] + sums.d_phi * direction[:, 1]) + z * direction[:, 2]
        for eta, z in zip(d_eta, depth, strict=True)
    ]
    taken, moved = np.zeros(sums.n), np.zeros(sums.n)
    square = np.concatenate(away) ** 2
    for _ in range(2):
        largest = _largest(hot, label, sums.n)
        taken += largest
        at = np.flatnonzero((hot == largest[label]) & (hot > 0.0))[::-1]
        chosen = np.full(sums.n, -1)
        chosen[label[at]] = at
        chosen = chosen[chosen >= 0]
        moved[label[chosen]] += hot[chosen] * square[chosen]
        hot[chosen] = 0.0
    rest = np.maximum(along - moved, 0.0)
    return rest / np.maximum(rest + taken * LONGITUDINAL_CORE**2, 1e-9)


def _layer_moments(sums: _Sums, pillars: Pillars) -> dict[str, Floats]:
    """Return what is measured in EM1 and EM2 alone."""
    total = np.maximum(sums.layers, 1e-9)
    near = np.flatnonzero(np.abs(sums.d_eta) < CELLS["EM2"][0])
    offset = sums.d_eta[near] + STRIP_ETA[:, None]
    core = over_strips(sums.strips[:, near] * (np.abs(offset) < 2.0 * CELLS["EM1"][0])) * pillars.share[near]
    return {
        "NPosECells_EM1": sums((pillars.strips > 0.0).sum(axis=0) * pillars.first),
        "NPosECells_EM2": sums(pillars.energy[1] > 0.0),
        "firstEtaWRTClusterPosition_EM1": sums(sums.front_eta) / total[0],
        "firstEtaWRTClusterPosition_EM2": sums(sums.weight[1] * sums.d_eta) / total[1],
        "secondEtaWRTClusterPosition_EM1": sums(sums.front_square) / total[0],
        "secondEtaWRTClusterPosition_EM2": sums(sums.weight[1] * sums.d_eta**2) / total[1],
        "EM1CoreFrac": sum_by(sums.label[near], core, sums.n) / total[0],
    }
