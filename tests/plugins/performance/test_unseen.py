"""Which events a plot may use: those that no compared network has seen, by the records that the files bring."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow import Events, Job
from hepflow.context import Context, Sample
from hepflow.errors import HepflowError, JobOptionsError
from hepflow.folds import Folds
from hepflow.plugins.performance import RocPlots, UnseenEvents

NUMBERS = np.arange(20)
REFERENCE = Folds().record()
OTHER = Folds(4, train=(0, 1), validation=(2,), test=(3,)).record()


def network(name, folds):
    return {"OutputName": name, "WeightFile": "weights.json", "record": {} if folds is None else {"folds": folds}}


def select(records, **properties):
    """The event numbers that stay, and what the figures say."""
    tool = UnseenEvents("UnseenEvents", **properties)
    sample = Sample("sample", records=records)
    events = Events.from_arrays({"EventInfo.mcEventNumber": NUMBERS.astype(np.uint64)}, sample=sample)
    result = tool.start()
    tool.execute(events, result)
    assert sum(result.values()) == len(events)
    return events["EventInfo"].flat("mcEventNumber").tolist(), tool.finalize(result, Context(None, "job"))


def test_the_test_fold_of_the_network():
    numbers, text = select({"NN": network("NNDecayMode", REFERENCE)}, Classifiers=["NNDecayMode"])
    assert numbers == [1, 6, 11, 16]
    assert text == "test fold: mcEventNumber % 5 = 1"


def test_a_tool_that_would_select_nothing():
    with pytest.raises(JobOptionsError, match="no classifier is named"):
        UnseenEvents("u").check(Job("job"))


def test_of_several_networks_what_none_has_seen():
    records = {"a": network("A", REFERENCE), "b": network("B", OTHER), "count": {"OutputName": "Count"}}
    numbers, text = select(records, Classifiers=["A", "B", "Count"])
    assert numbers == [n for n in range(20) if n % 5 == 1 and n % 4 == 3]
    assert text == "test fold: mcEventNumber % 5 = 1, test fold: mcEventNumber % 4 = 3"


def test_what_was_not_trained_has_seen_nothing():
    numbers, text = select({"count": {"OutputName": "Count"}}, Classifiers=["Count"])
    assert len(numbers) == 20
    assert text == "all events are unseen"


def test_of_a_kfold_set_every_tau_was_decorated_by_a_network_that_has_not_seen_it():
    kfold = {"rule": "TauJets.mcEventNumber % 5", "column": "TauJets.mcEventNumber", "number": 5}
    record = {"OutputName": "NN", "WeightFile": "0/w.json, 1/w.json", "kfold": kfold, "networks": []}
    numbers, text = select({"NN": record}, Classifiers=["NN"])
    assert len(numbers) == 20
    assert text == "all events are unseen"


def test_the_user_says_which():
    numbers, text = select({}, Classifiers=["A"], Folds=[0, 1])
    assert numbers == [n for n in range(20) if n % 5 in (0, 1)]
    assert text == "chosen fold: mcEventNumber % 5 in 0, 1"
    numbers, text = select({}, Classifiers=["A"], AllEvents=True)
    assert len(numbers) == 20
    assert text == "all events, also those used in training"


@pytest.mark.parametrize(
    ("records", "properties", "texts"),
    [
        ({}, {"Classifiers": ["A"]}, ["does not say which events A has seen", "--folds", "--all-events"]),
        ({"b": network("NNDecayMod", OTHER)}, {"Classifiers": ["NNDecayMode"]}, ["did you mean 'NNDecayMod'"]),
        ({"a": network("A", None)}, {"Classifiers": ["A"]}, ["weights.json of A does not say", "--all-events"]),
        ({}, {"Folds": [1], "AllEvents": True}, ["exclude each other"]),
        ({}, {"Folds": [5]}, ["no fold 5 of 5"]),
        (
            {"a": network("A", {**REFERENCE, "column": "TauJets.eventNumber"})},
            {"Classifiers": ["A"]},
            ["made of TauJets.eventNumber", "EventNumber"],
        ),
    ],
)
def test_what_is_not_clear_is_an_error(records, properties, texts):
    with pytest.raises(HepflowError) as error:
        select(records, **properties)
    for text in texts:
        assert text in str(error.value)
    with pytest.raises(HepflowError):  # the plan finds it already
        UnseenEvents("unseen", **properties).remarks(Job("job"), records, {})


def test_scores_of_events_that_trained_are_told_before_the_loop():
    roc = RocPlots("roc", Scores={"a": "TauJets.A", "b": "TauJets.B", "k": "TauJets.K", "pt": "TauJets.pt"})
    records = {name: network(name, OTHER) for name in "AB"} | {"K": network("K", OTHER) | {"kfold": {"number": 4}}}
    job = Job("job")
    job += roc
    lines = roc.remarks(job, records, {})
    assert [line.partition(" ")[0] for line in lines] == ["TauJets.A", "TauJets.B"]
    assert "weights.json was trained" in lines[0]
    assert "mcEventNumber % 4 = 3" in lines[0]
    job += UnseenEvents("unseen", Classifiers=["A"])
    assert [line.partition(" ")[0] for line in roc.remarks(job, records, {})] == ["TauJets.B"]
    modes = RocPlots("modes", Scores={mode: f"TauJets.BProb_{mode}" for mode in ("1p0n", "1p1n")})
    records["B"] |= {"decorations": ["TauJets.B", "TauJets.BProb_1p0n", "TauJets.BProb_1p1n"]}
    (line,) = modes.remarks(job, records, {})  # once a model
    assert line.startswith("TauJets.BProb_1p0n is drawn for all events")
    job += UnseenEvents("both", Classifiers=["B"])  # its decision: the scores are those of the same model
    assert not modes.remarks(job, records, {})
    job += modes
    told = [f"figures of modes do not say what {name} selects" for name in ("unseen", "both")]
    assert [line.partition(":")[0] for line in modes.remarks(job, records, {})] == told
    modes.Unseen = "both"
    assert not modes.remarks(job, records, {})
    with pytest.raises(JobOptionsError, match="no classifier is named"):
        UnseenEvents("unseen").check(job)
