"""Which taus pass the training selection, in ntuples and in containers."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow import Context, Events
from hepflow.errors import ToolError
from hepflow.plugins.training import TrainingSelection
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


def weights(events):
    return events["TauJets"].flat("weight").tolist()


def test_true_taus_of_the_classes_in_an_ntuple():
    events = ntuple()
    TrainingSelection("select", Classes=MODES).execute(events, None)
    assert events["TauJets"].flat("truthDecayMode").tolist() == [0, 4, 2]
    assert events["TauTrack"]["d0"].tolist() == [[1.0], [4.0, 5.0], []]


def test_the_same_in_a_container():
    events = Events.from_arrays(
        {
            "TauJets.truthIsHadronicTau": ak.Array([[1, 1], [], [0, 1, 1, 1]]),
            "TauJets.truthDecayMode": ak.Array([[0, 5], [], [1, 4, 2, -1]]),
        }
    )
    TrainingSelection("select", Classes=MODES).execute(events, None)
    assert len(events) == 3
    assert events["TauJets"]["truthDecayMode"].tolist() == [[0], [], [4, 2]]


@pytest.mark.parametrize(("policy", "left"), [("ignore", [1.0, 0.0]), ("keep", [1.0, -2.0, 0.0])])
def test_negative_weights(policy, left):
    events = ntuple(**{"TauJets.weight": np.array([1.0, 1.0, 1.0, -2.0, 0.0, 1.0])})
    tool = TrainingSelection("select", Classes=MODES, Weight="TauJets.weight", NegativeWeights=policy)
    tool.execute(events, tool.start())
    assert weights(events) == left


def test_negative_weights_that_are_kept_are_counted(tmp_path, caplog):
    caplog.set_level("INFO", "hepflow")
    tool = TrainingSelection("select", Classes=MODES, Weight="TauJets.weight", NegativeWeights="keep")
    total = tool.start()
    for _ in range(2):
        tool.execute(ntuple(**{"TauJets.weight": np.array([1.0, -1.0, 1.0, -2.0, 0.0, 1.0])}), total)
    tool.finalize(total, Context(tmp_path, "job"))
    assert caplog.messages == ["select: 2 of 6 taus have a negative TauJets.weight and are kept"]


def test_negative_weights_are_an_error_by_default():
    events = ntuple(**{"TauJets.weight": np.array([1.0, 1.0, 1.0, -2.0, 0.0, 1.0])})
    with pytest.raises(ToolError) as caught:
        TrainingSelection("select", Classes=MODES, Weight="TauJets.weight").execute(events, None)
    assert "1 of 3 taus have a negative TauJets.weight" in str(caught.value)
    assert '"keep"' in str(caught.value)


def test_values_that_are_not_finite():
    bad = {"TauTrack.d0": ak.Array([[1.0], [], [np.nan, 3.0], [4.0, np.inf], [], [6.0]])}
    settings = {"Classes": MODES, "Variables": {"TauTrack": (Variable("d0"),)}}
    with pytest.raises(ToolError, match=r"TauTrack.d0 is not finite in 1 of 3 values"):
        TrainingSelection("select", **settings).execute(ntuple(**bad), None)
    events = ntuple(**bad)
    TrainingSelection("select", **settings, NonFinite="ignore").execute(events, None)
    assert events["TauTrack"]["d0"].tolist() == [[1.0], []]


def test_weights_that_are_not_finite():
    bad = {"TauJets.weight": np.array([1.0, 1.0, 1.0, np.nan, 0.5, 1.0])}
    with pytest.raises(ToolError, match=r"TauJets.weight is not finite"):
        TrainingSelection("select", Classes=MODES, Weight="TauJets.weight").execute(ntuple(**bad), None)
    events = ntuple(**bad)
    TrainingSelection("select", Classes=MODES, Weight="TauJets.weight", NonFinite="ignore").execute(events, None)
    assert weights(events) == [1.0, 0.5]


def test_reads_and_record():
    tool = TrainingSelection("select", Classes=MODES, Weight="w.w", Variables={"TauTrack": (Variable("d0"),)})
    assert tool.reads() == ["TauJets.truthIsHadronicTau", "TauJets.truthDecayMode", "w.w", "TauTrack.d0"]
    assert tool.record()["classes"] == {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}


def test_a_requirement_that_is_missing_is_not_met():
    events = Events.from_arrays({"TauJets.truthIsHadronicTau": np.array([1.0, np.nan, 0.0])})
    TrainingSelection("select").execute(events, None)
    assert len(events) == 1
    assert list(events._scope.cutflow.values()) == [[3, 1, 1]]
