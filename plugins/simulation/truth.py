"""True taus from the generator's record, as ATLAS's BuildTruthTaus makes them: visible momentum and decay products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RECORD", "TRUTH_COLUMNS", "build_truth_taus", "decay_products"]

RECORD = ("pdgId", "status", "parentIndex", "px", "py", "pz", "e", "charge")
"""What is read of the generator's record."""

TAU = 15
NEUTRINOS = (12, 14, 16)
CHARGED_PION, CHARGED_KAON, NEUTRAL_PION = 211, 321, 111
NOT_DECAYED = (211, 321, 111, 311, 310, 130, 11, 13, 22, *NEUTRINOS)
"""What the walk from the tau stops at: π±, K±, π⁰, K⁰, K⁰S, K⁰L, e, μ, γ and neutrinos; anything else (η, ω, K*) is
followed further."""

TRUTH_COLUMNS = {
    "pt": "float32", "eta": "float32", "phi": "float32", "m": "float32", "pdgId": "int32", "charge": "float32",
    "pt_vis": "float64", "eta_vis": "float64", "phi_vis": "float64", "m_vis": "float64",
    "numCharged": "uint64", "numChargedPion": "uint64", "numNeutral": "uint64", "numNeutralPion": "uint64",
    "IsHadronicTau": "int8", "DecayModeVector": "int32",
}  # fmt: skip
"""Columns and types; DecayModeVector is a list a tau."""

Array = npt.NDArray[Any]


def build_truth_taus(record: Mapping[str, Array], counts: Array) -> tuple[Array, dict[str, Array], Array]:
    """Return (taus per event, columns, number of decay products per tau).

    ``record`` holds flat arrays pdgId, status, parentIndex (within the event, negative: none), px, py, pz, e (MeV) and
    charge; ``counts`` the particles per event. In the result DecayModeVector is flat over all decay products (PDG ids,
    neutrinos included), in the order of the record; everything else has one value a tau. Momenta in MeV.
    """
    counts = np.asarray(counts, dtype=np.int64)
    parent = _global_parents(record["parentIndex"], counts)
    code = np.abs(record["pdgId"])
    taus = _decaying_taus(code, record["status"], parent)
    owner = _owners(code, parent, taus)
    products = np.flatnonzero(owner >= 0)
    products = products[np.argsort(owner[products], kind="stable")]
    columns = _summarise(record, products, owner[products], len(taus))
    columns |= _kinematics(record, taus)
    columns["pdgId"], columns["charge"] = record["pdgId"][taus], record["charge"][taus]
    columns["DecayModeVector"] = record["pdgId"][products]
    events = np.repeat(np.arange(len(counts)), counts)
    per_event = np.bincount(events[taus], minlength=len(counts))
    per_tau = np.bincount(owner[products], minlength=len(taus))
    return per_event, {name: columns[name].astype(dtype) for name, dtype in TRUTH_COLUMNS.items()}, per_tau


def decay_products(record: Mapping[str, Array], counts: Array) -> Array:
    """Return for each particle the number of the tau (as in ``build_truth_taus``) that it comes from, π⁰ and their
    photons included, or is; -1 where there is none.
    """
    parent = _global_parents(record["parentIndex"], np.asarray(counts, dtype=np.int64))
    taus = _decaying_taus(np.abs(record["pdgId"]), record["status"], parent)
    owner = np.full(len(parent), -1, dtype=np.int64)
    owner[taus] = np.arange(len(taus))
    while True:
        new = (owner < 0) & (parent >= 0) & (owner[parent] >= 0)
        if not new.any():
            return owner
        owner[new] = owner[parent[new]]


def _global_parents(parent: Array, counts: Array) -> Array:
    """Return parent positions in the flat arrays, -1 where there is none."""
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return np.where(parent >= 0, parent + first, -1)


def _decaying_taus(code: Array, status: Array, parent: Array) -> Array:
    """Return the positions of the last copies of taus: decayed, and without a tau among their children."""
    is_tau = code == TAU
    copied = parent[is_tau & (parent >= 0)]
    last = is_tau & (status == 2)
    last[copied] = False
    return np.flatnonzero(last)


def _owners(code: Array, parent: Array, taus: Array) -> Array:
    """Return for each particle the number of the tau that it is a visible product or neutrino of, -1 otherwise."""
    inside = np.full(len(code), -1, dtype=np.int64)
    inside[taus] = np.arange(len(taus))
    stops = np.isin(code, NOT_DECAYED)
    owner = np.full(len(code), -1, dtype=np.int64)
    while True:
        from_parent = np.where(parent >= 0, inside[parent], -1)
        new = (from_parent >= 0) & (owner < 0) & (inside < 0)
        if not new.any():
            return owner
        owner[new & stops] = from_parent[new & stops]
        inside[new & ~stops] = from_parent[new & ~stops]


def _summarise(record: Mapping[str, Array], products: Array, owner: Array, n_taus: int) -> dict[str, Array]:
    """Count the products of each tau and add up the visible ones."""
    code = np.abs(record["pdgId"][products])
    visible = ~np.isin(code, NEUTRINOS)
    charged = np.isin(code, (CHARGED_PION, CHARGED_KAON))
    leptonic = np.isin(code, (11, 13)) | np.isin(code, (12, 14))
    neutral = visible & (record["charge"][products] == 0)

    def count(mask: Array) -> Array:
        return np.bincount(owner[mask], minlength=n_taus)

    total = [
        np.bincount(owner, weights=record[name][products] * visible, minlength=n_taus)
        for name in ("px", "py", "pz", "e")
    ]
    pt, eta, phi, mass = _pt_eta_phi_m(*total)
    return {
        "pt_vis": pt, "eta_vis": eta, "phi_vis": phi, "m_vis": mass,
        "numCharged": count(charged),
        "numChargedPion": count(code == CHARGED_PION),
        "numNeutral": count(neutral),
        "numNeutralPion": count(code == NEUTRAL_PION),
        "IsHadronicTau": count(leptonic) == 0,
    }  # fmt: skip


def _kinematics(record: Mapping[str, Array], taus: Array) -> dict[str, Array]:
    values = _pt_eta_phi_m(*(record[name][taus] for name in ("px", "py", "pz", "e")))
    return dict(zip(("pt", "eta", "phi", "m"), values, strict=True))


def _pt_eta_phi_m(px: Array, py: Array, pz: Array, e: Array) -> tuple[Array, Array, Array, Array]:
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(e**2 - pt**2 - pz**2, 0.0))
    return pt, np.arcsinh(pz / np.maximum(pt, 1e-9)), np.arctan2(py, px), mass
