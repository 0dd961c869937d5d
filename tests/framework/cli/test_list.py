"""hepflow list."""

from __future__ import annotations

import pytest
from rich.console import Console

from hepflow.cli.completion import complete_jobs, complete_names
from hepflow.cli.console import new_table


def test_names_stay_whole_in_a_narrow_terminal(capsys):
    table = new_table("name", "what it does", "from")
    table.add_row("TauJets.NNDecayModeProb_1p0n", "many words " * 20, "tau")
    Console(width=60).print(table)
    out = capsys.readouterr().out
    assert "TauJets.NNDecayModeProb_1p0n" in out
    assert max(map(len, out.splitlines())) <= 60


def test_the_shell_completes_names():
    assert "NNDecayMode" in [item.value for item in complete_jobs(None, None, "NNDec")]
    assert [item.value for item in complete_names(None, None, "TauSel")] == ["TauSelection"]
    assert [item.type for item in complete_jobs(None, None, "jobs/")] == ["file"]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("tools", ["TauSelection", "TauTruthMatching", "NNDecayModeTree", "PFOCountDecayMode", "LinkedObjects"]),
        ("streams", ["NtupleStream", "MxAODStream"]),
        ("jobs", ["NNDecayMode", "PhysliteTaus"]),
        ("formats", ["xaod-rntuple", "xaod-ttree", "ntuple-rntuple", "ntuple-ttree"]),
        ("plugins", ["core", "tau", "streams", "common"]),
        ("executors", ["processes", "dask"]),
        ("models", ["lwtnn", "onnx", "tmva", "xgboost"]),
        ("variables", ["TauJets.pt", "TauJets.NNDecayMode", "TruthTaus.pt_vis"]),
    ],
)
def test_lists_names_with_a_line_on_each(hepflow, what, names):
    lines = hepflow("list", what).fine().out.splitlines()
    for name in names:
        (line,) = [line for line in lines if line.split() and line.split()[0] == name]
        assert len(line.split()) > 2


def test_variables_with_label_unit_and_binnings(hepflow):
    out = hepflow("list", "variables").fine().out
    (line,) = [line for line in out.splitlines() if line.startswith("TauJets.pt ")]
    assert line.split() == ["TauJets.pt", "pT", "GeV", "default,", "low,", "log,", "weight", "tau"]


@pytest.mark.parametrize("what", ["samples", "architectures", "commands"])
def test_may_be_empty(hepflow, what):
    assert hepflow("list", what).fine().out


def test_unknown_kind(hepflow):
    hepflow("list", "tool").failed("'tool' is not one of", status=2)


def test_jobs_of_the_users_own_folder(hepflow, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Mine.py").write_text('"""My own job."""\n')
    (tmp_path / "mine" / "Broken.py").write_text("def (\n")
    monkeypatch.setenv("HEPFLOW_JOBOPTIONS_PATH", str(tmp_path / "mine"))
    out = hepflow("list", "jobs").fine().out
    assert "My own job." in out
    assert "(syntax error in line 1)" in out


def test_a_terminal_without_utf_8_gets_what_it_can_show(hepflow_process):
    for encoding in ("latin-1", "ascii"):
        shown = hepflow_process("list", "tools", PYTHONIOENCODING=encoding).fine()
        assert "TauSelection" in shown


def test_alone_it_shows_what_can_be_listed(hepflow):
    out = hepflow("list").fine().out
    assert "hepflow list architectures" in out
    assert "hepflow list engines" in out
