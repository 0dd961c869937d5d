"""The plot tools in runs over files: several samples, processes, chunks, and columns that are not there."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow import Job
from hepflow.context import Context
from hepflow.errors import HepflowError, PlotError
from hepflow.execution.options import RunOptions
from hepflow.execution.run import run
from hepflow.plots import Axis, Histogram
from hepflow.plots.figures import Style, save
from hepflow.plots.figures import draw as draw_figure
from hepflow.plugins.performance import (
    EfficiencyPlots,
    HistogramPlots,
    MigrationPlots,
    ProfilePlots,
    ResolutionPlots,
    RocPlots,
)
from hepflow.plugins.performance.base import Drawer
from hepflow.processes import Processes

PT = "TauJets.pt / 1000:4;0;100"
RATIO = "TauJets.pt / TauJets.ptIntermediateAxis"


def make_tools():
    matrices = MigrationPlots("matrices", Truth="TauJets.nTracks", Labels=["0", "1", "2"], Kinds=["counts"])
    matrices.Classifiers = {"charge": "abs(TauJets.charge)"}
    rocs = RocPlots("rocs", Signal="TauJets.nTracks == 3", Background="TauJets.nTracks == 1", Range=(0, 2000))
    rocs.Scores = {"mass": "TauJets.m"}
    tools = [
        HistogramPlots("histograms", Variables=[PT], Split={"3 tracks": "TauJets.nTracks == 3", "all": ""}),
        matrices,
        rocs,
        EfficiencyPlots("efficiencies", Variables=[PT], Passed={"central": "abs(TauJets.eta) < 1.5"}),
        ProfilePlots("profiles", Variables=[PT], Response="TauJets.m:10;0;2000"),
        ResolutionPlots("resolutions", Variables=[PT], Responses={"pT": RATIO}, Modes=["median"]),
    ]
    return {tool.name: tool for tool in tools}


@pytest.fixture
def go(tmp_path, xaods, monkeypatch):
    """Run over two samples; return the results of the tools and the run directory."""
    folder, _ = xaods
    inputs = [f"old={folder / 'part0.root'}", f"new={folder / 'part1.root'}", f"new={folder / 'part2.root'}"]

    def start(name, *, figures=False, tools=None, **options):
        job = Job("plots")
        for tool in (tools or make_tools()).values():
            job += tool
        with monkeypatch.context() as patch:
            if not figures:
                patch.setattr("hepflow.plugins.performance.base.Drawer.__call__", lambda *_, **__: None)
            done = run(job, RunOptions(inputs=inputs, output=str(tmp_path / name), **options))
        return done.results, done.directory

    return start


def test_each_sample_is_counted_on_its_own(go, xaods):
    results, directory = go("run", figures=True)
    _, (first, *others) = xaods
    for sample, taus in (("old", first.taus()), ("new", [tau for file in others for tau in file.taus()])):
        pt = np.array([tau["pt"] for tau in taus]) / 1000
        tracks = np.array([tau["nTracks"] for tau in taus])
        charge = np.abs([tau["charge"] for tau in taus]).astype(int)
        edges = np.linspace(0, 100, 5)
        (key, key_all) = results["histograms"][sample]
        assert results["histograms"][sample][key].values().tolist() == np.histogram(pt[tracks == 3], edges)[0].tolist()
        assert results["histograms"][sample][key_all].entries == len(taus)
        matrix = np.zeros((3, 3))
        inside = tracks < 3
        np.add.at(matrix, (charge[inside], tracks[inside]), 1)
        assert results["matrices"][sample]["charge"].counts.tolist() == matrix.tolist()
        assert results["matrices"][sample]["charge"].excluded == (~inside).sum()
        (efficiency,) = results["efficiencies"][sample].values()
        central = np.array([abs(tau["eta"]) < 1.5 for tau in taus])
        with np.errstate(invalid="ignore"):
            expected = np.histogram(pt[central], edges)[0] / np.histogram(pt, edges)[0]
        np.testing.assert_allclose(efficiency.efficiency()[0], expected)
    figures = {path.relative_to(directory).parts for path in directory.rglob("*.png")}
    assert {folder for folder, _ in figures} == set(results)
    assert {("matrices", f"charge_counts_{sample}.png") for sample in ("old", "new")} < figures


@pytest.mark.parametrize("options", [{"workers": 2}, {"chunk": 7}, {"workers": 2, "chunk": 7}])
def test_processes_and_chunks_change_nothing(go, options):
    expected, _ = go("one", chunk=100_000)
    results, _ = go("other", **options)
    for name in make_tools():
        assert results[name] == expected[name]
        assert all(plot.entries for plots in results[name].values() for plot in plots.values())


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (("histograms", "Selection", "TauJets.nTrack > 1"), ["histograms reads TauJets.nTrack", "'nTracks'"]),
        (("matrices", "Truth", "TauJets.chargee"), ["matrices reads TauJets.chargee", "'charge'"]),
        (("rocs", "Scores", {"mass": "TauJets.mm"}), ["rocs reads TauJets.mm", "'m'"]),
        (("efficiencies", "Passed", {"a": "TauJets.etaa > 0"}), ["efficiencies reads TauJets.etaa", "'eta'"]),
    ],
)
def test_a_missing_column_is_named_before_the_loop(go, change, texts):
    tool, setting, value = change
    tools = make_tools()
    setattr(tools[tool], setting, value)
    with pytest.raises(HepflowError) as error:
        go("run", tools=tools)
    for text in texts:
        assert text in f"{error.value}\n{error.value.hint}"


def test_a_figure_that_fails_is_named_and_the_others_are_drawn_by_two_processes(tmp_path):
    processes = Processes(2)
    draw = Drawer(HistogramPlots("figures", Lines=["a line"]), Context(tmp_path, "job", processes=processes))
    counts = Histogram(Axis("x", (0.0, 1.0, 2.0)), "counts")
    counts.fill([0.5, 1.5, 1.6])
    for name, options in (("wrong", {"y_range": (2.0, 1.0)}), ("good", {}), ("good", {"log_y": True})):
        draw(name, counts, **options)
    with pytest.raises(PlotError, match="from a lower to a higher number") as caught:
        draw.finish()
    processes.close()
    assert caught.value.where == "figure wrong"
    assert sorted(path.name for path in (tmp_path / "figures").iterdir() if path.suffix == ".png") == [
        "good.png",
        "good_2.png",
    ]
    alone = save(draw_figure(counts, style=Style("hepflow", ("a line",))), tmp_path / "alone", counts)
    for path in alone[:2]:  # PNG and PDF; the JSON says which tool drew it
        assert path.read_bytes() == (tmp_path / "figures" / f"good{path.suffix}").read_bytes()
