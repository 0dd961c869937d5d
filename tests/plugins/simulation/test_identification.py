"""Identification variables, axes and moments of a candidate of a few cells, tracks and clusters, against numbers by
hand. All at η = 0 seen from z = 0 unless said, so that E = pt and the front of the calorimeter is 1500 mm away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepflow.plugins.simulation.candidate import Seeds, _axes
from hepflow.plugins.simulation.clusters import Cells, Pillars, shape_moments
from hepflow.plugins.simulation.identification import MISSING, identification
from hepflow.plugins.simulation.tracking import BITS, Tracks
from hepflow.plugins.simulation.vectors import Momenta, Objects

CHARGED, ISOLATION = (1 << BITS[name] for name in ("charged", "isolation"))
CANDIDATES = 2
"""The second one has nothing."""


def objects(**columns: Any) -> Objects:
    """Objects of the first candidate."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    return Objects(np.zeros(len(next(iter(arrays.values()))), dtype=np.int64), arrays)


def cells(phi: list[float], energy: list[float]) -> Cells:
    return Cells(np.zeros(len(phi), dtype=np.int64), np.zeros(len(phi)), np.array(phi), np.array(energy))


def test_identification_by_hand() -> None:
    """Charged tracks of 20 and 10 GeV, one of 5 GeV in the isolation ring; cells of 13 GeV within 0.1, 16 within 0.2,
    18 within 0.4, some more outside."""
    tracks = objects(
        pt=[10e3, 20e3, 5e3], eta=[0.0, 0.0, 0.0], phi=[-0.04, 0.03, 0.3], d0SigTJVA=[9.0, -2.5, 0.0],
        flagSet=[CHARGED, CHARGED, ISOLATION | 1 << BITS["wideTrack"]],
    )  # fmt: skip
    clusters = objects(
        eta=[0.0] * 4, phi=[0.0, 0.1, -0.1, 0.3], electromagnetic=[12e3, 5e3, 0.0, 7e3], front=[9e3, 4e3, 1e3, 7e3]
    )
    axes = Momenta(*(np.array(values) for values in ([50e3, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])))
    number = {name: np.zeros(3, dtype=np.int64) for name in ("electron_like", "innermost", "pixels", "strips", "event")}
    measured = {name: np.ones(3) for name in ("charge", "d0", "z0", "d0_error", "z0_error", "calo_eta", "calo_phi")}
    own = Tracks(pt=tracks["pt"], eta=tracks["eta"], phi=tracks["phi"], **measured, **number)  # type: ignore[arg-type]
    found = identification(
        axes, np.zeros(CANDIDATES), tracks, own, clusters,
        (cells([0.05, 0.15, 0.3, 0.5], [10e3, 4e3, 2e3, 1e3]), cells([-0.05, -0.15], [3e3, -1e3])),
    )  # fmt: skip
    pion = 139.57
    energy = np.sqrt(20e3**2 + pion**2) + np.sqrt(10e3**2 + pion**2)
    momentum = np.sqrt(20e3**2 + 10e3**2 + 2 * 20e3 * 10e3 * np.cos(0.07))
    flow_x = 20e3 * np.cos(0.03) + 10e3 * np.cos(0.04) + 9e3 + 4e3 * np.cos(0.1)
    flow_y = 20e3 * np.sin(0.03) - 10e3 * np.sin(0.04) + 4e3 * np.sin(0.1)
    expected = {
        "centFrac": 13 / 16,
        "isolFrac": 3 / 18,
        "etEMAtEMScale": 14e3,
        "etHadAtEMScale": 2e3,
        "EMPOverTrkSysP": np.sqrt(12**2 + 5**2 + 2 * 12 * 5 * np.cos(0.1)) * 1e3 / momentum,
        "massTrkSys": np.sqrt(energy**2 - momentum**2),
        "dRmax": 0.04,
        "innerTrkAvgDist": (20 * 0.03 + 10 * 0.04) / 30,
        "SumPtTrkFrac": 5 / 35,
        "absipSigLeadTrk": 2.5,
        "etOverPtLeadTrk": 16 / 20,
        "ABS_ETA_LEAD_TRACK": 0.0,
        "ptRatioEflowApprox": np.hypot(flow_x, flow_y) / 50e3,
        "mEflowApprox": np.sqrt((energy + 13e3) ** 2 - flow_x**2 - flow_y**2),
    }
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-6), name
    assert found.keys() - expected.keys() == {"trFlightPathSig"}
    assert {name for name, values in found.items() if values[1] != MISSING} == {"etEMAtEMScale", "etHadAtEMScale"}


def test_axes_by_hand() -> None:
    """Clusters of 20, 10 and 2 GeV; the last is more than 0.2 away from the sum of all."""
    clusters = objects(
        e=[20e3, 10e3, 2e3], rawE=[18e3, 8e3, 2e3], pt=[20e3, 10e3, 2e3], eta=[0.0] * 3, middle_eta=[0.0] * 3,
        phi=[0.0, 0.1, 0.35],
    )  # fmt: skip
    seeds = Seeds(*(np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1), np.ones(1), np.ones(1, dtype=np.int64)))
    axes, levels = _axes(clusters, seeds, np.zeros(1))
    core, raw = 20e3 + 10e3 * np.exp(0.1j), 18e3 + 8e3 * np.exp(0.1j)
    everything = core + 2e3 * np.exp(0.35j)
    assert axes.pt[0] == levels["ptDetectorAxis"][0] == pytest.approx(abs(core))
    assert levels["phiIntermediateAxis"][0] == pytest.approx(np.angle(core))
    assert levels["ptIntermediateAxisEM"][0] == pytest.approx(abs(raw))
    assert levels["ptJetSeed"][0] == pytest.approx(abs(everything))
    assert levels["phiJetSeed"][0] == pytest.approx(np.angle(everything))


def test_moments_by_hand() -> None:
    """Two strips of 1 GeV beside the middle, 6 GeV in one cell of EM2, 2 GeV behind it; depths 45, 250, 440 mm."""
    strips = np.zeros((8, 1))
    strips[3:5] = 1e3
    pillar = Pillars(
        label=np.zeros(1, dtype=np.int64), eta=np.zeros(1), phi=np.zeros(1), energy=np.array([[2e3], [6e3], [2e3]]),
        strips=strips, share=np.ones(1), first=np.ones(1, dtype=bool), owner=np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    found = {name: values[0] for name, values in shape_moments(pillar).items()}
    centre = (2 * 45 + 6 * 250 + 2 * 440) / 10
    assert found["CENTER_LAMBDA"] == pytest.approx(centre)
    away = 2 * (45 - centre) ** 2 + 6 * (250 - centre) ** 2 + 2 * (440 - centre) ** 2
    assert found["SECOND_LAMBDA"] == pytest.approx(away / 10)
    assert found["SECOND_R"] == pytest.approx(2 * (0.025 / 16 * 1500) ** 2 / 10)
    strip = 90 * (0.025 / 8 * 1500) * (np.pi / 32 * 1500)
    middle, back = (depth * (size * 1500) * (np.pi / 128 * 1500) for depth, size in ((320, 0.025), (60, 0.05)))
    density = (2 * 1e3**2 / strip + 6e3**2 / middle + 2e3**2 / back) / 10e3
    assert found["FIRST_ENG_DENS"] == pytest.approx(density)
