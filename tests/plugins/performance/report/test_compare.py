"""``hepflow compare``: two runs by hand, and what the page and the terminal say of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hepflow.errors import JobOptionsError
from hepflow.plots import Axis, Comparison, EfficiencyProfile, Histogram, MigrationMatrix, RocCurve, WorkingPoint
from hepflow.plots.figures import Style, draw, load_figure, save
from hepflow.plugins.performance.report.comparison import cutflows, numbers, read_runs, settings
from hepflow.plugins.performance.report.overlays import overlay

PT = Axis("pt", (0.0, 50.0, 100.0), "pT", "GeV")
FIGURES = ("Eff/pt", "Matrix/Net{0}_efficiency", "ROC", "same", "bins")


def write(folder, number, uuid="u"):
    """Write a run whose network is called Net<number>, with better numbers for a higher one."""
    matrix = MigrationMatrix(["1p", "3p"], label=f"Net{number}")
    matrix.fill([0] * 10 + [1] * 10, [0] * (6 + number) + [1] * (14 - number))
    efficiency = EfficiencyProfile(PT, label=f"Net{number}")
    efficiency.fill([25.0] * 10, np.arange(10) < 5 + number)
    roc, point = RocCurve("Net", bins=100, low=0.0, high=1.0), WorkingPoint("Cut")
    roc.fill(np.linspace(0, 1, 40), np.arange(40) >= 20 - number)
    point.fill(np.arange(40) < 10 + number, np.arange(40) >= 20)
    same = Histogram(PT, "taus")
    same.fill([10.0, 70.0])
    other = Histogram(Axis("pt", (0.0, 50.0 + number)), "taus")
    style = Style("ATLAS Internal", ("taus", f"pT > {number}0 GeV"))
    for path, what in zip(FIGURES, (efficiency, matrix, [roc, point], same, other), strict=True):
        target = folder / path.format(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        save(draw(what, style=style), target, what, formats=("pdf",))
    told = {
        "job": "Job",
        "properties": {"Tool": {"class": "T", "PtMin": 10.0 * number, "Same": 1}},
        "options": {"only": 1} if number == 1 else {},
        "seed": 1,
        "inputs": [{"path": f"{folder.name}.root", "uuid": uuid, "sample": "s"}],
        "events": 100,
    }
    (folder / "provenance.json").write_text(json.dumps(told))
    line = {"stream": "", "tool": "Tool", "container": "TauJets", "selection": "pt", "before": 10, "after": number}
    (folder / "cutflow.json").write_text(json.dumps([line]))
    (folder / "joboptions.py").write_text(f"PtMin = {number}0\n")
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return read_runs([f"old={write(folder / 'a', 1)}", str(write(folder / "b", 2))])


def test_settings_and_cutflow(two, tmp_path):
    rows = {row[0]: row[1:] for row in settings(two).rows}
    assert rows == {
        "Tool.PtMin": ("10.0", "20.0"),
        "--only": ("1", "not there"),
        "files of s": ("a.root", "b.root"),
    }
    assert cutflows(two).rows == [("job", "Tool", "pt", "TauJets", "1 (10.0%)", "2 (20.0%)")]


def test_numbers(two, tmp_path):
    """Diagonals of two networks, whose matrices have the names of these: (6 + n + 10)/20 with binomial errors."""
    table = numbers(two)
    found = {row[2]: row[3:] for row in table.rows if row[1] == "Net1 and Net2"}
    assert [text[:4] for text in found["diagonal"][:2]] == ["0.85", "0.90"]
    assert found["diagonal"][2] == "+0.05"
    assert "same input files" in table.note

    apart = read_runs([str(write(tmp_path / "a", 1, "u1")), str(write(tmp_path / "b", 2, "u2"))])
    independent = {row[2]: row[5] for row in numbers(apart).rows if row[1] == "Net1 and Net2"}
    assert independent["diagonal"].startswith("+0.05 (+0.")
    assert not numbers(apart).note


def test_figures_lie_over_one_another(two):
    found = overlay(two, "ATLAS Preliminary")
    figures = {figure.path.as_posix(): figure for figure in found.figures}
    assert set(figures) == {"Eff/pt", "Matrix/Net1_efficiency", "ROC_Net", "ROC_Cut", "bins"}
    assert found.same == 1
    efficiency = figures["Eff/pt"]
    assert isinstance(efficiency.what, Comparison)
    assert [plot.label for plot in efficiency.what.plots] == ["Net1, old", "Net2, b"]
    assert efficiency.style == Style("ATLAS Preliminary", ("taus", "old: pT > 10 GeV", "b: pT > 20 GeV"))
    assert figures["ROC_Net"].style.lines[0] == "Net"


def test_command(two, tmp_path, hepflow):
    folders = [f"{name}={run.directory}" for name, run in two.items()]
    shown = hepflow("compare", *folders, "-o", tmp_path / "out").fine().out
    assert "+0.05" in shown
    assert "Tool.PtMin" in shown
    assert "bins: " in shown
    assert "axes differ" in shown
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert page.count("<figure ") == 4
    assert "1 plot not drawn, the same in all runs" in page
    assert "-PtMin = 10" in page
    again = load_figure(tmp_path / "out" / "Matrix" / "Net1_efficiency.json")
    assert isinstance(again.what, Comparison)
    assert again.style.text == "ATLAS Internal"
    assert again.draw(Style("mine")).drawn_with["style"]["text"] == "mine"

    hepflow("compare", folders[0]).failed("nothing to compare with")
    (tmp_path / "nothing").mkdir()
    hepflow("compare", folders[0], tmp_path / "nothing").failed("no run directory")
    (tmp_path / "nothing" / ".hepflow").mkdir()
    hepflow("compare", folders[0], tmp_path / "nothing").failed("has not finished", "--resume")


def test_names_of_runs(two):
    folder = str(two["old"].directory)
    with pytest.raises(JobOptionsError, match="two runs are called a"):
        read_runs([folder, folder])
