"""Containers and linked objects as tools use them; what fits a column and what does not."""

from __future__ import annotations

import math
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from hepflow.errors import ColumnError
from hepflow.events import Column, Events
from hepflow.events.links import container_id

PT = [[30.0, 20.0], [], [40.0]]


def test_attributes_are_columns_unless_they_are_methods(events):
    taus = events["TauJets"]
    assert taus.pt.to_list() == taus["pt"].to_list() == PT
    assert callable(taus.flat)
    assert not hasattr(taus, "_nothing")
    with pytest.raises(ColumnError, match=r"TauJets\.nothing"):
        taus.nothing  # noqa: B018


def test_flat_and_unflatten_are_inverse(events):
    taus = events["TauJets"]
    assert taus.flat("pt").tolist() == [30.0, 20.0, 40.0]
    assert taus.unflatten(taus.flat("pt")).to_list() == PT
    assert taus.flatten(taus.pt).tolist() == [30.0, 20.0, 40.0]
    assert taus.counts.tolist() == [2, 0, 1]
    assert len(taus) == 3
    assert events["EventInfo"].counts.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 2, 3], dtype=np.int16), [[1, 2], [], [3]]),
        (ak.Array([1, 2, 3]), [[1, 2], [], [3]]),
        (ak.Array([[1, 2], [], [3]]), [[1, 2], [], [3]]),
        ([[1, 2], [], [3]], [[1, 2], [], [3]]),
        ([1, 2, 3], [[1, 2], [], [3]]),
        (7, [[7, 7], [], [7]]),
        (np.float32(0.5), [[0.5, 0.5], [], [0.5]]),
        (True, [[True, True], [], [True]]),
        ("text", [["text", "text"], [], ["text"]]),
        (np.array(["a", "b", "c"]), [["a", "b"], [], ["c"]]),
        (np.array(["a", "b", "c"], dtype=object), [["a", "b"], [], ["c"]]),
        (np.array([[1, 2], [3, 4], [5, 6]]), [[[1, 2], [3, 4]], [], [[5, 6]]]),
        (ak.Array([[1], [], [2, 3]]), [[[1], []], [], [[2, 3]]]),
        (ak.Array([[[1], []], [], [[2, 3]]]), [[[1], []], [], [[2, 3]]]),
        (ak.Array([[9, 9], [1, 2], [], [3]])[1:], [[1, 2], [], [3]]),
        (ak.Array([[3], [], [1, 2]])[[2, 1, 0]], [[1, 2], [], [3]]),
        (ak.mask(ak.Array([1, 2, 3]), [True, True, True]), [[1, 2], [], [3]]),
        (ak.fill_none(ak.Array([[1, None], [], [3]]), 0), [[1, 0], [], [3]]),
        (np.ma.masked_array([1, 2, 3], mask=[False, False, False]), [[1, 2], [], [3]]),
    ],
)
def test_values_that_fit(events, values, expected):
    events["TauJets"]["new"] = values
    assert events["TauJets"]["new"].to_list() == expected
    events.select("TauJets", events["TauJets"].pt > 25, "pt")
    assert events["TauJets"]["new"].to_list() == [expected[0][:1], [], expected[2]]
    hidden = Events.from_arrays({"TauJets.pt": ak.Array([[1.0, *PT[0]], [2.0], PT[2]])})
    hidden.select("TauJets", hidden["TauJets"].pt > 5, "pt")
    hidden["TauJets"]["new"] = values
    assert hidden["TauJets"]["new"].to_list() == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(2), "gets 2 values for 3 objects"),
        (ak.Array([[1, 2], [3]]), "another structure"),
        (ak.Array([[1, 2], [3], [], []]), "another structure"),
        (ak.Array([[1, None], [], [3]]), "fill_none"),
        (ak.Array([1, None, 3]), "fill_none"),
        (ak.Array([[1], [None], []]), "fill_none"),
        (np.ma.masked_array([1, 2, 3], mask=[False, True, False]), "fill_none"),
        (ak.Array([1, "a", 2]), "cannot hold values of type union"),
    ],
)
def test_values_that_do_not_fit(events, values, message):
    with pytest.raises(ColumnError, match=message):
        events["TauJets"]["new"] = values
    assert "new" not in events["TauJets"]


def test_values_of_an_event_container(events):
    info = events["EventInfo"]
    info["weight"] = np.array([1.0, 2.0, 3.0])
    info["one"] = 1
    info["lists"] = ak.Array([[1], [], [2, 3]])
    events.select_events(np.array([False, True, True]), "cut")
    assert info["weight"].tolist() == [2.0, 3.0]
    assert info["one"].tolist() == [1, 1]
    assert info["lists"].to_list() == [[], [2, 3]]
    info["late"] = np.array([5, 6])
    assert info["late"].tolist() == [5, 6]
    with pytest.raises(ColumnError, match="3 values for 2 objects"):
        info["late"] = np.zeros(3)


