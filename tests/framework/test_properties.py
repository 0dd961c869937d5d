"""Properties: types, limits, texts, what is refused; configurables that freeze, copy and travel."""

from __future__ import annotations

import copy
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.errors import PropertyError
from hepflow.properties import Configurable, Property


class Thing(Configurable):
    """Has one property of each type."""

    PtMin = Property(15_000.0, "lowest pt", unit="MeV", minimum=0)
    Count = Property(3, "a number", minimum=1, maximum=10)
    Flag = Property(False, "on or off")
    Name = Property("abc", "a text")
    Mode = Property("tree", "one of three", choices=("tree", "network", "both"))
    Edges = Property((1.0, 2.0), "bin edges", maximum=100)
    Names: Property[tuple[str, ...]] = Property((), "names", item=str)
    Listed = Property([1, 2], "a default given as a list")
    Scales = Property({"a": 1.0}, "numbers by name")
    Model: Property[Path | None] = Property(None, "a path, if set", type=Path)
    Limit: Property[float | None] = Property(None, "a number, if set", type=float)


class Narrow(Thing):
    """Gives a new default and adds one."""

    PtMin = Property(20_000.0, "lowest pt here", minimum=1000)
    Extra = Property(1, "one more")


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "given_", "kept"),
    [
        ("PtMin", 20_000, 20_000.0),
        ("PtMin", np.float32(0.5), 0.5),
        ("PtMin", math.inf, math.inf),
        ("Count", np.int64(4), 4),
        ("Flag", True, True),
        ("Name", "", ""),
        ("Mode", "both", "both"),
        ("Edges", [1, 2, 3], (1.0, 2.0, 3.0)),
        ("Edges", np.array([0.5, 1.5]), (0.5, 1.5)),
        ("Edges", range(2), (0.0, 1.0)),
        ("Edges", (), ()),
        ("Names", ["a"], ("a",)),
        ("Listed", (3,), (3,)),
        ("Scales", {"x": 1}, {"x": 1.0}),
        ("Model", Path("x"), Path("x")),
        ("Model", None, None),
        ("Limit", 3, 3.0),
        ("Limit", None, None),
    ],
)
def test_values_are_kept_in_the_type_of_the_property(name, given_, kept):
    for thing in (Thing("t", **{name: given_}), Thing("t"), Thing("t")):
        if name not in thing.values_set and not thing.setProperty(name, given_):
            pytest.fail("setProperty returns True")
        value = getattr(thing, name)
        assert value == kept
        assert type(value) is type(kept)
    thing = Thing("t")
    setattr(thing, name, given_)
    assert getattr(thing, name) == kept


@pytest.mark.parametrize(
    ("name", "given_", "message"),
    [
        ("PtMin", "20", r"Thing\('t'\)[\s\S]*lowest pt"),
        ("PtMin", "20", r"PtMin wants float, got '20' \(str\)"),
        ("PtMin", True, "wants float"),
        ("PtMin", None, "wants float"),
        ("PtMin", -1, r"PtMin = -1.0 is below its minimum 0 MeV"),
        ("PtMin", math.nan, "minimum"),
        ("Count", 3.0, "wants int"),
        ("Count", True, "wants int"),
        ("Count", 11, "Count = 11 is above its maximum 10"),
        ("Flag", 1, "wants bool"),
        ("Name", b"x", "wants str"),
        ("Mode", "tre", "did you mean 'tree'"),
        ("Edges", "1,2", "wants tuple of float"),
        ("Edges", 1.0, "wants tuple of float"),
        ("Edges", ["a"], "wants tuple of float"),
        ("Edges", [1, 200], "above its maximum"),
        ("Edges", {1.0: 2.0}, "wants tuple"),
        ("Names", [1], "wants tuple of str"),
        ("Scales", {"a": "x"}, "wants dict of float"),
        ("Scales", [1], "wants dict"),
        ("Model", "x", "wants Path or None"),
        ("Limit", "x", "wants float or None"),
    ],
)
def test_values_that_do_not_fit_are_refused_where_they_are_set(name, given_, message):
    thing = Thing("t")
    for way in (
        lambda: Thing("t", **{name: given_}),
        lambda: setattr(thing, name, given_),
        lambda: thing.setProperty(name, given_),
    ):
        with pytest.raises(PropertyError, match=message):
            way()
    assert thing.values_set == {}


