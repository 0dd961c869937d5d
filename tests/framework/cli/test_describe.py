"""hepflow describe."""

from __future__ import annotations

import pytest


def test_tool(hepflow):
    out = hepflow("describe", "TauSelection").fine().out
    assert "TauSelection (tool, from hepflow.plugins.tau.selection import TauSelection)" in out
    (line,) = [line for line in out.splitlines() if line.startswith("PtMin")]
    assert line.split()[:3] == ["PtMin", "float", "0.0"]
    assert "[MeV]" in line
    assert "reads   TauJets.pt, TauJets.eta" in out
    assert "writes  nothing" in out


def test_stream(hepflow):
    out = hepflow("describe", "MxAODStream").fine().out
    assert "(stream, from" in out
    assert "; one of RNTuple, TTree" in out


LONG = """
from hepflow.expressions import Cut
from hepflow.plugins.performance import HistogramPlots
cut = Cut(" and ".join(f"(TauJets.pt > {n})" for n in range(50)))
job += HistogramPlots("plots", Selection=cut, Folder="figures")
"""


def test_job(hepflow):
    out = hepflow("describe", "NNDecayMode").fine().out
    (line,) = [line for line in out.splitlines() if line.startswith("--mode")]
    assert "one of tree" in line
    assert "TauTruthMatching('TauTruthMatching'" in out
    assert "reads Gammatautau without -i" in out


def test_job_by_path(hepflow, joboptions):
    path = joboptions('"""My job."""\njob = Job("mine")\njob += TauSelection("sel", PtMin=5e3)\n')
    assert "TauSelection('sel', PtMin=5000.0)" in hepflow("describe", path).fine().out


def test_long_values_of_a_job_are_cut(hepflow, joboptions):
    path = joboptions('job = Job("mine")\n' + LONG)
    out = hepflow("describe", path).fine().out
    assert "HistogramPlots('plots', Selection=Cut('(TauJets.pt > 0) and" in out
    assert max(map(len, out.splitlines())) < 200
    assert "…, Folder='figures')" in out


@pytest.mark.parametrize(("name", "near"), [("TauSelecton", "TauSelection"), ("NNDecayMod", "NNDecayMode")])
def test_unknown_name(hepflow, name, near):
    hepflow("describe", name).failed(f"nothing is called '{name}'", f"'{near}'")


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("Dense", ["n_hiddens   [64, 64]", "a list, each a whole number from 1"]),
        ("xgboost", ["n_estimators"]),
        ("TauJets.pt", ["TauJets.pt / GeV", "10, logarithmic"]),
        ("expressions", ["functions:", "hypot"]),
        ("Binning", ["from hepflow.variables import Binning", "Binning.logarithmic(", "Binning.regular("]),
    ],
)
def test_what_else_has_a_name(hepflow, name, texts):
    out = hepflow("describe", name).fine().out
    assert all(text in out for text in texts), out


def test_redirected_lines_have_no_blanks_at_their_ends(hepflow):
    """And paragraphs of docstrings are not broken where the source is."""
    out = hepflow("describe", "TauSelection").fine().out
    assert not [line for line in out.splitlines() if line.endswith(" ")]


@pytest.mark.parametrize("words", [("describe", "EnergyScaleChain"), ("run", "EnergyScaleChain", "--help")])
def test_options_of_a_job_that_needs_some(hepflow, words):
    out = hepflow(*words).fine().out
    assert "--derive" in out
    assert "not configured without options: the calibrations need two samples" in out
    hepflow("run", "EnergyScaleChain").failed("the calibrations need two samples")
