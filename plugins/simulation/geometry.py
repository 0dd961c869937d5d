"""The detector's shape: field, material, calorimeter layers, and the way of a particle to the calorimeter.

The numbers are rounded from "The ATLAS Experiment at the CERN Large Hadron Collider", JINST 3 (2008) S08003 (solenoid,
chapter 2; inner detector, chapter 4; calorimeters, chapter 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.particles import Particles

__all__ = [
    "CELLS",
    "CURVATURE",
    "ETA_MAX",
    "LAYERS",
    "LAYER_DEPTH",
    "Impact",
    "calorimeter_radius",
    "depth_edges",
    "eta_from",
    "inner_material",
    "propagate",
    "upstream_material",
]

Floats = npt.NDArray[np.float64]

CURVATURE = 0.299792458 * 2.0
"""1 / radius of a track (1/mm) is CURVATURE / pt (MeV): a field of 2 T (S08003, chapter 2)."""
BARREL_RADIUS, ENDCAP_Z = 1500.0, 3700.0
"""Front of the electromagnetic calorimeter: barrel radius and endcap z in mm (S08003, chapter 5)."""
BARREL_ETA = float(np.arcsinh(ENDCAP_Z / BARREL_RADIUS))
ETA_MAX = 2.5

CELLS = {
    "EM1": (0.025 / 8, np.pi / 32),
    "EM2": (0.025, np.pi / 128),
    "EM3": (0.05, np.pi / 128),
    "HAD": (0.1, np.pi / 32),
}
"""Cell sizes in η and φ (S08003, chapter 5; barrel values, used everywhere)."""
LAYERS = tuple(CELLS)
LAYER_DEPTH = (4.3, 16.0, 2.0)
"""Thickness of EM1, EM2, EM3 in radiation lengths (S08003, chapter 5: 22 radiation lengths and more in all)."""

_ETA = np.array([0.0, 0.4, 0.8, 1.2, 1.35, 1.45, 1.55, 1.7, 2.0, 2.5, 5.0])
_UPSTREAM = np.array([2.0, 2.2, 2.7, 3.8, 4.6, 6.5, 5.2, 3.8, 3.0, 2.6, 2.6])
_INNER = np.array([0.16, 0.18, 0.24, 0.38, 0.44, 0.48, 0.50, 0.52, 0.48, 0.42, 0.42])


def upstream_material(eta: Floats) -> Floats:
    """Return radiation lengths in front of the calorimeter; more at the crack (S08003, chapter 5)."""
    material: Floats = np.interp(np.abs(eta), _ETA, _UPSTREAM)
    return material


def inner_material(eta: Floats) -> Floats:
    """Return radiation lengths of the inner detector up to a radius of 400 mm, where conversions can leave tracks
    (S08003, chapter 4)."""
    material: Floats = np.interp(np.abs(eta), _ETA, _INNER)
    return material


def depth_edges(eta: Floats) -> Floats:
    """Return where EM1, EM2, EM3 begin and EM3 ends, in radiation lengths from the beam; shape (4, n)."""
    up = upstream_material(eta)
    edges: Floats = up + np.concatenate([[0.0], np.cumsum(LAYER_DEPTH)])[:, None]
    return edges


def calorimeter_radius(eta: npt.ArrayLike) -> Floats:
    """Return the distance from the beam (mm) at which a line from the middle of the detector enters the calorimeter."""
    absolute = np.maximum(np.abs(np.asarray(eta, dtype=np.float64)), 1e-6)
    radius: Floats = np.where(absolute < BARREL_ETA, BARREL_RADIUS, ENDCAP_Z / np.sinh(absolute))
    return radius


def eta_from(eta: npt.ArrayLike, z: npt.ArrayLike) -> Floats:
    """Return η as seen from (0, 0, z) of points of the calorimeter's front with this η as seen from the middle."""
    eta = np.asarray(eta, dtype=np.float64)
    moved: Floats = np.arcsinh(np.sinh(eta) - np.asarray(z) / calorimeter_radius(eta))
    return moved


