"""The chain of the house, with nothing but hepflow: sample → decorated MxAOD → plots, with the network that ships. (The
commands are those of docs/plots.md; those of docs/tutorial.md, which train a network, are run with the other pages.)"""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

MODES = 5


@pytest.fixture(scope="module")
def taus(chain):
    """The columns of all taus in the plots, by hand: test fold, baseline, five modes on all sides."""
    columns = ["pt", "eta", "truthPtVis", "truthEtaVis", "IsTruthMatched", "truthDecayMode"]
    columns += ["NNDecayMode", "PFOCountDecayMode"]
    parts: dict[str, list] = {name: [] for name in (*columns, "number")}
    for path in sorted((chain / "mxaod").glob("*.root")):
        events = uproot.open(path)["EventData"]
        counts = [len(taus) for taus in events["TauJetsAuxDyn:pt"].array()]
        numbers = events["EventInfoAuxDyn:mcEventNumber"].array(library="np")
        parts["number"].append(np.repeat(numbers, counts).astype(np.int64))
        for name in columns:
            parts[name] += [np.concatenate([np.asarray(x) for x in events[f"TauJetsAuxDyn:{name}"].array()])]
    found = {name: np.concatenate(part) for name, part in parts.items()}
    keep = found["number"] % 5 == 1
    for pt, eta in (("pt", "eta"), ("truthPtVis", "truthEtaVis")):
        away = abs(found[eta])
        keep &= (found[pt] > 20e3) & (away < 2.5) & ((away < 1.37) | (away > 1.52))
    keep &= found["IsTruthMatched"] == 1
    for name in ("truthDecayMode", "NNDecayMode", "PFOCountDecayMode"):
        keep &= found[name] < MODES
    return {name: values[keep] for name, values in found.items()}


def diagonals(truth, reco):
    """(Diagonal fraction, mean of the column diagonals)."""
    right = truth == reco
    return np.array([right.mean(), np.mean([right[truth == mode].mean() for mode in range(MODES)])])


def test_the_plots_show_what_a_hand_count_gives(chain, taus):
    rows = json.loads((chain / "performance" / "Matrices" / "diagonals.json").read_text())
    assert [row["matrix"] for row in rows[:2]] == ["PFOCountDecayMode", "NNDecayMode"]
    for row in rows[:2]:
        assert row["total"] == len(taus["pt"]) > 500
        expected = diagonals(taus["truthDecayMode"], taus[row["matrix"]])
        np.testing.assert_allclose([row["diagonal"][0], row["mean_diagonal"][0]], expected)


def test_a_variation_runs_along(chain, taus):
    rows = json.loads((chain / "performance/variations/PILEUP_UP/Matrices/diagonals.json").read_text())
    assert rows[0]["total"] == pytest.approx(len(taus["pt"]), rel=0.1)
    assert rows[0]["total"] != len(taus["pt"])
    (path,) = (chain / "performance/Efficiency_1p0n").glob("*truthPtVis*.json")
    numbers = json.loads(path.read_text())
    shift, *_ = numbers["variations"]["variations"]["PILEUP_UP"]["shifts"]
    values, errors = np.array(shift["values"], float), np.array(shift["errors"], float)
    assert np.nanmax(np.abs(values)) > 0
    assert np.nanmax(errors) < 0.05  # the same taus: not the errors of two samples


def test_the_network_beats_the_count(taus):
    """By more than 3σ of a paired bootstrap over the taus, in both numbers, on taus that it has not seen."""
    truth, network, count = (taus[name] for name in ("truthDecayMode", "NNDecayMode", "PFOCountDecayMode"))
    assert all((network[truth == mode] == mode).any() for mode in range(MODES))
    gain = diagonals(truth, network) - diagonals(truth, count)
    rng = np.random.default_rng(1)
    picks = (rng.integers(0, len(truth), len(truth)) for _ in range(200))
    toys = [diagonals(truth[pick], network[pick]) - diagonals(truth[pick], count[pick]) for pick in picks]
    assert (gain > 3 * np.std(toys, axis=0)).all(), f"{gain} ± {np.std(toys, axis=0)}"


def test_the_figures_say_that_the_taus_are_unseen(chain):
    numbers = json.loads((chain / "performance" / "Matrices" / "NNDecayMode_efficiency.json").read_text())
    assert "test fold: mcEventNumber % 5 = 1" in numbers["style"]["lines"]
    assert (chain / "performance" / "report.html").stat().st_size > 100_000
