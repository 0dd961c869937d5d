"""What the writers refuse, what they cast, and how they fail."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
import textwrap

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.errors import OutputError
from hepflow.events.column import Column
from hepflow.events.layout import pack_links
from hepflow.io.opening import open_reader
from hepflow.io.writers import RNTupleWriter, TTreeWriter

BOTH = pytest.mark.parametrize("writer", [TTreeWriter, RNTupleWriter])
OFFSETS = np.array([0, 1, 3], dtype=np.int64)


def link_array(keys, index, counts=None):
    """Links with keys that stand for nothing, as a reader returns them; in lists where ``counts`` are given."""
    return pack_links([] if counts is None else [counts], -np.asarray(keys), index)


def one(values, offsets=None):
    return {"C.x": Column(offsets, values)}


def test_a_ttree_refuses_what_it_cannot_hold(tmp_path):
    columns = {
        "TauJets.pt": Column(OFFSETS, np.zeros(3)),
        "TauJets.cells": Column(OFFSETS, ak.Array([[1.0], [], [2.0]])),
        "TauJets.truthParticleLink": Column(OFFSETS, link_array([1, 2, 3], [0, 0, 0])),
        "EventInfo.label": Column(None, ak.Array(["a", "b"])),
    }
    with pytest.raises(OutputError, match="TTree cannot hold") as caught:
        TTreeWriter(tmp_path / "n.root", "tree").write(columns)
    for name in ("TauJets.cells", "TauJets.truthParticleLink", "EventInfo.label", "RNTuple"):
        assert name in str(caught.value)
    assert "TauJets.pt" not in str(caught.value)


@BOTH
@pytest.mark.parametrize(
    ("values", "named"),
    [
        (np.array([1, 2], dtype=np.complex64), "complex64"),
        (ak.Array([1.0, None]), "C.x"),
        (ak.Array([{"a": 1}, {"a": 2}]), "record"),
    ],
)
def test_values_that_no_column_holds(tmp_path, writer, values, named):
    with pytest.raises(OutputError, match=named):
        writer(tmp_path / "n.root", "tree").write(one(values))


@BOTH
def test_later_chunks_get_the_types_of_the_first(tmp_path, formats, writer, caplog):
    output = writer(tmp_path / "n.root", "tree")
    output.write({"C.f": Column(None, np.array([0.5], np.float32)), "C.i": Column(None, np.array([1], np.int16))})
    with caplog.at_level(logging.WARNING, logger="hepflow"):
        for value in (0.1, 0.2):
            output.write({"C.f": Column(None, np.array([value])), "C.i": Column(None, np.array([32767], np.int64))})
    output.close()
    assert [record.message for record in caplog.records] == [
        "C.f: float64 values are written as float32, as in the first chunk"
    ]
    reader = open_reader(str(tmp_path / "n.root"), formats)
    found = reader.read(list(reader.schema().columns.values()), 0, 3)
    assert found["C.f"].content.tolist() == np.array([0.5, 0.1, 0.2], np.float32).tolist()
    assert found["C.i"].content.dtype == np.int16
    assert found["C.i"].content.tolist() == [1, 32767, 32767]
    reader.close()


@BOTH
@pytest.mark.parametrize(
    ("first", "later"),
    [
        (one(np.array([1])), one(np.array([1.0]))),
        (one(np.array([1.0])), one(np.array([1]))),
        (one(np.array([True])), one(np.array([1]))),
        (one(np.array([1], np.int16)), one(np.array([32768]))),
        (one(np.array([1], np.uint64)), one(np.array([-1]))),
        (one(np.array([1.0])), one(np.zeros(3), OFFSETS)),
        (one(np.array([1.0])), {"C.x": Column(None, np.zeros(1)), "C.y": Column(None, np.zeros(1))}),
        (one(np.array([1.0])), {"C.y": Column(None, np.zeros(1))}),
    ],
)
def test_chunks_that_do_not_fit_the_first(tmp_path, writer, first, later):
    output = writer(tmp_path / "n.root", "tree")
    output.write(first)
    with pytest.raises(OutputError, match=r"C\.[xy]"):
        output.write(later)
    with pytest.raises(OutputError, match="not whole"):
        output.close()


@BOTH
def test_columns_of_one_container_belong_together(tmp_path, writer):
    columns = {"C.x": Column(OFFSETS, np.zeros(3)), "C.y": Column(np.array([0, 2, 3]), np.zeros(3))}
    with pytest.raises(OutputError, match=r"C\.x and C\.y have different numbers of objects"):
        writer(tmp_path / "n.root", "tree").write(columns)


@BOTH
def test_columns_of_different_length(tmp_path, writer):
    with pytest.raises(OutputError, match="numbers of events"):
        writer(tmp_path / "n.root", "tree").write({"C.x": Column(None, np.zeros(2)), "D.y": Column(None, np.zeros(3))})


@BOTH
def test_lists_without_a_type_get_that_of_later_chunks(tmp_path, formats, writer):
    output = writer(tmp_path / "n.root", "tree")
    for values in ([[], []], [[1.5], []], [[]]):
        output.write({"E.n": Column(None, np.zeros(len(values))), "E.x": Column(None, ak.Array(values))})
    output.close()
    reader = open_reader(str(tmp_path / "n.root"), formats)
    assert reader.read([reader.schema().columns["E.x"]], 0, 5)["E.x"].content.to_list() == [[], [], [1.5], [], []]
    reader.close()


def test_a_column_without_a_value_says_nothing_of_its_type(tmp_path, formats):
    output = RNTupleWriter(tmp_path / "n.root", "tree")
    values = ak.Array([[5], [6, 7]])
    for content in (np.zeros(0, np.int32), values, np.zeros(0, np.int32)):
        output.write({"C.x": Column(np.array([0, len(content)]), content)})
    output.close()
    reader = open_reader(str(tmp_path / "n.root"), formats)
    assert reader.read([reader.schema().columns["C.x"]], 0, 3)["C.x"].content.to_list() == values.to_list()
    reader.close()


@BOTH
def test_lists_that_never_get_a_type(tmp_path, writer):
    output = writer(tmp_path / "n.root", "tree")
    output.write({"E.x": Column(None, ak.Array([[], []]))})
    with pytest.raises(OutputError, match=r"type of E\.x is unknown"):
        output.close()


@BOTH
def test_indexed_and_sliced_awkward_values(tmp_path, formats, writer):
    values = ak.Array([[1.0, 2.0], [3.0], [], [4.0]])
    output = writer(tmp_path / "n.root", "tree")
    output.write({"E.n": Column(None, np.zeros(3)), "E.x": Column(None, values[[3, 0, 2]])})
    output.write({"E.n": Column(None, np.zeros(2)), "E.x": Column(None, values[1:3])})
    output.close()
    reader = open_reader(str(tmp_path / "n.root"), formats)
    assert reader.read([reader.schema().columns["E.x"]], 0, 5)["E.x"].content.to_list() == [
        [4.0],
        [1.0, 2.0],
        [],
        [3.0],
        [],
    ]
    reader.close()


@BOTH
def test_nothing_written_is_an_error(tmp_path, writer):
    with pytest.raises(OutputError, match="no columns"):
        writer(tmp_path / "n.root", "tree").close()


def test_two_columns_with_one_name_in_the_file(tmp_path):
    with pytest.raises(OutputError, match="would both be called"):
        RNTupleWriter(tmp_path / "n.root", "tree", spell=lambda name: "x").write(
            {"C.x": Column(None, np.zeros(1)), "D.x": Column(None, np.zeros(1))}
        )


@BOTH
def test_a_folder_that_is_not_there(tmp_path, writer):
    with pytest.raises(OutputError, match="there is no folder") as caught:
        writer(tmp_path / "missing" / "n.root", "tree")
    assert "missing" in str(caught.value)


def test_unknown_compression(tmp_path):
    with pytest.raises(OutputError, match="did you mean 'ZSTD'"):
        TTreeWriter(tmp_path / "n.root", "tree", compression="ZST")


@BOTH
def test_a_full_disk(tmp_path, writer):
    """A limit on the size of files gives the error of a full disk."""
    path = tmp_path / "n.root"
    script = f"""
        import resource, signal
        import numpy as np
        from hepflow.errors import OutputError
        from hepflow.events.column import Column
        from hepflow.io.writers import {writer.__name__}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        output = {writer.__name__}({str(path)!r}, "tree", compression="none")
        try:
            for _ in range(20):
                output.write({{"C.x": Column(None, np.random.default_rng(1).normal(size=60_000))}})
            output.close()
        except OutputError as error:
            print(error)
        try:
            output.close()
        except OutputError as error:
            print(error.message)
    """
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "writing failed" in done.stdout
    assert str(path) in done.stdout
    assert "MB" in done.stdout
    assert "not whole" in done.stdout


@BOTH
def test_a_counter_is_written_as_the_objects_are(tmp_path, writer, formats):
    columns = {
        "Jet.pt": Column(np.array([0, 2, 2, 3]), np.arange(3, dtype="f4")),
        "tree.nJet": Column(None, np.array([5, 1, 1], dtype="u4")),
        "tree.nTrack": Column(None, np.array([7, 7, 7], dtype="u4")),
    }
    spelled = {"Jet.pt": "Jet_pt", "tree.nJet": "nJet", "tree.nTrack": "nTrack"}
    counters = {"Jet": "tree.nJet", "Track": "tree.nTrack"}
    made = writer(tmp_path / "n.root", "tree", spell=spelled.__getitem__, counters=counters)
    made.write(columns)
    made.close()
    with uproot.open(tmp_path / "n.root") as file:
        assert file["tree"]["nJet"].array().tolist() == [2, 0, 1]
        assert file["tree"]["nTrack"].array().tolist() == [7, 7, 7]
    reader = open_reader(str(tmp_path / "n.root"), formats)
    assert reader.schema().columns["Jet.pt"].counter == "nJet"
    reader.close()


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "u4", "i8", "u8"])
def test_a_counter_keeps_its_type(tmp_path, dtype):
    columns = {
        "Jet.pt": Column(np.array([0, 2, 2, 3]), np.arange(3, dtype="f4")),
        "tree.x": Column(None, np.arange(3, dtype="u2")),
        "tree.nJet": Column(None, np.array([2, 0, 1], dtype=dtype)),
    }
    made = TTreeWriter(tmp_path / "n.root", "tree", counters={"Jet": "tree.nJet"})
    made.write(columns)
    made.close()
    with uproot.open(tmp_path / "n.root") as file:
        tree = file["tree"]
        assert tree["tree.nJet"].array(library="np").dtype == np.dtype(dtype)
        assert tree["tree.nJet"].array().tolist() == [2, 0, 1]
        assert tree["tree.x"].array().tolist() == [0, 1, 2]
        assert tree["Jet.pt"].array().tolist() == [[0, 1], [], [2]]
        assert tree["Jet.pt"].member("fLeaves")[0].member("fLeafCount").member("fMaximum") == 2


def test_counters_do_not_take_the_name_of_a_column(tmp_path):
    writer = TTreeWriter(tmp_path / "n.root", "tree")
    writer.write({"Jet.pt": Column(np.array([0, 2]), np.arange(2, dtype="f4")), "nJet": Column(None, np.array([7.5]))})
    writer.close()
    with uproot.open(tmp_path / "n.root") as file:
        assert file["tree"]["nJet"].array().tolist() == [7.5]
        assert file["tree"]["Jet.pt"].array().tolist() == [[0, 1]]
