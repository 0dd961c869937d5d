"""What streams write of a chunk: visible objects, links renumbered, values of the event repeated."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.errors import ColumnError
from hepflow.events import Events
from hepflow.events.export import event_column, object_column
from hepflow.events.layout import unpack_links
from hepflow.events.links import container_id

NUMBER = container_id("TauTracks")


def test_links_are_renumbered(events):
    events.select("TauTracks", events["TauTracks"].pt != 6.0, "not the second")
    events.select("TauJets", events["TauJets"].pt < 35, "pt")
    column = event_column(events, "TauJets.tauTrackLinks", {"TauTracks", "TauJets"})
    assert column.offsets.tolist() == [0, 2, 2, 2]
    lists, keys, index = unpack_links(column.content)
    assert lists[0].tolist() == [1, 3]
    assert keys.tolist() == [0, NUMBER, NUMBER, NUMBER]
    assert index.tolist() == [0, 0, 1, 1]
    assert [column.content[field].layout.content.data.dtype for field in column.content.fields] == [np.int64, np.uint32]


def test_links_into_what_is_not_written_stay_and_are_counted(events):
    before = events["TauJets"].flat("tauTrackLinks").to_list()
    column = event_column(events, "TauJets.tauTrackLinks", {"TauJets"})
    assert column.content.to_list() == before
    [((text, name), count)] = events._scope.notes.items()
    assert (name, count) == ("TauJets.tauTrackLinks", 5)
    assert text.startswith("into TauTracks, which is not written")


def test_links_to_what_is_hidden_become_null_also_where_their_container_is_not_written(events):
    events.select("TauTracks", events["TauTracks"].pt != 7.0, "not the third")
    _, containers, index = unpack_links(event_column(events, "TauJets.tauTrackLinks", {"TauJets"}).content)
    assert (containers.tolist(), index.tolist()) == ([NUMBER, NUMBER, 0, 0, 0, NUMBER], [1, 0, 0, 0, 0, 1])


def test_links_that_lead_nowhere_stay_what_they_are(events):
    raw = [(NUMBER, 1), (-17, 4), (NUMBER, 9)]
    events["TauJets"]["one"] = ak.unflatten(ak.Array([{"container": c, "index": i} for c, i in raw]), [2, 0, 1])
    events.select("TauTracks", events["TauTracks"].pt != 5.0, "not the first")
    column = event_column(events, "TauJets.one", {"TauTracks", "EventInfo"})
    _, containers, index = unpack_links(column.content)
    assert list(zip(containers.tolist(), index.tolist(), strict=True)) == [(NUMBER, 0), (-17, 4), (NUMBER, 9)]
    [((text, name), count)] = events._scope.notes.items()
    assert (name, count) == ("TauJets.one", 1)
    assert "behind the last object of TauTracks" in text


def test_links_of_the_event(events):
    events["EventInfo"]["hard"] = ak.Array([{"container": NUMBER, "index": i} for i in (2, 0, 0)])
    events.select("TauTracks", events["TauTracks"].pt > 6.5, "pt")
    events.select_events(np.array([True, False, True]), "cut")
    column = event_column(events, "EventInfo.hard", {"TauTracks"})
    assert column.offsets is None
    assert column.content.to_list() == [{"container": NUMBER, "index": 0}] * 2


def test_exporting_twice_gives_the_same(events):
    """Original indices are kept inside: an export changes nothing."""
    events.select("TauTracks", events["TauTracks"].pt != 6.0, "not the second")
    first = event_column(events, "TauJets.tauTrackLinks", {"TauTracks"}).content.to_list()
    assert event_column(events, "TauJets.tauTrackLinks", {"TauTracks"}).content.to_list() == first
    assert events["TauJets"].follow("tauTrackLinks").pt.to_list() == [[[], [5.0, 7.0, 7.0]], [], [[10.0]]]


def test_written_events_read_back_the_same(events):
    """What is exported is a set of columns like that of a file: following it gives the same tracks."""
    events.select("TauTracks", events["TauTracks"].pt != 6.0, "not the second")
    events.select_events(np.array([True, False, True]), "cut")
    before = events["TauJets"].follow("tauTrackLinks").pt.to_list()
    written = {}
    for name in ("TauJets.pt", "TauJets.tauTrackLinks", "TauTracks.pt"):
        column = event_column(events, name, {"TauJets", "TauTracks"})
        written[name] = ak.unflatten(column.content, np.diff(column.offsets))
    again = Events.from_arrays(written)
    assert again["TauJets"].follow("tauTrackLinks").pt.to_list() == before == [[[], [5.0, 7.0, 7.0]], [[10.0]]]


def test_one_entry_for_each_object(events):
    tracks = events["TauJets"].follow("tauTrackLinks")
    events.add("TauTrack", {"pt": tracks.flat("pt")}, counts=tracks.counts, parent="TauJets")
    events["EventInfo"]["weights"] = ak.Array([[1.0], [2.0, 3.0], []])
    events.select("TauJets", events["TauJets"].pt != 30, "not the first")
    assert object_column(events, "TauJets.pt", "TauJets").content.tolist() == [20.0, 40.0]
    numbers = object_column(events, "EventInfo.eventNumber", "TauJets")
    assert (numbers.offsets, numbers.content.tolist()) == (None, [11, 13])
    assert object_column(events, "EventInfo.weights", "TauJets").content.to_list() == [[1.0], []]
    listed = object_column(events, "TauTrack.pt", "TauJets")
    assert (listed.offsets.tolist(), listed.content.tolist()) == ([0, 3, 4], [5.0, 7.0, 7.0, 10.0])


def test_one_entry_for_each_event(events):
    assert object_column(events, "EventInfo.eventNumber", "EventInfo").content.tolist() == [11, 12, 13]


def test_what_belongs_to_others_is_refused(events):
    events.add("Sub", {"x": np.zeros(3)}, counts=[1, 1, 1], parent="TauJets")
    with pytest.raises(ColumnError, match=r"Sub\.x belongs to the objects of TauJets"):
        event_column(events, "Sub.x", {"Sub"})
    with pytest.raises(ColumnError, match=r"TauTracks\.pt cannot be written with one entry for each object of TauJets"):
        object_column(events, "TauTracks.pt", "TauJets")
    with pytest.raises(ColumnError, match="no container"):
        event_column(events, "Nothing.x", set())
