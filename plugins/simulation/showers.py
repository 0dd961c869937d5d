"""Showers as spots of energy: where in depth and width a particle leaves its energy in the calorimeter.

Electromagnetic showers follow G. Grindhammer and S. Peters, hep-ex/0001020 (homogeneous medium): the longitudinal
profile is a gamma distribution whose parameters fluctuate from shower to shower, the radial one a core and a tail.
Hadrons pass as minimum-ionising particles up to their first interaction; then a fluctuating electromagnetic fraction f
= 1 − (E / 1 GeV)^(k−1), k = 0.82 (T. Gabriel et al., NIM A338 (1994) 336), showers like a photon and the rest, wider,
counts less (h/e < 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.geometry import calorimeter_radius, depth_edges, upstream_material
from hepflow.plugins.simulation.particles import ELECTRON, MUON, PHOTON, Particles

__all__ = ["Spots", "shower_spots"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

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
    """Deposits: layer (0…3 = EM1, EM2, EM3, HAD), η and φ of the spot at the calorimeter (seen from the middle),
    energy in MeV."""

    layer: Ints
    eta: Floats
    phi: Floats
    energy: Floats

    @classmethod
    def join(cls, parts: Sequence[Spots]) -> Spots:
        """Return all spots of several sets."""
        names = ("layer", "eta", "phi", "energy")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def shower_spots(rng: np.random.Generator, particles: Particles, eta: Floats, phi: Floats) -> Spots:
    """Return the deposits of particles that enter the calorimeter at (``eta``, ``phi``)."""
    code = particles.code
    electromagnetic = (code == PHOTON) | (code == ELECTRON)
    muon = code == MUON
    hadron = ~electromagnetic & ~muon
    parts = []
    if electromagnetic.any():
        chosen = electromagnetic
        start = np.where(code[chosen] == PHOTON, rng.exponential(9.0 / 7.0, int(chosen.sum())), 0.0)
        parts.append(_electromagnetic(rng, particles.energy[chosen], start, eta[chosen], phi[chosen]))
    if muon.any():
        depth = np.full(int(muon.sum()), np.inf)
        parts.append(_ionisation(rng, depth, eta[muon], phi[muon]))
    if hadron.any():
        kinetic = particles.energy[hadron] - particles.mass[hadron]
        charged = particles.charge[hadron] != 0
        parts.extend(_hadrons(rng, kinetic, charged, eta[hadron], phi[hadron]))
    if not parts:
        return Spots(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
    return Spots.join(parts)


def _electromagnetic(rng: np.random.Generator, energy: Floats, start: Floats, eta: Floats, phi: Floats) -> Spots:
    """Return the spots of electromagnetic showers that begin ``start`` radiation lengths deep."""
    log_y = np.log(np.maximum(energy / CRITICAL_ENERGY, 8.0))
    spread_t = 1.0 / np.maximum(-1.4 + 1.26 * log_y, 1.5)
    spread_a = 1.0 / np.maximum(-0.58 + 0.86 * log_y, 1.5)
    first, second = rng.standard_normal((2, len(energy)))
    correlation = np.clip(0.705 - 0.023 * log_y, 0.0, 1.0)
    peak = np.maximum(log_y - 0.858, 0.6) * np.exp(spread_t * first)
    mixed = correlation * first + np.sqrt(1.0 - correlation**2) * second
    alpha = np.maximum((0.21 + (0.492 + 2.38 / ATOMIC_NUMBER) * log_y) * np.exp(spread_a * mixed), 1.1)
    number = np.clip(10.0 + 18.0 * (energy / 1000.0) ** 0.68, 10, 600).astype(np.int64)
    owner = np.repeat(np.arange(len(energy)), number)
    gigas = np.maximum(energy / 1000.0, 0.05)
    measured = energy * np.maximum(1.0 + SAMPLING_TERM / np.sqrt(gigas) * rng.standard_normal(len(energy)), 0.1)
    inner = rng.standard_gamma(alpha[owner]) * (peak / (alpha - 1.0 + 0.3))[owner]
    radius = MOLIERE * _radial(rng, inner / peak[owner], np.log(gigas)[owner])
    return _place(rng, owner, start[owner] + inner, radius, (measured / number)[owner], eta, phi)


def _radial(rng: np.random.Generator, tau: Floats, log_e: Floats) -> Floats:
    """Return radii in units of the Molière radius at depths τ = t / T (core and tail, each r = R √(u / (1 − u)))."""
    tau = np.minimum(tau, 3.5)
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * ATOMIC_NUMBER) * tau
    k1 = 0.659 - 0.00309 * ATOMIC_NUMBER
    tail = k1 * (np.exp(-2.59 * (tau - 0.645)) + np.exp((0.3585 + 0.0421 * log_e) * (tau - 0.645)))
    x = ((0.401 + 0.00187 * ATOMIC_NUMBER) - tau) / np.maximum(1.313 - 0.0686 * log_e, 0.5)
    share = (2.632 - 0.00094 * ATOMIC_NUMBER) * np.exp(x - np.exp(x))
    scale = np.where(rng.random(len(tau)) < share, np.maximum(core, 0.01), tail)
    u = rng.random(len(tau)) * 0.97
    radius: Floats = scale * np.sqrt(u / (1.0 - u))
    return radius


def _place(
    rng: np.random.Generator, owner: Ints, depth: Floats, radius: Floats, energy: Floats, eta: Floats, phi: Floats
) -> Spots:
    """Put spots at a depth (radiation lengths) and a distance (mm) from the axis into layers and directions."""
    edges = depth_edges(eta)[:, owner]
    layer = (depth > edges[1]).astype(np.int64) + (depth > edges[2]) + (depth > edges[3])
    energy = np.where(depth < edges[0], UPSTREAM_WEIGHT * energy, energy)
    behind = edges[3] + HADRONIC_DEPTH * X0_PER_LAMBDA
    energy = np.where(depth > behind, 0.0, energy)
    angle = rng.uniform(0.0, 2.0 * np.pi, len(owner))
    width = radius / calorimeter_radius(eta)[owner]
    return Spots(layer, eta[owner] + width * np.cos(angle), phi[owner] + width * np.sin(angle), energy)


def _ionisation(rng: np.random.Generator, depth: Floats, eta: Floats, phi: Floats) -> Spots:
    """Return the track-like signal of particles down to ``depth`` (radiation lengths): one spot a layer, with a
    tail upwards."""
    edges = np.vstack([depth_edges(eta), np.full(len(eta), np.inf)])
    passed = np.clip((depth - edges[:-1]) / np.where(np.isfinite(edges[1:]), edges[1:] - edges[:-1], 60.0), 0.0, 1.0)
    energy = passed * np.array(IONISATION)[:, None] * np.exp(0.25 * rng.standard_normal(passed.shape))
    layer = np.repeat(np.arange(4), len(eta))
    return Spots(layer, np.tile(eta, 4), np.tile(phi, 4), energy.ravel())


def _hadrons(
    rng: np.random.Generator, energy: Floats, charged: npt.NDArray[np.bool_], eta: Floats, phi: Floats
) -> list[Spots]:
    """Return the spots of hadrons with this kinetic energy: ionisation, electromagnetic part, hadronic part."""
    gigas = np.maximum(energy / 1000.0, 0.02)
    start = X0_PER_LAMBDA * rng.exponential(1.0, len(energy)) + 0.2 * upstream_material(eta)
    ionised = _ionisation(rng, np.where(charged, start, 0.0), eta, phi)
    lost = np.bincount(np.tile(np.arange(len(eta)), 4), weights=ionised.energy, minlength=len(eta))
    scale = np.minimum(1.0, energy / np.maximum(lost, 1e-9))
    ionised = Spots(ionised.layer, ionised.eta, ionised.phi, ionised.energy * np.tile(scale, 4))
    left = np.maximum(energy - lost, 0.0)
    mean = np.clip(1.0 - np.maximum(gigas, 1.2) ** EM_FRACTION_POWER, 0.05, 0.8)
    fraction = rng.beta(EM_FRACTION_SPREAD * mean, EM_FRACTION_SPREAD * (1.0 - mean))
    smear = np.maximum(1.0 + HADRON_SAMPLING / np.sqrt(gigas) * rng.standard_normal(len(energy)), 0.1)
    shower = left > 50.0
    electromagnetic = _electromagnetic(rng, (left * fraction)[shower], start[shower], eta[shower], phi[shower])
    hadronic = HADRON_RESPONSE * left * (1.0 - fraction) * smear
    number = np.clip(6.0 + 7.0 * np.sqrt(gigas), 6, 100).astype(np.int64)
    owner = np.repeat(np.arange(len(energy)), number)
    depth = start[owner] + X0_PER_LAMBDA * rng.gamma(1.6, 0.75, len(owner))
    u = rng.random(len(owner)) * 0.97
    scale = np.where(rng.random(len(owner)) < HADRON_CORE_SHARE, HADRON_CORE, HADRON_TAIL)
    widths = scale * np.sqrt(u / (1.0 - u))
    return [ionised, electromagnetic, _place(rng, owner, depth, widths, (hadronic / number)[owner], eta, phi)]
