"""hepflow inspect."""

from __future__ import annotations

import json

import h5py
import numpy as np
import psutil
import pytest

from hepflow import Folds, TrainingSet
from hepflow.io.hdf5 import DatasetLayout, DatasetWriter
from hepflow.variables import Variable


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
    assert "cannot be read: 2 columns" in out
    assert "EventInfo.hardScatterVertexLink" in out


DATASET = """
from hepflow import Folds, Target, TrainingSet
from hepflow.streams import DatasetStream
from hepflow.variables import Variable
job = Job("train")
inputs = {"TauJets": (Variable("pt_log", "pt", "log10", 1.0),), "TauTrack": (Variable("pt"),)}
folds = Folds(2, (0,), (1,), (), "EventInfo.mcEventNumber")
taus = TrainingSet(inputs=inputs, caps={"TauTrack": 4}, target=Target("TauJets.charge", OPTIONS), folds=folds)
stream = DatasetStream("dataset", TrainingSet=taus)
stream += LinkedObjects("tracks", Columns=["pt"])
job += stream
"""


def test_training_set(hepflow, joboptions, xaod):
    path = joboptions(DATASET.replace("OPTIONS", '{-2: "minus", -1: "minus", 0: "zero", 1: "plus", 2: "plus"}'))
    hepflow("run", path, "-i", xaod.path, "-o", "run").fine()
    out = hepflow("inspect", "run/dataset.h5").fine().out
    taus = xaod.taus()
    assert f"training set: {len(taus):,} taus, " in out
    assert "folds of EventInfo.mcEventNumber % 2" in out
    assert "target: TauJets.charge" in out
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


@pytest.fixture
def small_set(tmp_path):
    """A training set with one sequence and three rows, copied with h5py and so without its checksum: its path."""
    folds = Folds(1, (0,), (), ())
    declared = {"inputs": {"TauTrack": (Variable("pt"),)}, "caps": {"TauTrack": 2}, "target": "TauJets.pt"}
    layout = DatasetLayout(TrainingSet(**declared, folds=folds))
    rows, objects = np.zeros(3, layout.row_type()), {"TauTrack": np.zeros(0, layout.sequence_type("TauTrack"))}
    written, path = tmp_path / "written.h5", tmp_path / "set.h5"
    with DatasetWriter(written, layout, 3) as writer:
        writer.append(rows, objects, np.arange(3))
        writer.finish({"counts": [[3]], "negative": [[0]], "rows_of_folds": [[0, 3]]})
    with h5py.File(written) as one, h5py.File(path, "w") as other:
        for group in one:
            one.copy(group, other)
        other.attrs.update(one.attrs)
    return path


def test_training_set_that_does_not_say_how_it_was_made(hepflow, small_set):
    assert "training set: 3 taus" in hepflow("inspect", "set.h5").fine().out


def without(key):
    return lambda record: json.dumps({name: value for name, value in record.items() if name != key})


def declaring(**changes):
    return lambda record: json.dumps({**record, "training_set": {**record["training_set"], **changes}})


@pytest.mark.parametrize(
    "change",
    [
        *(lambda record, text=text: text for text in ("{}", "[]", "3", "null", '"text"', "{")),
        *(without(key) for key in ("training_set", "columns", "rows", "counts", "negative", "rows_of_folds")),
        declaring(inputs={"TauTrack": [{"nam": "pt"}]}),
        declaring(target=[]),
        declaring(folds=[{"number": 1}]),
        declaring(folds=[Folds(2, (0,), (), ()).record()]),
        declaring(inputs=None),
        lambda record: json.dumps({**record, "counts": [3]}),
    ],
)
def test_training_set_with_an_incomplete_record(hepflow, small_set, change):
    with h5py.File(small_set, "r+") as file:
        file.attrs["hepflow"] = change(json.loads(file.attrs["hepflow"]))
    hepflow("inspect", "set.h5").failed("set.h5 is damaged", "make the training set again")


