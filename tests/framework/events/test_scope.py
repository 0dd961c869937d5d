"""Scopes: what is read when, what children share, positions among visible objects."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow.errors import ColumnError
from hepflow.events import Column, Scope
from hepflow.events.scope import Group, counts_of, flat_take, offsets_from

OFFSETS = np.array([0, 3, 3, 5], dtype=np.int64)


@pytest.fixture
def scope():
    columns = {"C.x": Column(OFFSETS, np.arange(5)), "E.n": Column(None, np.arange(3))}
    return Scope.from_columns(columns, 3, seed=9, label="")


def test_offsets_and_counts():
    assert offsets_from(np.array([3, 0, 2])).tolist() == [0, 3, 3, 5]
    assert offsets_from(np.array([], dtype=bool)).tolist() == [0]
    assert counts_of(OFFSETS).tolist() == [3, 0, 2]
    assert flat_take("all", None) == "all"


def test_nothing_hidden_costs_nothing(scope):
    assert scope.index("C") is None
    assert scope.mask("C") is None
    assert scope.event_index() is None
    assert scope.offsets("C") is OFFSETS
    assert scope.column("C.x").content is scope.find("C.x").content


def test_hiding_narrows_only(scope):
    scope.hide("C", np.array([True, False, True, True, False]))
    assert scope.index("C").tolist() == [0, 2, 3]
    scope.hide("C", np.array([False, True, True]))
    assert scope.index("C").tolist() == [2, 3]
    assert scope.offsets("C").tolist() == [0, 1, 1, 2]
    scope.hide_events(np.array([False, True, True]))
    assert scope.index("C").tolist() == [3]
    assert scope.offsets("C").tolist() == [0, 0, 1]
    assert scope.index("E").tolist() == [1, 2]
    scope.hide_events(np.array([True, False]))
    assert scope.visible_events() == 1
    assert scope.index("C").tolist() == []
    assert scope.full_length("C") == 5


def test_positions_among_visible_objects(scope):
    assert scope.local_index("C").tolist() == [0, 1, 2, 0, 1]
    scope.hide("C", np.array([True, False, True, False, True]))
    assert scope.local_index("C").tolist() == [0, -1, 1, -1, 0]
    assert scope.event_of("C").tolist() == [0, 0, 0, 2, 2]
    for name in ("E", "Sub"):
        if name == "Sub":
            scope.define("Sub", Group(np.arange(6), "C"))
            assert scope.event_of("Sub").tolist() == [0, 0, 0, 2, 2]
        assert not scope.linkable(name)
        with pytest.raises(ColumnError, match="links cannot point into it"):
            scope.local_index(name)


def test_sub_containers_follow_their_parent(scope):
    scope.define("Sub", Group(np.array([0, 2, 2, 3, 3, 4]), "C"))
    scope.hide("C", np.array([True, False, True, False, True]))
    assert scope.index("Sub").tolist() == [0, 1, 2, 3]
    scope.hide("Sub", np.array([False, True, True, True]))
    assert scope.offsets("Sub").tolist() == [0, 1, 2, 3]
    scope.hide_events(np.array([False, False, True]))
    assert scope.index("Sub").tolist() == [3]
    assert scope.offsets("Sub").tolist() == [0, 1]


def test_children_read_through_and_keep_their_own(scope):
    scope.put("C.job", Column(OFFSETS, np.ones(5)))
    scope.hide("C", np.array([True, True, False, True, True]))
    first, second = scope.child("a"), scope.child("b")
    first.hide("C", np.array([False, True, True, True]))
    first.put("C.x", Column(OFFSETS, np.zeros(5)))
    first.define("New", Group(None))
    assert first.index("C").tolist() == [1, 3, 4]
    assert second.index("C").tolist() == scope.index("C").tolist() == [0, 1, 3, 4]
    assert second.column("C.x").content.tolist() == [0, 1, 2, 3, 4]
    assert first.column("C.job").content.tolist() == [1.0] * 5
    assert (first.knows("New"), second.knows("New"), scope.knows("New")) == (True, False, False)
    assert (first.seed, first.label) == (9, "a")
    grandchild = first.child("c")
    assert grandchild.column("C.x").content.tolist() == [0.0] * 5
    assert grandchild.own_columns("C") == ["C.job", "C.x"]
    assert second.own_columns("C") == ["C.job"]


def test_cutflow_is_shared_and_adds_up(scope):
    child = scope.child("stream")
    scope.count("Cut", "C", "x > 1", 5, 3)
    child.count("Cut", "C", "x > 1", 3, 1)
    assert scope.cutflow == {("", "Cut", "C", "x > 1"): [5, 3, 0], ("stream", "Cut", "C", "x > 1"): [3, 1, 0]}
    assert child.cutflow is scope.cutflow
    following = Scope.from_columns({}, 3)
    following.cutflow = scope.cutflow
    following.count("Cut", "C", "x > 1", 4, 4)
    assert scope.cutflow["", "Cut", "C", "x > 1"] == [9, 7, 0]


def test_unknown_names(scope):
    with pytest.raises(ColumnError, match=r"no column 'C\.y'"):
        scope.column("C.y")
    with pytest.raises(ColumnError, match="known containers: C, E"):
        scope.group("Zzzz")
    with pytest.raises(ColumnError, match="container 'C' already"):
        scope.define("C", Group(None))
    assert scope.known() == ["C", "E"]
    assert scope.find("C.y") is None
