"""The in-memory column: lengths and slices without copies."""

from __future__ import annotations

from itertools import pairwise

import awkward as ak
import numpy as np
import pytest

from hepflow.events import Column

OFFSETS = np.array([0, 2, 2, 5, 6], dtype=np.int64)


def test_length_is_the_number_of_events():
    assert len(Column(OFFSETS, np.arange(6))) == 4
    assert len(Column(None, np.arange(6))) == 6
    assert len(Column(np.zeros(1, dtype=np.int64), np.zeros(0))) == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, 2), (3, 4), (0, 9), (None, None), (-1, None)])
def test_slices_are_events_and_start_at_zero(start, stop):
    lists = [[0, 1], [], [2, 3, 4], [5]]
    column = Column(OFFSETS, np.arange(6))[start:stop]
    edges = column.offsets
    assert edges[0] == 0
    assert [column.content[a:b].tolist() for a, b in pairwise(edges)] == lists[start:stop]
    assert Column(None, np.arange(4))[start:stop].content.tolist() == list(range(4))[start:stop]


def test_slices_do_not_copy_values():
    content = np.arange(6)
    part = Column(OFFSETS, content)[2:4]
    content[2] = 99
    assert part.content[0] == 99


def test_a_slice_of_nothing_is_empty():
    part = Column(OFFSETS, np.arange(6))[4:4]
    assert len(part) == 0
    assert len(part.content) == 0


def test_content_may_be_lists():
    part = Column(OFFSETS, ak.Array([[1], [], [2, 3], [4], [], [5]]))[2:3]
    assert part.content.to_list() == [[2, 3], [4], []]
