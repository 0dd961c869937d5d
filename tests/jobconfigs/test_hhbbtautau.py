"""The training of HH → bbττ: folds, inputs and network of the exercise. docs/hh.md runs the chain."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.trainingset import training_set_of


@pytest.fixture(scope="module")
def job():
    return load_joboptions(find_joboptions("TrainHHbbtautau")).job


def test_every_event_has_a_model_that_has_not_seen_it(job):
    """event_number % 2, 20 % of the training half validates; the second model has the halves the other way round."""
    events = training_set_of(job.find("dataset"))
    numbers = np.arange(1000)
    for folds, half in zip(events.folds, (0, 1), strict=True):
        train, validation, test = (folds.has_role(numbers, role) for role in ("train", "validation", "test"))
        np.testing.assert_array_equal(train | validation, numbers % 2 == half)
        np.testing.assert_array_equal(test, numbers % 2 != half)
        assert validation.sum() == 0.2 * (numbers % 2 == half).sum()
        assert not (train & validation).any()
    assert events.input_columns == [f"tree.{name}" for name in ("mHH", "mMMC", "mBB", "dRTauTau", "dRBB")]


def test_the_network_is_that_of_the_exercise(job):
    pytest.importorskip("torch", reason="torch is not installed")
    from hepflow.plugins.training.engines.base import Request, Schedule
    from hepflow.plugins.training.engines.torch import TorchEngine
    from hepflow.plugins.training.source import unscaled

    events, trainer = training_set_of(job.find("dataset")), job.find("network")
    plan = TorchEngine.make_plan(Request(settings=trainer.Settings), unscaled(events), events)
    assert TorchEngine(plan, Schedule()).parameters == 8834
    assert (trainer.BatchSize, trainer.Epochs, trainer.Patience, trainer.LearningRate) == (128, 200, 10, 1e-3)
    assert trainer.Settings == {"schedule": "cosine", "t_max": 20}
    assert job.find("Reweighter").BalanceClasses
