"""Kinematics of pairs: four-momenta, invariant masses, and the collinear mass of two taus."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["COLLINEAR_X_MIN", "VISIBLE_SCALE", "collinear_fractions", "delta_r", "four_momenta", "mass"]

Floats = npt.NDArray[np.float64]

COLLINEAR_X_MIN = 0.1
"""Stand-in: with a smaller visible fraction of a tau its neutrino is unphysically hard, and the mass far too large."""
VISIBLE_SCALE = 1.5
"""Mass of two hadronic taus over their visible mass, where there is no collinear solution: a stand-in, the median for
the taus of the sample HHbbtautau."""


def four_momenta(pt: Floats, eta: Floats, phi: Floats, m: Floats | float = 0.0) -> Floats:
    """Return (…, 4): px, py, pz, E in the unit of pt."""
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([px, py, pz, np.sqrt((pt * np.cosh(eta)) ** 2 + np.asarray(m) ** 2)], axis=-1)


def mass(vectors: Floats) -> Floats:
    """Return the invariant masses of four-momenta (…, 4); 0 where rounding makes m² negative."""
    px, py, pz, e = np.moveaxis(vectors, -1, 0)
    squared: Floats = e**2 - px**2 - py**2 - pz**2
    return np.sqrt(np.maximum(squared, 0.0))


def delta_r(eta: Floats, phi: Floats) -> Floats:
    """Return ΔR of the pairs (n × 2)."""
    turn = np.mod(phi[:, 0] - phi[:, 1] + np.pi, 2.0 * np.pi) - np.pi
    return np.hypot(eta[:, 0] - eta[:, 1], turn)


def collinear_fractions(pt: Floats, phi: Floats, met_x: Floats, met_y: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the visible momentum fractions of two taus (n × 2), and where they are a solution.

    The neutrinos of each tau fly along with it and make all of missing ET: ν₁ (cos φ₁, sin φ₁) + ν₂ (cos φ₂, sin φ₂) =
    MET, x = pt / (pt + ν) (Ellis, Hinchliffe, Soldate, van der Bij, Nucl. Phys. B 297 (1988) 221). There is no solution
    where x is not between ``COLLINEAR_X_MIN`` and 1, nor for taus that are back to back; x is 1 there.
    """
    determinant = np.sin(phi[:, 1] - phi[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (met_x * np.sin(phi[:, 1]) - met_y * np.cos(phi[:, 1])) / determinant
        second = (met_y * np.cos(phi[:, 0]) - met_x * np.sin(phi[:, 0])) / determinant
        fractions = pt / (pt + np.stack([first, second], axis=1))
    good = np.isfinite(fractions) & (fractions > COLLINEAR_X_MIN) & (fractions <= 1.0)
    solved = np.asarray(good[:, 0] & good[:, 1], dtype=np.bool_)
    return np.where(solved[:, None], fractions, 1.0), solved
