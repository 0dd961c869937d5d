"""Errors: what they say, that they travel between processes, and the nearest match."""

from __future__ import annotations

import pickle

import pytest

from hepflow import errors
from hepflow.errors import ColumnError, HepflowError, PropertyError, differences, nearest

CLASSES = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_carry_what_where_and_hint_between_processes(cls):
    error = pickle.loads(pickle.dumps(cls("no pt", where="tool A", hint="add it", about="pt")))
    assert type(error) is cls
    assert issubclass(cls, HepflowError)
    assert (error.message, error.where, error.hint, error.about) == ("no pt", "tool A", "add it", "pt")
    assert str(error) == "no pt\n  where: tool A\n  hint:  add it"


def test_the_same_error_with_another_place_or_hint():
    error = ColumnError("no pt", where="tool A", hint="add it", about="pt")
    assert (type(error.but(where="B")), str(error.but(where="B"))) == (
        ColumnError,
        "no pt\n  where: B\n  hint:  add it",
    )
    assert (error.but(hint="").hint, error.but(hint="").where, error.but().about) == ("", "tool A", "pt")


def test_text_has_only_the_lines_that_say_something():
    assert str(ColumnError("no 'pt'")) == "no 'pt'"  # a KeyError alone would show the repr
    assert str(HepflowError("a", hint="b")) == "a\n  hint:  b"


def test_errors_are_what_callers_of_dicts_and_attributes_expect():
    assert issubclass(ColumnError, KeyError)
    assert issubclass(PropertyError, AttributeError)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PtMinn", "did you mean 'PtMin'?"),
        ("ptmin", "did you mean 'PtMin'?"),
        ("PTMIN", "did you mean 'PtMin'?"),
        ("PtM", "did you mean 'PtMin' or 'PtMax'?"),
        ("zzz", "known properties: AbsEtaMax, PtMax, PtMin"),
    ],
)
def test_nearest(name, hint):
    assert nearest(name, ["PtMin", "PtMax", "AbsEtaMax", "PtMin"], what="properties") == hint


def test_nearest_of_nothing_and_of_many():
    assert nearest("x", [], what="tools") == "there are no tools to choose from"
    assert nearest("x", {}) == "there are no names to choose from"
    many = [f"name{i:02}" for i in range(40)]
    assert nearest("zzzzz", many) == "known names: " + ", ".join(many[:12]) + ", … (40 in all)"


def test_nearest_tells_names_apart_that_differ_in_case():
    assert nearest("TauJets", ["taujets", "TauJets"]).count("TauJets") == 1


def test_differences_are_leaves():
    old, new = {"t": {"X": 1, "L": [1, {"y": 2}]}, "gone": 1}, {"t": {"X": 1, "L": [1, {"y": 3}], "new": "n"}}
    assert differences(old, new) == ["t.L[1].y: 2 → 3", "t.new: absent → 'n'", "gone: 1 → absent"]
    assert differences([1], [1, 2], "a") == ["a: [1] → [1, 2]"]
    assert differences(old, old) == []


def test_differences_of_long_values_show_the_part_that_differs():
    (line,) = differences({"names": [f"name {i}" for i in range(50)]}, {"names": [f"name {i}" for i in range(51)]})
    assert "'name 49'] → …" in line
    assert line.endswith("'name 49', 'name 50']")
    (line,) = differences("x" * 300 + "a" + "y" * 300, "x" * 300 + "b" + "y" * 300, "t")
    assert len(line) < 160
    assert "xxay" in line
    assert "xxby" in line
