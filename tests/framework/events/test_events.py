"""Events: selections, cutflow, new containers, links, what was declared, and what users get wrong."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.errors import ColumnError
from hepflow.events import Access, Events
from hepflow.events.links import container_id


def cutflow(events):
    return events._scope.cutflow


def test_length_sample_and_values(events):
    assert len(events) == 3
    assert (events.sample.name, events.sample.metadata["xsec"]) == ("toy", 2.0)
    assert events["EventInfo"]["eventNumber"].tolist() == [11, 12, 13]
    assert events["TauJets"].pt.to_list() == [[30.0, 20.0], [], [40.0]]


def test_selection_hides_and_is_counted(events):
    events.select("TauJets", events["TauJets"].pt > 25, "pt > 25 MeV")
    events.select("TauJets", events["TauJets"].flat("pt") > 35, "pt > 35 MeV")
    assert events["TauJets"].pt.to_list() == [[], [], [40.0]]
    events.select_events(np.array([True, False, True]), "odd")
    assert len(events) == 2
    assert events["TauJets"].pt.to_list() == [[], [40.0]]
    assert cutflow(events) == {
        ("", "", "TauJets", "pt > 25 MeV"): [3, 2, 0],
        ("", "", "TauJets", "pt > 35 MeV"): [2, 1, 0],
        ("", "", "", "odd"): [3, 2, 0],
    }


def test_cutflow_of_a_stream_carries_its_name(events):
    child = events.child("ntuple")
    child.select("TauJets", events["TauJets"].pt > 25, "cut")
    assert list(cutflow(events)) == [("ntuple", "", "TauJets", "cut")]
    assert len(events["TauJets"]) == 3
    assert len(child["TauJets"]) == 2


def test_hidden_events_hide_their_objects(events):
    events.select_events(np.array([False, True, True]), "late")
    assert events["TauTracks"].pt.to_list() == [[8.0], [9.0, 10.0]]
    assert events["TauJets"].follow("tauTrackLinks").pt.to_list() == [[], [[10.0]]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([1, 0, 1], "no mask: its values are int64, not bool"),
        (np.array([True, False]), "2 values for 3 entries"),
        (ak.Array([[True], [False], [True]]), "no mask for 3 entries"),
        (ak.Array([[True, False], [], [True]]), "no mask for 3 entries"),
    ],
)
def test_selection_of_events_wants_one_value_an_event(events, mask, message):
    with pytest.raises(ColumnError, match=message):
        events.select_events(mask, "cut")
    assert len(events) == 3
    assert cutflow(events) == {}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([True, False]), "2 values for 3 entries"),
        (np.array([1.0, 0.0, 1.0]), "float64, not bool"),
        (ak.Array([[True], [True], [False, True]]), "no mask for 3 entries"),
        (ak.Array([[True, None], [], [True]]), "fill_none"),
    ],
)
def test_selection_of_objects_wants_one_value_an_object(events, mask, message):
    with pytest.raises(ColumnError, match=message):
        events.select("TauJets", mask, "cut")
    assert len(events["TauJets"]) == 3


def test_lists_of_another_container_are_no_mask(arrays):
    """As many lists as there are taus, but not the taus' lists."""
    events = Events.from_arrays(arrays)
    with pytest.raises(ColumnError, match="no mask"):
        events.select("TauJets", ak.Array([[True], [True], [False]]), "cut")


def test_a_container_with_one_entry_an_event_is_selected_by_events(events):
    events.select("EventInfo", np.array([True, False, True]), "cut")
    assert len(events) == 2
    assert len(events["TauJets"].counts) == 2


def test_unknown_names_tell_the_nearest(events):
    with pytest.raises(ColumnError, match="did you mean 'TauJets'"):
        events.select("TauJet", np.array([True]), "cut")
    with pytest.raises(ColumnError, match=r"no column 'TauJets\.ptt'"):
        events["TauJets"]["ptt"]


