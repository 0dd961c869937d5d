"""loki's variables, binnings and selections, against the numbers of the reference and plain Python."""

from __future__ import annotations

import math
import pickle

import awkward as ak
import numpy as np
import pytest

from hepflow import Events
from hepflow.context import Sample
from hepflow.expressions import Cut, Expression
from hepflow.plugins.tau import TauTruthMatching, TruthDecayMode, performance
from hepflow.plugins.tau.truth import truth_decay_mode
from hepflow.plugins.tau.variables import DECAY_MODE_VARIABLES
from hepflow.registry.manager import registry
from hepflow.registry.variables import find_variable, named_variable
from hepflow.variables import Variable

XAOD = Sample("", energy_unit="MeV")
CUTS = {name: value for name, value in vars(performance).items() if isinstance(value, Cut) and name[0] != "_"}


@pytest.fixture
def matched(make_arrays):
    """Events with truth matching, as plain Python (tau by tau) and as columns."""
    plain, columns = make_arrays(200)
    events = Events.from_arrays(columns, sample=XAOD)
    TauTruthMatching("t", DataType="JET").execute(events, None)
    return [tau for event in plain for tau in event["TauJets"]], events


def test_every_variable_is_registered_under_its_name():
    known = {name: n for name, n in registry().names("variables").items() if n.plugin == "tau"}
    declared = {v.name: v for v in vars(performance).values() if isinstance(v, Variable)}
    assert {name: named_variable(name, registry()) for name in known} == declared
    for variable in declared.values():
        assert variable.label, variable.name
        assert variable.binnings, variable.name
        assert pickle.loads(pickle.dumps(variable)) == variable, "variables travel to workers"
        for text in filter(None, (variable.column, variable.truth)):
            assert Expression(text).columns


@pytest.mark.parametrize(
    ("text", "number", "low", "high", "log"),
    [
        ("TauJets.pt", 51, 20, 1000, False),
        ("TauJets.pt:low", 20, 20, 100, False),
        ("TauJets.pt:log", 10, 20, 2000, True),
        ("TauJets.pt:weight", 20, 20, 2000, True),
        ("TauJets.truthPtVis:log", 10, 20, 2000, True),
        ("TruthTaus.pt_vis", 51, 20, 1000, False),
        ("TauJets.eta", 25, -2.5, 2.5, False),
        ("TauJets.ptResponse", 1000, 0, 2, False),
        ("TauJets.etaResidual", 1000, -0.05, 0.05, False),
        ("TauJets.phiResidual", 1000, -0.05, 0.05, False),
        ("TauJets.mu", 80, -0.5, 79.5, False),
        ("TauJets.mu:tid", 20, -0.5, 39.5, False),
        ("TauJets.nVtxPU", 40, -0.5, 39.5, False),
        ("TauJets.nTracks", 10, 0, 10, False),
        ("TauJets.truthDecayMode", 5, -0.5, 4.5, False),
        ("TauJets.RNNJetScore", 50, 0, 1, False),
        ("TauJets.RNNJetScore:fine", 1000, 0, 1, False),
        ("TauJets.NNDecayModeProb_1pXn", 50, 0, 1, False),
    ],
)
def test_binnings_are_those_of_loki(text, number, low, high, log):
    _, binning = find_variable(text)
    edges = np.array(binning.edges)
    assert (len(edges) - 1, edges[0], edges[-1], binning.log) == (number, low, high, log)
    steps = np.diff(np.log(edges) if log else edges)
    np.testing.assert_allclose(steps, steps.mean())


def test_bins_of_absolute_eta_and_of_modes():
    _, binning = find_variable("TauJets.absEta")
    assert binning.edges == (0, 0.05, 0.3, 0.6, 0.8, 1.15, 1.37, 1.52, 1.81, 2.01, 2.3, 2.5)
    _, binning = find_variable("TauJets.NNDecayMode")
    assert binning.labels == ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")


def values(name, events):
    variable = named_variable(name, registry())
    raw = Expression(variable.column)(events)
    return np.where(raw == variable.missing, np.nan, raw) if variable.missing is not None else raw


def test_values_against_plain_python(matched):
    plain, events = matched
    taus = events["TauJets"]
    np.testing.assert_allclose(values("TauJets.pt", events), [tau["pt"] / 1000 for tau in plain], rtol=1e-6)
    np.testing.assert_allclose(values("TauJets.absEta", events), [abs(tau["eta"]) for tau in plain], rtol=1e-6)
    truth = list(zip(*(taus.flat(f"truth{x}Vis").tolist() for x in ("Pt", "Eta", "Phi")), strict=True))
    nan = math.nan
    for name, unmatched, true in (
        ("truthPtVis", nan, lambda tau, pt, eta, phi: pt / 1000),
        ("truthPhiVis", nan, lambda tau, pt, eta, phi: phi),
        ("absTruthEtaVis", nan, lambda tau, pt, eta, phi: abs(eta)),
        ("ptResponse", nan, lambda tau, pt, eta, phi: tau["pt"] / pt),
        ("etaResidual", nan, lambda tau, pt, eta, phi: tau["eta"] - eta),
        ("phiResidual", nan, lambda tau, pt, eta, phi: math.remainder(tau["phi"] - phi, 2 * math.pi)),
    ):
        expected = [true(tau, *one) if one[0] > 0 else unmatched for tau, one in zip(plain, truth, strict=True)]
        assert 10 < np.isnan(expected).sum() < len(expected) - 10
        np.testing.assert_allclose(values(f"TauJets.{name}", events), expected, rtol=1e-5, atol=1e-6)
    prongs = values("TauJets.truthProng", events)
    np.testing.assert_array_equal(np.isnan(prongs), [pt < 0 for pt, _, _ in truth])