def test_unknown_names_are_refused_with_the_nearest():
    for way in (lambda: Thing("t", PtMim=1), lambda: Thing("t").setProperty("PtMim", 1)):
        with pytest.raises(PropertyError, match=r"Thing has no property 'PtMim'[\s\S]*did you mean 'PtMin'"):
            way()
    thing = Thing("t")
    with pytest.raises(PropertyError, match="did you mean 'PtMin'"):
        thing.PtMim = 1
    with pytest.raises(PropertyError, match="did you mean 'PtMin'"):
        thing.PtMim  # noqa: B018
    assert not hasattr(thing, "PtMim")
    assert not hasattr(thing, "_private")


def test_a_dict_that_was_given_or_got_is_not_a_way_past_the_check():
    scales = {"x": 1.0}
    thing = Thing("t", Scales=scales)
    scales["x"] = "text"
    thing.Scales["x"] = "text"
    Thing("u").Scales["a"] = "text"
    assert thing.Scales == {"x": 1.0}
    assert Thing("u").Scales == {"a": 1.0}


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PtMin", " 2e4 ", 20_000.0),
        ("PtMin", "15_000", 15_000.0),
        ("PtMin", "inf", math.inf),
        ("Count", "7", 7),
        ("Flag", "True", True),
        ("Flag", "off", False),
        ("Name", "with space, and comma", "with space, and comma"),
        ("Name", "", ""),
        ("Edges", "1, 2.5,3", (1.0, 2.5, 3.0)),
        ("Edges", "[1, 2.5]", (1.0, 2.5)),
        ("Edges", "", ()),
        ("Names", "a,b", ("a", "b")),
        ("Names", '["a,b", "c"]', ("a,b", "c")),
        ("Scales", '{"x": 2}', {"x": 2.0}),
        ("Model", "none", None),
        ("Limit", "None", None),
        ("Limit", "3", 3.0),
    ],
)
def test_texts_are_read_by_the_type(name, text, value):
    parsed = Thing.properties()[name].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PtMin", "much", "PtMin wants float, got the text 'much'"),
        ("PtMin", "-1", "minimum"),
        ("Count", "3.5", "wants int"),
        ("Count", "1e1", "wants int"),
        ("Flag", "maybe", "wants bool"),
        ("Mode", "tre", "did you mean 'tree'"),
        ("Edges", "1;2", "wants tuple of float"),
        ("Edges", "[1, 2", "wants tuple of float"),
        ("Edges", "[[1]]", "wants tuple of float"),
        ("Scales", "[1]", "wants dict"),
        ("Scales", "x=1", "wants dict"),
        ("Model", "file.json", "wants Path or None"),
    ],
)
def test_texts_that_do_not_fit(name, text, message):
    with pytest.raises(PropertyError, match=message):
        Thing.properties()[name].parse(text)


NUMBERS = st.floats(allow_nan=False)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    NUMBERS, st.integers(), st.booleans(), st.lists(NUMBERS), st.lists(st.text()), st.dictionaries(st.text(), NUMBERS)
)
def test_what_is_written_as_text_reads_back(number, whole, flag, edges, names, scales):
    class Free(Configurable):
        Number = Property(1.0, "")
        Whole = Property(1, "")
        Flag = Property(True, "")
        Edges = Property((1.0,), "")
        Names = Property(("",), "")
        Scales = Property({"": 1.0}, "")

    values = {"Number": number, "Whole": whole, "Flag": flag, "Edges": edges, "Names": names, "Scales": scales}
    thing = Free("f", **values)
    for name in ("Number", "Whole", "Flag"):
        assert Free.properties()[name].parse(str(values[name])) == getattr(thing, name)
    for name in ("Edges", "Names", "Scales"):
        assert Free.properties()[name].parse(json.dumps(values[name])) == getattr(thing, name)
    assert pickle.loads(pickle.dumps(Thing("t", Edges=(1, 2)))).Edges == (1.0, 2.0)


# ── declarations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_declarations_can_be_read_from_the_class():
    assert list(Thing.properties())[:3] == ["PtMin", "Count", "Flag"]
    prop = Thing.PtMin
    assert (prop.name, prop.default, prop.doc, prop.unit, prop.type_name) == (
        "PtMin",
        15_000.0,
        "lowest pt",
        "MeV",
        "float",
    )
    names = {name: prop.type_name for name, prop in Thing.properties().items()}
    assert names["Edges"] == "tuple of float"
    assert names["Names"] == "tuple of str"
    assert names["Scales"] == "dict of float"
    assert names["Model"] == "Path or None"
    assert Thing.Listed.default == (1, 2)