# ── from_arrays ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_from_arrays_takes_sliced_and_nested_arrays():
    whole = ak.Array([[[1], []], [[2, 3]], [], [[4]]])
    events = Events.from_arrays({"C.cells": whole[1:], "C.label": ak.Array([["a"], [], ["b"]])})
    assert events["C"]["cells"].to_list() == [[[2, 3]], [], [[4]]]
    assert events["C"]["label"].to_list() == [["a"], [], ["b"]]
    regular = Events.from_arrays({"C.x": ak.Array(np.arange(6).reshape(3, 2))})
    assert regular["C"]["x"].to_list() == [[0, 1], [2, 3], [4, 5]]
    assert len(regular["C"]) == 6


def test_from_arrays_keeps_lists_of_an_event_container_as_lists():
    weights = ak.Array([[1.0, 2.0], [3.0], []])
    for order in (1, -1):
        named = [("EventInfo.weights", weights), ("EventInfo.eventNumber", np.arange(3))]
        events = Events.from_arrays(dict(named[::order]))
        assert events["EventInfo"]["eventNumber"].tolist() == [0, 1, 2]
        assert events["EventInfo"]["weights"].to_list() == weights.to_list()
        assert len(events["EventInfo"]) == 3
        events.select_events(np.array([False, True, True]), "cut")
        assert events["EventInfo"]["weights"].to_list() == [[3.0], []]


def test_from_arrays_refuses_what_does_not_fit():
    with pytest.raises(ColumnError, match="different numbers of events"):
        Events.from_arrays({"C.x": np.zeros(2), "D.x": np.zeros(3)})
    with pytest.raises(ColumnError, match="different numbers of objects"):
        Events.from_arrays({"C.x": ak.Array([[1], [2]]), "C.y": ak.Array([[1, 2], []])})
    with pytest.raises(ColumnError, match="fill_none"):
        Events.from_arrays({"C.x": ak.Array([[1], [None]])})
    assert len(Events.from_arrays({})) == 0


# ── new containers ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_add_events_by_objects(events):
    made = events.add("Jets", {"pt": ak.Array([[1.0], [2.0, 3.0], []]), "id": np.array([7, 8, 9])})
    assert made["pt"].to_list() == [[1.0], [2.0, 3.0], []]
    assert events["Jets"]["id"].to_list() == [[7], [8, 9], []]
    assert made.counts.tolist() == [1, 2, 0]


def test_add_one_entry_an_event(events):
    events.add("Summary", {"n": np.array([1, 2, 3])})
    events.select_events(np.array([False, True, True]), "cut")
    assert events["Summary"]["n"].tolist() == [2, 3]


def test_add_fills_visible_events_only(events):
    events.select_events(np.array([True, False, True]), "cut")
    made = events.add("Jets", {"pt": np.array([1.0, 2.0, 3.0])}, counts=[1, 2])
    assert made.pt.to_list() == [[1.0], [2.0, 3.0]]


def test_add_lists_for_each_parent(events):
    tracks = events["TauJets"].follow("tauTrackLinks")
    events.add("TauTrack", {"pt": tracks.flat("pt")}, counts=tracks.counts, parent="TauJets")
    assert events["TauTrack"].pt.to_list() == [[[6.0], [5.0, 7.0, 7.0]], [], [[10.0]]]
    assert events["TauTrack"].counts.tolist() == [1, 3, 1]
    events.select("TauTrack", events["TauTrack"].pt > 5.5, "track pt")
    assert events["TauTrack"].pt.to_list() == [[[6.0], [7.0, 7.0]], [], [[10.0]]]
    events.select("TauJets", np.array([False, True, True]), "second")
    assert events["TauTrack"].pt.to_list() == [[[7.0, 7.0]], [], [[10.0]]]
    events["TauTrack"]["double"] = events["TauTrack"].pt * 2
    assert events["TauTrack"].flat("double").tolist() == [14.0, 14.0, 20.0]


@pytest.mark.parametrize("start", [0, 1])
def test_add_takes_the_lists_from_the_values(events, start):
    """Events × taus × things, or taus × things; also of a slice."""
    nested = ak.Array([[[9]], [[1], [2, 3]], [], [[]]])[1:]
    values = ak.flatten(nested) if start else nested
    events.add("Things", {"x": values}, parent="TauJets")
    assert events["Things"]["x"].to_list() == nested.to_list()