def test_decoration_replaces_and_keeps_its_type(events):
    taus = events["TauJets"]
    taus["pt"] = taus.pt / 2
    assert taus.pt.to_list() == [[15.0, 10.0], [], [20.0]]
    events.select("TauJets", taus.pt > 12, "pt")
    taus["mode"] = np.array([1, 2], dtype=np.int8)
    assert taus.flat("mode").dtype == np.int8
    assert taus["mode"].to_list() == [[1], [], [2]]


def test_four_momenta():
    events = Events.from_arrays(
        {
            f"TauJets.{name}": ak.Array([[value], []])
            for name, value in {"pt": 3.0, "eta": 0.0, "phi": 0.0, "m": 4.0}.items()
        }
    )
    p4 = events["TauJets"].p4()
    assert ak.to_list(p4.E) == [[5.0], []]
    assert ak.to_list((p4 + p4).mass) == [[8.0], []]
    with pytest.raises(ColumnError, match="ptIntermediateAxis"):
        events["TauJets"].p4("IntermediateAxis")


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_follow_gives_lists_in_the_order_of_the_links(events):
    tracks = events["TauJets"].follow("tauTrackLinks")
    assert tracks.pt.to_list() == [[[6.0], [5.0, 7.0, 7.0]], [], [[10.0]]]
    assert tracks.flat("pt").tolist() == [6.0, 5.0, 7.0, 7.0, 10.0]
    assert tracks.counts.tolist() == [1, 3, 1]
    assert tracks.owners.tolist() == [0, 1, 1, 1, 2]
    assert len(tracks) == 5
    assert tracks.unflatten(tracks.owners).to_list() == [[[0], [1, 1, 1]], [], [[2]]]


def test_linked_views(events):
    tracks = events["TauJets"].follow("tauTrackLinks")
    assert tracks.sort(tracks.flat("pt")).pt.to_list() == [[[6.0], [7.0, 7.0, 5.0]], [], [[10.0]]]
    assert tracks.sort(tracks.pt, descending=False).first(2).pt.to_list() == [[[6.0], [5.0, 7.0]], [], [[10.0]]]
    assert tracks.where(tracks.pt > 6.5).pt.to_list() == [[[], [7.0, 7.0]], [], [[10.0]]]
    assert tracks.where(tracks.flat("bits")).one("pt", -1.0).tolist() == [-1.0, 5.0, 10.0]
    assert tracks.sort(tracks.flat("bits")).pt.to_list() == [[[6.0], [5.0, 7.0, 7.0]], [], [[10.0]]]
    assert tracks.first(0).counts.tolist() == [0, 0, 0]


def test_sort_puts_nan_last_and_keeps_extreme_integers(events):
    tracks = events["TauJets"].follow("tauTrackLinks")
    values = np.array([0.0, 1.0, np.nan, 2.0, 0.0])  # of tracks with pt 6 | 5, 7, 7 | 10
    assert tracks.sort(values).pt.to_list()[0][1] == [7.0, 5.0, 7.0]
    assert tracks.sort(values, descending=False).pt.to_list()[0][1] == [5.0, 7.0, 7.0]
    smallest = np.array([0, 5, np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0])
    assert tracks.sort(smallest).pt.to_list()[0][1] == [7.0, 5.0, 7.0]
    unsigned = np.array([0, 2, 2**64 - 1, 0, 0], dtype=np.uint64)
    assert tracks.sort(unsigned).pt.to_list()[0][1] == [7.0, 5.0, 7.0]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(4, dtype=bool), "4 values for 5 linked objects"),
        (np.array([0, 1, 1, 1, 0]), "no mask of TauTracks"),
        (ak.Array([[True], [], [False]]), "another structure"),
    ],
)
def test_masks_of_linked_objects_that_do_not_fit(events, mask, message):
    with pytest.raises(ColumnError, match=message):
        events["TauJets"].follow("tauTrackLinks").where(mask)


