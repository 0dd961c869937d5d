"""Decorations that some events lack: an empty list in the file, missing in the event store, an empty list again."""

from __future__ import annotations

from contextlib import closing

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.errors import ColumnError, OutputError
from hepflow.events import Events, Scope
from hepflow.events.column import Column
from hepflow.expressions import Cut, Expression
from hepflow.io.alignment import with_shapes
from hepflow.io.opening import open_reader
from hepflow.io.rntuple import RNTupleReader
from hepflow.io.ttree import TTreeReader
from hepflow.io.writers import RNTupleWriter
from hepflow.protocols import ColumnInfo

FORMATS = (TTreeReader, RNTupleReader)
NULL = {"m_persKey": 0, "m_persIndex": 0}
TRACK = {"m_persKey": 215277022, "m_persIndex": 0}


def typed(values, dtype):
    return ak.values_astype(ak.Array(values), dtype)


WHOLE = {
    "TauJets.pt": typed([[1.0], [2.0, 3.0], []], np.float32),
    "TauTracks.pt": typed([[5.0], [6.0], []], np.float32),
}
RARE = {
    "TauJets.x": typed([[7.0], [], []], np.float32),
    "TauJets.n": typed([[], [4, 5], []], np.int16),
    "TauJets.flag": typed([[True], [], []], np.bool_),
    "TauJets.number": typed([[2**53 + 1], [], []], np.uint64),
}
DEEP = {
    "TauJets.cells": typed([[[1.0, 2.0]], [], []], np.float32),
    "TauJets.label": ak.Array([["a"], [], []]),
    "TauJets.link": typed([[TRACK], [], []], np.uint32),
    "TauJets.links": typed([[], [[TRACK], []], []], np.uint32),
}


@pytest.fixture(params=["RNTuple", "TTree"])
def path(request, tmp_path):
    """A file in which some columns of the taus are empty in some events; a TTree has the numbers only."""
    path = tmp_path / "in.root"
    with uproot.recreate(path) as file:
        if request.param == "RNTuple":
            fields = {f"{n.replace('.', 'AuxDyn:')}": v for n, v in {**WHOLE, **RARE, **DEEP}.items()}
            file.mkrntuple("EventData", ak.zip(fields, depth_limit=1))
        else:
            branches = {n.replace(".", "AuxDyn."): v for n, v in {**WHOLE, **RARE}.items()}
            file.mktree("CollectionTree", {n: v.type.content for n, v in branches.items()}).extend(branches)
    return path


def read(path, *names):
    with closing(open_reader(str(path), FORMATS)) as reader:
        schema = reader.schema()
        names = names or tuple(name for name, info in schema.columns.items() if info.depth)  # no counters
        return reader.read([schema.columns[name] for name in names], 0, schema.entries)


def events_of(columns):
    return Events(Scope.from_columns(columns, len(next(iter(columns.values())))))


def test_missing_values_are_marked(path):
    columns = read(path)
    assert columns["TauJets.pt"].missing is None
    for name, column in columns.items():
        assert column.offsets.tolist() == ([0, 1, 3, 3] if name.startswith("TauJets") else [0, 1, 2, 2])
    assert columns["TauJets.x"].missing.tolist() == [False, True, True]
    assert np.array_equal(columns["TauJets.x"].content, np.array([7, np.nan, np.nan], np.float32), equal_nan=True)
    assert columns["TauJets.n"].missing.tolist() == [True, False, False]
    assert (columns["TauJets.n"].content.tolist(), columns["TauJets.n"].content.dtype) == ([0, 4, 5], np.int16)
    assert columns["TauJets.flag"].content.tolist() == [True, False, False]
    for name in {"TauJets.cells", "TauJets.label", "TauJets.link"} & columns.keys():
        assert columns[name].missing.tolist() == [False, True, True]


def test_lists_texts_and_links_that_are_missing_are_empty(path):
    columns = read(path)
    if "TauJets.cells" not in columns:
        pytest.skip("a TTree from uproot holds numbers only")
    assert columns["TauJets.cells"].content.to_list() == [[1.0, 2.0], [], []]
    assert columns["TauJets.label"].content.to_list() == ["a", "", ""]
    taus = events_of(columns)["TauJets"]
    assert taus.follow("link", "TauTracks").pt.to_list() == [[[5.0]], [[], []], []]
    assert taus.follow("links", "TauTracks").pt.to_list() == [[[]], [[6.0], []], []]


@pytest.mark.parametrize("name", ["TauJets.x", "TauJets.n", "TauJets.flag"])
def test_a_rare_column_alone_does_not_change_the_number_of_objects(path, name):
    columns = read(path, name)
    assert list(columns) == [name]
    assert columns[name].offsets.tolist() == [0, 1, 3, 3]
    assert columns[name].missing.tolist() == read(path)[name].missing.tolist()


