"""Jets, hadronic taus, missing ET and their efficiencies, as a parametrised detector sees a whole event.

A parametrised detector, not ATLAS simulation. Every constant has its source, or is a stand-in: a round number of the
usual size, tuned to nothing. Momenta in MeV.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "JET_ETA_MAX",
    "JET_PT_MIN",
    "SOFT_RESOLUTION",
    "TAG_ETA_MAX",
    "cluster",
    "flavour",
    "jet_resolution",
    "pair_of_tags",
    "tag_efficiency",
    "tau_efficiency",
    "tau_resolution",
    "weak_hadrons",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GEV = 1000.0
RADIUS = 0.4
ETA_MAX = 4.9
"""End of ATLAS's forward calorimeter (JINST 3 (2008) S08003); what is beyond is not seen."""
PARTICLE_PT_MIN = 100.0
"""Stand-in: softer particles do not reach a calorimeter in 2 T."""
CLUSTER_PT_MIN = 10_000.0
"""Softer jets belong to the soft term (stand-in)."""
JET_PT_MIN, JET_ETA_MAX = 20_000.0, 4.5
"""Jets of ATLAS's physics analyses start at 20 GeV (arXiv:2007.02645)."""
TAG_ETA_MAX = 2.5
"""b-tagging needs tracks: ATLAS's inner detector (JINST 3 (2008) S08003)."""
NOISE, STOCHASTIC, CONSTANT = 3.0, 0.7, 0.035
"""N (GeV), S (√GeV) and C of the jet energy resolution: stand-ins of the size in arXiv:2007.02645."""
TAU_STOCHASTIC, TAU_CONSTANT = 0.6, 0.05
"""Of the resolution of tau pt: stand-ins of the size in ATL-PHYS-PUB-2015-045."""
SOFT_RESOLUTION = 10_000.0
"""Resolution of each component of the soft term of missing ET: a stand-in of the size in arXiv:1802.08168."""
B_EFFICIENCY, C_REJECTION, LIGHT_REJECTION = 0.77, 5.0, 130.0
"""ATLAS's 77 % working point: MV2c10 rejects 1/5 of charm jets but for one and 1/130 (arXiv:1907.05120, rounded)."""
TAU_EFFICIENCY = {1: 0.85, 3: 0.75}
"""Prongs → efficiency of the loose working point of identification (ATL-PHYS-PUB-2019-033)."""
HADRON_PT_MIN, HADRON_RADIUS = 5_000.0, 0.3
"""Hadrons that label a jet, and how near they are: ATLAS's labels (ATL-PHYS-PUB-2015-022)."""

NEUTRINOS, MUON = (12, 14, 16), 13


def jet_resolution(pt: Floats) -> Floats:
    """Return σ(pt)/pt of jets: N/pt ⊕ S/√pt ⊕ C."""
    x = pt / GEV
    return np.sqrt((NOISE / x) ** 2 + STOCHASTIC**2 / x + CONSTANT**2)


def tau_resolution(pt: Floats) -> Floats:
    """Return σ(pt)/pt of hadronic taus: S/√pt ⊕ C."""
    return np.sqrt(TAU_STOCHASTIC**2 / (pt / GEV) + TAU_CONSTANT**2)


def tag_efficiency(label: Ints, pt: Floats, eta: Floats) -> Floats:
    """Return the probability that a jet is b-tagged, by its label (5, 4, else light); 0 outside the tracker and below
    20 GeV.
    """
    chance = np.select([label == 5, label == 4], [B_EFFICIENCY, 1.0 / C_REJECTION], 1.0 / LIGHT_REJECTION)
    return np.where((pt > JET_PT_MIN) & (np.abs(eta) < TAG_ETA_MAX), chance, 0.0)


def tau_efficiency(prongs: Ints) -> Floats:
    """Return the probability that a hadronic tau is identified; 0 for other numbers of prongs than 1 and 3."""
    return np.select([prongs == n for n in TAU_EFFICIENCY], list(TAU_EFFICIENCY.values()), 0.0)


def pair_of_tags(chance: Floats, draw: float) -> tuple[float, tuple[int, int]]:
    """Return the probability that exactly two jets of an event are tagged, and one pair of jets, drawn among all with
    its share of that probability (``draw`` is uniform in [0, 1)); (0, (-1, -1)) where no pair can be.
    """
    first, second = np.triu_indices(len(chance), 1)
    all_missed = np.prod(1.0 - chance)
    odds = chance / (1.0 - chance)
    pairs = all_missed * odds[first] * odds[second]
    total = float(pairs.sum())
    if not total:
        return 0.0, (-1, -1)
    chosen = min(int(np.searchsorted(np.cumsum(pairs) / total, draw, side="right")), len(pairs) - 1)
    return total, (int(first[chosen]), int(second[chosen]))


def weak_hadrons(pdg: Ints, parents: Ints, quark: int) -> npt.NDArray[np.bool_]:
    """Return which particles are hadrons of this heaviest quark (5, 4) that decay weakly: the last of their chain.

    ``parents`` are positions in the same array, negative where there is none.
    """
    code = np.abs(pdg)
    digits = np.maximum(code // 100 % 10, code // 1000 % 10)
    hadron = (code > 100) & (digits == quark) & (code < 1_000_000)
    has_next = np.zeros(len(pdg), dtype=bool)
    has_next[parents[hadron & (parents >= 0)]] = True
    last: npt.NDArray[np.bool_] = hadron & ~has_next
    return last


def flavour(jets: Mapping[str, Floats], hadrons: Mapping[int, Mapping[str, Floats]]) -> Ints:
    """Return the labels of the jets of one event: 5 or 4 where a hadron of b or c is near, else 0.

    Both hold eta and phi; ``hadrons`` by quark, those above ``HADRON_PT_MIN``.
    """
    label = np.zeros(len(jets["eta"]), dtype=np.int64)
    for quark in (4, 5):
        deta = jets["eta"][:, None] - hadrons[quark]["eta"]
        dphi = np.abs(np.mod(jets["phi"][:, None] - hadrons[quark]["phi"] + np.pi, 2.0 * np.pi) - np.pi)
        label[(np.hypot(deta, dphi) < HADRON_RADIUS).any(axis=1)] = quark
    return label


def cluster(finder: Any, record: Any, px: Floats, py: Floats, pz: Floats, e: Floats) -> tuple[Floats, Ints]:
    """Return the anti-kt jets of one event (jets × px, py, pz, e; hardest first) and the jet of each particle, -1 for
    none. ``finder`` is Pythia's SlowJet, ``record`` an event record of Pythia that is filled for it.
    """
    record.reset()
    for values in zip(px.tolist(), py.tolist(), pz.tolist(), e.tolist(), strict=True):
        record.append(211, 1, 0, 0, 0, 0, 0, 0, *values)
    finder.analyze(record)
    owner = np.full(len(px), -1, dtype=np.int64)
    for number in range(finder.sizeJet()):
        owner[np.asarray(finder.constituents(number)) - 1] = number
    inside = owner >= 0
    sums = [np.bincount(owner[inside], weights=v[inside], minlength=finder.sizeJet()) for v in (px, py, pz, e)]
    return np.stack(sums, axis=1), owner
