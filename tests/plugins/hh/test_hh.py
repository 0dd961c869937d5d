"""HH → bbττ: the collinear mass against numbers by hand, and the variables of an event."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow import Events
from hepflow.plugins.hh import BBTauTauVariables
from hepflow.plugins.hh.masses import VISIBLE_SCALE, collinear_fractions, mass


def fractions(pts, phis, met):
    (x,), (solved,) = collinear_fractions(np.array([pts]), np.array([phis]), *(np.array([one]) for one in met))
    return list(x), bool(solved)


def test_collinear_fractions_by_hand():
    """Taus along x and y: each neutrino is the missing ET along its axis, x = 40/(40+60), 30/(30+10)."""
    assert fractions([40.0, 30.0], [0.0, np.pi / 2], (60.0, 10.0)) == ([pytest.approx(0.4), pytest.approx(0.75)], True)
    # at 60°, ν₂ = 10/sin 60° = 11.547, ν₁ = 20 − 11.547 cos 60° = 14.226
    x, solved = fractions([40.0, 30.0], [0.0, np.pi / 3], (20.0, 10.0))
    assert x == pytest.approx([40 / 54.2265, 30 / 41.5470], rel=1e-5)
    assert solved
    assert fractions([40.0, 30.0], [0.0, np.pi / 2], (-5.0, 10.0)) == ([1.0, 1.0], False)  # a neutrino backwards
    assert fractions([40.0, 30.0], [0.0, 0.0], (5.0, 10.0)) == ([1.0, 1.0], False)  # nothing to solve
    assert fractions([4.0, 30.0], [0.0, np.pi / 2], (60.0, 10.0)) == ([1.0, 1.0], False)  # x₁ = 1/16


def event(met, met_phi):
    """Return an event at η = 0: taus along x and y, b jets along −x and −y, and a third jet that is not tagged."""
    import awkward as ak

    lists = {
        "TauJets": {"pt": [40e3, 30e3], "eta": [0.0, 0.0], "phi": [0.0, np.pi / 2], "charge": [1.0, -1.0]},
        "Jets": {
            "pt": [90e3, 80e3, 60e3],
            "eta": [1.0, 0.0, 0.0],
            "phi": [2.0, np.pi, -np.pi / 2],
            "m": [0.0, 0.0, 0.0],
            "isTagged": [0, 1, 1],
        },
    }
    arrays = {f"{c}.{n}": ak.Array([values]) for c, columns in lists.items() for n, values in columns.items()}
    flat = {"MET.met": met, "MET.phi": met_phi, "EventInfo.tagWeight": 0.25, "EventInfo.tauWeight": 0.5}
    arrays |= {name: np.array([value]) for name, value in flat.items()}
    arrays["EventInfo.mcEventNumber"] = np.array([7], dtype=np.uint64)
    arrays["EventInfo.mcEventWeights"] = ak.Array([[3.0]])
    return Events.from_arrays(arrays)


def test_variables_by_hand():
    """Massless pairs at right angles: m² = 2 E₁ E₂; taus of 100 and 40 GeV with neutrinos, b jets of 80 and 60."""
    events = event(np.hypot(60e3, 10e3), np.arctan2(10.0, 60.0))
    BBTauTauVariables("v").execute(events, None)
    row = {name: events["tree"].flat(name)[0] for name in ("mBB", "mMMC", "mHH", "dRBB", "dRTauTau", "weight")}
    assert row["mBB"] == pytest.approx(np.sqrt(2 * 80 * 60) * 1e3)
    assert row["mMMC"] == pytest.approx(np.sqrt(2 * 100 * 40) * 1e3)
    assert row["mHH"] == pytest.approx(np.sqrt(280**2 - 20**2 - 20**2) * 1e3)
    assert row["dRBB"] == pytest.approx(np.pi / 2)
    assert row["dRTauTau"] == pytest.approx(np.pi / 2)
    assert row["weight"] == pytest.approx(0.25 * 0.5 * 3.0)
    assert events["tree"].flat("isCollinear")[0] == 1
    assert events["tree"].flat("event_number")[0] == 7


def test_without_a_collinear_solution_the_visible_mass_is_scaled():
    events = event(20e3, np.pi)
    BBTauTauVariables("v").execute(events, None)
    assert events["tree"].flat("isCollinear")[0] == 0
    assert events["tree"].flat("mMMC")[0] == pytest.approx(VISIBLE_SCALE * np.sqrt(2 * 40 * 30) * 1e3)


def test_a_mass_never_becomes_nan():
    assert mass(np.array([1.0, 0.0, 0.0, 1.0 - 1e-12])) == 0.0