def test_add_refuses_what_does_not_fit(events):
    with pytest.raises(ColumnError, match="gets 2 lists for 3 events"):
        events.add("A", {"x": np.zeros(2)}, counts=[1, 1])
    with pytest.raises(ColumnError, match="gets 1 lists for 3 TauJets"):
        events.add("B", {"x": np.zeros(1)}, counts=[1], parent="TauJets")
    with pytest.raises(ColumnError, match="gets 3 values for 2 objects"):
        events.add("C", {"x": np.zeros(3)}, counts=[1, 1, 0])
    with pytest.raises(ColumnError, match="its counts"):
        events.add("D", {"x": np.zeros(3)}, parent="TauJets")
    with pytest.raises(ColumnError, match="no container 'TauJts'"):
        events.add("E", {"x": np.zeros(3)}, counts=[1, 1, 1], parent="TauJts")


@pytest.mark.parametrize("name", ["TauJets", "EventInfo"])
def test_a_container_is_made_once(events, name):
    with pytest.raises(ColumnError, match="already"):
        events.add(name, {"x": np.zeros(1)}, counts=[1, 0, 0])
    with pytest.raises(ColumnError, match="already"):
        events.child().add(name, {"x": np.zeros(1)}, counts=[1, 0, 0])
    assert events["TauJets"].pt.to_list() == [[30.0, 20.0], [], [40.0]]


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_link_counts_visible_objects_and_keeps_original_indices(events):
    events.select("TauTracks", events["TauTracks"].pt != 5.0, "not the first")
    events["TauJets"]["best"] = events.link("TauTracks", ak.Array([[1, -1], [], [0]]))
    assert events["TauJets"]["best"].to_list() == [
        [{"container": container_id("TauTracks"), "index": 2}, {"container": 0, "index": 0}],
        [],
        [{"container": container_id("TauTracks"), "index": 0}],
    ]
    assert events["TauJets"].follow("best").pt.to_list() == [[[7.0], []], [], [[9.0]]]


def test_link_takes_none_as_null_and_lists(events):
    events["TauJets"]["best"] = events.link("TauTracks", ak.Array([[None, 0], [], [1]]))
    assert events["TauJets"].follow("best").pt.to_list() == [[[], [5.0]], [], [[10.0]]]
    events["TauJets"]["all"] = events.link("TauTracks", ak.Array([[[2, 0], []], [], [[-1, 1]]]))
    assert events["TauJets"].follow("all").pt.to_list() == [[[7.0, 5.0], []], [], [[10.0]]]


def test_link_in_hidden_events(events):
    events.select_events(np.array([False, True, True]), "late")
    events["TauJets"]["best"] = events.link("TauTracks", ak.Array([[], [1]]))
    assert events["TauJets"].follow("best").pt.to_list() == [[], [[10.0]]]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([[3, 0], [], [0]], "behind its last object"),
        ([[0, 0], [], [0], []], "form events × objects"),
        ([0, 1, 2], "form events × objects"),
        ([[0.5, 0.0], [], [0.0]], "whole numbers"),
    ],
)
def test_link_refuses_what_does_not_fit(events, indices, message):
    with pytest.raises(ColumnError, match=message):
        events.link("TauTracks", ak.Array(indices))


def test_link_needs_a_list_of_objects(events):
    with pytest.raises(ColumnError, match="list of objects per event"):
        events.link("EventInfo", ak.Array([[0], [], []]))
    events.add("Sub", {"x": np.zeros(3)}, counts=[1, 1, 1], parent="TauJets")
    with pytest.raises(ColumnError, match="list of objects per event"):
        events.link("Sub", ak.Array([[0, 0], [], [0]]))


# ── declared ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def declared(events, reads=(), writes=(), optional=()):
    return Events(events._scope, Access.of("MyTool", reads, writes, optional))


def test_only_what_was_declared_can_be_read(events):
    mine = declared(events, ["TauJets.pt", "TauJets.tauTrackLinks"])
    assert mine["TauJets"].pt.to_list() == [[30.0, 20.0], [], [40.0]]
    with pytest.raises(ColumnError, match=r"MyTool reads TauJets.nTracks, which it did not declare") as caught:
        mine["TauJets"]["nTracks"]
    assert "add 'TauJets.nTracks' to reads()" in str(caught.value)
    with pytest.raises(ColumnError, match="MyTool uses the container 'TauTracks', which it did not declare"):
        mine["TauTracks"]
    with pytest.raises(ColumnError, match="TauTracks"):
        mine["TauJets"].follow("tauTrackLinks", "TauTracks")
    assert "MyTool" in caught.value.where