def test_the_schema_knows_what_is_rare(path):
    with closing(open_reader(str(path), FORMATS)) as reader:
        columns = reader.schema().columns
    assert columns["TauJets.pt"].shape == ""
    assert [columns[f"TauJets.{name}"].objects for name in ("pt", "x", "n", "flag")] == [3, 1, 2, 1]
    assert {columns[name].shape for name in columns.keys() & {*RARE, *DEEP}} == {columns["TauJets.pt"].sources[0]}


@pytest.mark.parametrize(("counted", "shape"), [(True, ""), (False, "C:x")])
def test_what_one_leaf_counts_lacks_nothing(counted, shape):
    """In an RNTuple the lists are counted themselves."""
    infos = [ColumnInfo(f"C.{n}", (f"C:{n}",), "float32", 1, counter="nC", objects=o) for n, o in (("x", 3), ("y", 1))]
    columns = with_shapes({info.name: info for info in infos}, counted=counted)
    assert [info.shape for info in columns.values()] == ["", shape]


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_the_schema_counts_the_objects_of_atlas_files(kind, request):
    reader = request.getfixturevalue(f"physlite_{kind}")
    schema = reader.schema()
    known = [info for info in schema.columns.values() if info.objects >= 0 and not info.single][::20]
    assert len(known) > 20
    for info in known:
        assert reader.read([info], 0, schema.entries)[info.name].offsets[-1] == info.objects, info.name


def test_what_a_tool_sees(path):
    events = events_of(read(path))
    taus = events["TauJets"]
    assert np.array_equal(taus.flat("n"), [np.nan, 4, 5], equal_nan=True)
    assert np.array_equal(taus.flat("flag"), [1, np.nan, np.nan], equal_nan=True)
    values, missing = taus.stored("number")
    assert (values.tolist(), missing.tolist()) == ([2**53 + 1, 0, 0], [False, True, True])
    with pytest.raises(ColumnError, match="2⁵³"):
        taus.flat("number")
    events.select("TauJets", taus.pt < 2, "pt")
    assert (taus.stored("number")[0].tolist(), taus.stored("number")[1].tolist()) == ([2**53 + 1], [False])


def test_the_type_does_not_depend_on_the_events(path):
    """A tool gets floats in the first chunk, if the input lacks a value anywhere."""
    with closing(open_reader(str(path), FORMATS)) as reader:
        info = reader.schema().columns["TauJets.n"]
        for start in range(3):
            values = events_of(reader.read([info], start, start + 1))["TauJets"].flat("n")
            assert values.dtype == np.float64


def test_expressions_and_cuts(path):
    events = events_of(read(path))
    for text in ("TauJets.n > 3", "TauJets.n <= 3"):
        passed = Cut(text)(events)
        assert passed.tolist() == ([False, True, True] if ">" in text else [False, False, False])
    assert Cut("TauJets.number == 9007199254740993")(events).tolist() == [True, False, False]
    assert Expression("isfinite(TauJets.x)")(events).tolist() == [True, False, False]


def test_chunks_of_a_block_know_what_is_missing_in_them(path):
    column = read(path)["TauJets.x"]
    assert column[0:1].missing.tolist() == [False]
    assert column[1:3].missing.tolist() == [True, True]


def test_a_copy_has_the_empty_lists_of_the_original(path, tmp_path):
    writer = RNTupleWriter(tmp_path / "out.root", "EventData", spell=lambda name: name.replace(".", "AuxDyn:"))
    columns = read(path)
    for start in range(3):
        writer.write({name: column[start : start + 1] for name, column in columns.items()})
    writer.close()
    tree = uproot.open(tmp_path / "out.root")["EventData"]
    for name, values in {**WHOLE, **RARE, **DEEP}.items():
        if name in columns:
            assert tree[name.replace(".", "AuxDyn:")].array().to_list() == values.to_list()


def test_an_event_with_some_values_takes_floats_only(tmp_path):
    offsets, missing = np.array([0, 2]), np.array([False, True])

    def write(values):
        writer = RNTupleWriter(tmp_path / "out.root", "EventData", spell=str)
        writer.write({"TauJets.x": Column(offsets, values, missing)})
        writer.close()
        return uproot.open(tmp_path / "out.root")["EventData"]["TauJets:x"].array()[0].to_list()

    assert np.array_equal(write(np.array([1.0, np.nan])), [1.0, np.nan], equal_nan=True)
    with pytest.raises(OutputError, match="missing for some objects of an event, and int32 cannot say so"):
        write(np.array([1, 0], np.int32))


def test_other_numbers_of_objects_are_an_error(tmp_path):
    path = tmp_path / "in.root"
    fields = {"TauJetsAuxDyn:pt": typed([[1.0, 2.0]], np.float32), "TauJetsAuxDyn:x": typed([[1.0]], np.float32)}
    with uproot.recreate(path) as file:
        file.mkrntuple("EventData", ak.zip(fields, depth_limit=1))
    with pytest.raises(ColumnError, match=r"TauJets\.pt and TauJets\.x have different numbers of objects"):
        read(path)
    assert [read(path, name)[name].offsets.tolist() for name in ("TauJets.pt", "TauJets.x")] == [[0, 2], [0, 1]]
