"""Minimum-bias collisions: a small library made once with Pythia, from which pile-up and underlying event are
drawn.

``python -m hepflow.plugins.simulation.minbias OUTPUT.npz`` makes ``minbias.npz`` of this folder again (Pythia 8.317,
SoftQCD:inelastic, A14 NNPDF2.3LO, 13 TeV). Each use turns a collision by a random angle in φ and mirrors half of them
in η.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.particles import INVISIBLE, Particles, delta_phi, pairs, ranges

__all__ = ["Cones", "Library", "load_library", "make_library", "pile_up"]

EVENTS, SEED = 800, 42
ETA_MAX, PT_MIN = 3.1, 0.2
"""What the library keeps: |η| below this, pt (GeV) above; softer particles neither reach the calorimeter nor rise
above its noise."""

SEPARATE = 100.0
"""More than all of η: keeps collisions apart in one sorted list."""

PHI_STEPS = 2.0 * np.pi / 2**16


@dataclass(frozen=True)
class Library:
    """Particles of all collisions one after the other, each by rising η; collision i owns ``[offsets[i],
    offsets[i+1])``. pt in MeV; ``order`` is η plus SEPARATE for each collision."""

    offsets: npt.NDArray[np.int64]
    order: npt.NDArray[np.float64]
    pt: npt.NDArray[np.float64]
    eta: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]
    pdg: npt.NDArray[np.int32]
    charge: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Cones:
    """Directions (event in the block, which only rises, η, φ) around which pile-up counts: closer than ``half_width``
    in η, and in φ than ``reach`` of a particle."""

    event: npt.NDArray[np.int64]
    eta: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]
    half_width: float
    reach: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    """Of pt and charge."""

    def reached(
        self,
        library: Library,
        chosen: npt.NDArray[np.int64],
        turn: npt.NDArray[np.float64],
        mirror: npt.NDArray[np.float64],
        event: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return collision and particle in the library of what reaches a cone, for collisions of the library that are
        turned in φ and mirrored in η."""
        n = int(max(event.max(initial=-1), self.event.max(initial=-1))) + 1
        collision, cone = pairs(event, self.event, n)
        eta = mirror[collision] * self.eta[cone]
        begin = SEPARATE * chosen[collision] + eta
        first, last = (np.searchsorted(library.order, begin + side * self.half_width) for side in (-1.0, 1.0))
        counts = last - first
        index, pair = ranges(first, counts), np.repeat(np.arange(len(first)), counts)
        away = np.abs(delta_phi(library.phi[index] + turn[collision[pair]], self.phi[cone[pair]]))
        inside = np.flatnonzero(away < self.reach(library.pt[index], library.charge[index]))
        found = np.sort(collision[pair[inside]] * len(library.pt) + index[inside])
        found = found[np.diff(found, prepend=-1) > 0]  # once, where cones overlap
        return np.divmod(found, len(library.pt))


@lru_cache(maxsize=1)
def load_library() -> Library:
    """Return the library that ships with hepflow."""
    with np.load(Path(__file__).with_name("minbias.npz"), allow_pickle=False) as stored:
        counts, pdg, eta = stored["counts"], stored["pdg"].astype(np.int32), stored["eta"].astype(np.float64) / 10_000.0
        position = SEPARATE * np.repeat(np.arange(len(counts)), counts) + eta
        order = np.argsort(position, kind="stable")
        return Library(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            order=position[order],
            pt=np.exp(stored["log_pt"].astype(np.float64))[order],
            eta=eta[order],
            phi=(stored["phi"].astype(np.float64) * PHI_STEPS)[order],
            pdg=pdg[order],
            charge=stored["charge"].astype(np.float64)[order],
        )


def pile_up(
    draws: Draws,
    library: Library,
    z: npt.NDArray[np.float64],
    event: npt.NDArray[np.int64],
    first_vertex: int,
    near: Cones | None = None,
) -> Particles:
    """Return the particles of one random collision at each of the positions ``z`` (mm) in these events, which only
    rise; an event's collisions are numbered from ``first_vertex``. With ``near`` only those that may reach a cone."""
    per_event = np.bincount(event, minlength=len(draws))
    chosen = draws.integers(len(library), per_event)
    turn = 2.0 * np.pi * draws.uniform(per_event)
    mirror = np.where(draws.uniform(per_event) < 0.5, -1.0, 1.0)
    number = first_vertex + ranges(np.zeros(len(draws), dtype=np.int64), per_event)
    if near is None:
        counts = np.diff(library.offsets)[chosen]
        collision, index = np.repeat(np.arange(len(z)), counts), ranges(library.offsets[chosen], counts)
    else:
        collision, index = near.reached(library, chosen, turn, mirror, event)
    zero = np.zeros(len(index))
    return Particles(
        pt=library.pt[index],
        eta=library.eta[index] * mirror[collision],
        phi=library.phi[index] + turn[collision],
        pdg=library.pdg[index],
        charge=library.charge[index],
        x=zero,
        y=zero,
        z=z[collision],
        vertex=number.astype(np.int32)[collision],
        event=event[collision],
    )


def make_library(path: Path, events: int = EVENTS, seed: int = SEED) -> None:
    """Generate the library and write it as a compressed ``npz``: pt as logarithm in half precision, angles in steps
    of 0.0001."""
    import awkward as ak
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    random = ("Random:setSeed = on", f"Random:seed = {seed}")
    for setting in ("Print:quiet = on", *random, "Beams:eCM = 13000.", "Tune:pp = 21", "SoftQCD:inelastic = on"):
        pythia.readString(setting)
    pythia.init()
    particles = pythia.nextBatch(events).prt
    pt = np.hypot(particles.p.px, particles.p.py)
    eta = np.arcsinh(particles.p.pz / np.maximum(pt, 1e-9))
    code = abs(particles.id)
    visible = (particles.status > 0) & (pt > PT_MIN) & (abs(eta) < ETA_MAX)
    for invisible in INVISIBLE:
        visible = visible & (code != invisible)
    pdg = ak.to_numpy(ak.flatten(particles.id[visible]))
    phi = ak.to_numpy(ak.flatten(np.arctan2(particles.p.py, particles.p.px)[visible]))
    unique, inverse = np.unique(pdg, return_inverse=True)
    charge = np.array([pythia.particleData.charge(int(code)) for code in unique])[inverse]
    np.savez_compressed(
        path,
        counts=ak.to_numpy(ak.sum(visible, axis=1)).astype(np.int16),
        log_pt=np.log(1000.0 * ak.to_numpy(ak.flatten(pt[visible]))).astype(np.float16),
        eta=np.round(ak.to_numpy(ak.flatten(eta[visible])) * 10_000.0).astype(np.int16),
        phi=(np.mod(phi, 2.0 * np.pi) / PHI_STEPS).astype(np.uint16),
        pdg=np.clip(pdg, -32768, 32767).astype(np.int16),
        charge=np.round(charge).astype(np.int8),
    )


if __name__ == "__main__":
    make_library(Path(sys.argv[1]))
