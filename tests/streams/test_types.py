"""Every type of numbers comes out of every stream as it went in, to the last bit."""

from __future__ import annotations

from contextlib import closing

import awkward as ak
import numpy as np
import pytest

from hepflow.events.column import Column
from hepflow.execution.inputs import formats
from hepflow.io.opening import open_reader
from hepflow.io.writers import RNTupleWriter, TTreeWriter
from hepflow.registry.manager import registry
from hepflow.streams import MxAODStream, NtupleStream

NUMBERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
COUNTS = np.array([2, 0, 1, 3])
OFFSETS = np.array([0, 2, 2, 3, 6])
WRITERS = {"TTree": TTreeWriter, "RNTuple": RNTupleWriter}


def extremes(dtype, number):
    """The largest and smallest values of a type, and what is special about floats."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        some = [True, False, True]
    elif kind.kind in "iu":
        some = [np.iinfo(kind).max, np.iinfo(kind).min, 1]
    else:
        some = [np.nan, -0.0, np.inf, np.finfo(kind).max, np.finfo(kind).tiny / 4]
    return np.resize(np.array(some, dtype=kind), number)


def columns():
    """One value an event, lists of objects, lists of an event: of every type, and counters of every kind of integer."""
    found = {"tree.eventNumber": Column(None, np.arange(4, dtype="u8") + (1 << 63))}
    for dtype in NUMBERS:
        found[f"tree.{dtype}"] = Column(None, extremes(dtype, 4))
        found[f"Obj_{dtype}.x"] = Column(OFFSETS, extremes(dtype, 6))
        found[f"tree.list_{dtype}"] = Column(None, ak.unflatten(extremes(dtype, 6), COUNTS))
        if np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize > 1:
            found[f"tree.nObj_{dtype}"] = Column(None, COUNTS.astype(dtype))
    return found


def content(path):
    """Return name → (dtype, depth, numbers of values, bytes) of what a file holds."""
    with closing(open_reader(str(path), formats(registry()))) as reader:
        infos, entries = reader.schema().columns, reader.schema().entries
        values = reader.read(list(infos.values()), 0, entries)
    found = {}
    for name, info in infos.items():
        offsets, numbers = values[name].offsets, values[name].content
        if isinstance(numbers, ak.Array):
            offsets, numbers = np.cumsum([0, *ak.num(numbers)]), ak.flatten(numbers).to_numpy()
        lists = [] if offsets is None else offsets.tolist()
        assert numbers.dtype == info.dtype, name
        found[name] = (info.dtype, info.depth, lists, numbers.tobytes())
    return found


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    "stream",
    [
        NtupleStream("out", Container="", Keep=["*"]),
        NtupleStream("out", Container="", Keep=["*"], Format="RNTuple"),
        MxAODStream("out", Format="TTree"),
        MxAODStream("out"),
    ],
    ids=["ntuple-ttree", "ntuple-rntuple", "mxaod-ttree", "mxaod-rntuple"],
)
def test_every_type_through_every_stream(tmp_path, go, kind, stream):
    made = columns()
    counters = {name.split(".n")[1]: name for name in made if name.startswith("tree.nObj")}
    writer = WRITERS[kind](
        tmp_path / "in.root", "tree", counters=counters, spell=lambda name: name.removeprefix("tree.")
    )
    writer.write(made)
    writer.close()
    expected = content(tmp_path / "in.root")
    for name, column in made.items():
        values = column.content if isinstance(column.content, np.ndarray) else ak.flatten(column.content).to_numpy()
        assert (expected[name][0], expected[name][3]) == (values.dtype.name, values.tobytes()), name
    (path,) = go(tmp_path / "in.root", stream).outputs["out"]
    found = content(path)
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        assert found[name] == one, name
