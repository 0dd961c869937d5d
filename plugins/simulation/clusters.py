"""Clusters of electromagnetic cells and their moments: where, how deep, how wide, how dense.

Moments are defined as in ATLAS, "Topological cell clustering in the ATLAS calorimeters and its performance in LHC Run
1", EPJ C77 (2017) 490. Lengths in mm, energies in MeV; sums over cells of positive energy, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import Grid, noise_of, watershed
from hepflow.plugins.simulation.geometry import CELLS, calorimeter_radius
from hepflow.plugins.simulation.particles import delta_phi, sum_by

__all__ = ["LAYER_CENTRE", "Pixels", "cluster_cells", "cluster_hadronic", "moments"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LAYER_CENTRE = (45.0, 250.0, 440.0, 1100.0)
"""Depth of the middle of EM1, EM2, EM3 and HAD behind the calorimeter's front, in mm along the particle's way."""
LAYER_THICKNESS = (90.0, 320.0, 60.0, 1200.0)
STRIPS = round(CELLS["EM2"][0] / CELLS["EM1"][0])
"""Strips of EM1 in front of a cell of EM2."""
LONGITUDINAL_CORE = 100.0
"""mm: distance that the two hottest cells get in the normalised second moment (EPJ C77 (2017) 490)."""
MANY_CELLS = 2**16
"""More than a layer has cells; makes one number of cluster and cell."""
LARGEST_TILT = np.radians(30.0)
"""A principal axis further than this from the line to the vertex is replaced by that line."""


@dataclass(frozen=True)
class Pixels:
    """Cells, or shares of cells, that belong to clusters: their cluster, layer, cell number in the layer, η, φ,
    energy."""

    n_clusters: int
    label: Ints
    layer: Ints
    cell: Ints
    eta: Floats
    phi: Floats
    energy: Floats


def cluster_cells(grid: Grid, mu: float, near: tuple[float, float, float] | None = None) -> Pixels:
    """Cluster the electromagnetic cells: maxima of EM2 collect EM2 cells and what lies in front and behind.

    ``near`` (η, φ, distance; as seen from the middle) keeps only clusters of which a cell lies within that distance.
    A strip of EM1 covers four EM2 cells in φ and is shared by their energies; a cell of EM3 covers two in η.
    """
    em2 = grid.energy["EM2"]
    label, n = watershed(em2, noise_of("EM2", grid.eta, mu))
    if near is not None:
        label, n = _keep_near(grid, label, near)
    positive = np.where(label >= 0, np.maximum(em2, 1.0), 0.0)
    em1 = np.repeat(grid.energy["EM1"], 4, axis=1) * np.repeat(_shares(positive, 1, 4), STRIPS, axis=0)
    em3 = np.repeat(grid.energy["EM3"], 2, axis=0) * _shares(positive, 2, 1)
    eta, phi = grid.etas("EM2"), grid.phis("EM2")
    parts = [
        _pixels(0, np.repeat(label, STRIPS, axis=0), em1, grid.etas("EM1"), phi, (1, 4)),
        _pixels(1, label, em2, eta, phi, (1, 1)),
        _pixels(2, label, em3, eta, phi, (2, 1)),
    ]
    return Pixels(n, *(np.concatenate([part[k] for part in parts]) for k in range(6)))


def _keep_near(grid: Grid, label: Ints, near: tuple[float, float, float]) -> tuple[Ints, int]:
    """Return labels and number of the clusters close to a direction, numbered anew."""
    eta, phi, distance = near
    close = np.hypot(grid.etas("EM2")[:, None] - eta, delta_phi(grid.phis("EM2"), phi)) < distance
    kept = np.unique(label[close & (label >= 0)])
    number = np.full(int(label.max(initial=-1)) + 2, -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    return number[label], len(kept)


def _shares(positive: Floats, per_eta: int, per_phi: int) -> Floats:
    """Return each EM2 cell's share of the energy of the ``per_eta`` × ``per_phi`` cells that it forms a group with."""
    rows, columns = positive.shape
    groups = positive.reshape(rows // per_eta, per_eta, columns // per_phi, per_phi)
    shares: Floats = (groups / np.maximum(groups.sum(axis=(1, 3), keepdims=True), 1e-9)).reshape(rows, columns)
    return shares


def _pixels(
    layer: int, label: Ints, energy: Floats, etas: Floats, phis: Floats, group: tuple[int, int]
) -> tuple[Ints | Floats, ...]:
    """Return the labelled pixels of a layer; ``group`` neighbouring ones in η and φ are shares of one cell."""
    i, j = np.nonzero(label >= 0)
    cell = (i // group[0]) * label.shape[1] + j // group[1]
    return label[i, j], np.full(len(i), layer), cell, etas[i], phis[j], energy[i, j]


def cluster_hadronic(grid: Grid, mu: float) -> tuple[Floats, Floats, Floats]:
    """Return energy (MeV), η and φ of the clusters of hadronic cells."""
    energy = grid.energy["HAD"]
    label, n = watershed(energy, noise_of("HAD", grid.eta, mu))
    i, j = np.nonzero(label >= 0)
    owner, weight = label[i, j], np.maximum(energy[i, j], 0.0)
    total = sum_by(owner, weight, n)
    eta = sum_by(owner, weight * grid.etas("HAD")[i], n) / np.maximum(total, 1e-9)
    phi = sum_by(owner, weight * grid.phis("HAD")[j], n) / np.maximum(total, 1e-9)
    return sum_by(owner, energy[i, j], n), eta, phi


def moments(pixels: Pixels, *, full: bool = True) -> dict[str, Floats]:
    """Return energy, eta, phi (as seen from the middle, energy-weighted) and the moments of each cluster, by
    ATLAS's names.

    Unless ``full`` there are only CENTER_LAMBDA and SECOND_R, both along the line to the middle instead of the
    cluster's own axis.
    """
    n, label = pixels.n_clusters, pixels.label
    weight = np.maximum(pixels.energy, 0.0)
    total = np.maximum(sum_by(label, weight, n), 1e-9)
    eta, phi = sum_by(label, weight * pixels.eta, n) / total, sum_by(label, weight * pixels.phi, n) / total
    radius = calorimeter_radius(eta)[label]
    depth = np.array(LAYER_CENTRE)[pixels.layer]
    centre = sum_by(label, weight * depth, n) / total
    result = {"energy": sum_by(label, pixels.energy, n), "eta": eta, "phi": phi, "CENTER_LAMBDA": centre}
    across_eta, across_phi = (pixels.eta - eta[label]) * radius, (pixels.phi - phi[label]) * radius
    square = across_eta**2 + across_phi**2
    if not full:
        return result | {"SECOND_R": sum_by(label, weight * square, n) / total}
    place = np.stack([across_eta, across_phi, depth - centre[label]], axis=1)
    axis, tilt = _axes(place, weight, label, n)
    along = np.einsum("ij,ij->i", place, axis[label])
    across = np.maximum(square + place[:, 2] ** 2 - along**2, 0.0)
    thickness, width = np.array(LAYER_THICKNESS), np.array([CELLS[name] for name in ("EM1", "EM2", "EM3")])
    volume = thickness[pixels.layer] * width[pixels.layer].prod(axis=1) * radius**2
    result |= {
        "FIRST_ETA": eta,
        "SECOND_R": sum_by(label, weight * across, n) / total,
        "DELTA_THETA": tilt,
        "LONGITUDINAL": _longitudinal(weight, along, label, n),
        "ENG_FRAC_CORE": sum(_largest(weight * (pixels.layer == layer), label, n) for layer in range(3)) / total,
        "SECOND_ENG_DENS": sum_by(label, weight * (weight / volume) ** 2, n) / total,
    }
    return result | _layer_moments(pixels, eta)


def _layer_moments(pixels: Pixels, eta: Floats) -> dict[str, Floats]:
    """Return what is measured in EM1 and EM2 alone."""
    n, result = pixels.n_clusters, {}
    for layer, name in ((0, "EM1"), (1, "EM2")):
        here = pixels.layer == layer
        label, energy = pixels.label[here], pixels.energy[here]
        weight, offset = np.maximum(energy, 0.0), pixels.eta[here] - eta[label]
        total = np.maximum(sum_by(label, weight, n), 1e-9)
        cells = np.unique(label[energy > 0.0] * MANY_CELLS + pixels.cell[here][energy > 0.0]) // MANY_CELLS
        result[f"NPosECells_{name}"] = np.bincount(cells, minlength=n).astype(np.float64)
        result[f"energy_{name}"] = sum_by(label, energy, n)
        result[f"firstEtaWRTClusterPosition_{name}"] = sum_by(label, weight * offset, n) / total
        result[f"secondEtaWRTClusterPosition_{name}"] = sum_by(label, weight * offset**2, n) / total
        if layer == 0:
            near = np.abs(offset) < 2.0 * CELLS["EM1"][0]
            result["EM1CoreFrac"] = sum_by(label[near], weight[near], n) / total
    return result


def _axes(place: Floats, weight: Floats, label: Ints, n: int) -> tuple[Floats, Floats]:
    """Return the principal axes of clusters (n, 3) and their angles to the line to the vertex."""
    straight = np.tile([0.0, 0.0, 1.0], (n, 1))
    if n == 0:
        return straight, np.zeros(0)
    spread = np.zeros((n, 3, 3))
    for a in range(3):
        for b in range(a + 1):
            spread[:, a, b] = spread[:, b, a] = sum_by(label, weight * place[:, a] * place[:, b], n)
    axis = np.linalg.eigh(spread)[1][:, :, 2]
    tilt = np.arccos(np.clip(np.abs(axis[:, 2]), 0.0, 1.0))
    wrong = tilt > LARGEST_TILT
    return np.where(wrong[:, None], straight, axis), tilt


def _largest(weight: Floats, label: Ints, n: int) -> Floats:
    largest = np.zeros(n)
    np.maximum.at(largest, label, weight)
    return largest


def _longitudinal(weight: Floats, along: Floats, label: Ints, n: int) -> Floats:
    """Return the normalised second longitudinal moment: Σ E λ² without the two hottest cells, over the same plus
    those two at 100 mm."""
    order = np.lexsort((-weight, label))
    first = np.searchsorted(label[order], np.arange(n))
    rank = np.arange(len(order)) - first[label[order]]
    hot = np.zeros(len(order), dtype=bool)
    hot[order] = rank < 2
    rest = sum_by(label, np.where(hot, 0.0, weight * along**2), n)
    core = sum_by(label, np.where(hot, weight, 0.0), n) * LONGITUDINAL_CORE**2
    return rest / np.maximum(rest + core, 1e-9)
