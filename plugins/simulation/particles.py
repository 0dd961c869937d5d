"""Particles as arrays: what the simulated detector gets to see of a block of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

__all__ = ["ELECTRON", "INVISIBLE", "MASSES", "MUON", "PHOTON", "Particles", "delta_phi", "pairs", "ranges", "sum_by"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ELECTRON, MUON, PHOTON = 11, 13, 22
INVISIBLE = (12, 14, 16)

MASSES = {
    11: 0.511, 13: 105.66, 22: 0.0, 130: 497.61, 211: 139.57, 310: 497.61, 321: 493.68,
    2112: 939.57, 2212: 938.27, 3112: 1197.45, 3122: 1115.68, 3222: 1189.37, 3312: 1321.71, 3322: 1314.86,
    3334: 1672.45,
}  # fmt: skip
"""Masses in MeV (Particle Data Group) by |PDG id|, of everything long-lived enough to enter a detector."""


@dataclass(frozen=True)
class Particles:
    """Final-state particles: momentum (MeV), charge, PDG id, production vertex (mm) relative to the middle of the
    detector.

    ``vertex`` numbers the collision that a particle comes from, 0 for the hard one; ``event`` is the number of the
    event in its block, which only rises. All arrays have the same length.
    """

    pt: Floats
    eta: Floats
    phi: Floats
    pdg: npt.NDArray[np.int32]
    charge: Floats
    x: Floats
    y: Floats
    z: Floats
    vertex: npt.NDArray[np.int32]
    event: Ints

    def __len__(self) -> int:
        return len(self.pt)

    def __getitem__(self, chosen: npt.NDArray[np.bool_] | Ints | slice) -> Particles:
        """Return some of the particles (mask, positions or slice)."""
        return Particles(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def code(self) -> npt.NDArray[np.int32]:
        """Return |PDG id|."""
        return np.abs(self.pdg)

    @property
    def mass(self) -> Floats:
        """Return masses (MeV), by PDG id."""
        return _mass(self.code)

    @property
    def momentum(self) -> Floats:
        """Return |p| (MeV)."""
        return self.pt * np.cosh(self.eta)

    @property
    def energy(self) -> Floats:
        """Return energies (MeV)."""
        return np.hypot(self.momentum, self.mass)

    @classmethod
    def join(cls, parts: Sequence[Particles]) -> Particles:
        """Return all particles of several sets, event by event, in order."""
        joined = cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )
        return joined[np.argsort(joined.event, kind="stable")]


_KNOWN = np.array(sorted(MASSES), dtype=np.int32)
_KNOWN_MASS = np.array([MASSES[int(code)] for code in _KNOWN])
_HEAVY = 1000.0
"""Mass (MeV) given to what the table does not know (light nuclei and other rarities)."""


def _mass(code: npt.NDArray[np.int32]) -> Floats:
    position = np.minimum(np.searchsorted(_KNOWN, code), len(_KNOWN) - 1)
    return np.where(_KNOWN[position] == code, _KNOWN_MASS[position], _HEAVY)


def delta_phi(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Return first − second wrapped to [−π, π]."""
    difference = np.asarray(first) - np.asarray(second)
    wrapped: Floats = difference - 2.0 * np.pi * np.rint(difference / (2.0 * np.pi))
    return wrapped


def sum_by(label: Ints, values: npt.ArrayLike, n: int) -> Floats:
    """Return the sums of ``values`` over the entries with label 0, 1, …, n − 1."""
    return np.asarray(np.bincount(label, weights=np.asarray(values), minlength=n), dtype=np.float64)


def ranges(first: Ints, counts: Ints) -> Ints:
    """Return first[0], first[0] + 1, … (``counts[0]`` numbers), then those from first[1] on, and so on."""
    ends = np.cumsum(counts)
    numbers: Ints = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - (ends - counts), counts)
    return numbers


def pairs(left: Ints, right: Ints, n: int) -> tuple[Ints, Ints]:
    """Return the positions of all pairs of one in ``left`` and one in ``right`` that have the same event (0 … n − 1,
    rising in ``right``), in the order of ``left``."""
    counts = np.bincount(right, minlength=n)
    first = np.cumsum(counts) - counts
    return np.repeat(np.arange(len(left)), counts[left]), ranges(first[left], counts[left])
