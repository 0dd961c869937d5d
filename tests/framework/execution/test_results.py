"""Adding up what tools accumulate."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.errors import ToolError
from hepflow.execution.results import add

Pair = namedtuple("Pair", "left right")


@dataclass
class Counts:
    passed: int
    sums: np.ndarray


@dataclass
class Own:
    value: int

    def __add__(self, other):
        return Own(max(self.value, other.value))


def test_numbers_arrays_and_containers():
    left = {"n": 1, "h": np.array([1.0, 2.0]), "nested": [1, {"x": 2.5}]}
    right = {"n": 4, "h": np.array([10.0, 20.0]), "nested": [2, {"x": 0.5, "y": 7}]}
    total = add(left, right)
    assert total["n"] == 5
    assert total["h"].tolist() == [11.0, 22.0]
    assert total["nested"] == [3, {"x": 3.0, "y": 7}]


def test_none_adds_nothing():
    assert add(None, 3) == 3
    assert add(3, None) == 3
    assert add(None, None) is None


def test_dataclasses_field_by_field_and_own_addition_wins():
    total = add(Counts(1, np.ones(2)), Counts(2, np.ones(2)))
    assert total.passed == 3
    assert total.sums.tolist() == [2.0, 2.0]
    assert add(Own(3), Own(2)) == Own(3)


def test_tuples_keep_their_class():
    assert add((1, 2), (3, 4)) == (4, 6)
    total = add(Pair(1, 2), Pair(3, 4))
    assert total == Pair(4, 6)
    assert type(total) is Pair


def test_equal_texts_stay():
    assert add("GeV", "GeV") == "GeV"


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        ([1], [1, 2], "different length cannot be added: 1 and 2"),
        ("MeV", "GeV", "cannot be added"),
        ({"a": [1, "x"]}, {"a": [1, 2]}, "str and int"),
        (np.zeros(2), np.zeros(3), "cannot be added"),
        (object(), object(), "object"),
    ],
)
def test_what_cannot_be_added_is_named(left, right, text):
    with pytest.raises(ToolError, match=text) as caught:
        add(left, right, "tool T")
    assert caught.value.where.startswith("tool T")
    assert caught.value.hint


def test_place_inside_a_result_is_named():
    with pytest.raises(ToolError) as caught:
        add({"a": [1, "x"]}, {"a": [1, 2]}, "tool T")
    assert caught.value.where == "tool T['a'][1]"


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), min_size=1))
def test_sum_of_dicts_is_the_sum_of_each_key(results):
    total = results[0]
    for result in results[1:]:
        total = add(total, result)
    assert total == {k: sum(r.get(k, 0) for r in results) for k in {k for r in results for k in r}}
