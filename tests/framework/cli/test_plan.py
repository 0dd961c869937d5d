"""hepflow plan, and run --dry-run."""

from __future__ import annotations

import pytest

JOB = """
job = Job("j")
job += TauSelection("sel", PtMin=20e3)
stream = NtupleStream("tree", Keep=["TauJets.pt", "TauJets.eta"])
stream += LinkedObjects("tracks", Columns=["pt"])
job += stream
"""


@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run")])
def test_shows_everything_and_writes_nothing(hepflow, joboptions, xaods, tmp_path, command):
    path = joboptions(JOB)
    before = sorted(tmp_path.rglob("*"))
    out = hepflow(*command, path, "-i", xaods[0], "-n", 40).fine().out
    assert sorted(tmp_path.rglob("*")) == before
    assert "TauSelection('sel', PtMin=20000.0)" in out
    assert "columns read (4" in out
    assert "TauJets.{pt, eta, tauTrackLinks}" in out
    assert "writes 3 columns: TauJets.{pt, eta}  TauTrack.*" in out
    assert "0–30" in out
    assert "0–10" in out
    assert "40 events in 2 work units of 2 files" in out


def test_skipped_files_and_notes_are_listed(hepflow, joboptions, make_xaod, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    make_xaod(folder / "a.root", 5)
    make_xaod(folder / "b.root", 5, spell="Analysis{}AuxDyn")
    make_xaod(folder / "c.root", 5, drop=["TauTracks"])
    (folder / "d.root").write_text("text")
    out = hepflow("plan", joboptions(JOB), "-i", folder).fine().out
    assert f"skipped  {folder}/c.root: holds no TauTracks" in out
    assert f"skipped  {folder}/d.root: this input is not a ROOT file" in out
    assert "note     TauJets.pt is spelled TauJetsAuxDyn:pt in" in out


def test_takes_no_option_of_run(hepflow, joboptions, xaod):
    hepflow("plan", joboptions(JOB), "-i", xaod.path, "--resume").failed("no option --resume")


LONG = """
from hepflow.plugins.performance import HistogramPlots
from hepflow.variables import Binning, Variable
binnings = {"fine": Binning.regular(1000, 0, 1e5)}
job += HistogramPlots("plots", Variables=[Variable(f"pt{n}", "TauJets.pt", binnings=binnings) for n in range(50)])
"""


def test_long_values_are_cut(hepflow, joboptions, xaod):
    out = hepflow("plan", joboptions(JOB + LONG), "-i", xaod.path).fine().out
    assert "HistogramPlots('plots'" in out
    assert len(out.splitlines()) < 40
