"""Columns that some events lack, and links that lead nowhere, from the input through every output."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Tool
from hepflow.errors import ColumnError
from hepflow.streams import MxAODStream, NtupleStream

RARE = {"pt": [[1.0], [2.0, 3.0], []], "x": [[7.0], [], []], "n": [[], [4, 5], []]}


@pytest.fixture
def rare(tmp_path):
    """A file whose taus have ``x`` and ``n`` in one event each."""
    path = tmp_path / "rare.root"
    kinds = {"pt": np.float32, "x": np.float32, "n": np.int32}
    fields = {f"TauJetsAuxDyn:{name}": ak.values_astype(ak.Array(RARE[name]), kinds[name]) for name in RARE}
    with uproot.recreate(path) as file:
        file.mkrntuple("EventData", ak.zip(fields, depth_limit=1))
    return path


class Hide(Tool):
    """Hides the taus of the first event."""

    def reads(self):
        return ["TauJets.pt", "TauJets.n"]

    def execute(self, events, result):
        events.select("TauJets", events["TauJets"].pt > 1, "pt")


@pytest.mark.parametrize("options", [{}, {"chunk": 1}])
@pytest.mark.parametrize("merge", [False, True])
def test_a_copy_is_the_original(rare, go, read, options, merge):
    columns = read(*go(rare, MxAODStream("output", Merge=merge), **options).outputs["output"])
    assert {name.partition(":")[2]: values.to_list() for name, values in columns.items()} == RARE


def test_a_tree_with_one_counter_takes_nan_and_no_whole_numbers(rare, go, read):
    columns = read(*go(rare, MxAODStream("output", Format="TTree", Drop=["TauJets.n"])).outputs["output"])
    assert np.array_equal(ak.to_numpy(ak.flatten(columns["TauJetsAuxDyn.x"])), [7, np.nan, np.nan], equal_nan=True)
    with pytest.raises(ColumnError, match=r"TauJets\.n is missing for 1 of 3 objects, and int32 cannot say so"):
        go(rare, MxAODStream("output", Format="TTree"))


@pytest.mark.parametrize("container", ["TauJets", ""])
@pytest.mark.parametrize("chunk", [1, 100])
def test_an_ntuple_has_nan(rare, go, read, container, chunk):
    stream = NtupleStream("tree", Container=container, Keep=["TauJets.x"])
    columns = read(*go(rare, stream, chunk=chunk).outputs["tree"])
    values = columns["TauJets.x"]
    assert np.array_equal(ak.to_numpy(ak.flatten(values, axis=None)), [7, np.nan, np.nan], equal_nan=True)
    assert container or ak.num(values).to_list() == [1, 2, 0]


def test_an_ntuple_refuses_whole_numbers_that_are_missing(rare, go, read):
    with pytest.raises(ColumnError, match=r"TauJets\.n is missing for 1 of 3 objects") as caught:
        go(rare, NtupleStream("tree", Keep=["TauJets.n"]))
    assert "where(isfinite(TauJets.n), TauJets.n, -1)" in str(caught.value)
    columns = read(*go(rare, Hide("hide"), NtupleStream("tree", Keep=["TauJets.n"])).outputs["tree"])
    assert (columns["TauJets.n"].to_list(), columns["TauJets.n"].type.content.primitive) == ([4, 5], "int32")


def test_thinning_within_an_event(rare, tmp_path, go, read):
    """Where some of the objects are hidden, the rest has values or none."""

    class Second(Hide):
        def execute(self, events, result):
            events.select("TauJets", events["TauJets"].pt != 2, "pt")

    columns = read(*go(rare, Second("second"), MxAODStream("output")).outputs["output"])
    assert columns["TauJetsAuxDyn:n"].to_list() == [[], [5], []]
    assert columns["TauJetsAuxDyn:x"].to_list() == [[7.0], [], []]


def test_a_merge_of_both_kinds_of_links(make_xaod, tmp_path, go, read):
    """Unknown keys and those of other containers are the same in parts, in the merged file, and in a copy of it."""
    file = make_xaod(tmp_path / "a.root", 12)
    with uproot.open(file.path) as opened:
        arrays = {name: opened["EventData"][name].array() for name in opened["EventData"].keys(recursive=False)}
    links = arrays["TauJetsAuxDyn:tauTrackLinks"]
    odd = ak.where(ak.local_index(links.m_persKey, axis=2) == 1, 4711, links.m_persKey)
    arrays["TauJetsAuxDyn:tauTrackLinks"] = ak.zip(
        {"m_persKey": ak.values_astype(odd, "u4"), "m_persIndex": links.m_persIndex}
    )
    with uproot.recreate(tmp_path / "odd.root") as made:
        made.mkrntuple("EventData", ak.zip(arrays, depth_limit=1))
    first = go(tmp_path / "odd.root", MxAODStream("output", Merge=True, Drop=["TauTracks.eta"]))
    again = go(first.outputs["output"][0], MxAODStream("output"))
    for result in (first, again):
        found = read(*result.outputs["output"])["TauJetsAuxDyn:tauTrackLinks"]
        assert found.to_list() == arrays["TauJetsAuxDyn:tauTrackLinks"].to_list()
        [((text, name), count)] = result.notes.items()
        assert (name, count) == ("TauJets.tauTrackLinks", int(ak.sum(odd == 4711)))
        assert "into key 4711, which no container of the input has" in text
