"""Expressions, cuts and weights: what the text means, and what it refuses."""

from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow import Events
from hepflow.errors import ColumnError, HepflowError, PropertyError
from hepflow.expressions import Cut, Expression, Weight, common_container
from hepflow.properties import Configurable, Property

PT = ak.Array([[20e3, 50e3], [], [10e3]])
EVENTS = {
    "TauJets.pt": PT,
    "TauJets.eta": ak.Array([[-1.4, 0.5], [], [2.0]]),
    "TauJets.nTracks": ak.Array([np.array([1, 3], np.uint8), np.array([], np.uint8), np.array([2], np.uint8)]),
    "TauJets.isTauFlags": ak.Array([[0b101, 0b1], [], [0b100]]),
    "EventInfo.mu": np.array([30.0, 40.0, 50.0]),
    "EventInfo.mcEventWeights": ak.Array([[2.0, 9.0], [3.0], []]),
}


@pytest.fixture
def events():
    return Events.from_arrays(EVENTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TauJets.pt / 1000", [20, 50, 10]),
        ("-TauJets.pt + 2 * TauJets.pt", [20e3, 50e3, 10e3]),
        ("abs(TauJets.eta)", [1.4, 0.5, 2.0]),
        ("log10(max(TauJets.pt, 2e4))", np.log10([2e4, 5e4, 2e4])),
        ("TauJets.pt * EventInfo.mu", [6e5, 15e5, 5e5]),
        ("EventInfo.mu", [30, 40, 50]),
        ("EventInfo.mcEventWeights[0] + 0 * TauJets.pt", [2, 2, np.nan]),
        ("TauJets.nTracks - 3", [-2, 0, -1]),
        ("where(TauJets.nTracks == 1, 1, 3)", [1, 3, 3]),
        ("TauJets.nTracks % 2 + TauJets.nTracks // 2 ** 1", [1, 2, 1]),
        ("TauJets.pt / (TauJets.nTracks - 1)", [np.inf, 25e3, 10e3]),
        ("TauJets.isTauFlags & 4", [4, 0, 4]),
    ],
)
def test_values(events, text, expected):
    np.testing.assert_allclose(Expression(text)(events), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 1, 1]),
        ("TauJets.pt > 15000", [1, 1, 0]),
        ("15000 < TauJets.pt < 30000", [1, 0, 0]),
        ("TauJets.pt > 15000 and not abs(TauJets.eta) < 1", [1, 0, 0]),
        ("TauJets.pt > 15000 && !(TauJets.nTracks != 1)", [1, 0, 0]),
        ("(TauJets.pt > 15000) & ~(TauJets.nTracks == 3)", [1, 0, 0]),
        ("TauJets.pt < 15000 || TauJets.nTracks == 3", [0, 1, 1]),
        ("TauJets.nTracks in (1, 2)", [1, 0, 1]),
        ("TauJets.nTracks not in (1, 2)", [0, 1, 0]),
        ("EventInfo.mu > 35 and TauJets.pt > 0", [0, 0, 1]),
        ("TauJets.isTauFlags & 1", [1, 1, 0]),
        ("TauJets.isTauFlags & 1 == 1 and TauJets.pt > 3e4", [0, 1, 0]),
    ],
)
def test_cuts(events, text, expected):
    np.testing.assert_array_equal(Cut(text)(events, "TauJets"), np.array(expected, bool))


def test_the_label_of_a_combined_cut_stays_with_it():
    low, one = Cut("TauJets.pt > 15000", "pt > 15 GeV"), Cut("TauJets.nTracks == 1", "one prong")
    good = (low & one).labelled("good")
    central = Cut("abs(TauJets.eta) < 1", "central")
    assert (good & central).label == "good, central"
    assert (central & good).label == "central, good"
    assert (central & one & good).label == "central, one prong, pt > 15 GeV", "what is new in it, part by part"
    assert (good & low).label == "good", "nothing new"
    assert (good & Cut()).label == (Cut() & good).label == "good"


def test_cuts_combine(events):
    low, one = Cut("TauJets.pt > 15000", "pt > 15 GeV"), Cut("TauJets.nTracks == 1", "one prong")
    both = low & one
    assert both.label == "pt > 15 GeV, one prong"
    assert both.columns == ("TauJets.pt", "TauJets.nTracks")
    np.testing.assert_array_equal(both(events), [True, False, False])
    np.testing.assert_array_equal((low | ~one)(events), [True, True, True])
    assert Cut() & low == low
    assert low & low == low
    assert Cut() & Cut() == Cut()
    again = pickle.loads(pickle.dumps(both))
    assert again == both
    assert again.parts == (low, one)


