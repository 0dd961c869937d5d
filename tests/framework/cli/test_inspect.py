"""hepflow inspect."""

from __future__ import annotations

import numpy as np
import psutil


def rows(out):
    return {line.split()[0]: line.split() for line in out.splitlines() if line.split()}


def test_xaod(hepflow, xaod):
    out = hepflow("inspect", xaod.path).fine().out
    assert "xaod-rntuple, EventData: 60 entries" in out
    found = rows(out)
    assert found["TauJets"][1:3] == ["14", "columns"]
    assert found["tauTrackLinks"][1:4] == ["list", "of", "link"]
    assert found["mcEventNumber"][1:4] == ["uint64", "an", "entry"]


def test_summary_counts_and_ranges(hepflow, xaod):
    line = rows(hepflow("inspect", xaod.path, "--summary").fine().out)["nVtxPU"]
    values = [tau["nVtxPU"] for tau in xaod.taus()]
    assert line[-4:] == [str(len(values)), f"{min(values):.6g}", "…", f"{max(values):.6g}"]


def test_the_file_is_closed(hepflow, xaod_ttree):
    hepflow("inspect", xaod_ttree.path).fine()
    assert str(xaod_ttree.path) not in [file.path for file in psutil.Process().open_files()]


def test_ttree(hepflow, xaod_ttree):
    assert "xaod-ttree, CollectionTree: 60 entries" in hepflow("inspect", xaod_ttree.path, "--summary").fine().out


def test_real_file(hepflow, physlite):
    out = hepflow("inspect", physlite("PHYSLITE_example.root")).fine().out
    assert "CollectionTree: 100 entries" in out
    assert "2 branches cannot be read" in out
    assert "EventInfo.hardScatterVertexLink" in out


DATASET = """
from hepflow.streams import DatasetStream
from hepflow.variables import Variable
job = Job("train")
stream = DatasetStream("dataset", Caps={"TauTrack": 4}, Label="TauJets.charge", FoldNumber=2, **OPTIONS)
stream.Variables = {"TauJets": (Variable("pt_log", "pt", "log10", 1.0),), "TauTrack": (Variable("pt"),)}
stream.FoldColumn = "EventInfo.mcEventNumber"
stream += LinkedObjects("tracks", Columns=["pt"])
job += stream
"""


def test_training_set(hepflow, joboptions, xaod):
    path = joboptions(
        DATASET.replace("OPTIONS", '{"Classes": {-2: "minus", -1: "minus", 0: "zero", 1: "plus", 2: "plus"}}')
    )
    hepflow("run", path, "-i", xaod.path, "-o", "run").fine()
    out = hepflow("inspect", "run/dataset.h5").fine().out
    taus = xaod.taus()
    assert f"training set: {len(taus):,} rows, " in out
    assert "folds of EventInfo.mcEventNumber % 2" in out
    assert "label: TauJets.charge" in out
    found = rows(out)
    odd = [event for event in xaod.events if event["EventInfo"]["mcEventNumber"] % 2]
    charges = np.sign([tau["charge"] for event in odd for tau in event["TauJets"]])
    assert found["1"] == ["1", str(len(charges)), *(str((charges == sign).sum()) for sign in (-1, 0, 1))]
    assert found["TauTrack"][1:4] == [str(len(taus)), "×", "4"]
    assert found["valid"] == ["valid", "bool"]
    assert [line.split() for line in out.splitlines() if line.startswith("  pt")] == [
        ["pt", "float32", "pt_log"],
        ["pt", "float32", "pt"],
    ]


def test_training_set_of_a_regression(hepflow, joboptions, xaod):
    hepflow("run", joboptions(DATASET.replace("OPTIONS", "{}")), "-i", xaod.path, "-o", "run").fine()
    found = rows(hepflow("inspect", "run/dataset.h5").fine().out)
    assert int(found["0"][1]) + int(found["1"][1]) == len(xaod.taus())
    assert found["label"] == ["label", "float32"]


def test_what_is_no_file(hepflow, tmp_path):
    hepflow("inspect", "nothing.root").failed("does not exist", "nothing.root")
    (tmp_path / "text.root").write_text("just text")
    hepflow("inspect", "text.root").failed("not a ROOT file", "text.root")
    (tmp_path / "text.h5").write_text("just text")
    hepflow("inspect", "text.h5").failed("is no HDF5 file", "text.h5")
