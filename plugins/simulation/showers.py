"""Showers as spots of energy: where in depth and width a particle leaves its energy in the calorimeter.

Electromagnetic showers follow G. Grindhammer and S. Peters, hep-ex/0001020 (homogeneous medium): the longitudinal
profile is a gamma distribution whose parameters fluctuate from shower to shower, the radial one a core and a tail.
Hadrons pass as minimum-ionising particles up to their first interaction; then a fluctuating electromagnetic fraction f
= 1 − (E / 1 GeV)^(k−1), k = 0.82 (T. Gabriel et al., NIM A338 (1994) 336), showers like a photon and the rest, wider,
counts less (h/e < 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import LAYER_DEPTH, calorimeter_radius, depth_edges, upstream_material
from hepflow.plugins.simulation.particles import ELECTRON, MUON, PHOTON, Particles, sum_by

__all__ = ["Spots", "shower_spots"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]
"""Spots are many: single precision is exact enough for them, and twice as fast."""

CRITICAL_ENERGY = 12.0
"""MeV, of the lead and liquid-argon mixture: between lead (7.4) and argon (32)."""
ATOMIC_NUMBER = 60.0
MOLIERE = 36.0
"""mm: 21.2 MeV / critical energy times a radiation length of about 20 mm."""
SAMPLING_TERM = 0.10
"""Relative energy resolution of electromagnetic showers at 1 GeV (JINST 3 S08003, chapter 5: 10 %/√E)."""
UPSTREAM_WEIGHT = 0.75
"""Share of the energy lost before the calorimeter that the presampler gives back, seen in EM1."""

X0_PER_LAMBDA = 18.0
"""Radiation lengths in one nuclear interaction length of the electromagnetic calorimeter."""
HADRONIC_DEPTH = 7.4
"""Interaction lengths of the hadronic calorimeter (S08003, chapter 5)."""
HADRON_RESPONSE = 0.68
"""h/e, the signal of the hadronic part of a shower relative to the same energy of electrons."""
EM_FRACTION_POWER = -0.18
EM_FRACTION_SPREAD = 6.0
"""α + β of the beta distribution of the electromagnetic fraction: a spread of about 0.18."""
HADRON_SAMPLING = 0.30
HADRON_CORE, HADRON_TAIL, HADRON_CORE_SHARE = 22.0, 110.0, 0.65
"""Radii (mm) of the hadronic part and the share of its core."""

IONISATION = (50.0, 230.0, 35.0, 1500.0)
"""Most probable signal (MeV) of a minimum-ionising particle in EM1, EM2, EM3, HAD."""

EM1, EM2, EM3, HAD = range(4)


@dataclass(frozen=True)
class Spots:
    """Deposits: positions of particles and how many spots each makes, one after the other; of the spots, layer (0…3 =
    EM1, EM2, EM3, HAD), η and φ at the calorimeter (seen from the middle), energy in MeV."""

    owner: Ints
    number: Ints
    layer: npt.NDArray[np.int8]
    eta: Singles
    phi: Singles
    energy: Singles


@dataclass(frozen=True)
class _Entering:
    """Particles at the calorimeter: their positions among all, event in the block, η and φ there, and how many events
    the block has."""

    owner: Ints
    event: Ints
    eta: Floats
    phi: Floats
    events: int

    def __getitem__(self, chosen: npt.NDArray[Any]) -> _Entering:
        return _Entering(self.owner[chosen], self.event[chosen], self.eta[chosen], self.phi[chosen], self.events)

    @property
    def counts(self) -> Ints:
        return np.bincount(self.event, minlength=self.events)

    def spots(self, number: Ints) -> Ints:
        """Return the spots of each event, for so many of each particle."""
        return sum_by(self.event, number, self.events).astype(np.int64)


def shower_spots(draws: Draws, particles: Particles, eta: Floats, phi: Floats) -> Sequence[Spots]:
    """Return the deposits of particles that enter the calorimeter at (``eta``, ``phi``), kind by kind."""
    code = particles.code
    electromagnetic = (code == PHOTON) | (code == ELECTRON)
    muon = code == MUON
    hadron = np.flatnonzero(~electromagnetic & ~muon)
    entering = _Entering(np.arange(len(particles)), particles.event, eta, phi, len(draws))
    showering, passing, hadronic = (entering[part] for part in (electromagnetic, muon, hadron))
    start = np.where(code[electromagnetic] == PHOTON, 9.0 / 7.0 * draws.exponential(showering.counts), 0.0)
    energy = particles.energy
    kinetic, charged = energy[hadron] - particles.mass[hadron], particles.charge[hadron] != 0
    return [
        _electromagnetic(draws, showering, energy[electromagnetic], start),
        _ionisation(draws, passing, np.full(len(passing.eta), np.inf)),
        *_hadrons(draws, hadronic, kinetic, charged),
    ]


def _electromagnetic(draws: Draws, entering: _Entering, energy: Floats, start: Floats) -> Spots:
    """Return the spots of electromagnetic showers that begin ``start`` radiation lengths deep."""
    log_y = np.log(np.maximum(energy / CRITICAL_ENERGY, 8.0))
    spread_t = 1.0 / np.maximum(-1.4 + 1.26 * log_y, 1.5)
    spread_a = 1.0 / np.maximum(-0.58 + 0.86 * log_y, 1.5)
    first, second, third = (draws.normal(entering.counts) for _ in range(3))
    correlation = np.clip(0.705 - 0.023 * log_y, 0.0, 1.0)
    peak = np.maximum(log_y - 0.858, 0.6) * np.exp(spread_t * first)
    mixed = correlation * first + np.sqrt(1.0 - correlation**2) * second
    alpha = np.maximum((0.21 + (0.492 + 2.38 / ATOMIC_NUMBER) * log_y) * np.exp(spread_a * mixed), 1.1)
    number = np.clip(10.0 + 18.0 * (energy / 1000.0) ** 0.68, 10, 600).astype(np.int64)
    gigas = np.maximum(energy / 1000.0, 0.05)
    measured = energy * np.maximum(1.0 + SAMPLING_TERM / np.sqrt(gigas) * third, 0.1)
    counts = entering.spots(number)
    shape = _repeat(alpha, number)
    tau = draws.gamma(shape, counts)
    shape -= np.float32(0.7)
    tau /= shape
    radius = _radial(draws, counts, np.minimum(tau, np.float32(3.5)), np.log(gigas), number)
    radius *= np.float32(MOLIERE)
    tau *= _repeat(peak, number)
    return _place(draws, counts, entering, number, tau, start, radius, measured)


def _repeat(values: Floats, number: Ints) -> Singles:
    return np.repeat(values.astype(np.float32), number)


def _radial(draws: Draws, counts: Ints, tau: Singles, log_e: Floats, number: Ints) -> Singles:
    """Return radii in units of the Molière radius at depths τ = t / T (core and tail, each r = R √(u / (1 − u))); the
    depths are used up."""
    late = tau - np.float32(0.645)
    tail = _repeat(0.3585 + 0.0421 * log_e, number)
    tail *= late
    np.exp(tail, out=tail)
    late *= np.float32(-2.59)
    tail += np.exp(late, out=late)
    tail *= np.float32(0.659 - 0.00309 * ATOMIC_NUMBER)
    share = np.float32(0.401 + 0.00187 * ATOMIC_NUMBER) - tau
    share *= _repeat(1.0 / np.maximum(1.313 - 0.0686 * log_e, 0.5), number)
    share -= np.exp(share, out=late)
    np.exp(share, out=share)
    share *= np.float32(2.632 - 0.00094 * ATOMIC_NUMBER)
    tau *= np.float32(0.1162 - 0.000381 * ATOMIC_NUMBER)
    tau += _repeat(0.0251 + 0.00319 * log_e, number)
    core = np.maximum(tau, np.float32(0.01), out=tau)
    scale = np.where(draws.uniform(counts, np.float32) < share, core, tail)
    scale *= _spread(draws, counts)
    return scale


def _spread(draws: Draws, counts: Ints) -> Singles:
    """Return √(u / (1 − u)) of uniform u up to 0.97."""
    u = draws.uniform(counts, np.float32)
    u *= np.float32(0.97)
    u /= np.float32(1.0) - u
    return np.sqrt(u, out=u)


def _place(
    draws: Draws, counts: Ints, entering: _Entering, number: Ints, depth: Singles, start: Floats, radius: Singles,
    energy: Floats,
) -> Spots:  # fmt: skip
    """Put spots, ``number`` a particle, which share its ``energy``, at a depth (radiation lengths behind ``start``) and
    a distance (mm) from the axis into layers and directions."""
    eta = entering.eta
    depth += _repeat(start - upstream_material(eta), number)
    first, second, third = np.cumsum(LAYER_DEPTH).tolist()
    layer = (depth > first).view(np.int8) + (depth > second).view(np.int8) + (depth > third).view(np.int8)
    share = _repeat(energy / number, number)
    share *= np.where(depth < 0.0, np.float32(UPSTREAM_WEIGHT), np.float32(1.0))
    share *= depth <= third + HADRONIC_DEPTH * X0_PER_LAMBDA
    angle = draws.uniform(counts, np.float32)
    angle *= np.float32(2.0 * np.pi)
    radius *= _repeat(1.0 / calorimeter_radius(eta), number)
    spot_eta, spot_phi = _repeat(eta, number), _repeat(entering.phi, number)
    spot_eta += radius * np.cos(angle)
    radius *= np.sin(angle, out=angle)
    spot_phi += radius
    return Spots(entering.owner, number, layer, spot_eta, spot_phi, share)


def _ionisation(draws: Draws, entering: _Entering, depth: Floats) -> Spots:
    """Return the track-like signal of particles down to ``depth`` (radiation lengths): one spot a layer, with a
    tail upwards."""
    n = len(entering.eta)
    edges = np.vstack([depth_edges(entering.eta), np.full(n, np.inf)])
    passed = np.clip((depth - edges[:-1]) / np.where(np.isfinite(edges[1:]), edges[1:] - edges[:-1], 60.0), 0.0, 1.0)
    noise = np.stack([draws.normal(entering.counts) for _ in range(4)])
    energy = passed * np.array(IONISATION)[:, None] * np.exp(0.25 * noise)
    layer = np.repeat(np.arange(4, dtype=np.int8), n)
    eta, phi = (np.tile(values.astype(np.float32), 4) for values in (entering.eta, entering.phi))
    number = np.ones(4 * n, dtype=np.int64)
    return Spots(np.tile(entering.owner, 4), number, layer, eta, phi, energy.ravel().astype(np.float32))


def _hadrons(draws: Draws, entering: _Entering, energy: Floats, charged: npt.NDArray[np.bool_]) -> list[Spots]:
    """Return the spots of hadrons with this kinetic energy: ionisation, electromagnetic part, hadronic part."""
    counts, n = entering.counts, len(energy)
    gigas = np.maximum(energy / 1000.0, 0.02)
    start = X0_PER_LAMBDA * draws.exponential(counts) + 0.2 * upstream_material(entering.eta)
    ionised = _ionisation(draws, entering, np.where(charged, start, 0.0))
    lost = ionised.energy.reshape(4, n).sum(axis=0, dtype=np.float64)
    scale = np.minimum(1.0, energy / np.maximum(lost, 1e-9)).astype(np.float32)
    ionised = replace(ionised, energy=ionised.energy * np.tile(scale, 4))
    left = np.maximum(energy - lost, 0.0)
    mean = np.clip(1.0 - np.maximum(gigas, 1.2) ** EM_FRACTION_POWER, 0.05, 0.8)
    fraction = draws.beta(EM_FRACTION_SPREAD * mean, EM_FRACTION_SPREAD * (1.0 - mean), counts)
    smear = np.maximum(1.0 + HADRON_SAMPLING / np.sqrt(gigas) * draws.normal(counts), 0.1)
    shower = left > 50.0
    electromagnetic = _electromagnetic(draws, entering[shower], (left * fraction)[shower], start[shower])
    hadronic = HADRON_RESPONSE * left * (1.0 - fraction) * smear
    number = np.clip(6.0 + 7.0 * np.sqrt(gigas), 6, 100).astype(np.int64)
    spots = entering.spots(number)
    depth = draws.gamma(np.array(1.6, dtype=np.float32), spots)
    depth *= np.float32(X0_PER_LAMBDA * 0.75)
    core = draws.uniform(spots, np.float32) < HADRON_CORE_SHARE
    widths = _spread(draws, spots)
    widths *= np.where(core, np.float32(HADRON_CORE), np.float32(HADRON_TAIL))
    return [ionised, electromagnetic, _place(draws, spots, entering, number, depth, start, widths, hadronic)]
