"""NNDecayModePlots on a DAOD_PHYSLITE file: reco against reco. (With truth it is run in tests/test_chain.py.)"""

from __future__ import annotations

import json

import numpy as np
import uproot

OPTIONS = ("--classifiers", "NNDecayMode", "--scores", "", "--against", "PanTau_DecayMode")


def test_two_classifiers_of_a_file_are_compared(hepflow, physlite, tmp_path):
    path = physlite("PHYSLITE_example.root")
    run = hepflow("run", "NNDecayModePlots", "-i", path, *OPTIONS, "--all-events", "-o", "plots").fine()
    assert "diagonal" in run.out + run.err
    tree = uproot.open(path)["CollectionTree"]
    pt, eta, nn, pantau = (
        np.concatenate([np.asarray(taus) for taus in tree[f"AnalysisTauJetsAuxDyn.{name}"].array()])
        for name in ("pt", "eta", "NNDecayMode", "PanTau_DecayMode")
    )
    away = abs(eta)
    keep = (pt > 20e3) & (away < 2.5) & ((away < 1.37) | (away > 1.52)) & (nn < 5) & (pantau < 5)
    expected = np.zeros((5, 5))
    np.add.at(expected, (nn[keep], pantau[keep]), 1)
    (plot,) = json.loads((tmp_path / "plots" / "Matrices" / "NNDecayMode_efficiency.json").read_text())["plots"]
    assert plot["derived"]["counts"] == expected.tolist()
    assert plot["layout"]["truth_title"] == "PanTau_DecayMode (reconstructed)"
    figures = sorted(p.name for p in (tmp_path / "plots").rglob("*.png"))
    assert figures == ["NNDecayMode_efficiency.png", "NNDecayMode_purity.png"]


def test_what_the_network_has_seen_must_be_known(hepflow, physlite):
    path = physlite("PHYSLITE_example.root")
    hepflow("run", "NNDecayModePlots", "-i", path, *OPTIONS, "-o", "plots").failed(
        "does not say which events NNDecayMode has seen", "--folds", "--all-events"
    )
    missing = hepflow("run", "NNDecayModePlots", "-i", path, "-o", "more")
    missing.failed("reads TauJets.truthDecayMode, which is not there", "PanTau_DecayMode")