@pytest.mark.parametrize("group", ["taus", "TauTrack"])
@pytest.mark.parametrize("put", [lambda file, name: None, h5py.Group.create_group, lambda f, n: f.__setitem__(n, [1])])
def test_training_set_without_a_dataset(hepflow, small_set, group, put):
    with h5py.File(small_set, "r+") as file:
        del file[group]
        put(file, group)
    hepflow("inspect", "set.h5").failed(f"set.h5 is damaged: it has no {group}", "make the training set again")


def test_a_model_of_keras(hepflow, tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["keras_version"] = "2.4.0"
    hepflow("inspect", "weights.h5").failed("was not written by a DatasetStream", "hepflow convert")


def test_what_is_no_file(hepflow, tmp_path):
    hepflow("inspect", "nothing.root").failed("does not exist", "nothing.root")
    (tmp_path / "text.root").write_text("just text")
    hepflow("inspect", "text.root").failed("not a ROOT file", "text.root")
    (tmp_path / "text.h5").write_text("just text")
    hepflow("inspect", "text.h5").failed("is no HDF5 file", "text.h5")


def test_a_run_directory_and_a_folder(hepflow, joboptions, xaod, tmp_path):
    path = joboptions(
        'job = Job("Tight")\njob += TauSelection("Cut", PtMin=3e4)\njob += NtupleStream("tree", Keep=["TauJets.pt"])'
    )
    hepflow("run", path, "-i", xaod, "-o", "out").fine()
    shown = hepflow("inspect", "out").fine()
    for text in (
        "run of Tight, finished",
        "command  ",
        "cutflow",
        "pt >= ",
        "tree_000001.root",
        "ntuple-ttree, tree",
        "others",
    ):
        assert text in shown
    record = json.loads((tmp_path / "out/provenance.json").read_text())
    (tmp_path / "out/cutflow.json").unlink()
    (tmp_path / "out/provenance.json").write_text(json.dumps({k: v for k, v in record.items() if k != "asked"}))
    shown = hepflow("inspect", "out").fine()  # of a version that wrote less
    assert "run of Tight" in shown
    assert "without asked, cutflow.json" in shown
    (tmp_path / "out/provenance.json").write_text("{}")
    hepflow("inspect", "out").failed("the record of this run is damaged", "provenance.json")
    (tmp_path / "out/provenance.json").unlink()
    assert "has not finished" in hepflow("inspect", "out").fine()
    folder = hepflow("inspect", xaod.path.parent).fine()
    assert "aod.root" in folder
    assert f"{len(xaod.events)}" in folder
    (tmp_path / "empty").mkdir()
    hepflow("inspect", "empty").failed("there is nothing to inspect in this folder", "it holds no files")


def test_a_sample_and_the_variables_of_a_network(hepflow, tmp_path):
    shown = hepflow("inspect", "Gammatautau").fine()
    assert "20,000 events in 40 files" in shown
    assert "made: 0 files" in shown
    variables = {"inputs": [], "input_sequences": [
        {"name": "TauTrack", "variables": [{"name": "pt_log", "offset": -3.5, "scale": 0.25}]}
    ], "outputs": [{"name": "classes", "labels": ["1p0n", "1p1n"]}]}  # fmt: skip
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    shown = hepflow("inspect", "variables.json").fine()
    for text in ("TauTrack", "pt_log", "-3.5", "0.25", "output classes: 1p0n, 1p1n"):
        assert text in shown
    del variables["input_sequences"][0]["variables"][0]["scale"]
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    hepflow("inspect", "variables.json").failed("these are no variables of a network: KeyError: 'scale'")


def test_patterns_choose_columns(hepflow, xaod):
    out = hepflow("inspect", xaod.path, "TauJets.*eta", "nvtx").fine().out
    assert "eta" in out
    assert "TruthTaus" not in out
    assert " pt " not in out
    hepflow("inspect", xaod.path, "TauJets.ptt").failed("no column has 'TauJets.ptt'", "TauJets.pt")
