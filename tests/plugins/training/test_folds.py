"""Folds and roles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.errors import JobOptionsError, NetworkError
from hepflow.folds import Folds, kfold, kfold_roles, one_rule


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


def records(*networks):
    return [f"{k}.json" for k in range(len(networks))], [{"folds": folds.record()} for folds in networks]


def test_a_kfold_set_is_known_from_the_records_in_any_order():
    networks = kfold(4)[::-1]
    assert kfold_roles(*records(*networks)) == networks


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        (kfold(4)[:3], "fold 3 is the test fold of no"),
        ((*kfold(4), kfold(4)[1]), "fold 1 is the test fold of several"),
        ((*kfold(4)[:3], kfold(5)[3]), "the folds of 3.json are TauJets.mcEventNumber % 5"),
        ((*kfold(4)[:3], kfold(4, "Event.number")[3]), "the folds of 3.json are Event.number % 4"),
    ],
)
def test_networks_that_are_no_kfold_set(networks, words):
    with pytest.raises(NetworkError, match=words):
        kfold_roles(*records(*networks))


def test_a_network_that_says_nothing_of_its_folds():
    with pytest.raises(NetworkError, match="does not say which folds") as caught:
        kfold_roles(["0.json", "1.json"], [{"folds": kfold(3)[0].record()}, {}])
    assert caught.value.where == "1.json"


def test_a_fold_that_no_network_or_several_are_tested_on():
    records = [{"folds": one.record()} for one in kfold(3)]
    with pytest.raises(NetworkError, match="fold 2 is the test fold of none of the networks"):
        kfold_roles(["0.json", "1.json"], records[:2])
    with pytest.raises(NetworkError, match="fold 0 is the test fold of several of the networks"):
        kfold_roles(["0.json", "1.json", "2.json", "0.json"], [*records, records[0]])


def test_the_networks_of_a_job_have_one_rule():
    assert one_rule("n", kfold(3)) == kfold(3)[0]
    for networks, words in (((), "n.Folds is empty"), ((Folds(), *kfold(3)), "n.Folds has several rules")):
        with pytest.raises(JobOptionsError, match=words):
            one_rule("n", networks)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train": (0, 2)}, "fold 0 has two roles"),
        ({"train": ()}, "train has no fold"),
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
