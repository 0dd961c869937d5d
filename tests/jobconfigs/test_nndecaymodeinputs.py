"""NNDecayModeInputs on each kind of input. (Figures of all inputs take their time; the tutorial draws them.)"""

from __future__ import annotations

import json

import pytest

NUMBERS = ("--set", "Inputs.Objects=")  # only the numbers of objects
SEQUENCES = ("ConvTrack", "NeutralPFO", "ShotPFO", "TauTrack")


def counts(folder):
    """Values of the histograms of the numbers of objects: sequence → class → bins."""
    found = {}
    for path in (folder / "Inputs").glob("*/number.json"):
        plots = json.loads(path.read_text())["plots"]
        found[path.parent.name] = {plot["label"]: plot["derived"]["values"] for plot in plots}
    return found


def test_the_inputs_are_the_same_from_everywhere(hepflow, xaod, tmp_path):
    hepflow("run", "NNDecayMode", "-i", xaod, "-o", "ntuple").fine()
    hepflow("run", "NNDecayMode", "--mode", "pfo", "-i", xaod, "-o", "mxaod").fine()
    inputs = {"ntuple": "ntuple", "mxaod": "mxaod", "aod": xaod}
    for source, path in inputs.items():
        hepflow("run", "NNDecayModeInputs", "--from", source, "-i", path, *NUMBERS, "-o", f"from-{source}").fine()
    found = [counts(tmp_path / f"from-{source}") for source in inputs]
    assert sorted(found[0]) == list(SEQUENCES)
    assert sum(map(sum, found[0]["TauTrack"].values())) > 20
    assert found[0] == found[1] == found[2]
    assert (tmp_path / "from-ntuple" / "report.html").exists()


def test_pictures_of_taus(hepflow, xaod, tmp_path):
    number = next(event["EventInfo"]["eventNumber"] for event in xaod.events if len(event["TauJets"]) == 3)
    options = ("--from", "mxaod", "--displays", 1, "--event-numbers", number)
    hepflow("run", "NNDecayMode", "--mode", "pfo", "-dt", "JET", "-i", xaod, "-o", "mxaod").fine()
    hepflow("run", "NNDecayModeInputs", *options, "-i", "mxaod", *NUMBERS, "-o", "run").fine()
    first = {path.stem for path in (tmp_path / "run" / "Displays").glob("*.png")}
    assert "1p0n_1" in first
    assert all(name.endswith("_1") for name in first)
    (plot,) = json.loads((tmp_path / "run" / "Displays" / "1p0n_1.json").read_text())["plots"]
    assert plot["label"].startswith("truth: 1p0n, PFO count: ")
    assert (tmp_path / "run" / "DisplaysOfEvents" / f"event{number}_1.pdf").exists()


@pytest.mark.parametrize("source", ["ntuple", "mxaod", "aod"])
def test_all_inputs_are_plotted_unless_told_otherwise(hepflow, xaod, source):
    if source != "aod":
        hepflow(
            "run", "NNDecayMode", "--mode", "tree" if source == "ntuple" else "pfo", "-i", xaod, "-o", "made"
        ).fine()
    path = xaod if source == "aod" else "made"
    plan = hepflow("run", "NNDecayModeInputs", "--from", source, "-i", path, "--dry-run").fine()
    assert "NetworkInputPlots" in plan
    assert "secondEtaWRTClusterPosition_EM2" in plan


def test_an_ntuple_has_no_pictures(hepflow, xaod):
    run = hepflow("run", "NNDecayModeInputs", "--displays", 2, "-i", xaod, "-o", "run")
    run.failed("an ntuple does not hold the objects around a tau", "--from mxaod")


def test_an_aod_that_is_called_an_mxaod(hepflow, xaod):
    run = hepflow("run", "NNDecayModeInputs", "--from", "mxaod", "-i", xaod, "-o", "run")
    run.failed("TauJets.IsTruthMatched", "which is not there")
