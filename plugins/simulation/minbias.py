"""Minimum-bias collisions: a small library made once with Pythia, from which pile-up and underlying event are
drawn.

``python -m hepflow.plugins.simulation.minbias OUTPUT.npz`` makes ``minbias.npz`` of this folder again (Pythia 8.317,
SoftQCD:inelastic, A14 NNPDF2.3LO, 13 TeV). Each use turns a collision by a random angle in φ and mirrors half of them
in η.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.calorimeter import HALF_WIDTH
from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import propagate
from hepflow.plugins.simulation.particles import INVISIBLE, Particles, delta_phi, pairs, ranges
from hepflow.plugins.simulation.tracking import can_leave_tracks

__all__ = ["REGION", "Cones", "Library", "load_library", "make_library", "pile_up"]

EVENTS, SEED = 800, 42
ETA_MAX, PT_MIN = 3.1, 0.2
"""What the library keeps: |η| below this, pt (GeV) above; softer particles neither reach the calorimeter nor rise
above its noise."""

SEPARATE = 100.0
"""More than all of η: keeps collisions apart in one sorted list."""

PHI_STEPS = 2.0 * np.pi / 2**16


REGION, MARGIN = 0.55, 0.35
"""Half width of the square around a candidate whose particles are showered, and how much further pile-up is kept for
vertex shifts and bending."""
BENDING = 350.0
"""MeV: angle in φ that the field turns a particle before the calorimeter, times pt (0.47 rad at 1 GeV, more when
softer)."""
FAR = 160.0
"""mm from the middle of the detector: where the calorimeter is hit from further vertices is not looked up."""
ROUNDING = 1e-3
"""More than single precision is wrong in an angle."""


@dataclass(frozen=True)
class Library:
    """Particles of all collisions one after the other, each by rising η; collision i owns ``[offsets[i],
    offsets[i+1])``. pt in MeV; ``order`` is η plus SEPARATE for each collision.

    ``reach`` is how far in φ from a candidate particles can start and still count. Those that can leave tracks, or
    that the field moves far in η, count wherever they enter the calorimeter; others only where they can enter it
    within REGION of a candidate, from vertices up to FAR: where its η is between ``lowest`` and ``highest``, and its φ
    closer than ``width`` to ``arrival``.
    """

    offsets: npt.NDArray[np.int64]
    order: npt.NDArray[np.float64]
    pt: npt.NDArray[np.float64]
    eta: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]
    pdg: npt.NDArray[np.int32]
    charge: npt.NDArray[np.float64]
    reach: npt.NDArray[np.float64]
    arrival: npt.NDArray[np.float32]
    width: npt.NDArray[np.float32]
    lowest: npt.NDArray[np.float32]
    highest: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Cones:
    """Directions (event in the block, which only rises, η, φ) around which pile-up counts."""

    event: npt.NDArray[np.int64]
    eta: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]

    def reached(
        self,
        library: Library,
        chosen: npt.NDArray[np.int64],
        turn: npt.NDArray[np.float64],
        mirror: npt.NDArray[np.float64],
        z: npt.NDArray[np.float64],
        event: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return collision and particle in the library of what counts for a cone, for collisions of the library at
        ``z`` that are turned in φ and mirrored in η."""
        n = int(max(event.max(initial=-1), self.event.max(initial=-1))) + 1
        collision, cone = pairs(event, self.event, n)
        eta, phi = mirror[collision] * self.eta[cone], self.phi[cone]
        begin = SEPARATE * chosen[collision] + eta
        first, last = (np.searchsorted(library.order, begin + side * (REGION + MARGIN)) for side in (-1.0, 1.0))
        counts = last - first
        index = ranges(first, counts)
        away = library.arrival[index]
        away += np.repeat((turn[collision] - phi).astype(np.float32), counts)
        near = np.abs(delta_phi(away, np.float32(0.0))) < library.width[index]
        distant = np.abs(z[collision]) > FAR
        if distant.any():
            near |= np.repeat(distant, counts)
        possible = np.flatnonzero(near)
        index, pair = index[possible], np.repeat(np.arange(len(first)), counts)[possible]
        inside = ((eta[pair] > library.lowest[index]) & (eta[pair] < library.highest[index])) | distant[pair]
        index, pair = index[inside], pair[inside]
        inside = np.abs(delta_phi(library.phi[index] + turn[collision[pair]], phi[pair])) < library.reach[index]
        # missed by this cone, but another one of the event may have what enters here
        missed = np.flatnonzero(~inside & np.isfinite(library.width[index]))
        one, other = pairs(collision[pair[missed]], collision, len(event))
        late = index[missed[one]]
        away = np.abs(delta_phi(library.phi[late] + turn[collision[other]], phi[other]))
        caught = (late >= first[other]) & (late < last[other]) & (away < library.reach[late])
        inside[missed[one[caught]]] = True
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
        pt, charge = np.exp(stored["log_pt"].astype(np.float64))[order], stored["charge"].astype(np.float64)[order]
        phi, eta, pdg = (stored["phi"].astype(np.float64) * PHI_STEPS)[order], eta[order], pdg[order]
        bending = np.where(charge != 0, np.minimum(BENDING / pt * 1.4, np.pi), 0.0)
        return Library(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            order=position[order],
            pt=pt,
            eta=eta,
            phi=phi,
            pdg=pdg,
            charge=charge,
            reach=REGION + MARGIN / HALF_WIDTH * 0.1 + bending,
            **_arrivals(pt, eta, phi, pdg, charge),
        )


def _arrivals(
    pt: npt.NDArray[np.float64],
    eta: npt.NDArray[np.float64],
    phi: npt.NDArray[np.float64],
    pdg: npt.NDArray[np.int32],
    charge: npt.NDArray[np.float64],
) -> dict[str, npt.NDArray[np.float32]]:
    """Return ``arrival``, ``width``, ``lowest`` and ``highest`` of a library. Where particles of a vertex enter the
    calorimeter only rises or falls with its z, so it lies between where those of the outermost vertices do."""
    zero = np.zeros(len(pt))
    none = zero.astype(np.int32)
    particles = Particles(pt, eta, zero, pdg, charge, zero, zero, zero, none, none.astype(np.int64))
    impacts = [propagate(replace(particles, z=zero + side * FAR)) for side in (-1.0, 1.0)]
    at_eta, at_phi = (np.sort([getattr(impact, name) for impact in impacts], axis=0) for name in ("eta", "phi"))
    hit = impacts[0].hit | impacts[1].hit
    width = np.where(hit, REGION + (at_phi[1] - at_phi[0]) / 2.0 + ROUNDING, -1.0)
    lowest, highest = at_eta[0] - REGION - ROUNDING, at_eta[1] + REGION + ROUNDING
    always = can_leave_tracks(particles) | (hit & (np.abs(at_eta - eta).max(axis=0) > MARGIN - ROUNDING))
    width[always], lowest[always], highest[always] = np.inf, -np.inf, np.inf
    found = {"arrival": phi + at_phi.mean(axis=0), "width": width, "lowest": lowest, "highest": highest}
    return {name: values.astype(np.float32) for name, values in found.items()}


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
        collision, index = near.reached(library, chosen, turn, mirror, z, event)
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
