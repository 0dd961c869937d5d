"""Folds and roles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.errors import JobOptionsError
from hepflow.plugins.training import Folds, kfold


def test_reference_roles():
    numbers = np.arange(10, dtype=np.uint64)
    assert Folds().fold(numbers).tolist() == [0, 1, 2, 3, 4] * 2
    assert Folds().has_role(numbers, "train").tolist() == [False, False, True, True, True] * 2
    assert Folds().has_role(numbers, "validation").tolist() == [True, False, False, False, False] * 2
    assert Folds().has_role(numbers, "test").tolist() == [False, True, False, False, False] * 2


@given(st.integers(3, 12))
def test_kfold_tests_every_tau_once_with_a_network_that_has_not_seen_it(number):
    networks = kfold(number)
    assert [folds.test for folds in networks] == [(k,) for k in range(number)]
    for k, folds in enumerate(networks):
        assert folds.validation == ((k + 1) % number,)
        assert sorted([*folds.train, *folds.validation, *folds.test]) == list(range(number))


def test_record_goes_there_and_back():
    folds = Folds(4, (0, 1), (2,), (3,), "Event.number")
    assert folds.record()["rule"] == "Event.number % 4"
    assert Folds.from_record(folds.record()) == folds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train": (0, 2)}, "fold 0 has two roles"),
        ({"test": ()}, "test has no fold"),
        ({"test": (5,)}, "fold 5 has two roles or does not exist"),
    ],
)
def test_impossible_roles(arguments, words):
    with pytest.raises(JobOptionsError, match=words):
        Folds(**arguments)


def test_unknown_role_and_too_few_folds():
    with pytest.raises(JobOptionsError, match="did you mean 'train'"):
        Folds().of("training")
    with pytest.raises(JobOptionsError, match="too few"):
        kfold(2)
