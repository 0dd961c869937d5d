"""Minimum-bias collisions: a small library made once with Pythia, from which pile-up and underlying event are
drawn.

``python -m hepflow.plugins.simulation.minbias OUTPUT.npz`` makes ``minbias.npz`` of this folder again (Pythia 8.317,
SoftQCD:inelastic, A14 NNPDF2.3LO, 13 TeV). Each use turns a collision by a random angle in φ and mirrors half of them
in η.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.particles import INVISIBLE, Particles

__all__ = ["Library", "load_library", "make_library", "pile_up"]

EVENTS, SEED = 800, 42
ETA_MAX, PT_MIN = 3.1, 0.2
"""What the library keeps: |η| below this, pt (GeV) above; softer particles neither reach the calorimeter nor rise
above its noise."""

PHI_STEPS = 2.0 * np.pi / 2**16


@dataclass(frozen=True)
class Library:
    """Particles of all collisions one after the other; collision i owns ``[offsets[i], offsets[i+1])``. pt in MeV."""

    offsets: npt.NDArray[np.int64]
    pt: npt.NDArray[np.float64]
    eta: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]
    pdg: npt.NDArray[np.int32]
    charge: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@lru_cache(maxsize=1)
def load_library() -> Library:
    """Return the library that ships with hepflow."""
    with np.load(Path(__file__).with_name("minbias.npz"), allow_pickle=False) as stored:
        counts, pdg = stored["counts"], stored["pdg"].astype(np.int32)
        return Library(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            pt=np.exp(stored["log_pt"].astype(np.float64)),
            eta=stored["eta"].astype(np.float64) / 10_000.0,
            phi=stored["phi"].astype(np.float64) * PHI_STEPS,
            pdg=pdg,
            charge=stored["charge"].astype(np.float64),
        )


def pile_up(rng: np.random.Generator, library: Library, z: npt.NDArray[np.float64], first_vertex: int) -> Particles:
    """Return the particles of one random collision at each of the positions ``z`` (mm), numbered from
    ``first_vertex``."""
    chosen = rng.integers(len(library), size=len(z))
    turn = rng.uniform(0.0, 2.0 * np.pi, len(z))
    mirror = np.where(rng.random(len(z)) < 0.5, -1.0, 1.0)
    first, counts = library.offsets[chosen], np.diff(library.offsets)[chosen]
    collision = np.repeat(np.arange(len(z)), counts)
    index = np.arange(len(collision)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
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
        vertex=(first_vertex + collision).astype(np.int32),
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