def test_weights_multiply(events):
    weight = Weight() * Weight("EventInfo.mu") * Weight("2")
    np.testing.assert_allclose(weight(events, "TauJets"), [60, 60, 100])
    assert Weight().trivial
    assert not weight.trivial
    np.testing.assert_array_equal(Weight()(events, "TauJets"), [1, 1, 1])


def test_what_is_shared_changes_with_selections_and_columns(events):
    cut = Cut("TauJets.pt > 15000")
    assert cut(events) is cut(events)
    events.select("TauJets", cut(events), "pt")
    np.testing.assert_array_equal(cut(events), [True, True])
    events["TauJets"]["pt"] = np.array([1.0, 2.0])
    np.testing.assert_array_equal(cut(events), [False, False])


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=5))
def test_values_of_parent_and_event_are_repeated(tracks):
    """tracks[event][tau] is a number of tracks; every track gets its tau's and its event's number."""
    taus = [list(range(len(event))) for event in tracks]
    # one more event fixes the type
    events = Events.from_arrays(
        {"TauJets.n": ak.Array([*taus, [7]]), "EventInfo.n": np.arange(len(tracks) + 1, dtype=float)}
    )
    counts = [n for event in [*tracks, [1]] for n in event]
    events.add("TauTrack", {"x": np.zeros(sum(counts))}, counts=counts, parent="TauJets")
    wanted = [
        100 * number + tau
        for number, event in enumerate([*tracks, [1]])
        for tau, n in enumerate(event)
        for _ in range(n)
    ]
    if tracks:
        wanted[-1] = 100 * len(tracks) + 7
    np.testing.assert_array_equal(Expression("TauTrack.x + TauJets.n + 100 * EventInfo.n")(events), wanted)


def test_one_container_with_objects_at_most(events):
    events.add("Jets", {"pt": ak.Array([[1.0], [], []])})
    with pytest.raises(ColumnError, match="TauJets and Jets have objects of their own"):
        Expression("TauJets.pt + Jets.pt")(events)
    assert common_container(events, Expression("EventInfo.mu"), Cut("Jets.pt > 1")) == "Jets"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pt > 20", "as in TauJets.pt"),
        ("TauJets.pt >", "no expression"),
        ("sqt(TauJets.pt)", "did you mean 'sqrt'"),
        ("max(TauJets.pt)", "max takes 2 arguments"),
        ("TauJets.pt.x", "nothing that an expression can hold"),
        ("__import__('os').system('ls')", "there is no function"),
        ("TauJets.pt if TauJets.pt else 1", "nothing that an expression can hold"),
        ("TauJets.pt[TauJets.x]", "Container.column[number]"),
        ("TauJets.n in 3", "in (1, 3)"),
        ("TauJets.n in (1, TauJets.m)", "in (1, 3)"),
        ("(1, 2)", "nothing that an expression can hold"),
        ("'text'", "nothing that an expression can hold"),
        ("TauJets.pt << 3", "nothing that an expression can hold"),
    ],
)
def test_text_that_is_no_expression(text, message):
    with pytest.raises(PropertyError) as error:
        Expression(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e: Cut("TauJets.pt > 1e4 & TauJets.eta < 1")(e), "write 'and' between conditions"),
        (lambda e: Cut("TauJets.pt")(e), "is no cut"),
        (lambda e: Expression("EventInfo.mcEventWeights + 1")(e), "is the first of a list"),
        (lambda e: Expression("TauJets.pt[0]")(e), "no elements"),
        (lambda e: Expression("TauJets.x")(e), "TauJets.x"),
    ],
)
def test_what_does_not_fit_the_events(events, make, message):
    with pytest.raises(HepflowError) as error:
        make(events)
    assert message in str(error.value)


def test_a_property_takes_text():
    class Thing(Configurable):
        Selection = Property(Cut(), "what is selected")
        Weight = Property(None, "a weight", type=Weight)

    thing = Thing("thing", Selection="TauJets.pt > 1", Weight="EventInfo.w")
    assert thing.Selection == Cut("TauJets.pt > 1")
    assert Thing.properties()["Weight"].parse("EventInfo.w") == thing.Weight
    with pytest.raises(PropertyError, match=r"as in TauJets\.pt"):
        thing.Selection = "pt > 1"
    with pytest.raises(PropertyError, match="wants Cut"):
        thing.Selection = 3
