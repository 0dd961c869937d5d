"""Which taus pass the training selection, in ntuples and in containers."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow import Events, Folds, Target, TrainingSet
from hepflow.errors import JobOptionsError, ToolError
from hepflow.plugins.training import TrainingSelection
from hepflow.plugins.training.columns import flat_column
from hepflow.variables import Variable

MODES = dict(enumerate(["a", "b", "c", "d", "e"]))


def ntuple(**changes):
    """Six entries, one a tau."""
    columns = {
        "TauJets.truthIsHadronicTau": np.array([1, 1, 0, 1, 1, 1], dtype=np.int8),
        "TauJets.truthDecayMode": np.array([0, 5, 1, 4, 2, -1], dtype=np.int32),
        "TauJets.weight": np.array([1.0, 1.0, 1.0, 2.0, 0.0, 1.0], dtype=np.float32),
        "TauTrack.d0": ak.Array([[1.0], [], [2.0, 3.0], [4.0, 5.0], [], [6.0]]),
    }
    return Events.from_arrays({**columns, **changes})


def select(non_finite="error", **changes):
    """A selection on the track's d0, of true taus of five classes."""
    declared = {
        "inputs": {"TauTrack": (Variable("d0"),)},
        "caps": {"TauTrack": 3},
        "target": Target("TauJets.truthDecayMode", MODES),
        "selection": "TauJets.truthIsHadronicTau",
    }
    return TrainingSelection("select", TrainingSet=TrainingSet(**{**declared, **changes}), NonFinite=non_finite)


def weights(events):
    return events["TauJets"].flat("weight").tolist()


def test_true_taus_of_the_classes_in_an_ntuple():
    events = ntuple()
    select().execute(events, None)
    assert events["TauJets"].flat("truthDecayMode").tolist() == [0, 4, 2]
    assert events["TauTrack"]["d0"].tolist() == [[1.0], [4.0, 5.0], []]


def test_the_same_in_a_container():
    events = Events.from_arrays(
        {
            "TauJets.truthIsHadronicTau": ak.Array([[1, 1], [], [0, 1, 1, 1]]),
            "TauJets.truthDecayMode": ak.Array([[0, 5], [], [1, 4, 2, -1]]),
            "TauJets.d0": ak.Array([[0.0, 5], [], [1, 4, 2, -1]]),
            "Sample.weight": np.array([2.0, 3.0, np.inf]),
        }
    )
    select(inputs={"TauJets": (Variable("d0"),)}, caps={}).execute(events, None)
    assert len(events) == 3
    assert events["TauJets"]["truthDecayMode"].tolist() == [[0], [], [4, 2]]
    assert flat_column(events, "Sample.weight", "TauJets").tolist() == [2.0, np.inf, np.inf]  # those of the events
    select("ignore", inputs={"TauJets": (Variable("d0"),)}, caps={}, weight="Sample.weight").execute(events, None)
    assert events["TauJets"]["truthDecayMode"].tolist() == [[0], [], []]


@pytest.mark.parametrize("policy", ["ignore-in-training", "keep", "abs"])
def test_negative_weights_stay(policy):
    events = ntuple(**{"TauJets.weight": np.array([1.0, 1.0, 1.0, -2.0, 0.0, 1.0])})
    select(weight="TauJets.weight", negative_weights=policy).execute(events, None)
    assert weights(events) == [1.0, -2.0, 0.0]


def test_negative_weights_are_an_error_by_default():
    events = ntuple(**{"TauJets.weight": np.array([1.0, 1.0, 1.0, -2.0, 0.0, 1.0])})
    with pytest.raises(ToolError) as caught:
        select(weight="TauJets.weight").execute(events, None)
    assert "1 of 3 taus have a negative TauJets.weight" in str(caught.value)
    assert '"keep"' in str(caught.value)


def test_values_that_are_not_finite():
    bad = {"TauTrack.d0": ak.Array([[1.0], [], [np.nan, 3.0], [4.0, np.inf], [], [6.0]])}
    with pytest.raises(ToolError, match=r"TauTrack.d0 is missing or not finite in 1 of 3 values"):
        select().execute(ntuple(**bad), None)
    events = ntuple(**bad)
    select("ignore").execute(events, None)
    assert events["TauTrack"]["d0"].tolist() == [[1.0], []]


def test_weights_that_are_not_finite():
    bad = {"TauJets.weight": np.array([1.0, 1.0, 1.0, np.nan, 0.5, 1.0])}
    with pytest.raises(ToolError, match=r"TauJets.weight is missing or not finite"):
        select(weight="TauJets.weight").execute(ntuple(**bad), None)
    events = ntuple(**bad)
    select("ignore", weight="TauJets.weight").execute(events, None)
    assert weights(events) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"inputs": {"TauTrack": (Variable("d0 / z0"),)}}, "'d0 / z0' is an expression", "Define"),
        ({"weight": "TauJets.weight - 1"}, "weight of a TrainingSet is a column", "Define"),
        ({"weight": "weight"}, "'weight' is no Container", "TauJets.weight"),
        ({"folds": Folds(column="mcEventNumber")}, "'mcEventNumber' is no Container", "TauJets.mcEventNumber"),
        ({"rows": "tauJets"}, "nothing of the training set belongs to its rows, 'tauJets'", "did you mean 'TauJets'"),
    ],
)
def test_names_of_columns_that_cannot_be_right(changes, message, hint):
    with pytest.raises(JobOptionsError, match=message) as caught:
        select(**changes)
    assert hint in caught.value.hint


def test_a_list_is_no_flat_input():
    declared = {"inputs": {"TauJets": (Variable("hits"),)}, "caps": {}}
    with pytest.raises(ToolError, match=r"TauJets\.hits is a list for each of 3 rows"):
        select(**declared).execute(ntuple(**{"TauJets.hits": ak.Array([[1.0], [], [2.0, 3.0], [], [], []])}), None)


def test_reads_and_record():
    tool = select(weight="w.w")
    assert tool.reads() == ["TauJets.truthIsHadronicTau", "TauJets.truthDecayMode", "w.w", "TauTrack.d0"]
    assert tool.record()["target"][0]["classes"] == {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}


def test_a_requirement_that_is_missing_is_not_met():
    columns = {"TauJets.truthIsHadronicTau": np.array([1.0, np.nan, 0.0]), "TauJets.x": np.zeros(3)}
    events = Events.from_arrays(columns)
    select(
        inputs={"TauJets": (Variable("x"),)}, caps={}, target="TauJets.x", selection="TauJets.truthIsHadronicTau > 0"
    ).execute(events, None)
    assert len(events) == 1
    assert list(events._scope.cutflow.values()) == [[3, 1, 1]]
