"""Conversions between awkward arrays and flat content."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.errors import ColumnError
from hepflow.events.layout import (
    content_of,
    flatten,
    has_links,
    has_lists,
    jagged,
    normal_layout,
    pack_links,
    plain,
    scatter,
    unpack_links,
)

OFFSETS = np.array([0, 2, 2, 3], dtype=np.int64)


def test_jagged_does_not_copy():
    values = np.array([1.0, 2.0, 3.0])
    lists = jagged(values, OFFSETS)
    assert lists.to_list() == [[1.0, 2.0], [], [3.0]]
    values[0] = 9
    assert lists[0, 0] == 9
    assert jagged(values, OFFSETS, np.array([0, 1, 3])).to_list() == [[[9.0, 2.0]], [[], [3.0]]]


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.float32, np.float64])
def test_numbers_stay_numpy_and_keep_their_type(dtype):
    values = np.array([0, 1], dtype=dtype)
    assert plain(values) is values
    found = plain(ak.Array(values))
    assert isinstance(found, np.ndarray)
    assert found.dtype == dtype
    assert plain(jagged(values, np.array([0, 2]))).layout.content.data.dtype == dtype


def test_normal_layout_undoes_what_awkward_keeps_for_later():
    records = ak.zip({"a": [[1, 2], [], [3]], "b": [[1.5, 2.5], [], [3.5]]})[[2, 0]]
    assert ak.Array(normal_layout(records.layout)).to_list() == records.to_list()
    assert content_of(normal_layout(ak.from_numpy(np.ones((2, 3))).layout)).to_list() == [[1.0] * 3] * 2
    named = ak.with_name(ak.Array([{"x": 1}]), "Point2D")
    assert normal_layout(named.layout).parameters == {}
    with pytest.raises(TypeError, match="missing"):
        normal_layout(ak.Array([1, None]).layout)
    with pytest.raises(TypeError, match="union"):
        normal_layout(ak.Array([1, "a"]).layout)


def test_flatten_takes_all_lists_inner_lists_or_none():
    outer, inner = np.array([0, 1, 3]), OFFSETS
    for values in (
        ak.Array([[[1, 2]], [[], [3]]]),
        ak.Array([[1, 2], [], [3]]),
        ak.Array([1, 2, 3]),
        np.array([1, 2, 3]),
        [1, 2, 3],
    ):
        assert flatten(values, [outer, inner], "C.x").tolist() == [1, 2, 3]
    with pytest.raises(ColumnError, match=r"C\.x gets values of another structure"):
        flatten(ak.Array([[1], [2, 3]]), [outer, inner], "C.x")
    assert flatten(ak.Array([1, 2]), [], "E.x").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "hidden"),
    [
        (np.array([1.5, 2.5]), 0.0),
        (np.array([True, True]), False),
        (ak.Array([[1], [2, 3]]), []),
        (ak.Array([[["a"]], []]), []),
        (ak.Array(["a", "bc"]), ""),
        (pack_links([], [5, 6], [1, 2]), {"container": 0, "index": 0}),
        (pack_links([np.array([0, 2])], [5, 6], [1, 2]), []),
    ],
)
def test_scatter_fills_the_visible(content, hidden):
    values = content.tolist()
    assert scatter(content, np.array([1, 3]), 5).tolist() == [hidden, values[0], hidden, values[1], hidden]
    assert scatter(content, None, 2) is content
    empty = scatter(content[:0], np.array([], dtype=np.int64), 2)
    assert empty.tolist() == [hidden, hidden]
    assert scatter(content[:0], np.array([], dtype=np.int64), 0).tolist() == []


def test_scatter_keeps_strings_strings_where_none_is_visible():
    empty = scatter(plain(ak.Array(["a"])[:0]), np.array([], dtype=np.int64), 0)
    assert empty.layout.parameter("__array__") == "string"


@pytest.mark.parametrize("counts", [[], [[2, 0, 1]], [[1, 1], [2, 1]]])
def test_links_pack_and_unpack(counts):
    counts = [np.array(c) for c in counts]
    links = pack_links(counts, [7, 8, 9], [1, 2, 3])
    assert has_links(links)
    lists, keys, index = unpack_links(links)
    assert [c.tolist() for c in lists] == [c.tolist() for c in counts]
    assert (keys.tolist(), index.tolist()) == ([7, 8, 9], [1, 2, 3])
    assert ak.flatten(links, axis=None).to_list() == [7, 8, 9, 1, 2, 3]
    assert (keys.dtype, index.dtype) == (np.int64, np.int64)


def test_unpack_links_of_a_part():
    links = pack_links([np.array([2, 0, 1])], [7, 8, 9], [1, 2, 3])
    lists, keys, _ = unpack_links(links[1:])
    assert ([c.tolist() for c in lists], keys.tolist()) == ([[0, 1]], [9])
    with pytest.raises(ColumnError, match="no element links"):
        unpack_links(np.zeros(3))


def test_what_lists_and_links_are():
    assert has_lists(ak.Array([[1]]))
    assert not has_lists(ak.Array(["text"]))
    assert not has_lists(np.zeros(2))
    assert not has_links(ak.Array([{"a": 1}]))
