"""hepflow plan, and run --dry-run."""

from __future__ import annotations

import json
import re

import awkward as ak
import numpy as np
import pytest
import uproot

from tests.conftest import read_all

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
    assert sorted(path for path in tmp_path.rglob("*") if tmp_path / "cache" not in (path, *path.parents)) == before
    assert "TauSelection('sel', PtMin=20000.0)" in out
    assert "columns read (4" in out
    assert "TauJets.{pt, eta, tauTrackLinks}" in out
    assert "writes 3 columns: TauJets.{pt, eta}  TauTrack.*" in out
    assert "0–30" in out
    assert "0–10" in out
    assert "40 events in 2 work units of 2 files" in out


def test_jobs_of_a_batch_system_are_shown_where_it_is_not(hepflow, joboptions, xaods):
    out = hepflow("run", joboptions(JOB), "-i", xaods[0], "--executor", "htcondor", "--dry-run").fine().out
    assert "3 jobs of htcondor, 1 work unit each" in out
    assert "queue units from" in out


def test_skipped_files_and_notes_are_listed(hepflow, joboptions, make_xaod, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    make_xaod(folder / "a.root", 5)
    make_xaod(folder / "b.root", 5, spell="Analysis{}AuxDyn")
    make_xaod(folder / "c.root", 5, drop=["TauTracks"])
    (folder / "d.root.md5").write_text("text")
    out = hepflow("plan", joboptions(JOB), "-i", folder).fine().out
    assert f"skipped  {folder}/c.root: holds no TauTracks" in out
    assert f"skipped  {folder}/d.root.md5: this input is not a ROOT file" in out
    assert "note     TauJets.pt is spelled TauJetsAuxDyn:pt in" in out


def test_forecast_of_a_few_units(hepflow, joboptions, xaods):
    out = hepflow("plan", joboptions(JOB), "-i", xaods[0], "--try", 2).fine().out
    assert "forecast, from 2 work units:" in out
    assert re.search(r"time +[\d.]+ s of one worker", out)
    assert re.search(r"memory +[\d.]+ [MG]B a worker", out)
    assert re.search(r"output +tree: [\d.]+ kB", out)
    assert re.search(r"batch +1 job of 3 work units, [\d.]+ s each", out)


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


@pytest.fixture
def systematics(tmp_path):
    """A file with the trees nominal and up/nominal of 3 and 5 entries, in a folder with one that has only nominal."""
    for name, trees in (("a", {"nominal": 3, "up/nominal": 5}), ("b", {"nominal": 2})):
        (tmp_path / "in").mkdir(exist_ok=True)
        with uproot.recreate(tmp_path / "in" / f"{name}.root") as file:
            for tree, entries in trees.items():
                file.mktree(tree, {"pt": "f4"}).extend({"pt": np.full(entries, entries, dtype="f4")})
    return tmp_path / "in"


COPY = 'job = Job("j")\njob += NtupleStream("out", Container="", Keep=["*"])\n'


def test_several_trees_without_a_choice_are_an_error_also_in_a_folder(hepflow, joboptions, systematics):
    for pattern in ("in", "in/a.root", "in/*.root"):
        failed = hepflow("plan", joboptions(COPY), "-i", pattern)
        failed.failed("2 trees", "nominal (3 entries), up/nominal (5 entries)", "in/a.root:nominal", "--tree")


@pytest.mark.parametrize(
    ("arguments", "entries", "files"),
    [
        (["-i", "in/a.root:up/nominal"], 5, 1),
        (["-i", "in:nominal"], 5, 2),
        (["-i", "in/*.root", "--tree", "nominal"], 5, 2),
        (["-i", "in/a.root:nominal", "-i", "in/a.root:up/nominal"], 8, 2),
        (["-i", "in:up/nominal"], 5, 1),
    ],
)
def test_a_tree_is_chosen(hepflow, joboptions, systematics, arguments, entries, files):
    out = hepflow("plan", joboptions(COPY), *arguments).fine().out
    assert f"{entries} events in {files} work unit" in out
    assert ("skipped  in/b.root: there is no tree 'up/nominal'" in out) == (arguments[-1] == "in:up/nominal")


def test_the_tree_is_part_of_a_run(hepflow, joboptions, systematics, tmp_path):
    path = joboptions(COPY)
    hepflow("run", path, "-i", "in/a.root:nominal", "-o", "out", "-j", 2).fine()
    assert json.loads((tmp_path / "out/provenance.json").read_text())["inputs"][0]["tree"] == "nominal"
    hepflow("run", path, "-i", "in/a.root:up/nominal", "-o", "out", "--resume").fine()  # it is another input
    assert read_all(*(tmp_path / "out").glob("*.root"))["pt"].tolist() == [5] * 5


CUT = 'from hepflow.plugins.common import Filter\njob = Job("j")\njob += Filter("s", Cut="tree.pt > 1")\n'


def test_rows_are_called_alike_whatever_each_file_calls_its_tree(hepflow, joboptions, tmp_path):
    for number, name in enumerate(("HH", "ttbar")):
        for path, tree in ((f"{name}.root", f"in/{name}"), (f"same_{name}.root", "in/tree")):
            with uproot.recreate(tmp_path / path) as file:
                made = file.mktree(tree, {"pt": "f4", "x": "var * float32"})
                made.extend({"pt": np.arange(4, dtype="f4") + number, "x": ak.Array([[1.0], [], [2.0, 3.0], [4.0]])})
    given = ["-i", "HH=HH.root", "-i", "tt=ttbar.root"]
    copy = joboptions(COPY, "copy.py")
    hepflow("plan", joboptions(COPY.replace("*", "HH.pt"), "one.py"), *given).failed(
        "HH.pt is missing in 1 of 2 files", "there as ttbar.pt: --tree =HH calls the rows HH in all"
    )
    hepflow("plan", joboptions(CUT, "cut.py"), *given).failed(
        "no container 'tree'", "it is there as HH.pt, ttbar.pt: --tree =tree calls the rows tree in all files"
    )
    hepflow("run", copy, "-i", "HH=same_HH.root", "-i", "tt=same_ttbar.root", "-o", "same").fine()
    hepflow("run", copy, *given, "--tree", "=tree", "-o", "all").fine()
    hepflow("run", copy, "-i", "HH=HH.root:in/HH=tree", "-i", "tt=ttbar.root:=tree", "-o", "each").fine()
    for number in (1, 2):
        want = read_all(tmp_path / f"same/out_00000{number}.root")
        for folder in ("all", "each"):
            found = read_all(tmp_path / f"{folder}/out_00000{number}.root")
            assert {name: values.tolist() for name, values in found.items()} == {n: v.tolist() for n, v in want.items()}
    told = json.loads((tmp_path / "all/provenance.json").read_text())["inputs"]
    assert [one["tree"] for one in told] == ["in/HH=tree", "in/ttbar=tree"]
    assert "tree.pt" in hepflow("plot", "pt", *given, "--tree", "=tree", "-o", "plot").fine().out
    hepflow("plan", copy, "-i", "HH.root:in/HH=a", "-i", "HH.root:in/HH=b").failed("given twice")


def test_inspect_shows_every_tree_or_the_chosen(hepflow, systematics):
    out = hepflow("inspect", "in/a.root").fine().out
    assert "nominal: 3 entries" in out
    assert "up/nominal: 5 entries" in out
    for arguments in (["in/a.root:up/nominal"], ["in/a.root", "--tree", "up/nominal"]):
        out = hepflow("inspect", *arguments).fine().out
        assert "up/nominal: 5 entries" in out
        assert "3 entries" not in out


def test_an_input_without_entries_gives_empty_outputs(hepflow, joboptions, tmp_path):
    with uproot.recreate(tmp_path / "zero.root") as file:
        file.mktree("tree", {"pt": "f4", "z": "var * int32"})
    path = joboptions(COPY)
    for command in (["plan", path], ["run", path, "-o", "out"], ["plot", "tree.pt", "-o", "plot"]):
        assert "the input has no entries: outputs are empty" in hepflow(*command, "-i", "zero.root").fine().out
    found = read_all(tmp_path / "out/out_000001.root")
    assert {name: str(array.type) for name, array in found.items() if name != "nz"} == {
        "pt": "0 * float32",
        "z": "0 * var * int32",
    }


def test_an_input_without_entries_beside_others_is_told_and_recorded(hepflow, joboptions, tmp_path):
    with uproot.recreate(tmp_path / "zero.root") as file:
        file.mktree("tree", {"pt": "f4"})
    with uproot.recreate(tmp_path / "full.root") as file:
        file.mktree("tree", {"pt": "f4"}).extend({"pt": [1.0, 2.0]})
    path = joboptions(COPY)
    for command in (["plan", path], ["run", path, "-o", "out"]):
        assert "without entries: zero.root" in hepflow(*command, "-i", "zero.root", "-i", "full.root").fine().out
    assert read_all(tmp_path / "out/out_000001.root")["pt"].tolist() == [1, 2]
    record = (tmp_path / "out/provenance.json").read_text()
    assert "zero.root" in record
    assert "full.root" in record