@pytest.mark.parametrize(
    ("kind", "missing", "expected"),
    [
        (np.float32, np.nan, np.float32),
        (np.float32, -1111.0, np.float32),
        (np.int32, -1, np.int32),
        (np.uint8, -1, np.int16),
        (np.int32, np.nan, np.float64),
    ],
)
def test_one_has_room_for_missing(events, kind, missing, expected):
    events["TauTracks"]["x"] = np.arange(6).astype(kind)
    events.select("TauTracks", events["TauTracks"].flat("pt") != 6.0, "not the second")
    found = events["TauJets"].follow("tauTrackLinks").one("x", missing)
    assert found.dtype == expected
    assert np.array_equal(found, np.array([missing, 0, 5], dtype=expected), equal_nan=True)


def test_one_is_missing_where_the_value_is(events):
    missing = np.array([False, True, False, False, False, False])
    column = events._scope.column("TauTracks.pt")
    events._scope.put("TauTracks.n", Column(column.offsets, np.arange(6), missing))
    tracks = events["TauJets"].follow("tauTrackLinks")
    assert tracks.one("n", -1).tolist() == [-1, 0, 5]
    assert np.array_equal(tracks.flat("n"), [np.nan, 0, 2, 2, 5], equal_nan=True)
    assert tracks.stored("n")[1].tolist() == [True, False, False, False, False]


def test_links_that_lead_nowhere_drop_out(events):
    key = container_id("TauTracks")
    raw = [[(key, 3), (0, 1), (container_id("TruthTaus"), 0)], [(key, 2**32 - 1), (key, 0)], [(key, 2)]]
    links = ak.Array([[{"container": k, "index": i} for k, i in one] for one in raw])
    events["TauJets"]["tauTrackLinks"] = ak.unflatten(links, [2, 0, 1])
    tracks = events["TauJets"].follow("tauTrackLinks", "TauTracks")
    assert tracks.pt.to_list() == [[[], [5.0]], [], [[]]]


def test_links_behind_the_last_object_are_counted(events):
    number = container_id("TauTracks")
    links = ak.Array([{"container": number, "index": i} for i in (3, 0, 2)])
    events["TauJets"]["one"] = ak.unflatten(links, [2, 0, 1])
    for view in (events, events, events.child("stream")):  # whoever follows them: these are two links
        assert view["TauJets"].follow("one").pt.to_list() == [[[], [5.0]], [], [[]]]
    [((text, name), count)] = events._scope.notes.items()
    assert (name, count) == ("TauJets.one", 2)
    assert "behind the last object of TauTracks" in text


def test_links_into_the_own_container(events):
    events["TauTracks"]["next"] = events.link("TauTracks", ak.Array([[1, 2, -1], [-1], [0, 0]]))
    assert events["TauTracks"].follow("next").pt.to_list() == [[[6.0], [7.0], []], [[]], [[9.0], [9.0]]]


def null_links(events):
    null = {"container": 0, "index": 0}
    events["TauJets"]["null"] = ak.Array([[[null], [null, null]], [], [[]]])[[0, 1, 2]]
    return events["TauJets"]


def test_the_only_possible_target_needs_no_valid_link(events):
    assert null_links(events).follow("null").pt.to_list() == [[[], []], [], [[]]]


def test_unclear_targets_are_errors_that_say_what_to_do(events):
    events.add("Clusters", {"e": np.zeros(3)}, counts=[1, 1, 1])
    with pytest.raises(ColumnError, match="has no valid link here: its target is not clear") as caught:
        null_links(events).follow("null")
    assert "follow('null', to=...)" in str(caught.value)
    assert null_links(events).follow("null", "Clusters").counts.tolist() == [0, 0, 0]


def test_the_target_is_that_of_the_links_that_were_read_together(events):
    """A chunk without a valid link has the target of its block, so that the size of chunks does not matter."""
    events.add("Clusters", {"e": np.zeros(3)}, counts=[1, 1, 1])
    taus = null_links(events)
    column = events._scope.column("TauJets.null")
    events._scope.put("TauJets.null", replace(column, targets={container_id("Clusters"): None}))
    assert taus.follow("null").e.to_list() == [[[], []], [], [[]]]


def test_keys_that_stand_for_nothing_do_not_decide_about_the_target(events):
    unknown = {"container": -4711, "index": 0}
    events["TauJets"]["odd"] = ak.Array([[unknown, unknown], [], [unknown]])
    assert events["TauJets"].follow("odd").pt.to_list() == [[[], []], [], [[]]]


def test_links_into_an_undeclared_container_do_not_vanish_silently(events):
    other = {"container": container_id("TruthElectrons"), "index": 0}
    events["TauJets"]["truth"] = ak.Array([[other, other], [], [other]])
    with pytest.raises(ColumnError, match="points into TruthElectrons, of which nothing is declared"):
        events["TauJets"].follow("truth")