def test_the_residual_in_phi_is_small_across_the_edge():
    columns = {"pt": [1.0, 1.0], "phi": [3.14, -3.14], "truthPhiVis": [-3.14, 3.14], "truthPtVis": [1.0, 1.0]}
    events = Events.from_arrays({f"TauJets.{name}": ak.Array([x]) for name, x in columns.items()}, sample=XAOD)
    np.testing.assert_allclose(values("TauJets.phiResidual", events), [-0.0031853, 0.0031853], atol=1e-6)


def kinematics(pt, eta, *, with_pt=True):
    return (pt > 20e3 or not with_pt) and abs(eta) < 2.5 and not 1.37 <= abs(eta) <= 1.52


def test_selections_against_plain_python(matched):
    plain, events = matched
    taus = events["TauJets"]
    truth = [
        dict(zip(("match", "pt", "eta", "prong", "mode"), one, strict=True))
        for one in zip(
            *(
                taus.flat(name).tolist()
                for name in ("IsTruthMatched", "truthPtVis", "truthEtaVis", "truthProng", "truthDecayMode")
            ),
            strict=True,
        )
    ]

    def expect(function):
        found = [function(tau, true) for tau, true in zip(plain, truth, strict=True)]
        assert 0 < sum(found) < len(found)
        return found

    def base(tau, true, with_pt=True):
        return (
            kinematics(np.float32(tau["pt"]), tau["eta"], with_pt=with_pt)
            and true["match"] == 1
            and kinematics(true["pt"], true["eta"], with_pt=with_pt)
        )

    expected = {
        "BASELINE": base,
        "BASELINE_NO_PT": lambda tau, true: base(tau, true, with_pt=False),
        "BASELINE_NO_TRUTH": lambda tau, true: kinematics(tau["pt"], tau["eta"]),
        "BASELINE_1P": lambda tau, true: base(tau, true) and tau["nTracks"] == 1 == true["prong"],
        "BASELINE_3P": lambda tau, true: base(tau, true) and tau["nTracks"] == 3 == true["prong"],
        "IS_SUB_CAND_TRUTH": lambda tau, true: true["mode"] < 5,
    }
    assert set(expected) | {"TRUTH_BASELINE"} == set(CUTS)
    for name, function in expected.items():
        np.testing.assert_array_equal(CUTS[name](events), expect(function), err_msg=name)
    chosen = performance.is_sub_cand("TauJets.nTracks")(events)
    np.testing.assert_array_equal(chosen, [tau["nTracks"] < 5 for tau in plain])


def test_ranges_of_pt_cut_the_matched_taus_into_three(matched):
    _, events = matched
    ranges = [cut(events) for cut in performance.PT_RANGES.values()]
    assert all(passed.any() for passed in ranges[:2])
    true = values("TauJets.truthPtVis", events)
    np.testing.assert_array_equal(np.sum(ranges, axis=0)[~np.isnan(true)], 1)
    np.testing.assert_array_equal(ranges[1], (true >= 40) & (true < 100))


def test_truth_taus_in_acceptance(make_arrays):
    plain, columns = make_arrays(200)
    events = Events.from_arrays(columns, sample=XAOD)
    TruthDecayMode("t").execute(events, None)
    true = [one for event in plain for one in event["TruthTaus"]]
    passed = [bool(one["IsHadronicTau"]) and kinematics(one["pt_vis"], one["eta_vis"]) for one in true]
    np.testing.assert_array_equal(performance.TRUTH_BASELINE(events), passed)
    partner = Expression(performance.PT.truth)(events)
    np.testing.assert_allclose(partner, [one["pt_vis"] / 1000 for one in true])


def test_modes_of_truth_taus(make_arrays):
    plain, columns = make_arrays(200)
    events = Events.from_arrays(columns, sample=XAOD)
    tool = TruthDecayMode("t", OutputName="mode")
    assert list(tool.writes()) == ["TruthTaus.mode"]
    tool.execute(events, None)
    true = [one for event in plain for one in event["TruthTaus"]]
    expected = [truth_decay_mode(ak.Array([one["DecayModeVector"]]))[0] if one["IsHadronicTau"] else 6 for one in true]
    found = events["TruthTaus"].flat("mode")
    assert (found.dtype, found.tolist()) == (np.int32, expected)
    assert {0, 1, 2, 3, 4, 5, 6} == set(expected)


def test_partners_in_the_event_are_repeated_for_each_truth_tau():
    events = Events.from_arrays(
        {
            "TruthTaus.pt_vis": ak.Array([[1.0, 2.0], [], [3.0]]),
            "EventInfo.averageInteractionsPerCrossing": np.array([20.0, 30.0, 40.0]),
        }
    )
    found = Expression(performance.MU.truth)(events, "TruthTaus")
    np.testing.assert_array_equal(found, [20, 20, 40])


def test_labels_read_as_in_a_figure():
    baseline = "pT > 20 GeV, |η| < 2.5, outside the crack (reconstructed and true)"
    assert performance.BASELINE.label == baseline
    assert performance.BASELINE_1P.label == f"{baseline}, 1 prong"
    assert performance.TRUTH_BASELINE.label == "hadronic truth taus, pT > 20 GeV, |η| < 2.5, outside the crack"


def test_network_inputs_have_labels_and_bins_that_hold_their_floor():
    for variables in DECAY_MODE_VARIABLES.values():
        for variable in variables:
            edges = variable.binning().edges
            assert variable.label != variable.column, variable.name
            if variable.name.startswith(("SECOND_ENG_DENS", "secondEta")):
                (floor,) = variable(np.zeros(1))
                assert edges[0] < floor < edges[-1], variable.name