def test_inheritance():
    assert list(Narrow.properties()) == [*Thing.properties(), "Extra"]
    assert (Narrow("n").PtMin, Thing("t").PtMin) == (20_000.0, 15_000.0)
    with pytest.raises(PropertyError, match="minimum 1000"):
        Narrow("n", PtMin=10)
    assert "Extra" not in Thing.properties()


def test_properties_of_a_mixin_count():
    class Mixin:
        Shared = Property(1, "shared")

    class User(Mixin, Configurable):
        Own = Property(2, "own")

    assert User("u", Shared=5).values == {"Shared": 5, "Own": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"default": 1.0, "minimum": 2.0}, "default of Wrong.X: X = 1.0 is below"),
        ({"default": "a", "minimum": 0}, "default of Wrong.X: X has a minimum or maximum, but 'a' is a text"),
        ({"default": "a", "choices": ("b", "c")}, "default of Wrong.X: X does not accept 'a'"),
        ({"default": (1, "a")}, "default of Wrong.X: X wants tuple of int"),
        ({"default": 1, "type": str}, "default of Wrong.X: X wants str"),
    ],
)
def test_the_default_is_checked_when_the_class_is_made(arguments, message):
    prop = Property(arguments.pop("default"), "doc", **arguments)
    with pytest.raises(PropertyError, match=message) as error:
        type("Wrong", (Configurable,), {"X": prop})
    assert error.value.where == f"{__file__}, line {prop._place[1]}"


@pytest.mark.parametrize(
    "members", [{"name": Property("x", "")}, {"values": Property(1, "")}, {"tools": Property(1, "")}]
)
def test_a_property_cannot_hide_what_every_configurable_has(members):
    with pytest.raises(PropertyError, match="is a property and something else"):
        type("Wrong", (Configurable,), members)


def test_a_plain_attribute_cannot_hide_a_property():
    """Otherwise setting the property would have no effect, without a word."""
    with pytest.raises(PropertyError, match=r"Wrong.PtMin is a property and something else[\s\S]*new default"):
        type("Wrong", (Thing,), {"PtMin": 5.0})


# ── configurables ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_names():
    assert Thing("my-Thing_2").name == "my-Thing_2"
    assert Thing().name == "Thing"
    for wrong in ("a b", "1a", "a/b", "a=b"):
        with pytest.raises(PropertyError, match="is no name for a Thing"):
            Thing(wrong)
    with pytest.raises(PropertyError, match="its name, a text"):
        Thing(5)


def test_set_values_and_all_values():
    thing = Thing("t", Count=4)
    assert thing.values_set == {"Count": 4}
    assert thing.values == {**{n: p.default for n, p in Thing.properties().items()}, "Count": 4}
    assert repr(thing) == "Thing('t', Count=4)"
    thing.values_set["Count"] = 99
    assert thing.Count == 4


def test_frozen_properties_are_locked_and_a_copy_is_not():
    thing = Thing("t", Count=4)
    thing.freeze()
    with pytest.raises(PropertyError, match=r"Thing\('t'\).Count cannot be set: the job is frozen"):
        thing.Count = 5
    with pytest.raises(PropertyError, match="frozen"):
        thing.setProperty("Count", 5)
    twin = thing.copy()
    twin.Count = 6
    assert (thing.Count, twin.Count, twin.name, type(twin)) == (4, 6, "t", Thing)


@pytest.mark.parametrize("way", [lambda t: pickle.loads(pickle.dumps(t)), copy.copy, copy.deepcopy, Thing.copy])
def test_travels_as_class_name_and_what_was_set(way):
    thing = Thing("t", Count=4, Scales={"x": 2})
    thing.__dict__["_configurable_phase"] = "initialize"
    thing.handle = lambda: None  # what a worker opens stays there
    twin = way(thing)
    assert (type(twin), twin.name, twin.values_set) == (Thing, "t", {"Count": 4, "Scales": {"x": 2.0}})
    assert not hasattr(twin, "handle")
    twin.Count = 5
    assert thing.Count == 4


def test_pickle_holds_nothing_but_class_name_and_values():
    thing = Thing("t", Count=4)
    assert thing.__reduce__()[1] == (Thing, "t", {"Count": 4})
