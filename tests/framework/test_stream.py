"""Streams: the tools that feed them, which columns they keep, where their files go."""

from __future__ import annotations

import pickle

import pytest

from hepflow import Context, Property, Stream, Tool
from hepflow.errors import JobOptionsError, PropertyError

AVAILABLE = dict.fromkeys(["TauJets.pt", "TauJets.eta", "TauTracks.pt", "EventInfo.mcEventNumber", "EventInfo.mu"])


class Strict(Stream):
    """Always writes the event number."""

    always = ("EventInfo.mcEventNumber",)
    Level = Property(1, "compression level")


class ToolA(Tool):
    """A tool."""

    Cut = Property(1, "a cut")


def test_tools_are_added_in_order():
    stream = Stream("tree")
    stream += ToolA("a")
    stream += [ToolA("b"), ToolA("c")]
    stream += (ToolA("d"),)
    assert [tool.name for tool in stream.tools] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (ToolA, "did you forget the parentheses"),
        ([ToolA("a"), 5], "5 was added to"),
        ("ToolA", "'ToolA' was added to"),
        ([], "an empty list of tools"),
        (None, "None was added to"),
        (Stream("other"), "which is no tool"),
    ],
)
def test_only_tools_are_added(thing, message):
    stream = Stream("tree")
    with pytest.raises(JobOptionsError, match=message):
        stream += thing
    assert stream.tools == []


def test_keep_and_drop():
    def kept(**properties):
        return Stream("s", **properties).kept(AVAILABLE)

    assert kept() == []
    assert kept(Keep=["TauJets.*"]) == ["TauJets.pt", "TauJets.eta"]
    assert kept(Keep=["*.pt", "TauJets.*"]) == ["TauJets.pt", "TauTracks.pt", "TauJets.eta"]
    assert kept(Keep=["*"], Drop=["*.pt", "TauJets.eta"]) == ["EventInfo.mcEventNumber", "EventInfo.mu"]
    with pytest.raises(JobOptionsError, match=r"Keep = 'TauJet\.\*' matches no column"):
        kept(Keep=["TauJet.*"])


def test_some_columns_survive_every_drop():
    stream = Strict("s", Keep=["*"], Drop=["EventInfo.*"])
    assert stream.kept(AVAILABLE) == ["TauJets.pt", "TauJets.eta", "TauTracks.pt", "EventInfo.mcEventNumber"]
    assert Strict("s").kept(AVAILABLE) == ["EventInfo.mcEventNumber"]
    assert Strict("s").kept({"TauJets.pt": None}) == []


def make_stream():
    stream = Strict("tree", Level=3)
    stream += ToolA("a", Cut=7)
    return stream


@pytest.mark.parametrize("way", [lambda s: pickle.loads(pickle.dumps(s)), Strict.copy])
def test_copies_have_copies_of_the_tools_and_are_not_locked(way):
    stream = make_stream()
    stream.freeze()
    twin = way(stream)
    assert (type(twin), twin.name, twin.Level) == (Strict, "tree", 3)
    assert [repr(tool) for tool in twin.tools] == ["ToolA('a', Cut=7)"]
    twin.Level = 4
    twin.tools[0].Cut = 8
    twin += ToolA("b")
    assert (stream.Level, stream.tools[0].Cut, len(stream.tools)) == (3, 7, 1)


def test_frozen_streams_are_locked_with_their_tools():
    stream = make_stream()
    stream.freeze()
    with pytest.raises(JobOptionsError, match="frozen"):
        stream += ToolA("b")
    with pytest.raises(PropertyError, match="frozen"):
        stream.Level = 2
    with pytest.raises(PropertyError, match="frozen"):
        stream.tools[0].Cut = 2


def test_closing_gives_numbered_names_in_plan_order(tmp_path):
    context = Context(tmp_path / "run", "job")
    parts = []
    for number in (3, 12):
        part = tmp_path / f"tree_{number:06d}.root"
        part.write_text(str(number))
        parts.append(part)
    files = Stream("tree").close(parts, context)
    assert [file.name for file in files] == ["tree_000001.root", "tree_000002.root"]
    assert [file.read_text() for file in files] == ["3", "12"]
    assert all(file.parent == tmp_path / "run" for file in files)
    assert [part.read_text() for part in parts] == ["3", "12"]  # the run removes them when it has noted this
    assert Stream("tree").close([], context) == []


def test_a_stream_that_does_not_say_how_to_write(tmp_path):
    with pytest.raises(TypeError, match="override open"):
        Stream("s").open(tmp_path / "x", {}, {})
    with pytest.raises(TypeError, match="override collect"):
        Stream("s").collect(None, [])
