"""True taus: decay modes and masses of the generated sample, and the walk on a hand-made record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepflow import Events
from hepflow.plugins.simulation.truth import TRUTH_COLUMNS, build_truth_taus


@pytest.mark.parametrize(("mode", "fraction"), list(enumerate((0.19, 0.41, 0.165, 0.15, 0.08))))
def test_decay_mode_fractions(truth: dict[str, Any], mode: int, fraction: float) -> None:
    hadronic = truth["IsHadronicTau"] == 1
    assert np.mean(truth["mode"][hadronic] == mode) == pytest.approx(fraction, abs=0.02)


def test_ratio_of_one_to_three_prongs(truth: dict[str, Any]) -> None:
    assert np.sum(truth["charged"] == 1) / np.sum(truth["charged"] == 3) == pytest.approx(3.3, abs=0.2)


@pytest.mark.parametrize(("mode", "low", "high"), [(1, 720.0, 820.0), (3, 1050.0, 1220.0)])
def test_median_visible_mass(truth: dict[str, Any], mode: int, low: float, high: float) -> None:
    assert low < np.median(truth["m_vis"][truth["mode"] == mode]) < high


def test_every_event_has_two_taus_that_decay_hadronically(truth: dict[str, Any]) -> None:
    assert np.mean(truth["counts"] == 2) > 0.98
    assert truth["counts"].min() >= 2
    pairs = truth["charge"][: 2 * 50].reshape(50, 2) if np.all(truth["counts"][:50] == 2) else None
    assert pairs is None or np.all(pairs.sum(axis=1) == 0)


def test_visible_momentum_is_below_that_of_the_tau(truth: dict[str, Any]) -> None:
    energy = np.hypot(truth["pt"].astype(np.float64) * np.cosh(truth["eta"]), truth["m"])
    visible = np.hypot(truth["pt_vis"] * np.cosh(truth["eta_vis"]), truth["m_vis"])
    assert np.all(visible <= energy * (1 + 1e-5))
    assert np.all(truth["m_vis"] < 1777.5)


def test_tool_writes_the_columns_of_atlas(simulated: Events, truth: dict[str, Any]) -> None:
    taus = simulated["TruthTaus"]
    for name, dtype in TRUTH_COLUMNS.items():
        if name != "DecayModeVector":
            assert taus.flat(name).dtype == np.dtype(dtype)
    n = len(taus)
    assert np.array_equal(taus.flat("pt_vis"), truth["pt_vis"][:n])
    lists = taus.flat("DecayModeVector")
    assert all(16 in np.abs(np.asarray(products)) for products in lists)
    assert [len(products) for products in lists] == list(truth["products"][:n])


def hand_made() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """τ⁻ → (copy with a photon) → ν π⁻ η, η → π⁺ π⁻ π⁰, π⁰ → γγ; τ⁺ → ν̄ K⁺ K⁰, K⁰ → K⁰S → π⁺ π⁻; second event: τ⁻
    → ν μ⁻ ν̄."""
    rows = [
        # pdgId, status, parent, px, py, pz, charge
        (15, 2, -1, 30, 0, 0, -1), (-15, 2, -1, 0, 40, 0, 1),
        (22, 1, 0, 5, 0, 0, 0), (15, 2, 0, 25, 0, 0, -1),
        (16, 1, 3, 5, 0, 0, 0), (-211, 1, 3, 8, 0, 0, -1), (221, 2, 3, 12, 0, 0, 0),
        (211, 1, 6, 4, 0, 0, 1), (-211, 1, 6, 4, 0, 0, -1), (111, 2, 6, 4, 0, 0, 0),
        (22, 1, 9, 2, 0, 0, 0), (22, 1, 9, 2, 0, 0, 0),
        (-16, 1, 1, 0, 10, 0, 0), (321, 1, 1, 0, 20, 0, 1), (311, 2, 1, 0, 10, 0, 0),
        (310, 2, 14, 0, 10, 0, 0), (211, 1, 15, 0, 5, 0, 1), (-211, 1, 15, 0, 5, 0, -1),
        (15, 2, -1, 20, 0, 0, -1), (16, 1, 0, 5, 0, 0, 0), (13, 1, 0, 10, 0, 0, -1), (-14, 1, 0, 5, 0, 0, 0),
    ]  # fmt: skip
    values = np.array(rows, dtype=np.float64).T
    record = dict(zip(("pdgId", "status", "parentIndex"), values[:3].astype(np.int32), strict=True))
    record |= dict(zip(("px", "py", "pz", "charge"), values[3:], strict=True))
    record["e"] = np.sqrt(values[3] ** 2 + values[4] ** 2 + 0.1)
    return record, np.array([18, 4])


def test_walk_on_a_hand_made_record() -> None:
    counts, taus, products = build_truth_taus(*hand_made())
    assert counts.tolist() == [2, 1]
    # the copies come in the order of the record: τ⁺ has no copy and stands before the last τ⁻
    assert taus["pdgId"].tolist() == [-15, 15, 15]
    assert taus["numCharged"].tolist() == [1, 3, 0]
    assert taus["numChargedPion"].tolist() == [0, 3, 0]
    assert taus["numNeutralPion"].tolist() == [0, 1, 0]
    assert taus["numNeutral"].tolist() == [1, 1, 0]
    assert taus["IsHadronicTau"].tolist() == [1, 1, 0]
    lists = [sorted(part.tolist()) for part in np.split(taus["DecayModeVector"], np.cumsum(products)[:-1])]
    assert lists == [[-16, 311, 321], [-211, -211, 16, 111, 211], [-14, 13, 16]]
    np.testing.assert_allclose(taus["pt_vis"], [30.0, 20.0, 10.0])
    np.testing.assert_allclose(taus["phi_vis"], [np.pi / 2, 0.0, 0.0])


def test_no_events_give_no_taus() -> None:
    record = {name: values[:0] for name, values in hand_made()[0].items()}
    counts, taus, products = build_truth_taus(record, np.zeros(0, dtype=np.int64))
    assert len(counts) == len(products) == len(taus["pt_vis"]) == 0
