"""Sums of momenta over what belongs to tau candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.particles import delta_phi, sum_by

__all__ = ["Momenta", "Objects", "add_up", "renumbered"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Momenta:
    """One momentum for each candidate (MeV)."""

    pt: Floats
    eta: Floats
    phi: Floats
    m: Floats

    @property
    def momentum(self) -> Floats:
        """Return |p|."""
        return self.pt * np.cosh(self.eta)

    def where(self, kept: npt.NDArray[np.bool_]) -> Momenta:
        """Return some of the momenta."""
        return Momenta(self.pt[kept], self.eta[kept], self.phi[kept], self.m[kept])

    def columns(self, level: str, *, mass: bool = False) -> dict[str, Floats]:
        """Return the columns of an energy level of taus, named as in xAOD: ``ptIntermediateAxis``, …"""
        values = {f"pt{level}": self.pt, f"eta{level}": self.eta, f"phi{level}": self.phi}
        return values | ({f"m{level}": self.m} if mass else {})

    def distance(self, owner: Ints, eta: Floats, phi: Floats) -> Floats:
        """Return ΔR of directions to the momenta of their candidates."""
        distance: Floats = np.hypot(eta - self.eta[owner], delta_phi(phi, self.phi[owner]))
        return distance


@dataclass(frozen=True)
class Objects:
    """Objects of the candidates: ``owner`` is the candidate of each, ``columns`` are as long."""

    owner: Ints
    columns: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    def where(self, chosen: npt.NDArray[Any]) -> Objects:
        """Return some of the objects (mask or positions)."""
        return Objects(self.owner[chosen], {name: values[chosen] for name, values in self.columns.items()})

    def of(self, kept: npt.NDArray[np.bool_]) -> Objects:
        """Return the objects of some of the candidates, which are numbered anew."""
        chosen = kept[self.owner]
        return Objects(renumbered(self.owner, kept), {name: values[chosen] for name, values in self.columns.items()})

    def ordered(self) -> Objects:
        """Return the objects candidate by candidate, hardest first."""
        return self.where(np.lexsort((-self.columns["pt"], self.owner)))

    def ranks(self) -> Ints:
        """Return 0, 1, … for the objects of each candidate, as they are ordered."""
        return np.arange(len(self)) - np.searchsorted(self.owner, self.owner)


def renumbered(owner: Ints, kept: npt.NDArray[np.bool_]) -> Ints:
    """Return the new numbers of the candidates of what belongs to those that are kept."""
    numbers: Ints = (np.cumsum(kept) - 1)[owner[kept[owner]]]
    return numbers


def add_up(n: int, owner: Ints, pt: Floats, eta: Floats, phi: Floats, mass: Floats | float = 0.0,
           empty: tuple[Floats, Floats] | None = None) -> Momenta:  # fmt: skip
    """Return the sums of the momenta of the objects of ``n`` candidates.

    A candidate without any has 1 MeV in the direction ``empty`` (η, φ; along the x axis if None).
    """
    px, py, pz = (sum_by(owner, values, n) for values in (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)))
    energy = sum_by(owner, np.hypot(pt * np.cosh(eta), mass), n)
    total = np.maximum(np.hypot(px, py), 1.0)
    square = energy**2 - px**2 - py**2 - pz**2
    eta_sum, phi_sum = np.arcsinh(pz / total), np.arctan2(py, px)
    if empty is not None:
        none = np.bincount(owner, minlength=n) == 0
        eta_sum, phi_sum = np.where(none, empty[0], eta_sum), np.where(none, delta_phi(empty[1], 0.0), phi_sum)
    return Momenta(total, eta_sum, phi_sum, np.sqrt(np.maximum(square, 0.0)))