@dataclass(frozen=True)
class Impact:
    """Where particles enter the calorimeter: η and φ as seen from the middle of the detector; ``hit`` is false for
    those that never do."""

    eta: Floats
    phi: Floats
    hit: npt.NDArray[np.bool_]

    def where(self, chosen: npt.NDArray[np.int64]) -> Impact:
        """Return those of some of the particles."""
        return Impact(self.eta[chosen], self.phi[chosen], self.hit[chosen])


def propagate(particles: Particles) -> Impact:
    """Follow particles from their production vertex to the front of the calorimeter, charged ones on a helix.

    A helix crosses the barrel where its circle in the transverse plane does; what crosses the endcap plane first stops
    there. Curlers do not arrive.
    """
    sine, cosine, direction = np.sinh(particles.eta), np.cos(particles.phi), np.sin(particles.phi)
    s, hit = _straight(particles, cosine, direction), np.ones(len(particles), dtype=bool)
    charged = np.flatnonzero(particles.charge != 0)
    kappa = -particles.charge[charged] * CURVATURE / particles.pt[charged]
    x, y, phi = particles.x[charged], particles.y[charged], particles.phi[charged]
    bent, limit = _bent(x, y, phi, kappa, cosine[charged], direction[charged]), np.pi / np.abs(kappa)
    hit[charged] = arrives = bent < limit
    s[charged] = np.where(arrives, bent, limit)
    to_plane = (np.copysign(ENDCAP_Z, sine) - particles.z) / np.where(np.abs(sine) < 1e-3, 1e-3, sine)
    endcap = np.abs(particles.z + s * sine) > ENDCAP_Z
    endcap[charged] |= ~arrives & (to_plane[charged] < limit)
    s = np.where(endcap, np.maximum(to_plane, 0.0), s)
    half, chord = kappa * s[charged] / 2.0, s.copy()
    chord[charged] *= np.where(np.abs(half) > 1e-6, np.sin(half) / np.where(half == 0.0, 1.0, half), 1.0)
    cosine[charged], direction[charged] = np.cos(phi + half), np.sin(phi + half)
    x, y = particles.x + chord * cosine, particles.y + chord * direction
    inside = (np.hypot(particles.x, particles.y) < BARREL_RADIUS) & (np.abs(particles.z) < ENDCAP_Z)
    z, radius = particles.z + s * sine, np.maximum(np.hypot(x, y), 1.0)
    return Impact(np.arcsinh(z / radius), np.arctan2(y, x), (hit | endcap) & inside)


def _straight(particles: Particles, cosine: Floats, sine: Floats) -> Floats:
    """Return the transverse paths of straight lines to the barrel's radius."""
    along = particles.x * cosine + particles.y * sine
    square = along**2 + BARREL_RADIUS**2 - particles.x**2 - particles.y**2
    path: Floats = np.sqrt(np.maximum(square, 0.0)) - along
    return path


def _bent(x: Floats, y: Floats, phi: Floats, kappa: Floats, cosine: Floats, sine: Floats) -> Floats:
    """Return the transverse paths along circles of curvature ``kappa`` to the barrel's radius, infinite for those that
    never get there."""
    x, y = x - sine / kappa, y + cosine / kappa  # the middle of the circle
    distance = np.hypot(x, y)
    value = (BARREL_RADIUS**2 - distance**2 - kappa**-2) * kappa / (2.0 * distance)
    turn, middle = np.arcsin(np.clip(value, -1.0, 1.0)), np.arctan2(y, x) - phi
    ways = [np.mod((middle + angle) * np.sign(kappa), 2.0 * np.pi) for angle in (turn, np.pi - turn)]
    path: Floats = np.where(np.abs(value) <= 1.0, np.minimum(*ways) / np.abs(kappa), np.inf)
    return path
