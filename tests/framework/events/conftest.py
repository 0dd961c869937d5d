"""Three events with taus and tracks, small enough to follow by eye."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.context import Sample
from hepflow.events import Events
from hepflow.events.links import container_id

TRACKS = container_id("TauTracks")


def links(lists):
    """Links into TauTracks from positions in the event; None is the null link."""
    return ak.Array(
        [[[{"container": 0 if i is None else TRACKS, "index": i or 0} for i in one] for one in taus] for taus in lists]
    )


@pytest.fixture
def arrays():
    return {
        "EventInfo.eventNumber": np.array([11, 12, 13], dtype=np.uint64),
        "TauJets.pt": ak.Array([[30.0, 20.0], [], [40.0]]),
        "TauJets.nTracks": ak.Array([[1, 3], [], [2]]),
        "TauJets.tauTrackLinks": links([[[1], [0, 2, 2]], [], [[None, 1]]]),
        "TauTracks.pt": ak.Array([[5.0, 6.0, 7.0], [8.0], [9.0, 10.0]]),
        "TauTracks.bits": ak.Array([[True, False, True], [True], [False, True]]),
    }


@pytest.fixture
def events(arrays):
    return Events.from_arrays(arrays, sample=Sample("toy", {"xsec": 2.0}), seed=5)
