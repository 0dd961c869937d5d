"""Fields of an RNTuple that are neither numbers nor vectors, as uproot's own reading has them."""

from __future__ import annotations

from contextlib import closing

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.io.opening import open_reader

ARRAYS = {
    "matrix": ak.from_regular(ak.Array(np.arange(30, dtype="i2").reshape(5, 3, 2)), axis=None),
    "cov": ak.Array(np.arange(15, dtype="f4").reshape(5, 3)),
    "flags": ak.Array(np.arange(10).reshape(5, 2) % 3 == 0),
    "hits": ak.unflatten(ak.Array(np.arange(12.0).reshape(6, 2)), [1, 0, 2, 3, 0]),
    "parts": ak.to_regular(ak.Array([[[1], []], [[], []], [[2, 3], [4]], [[], [5]], [[6], [7, 8]]])),
    "pairs": ak.to_regular(ak.Array([[{"x": i, "y": 0.5}, {"x": -i, "y": 1.5}] for i in range(5)])),
}


@pytest.fixture
def arrays(tmp_path):
    with uproot.recreate(tmp_path / "n.root") as file:
        tree = file.mkrntuple("tree", {name: array[:0] for name, array in ARRAYS.items()})
        tree.extend({name: array[:2] for name, array in ARRAYS.items()})
        tree.extend({name: array[2:] for name, array in ARRAYS.items()})
    return str(tmp_path / "n.root")


def test_arrays_are_lists(arrays, formats):
    depths = {"matrix": 2, "cov": 1, "flags": 1, "hits": 2, "parts": 2}
    with closing(open_reader(arrays, formats)) as reader:
        schema = reader.schema()
        assert not schema.unreadable
        for name, depth in depths.items():
            info = schema.columns[f"tree.{name}"]
            assert (info.depth, info.single) == (depth, True)
            for start, stop in ((0, 5), (1, 4), (3, 5), (2, 2)):
                found = reader.read([info], start, stop)[info.name].content
                assert ak.to_list(found) == ak.to_list(ARRAYS[name][start:stop]), name
        assert schema.columns["tree.cov"].objects == 15
        assert schema.columns["tree.hits"].objects == 6
        for name in ("x", "y"):
            info = schema.columns[f"pairs.{name}"]
            assert (info.depth, info.single) == (1, True)
            found = reader.read([info], 1, 3)[info.name].content
            assert ak.to_list(found) == ak.to_list(ARRAYS["pairs"][name][1:3])
