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


def propagate(particles: Particles) -> Impact:
    """Follow particles from their production vertex to the front of the calorimeter, charged ones on a helix.

    The transverse path length s to the barrel radius is found by Newton's method (the chord of an arc of curvature κ is
    s sinc(κs/2)); what crosses the endcap plane first stops there. Curlers do not arrive.
    """
    kappa = -particles.charge * CURVATURE / particles.pt
    r_start = np.hypot(particles.x, particles.y)
    sine = np.sinh(particles.eta)
    s = np.maximum(BARREL_RADIUS - r_start, 1.0)
    limit = np.pi / np.maximum(np.abs(kappa), 1e-9)
    for _ in range(4):
        x, y, direction = _point(particles, kappa, s)
        radius = np.hypot(x, y)
        slope = (x * np.cos(direction) + y * np.sin(direction)) / np.maximum(radius, 1.0)
        s = np.clip(s + (BARREL_RADIUS - radius) / np.maximum(slope, 0.05), 0.0, limit)
    x, y, _ = _point(particles, kappa, s)
    hit = np.abs(np.hypot(x, y) - BARREL_RADIUS) < 5.0
    z = particles.z + s * sine
    to_plane = (np.copysign(ENDCAP_Z, sine) - particles.z) / np.where(np.abs(sine) < 1e-3, 1e-3, sine)
    endcap = (np.abs(z) > ENDCAP_Z) | (~hit & (to_plane < limit))
    s = np.where(endcap, np.maximum(to_plane, 0.0), s)
    x, y, _ = _point(particles, kappa, s)
    radius = np.maximum(np.hypot(x, y), 1.0)
    inside = (r_start < BARREL_RADIUS) & (np.abs(particles.z) < ENDCAP_Z)
    return Impact(np.arcsinh((particles.z + s * sine) / radius), np.arctan2(y, x), (hit | endcap) & inside)


def _point(particles: Particles, kappa: Floats, s: Floats) -> tuple[Floats, Floats, Floats]:
    """Return x, y and the direction after a transverse path s."""
    half = kappa * s / 2.0
    chord = s * np.sinc(half / np.pi)
    angle = particles.phi + half
    return particles.x + chord * np.cos(angle), particles.y + chord * np.sin(angle), particles.phi + kappa * s