def test_what_is_no_link_cannot_be_followed(events):
    with pytest.raises(ColumnError, match="no element links"):
        events["TauJets"].follow("pt", "TauTracks")
    with pytest.raises(ColumnError, match="EventInfo, which is no list"):
        events["TauJets"].follow("tauTrackLinks", "EventInfo")
    with pytest.raises(ColumnError, match="no container 'Nothing'"):
        events["TauJets"].follow("tauTrackLinks", "Nothing")


def test_links_of_events_and_of_sub_containers(events):
    key = container_id("TauTracks")
    link = [{"container": key, "index": i} for i in (2, 0, 1)]
    events["EventInfo"]["hard"] = ak.Array(link)
    assert events["EventInfo"].follow("hard", "TauTracks").pt.to_list() == [[7.0], [8.0], [10.0]]
    events.add("Sub", {"link": ak.Array([link[0], link[1], link[2]])}, counts=[0, 2, 1], parent="TauJets")
    found = events["Sub"].follow("link", "TauTracks")
    assert found.flat("pt").tolist() == [7.0, 5.0, 10.0]
    assert found.owners.tolist() == [0, 1, 2]


@pytest.fixture
def linked():
    """Two taus with tracks 0, 2 and none, one with track 0."""
    columns = {"pt": [[1e3, 2e3, 3e3], [9e3]], "eta": [[0.1, 0.2, 0.3], [0.4]], "phi": [[3.1, 0.2, -3.1], [0.4]]}
    arrays = {f"K.{name}": ak.values_astype(ak.Array(values), np.float32) for name, values in columns.items()}
    events = Events.from_arrays({"T.x": ak.Array([[1, 2], [3]]), "K.n": ak.Array([[1, 2, 2**62], [4]]), **arrays})
    events["T"]["links"] = events.link("K", ak.Array([[[0, 2], []], [[0]]]))
    return events, events["T"].follow("links", "K")


def test_linked_objects_are_reduced(linked):
    _, tracks = linked
    assert tracks.sum("pt").tolist() == [4e3, 0, 9e3]
    assert tracks.sum("n").tolist() == [2**62 + 1, 0, 4]
    assert tracks.any(tracks["pt"] > 2e3).tolist() == [True, False, True]
    assert tracks.all(tracks["pt"] > 2e3).tolist() == [False, True, True]
    np.testing.assert_array_equal(tracks.max("pt"), [3e3, np.nan, 9e3])
    np.testing.assert_array_equal(tracks.where(tracks.flat("n") < 9).min("n"), [1, np.nan, 4])
    np.testing.assert_array_equal(tracks.mean("pt"), [2e3, np.nan, 9e3])
    assert tracks.sort("pt").flat("pt").tolist() == [3e3, 1e3, 9e3]
    with pytest.raises(ColumnError, match="does not fit into 64 bits"):
        tracks.sum(tracks.flat("n") * 0 + 2**62 + 2**61)


def test_four_momenta_of_linked_objects(linked):
    events, tracks = linked
    momenta = tracks.p4(mass=139.57)
    assert str(momenta.type).startswith("2 * var * var * Momentum4D")
    total = tracks.sum(momenta)
    plain = [0.0, 0.0, 0.0, 0.0]
    for pt, eta, phi in ((1e3, 0.1, 3.1), (3e3, 0.3, -3.1)):
        pt, eta, phi = (float(np.float32(value)) for value in (pt, eta, phi))
        p = (pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta))
        plain = [a + b for a, b in zip(plain, (*p, math.sqrt(sum(x * x for x in p) + 139.57**2)), strict=True)]
    mass = math.sqrt(plain[3] ** 2 - sum(x * x for x in plain[:3]))
    np.testing.assert_allclose(total.mass, [mass, 0, 139.57], rtol=1e-9)
    events["T"]["mass"] = total.mass
    assert len(events["T"].flat("mass")) == 3


def test_looping_over_objects_is_told(linked):
    events, tracks = linked
    with pytest.raises(ColumnError, match="T is no list to loop over"):
        list(events["T"])
    with pytest.raises(ColumnError, match="linked K are no list to loop over"):
        list(tracks)
    with pytest.raises(ColumnError, match="events are no list to loop over"):
        list(events)


def test_places_and_attributes_are_no_columns(linked):
    events, tracks = linked
    for view in (events["T"], tracks):
        with pytest.raises(ColumnError, match="is asked for 0: it has columns"):
            view[0]
        with pytest.raises(ColumnError, match=r"\.pt = … sets no column"):
            view.pt = 3.0
    with pytest.raises(AttributeError, match=r"a container is events\['T'\]"):
        events.T  # noqa: B018
