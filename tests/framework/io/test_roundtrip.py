"""What the writers write, the readers read: values, types and lists, whatever the chunks were."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepflow.events.column import Column
from hepflow.events.layout import pack_links
from hepflow.io import buffers
from hepflow.io.opening import open_reader
from hepflow.io.pages import Pages
from hepflow.io.spelling import xaod_spelling
from hepflow.io.writers import RNTupleWriter, TTreeWriter

NUMBERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]


def link_array(keys, index, counts=None):
    """Links with keys that stand for nothing, as a reader returns them; in lists where ``counts`` are given."""
    return pack_links([] if counts is None else [counts], -np.asarray(keys), index)


def offsets_of(counts):
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def flat_columns(events, seed=1):
    """Numbers of every type, one an entry and in lists of one container."""
    rng = np.random.default_rng(seed)
    offsets = offsets_of(rng.poisson(2.0, events))
    columns = {}
    for dtype in NUMBERS:
        columns[f"TauJets.{dtype}"] = Column(None, rng.integers(0, 100, events).astype(dtype))
        columns[f"TauTrack.{dtype}"] = Column(offsets, rng.integers(0, 100, offsets[-1]).astype(dtype))
    return columns


def deep_columns(events, seed=2):
    """What only an RNTuple holds: lists of lists, links, strings."""
    rng = np.random.default_rng(seed)
    offsets = offsets_of(rng.poisson(1.5, events))
    taus = int(offsets[-1])
    inner = rng.poisson(1.5, taus)
    total = int(inner.sum())
    weights = ak.unflatten(rng.normal(size=2 * events).astype(np.float32), np.full(events, 2))
    names = ak.Array([f"event {number} µ" * (number % 3) for number in range(events)])
    return {
        "EventInfo.mcEventNumber": Column(None, np.arange(events, dtype=np.uint64)),
        "EventInfo.mcEventWeights": Column(None, weights),
        "EventInfo.label": Column(None, names if events else ak.Array(["x"])[:0]),
        "TauJets.cells": Column(offsets, ak.unflatten(rng.normal(size=total), inner)),
        "TauJets.tauTrackLinks": Column(
            offsets, link_array(rng.integers(0, 9, total), rng.integers(0, 9, total), inner)
        ),
        "TauJets.truthParticleLink": Column(offsets, link_array(rng.integers(0, 9, taus), rng.integers(0, 9, taus))),
        "TauJets.pt": Column(offsets, rng.normal(size=taus).astype(np.float32)),
    }


def write(writer, columns, chunk):
    events = len(next(iter(columns.values())))
    writer.write({name: column[:0] for name, column in columns.items()})
    for first in range(0, events, chunk):
        writer.write({name: column[first : first + chunk] for name, column in columns.items()})
    writer.close()


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        assert (found[name].offsets is None) == (column.offsets is None), name
        if column.offsets is not None:
            assert np.array_equal(found[name].offsets, column.offsets), name
            assert found[name].offsets.dtype == np.int64
        if isinstance(column.content, np.ndarray):
            assert found[name].content.dtype == column.content.dtype, name
            assert np.array_equal(found[name].content, column.content), name
        else:
            assert found[name].content.type == column.content.type, name
            assert found[name].content.to_list() == column.content.to_list(), name


@pytest.mark.parametrize("compression", ["LZ4", "ZSTD", "ZLIB", "none"])
@pytest.mark.parametrize(("writer", "kind"), [(TTreeWriter, "ntuple-ttree"), (RNTupleWriter, "ntuple-rntuple")])
def test_ntuple(tmp_path, formats, writer, kind, compression):
    path, columns = tmp_path / "n.root", flat_columns(250)
    write(writer(path, "tree", compression=compression), columns, 60)
    reader = open_reader(str(path), formats)
    schema = reader.schema()
    assert (reader.format, schema.entries, set(schema.columns)) == (kind, 250, set(columns))
    for name, info in schema.columns.items():
        assert (info.dtype, info.depth) == (name.partition(".")[2], 1 if name.startswith("TauTrack") else 0)
    same(reader.read(list(schema.columns.values()), 0, 250), columns)
    some = [schema.columns["TauTrack.float32"], schema.columns["TauJets.bool"]]
    same(reader.read(some, 33, 180), {info.name: columns[info.name][33:180] for info in some})
    reader.close()


def test_branches_of_the_ntuple(tmp_path):
    columns = {name: column for name, column in flat_columns(20).items() if name.endswith(("float32", "int32"))}
    write(TTreeWriter(tmp_path / "n.root", "tree"), columns, 20)
    with uproot.open(tmp_path / "n.root") as file:
        tree = file["tree"]
        assert set(tree.keys()) == {*columns, "nTauTrack"}
        assert tree["TauTrack.float32"].member("fLeaves")[0].member("fLeafCount").member("fName") == "nTauTrack"
        assert tree["nTauTrack"].array().to_list() == np.diff(columns["TauTrack.float32"].offsets).tolist()


@pytest.mark.parametrize("chunk", [7, 100])
def test_mxaod_rntuple(tmp_path, formats, chunk):
    path, columns = tmp_path / "m.root", deep_columns(100)
    writer = RNTupleWriter(path, "EventData", spell=xaod_spelling({}, ":"), metadata={"provenance": {"job": "x"}})
    write(writer, columns, chunk)
    reader = open_reader(str(path), formats)
    schema = reader.schema()
    assert reader.format == "xaod-rntuple"
    assert schema.metadata["provenance"] == {"job": "x"}
    assert "TEvent" in schema.metadata["note"]
    assert schema.columns["TauJets.tauTrackLinks"].sources == ("TauJetsAuxDyn:tauTrackLinks",)
    assert [
        schema.columns[f"TauJets.{name}"].depth for name in ("pt", "truthParticleLink", "tauTrackLinks", "cells")
    ] == [1, 1, 2, 2]
    same(reader.read(list(schema.columns.values()), 0, 100), columns)
    same(reader.read(list(schema.columns.values()), 41, 83), {name: column[41:83] for name, column in columns.items()})
    with uproot.open(path) as file:
        names = file["EventData"].keys(recursive=False)
        assert {name for name in names if "." not in name} >= {xaod_spelling({}, ":")(name) for name in columns}
    reader.close()


def test_mxaod_ttree(tmp_path, formats):
    columns = {
        "TauJets.pt": Column(offsets_of([1, 0, 2]), np.array([1, 2, 3], dtype=np.float32)),
        "TauJets.NNDecayMode": Column(offsets_of([1, 0, 2]), np.array([1, 2, 3], dtype=np.int32)),
        "EventInfo.mcEventNumber": Column(None, np.array([5, 6, 7], dtype=np.uint64)),
        "EventInfo.mcEventWeights": Column(None, ak.Array([[1.0, 2.0], [], [3.0]])),
    }
    write(TTreeWriter(tmp_path / "m.root", "CollectionTree", spell=xaod_spelling({}, ".")), columns, 2)
    reader = open_reader(str(tmp_path / "m.root"), formats)
    assert reader.format == "xaod-ttree"
    assert reader.schema().columns["TauJets.pt"].sources == ("TauJetsAuxDyn.pt",)
    same(reader.read(list(reader.schema().columns.values()), 0, 3), columns)
    reader.close()


@pytest.mark.parametrize(("writer", "tree"), [(TTreeWriter, "tree"), (RNTupleWriter, "EventData")])
def test_no_events(tmp_path, formats, writer, tree):
    path = tmp_path / "empty.root"
    columns = {
        name: column[:0] for name, column in (flat_columns(5) if writer is TTreeWriter else deep_columns(5)).items()
    }
    write(writer(path, tree), columns, 10)
    reader = open_reader(str(path), formats)
    schema = reader.schema()
    assert (schema.entries, schema.boundaries, set(schema.columns)) == (0, (0,), set(columns))
    found = reader.read(list(schema.columns.values()), 0, 0)
    for name, column in found.items():
        assert len(column) == 0
        assert ak.Array(column.content).type == ak.Array(columns[name].content).type
    reader.close()


@pytest.mark.parametrize("writer", [TTreeWriter, RNTupleWriter])
def test_baskets_do_not_depend_on_chunks(tmp_path, formats, writer, monkeypatch):
    monkeypatch.setattr(buffers, "ENTRIES", 40)
    monkeypatch.setattr(buffers, "COLUMN_BYTES", 300)
    columns, found = flat_columns(300), []
    for chunk in (1, 7, 40, 300):
        write(writer(tmp_path / f"{chunk}.root", "tree"), columns, chunk)
        reader = open_reader(str(tmp_path / f"{chunk}.root"), formats)
        schema = reader.schema()
        found.append(schema.boundaries)
        same(reader.read(list(schema.columns.values()), 0, 300), columns)
        for start, stop in zip(schema.boundaries, schema.boundaries[1:], strict=False):
            same(
                reader.read(list(schema.columns.values()), start, stop),
                {n: column[start:stop] for n, column in columns.items()},
            )
        reader.close()
    assert len(set(found)) == 1
    steps = np.diff(found[0])
    assert steps.max() <= 40
    assert steps[:-1].min() < 40  # the limit of bytes was met somewhere


def test_a_single_large_event_is_a_piece_of_its_own(tmp_path, formats, monkeypatch):
    monkeypatch.setattr(buffers, "COLUMN_BYTES", 100)
    columns = {"C.x": Column(offsets_of([1, 200, 1]), np.arange(202.0))}
    write(TTreeWriter(tmp_path / "n.root", "tree"), columns, 3)
    reader = open_reader(str(tmp_path / "n.root"), formats)
    assert reader.schema().boundaries == (0, 1, 2, 3)
    same(reader.read(list(reader.schema().columns.values()), 0, 3), columns)
    reader.close()


def test_boundaries_are_common_to_the_columns_asked(tmp_path, formats):
    """Branches whose baskets end at different entries: only the common ends are places to cut."""
    with uproot.recreate(tmp_path / "n.root") as file:
        tree = file.mktree("tree", {"a.x": "f4", "b.x": "f4"})
        for size in (10, 20, 5):
            tree.extend({"a.x": np.zeros(size, "f4"), "b.x": np.zeros(size, "f4")})
    reader = open_reader(str(tmp_path / "n.root"), formats)
    schema = reader.schema()
    assert schema.boundaries == (0, 10, 30, 35)
    assert tuple(reader.boundaries([schema.columns["a.x"]])) == (0, 10, 30, 35)
    branch = reader._tree["b.x"]
    branch.members["fBasketEntry"] = np.where(branch.members["fBasketEntry"] == 10, 12, branch.members["fBasketEntry"])
    assert tuple(reader.boundaries([schema.columns["a.x"]])) == (0, 10, 30, 35)
    assert tuple(reader.boundaries(list(schema.columns.values()))) == (0, 30, 35)
    reader.close()


def test_a_cluster_is_read_once(tmp_path, formats, monkeypatch):
    """Reading up to the edge of a cluster does not touch the next one."""
    monkeypatch.setattr(buffers, "ENTRIES", 10)
    write(RNTupleWriter(tmp_path / "n.root", "tree"), deep_columns(30), 30)
    reader = open_reader(str(tmp_path / "n.root"), formats)
    columns, touched = list(reader.schema().columns.values()), []
    fill = Pages._fill

    def spy(self, target, column, found):
        touched.extend((page.offset, column) for page in found)
        fill(self, target, column, found)

    monkeypatch.setattr(Pages, "_fill", spy)
    for start in (0, 10, 20):
        reader.read(columns, start, start + 10)
    assert len(touched) == len(set(touched))
    clusters = reader._opened.clusters
    stored = [{page.offset for pages in cluster.columns for page in pages} for cluster in clusters]
    assert len(stored) == 3
    assert set.union(*stored) == {offset for offset, _ in touched}
    reader.close()


counts = st.lists(st.integers(0, 4), min_size=0, max_size=12)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=counts,
    chunk=st.integers(1, 12),
    cut=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    piece=st.integers(1, 9),
)
@pytest.mark.parametrize("writer", [TTreeWriter, RNTupleWriter])
def test_any_lists_any_chunks_any_range(tmp_path, formats, writer, counts, chunk, cut, piece):
    offsets = offsets_of(counts)
    columns = {
        "C.x": Column(offsets, np.arange(offsets[-1], dtype=np.float32)),
        "E.n": Column(None, np.arange(len(counts), dtype=np.int64)),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffers, "ENTRIES", piece)
        write(writer(tmp_path / "h.root", "tree"), columns, chunk)
    reader = open_reader(str(tmp_path / "h.root"), formats)
    start, stop = sorted(min(edge, len(counts)) for edge in cut)
    found = reader.read(list(reader.schema().columns.values()), start, stop)
    same(found, {name: column[start:stop] for name, column in columns.items()})
    reader.close()
