"""The tool in a job, and ``hepflow report`` afterwards."""

from __future__ import annotations

import sys

import pytest

from hepflow.errors import ToolError
from hepflow.execution.rundir import RunDirectory
from hepflow.plugins.performance import Report
from hepflow.plugins.performance.report.tool import write_report


def test_the_tool_finalizes_only_and_reads_nothing():
    tool = Report("Report")
    assert not tool.has_loop
    assert [*tool.reads(), *tool.writes()] == []


def test_the_run_wrote_it(reported):
    assert (reported / "report.html").stat().st_size > 10_000
    assert not list(reported.rglob("*.tmp"))


def test_the_command_writes_it_again(hepflow, rundir, parse):
    title = parse(rundir / "report.html").all("h1")[0].text
    (rundir / "report.html").unlink()
    result = hepflow("report", rundir).fine()
    assert result.out.partition(" (")[0] == f"{rundir}/report.html"
    assert parse(rundir / "report.html").all("h1")[0].text == title == "Taus & <script>alert(1)</script>"


def test_a_report_made_later_belongs_to_the_run(hepflow, tmp_path, xaod, joboptions):
    """--force replaces what the run wrote: the report of the earlier run must not outlive it."""
    path = joboptions('job = Job("plain")\njob += TauSelection("sel")\n')
    hepflow("run", path, "-i", xaod.path, "-o", tmp_path / "run").fine()
    hepflow("report", tmp_path / "run").fine()
    (tmp_path / "run" / "mine.txt").write_text("kept")
    hepflow("run", path, "-i", xaod.path, "-o", tmp_path / "run", "--force").fine()
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        *(".hepflow", "cutflow.json", "joboptions.py", "mine.txt", "provenance.json")
    ]


def test_a_report_hides_no_damage_of_the_run(hepflow, tmp_path, xaod, joboptions):
    text = 'from hepflow.plugins.performance import Report\njob = Job("plain")\njob += Report("Report")\n'
    text += 'job += NtupleStream("tree", Keep=["TauJets.pt"])\njob += NtupleStream("two", Keep=["TauJets.pt"])\n'
    run = ("run", joboptions(text), "-i", xaod.path, "-o", tmp_path / "run")
    hepflow(*run).fine()
    (tmp_path / "run" / "tree_000001.root").unlink()
    (tmp_path / "run" / "two_000001.root").write_text("")
    hepflow("report", tmp_path / "run").fine()
    said = " ".join(hepflow(*run, "--resume").fine().err.split())
    assert "tree_000001.root is gone two_000001.root has 0 bytes" in said
    hepflow("report", tmp_path / "run").fine()
    assert "made again" not in hepflow(*run, "--resume").fine().err


def test_no_report_is_made_while_the_run_goes_on(hepflow, rundir):
    (rundir / "report.html").unlink()
    run = RunDirectory.prepare(str(rundir), "job", resume=True, force=False)
    try:
        hepflow("report", rundir).failed("another run is writing to")
    finally:
        run.release()
    assert not (rundir / "report.html").exists()


def test_a_copied_run_without_its_ledger_has_a_report(hepflow, rundir):
    import shutil

    shutil.rmtree(rundir / ".hepflow")
    hepflow("report", rundir).fine()
    assert not (rundir / ".hepflow").exists()


def test_what_is_no_run(hepflow, tmp_path):
    (tmp_path / "empty").mkdir()
    hepflow("report", tmp_path / "none").failed("no run directory", tmp_path / "none")
    hepflow("report", tmp_path / "empty").failed("no provenance.json and no figures")
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("package", ["jinja2", "PIL"])
def test_a_missing_package_names_the_extra(reported, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ToolError, match=rf"(?s)needs the package {package}.*hepflow\[plots\]"):
        write_report(reported)


def test_the_command_is_listed(hepflow):
    assert "Write the report of a run" in hepflow("list", "commands").fine().out
    assert "FOLDER" in hepflow("report", "--help").fine().out