def test_the_target_column_of_a_link_is_declared_too(events):
    mine = declared(events, ["TauJets.tauTrackLinks", "TauTracks.bits"])
    tracks = mine["TauJets"].follow("tauTrackLinks")
    assert tracks["bits"].to_list() == [[[False], [True, True, True]], [], [[True]]]
    with pytest.raises(ColumnError, match=r"reads TauTracks\.pt"):
        tracks["pt"]


def test_only_what_was_declared_can_be_written(events):
    mine = declared(events, ["TauJets.pt"], ["TauJets.mode", "New.*"])
    mine["TauJets"]["mode"] = 1
    assert mine["TauJets"].mode.to_list() == [[1, 1], [], [1]]
    with pytest.raises(ColumnError, match=r"add 'TauJets.other' to writes\(\)"):
        mine["TauJets"]["other"] = 1
    with pytest.raises(ColumnError, match=r"writes TauJets\.pt"):
        mine["TauJets"]["pt"] = 1.0
    mine.add("New", {"x": np.zeros(3)}, counts=[1, 1, 1])
    assert mine["New"]["x"].to_list() == [[0.0], [0.0], [0.0]]
    with pytest.raises(ColumnError, match=r"writes Newer\.\*"):
        mine.add("Newer", {"x": np.zeros(3)}, counts=[1, 1, 1])
    with pytest.raises(ColumnError, match="did not declare"):
        declared(events, ["TauJets.pt"]).random("x")


def test_optional_columns_read_as_missing(events):
    mine = declared(events, ["TauJets.pt"], optional=["TauJets.score", "TauTracks.z0", "TauJets.tauTrackLinks"])
    assert "score" not in mine["TauJets"]
    assert "pt" in mine["TauJets"]
    assert np.isnan(mine["TauJets"].flat("score")).tolist() == [True] * 3
    assert mine["TauJets"]["score"].type.content.content.primitive == "float32"
    tracks = mine["TauJets"].follow("tauTrackLinks", "TauTracks")
    assert np.isnan(tracks.flat("z0")).tolist() == [True] * 5
    assert (
        declared(events, ["TauTracks.pt"], optional=["TauJets.gone"])["TauJets"].follow("gone").counts.tolist()
        == [0] * 3
    )


def test_child_keeps_what_was_declared(events):
    child = declared(events, ["TauJets.pt"]).child("a")
    with pytest.raises(ColumnError, match="did not declare"):
        child["TauTracks"]


def test_a_label_used_twice_gets_two_lines_of_the_cutflow():
    events = Events.from_arrays({"TauJets.pt": ak.Array([[1.0, 2.0, 3.0], [4.0]])})
    events.select("TauJets", events["TauJets"].flat("pt") > 1.5, "pt")
    events.select("TauJets", events["TauJets"].flat("pt") > 2.5, "pt")
    assert events._scope.cutflow == {("", "", "TauJets", "pt"): [4, 3, 0], ("", "", "TauJets", "pt (2)"): [3, 2, 0]}


def test_selecting_entries_of_an_ntuple_hides_the_events():
    events = Events.from_arrays(
        {"TauJets.pt": np.array([1.0, 2.0, 3.0]), "TauTrack.pt": ak.Array([[1.0], [], [2.0, 3.0]])}
    )
    events.select("TauJets", events["TauJets"]["pt"] > 1.5, "pt")
    assert len(events) == 2
    assert events["TauTrack"]["pt"].tolist() == [[], [2.0, 3.0]]


def test_what_fails_for_a_missing_value_is_counted():
    events = Events.from_arrays({"T.x": ak.Array([[np.nan, 1.0], [2.0]])})
    events.select("T", events["T"]["x"] > 1, "x > 1", missing=np.isnan(events["T"]["x"]))
    events.select_events(np.array([False, True]), "good", missing=np.array([True, False]))
    assert events._scope.cutflow == {("", "", "T", "x > 1"): [3, 1, 1], ("", "", "", "good"): [2, 1, 1]}
