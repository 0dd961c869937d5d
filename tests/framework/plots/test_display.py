"""Event displays as numbers: what they hold, and what is written of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.errors import PlotError
from hepflow.plots import EventDisplay
from hepflow.plots.display import Marks

TRACKS = Marks("tracks", (0.01, -0.02), (0.0, 0.1), (30.0, 2.5), (0.02, math.nan), (0.05, math.nan))
DISPLAY = EventDisplay((TRACKS, Marks("shots", (), (), ())), "truth: 1p0n", ("event 7",), end_label="at the ECal")


def through_json(display):
    return EventDisplay.from_json(json.loads(json.dumps(display.to_json(), allow_nan=False)))


def test_numbers_are_plain_whatever_they_came_as():
    columns = np.array([[0.01, -0.02], [0.0, 0.1], [30.0, 2.5]], dtype=np.float32)
    marks = Marks("tracks", *columns)
    assert marks.pt == (30.0, 2.5)
    assert {type(x) for x in marks.eta} == {float}


@pytest.mark.parametrize(
    "columns",
    [
        ((0.1,), (0.1, 0.2), (1.0,)),
        ((0.1,), (0.1,), ()),
        ((0.1,), (0.1,), (1.0,), (0.1,)),
        ((0.1,), (0.1,), (1.0,), (0.1, 0.2), (0.1, 0.2)),
    ],
)
def test_lists_of_different_length(columns):
    with pytest.raises(PlotError, match="the tracks of a display have lists of different length"):
        Marks("tracks", *columns)


def test_what_is_written_is_for_people_too():
    content = DISPLAY.to_json()
    assert content["type"] == "EventDisplay"
    assert content["texts"] == ("event 7",)
    assert content["rings"] == (0.1, 0.2, 0.4)
    assert content["marks"][0]["end_eta"] == [0.02, None]
    assert content["marks"][1] == {"label": "shots", "eta": [], "phi": [], "pt": [], "end_eta": [], "end_phi": []}


def test_nan_survives():
    found = through_json(DISPLAY)
    assert math.isnan(found.marks[0].end_eta[1])
    assert found.marks[0].end_eta[0] == 0.02
    assert replace(found, marks=()) == replace(DISPLAY, marks=())


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(st.tuples(finite, finite, finite, finite, finite), max_size=3), max_size=3), st.text())
def test_json_round_trip(groups, text):
    marks = tuple(Marks(f"kind {n}", *zip(*rows, strict=True)) for n, rows in enumerate(groups) if rows)
    display = EventDisplay(marks, text, (text,))
    assert through_json(display) == display


def test_empty_displays_say_so():
    assert DISPLAY.note == ""
    assert EventDisplay((Marks("shots", (), (), ()),)).note == "no objects"
    assert EventDisplay(()).note == "no objects"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "Histogram"}, "no EventDisplay of format 1, but 'Histogram' of format 1"),
        ({"format": 2}, "'EventDisplay' of format 2"),
        ({"marks": [{"label": "tracks"}]}, "damaged: KeyError: 'eta'"),
        ({"rings": None}, "damaged: TypeError"),
    ],
)
def test_damaged_files(change, message):
    with pytest.raises(PlotError, match=message):
        EventDisplay.from_json(DISPLAY.to_json() | change)
