"""Tools: the phases of their life, and that they have no hidden state."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from hepflow import Context, Events, Property, Tool
from hepflow.errors import PropertyError

CONTEXT = Context(Path(), "job")


class Counter(Tool):
    """Counts events and keeps a model."""

    Scale = Property(2, "factor")

    def initialize(self, context):
        self.model = {"factor": self.Scale}

    def start(self):
        return {"events": 0}

    def execute(self, events, result):
        result["events"] += len(events) * self.model["factor"]


class Restless(Tool):
    """Keeps something from chunk to chunk."""

    def execute(self, events, result):
        self.count = len(events)


class Finisher(Tool):
    """Only finalizes."""

    def finalize(self, total, context):
        return context.result("Counter")["events"] + 1


def events(n=3):
    return Events.from_arrays({"EventInfo.eventNumber": np.arange(n)})


def test_life_of_a_tool():
    tool = Counter("Counter", Scale=3)
    tool.freeze()
    tool.prepare(CONTEXT)
    total = tool.start()
    tool.execute(events(), total)
    tool.execute(events(2), total)
    assert total == {"events": 15}
    assert tool.finalize(total, CONTEXT) is total


def test_defaults_do_nothing():
    tool = Tool("t")
    assert (tuple(tool.reads()), tuple(tool.writes()), tool.start()) == ((), (), None)
    tool.prepare(CONTEXT)
    assert tool.execute(events(), None) is None
    assert tool.finalize(None, CONTEXT) is None
    assert tool.record() == {}


def test_which_tools_take_part_in_the_loop():
    assert Counter().has_loop
    assert not Finisher().has_loop
    context = Context(Path(), "job", results={"Counter": {"events": 4}})
    assert Finisher().finalize(None, context) == 5


def test_attributes_are_set_in_initialize_only():
    tool = Restless("r")
    with pytest.raises(PropertyError, match="Restless has no property 'count'"):
        tool.count = 1
    tool.freeze()
    with pytest.raises(PropertyError, match="outside initialize"):
        tool.count = 1
    tool.prepare(CONTEXT)
    with pytest.raises(PropertyError, match=r"Restless\('r'\) sets its attribute 'count' outside initialize") as caught:
        tool.execute(events(), None)
    assert "no hidden state" in caught.value.hint


def test_properties_cannot_be_set_in_initialize():
    class Cheat(Tool):
        Scale = Property(1, "factor")

        def initialize(self, context):
            self.Scale = 2

    with pytest.raises(PropertyError, match="frozen"):
        Cheat().prepare(CONTEXT)


def test_a_failed_initialize_leaves_no_open_door():
    class Broken(Tool):
        def initialize(self, context):
            raise ValueError("no model")

    tool = Broken()
    with pytest.raises(ValueError, match="no model"):
        tool.prepare(CONTEXT)
    with pytest.raises(PropertyError, match="outside initialize"):
        tool.x = 1


def test_a_worker_gets_a_tool_without_what_was_opened():
    tool = Counter("Counter", Scale=3)
    tool.prepare(CONTEXT)
    twin = pickle.loads(pickle.dumps(tool))
    assert twin.values_set == {"Scale": 3}
    assert not hasattr(twin, "model")
    twin.Scale = 4


def test_an_own_init_is_told_when_the_class_is_made():
    with pytest.raises(PropertyError, match="has an __init__ of its own") as error:

        class Counter(Tool):
            def __init__(self, size=3):
                self.size = size

    assert "Property(5" in str(error.value)
